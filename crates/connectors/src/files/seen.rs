//! Which files an incremental read has read before.
//!
//! Promise: a file is known by its name and its contents, not by its times. A known one is not read
//! again, a new or changed one is read whole. A file's mark counts how often it was read, so that
//! positions move forward whatever becomes of its size, and stands only for what was read: a file
//! that is written meanwhile is read again. It does not know what is in a file.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::{SystemTime, UNIX_EPOCH};

use towpath_vocab::{Mark, Position, SplitId};

use super::error::FilesError;
use super::find::InputFile;
use super::fingerprint;
use super::job::Settled;

/// File systems tell times this coarsely at worst: two writes within it may leave the same time.
const COARSE_SECONDS: i64 = 3;

/// A file's mark, and what it looked like before its contents were hashed.
#[derive(Clone, Debug)]
pub(crate) struct Marked {
    pub(crate) mark: Mark,
    look: Look,
}

/// What changes when a file is written or exchanged, but for writes at the same moment.
#[derive(Clone, Debug)]
struct Look {
    file: (u64, u64, u64),
    written: (i64, i64),
    changed: (i64, i64),
    /// It changed so lately that another write may leave the same times.
    young: bool,
}

fn look(file: &InputFile) -> Result<Look, FilesError> {
    let found = std::fs::metadata(&file.path).map_err(|source| FilesError::Read {
        path: file.object.clone(),
        source,
    })?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    Ok(Look {
        young: now.saturating_sub(found.ctime()) <= COARSE_SECONDS,
        file: (found.dev(), found.ino(), found.len()),
        written: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

fn content(file: &InputFile) -> Result<serde_json::Value, FilesError> {
    let content = fingerprint::of_files(std::slice::from_ref(file))?.0;
    Ok(serde_json::Value::String(content))
}

impl Marked {
    /// Fails, worth a retry, when the file may have changed since it was marked.
    pub(crate) fn still(&self, file: &InputFile) -> Result<(), FilesError> {
        let (then, now) = (&self.look, look(file)?);
        let same = (then.file, then.written, then.changed) == (now.file, now.written, now.changed);
        if same && (!then.young || content(file)? == self.mark.resume) {
            return Ok(());
        }
        Err(FilesError::Read {
            path: file.object.clone(),
            source: io::Error::new(
                io::ErrorKind::Interrupted,
                "it changed while it was being read",
            ),
        })
    }
}

/// Leaves what `from` has read out of a settled read, and gives the mark of each file that stays, in
/// the order of the jobs.
pub(crate) fn leave_out(settled: &mut Settled, from: &Position) -> Result<Vec<Marked>, FilesError> {
    let (mut jobs, mut marks) = (Vec::new(), Vec::new());
    for job in std::mem::take(&mut settled.jobs) {
        let look = look(&job.file)?;
        let content = content(&job.file)?;
        let before = from.mark(&SplitId(job.file.object.clone()));
        if before.is_some_and(|before| before.resume == content) {
            continue;
        }
        if before.is_some() {
            settled.notes.push(format!(
                "`{}` has changed since it was read: all of it is read again, and where the table has no `key` the rows it gave before are there twice",
                job.file.object
            ));
        }
        let mark = Mark {
            order: before.map_or(0, |before| before.order) + 1,
            resume: content,
        };
        marks.push(Marked { mark, look });
        jobs.push(job);
    }
    settled.jobs = jobs;
    Ok(marks)
}
