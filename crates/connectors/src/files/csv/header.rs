//! The head of a CSV file: its line end, the lines passed over, its header.
//!
//! Promise: names are the header's own, unchanged; two equal names or an empty one are errors with
//! positions. Without a header, columns are `column1`, `column2`, … as many as the first record has.
//! Without a `delimiter`, a header that holds no comma but semicolons, tabs or bars tells it.

use std::io::Read;

use super::index::{Index, Walk, unescape};
use super::scan::{Dialect, RecordEnd};
use crate::files::cells::{Cells, Nulls};
use crate::files::chunk::{Suspicion, open_text};
use crate::files::error::FilesError;
use crate::files::find::InputFile;
use crate::files::options::Options;

/// What the head of a file says.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) dialect: Dialect,
    /// Names of the columns in the file's order.
    pub(crate) names: Vec<String>,
    /// Bytes before the first record, without a byte order mark.
    pub(crate) bytes: Vec<u8>,
}

const FIRST_LOOK: usize = 64 << 10;

/// Reads the head of a file; `None` when the file holds nothing at all.
pub(crate) fn read_head(file: &InputFile, options: &Options) -> Result<Option<Head>, FilesError> {
    let read_error = |source| FilesError::Read {
        path: file.object.clone(),
        source,
    };
    let (mut input, _) = open_text(file, options.encoding)?;
    let mut bytes = Vec::new();
    let mut want = FIRST_LOOK;
    loop {
        let missing = (want - bytes.len()) as u64;
        let read = input
            .by_ref()
            .take(missing)
            .read_to_end(&mut bytes)
            .map_err(read_error)?;
        let last = (read as u64) < missing;
        if bytes.is_empty() {
            return Ok(None);
        }
        let mut dialect = dialect(&bytes, file, options);
        let mut found = find(&bytes, &dialect, options, last);
        if let HeaderRecord::First { start, end } = found
            && let Some(delimiter) = told_delimiter(&bytes, start, end, &dialect, file, options)
        {
            dialect.delimiter = delimiter;
            found = find(&bytes, &dialect, options, last);
        }
        match found {
            HeaderRecord::More => want *= 2,
            HeaderRecord::Nothing => return Ok(None),
            HeaderRecord::TooLong => {
                let why = format!(
                    "its first record is longer than {} bytes",
                    options.max_record_bytes
                );
                return Err(FilesError::BadHeader {
                    path: file.object.clone(),
                    why,
                });
            }
            HeaderRecord::First { start, end } => {
                let record = bytes.get(start..end).unwrap_or_default();
                let names = names(record, &dialect, options.header, &file.object)?;
                bytes.truncate(if options.header { end } else { start });
                dialect.width = names.len();
                return Ok(Some(Head {
                    dialect,
                    names,
                    bytes,
                }));
            }
        }
    }
}

enum HeaderRecord {
    First { start: usize, end: usize },
    Nothing,
    More,
    TooLong,
}

/// The first record that is neither skipped, a comment nor blank.
fn find(bytes: &[u8], dialect: &Dialect, options: &Options, last: bool) -> HeaderRecord {
    let mut at = 0;
    for _ in 0..options.skip_lines {
        match dialect.line_end(bytes, at) {
            Some(end) => at = end,
            None if last => return HeaderRecord::Nothing,
            None => return HeaderRecord::More,
        }
    }
    let mut suspect = 0;
    while at < bytes.len() {
        match dialect.record_end(bytes, at, &mut suspect, last) {
            RecordEnd::More => return HeaderRecord::More,
            RecordEnd::TooLong | RecordEnd::TooLongInside(_) => return HeaderRecord::TooLong,
            RecordEnd::At(end) => {
                let record = bytes.get(at..end).unwrap_or_default();
                let comment =
                    dialect.comment.is_some() && record.first().copied() == dialect.comment;
                let blank = record.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
                if !comment && !blank {
                    return HeaderRecord::First { start: at, end };
                }
                at = end;
            }
        }
    }
    if last {
        HeaderRecord::Nothing
    } else {
        HeaderRecord::More
    }
}

