//! A folder of one process for files that nobody else reads: records of a read, files on their way to a bucket.
//!
//! Promise: only this user can read it, it is gone when it is dropped, and what a killed process left is
//! removed by the next one, never what another one still uses, wherever that runs. It knows no format and no
//! system. Read next: `rest/spool.rs`, `files/write/begin_bucket.rs`.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

const LOCK: &str = "lock";

/// A folder of this process.
#[derive(Debug)]
pub(crate) struct Stage {
    folder: PathBuf,
    /// Locked as long as it lives.
    _lock: File,
}

impl Stage {
    /// Makes a folder below `NAME` in the folder of a project's state.
    pub(crate) fn make(state: &Path, name: &str) -> io::Result<Self> {
        let parent = state.join(name);
        builder().recursive(true).create(&parent)?;
        // While it is held, no folder is without its lock: nobody removes one that is being made.
        let making = private(&state.join(format!("{name}.lock")))?;
        making.lock()?;
        sweep(&parent);
        let folder = new_folder(&parent)?;
        let lock = private(&folder.join(LOCK))?;
        lock.try_lock()?;
        drop(making);
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next one.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A folder that was not there, by a name that no other process has.
fn new_folder(parent: &Path) -> io::Result<PathBuf> {
    loop {
        // `RandomState` is seeded anew for each state.
        let chance = RandomState::new().hash_one(std::process::id());
        let folder = parent.join(format!("{chance:016x}"));
        match builder().create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Removes the folders of processes that are gone.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_dead = match File::open(entry.path().join(LOCK)) {
            Ok(lock) => lock.try_lock().is_ok(),
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
        if is_dead {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn builder() -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder
}

/// A file that only this user can read; one of this name is emptied.
pub(crate) fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}
