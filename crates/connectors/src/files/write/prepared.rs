//! A finished file that only needs its commit: examined, then put in its place by one rename.
//!
//! Promise: before the rename readers see the old file and `last` the old token, after it the new ones;
//! there is no third state. Files of a folder are renamed before its manifest, which is the commit. In a
//! bucket: `commit_bucket.rs`.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use towpath_ports::{
    Candidate, CandidateRows, Commit, Committed, Prepared, PreparedStats, Receipt, Result,
};
use towpath_vocab::WriteMode;

use super::begin::{Claim, Job, part_name};
use super::candidate::{Readable, Reading};
use super::commit_bucket;
use super::commit_notes::{self, Noted, Part, Standing};
use super::disk;
use super::error::WriteError;
use super::finish::same_rights;
use super::location::Temporary;
use super::parquet::write_note;
use super::writer::blocking;
use super::written::Written;
use crate::files::bucket::put::HELD_BYTES;
use crate::files::options::Format;

/// A write before its commit.
pub(super) struct FilesPrepared {
    job: Arc<Job>,
    claim: Claim,
    /// The new rows and, when it is more, the whole file; `None` when the commit was made before.
    written: Option<(Written, Option<Written>)>,
    reading: Reading,
}

impl FilesPrepared {
    pub(super) fn new(
        job: Arc<Job>,
        claim: Claim,
        written: Option<(Written, Option<Written>)>,
        reading: Reading,
    ) -> Self {
        Self {
            job,
            claim,
            written,
            reading,
        }
    }

    /// The files that a candidate is made of.
    fn readable(&self, scope: CandidateRows) -> Vec<Readable> {
        let (job, location) = (&self.job, self.job.location());
        let temporary = |what, rows| Readable {
            name: location.temporary(job.intent.generation, what),
            is_staged: true,
            rows,
        };
        let parts = || {
            job.known.parts.iter().map(|part| Readable {
                name: part.name.clone(),
                is_staged: false,
                rows: part.rows,
            })
        };
        let Some((rows, whole)) = &self.written else {
            return match location.many {
                true => parts().collect(),
                false => vec![Readable {
                    name: location.name.clone(),
                    is_staged: false,
                    rows: None,
                }],
            };
        };
        let new = temporary(Temporary::Rows, Some(rows.rows));
        match (scope, whole) {
            (CandidateRows::AfterCommit, Some(_)) => vec![temporary(Temporary::Whole, None)],
            (CandidateRows::AfterCommit, None)
                if location.many && job.intent.write.mode == WriteMode::Append =>
            {
                parts().chain([new]).collect()
            }
            _ => vec![new],
        }
    }
}

/// Rows the table holds with these behind it, as far as that is known.
pub(super) fn rows_after(job: &Job, rows: u64) -> Option<u64> {
    if job.intent.write.mode == WriteMode::Replace {
        return Some(rows);
    }
    let before = match job.known.standing {
        Standing::Missing => 0,
        _ if job.location().many => job
            .known
            .parts
            .iter()
            .map(|part| part.rows)
            .sum::<Option<u64>>()?,
        Standing::Foreign => return None,
        Standing::Ours => job.known.rows?,
    };
    Some(before + rows)
}

fn stats(job: &Job, rows: &Written, whole: Option<&Written>) -> PreparedStats {
    let rows_after = match (job.target.format, whole) {
        (Format::Parquet, Some(whole)) => Some(whole.rows),
        _ => rows_after(job, rows.rows),
    };
    PreparedStats {
        rows_in: rows.rows,
        inserted: rows.rows,
        rows_after,
        bytes: whole.map_or(rows.bytes, |whole| whole.bytes),
        ..PreparedStats::default()
    }
}

/// Puts the file in its place, with its note.
async fn commit(
    job: &Arc<Job>,
    rows: Written,
    whole: Option<Written>,
    how: Commit,
    most_bytes: u64,
) -> Result<Committed, WriteError> {
    let generation = job.intent.generation;
    let committed = Committed {
        token: how.into_token(job.intent.task.clone(), generation),
        version: format!("commit {generation}"),
        stats: stats(job, &rows, whole.as_ref()),
    };
    let noted = Noted {
        run: job.intent.run.clone(),
        committed: committed.clone(),
    };
    let commits = commit_notes::with(&job.known.commits, job.intent.task.app_id(), noted);
    let many = job.location().many;
    match &job.location().bucket {
        Some(place) if many => commit_bucket::commit_part(job, place, &rows, commits).await?,
        Some(place) => {
            let file = (whole.as_ref().unwrap_or(&rows), whole.is_some());
            commit_bucket::commit_file(job, place, file, commits, most_bytes).await?;
        }
        None => {
            let asked = Arc::clone(job);
            let work = move || match many {
                true => commit_part(&asked, &rows, commits),
                false => {
                    let file = whole.as_ref().unwrap_or(&rows);
                    commit_file(&asked, file, whole.is_some(), commits)
                }
            };
            blocking(job, work).await?;
        }
    }
    Ok(committed)
}