fn dialect(bytes: &[u8], file: &InputFile, options: &Options) -> Dialect {
    let newline = line_end_of(bytes, options.quote);
    Dialect {
        delimiter: options
            .delimiter
            .unwrap_or(if file.tabs { b'\t' } else { b',' }),
        quote: options.quote.unwrap_or(newline),
        escape: options.escape,
        comment: options.comment,
        trim: options.trim,
        newline,
        max_record_bytes: options.max_record_bytes,
        width: 0,
    }
}

/// Delimiters a header without a comma may show instead, where the project says none.
const OTHERS: [u8; 3] = [b';', b'\t', b'|'];

/// The delimiter a header tells by holding no comma and one of `OTHERS`, unless another is said.
fn told_delimiter(
    bytes: &[u8],
    start: usize,
    end: usize,
    dialect: &Dialect,
    file: &InputFile,
    options: &Options,
) -> Option<u8> {
    if options.delimiter.is_some() || !options.header || file.tabs {
        return None;
    }
    let mut quoted = false;
    let mut held = [false; OTHERS.len()];
    for &byte in bytes.get(start..end).unwrap_or_default() {
        if Some(byte) == options.quote {
            quoted = !quoted;
        } else if !quoted {
            if byte == dialect.delimiter {
                return None;
            }
            for (held, other) in held.iter_mut().zip(OTHERS) {
                *held |= byte == other;
            }
        }
    }
    let mut told = OTHERS.iter().zip(held).filter(|(_, held)| *held);
    match (told.next(), told.next()) {
        (Some((&delimiter, _)), None) => Some(delimiter),
        _ => None,
    }
}

/// The first `\n` outside quotes ends lines, with or without `\r` before it; only where the head has
/// none at all does `\r` alone.
fn line_end_of(bytes: &[u8], quote: Option<u8>) -> u8 {
    let mut quoted = false;
    let mut found = b'\n';
    for (at, byte) in bytes.iter().enumerate() {
        if Some(*byte) == quote {
            quoted = !quoted;
        } else if !quoted && *byte == b'\n' {
            return b'\n';
        } else if !quoted && *byte == b'\r' && at + 1 < bytes.len() {
            found = b'\r';
        }
    }
    found
}

fn names(
    record: &[u8],
    dialect: &Dialect,
    header: bool,
    path: &str,
) -> Result<Vec<String>, FilesError> {
    let bad = |why: &str| FilesError::BadHeader {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    if std::str::from_utf8(record).is_err() {
        return Err(bad("it is not in the encoding it is read as"));
    }
    let mut index = Index::any_width();
    let mut broken = Vec::new();
    Walk::new(record, dialect, Suspicion::NONE).rows(1, &mut index, &mut broken);
    if let Some(flaw) = broken.first() {
        return Err(bad(&flaw.flaw.words(0, dialect.max_record_bytes)));
    }
    let width = index.spans.len();
    if !header {
        return Ok((1..=width)
            .map(|column| format!("column{column}"))
            .collect());
    }
    let nulls = Nulls::default();
    let undo = |text: &[u8], to: &mut Vec<u8>| unescape(text, dialect, to);
    let mut names: Vec<String> = Vec::with_capacity(width);
    let cells = Cells {
        bytes: record,
        spans: &index.spans,
        width: 1,
        column: 0,
        nulls: &nulls,
        unescape: &undo,
    };
    cells.each(|_, text, _| {
        names.push(String::from_utf8_lossy(text.unwrap_or_default()).into_owned())
    });
    let empty: Vec<usize> = names
        .iter()
        .enumerate()
        .filter(|(_, name)| name.trim().is_empty())
        .map(|(at, _)| at + 1)
        .collect();
    if !empty.is_empty() {
        return Err(FilesError::EmptyHeader {
            path: path.to_owned(),
            columns: empty,
        });
    }
    for (second, name) in names.iter().enumerate() {
        if let Some(first) = names.iter().take(second).position(|other| other == name) {
            return Err(FilesError::DuplicateHeader {
                path: path.to_owned(),
                name: name.clone(),
                first: first + 1,
                second: second + 1,
            });
        }
    }
    Ok(names)
}
