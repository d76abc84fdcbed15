//! Which files an incremental read has read before.
//!
//! Promise: a file is known by its name and its contents, not by its times; an object in a bucket by its key
//! and its version. A known one is not read
//! again, a new or changed one is read whole. A file's position counts how often it was read, so that
//! positions move forward whatever becomes of its size, and stands only for what was read: a file
//! that is written meanwhile stops the read, but where lines are only added and rows may come again,
//! what was there at the start is read, and all of it the next time. It does not know what is in a
//! file.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use towpath_vocab::{Position, SplitId, SplitPosition};

use super::error::FilesError;
use super::find::InputFile;
use super::fingerprint;
use super::job::{How, Settled};
use super::options::{Compression, Format};
use super::place::Place;

/// File systems tell times this coarsely at worst: two writes within it may leave the same time.
const COARSE_SECONDS: i64 = 3;

/// A file's position, and its metadata before its contents were hashed.
#[derive(Clone, Debug)]
pub(crate) struct FilePosition {
    pub(crate) position: SplitPosition,
    /// `None` of an object, each byte of which is read from the version that the position names.
    stat: Option<FileStat>,
}

/// What changes when a file is written or exchanged, but for writes at the same moment.
#[derive(Clone, Debug)]
struct FileStat {
    file: (u64, u64),
    length: u64,
    written: (i64, i64),
    changed: (i64, i64),
    /// It changed so lately that another write may leave the same times.
    young: bool,
}

fn stat(file: &InputFile, path: &Path) -> Result<FileStat, FilesError> {
    let found = std::fs::metadata(path).map_err(|source| FilesError::Read {
        path: file.object.clone(),
        source,
    })?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    Ok(FileStat {
        young: now.saturating_sub(found.ctime()) <= COARSE_SECONDS,
        file: (found.dev(), found.ino()),
        length: found.len(),
        written: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

/// The identity of a file's first bytes.
fn content(file: &InputFile, length: u64) -> Result<serde_json::Value, FilesError> {
    let head = InputFile {
        length: Some(length),
        ..file.clone()
    };
    let content = fingerprint::of_files(std::slice::from_ref(&head))?.0;
    Ok(serde_json::Value::String(content))
}

/// Whether a line ends at this place.
fn ends_line(file: &InputFile, path: &Path, length: u64) -> Result<bool, FilesError> {
    let Some(at) = length.checked_sub(1) else {
        return Ok(true);
    };
    let mut last = [0];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut last, at));
    read.map_err(|source| FilesError::Read {
        path: file.object.clone(),
        source,
    })?;
    Ok(last == *b"\n")
}

impl FilePosition {
    /// Fails, worth a retry, when what was read may not be what the position stands for. Other rights, names, times
    /// or a copy in its place change nothing of it. With `left_open` a quoted field was open at the end
    /// of what was read.
    pub(crate) fn still(&self, file: &InputFile, left_open: bool) -> Result<(), FilesError> {
        let (Some(then), Place::Local(path)) = (&self.stat, &file.place) else {
            return Ok(());
        };
        let now = stat(file, path)?;
        let place = |stat: &FileStat| (stat.file, stat.length, stat.written, stat.changed);
        if place(then) == place(&now) && !then.young {
            return Ok(());
        }
        let length = then.length;
        // Only whole records: half a line is another row than the whole one, and what looks like lines
        // behind an open quote may be text of one cell.
        let whole = file.length.is_some() && !left_open;
        let grew = now.length > length && whole && ends_line(file, path, length)?;
        if (grew || now.length == length) && content(file, length)? == self.position.resume {
            if grew {
                tracing::warn!(
                    "`{}` grew while it was read: the next run reads the new lines",
                    file.object
                );
            }
            return Ok(());
        }
        Err(FilesError::Changing {
            path: file.object.clone(),
        })
    }
}

/// Leaves what `from` has read out of a settled read, and gives the position of each file that stays, in
/// the order of the jobs.
pub(crate) fn leave_out(
    settled: &mut Settled,
    from: &Position,
    may_repeat: bool,
) -> Result<Vec<FilePosition>, FilesError> {
    let (mut jobs, mut positions) = (Vec::new(), Vec::new());
    for mut job in std::mem::take(&mut settled.jobs) {
        let stat = match &job.file.place {
            Place::Local(path) => Some(stat(&job.file, path)?),
            Place::Object(_) => None,
        };
        let content = match (&stat, job.file.place.identity()) {
            (Some(stat), _) => content(&job.file, stat.length)?,
            (None, identity) => serde_json::Value::from(identity),
        };
        let before = from.get(&SplitId(job.file.object.clone()));
        if before.is_some_and(|before| before.resume == content) {
            continue;
        }
        if before.is_some() {
            let before = if may_repeat {
                "and written by key"
            } else {
                "and without a `key` its earlier rows are in the table twice"
            };
            settled.notes.push(format!(
                "`{}` has changed since it was read: all of it is read again, {before}",
                job.file.object
            ));
        }
        let is_plain = job.file.compression == Compression::None && job.file.format != Format::Xlsx;
        if let Some(stat) = &stat
            && may_repeat
            && is_plain
            && matches!(job.how, How::Text { .. })
        {
            job.file.length = Some(stat.length);
        }
        let position = SplitPosition {
            order: before.map_or(0, |before| before.order) + 1,
            resume: content,
        };
        positions.push(FilePosition { position, stat });
        jobs.push(job);
    }
    settled.jobs = jobs;
    Ok(positions)
}
