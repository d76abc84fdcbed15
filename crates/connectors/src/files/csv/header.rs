//! The head of a CSV file: its line end, the skipped lines, its header.
//!
//! Promise: names are the header's own, unchanged; an empty one becomes `column0`, counted from 0, and
//! a name that is there twice gets `_1` behind it, with a note. Without a header, columns are `column1`,
//! `column2`, … as many as the first record has. What the project does not say is taken from the first
//! records, with a note: the delimiter (also from Excel's first line `sep=;`), a quote other than `"`,
//! lines above the header, an index column without a name. Read next: `first_records.rs`.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use super::first_records::{self, FirstRecord, first_records, texts};
use super::scan::{Dialect, RecordEnd};
use super::titles::{MOST_TITLES, titles};
use crate::files::cells::Nulls;
use crate::files::chunk::open_text;
use crate::files::error::FilesError;
use crate::files::find::InputFile;
use crate::files::infer::{Guess, Hint, InferOptions};
use crate::files::options::{Format, Options};
use crate::files::workbook::{self, ROW_END};

/// What the head of a file says.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) dialect: Dialect,
    /// Names of the columns in the file's order.
    pub(crate) names: Vec<String>,
    /// Bytes before the first record, without a byte order mark.
    pub(crate) bytes: Vec<u8>,
    /// What the first rows show of each column.
    pub(crate) first: Vec<(String, Guess)>,
    /// What was taken from the file and not from the project.
    pub(crate) notes: Vec<String>,
}

const FIRST_LOOK: usize = 64 << 10;
/// So many names are in one note.
const MOST_SHOWN: usize = 20;

/// Reads the head of a file; `None` when the file holds nothing at all.
pub(crate) fn read_head(file: &InputFile, options: &Options) -> Result<Option<Head>, FilesError> {
    let read_error = |source| FilesError::Read {
        path: file.object.clone(),
        source,
    };
    let (mut input, notes) = match file.format {
        Format::Xlsx => workbook::open(file)?,
        _ => (open_text(file)?.0, Vec::new()),
    };
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
        let start = FileStart {
            bytes: &bytes,
            last,
            file,
            options,
        };
        match start.head()? {
            Found::Head(mut head, length) => {
                bytes.truncate(length);
                head.notes.extend(notes);
                head.bytes = bytes;
                return Ok(Some(*head));
            }
            Found::More => want *= 2,
            Found::Nothing if options.skip_lines > 0 => {
                return Err(start.bad(&format!(
                    "`skip_lines: {}` skips all of its lines",
                    options.skip_lines
                )));
            }
            Found::Nothing => return Ok(None),
        }
    }
}

enum Found {
    /// With the bytes before the first record.
    Head(Box<Head>, usize),
    Nothing,
    More,
}

enum HeaderRecord {
    First { start: usize, end: usize },
    Nothing,
    More,
    TooLong,
}

/// The first bytes of a file and what is said about it.
struct FileStart<'a> {
    bytes: &'a [u8],
    /// They are all there are.
    last: bool,
    file: &'a InputFile,
    options: &'a Options,
}

