//! Which files an incremental read has read before.
//!
//! Promise: a file is known by its name and its contents, not by its times. A known one is not read
//! again, a new or changed one is read whole. A file's mark counts how often it was read, so that
//! positions move forward whatever becomes of its size. It does not know what is in a file.

use towpath_vocab::{Mark, Position, SplitId};

use super::error::FilesError;
use super::fingerprint;
use super::job::Settled;

/// Leaves what `from` has read out of a settled read, and gives the mark of each file that stays, in
/// the order of the jobs.
pub(crate) fn leave_out(settled: &mut Settled, from: &Position) -> Result<Vec<Mark>, FilesError> {
    let (mut jobs, mut marks) = (Vec::new(), Vec::new());
    for job in std::mem::take(&mut settled.jobs) {
        let content = fingerprint::of_files(std::slice::from_ref(&job.file))?.0;
        let content = serde_json::Value::String(content);
        let before = from.mark(&SplitId(job.file.object.clone()));
        if before.is_some_and(|before| before.resume == content) {
            continue;
        }
        if before.is_some() {
            settled.notes.push(format!(
                "`{}` has changed since it was read: all of it is read again",
                job.file.object
            ));
        }
        marks.push(Mark {
            order: before.map_or(0, |before| before.order) + 1,
            resume: content,
        });
        jobs.push(job);
    }
    settled.jobs = jobs;
    Ok(marks)
}
