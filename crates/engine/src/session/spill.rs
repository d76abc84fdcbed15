//! The spill folder: one for each process, deleted with it.
//!
//! Promise: two processes in one project never share or delete each other's spill files, and the next
//! process deletes what a killed one left behind. A lock shows that a process is alive; the system releases
//! it however the process ends. It knows no operator.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The ending of the lock file of a spill folder.
const LOCK: &str = "lock";

/// A folder for spill files that belongs to this process.
#[derive(Debug)]
pub(crate) struct SpillFolder {
    path: PathBuf,
    lock: PathBuf,
    _held: File,
}

impl SpillFolder {
    /// Creates a folder in `parent`, after deleting those of dead processes.
    pub(crate) fn make(parent: &Path) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        clean(parent)?;
        loop {
            let path = parent.join(uuid::Uuid::new_v4().simple().to_string());
            let lock = path.with_extension(LOCK);
            let held = File::create_new(&lock)?;
            // Another process that cleans up at this moment may take the lock, or delete the file, before
            // we hold it.
            if held.try_lock().is_ok() && lock.exists() {
                fs::create_dir(&path)?;
                return Ok(Self {
                    path,
                    lock,
                    _held: held,
                });
            }
        }
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        // The next process deletes what cannot be deleted now.
        if fs::remove_dir_all(&self.path).is_ok() {
            let _ = fs::remove_file(&self.lock);
        }
    }
}

fn clean(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let lock = entry?.path();
        if lock.extension().is_none_or(|extension| extension != LOCK) {
            continue;
        }
        let held = match File::open(&lock) {
            Ok(held) => held,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        match held.try_lock() {
            Ok(()) => remove(&lock)?,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(())
}

fn remove(lock: &Path) -> io::Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    gone(fs::remove_dir_all(lock.with_extension("")))?;
    gone(fs::remove_file(lock))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]
    use super::*;

    #[test]
    fn the_dead_are_cleaned_and_the_living_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let living = SpillFolder::make(parent.path()).unwrap();
        fs::write(living.path().join("x"), "x").unwrap();
        // As a killed process leaves it: folder and file, and nobody holds the lock.
        let dead = parent.path().join("dead");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("x"), "x").unwrap();
        fs::write(parent.path().join("dead.lock"), "").unwrap();
        let other = SpillFolder::make(parent.path()).unwrap();
        assert!(!dead.exists() && living.path().join("x").exists() && other.path().exists());
        drop(living);
        drop(other);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
