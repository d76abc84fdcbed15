//! What of a text file an incremental read has read before, and what of it is new.
//!
//! Promise: a file that begins with all that was read of it has only grown: it is read on from there, each record
//! once. So is a file that took another name: what was read is known by its bytes, and the old name is gone or has
//! another file. A last line without a line end may be half of one: the rules are at `is_taken`. All other changes mean that the file is another one. It holds for files of this machine that are not packed, whose records are lines of UTF-8.
//! Read next: `file_position.rs`.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use encoding_rs::{Encoding, UTF_8};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use towpath_vocab::{Position, SplitId};

use super::encodings;
use super::error::FilesError;
use super::file_stat::FileStat;
use super::find::InputFile;
use super::fingerprint;
use super::options::{Compression, Format, Options};
use super::place::Place;

/// The form of what is stored; version 1 was a text with one checksum of the name and the whole file.
const VERSION: u64 = 2;
/// So many bytes at both ends of what was read show most other files before all of them are compared.
const END_BYTES: u64 = 1024;
/// Contents that had a name, and were read, and were not found under another one yet.
const MOST_EARLIER: usize = 8;

/// Bytes that were read, from the first on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ReadBytes {
    bytes: u64,
    sha256: String,
    /// Checksums of their first and last bytes.
    first: String,
    last: String,
    /// Where their last line begins, if that has no line end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unended: Option<u64>,
    /// A quoted field was open at the end: what follows may belong to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    left_open: bool,
}

/// What is stored about a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReadFile {
    version: u64,
    read: ReadBytes,
    /// What had this name before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<ReadBytes>,
}

impl ReadFile {
    /// Whether this is what was stored about a file.
    pub(super) fn is_stored(stored: &Value) -> bool {
        Self::of(stored).is_some()
    }

    fn of(stored: &Value) -> Option<Self> {
        let read: Option<Self> = Self::deserialize(stored).ok();
        read.filter(|read| read.version == VERSION)
    }

    /// As it is stored.
    pub(super) fn stored(&self, left_open: bool) -> Value {
        let mut read = self.clone();
        // Where nothing was read, it is as it was.
        read.read.left_open |= left_open;
        json!(read)
    }

    /// Whether a file of this length begins with what was read, its last line as it was.
    pub(super) fn is_beginning_of(&self, file: &File, length: u64) -> io::Result<bool> {
        let goes_on = self.read.unended.is_some() && go_on(file, &self.read)? < self.read.bytes;
        let is_longer = length > self.read.bytes;
        Ok(!(is_longer && goes_on) && begins_with(file, length, &self.read)?)
    }
}

/// What of a file is read now.
#[derive(Clone, Debug)]
pub(super) struct NewText {
    /// Where the first record starts that was not read.
    pub(super) from: u64,
    /// What is known of the file once all of it up to here is read.
    pub(super) then: ReadFile,
    /// What a person should know.
    pub(super) notes: Vec<String>,
    /// The file before it was looked at.
    pub(super) stat: FileStat,
    /// Nothing of it is new, and its position says so.
    pub(super) is_known: bool,
    /// What was read of it, if it begins with that.
    begin: Option<ReadBytes>,
    /// That was under another name.
    is_moved: bool,
    /// It had this name before, with other contents that are nowhere else.
    pub(super) is_other: bool,
}

impl NewText {
    /// So many bytes of the file will have been read.
    pub(super) fn bytes(&self) -> u64 {
        self.then.read.bytes
    }

    /// Reads on only up to this place, where the last whole record ends; false if nothing is left then.
    pub(super) fn end_at(
        &mut self,
        file: &InputFile,
        path: &Path,
        end: u64,
    ) -> Result<bool, FilesError> {
        if end >= self.then.read.bytes {
            return Ok(true);
        }
        self.notes.push(format!(
            "the last record of `{}` is not complete yet: it is read when it is",
            file.object
        ));
        if end <= self.from {
            // The position of a file that moved goes under the new name.
            if let Some(begin) = &self.begin {
                (self.from, self.then.read) = (begin.bytes, begin.clone());
            }
            return Ok(self.is_moved);
        }
        let read = File::open(path).and_then(|open| read_bytes(&open, end));
        self.then.read = read.map_err(unreadable(&file.object))?;
        Ok(true)
    }
}

/// Files, and what of those is read whose records can be told apart.
#[derive(Default)]
pub(super) struct Looked {
    pub(super) files: Vec<InputFile>,
    pub(super) texts: BTreeMap<String, NewText>,
}

/// A file that can be read on. There may be more of them than a process may have open.
struct Text {
    at: usize,
    path: PathBuf,
    stat: FileStat,
    length: u64,
    before: Option<ReadFile>,
    /// It begins with what was read before, under this name or another one.
    begins_with: Option<ReadBytes>,
}

