//! What shows that a file was written or exchanged, without a look at its contents.
//!
//! Promise: it tells every write but those at the same moment, and says when those are possible. Read next:
//! `file_position.rs`.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::FilesError;
use super::find::InputFile;

/// File systems tell times this coarsely at worst: two writes within it may leave the same time.
const COARSE_SECONDS: i64 = 3;

/// What changes when a file is written or exchanged, but for writes at the same moment.
#[derive(Clone, Debug)]
pub(super) struct FileStat {
    file: (u64, u64),
    pub(super) length: u64,
    written: (i64, i64),
    changed: (i64, i64),
    /// It changed so lately that another write may leave the same times.
    young: bool,
}

impl FileStat {
    pub(super) fn of(file: &InputFile, path: &Path) -> Result<Self, FilesError> {
        let found = std::fs::metadata(path).map_err(|source| FilesError::Read {
            path: file.object.clone(),
            source,
        })?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        Ok(Self {
            young: now.saturating_sub(found.ctime()) <= COARSE_SECONDS,
            file: (found.dev(), found.ino()),
            length: found.len(),
            written: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    /// Whether an open file is the one of then, whatever was done to it.
    pub(super) fn is_of(&self, open: &File) -> io::Result<bool> {
        let found = open.metadata()?;
        Ok((found.dev(), found.ino()) == self.file)
    }

    /// Whether the file is certainly the one of then, with the same bytes.
    pub(super) fn is_untouched(&self, now: &Self) -> bool {
        let place = |stat: &Self| (stat.file, stat.length, stat.written, stat.changed);
        place(self) == place(now) && !self.young
    }
}
