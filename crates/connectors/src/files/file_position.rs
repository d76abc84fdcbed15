//! Which files an incremental read has read before.
//!
//! Promise: a file is known by its name and its contents, not by its times; an object in a bucket by its key
//! and its version. A known one is not read again, a text file that only grew is read on from where it ended
//! (`grown.rs`), a new or changed one is read whole. A file's position counts how often it was read, so that
//! positions move forward whatever becomes of its size, and stands only for what was read: a file that is replaced
//! meanwhile stops the read. It does not know what is in a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use serde_json::Value;
use towpath_vocab::{Position, SplitId, SplitPosition};

use super::error::FilesError;
use super::file_stat::FileStat;
use super::find::InputFile;
use super::fingerprint;
use super::grown::{NewText, ReadFile};
use super::job::{How, Job, Settled};
use super::place::Place;
use super::record_end::last_record_end;
use super::rows::RecordFormat;

/// What is known of a file once it is read, and its metadata before its contents were hashed.
#[derive(Clone, Debug)]
pub(crate) struct FilePosition {
    order: u64,
    what: What,
    /// `None` of an object, each byte of which is read from the version that the position names.
    stat: Option<FileStat>,
}

/// What a position stands for.
#[derive(Clone, Debug)]
enum What {
    /// All of a file.
    Whole(Value),
    /// The records of a text file up to a place.
    Text(ReadFile),
}

/// The identity of a whole file with its name: the form in which it was stored before `grown.rs`, and is for files
/// that cannot be read on.
fn content(file: &InputFile, length: u64) -> Result<Value, FilesError> {
    let head = InputFile {
        length: Some(length),
        ..file.clone()
    };
    let content = fingerprint::of_files(std::slice::from_ref(&head))?.0;
    Ok(Value::String(content))
}

impl FilePosition {
    /// The position, if what was read is what it stands for; else it fails, worth a retry. Other rights, names, times
    /// or a copy in its place change nothing of it. With `left_open` a quoted field was open at the end
    /// of what was read.
    pub(crate) fn reached(
        &self,
        file: &InputFile,
        left_open: bool,
    ) -> Result<SplitPosition, FilesError> {
        let changing = || FilesError::Changing {
            path: file.object.clone(),
        };
        let Place::Local(path) = &file.place else {
            return Ok(self.position(self.what.resume(left_open)));
        };
        if let Some(then) = &self.stat {
            let now = FileStat::of(file, path)?;
            if !then.is_untouched(&now)
                && !self.what.is_there(file, path, (then.length, now.length))?
            {
                return Err(changing());
            }
            // What looks like lines behind an open quote may be text of a cell that is written now.
            if left_open && now.length > file.length.unwrap_or(now.length) {
                return Err(changing());
            }
        }
        Ok(self.position(self.what.resume(left_open)))
    }

    fn position(&self, resume: Value) -> SplitPosition {
        SplitPosition {
            order: self.order,
            resume,
        }
    }
}

impl What {
    fn resume(&self, left_open: bool) -> Value {
        match self {
            Self::Whole(content) => content.clone(),
            Self::Text(read) => read.stored(left_open),
        }
    }

    /// Whether the bytes that were read are still there.
    fn is_there(
        &self,
        file: &InputFile,
        path: &Path,
        (then, now): (u64, u64),
    ) -> Result<bool, FilesError> {
        match self {
            Self::Whole(before) => Ok(then == now && content(file, then)? == *before),
            Self::Text(read) => {
                let there = File::open(path).and_then(|file| read.is_beginning_of(&file, now));
                there.map_err(|source| FilesError::Read {
                    path: file.object.clone(),
                    source,
                })
            }
        }
    }
}