/// Looks at the files of an incremental read; of those that can be read on, only whole records count.
pub(super) fn look(
    mut files: Vec<InputFile>,
    from: &Position,
    options: &Options,
) -> Result<Looked, FilesError> {
    let mut texts = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let Some(path) = path_of_lines(file, options.encoding)? else {
            continue;
        };
        let before = from.get(&SplitId(file.object.clone()));
        let before = before.and_then(|before| ReadFile::of(&before.resume));
        texts.push(Text::of(at, file, path, before)?);
    }
    let found = find_moved(&mut texts, &files, from)?;
    let mut looked = BTreeMap::new();
    for text in texts {
        let Some(file) = files.get_mut(text.at) else {
            continue;
        };
        let object = file.object.clone();
        let open = text.open(file)?;
        let new = new_text((&text, &open), file, &found, options);
        let new = new.map_err(unreadable(&object))?;
        // What was found of the beginning must be true of the bytes that are read now.
        let begin = text.begins_with.as_ref().filter(|_| !new.is_known);
        if let Some(read) = begin
            && !begins_with(&open, text.length, read).map_err(unreadable(&object))?
        {
            return Err(FilesError::Changing { path: object });
        }
        file.length = Some(new.then.read.bytes);
        looked.insert(object, new);
    }
    Ok(Looked {
        files,
        texts: looked,
    })
}

fn unreadable(object: &str) -> impl FnOnce(io::Error) -> FilesError {
    let path = object.to_owned();
    move |source| FilesError::Read { path, source }
}

/// The path of a file whose records are lines of UTF-8.
fn path_of_lines<'f>(
    file: &'f InputFile,
    declared: Option<&'static Encoding>,
) -> Result<Option<&'f Path>, FilesError> {
    let has_lines = matches!(file.format, Format::Csv | Format::Jsonl) || file.format.is_lines();
    let Place::Local(path) = &file.place else {
        return Ok(None);
    };
    if !has_lines || file.compression != Compression::None {
        return Ok(None);
    }
    let (settled, _) = encodings::settle(file.clone(), declared)?;
    let is_utf8 = settled.encoding.is_none_or(|encoding| encoding == UTF_8);
    Ok(is_utf8.then_some(path))
}

/// What was found of contents whose old name has another file.
#[derive(Default)]
struct Moved {
    /// The file's place, and the name it had.
    names: BTreeMap<usize, String>,
    claimed: HashSet<String>,
}

/// Whether a program that rotates logs gives a file this name after that one: `app.log.1` after `app.log`,
/// `app.log.3` after `app.log.2`. Both are in one folder.
fn is_rotated_name(old: &str, new: &str) -> bool {
    let behind = |name: &str| -> Option<u64> {
        let (_, number) = name.rsplit_once('.')?;
        number.parse().ok()
    };
    let stem = |name: &str| name.rsplit_once('.').map(|(stem, _)| stem.to_owned());
    let is_longer = new
        .strip_prefix(old)
        .is_some_and(|rest| rest.starts_with(['.', '-', '_']) && !rest.contains('/'));
    let is_later = match (behind(old), behind(new)) {
        (Some(before), Some(after)) => before < after && stem(old) == stem(new),
        _ => false,
    };
    is_longer || is_later
}

fn folder(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// What was read, and is not under its name any more.
struct Candidate {
    name: String,
    read: ReadBytes,
    /// Its name has another file now.
    is_replaced: bool,
}

/// Contents that may be under another name now.
fn candidates(texts: &[Text], files: &[InputFile], from: &Position) -> Vec<Candidate> {
    let named = |is_kept: bool| -> HashSet<&str> {
        let texts = texts.iter();
        texts
            .filter(|text| text.begins_with.is_some() == is_kept)
            .filter_map(|text| files.get(text.at))
            .map(|file| file.object.as_str())
            .collect()
    };
    let (kept, replaced) = (named(true), named(false));
    let mut candidates = Vec::new();
    for (name, position) in from.splits() {
        let Some(known) = ReadFile::of(&position.resume) else {
            continue;
        };
        let mut add = |read: ReadBytes, is_replaced| {
            let name = name.0.clone();
            candidates.push(Candidate {
                name,
                read,
                is_replaced,
            });
        };
        if !kept.contains(name.0.as_str()) {
            add(known.read, replaced.contains(name.0.as_str()));
        }
        for earlier in known.earlier {
            add(earlier, true);
        }
    }
    // The longest first: of two that a file begins with, one is the beginning of the other.
    candidates.retain(|candidate| candidate.read.bytes > 0);
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.read.bytes));
    candidates
}

