//! Whether the process of a worker is alive, according to the operating system.
//!
//! While a worker lives, it has a lock on a small file next to the state store; the kernel releases the
//! lock however the process ends. If the lock can be taken, the worker is dead, and nobody has to wait for
//! its lease. If it cannot be taken, nothing is proven, and the lease decides. The same holds if the file
//! is gone or the file system has no locks.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::StateError;

/// The locks of workers: those that this process holds, and those that it can check.
pub(crate) struct Liveness {
    store: PathBuf,
    held: Mutex<HashMap<String, Option<File>>>,
}

impl Liveness {
    /// For the state store at `path`.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            store: path.to_owned(),
            held: Mutex::new(HashMap::new()),
        }
    }

    /// Takes the lock of `worker`, until `release` or the end of this process. True if it was not taken
    /// before.
    pub(crate) fn claim(&self, worker: &str) -> Result<bool, StateError> {
        let mut held = self.held();
        if held.contains_key(worker) {
            return Ok(false);
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.file_of(worker))?;
        let lock = match file.try_lock() {
            Ok(()) => Some(file),
            Err(TryLockError::WouldBlock) => {
                return Err(StateError::WorkerInUse {
                    worker: worker.to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => {
                tracing::debug!(%error, "file locks do not work here; only leases show which workers are running");
                None
            }
        };
        held.insert(worker.to_owned(), lock);
        Ok(true)
    }

    /// True for a worker of this process.
    pub(crate) fn holds(&self, worker: &str) -> bool {
        self.held().contains_key(worker)
    }

    /// True if the process of `worker` is certainly dead.
    pub(crate) fn is_dead(&self, worker: &str) -> bool {
        if self.holds(worker) {
            return false;
        }
        match File::open(self.file_of(worker)) {
            Ok(file) => file.try_lock().is_ok(),
            Err(_) => false,
        }
    }

    /// Releases the lock of a worker that has nothing to do any more.
    pub(crate) fn release(&self, worker: &str) {
        let lock = self.held().remove(worker);
        self.forget(worker);
        drop(lock);
    }

    /// Deletes the file of a dead worker.
    pub(crate) fn forget(&self, worker: &str) {
        if let Err(error) = std::fs::remove_file(self.file_of(worker))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::debug!(%error, worker, "the lock file of a worker could not be deleted");
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Option<File>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file_of(&self, worker: &str) -> PathBuf {
        let mut name = self.store.file_name().unwrap_or_default().to_os_string();
        let mut suffix = String::from("-worker-");
        for byte in worker.bytes() {
            if byte.is_ascii_alphanumeric() || byte == b'-' {
                suffix.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(suffix, "~{byte:02x}");
            }
        }
        name.push(suffix);
        self.store.with_file_name(name)
    }
}
