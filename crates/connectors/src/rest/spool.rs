//! Records of a read, kept on disk until they are parsed: one file of JSON lines.
//!
//! Promise: only this user can read it, it is gone when the read ends, and what a killed process left is
//! removed by the next read. A file is used because types are inferred over all records before the first
//! row is given. Read next: `source.rs`.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{RestError, Result};

/// The name of the file in its folder.
pub(super) const RECORDS: &str = "records.jsonl";
const LOCK: &str = "lock";

/// The folder of one read.
#[derive(Debug)]
pub(super) struct Spool {
    pub(super) folder: PathBuf,
    /// Locked as long as the read lives.
    _lock: File,
}

/// Writes the records of a read.
#[derive(Debug)]
pub(super) struct SpoolWriter {
    shown: String,
    file: BufWriter<File>,
    pub(super) records: u64,
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Spool {
    /// Makes a folder below the project's `.towpath/rest`.
    pub(super) fn new(project: &Path) -> Result<(Self, SpoolWriter)> {
        let parent = project.join(".towpath").join("rest");
        let failed = |source| RestError::Spool {
            folder: ".towpath/rest".to_owned(),
            source,
        };
        make_folder(&parent).map_err(failed)?;
        sweep(&parent);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("{}-{number}", std::process::id()));
        // What stands there is of a dead process with the same number.
        let _ = fs::remove_dir_all(&folder);
        make_folder(&folder).map_err(failed)?;
        let lock = private(&folder.join(LOCK)).map_err(failed)?;
        lock.try_lock().map_err(|error| failed(error.into()))?;
        let file = private(&folder.join(RECORDS)).map_err(failed)?;
        let writer = SpoolWriter {
            shown: ".towpath/rest".to_owned(),
            file: BufWriter::with_capacity(256 << 10, file),
            records: 0,
        };
        Ok((
            Self {
                folder,
                _lock: lock,
            },
            writer,
        ))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next read.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl SpoolWriter {
    /// Adds one record: a line with its end.
    pub(super) fn write(&mut self, line: &[u8]) -> Result<()> {
        self.records += 1;
        self.file
            .write_all(line)
            .map_err(|source| self.failed(source))
    }

    /// Ends the file.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.file.flush().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: std::io::Error) -> RestError {
        RestError::Spool {
            folder: self.shown.clone(),
            source,
        }
    }
}

/// Removes the folders of processes that are gone.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let lock = File::open(entry.path().join(LOCK));
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(unix)]
fn make_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

#[cfg(not(unix))]
fn make_folder(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)
}

fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_read_leaves_nothing_and_removes_what_a_dead_one_left() {
        let project = tempfile::tempdir().unwrap();
        let parent = project.path().join(".towpath/rest");
        let dead = parent.join("1-0");
        fs::create_dir_all(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        let (first, mut writer) = Spool::new(project.path()).unwrap();
        assert!(!dead.exists());
        writer.write(b"{}\n").unwrap();
        writer.finish().unwrap();
        let (second, _) = Spool::new(project.path()).unwrap();
        assert!(first.folder.exists() && first.folder != second.folder);
        assert_eq!(fs::read(first.folder.join(RECORDS)).unwrap(), b"{}\n");
        drop((first, second));
        assert_eq!(fs::read_dir(parent).unwrap().count(), 0);
    }
}