impl FileStart<'_> {
    fn head(&self) -> Result<Found, FilesError> {
        let mut dialect = dialect(self.bytes, self.file, self.options);
        let separator = self.separator(&dialect);
        let from = separator.map_or(0, |(_, end)| end);
        if let (Some((delimiter, _)), None) = (separator, self.options.delimiter) {
            dialect.delimiter = delimiter;
        }
        let mut found = find(self.bytes, from, &dialect, self.options, self.last);
        if let HeaderRecord::First { start, end } = found
            && separator.is_none()
            && let Some(shown) = self.shown_delimiter(start, end, &dialect)
        {
            dialect = shown;
            found = find(self.bytes, from, &dialect, self.options, self.last);
        }
        match found {
            HeaderRecord::More => Ok(Found::More),
            HeaderRecord::Nothing => Ok(Found::Nothing),
            HeaderRecord::TooLong => Err(self.bad(&format!(
                "its first record is longer than {} bytes",
                self.options.max_record_bytes
            ))),
            HeaderRecord::First { start, .. } => {
                let note = match separator {
                    Some((delimiter, _)) => Some(self.separator_note(delimiter)),
                    None => self.delimiter_note(&dialect),
                };
                self.settled(start, dialect, note.into_iter().collect())
            }
        }
    }

    /// The delimiter that Excel's first line `sep=;` names, and where that line ends.
    fn separator(&self, dialect: &Dialect) -> Option<(u8, usize)> {
        if self.options.skip_lines > 0 || self.file.format == Format::Xlsx {
            return None;
        }
        let end = dialect.line_end(self.bytes, 0);
        let end = end.or(self.last.then_some(self.bytes.len()))?;
        let line = self.bytes.get(..end)?;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let quoted = line
            .strip_prefix(b"\"")
            .and_then(|line| line.strip_suffix(b"\""));
        let (word, delimiter) = quoted.unwrap_or(line).split_at_checked(4)?;
        let [delimiter] = delimiter else { return None };
        let may_be = delimiter.is_ascii() && !delimiter.is_ascii_alphanumeric();
        let is_one = may_be && !matches!(delimiter, b'"' | b'\'' | b'_' | b'\r' | b'\n');
        (word.eq_ignore_ascii_case(b"sep=") && is_one).then_some((*delimiter, end))
    }

    fn separator_note(&self, delimiter: u8) -> String {
        let object = &self.file.object;
        let word = named(delimiter);
        let given = self.options.delimiter.unwrap_or(delimiter);
        match given == delimiter {
            true => format!(
                "the first line of `{object}` is Excel's: it says that {word} is between the fields; `delimiter: {}` and `skip_lines: 1` set this",
                as_option(delimiter)
            ),
            false => format!(
                "the first line of `{object}` is Excel's and is skipped: it names {word} as the delimiter, and `delimiter` sets {}",
                named(given)
            ),
        }
    }

    fn bad(&self, why: &str) -> FilesError {
        FilesError::BadHeader {
            path: self.file.object.clone(),
            why: why.to_owned(),
        }
    }

    /// The head of a file whose first record starts at `start`.
    fn settled(
        &self,
        start: usize,
        dialect: Dialect,
        mut notes: Vec<String>,
    ) -> Result<Found, FilesError> {
        let (mut dialect, records) = self.quoted(start, dialect, &mut notes);
        let titles = match self.options.header && self.options.skip_lines == 0 {
            true => titles(self.bytes, &records, &dialect),
            false => 0,
        };
        let Some(header) = records.get(titles) else {
            return Ok(Found::Nothing);
        };
        if titles > 0 {
            notes.push(self.titles_note(header.start, &dialect));
        }
        let record = self.bytes.get(header.start..header.end).unwrap_or_default();
        if std::str::from_utf8(record).is_err() {
            return Err(self.bad("it is not in the encoding of the table"));
        }
        if header.cells.is_empty() {
            return Err(self.bad("a quoted field starts in it and is never properly closed"));
        }
        let rows = records.get(titles + 1..).unwrap_or_default();
        let (names, length) = match self.options.header {
            true => {
                let mut given = texts(record, &header.cells, &dialect);
                self.add_unnamed(&mut given, rows);
                (self.names(given, &mut notes), header.end)
            }
            false => {
                let names = (1..=header.width()).map(|column| format!("column{column}"));
                (names.collect(), header.start)
            }
        };
        dialect.width = names.len();
        let first = self.first(rows, &names, &dialect);
        if self.options.header && header.width() == names.len() {
            let given = self.first(std::slice::from_ref(header), &names, &dialect);
            let given: Vec<Guess> = given.into_iter().map(|(_, guess)| guess).collect();
            let cells = texts(record, &header.cells, &dialect);
            notes.extend(self.values_note(&cells, &given, &first));
        }
        let head = Head {
            dialect,
            names,
            bytes: Vec::new(),
            first,
            notes,
        };
        Ok(Found::Head(Box::new(head), length))
    }

    fn first(
        &self,
        rows: &[FirstRecord],
        names: &[String],
        dialect: &Dialect,
    ) -> Vec<(String, Guess)> {
        let infer = InferOptions {
            times: &self.options.times,
            typed: dialect.has_types(),
            numbers: self.options.numbers,
            commas: dialect.delimiter != b',',
            semicolons: dialect.delimiter == b';',
        };
        let nulls = Nulls::csv(&self.options.nulls).also_quoted(dialect.has_types());
        let guesses = first_records::guesses(self.bytes, rows, dialect, &nulls, &infer);
        names.iter().cloned().zip(guesses).collect()
    }

    /// The records of the file, by the quote that all of them fit, if the project says none.
    fn quoted(
        &self,
        start: usize,
        dialect: Dialect,
        notes: &mut Vec<String>,
    ) -> (Dialect, Vec<FirstRecord>) {
        let records = first_records(self.bytes, start, &dialect, self.last);
        if self.options.is_quote_given || self.is_even(&records, &dialect) {
            return (dialect, records);
        }
        let none = (dialect.delimiter == b'\t').then_some(dialect.newline);
        for quote in none.into_iter().chain([b'\'']) {
            let other = Dialect {
                quote,
                ..dialect.clone()
            };
            let others = first_records(self.bytes, start, &other, self.last);
            let is_used = quote == dialect.newline || others.iter().any(FirstRecord::is_quoted);
            if is_used && others.len() > 1 && self.is_even(&others, &other) {
                notes.push(self.quote_note(quote == dialect.newline));
                return (other, others);
            }
        }
        (dialect, records)
    }

    fn quote_note(&self, is_none: bool) -> String {
        let object = &self.file.object;
        match is_none {
            true => format!(
                "the quotes in `{object}` are read as plain characters, because only then its lines have the same number of fields; `quote: \"\"` sets this"
            ),
            false => {
                format!("`{object}` has `'` around its fields; `quote: \"'\"` sets this")
            }
        }
    }

    fn titles_note(&self, start: usize, dialect: &Dialect) -> String {
        let before = self.bytes.get(..start).unwrap_or_default();
        let lines = memchr::memchr_iter(dialect.newline, before).count();
        let (are, s) = if lines == 1 { ("is", "") } else { ("are", "s") };
        format!(
            "{lines} line{s} above the header of `{}` {are} skipped; `skip_lines: {lines}` sets this",
            self.file.object
        )
    }

    /// What is said when the header shows the delimiter and the project does not.
    fn delimiter_note(&self, dialect: &Dialect) -> Option<String> {
        let usual = if self.file.tabs { b'\t' } else { b',' };
        if self.options.delimiter.is_some() || dialect.delimiter == usual {
            return None;
        }
        Some(format!(
            "`{}` has {} between its fields, as its header shows; `delimiter: {}` sets this",
            self.file.object,
            named(dialect.delimiter),
            as_option(dialect.delimiter)
        ))
    }

    /// What is said of a header whose names are numbers or dates like the values below them.
    fn values_note(
        &self,
        cells: &[String],
        given: &[Guess],
        below: &[(String, Guess)],
    ) -> Option<String> {
        let kind = |guess: &Guess| {
            let data_type = guess.verdict("", Hint::default(), false).data_type;
            match guess.has_values() {
                true if data_type.is_numeric() => Some(0),
                true if data_type.is_temporal() => Some(1),
                _ => None,
            }
        };
        let both = given.iter().zip(below);
        let alike =
            both.map(|(given, (_, below))| kind(given).is_some() && kind(given) == kind(below));
        let values = cells.iter().zip(alike).filter(|(_, is_alike)| *is_alike);
        let values: Vec<String> = values.map(|(cell, _)| cell.clone()).collect();
        if values.is_empty() {
            return None;
        }
        Some(format!(
            "the first record of `{}` is taken for its header, and {} there are values like those below: if it is a row, set `header: false`",
            self.file.object,
            shown(&values)
        ))
    }

    /// A column more than the header has, in every row: an index in front, or a delimiter behind.
    fn add_unnamed(&self, names: &mut Vec<String>, rows: &[FirstRecord]) {
        let more = names.len() + 1;
        if rows.is_empty() || rows.iter().any(|row| row.width() != more) {
            return;
        }
        let at = match rows.iter().all(FirstRecord::ends_empty) {
            true => names.len(),
            false => 0,
        };
        names.insert(at, String::new());
    }

    /// Names without empty ones and without any that is there twice.
    fn names(&self, given: Vec<String>, notes: &mut Vec<String>) -> Vec<String> {
        let mut names: Vec<String> = Vec::with_capacity(given.len());
        let mut taken = HashSet::with_capacity(given.len());
        let in_file: HashSet<&String> = given.iter().collect();
        // The last number behind each name.
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let (mut unnamed, mut twice) = (Vec::new(), Vec::new());
        for (at, name) in given.iter().enumerate() {
            let is_empty = name.trim().is_empty();
            let base = match is_empty {
                true => format!("column{at}"),
                false => name.clone(),
            };
            let mut own = base.clone();
            while taken.contains(&own) || (is_empty || own != base) && in_file.contains(&own) {
                let number = numbers.entry(base.clone()).or_default();
                *number += 1;
                own = format!("{base}_{number}");
            }
            match is_empty {
                true => unnamed.push(own.clone()),
                false if own != *name => twice.push(own.clone()),
                false => {}
            }
            taken.insert(own.clone());
            names.push(own);
        }
        let object = &self.file.object;
        if !unnamed.is_empty() {
            notes.push(format!(
                "columns of `{object}` without a name are named {}",
                shown(&unnamed)
            ));
        }
        if !twice.is_empty() {
            notes.push(format!(
                "columns of `{object}` with a repeated name are named {}",
                shown(&twice)
            ));
        }
        names
    }

    /// The delimiter that the project does not say: the header, or a line below a title, holds no comma
    /// but one of `OTHERS`.
    fn shown_delimiter(&self, start: usize, end: usize, dialect: &Dialect) -> Option<Dialect> {
        if self.options.delimiter.is_some() || !self.options.header || self.file.tabs {
            return None;
        }
        let mut record = (start, end);
        for line in 0..MOST_TITLES {
            match self.shown_in(record, dialect.delimiter) {
                Shown::One(delimiter) => {
                    let other = Dialect {
                        delimiter,
                        ..dialect.clone()
                    };
                    let records = || first_records(self.bytes, start, &other, self.last);
                    let is_shown = line == 0 || titles(self.bytes, &records(), &other) > 0;
                    return is_shown.then_some(other);
                }
                Shown::Comma | Shown::Several => return None,
                // A title, or the only column.
                Shown::Nothing => {}
            }
            let end = dialect.line_end(self.bytes, record.1)?;
            record = (record.1, end);
        }
        None
    }

    /// Whether all records are whole and have the same number of cells, but for lines above the header.
    fn is_even(&self, records: &[FirstRecord], dialect: &Dialect) -> bool {
        let titles = titles(self.bytes, records, dialect);
        let Some((header, rows)) = records.get(titles..).and_then(<[FirstRecord]>::split_first)
        else {
            return true;
        };
        let width = rows.first().map_or(header.width(), FirstRecord::width);
        let fits = width == header.width() || width == header.width() + 1;
        header.width() > 0 && fits && rows.iter().all(|row| row.width() == width)
    }

    fn shown_in(&self, (start, end): (usize, usize), usual: u8) -> Shown {
        let mut quoted = false;
        let mut held = [false; OTHERS.len()];
        for &byte in self.bytes.get(start..end).unwrap_or_default() {
            if Some(byte) == self.options.quote {
                quoted = !quoted;
            } else if !quoted {
                if byte == usual {
                    return Shown::Comma;
                }
                for (held, other) in held.iter_mut().zip(OTHERS) {
                    *held |= byte == other;
                }
            }
        }
        let mut shown = OTHERS.iter().zip(held).filter(|(_, held)| *held);
        match (shown.next(), shown.next()) {
            (Some((&delimiter, _)), None) => Shown::One(delimiter),
            (Some(_), Some(_)) => Shown::Several,
            (None, _) => Shown::Nothing,
        }
    }
}