/// Leaves what `from` has read out of a settled read, and gives the position of each file that stays, in
/// the order of the jobs.
pub(crate) fn leave_out(
    settled: &mut Settled,
    mut texts: BTreeMap<String, NewText>,
    from: &Position,
    may_repeat: bool,
) -> Result<Vec<FilePosition>, FilesError> {
    let (mut jobs, mut positions) = (Vec::new(), Vec::new());
    for mut job in std::mem::take(&mut settled.jobs) {
        let object = job.file.object.clone();
        let before = from.get(&SplitId(object.clone()));
        let text = texts.remove(&object).filter(|_| has_lines(&job));
        let stat = match (&text, &job.file.place) {
            (Some(text), _) => Some(text.stat.clone()),
            (None, Place::Local(path)) => Some(FileStat::of(&job.file, path)?),
            (None, Place::Object(_)) => None,
        };
        let (what, is_other) = match (text, job.file.place.identity()) {
            (Some(text), _) => match of_text(&mut job, text, before, &mut settled.notes)? {
                Some(found) => found,
                None => continue,
            },
            (None, Some(identity)) => (What::Whole(identity.into()), before.is_some()),
            (None, None) => {
                job.file.length = None;
                let length = stat.as_ref().map_or(0, |stat| stat.length);
                (What::Whole(content(&job.file, length)?), before.is_some())
            }
        };
        if let What::Whole(content) = &what
            && before.is_some_and(|before| before.resume == *content)
        {
            continue;
        }
        if is_other {
            settled.notes.push(changed(&object, may_repeat));
        }
        positions.push(FilePosition {
            order: before.map_or(0, |before| before.order) + 1,
            what,
            stat,
        });
        jobs.push(job);
    }
    settled.jobs = jobs;
    Ok(positions)
}

/// What is read of a text file that can be read on; `None` if nothing is new.
fn of_text(
    job: &mut Job,
    mut text: NewText,
    before: Option<&SplitPosition>,
    notes: &mut Vec<String>,
) -> Result<Option<(What, bool)>, FilesError> {
    let is_older = before.is_some_and(|before| !ReadFile::is_stored(&before.resume));
    let is_same = match before {
        Some(before) if is_older => content(&job.file, text.stat.length)? == before.resume,
        _ => false,
    };
    if is_same {
        // It is stored in the new form with whatever else is read.
        text.from = text.bytes();
    }
    let is_left = text.is_known || !end_at_record(job, &mut text)?;
    notes.append(&mut text.notes);
    if is_left {
        return Ok(None);
    }
    (job.file.start, job.file.length) = (text.from, Some(text.bytes()));
    let is_other = text.is_other || (is_older && !is_same);
    Ok(Some((What::Text(text.then), is_other)))
}

/// Leaves out a last record that is not whole yet, of a file that is read on; false if nothing is left then.
fn end_at_record(job: &Job, text: &mut NewText) -> Result<bool, FilesError> {
    let (How::Text { layout, .. }, Place::Local(path)) = (&job.how, &job.file.place) else {
        return Ok(true);
    };
    let RecordFormat::Csv { dialect, .. } = &layout.shape else {
        return Ok(true);
    };
    if text.from == 0 || text.from >= text.bytes() {
        return Ok(true);
    }
    let end = last_record_end(path, dialect, (text.from, text.bytes()));
    let end = end.map_err(|source| FilesError::Read {
        path: job.file.object.clone(),
        source,
    })?;
    text.end_at(&job.file, path, end)
}

fn changed(object: &str, may_repeat: bool) -> String {
    let before = match may_repeat {
        true => "and written by key",
        false => "and without a `key` its earlier rows are in the table twice",
    };
    format!("`{object}` has changed since it was read: all of it is read again, {before}")
}

/// Whether its records end where its lines do, but for those in quotes.
fn has_lines(job: &Job) -> bool {
    let How::Text { layout, .. } = &job.how else {
        return false;
    };
    match &layout.shape {
        RecordFormat::Csv { dialect, .. } => dialect.newline == b'\n',
        RecordFormat::Json { lines, .. } => *lines,
        RecordFormat::Lines { .. } => true,
        RecordFormat::Xml { .. } => false,
    }
}
