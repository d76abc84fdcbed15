//! What of a text file an incremental read has read before, and what of it is new.
//!
//! Promise: a file that begins with all that was read of it has only grown: it is read on from there, each record
//! once. So is a file that took another name: what was read is known by its bytes, and the old name is gone or has
//! another file. A last line without a line end may be half of one: the rules are at `is_taken`. All other changes mean that the file is another one. It holds for files of this machine that are not packed, whose records are lines of UTF-8.
//! Read next: `file_position.rs`.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use encoding_rs::{Encoding, UTF_8};
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
        read.read.left_open = left_open;
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
    /// It had this name before, with other contents that are nowhere else.
    pub(super) is_other: bool,
}

/// Files, and what of those is read whose records can be told apart.
#[derive(Default)]
pub(super) struct Looked {
    pub(super) files: Vec<InputFile>,
    pub(super) texts: BTreeMap<String, NewText>,
}

/// A file that can be read on.
struct Text {
    at: usize,
    stat: FileStat,
    file: File,
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
        let stat = FileStat::of(file, path)?;
        let opened = File::open(path).and_then(|opened| Text::open(at, (opened, stat), before));
        texts.push(opened.map_err(unreadable(&file.object))?);
    }
    let found = find_moved(&mut texts, &files, from)?;
    let mut looked = BTreeMap::new();
    for text in texts {
        let file = files.get(text.at).map(|file| (file, file.object.clone()));
        let Some((file, object)) = file else { continue };
        let new = new_text(&text, file, &found, options).map_err(unreadable(&object))?;
        if let Some(file) = files.get_mut(text.at) {
            file.length = Some(new.then.read.bytes);
        }
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

/// Looks for contents that were read under a name that is gone, or has another file.
fn find_moved(
    texts: &mut [Text],
    files: &[InputFile],
    from: &Position,
) -> Result<Moved, FilesError> {
    let mut moved = Moved::default();
    let kept: HashSet<&str> = texts
        .iter()
        .filter(|text| text.begins_with.is_some())
        .filter_map(|text| files.get(text.at))
        .map(|file| file.object.as_str())
        .collect();
    let mut candidates: Vec<(String, ReadBytes)> = Vec::new();
    for (name, position) in from.splits() {
        let Some(read) = ReadFile::of(&position.resume) else {
            continue;
        };
        let of_name = |read: ReadBytes| (name.0.clone(), read);
        if !kept.contains(name.0.as_str()) {
            candidates.push(of_name(read.read));
        }
        candidates.extend(read.earlier.into_iter().map(of_name));
    }
    // The longest first: of two that a file begins with, one is the beginning of the other.
    candidates.retain(|(_, read)| read.bytes > 0);
    candidates.sort_by_key(|(_, read)| std::cmp::Reverse(read.bytes));
    for text in texts.iter_mut().filter(|text| text.begins_with.is_none()) {
        let Some(file) = files.get(text.at) else {
            continue;
        };
        for (name, read) in &candidates {
            // What a name had before and has again was changed, and changed back.
            if *name == file.object || moved.claimed.contains(&read.sha256) {
                continue;
            }
            let begins = begins_with(&text.file, text.length, read);
            if begins.map_err(unreadable(&file.object))? {
                moved.names.insert(text.at, name.clone());
                moved.claimed.insert(read.sha256.clone());
                text.begins_with = Some(read.clone());
                break;
            }
        }
    }
    Ok(moved)
}

fn new_text(
    text: &Text,
    file: &InputFile,
    moved: &Moved,
    options: &Options,
) -> io::Result<NewText> {
    let read = text.begins_with.as_ref();
    let old_name = moved.names.get(&text.at);
    let known = read.map_or(0, |read| read.bytes);
    let has_grown = read.is_some() && text.length > known;
    // What stands behind an open quote is of the record before.
    let is_torn = has_grown && read.is_some_and(|read| read.left_open);
    let from = match read {
        Some(read) if has_grown && !is_torn => go_on(&text.file, read)?,
        Some(_) if !is_torn => known,
        _ => 0,
    };
    let ended = text.last_line_end(from)?;
    let is_unended = ended < text.length;
    let is_taken = !is_unended || text.is_taken(ended, (file.format, has_grown), options)?;
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
            ..read_bytes(&text.file, to)?
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
        is_other,
    })
}

impl Text {
    fn open(
        at: usize,
        (file, stat): (File, FileStat),
        before: Option<ReadFile>,
    ) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let read = before.as_ref().map(|before| &before.read);
        let begins_with = match read {
            Some(read) if begins_with(&file, length, read)? => Some(read.clone()),
            _ => None,
        };
        Ok(Self {
            at,
            stat,
            file,
            length,
            before,
            begins_with,
        })
    }

    /// The end of the last line end behind `from`; `from` if there is none.
    fn last_line_end(&self, from: u64) -> io::Result<u64> {
        let mut buffer = vec![0; 64 << 10];
        let mut end = self.length;
        while end > from {
            let start = end.saturating_sub(buffer.len() as u64).max(from);
            let size = usize::try_from(end - start).unwrap_or(buffer.len());
            let block = buffer.get_mut(..size).unwrap_or_default();
            self.file.read_exact_at(block, start)?;
            if let Some(at) = memchr::memrchr(b'\n', block) {
                return Ok(start + at as u64 + 1);
            }
            end = start;
        }
        Ok(from)
    }

    /// Whether a last line without a line end is read. An object of JSON is complete when it is closed. A line of a
    /// log waits, because programs write a log in pieces. A file of other formats often has no line end at its end:
    /// there the line waits only in a file that grows.
    fn is_taken(
        &self,
        start: u64,
        (format, has_grown): (Format, bool),
        options: &Options,
    ) -> io::Result<bool> {
        let bytes = self.length - start;
        // It is rejected, as in a file that does not grow.
        if bytes > options.max_record_bytes as u64 {
            return Ok(true);
        }
        match format {
            Format::Csv | Format::Fixed => Ok(!has_grown),
            Format::Jsonl => {
                let mut file = &self.file;
                file.seek(SeekFrom::Start(start))?;
                let text = BufReader::new(file.take(bytes));
                let whole =
                    serde_json::from_reader::<_, BTreeMap<String, serde::de::IgnoredAny>>(text);
                Ok(whole.is_ok())
            }
            _ => Ok(false),
        }
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