/// A delimiter in a sentence.
fn named(delimiter: u8) -> String {
    match delimiter {
        b'\t' => "a tab".to_owned(),
        other => format!("`{}`", char::from(other)),
    }
}

/// A delimiter as the project writes it.
fn as_option(delimiter: u8) -> String {
    match delimiter {
        b'\t' => "tab".to_owned(),
        other => format!("\"{}\"", char::from(other)),
    }
}

/// Names for a note, not more than a person reads.
fn shown(names: &[String]) -> String {
    let first: Vec<String> = names
        .iter()
        .take(MOST_SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    match names.len().saturating_sub(MOST_SHOWN) {
        0 => first.join(", "),
        more => format!("{} and {more} others", first.join(", ")),
    }
}

/// What a line holds of delimiters.
enum Shown {
    Comma,
    One(u8),
    Several,
    Nothing,
}

/// The first record that is neither skipped, a comment nor blank.
fn find(
    bytes: &[u8],
    from: usize,
    dialect: &Dialect,
    options: &Options,
    last: bool,
) -> HeaderRecord {
    let mut at = from;
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
                let blank = record.iter().all(|byte| dialect.ends_line(*byte));
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
    let newline = match file.format {
        Format::Xlsx => ROW_END,
        _ => line_end_of(bytes, options.quote),
    };
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
