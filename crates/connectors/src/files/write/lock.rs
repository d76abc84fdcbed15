//! One writer per place: a lock of the operating system on a hidden file, which also names its holder.
//!
//! Promise: a dead process holds nothing, without anyone judging whether it is dead; two writers, of
//! one process or of two, never write one place at once. Readers never wait for it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::error::{Result, WriteError};

/// A held lock; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    /// Closing it unlocks.
    _file: File,
}

impl Lock {
    /// Takes the lock at once or says who holds it.
    pub(super) fn take(path: PathBuf, shown: &str) -> Result<Self> {
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path);
            let mut file = file.map_err(WriteError::io(shown))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(WriteError::Locked {
                        path: shown.to_owned(),
                        by: holder(&mut file),
                    });
                }
                Err(TryLockError::Error(source)) => {
                    return Err(WriteError::Io {
                        path: shown.to_owned(),
                        source,
                    });
                }
            }
            // The holder before may have removed the file between open and lock.
            let mine = file.metadata().map_err(WriteError::io(shown))?;
            let is_mine = fs::metadata(&path)
                .is_ok_and(|there| (there.dev(), there.ino()) == (mine.dev(), mine.ino()));
            if !is_mine {
                continue;
            }
            let named = file
                .set_len(0)
                .and_then(|()| write!(file, "{}", std::process::id()));
            named.map_err(WriteError::io(shown))?;
            return Ok(Self { path, _file: file });
        }
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file
        .read_to_string(&mut text)
        .ok()
        .and_then(|_| text.trim().parse::<u32>().ok())
    {
        Some(pid) if pid == std::process::id() => "another task of this process".to_owned(),
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Still locked here; a file that stays does no harm.
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!("a lock file could not be removed: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use towpath_vocab::{Failure, Remedy};

    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".x.lock");
        let lock = Lock::take(path.clone(), "x").unwrap();
        let failure = Failure::from(Lock::take(path.clone(), "x").unwrap_err());
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0124", Remedy::Retry)
        );
        assert_eq!(
            failure.message,
            "`x` is being written by another task of this process"
        );
        drop(lock);
        assert!(!path.exists());
        // What a dead process left behind.
        std::fs::write(&path, "1").unwrap();
        Lock::take(path, "x").unwrap();
    }
}