fn commit_file(
    job: &Job,
    written: &Written,
    is_whole: bool,
    commits: commit_notes::Commits,
) -> Result<(), WriteError> {
    let (location, shown) = (job.location(), &*job.location().shown);
    let file = job.temporary(if is_whole {
        Temporary::Whole
    } else {
        Temporary::Rows
    });
    same_rights(job, &file).map_err(WriteError::io(shown))?;
    if job.target.format == Format::Parquet {
        write_note(&file, shown, commit_notes::footer_text(commits, shown)?)?;
    } else {
        let before = job.known.identified.clone();
        let about = (
            written.sha256.as_str(),
            if is_whole {
                rows_after(job, written.rows)
            } else {
                Some(written.rows)
            },
        );
        let bytes = commit_notes::sidecar_bytes(&file, about, commits, before, shown)?;
        disk::replace(&location.sidecar(), &job.temporary(Temporary::Note), &bytes)
            .map_err(WriteError::io(shown))?;
    }
    fail::fail_point!("files::before_commit");
    // The whole file holds the old one as it was, or it was looked at: a change of others must not vanish.
    let must_hold = job.before.as_ref().is_some_and(|before| before.must_hold);
    if (is_whole || must_hold) && job.known.is_outdated(location) {
        return Err(WriteError::Changed {
            path: shown.to_owned(),
        });
    }
    disk::rename(&file, &location.path()).map_err(WriteError::io(shown))?;
    fail::fail_point!("files::after_commit");
    if job.target.format == Format::Parquet {
        // Of a text file that had this name.
        remove(&location.sidecar());
    }
    Ok(())
}

fn commit_part(
    job: &Job,
    rows: &Written,
    commits: commit_notes::Commits,
) -> Result<(), WriteError> {
    let (location, shown) = (job.location(), &*job.location().shown);
    job.check_state_before(&commit_notes::read_known(location)?)?;
    let name = part_name(&job.intent, &job.target.extension());
    disk::rename(
        &job.temporary(Temporary::Rows),
        &location.folder.join(&name),
    )
    .map_err(WriteError::io(shown))?;
    let old: Vec<Part> = job
        .known
        .parts
        .iter()
        .filter(|part| part.name != name)
        .cloned()
        .collect();
    let replaces = job.intent.write.mode == WriteMode::Replace;
    let mut files = if replaces { Vec::new() } else { old.clone() };
    files.push(Part {
        name,
        rows: Some(rows.rows),
        bytes: rows.bytes,
    });
    let bytes = commit_notes::manifest_bytes(files, commits, shown)?;
    fail::fail_point!("files::before_commit");
    disk::replace(&location.path(), &job.temporary(Temporary::Note), &bytes)
        .map_err(WriteError::io(shown))?;
    fail::fail_point!("files::after_commit");
    if replaces {
        for part in old {
            remove(&location.folder.join(part.name));
        }
    }
    Ok(())
}

/// After the commit nothing may fail any more; the next write removes what stays.
fn remove(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!("an old file could not be removed: {error}"),
    }
}

#[async_trait]
impl Prepared for FilesPrepared {
    fn stats(&self) -> PreparedStats {
        match (&self.written, &self.job.adopted) {
            (Some((rows, whole)), _) => stats(&self.job, rows, whole.as_ref()),
            (None, Some(adopted)) => adopted.stats,
            (None, None) => PreparedStats::default(),
        }
    }

    async fn candidate(&self, scope: CandidateRows) -> Result<Candidate> {
        self.reading
            .candidate(&self.job, self.readable(scope))
            .await
    }

    async fn commit(self: Box<Self>, how: Commit) -> Result<Receipt> {
        let this = *self;
        if let Some(committed) = this.job.adopted.clone() {
            return Ok(Receipt {
                committed,
                adopted: true,
            });
        }
        let Some((rows, whole)) = this.written else {
            return Err(WriteError::Misused {
                reason: "has nothing to commit",
            }
            .into());
        };
        let memory = &this.reading.source.context.memory;
        let most_bytes = memory.limit_bytes() / 4;
        let held = match &this.job.location().bucket {
            None => None,
            Some(place) => {
                let bytes = whole.as_ref().unwrap_or(&rows).bytes;
                match place.client().held_bytes(bytes).min(most_bytes) {
                    // Rows may hold what is wanted: the little that parts take is not waited for.
                    bytes if bytes <= HELD_BYTES => memory.hold(bytes).now_or_never(),
                    bytes => Some(memory.lease("a file on its way to a bucket", bytes).await?),
                }
            }
        };
        let committed = commit(&this.job, rows, whole, how, most_bytes).await?;
        drop(held);
        drop(this.claim);
        Ok(Receipt {
            committed,
            adopted: false,
        })
    }

    async fn discard(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
