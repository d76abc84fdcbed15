//! The commit of a file in a bucket: one put, under the condition that nobody else was first.
//!
//! Promise: before that put readers see the old object and `last` the old token, after it the new ones; there is no
//! third state, also if the put is carried out after it was given up. A file: its note is put first, under a name of
//! its own, and the object names it by its mark. A folder: a part is put under a name of its own, and the
//! put of the manifest is the commit. What an attempt leaves is removed after a later commit, when nothing that was
//! sent before can arrive: objects that were there before a commit belong to attempts whose condition does not
//! hold any more. Read next: `bucket_place.rs`, `files/bucket/put.rs`.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path as Key;
use towpath_vocab::WriteMode;

use super::begin::Job;
use super::bucket_place::BucketPlace;
use super::commit_notes::{self, Commits, Known, Part};
use super::error::{Result, WriteError};
use super::location::Temporary;
use super::parquet::write_note;
use super::prepared::rows_after;
use super::writer::blocking;
use super::written::Written;
use crate::files::bucket::put::{MustHold, Outcome, Put, Seen};
use crate::files::options::Format;

/// What no other put has.
fn new_mark() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn changed<T>(job: &Job) -> Result<T> {
    Err(WriteError::Changed {
        path: job.location().shown.clone(),
    })
}

/// Puts the file in its place, with its note.
pub(super) async fn commit_file(
    job: &Arc<Job>,
    place: &BucketPlace,
    (written, is_whole): (&Written, bool),
    commits: Commits,
    most_bytes: u64,
) -> Result<()> {
    let (client, shown) = (place.client(), job.location().shown.clone());
    let file = job.temporary(match is_whole {
        true => Temporary::Whole,
        false => Temporary::Rows,
    });
    let bytes = written_anew(job, &file, commits.clone()).await?;
    let rows = match is_whole {
        true => rows_after(job, written.rows),
        false => Some(written.rows),
    };
    let rows = match (job.target.format, is_whole) {
        (Format::Parquet, true) => Some(written.rows),
        _ => rows,
    };
    let mark = new_mark();
    let note_key = place.note_key(&mark)?;
    let note = commit_notes::object_note(bytes, rows, commits, &shown)?;
    put(place, (&note_key, &mark, None), note).await?;
    let seen = job.known.seen.as_ref();
    let old = place.old_notes(&mark, seen.and_then(|seen| seen.mark.as_deref()));
    // What cannot be found now is found by a later commit.
    let old = old.await.unwrap_or_default();
    let key = place.own_key()?;
    // A large file is not sent in vain. ETags of equal bytes may be equal; marks are not.
    if client.look(&key).await?.as_ref() != seen {
        client.remove(&note_key).await;
        return changed(job);
    }
    fail::fail_point!("files::before_commit");
    let sent = Put {
        key: &key,
        mark: &mark,
        over: seen,
    };
    let how = MustHold {
        tried_below: place.root(),
        most_bytes,
    };
    let outcome = client.put_file(sent, &file, Some(how)).await?;
    if outcome == Outcome::Overtaken {
        client.remove(&note_key).await;
        return changed(job);
    }
    fail::fail_point!("files::after_commit");
    for note in old {
        client.remove(&note).await;
    }
    Ok(())
}

/// Notes the commits in a Parquet file, too: a copy of it on a disk is recognised. Its size.
async fn written_anew(job: &Arc<Job>, file: &std::path::Path, commits: Commits) -> Result<u64> {
    let (asked, file) = (Arc::clone(job), file.to_path_buf());
    let work = move || {
        let shown = &*asked.location().shown;
        if asked.target.format == Format::Parquet {
            write_note(&file, shown, commit_notes::footer_text(commits, shown)?)?;
        }
        let metadata = std::fs::metadata(&file).map_err(WriteError::io(shown))?;
        Ok(metadata.len())
    };
    blocking(job, work).await
}

/// Puts a part and then the manifest that names it.
pub(super) async fn commit_part(
    job: &Arc<Job>,
    place: &BucketPlace,
    rows: &Written,
    commits: Commits,
) -> Result<()> {
    let (client, shown) = (place.client(), &*job.location().shown);
    let now = place.known_folder().await?;
    if now.seen != job.known.seen {
        return changed(job);
    }
    if job.known.seen.is_some() {
        job.check_state_before(&now)?;
    }
    // Without a manifest nothing says whose they are.
    let left = match now.seen {
        Some(_) => left_by_others(place, &now, &job.known.parts)?,
        None => Vec::new(),
    };
    let seen = manifest(job, place, now.seen).await?;
    let mark = new_mark();
    let short = mark.get(..8).unwrap_or_default();
    let generation = job.intent.generation.0;
    let name = format!("part-{generation:06}-{short}.{}", job.target.extension());
    let part_key = place.key(&name)?;
    let sent = Put {
        key: &part_key,
        mark: &mark,
        over: None,
    };
    let file = job.temporary(Temporary::Rows);
    if client.put_file(sent, &file, None).await? == Outcome::Overtaken {
        return changed(job);
    }
    let replaces = job.intent.write.mode == WriteMode::Replace;
    let old = job.known.parts.clone();
    let mut files = if replaces { Vec::new() } else { old.clone() };
    files.push(Part {
        name,
        rows: Some(rows.rows),
        bytes: rows.bytes,
    });
    let bytes = commit_notes::manifest_bytes(files, commits, shown)?;
    fail::fail_point!("files::before_commit");
    let key = place.own_key()?;
    if put(place, (&key, &mark, Some(&seen)), bytes).await? == Outcome::Overtaken {
        client.remove(&part_key).await;
        return changed(job);
    }
    fail::fail_point!("files::after_commit");
    for key in left {
        client.remove(&key).await;
    }
    if replaces {
        for part in old {
            client.remove(&place.key(&part.name)?).await;
        }
    }
    Ok(())
}

/// The parts that no commit has made: of attempts that ended, or whose condition will not hold.
fn left_by_others(place: &BucketPlace, now: &Known, known: &[Part]) -> Result<Vec<Key>> {
    let present = now.present.iter().flatten().map(|(name, _)| name);
    present
        .filter(|name| !known.iter().any(|part| part.name == **name))
        .map(|name| place.key(name).map_err(WriteError::Read))
        .collect()
}

/// The manifest that will be replaced. A folder gets one before its first part, so that a file it does not name
/// is no part of the table.
async fn manifest(job: &Job, place: &BucketPlace, seen: Option<Seen>) -> Result<Seen> {
    if let Some(seen) = seen {
        return Ok(seen);
    }
    let (key, mark) = (place.own_key()?, new_mark());
    let shown = &*job.location().shown;
    let bytes = commit_notes::manifest_bytes(job.known.parts.clone(), Commits::new(), shown)?;
    if put(place, (&key, &mark, None), bytes).await? == Outcome::Overtaken {
        return changed(job);
    }
    let there = place.client().look(&key).await?;
    match there.filter(|there| there.mark.as_deref() == Some(&*mark)) {
        Some(there) => Ok(there),
        None => changed(job),
    }
}

async fn put(
    place: &BucketPlace,
    (key, mark, over): (&Key, &str, Option<&Seen>),
    bytes: Vec<u8>,
) -> Result<Outcome> {
    let sent = Put { key, mark, over };
    Ok(place.client().put(sent, Bytes::from(bytes)).await?)
}