/// Looks for contents that were read under a name which has another file now, or is gone in the way of a rotation.
/// A copy beside the file itself is another file.
fn find_moved(
    texts: &mut [Text],
    files: &[InputFile],
    from: &Position,
) -> Result<Moved, FilesError> {
    let mut moved = Moved::default();
    let candidates = candidates(texts, files, from);
    for at in 0..texts.len() {
        let Some(text) = texts.get(at).filter(|text| text.begins_with.is_none()) else {
            continue;
        };
        let Some(file) = files.get(text.at) else {
            continue;
        };
        let may_be = |candidate: &&Candidate| {
            let (old, new) = (candidate.name.as_str(), file.object.as_str());
            // What a name had before and has again was changed, and changed back.
            old != new
                && folder(old) == folder(new)
                && text.length >= candidate.read.bytes
                && (candidate.is_replaced || is_rotated_name(old, new))
        };
        let mut open = None;
        for candidate in candidates.iter().filter(may_be) {
            if moved.claimed.contains(&candidate.read.sha256) {
                continue;
            }
            let open = match &open {
                Some(open) => open,
                None => open.insert(text.open(file)?),
            };
            let begins = begins_with(open, text.length, &candidate.read);
            if !begins.map_err(unreadable(&file.object))? || is_kept(texts, files, &candidate.read)?
            {
                continue;
            }
            moved.names.insert(text.at, candidate.name.clone());
            moved.claimed.insert(candidate.read.sha256.clone());
            if let Some(text) = texts.get_mut(at) {
                text.begins_with = Some(candidate.read.clone());
            }
            break;
        }
    }
    Ok(moved)
}

