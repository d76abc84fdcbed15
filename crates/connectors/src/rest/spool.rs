//! Records of a read, kept on disk until they are parsed: one file of JSON lines.
//!
//! Promise: only this user can read it, it is gone when the read ends, and what a killed process left is
//! removed by the next read, never what another one still uses, wherever that runs. A file is used because
//! types are inferred over all records before the first row is given. Read next: `source.rs`, `../stage.rs`.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::error::{RestError, Result};
use crate::stage::{Stage, private};

/// The name of the file in its folder.
pub(super) const RECORDS: &str = "records.jsonl";

/// The folder of one read.
#[derive(Debug)]
pub(super) struct Spool {
    pub(super) folder: PathBuf,
    /// Its folder lives as long as the read.
    _stage: Stage,
}

/// Records of one listing, until all of them are there; its file is gone when it is dropped.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    file: BufWriter<File>,
    records: u64,
}

/// Writes the records of a read.
#[derive(Debug)]
pub(super) struct SpoolWriter {
    folder: PathBuf,
    file: BufWriter<File>,
    pub(super) records: u64,
}

impl Spool {
    /// Makes a folder below the project's `.towpath/rest`.
    pub(super) fn new(project: &Path) -> Result<(Self, SpoolWriter)> {
        let stage = Stage::make(&project.join(".towpath"), "rest").map_err(failed)?;
        let folder = stage.folder().to_path_buf();
        let file = private(&folder.join(RECORDS)).map_err(failed)?;
        let writer = SpoolWriter {
            folder: folder.clone(),
            file: BufWriter::with_capacity(256 << 10, file),
            records: 0,
        };
        let spool = Self {
            folder,
            _stage: stage,
        };
        Ok((spool, writer))
    }
}

impl SpoolWriter {
    /// Adds one record: a line with its end.
    pub(super) fn write(&mut self, line: &[u8]) -> Result<()> {
        self.records += 1;
        self.file.write_all(line).map_err(failed)
    }

    /// Records of a listing apart from the others.
    pub(super) fn segment(&self, listing: usize) -> Result<Segment> {
        let path = self.folder.join(format!("listing-{listing}"));
        let file = private(&path).map_err(failed)?;
        Ok(Segment {
            path,
            file: BufWriter::new(file),
            records: 0,
        })
    }

    /// Adds all records of a listing.
    pub(super) fn append(&mut self, mut segment: Segment) -> Result<()> {
        let mut copy = || {
            segment.file.flush()?;
            std::io::copy(&mut File::open(&segment.path)?, &mut self.file)
        };
        copy().map_err(failed)?;
        self.records += segment.records;
        Ok(())
    }

    /// Ends the file.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.file.flush().map_err(failed)
    }
}

impl Segment {
    /// Adds one record.
    pub(super) fn write(&mut self, line: &[u8]) -> Result<()> {
        self.records += 1;
        self.file.write_all(line).map_err(failed)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // The folder of the read goes in any case.
        let _ = fs::remove_file(&self.path);
    }
}

fn failed(source: std::io::Error) -> RestError {
    RestError::Spool {
        folder: ".towpath/rest".to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const LOCK: &str = "lock";

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

    #[test]
    fn a_folder_that_is_in_use_is_left_alone_whatever_its_name() {
        // In a container every process may have the number 1.
        let project = tempfile::tempdir().unwrap();
        let (mine, mut writer) = Spool::new(project.path()).unwrap();
        writer.write(b"{}\n").unwrap();
        writer.finish().unwrap();
        let name = |spool: &Spool| {
            spool
                .folder
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        };
        let process = std::process::id().to_string();
        assert!(!name(&mine).split('-').any(|part| part == process));
        let others: Vec<_> = (0..20)
            .map(|_| Spool::new(project.path()).unwrap())
            .collect();
        let names: std::collections::HashSet<String> =
            others.iter().map(|(spool, _)| name(spool)).collect();
        assert_eq!(names.len(), 20);
        assert_eq!(fs::read(mine.folder.join(RECORDS)).unwrap(), b"{}\n");
    }
}