/// Whether a file that is known under its own name begins with these bytes.
fn is_kept(texts: &[Text], files: &[InputFile], read: &ReadBytes) -> Result<bool, FilesError> {
    for text in texts {
        let own = text.before.as_ref().filter(|_| text.begins_with.is_some());
        let is_longer = own.is_some_and(|own| own.read.bytes >= read.bytes);
        let Some(file) = files.get(text.at).filter(|_| is_longer) else {
            continue;
        };
        let begins = begins_with(&text.open(file)?, text.length, read);
        if begins.map_err(unreadable(&file.object))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn new_text(
    (text, open): (&Text, &File),
    file: &InputFile,
    moved: &Moved,
    options: &Options,
) -> io::Result<NewText> {
    let read = text.begins_with.as_ref();
    let old_name = moved.names.get(&text.at);
    let replaced = text.before.as_ref().filter(|_| read.is_none());
    // A log was begun anew: what it had is under another name.
    let is_begun = replaced.is_some_and(|before| moved.claimed.contains(&before.read.sha256));
    let known = read.map_or(0, |read| read.bytes);
    let has_grown = read.is_some() && text.length > known;
    // What stands behind an open quote is of the record before.
    let is_torn = has_grown && read.is_some_and(|read| read.left_open);
    let from = match read {
        Some(read) if has_grown && !is_torn => go_on(open, read)?,
        Some(_) if !is_torn => known,
        _ => 0,
    };
    let ended = last_line_end(open, from, text.length)?;
    let is_unended = ended < text.length;
    let is_taken = !is_unended
        || is_taken(
            open,
            ended..text.length,
            (file.format, has_grown || is_begun),
            options,
        )?;
    let to = if is_taken { text.length } else { ended };
    let has_new = to > known || read.is_none() || is_torn;
    let mut notes = Vec::new();
    if !is_taken {
        notes.push(format!(
            "the last line of `{}` has no line end yet: it is read when it has one",
            file.object
        ));
    }
    if has_new && from < known && !is_torn {
        notes.push(format!(
            "the last line of `{}` was not complete when it was read: it is read again",
            file.object
        ));
    }
    if let Some(name) = old_name {
        notes.push(format!(
            "`{}` begins with all that was read of `{name}`: it is read on from there",
            file.object
        ));
    }
    let now = match read {
        Some(read) if !has_new => read.clone(),
        _ => ReadBytes {
            unended: (is_unended && is_taken).then_some(ended),
            ..read_bytes(open, to)?
        },
    };
    let is_lost = |read: &ReadBytes| read.bytes > 0 && !moved.claimed.contains(&read.sha256);
    let before = text.before.as_ref();
    let had = before.filter(|_| read.is_none() || old_name.is_some());
    let is_other = is_torn || had.is_some_and(|had| old_name.is_none() && is_lost(&had.read));
    let earlier = had.map(|had| had.read.clone()).into_iter();
    let earlier = earlier.chain(before.into_iter().flat_map(|before| before.earlier.clone()));
    Ok(NewText {
        from: if has_new { from } else { known },
        then: ReadFile {
            version: VERSION,
            read: now,
            earlier: earlier.filter(is_lost).take(MOST_EARLIER).collect(),
        },
        notes,
        stat: text.stat.clone(),
        // The position of a file that moved goes under the new name.
        is_known: !has_new && old_name.is_none(),
        begin: read.cloned(),
        is_moved: old_name.is_some(),
        is_other,
    })
}

impl Text {
    fn of(
        at: usize,
        file: &InputFile,
        path: &Path,
        before: Option<ReadFile>,
    ) -> Result<Self, FilesError> {
        let mut text = Self {
            at,
            path: path.to_path_buf(),
            stat: FileStat::of(file, path)?,
            length: 0,
            before,
            begins_with: None,
        };
        let open = text.open(file)?;
        let length = open.metadata().map(|found| found.len());
        text.length = length.map_err(unreadable(&file.object))?;
        if let Some(before) = &text.before {
            let begins = begins_with(&open, text.length, &before.read);
            let begins = begins.map_err(unreadable(&file.object))?;
            text.begins_with = begins.then(|| before.read.clone());
        }
        Ok(text)
    }

    /// The file, if the path still leads to it.
    fn open(&self, file: &InputFile) -> Result<File, FilesError> {
        let open = File::open(&self.path).map_err(unreadable(&file.object))?;
        match self.stat.is_of(&open).map_err(unreadable(&file.object))? {
            true => Ok(open),
            false => Err(FilesError::Changing {
                path: file.object.clone(),
            }),
        }
    }
}

/// The end of the last line end in a part of a file; its start if there is none.
fn last_line_end(file: &File, from: u64, length: u64) -> io::Result<u64> {
    let mut buffer = vec![0; 64 << 10];
    let mut end = length;
    while end > from {
        let start = end.saturating_sub(buffer.len() as u64).max(from);
        let size = usize::try_from(end - start).unwrap_or(buffer.len());
        let block = buffer.get_mut(..size).unwrap_or_default();
        file.read_exact_at(block, start)?;
        if let Some(at) = memchr::memrchr(b'\n', block) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(from)
}

/// Whether a last line without a line end is read. An object of JSON is complete when it is closed. A line of a
/// log waits, because programs write a log in pieces. A file of other formats often has no line end at its end:
/// there the line waits only in a file that grows, or was begun anew.
fn is_taken(
    mut file: &File,
    line: Range<u64>,
    (format, grows): (Format, bool),
    options: &Options,
) -> io::Result<bool> {
    let bytes = line.end - line.start;
    // It is rejected, as in a file that does not grow.
    if bytes > options.max_record_bytes as u64 {
        return Ok(true);
    }
    match format {
        Format::Csv | Format::Fixed => Ok(!grows),
        Format::Jsonl => {
            file.seek(SeekFrom::Start(line.start))?;
            let text = BufReader::new(file.take(bytes));
            let whole = serde_json::from_reader::<_, BTreeMap<String, IgnoredAny>>(text);
            Ok(whole.is_ok())
        }
        _ => Ok(false),
    }
}

/// Where reading goes on in a longer file, behind what was read.
fn go_on(file: &File, read: &ReadBytes) -> io::Result<u64> {
    let known = read.bytes;
    let Some(line) = read.unended else {
        return Ok(known);
    };
    let mut next = [0; 2];
    let count = read_at_most(file, &mut next, known)?;
    Ok(match next.get(..count) {
        Some([b'\n', ..]) => known + 1,
        Some([b'\r', b'\n']) => known + 2,
        // A line end of which half is there.
        Some([b'\r']) => known,
        _ => line,
    })
}

/// Whether a file begins with these bytes.
fn begins_with(file: &File, length: u64, read: &ReadBytes) -> io::Result<bool> {
    if length < read.bytes || ends_of(file, read.bytes)? != (read.first.clone(), read.last.clone())
    {
        return Ok(false);
    }
    Ok(fingerprint::of_bytes(file, read.bytes)? == read.sha256)
}

/// So many bytes of a file, from the first on.
fn read_bytes(file: &File, bytes: u64) -> io::Result<ReadBytes> {
    let (first, last) = ends_of(file, bytes)?;
    Ok(ReadBytes {
        bytes,
        sha256: fingerprint::of_bytes(file, bytes)?,
        first,
        last,
        unended: None,
        left_open: false,
    })
}

fn ends_of(file: &File, bytes: u64) -> io::Result<(String, String)> {
    let size = bytes.min(END_BYTES);
    let part = |from| -> io::Result<String> {
        let mut part = vec![0; usize::try_from(size).unwrap_or(0)];
        file.read_exact_at(&mut part, from)?;
        let hash = Sha256::digest(&part);
        Ok(fingerprint::hex(hash.get(..8).unwrap_or_default()))
    };
    Ok((part(0)?, part(bytes - size)?))
}

fn read_at_most(file: &File, to: &mut [u8], from: u64) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = to.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, from + count as u64) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}
