//! From line to line of a chunk: cells of rows, and the lines that are none.
//!
//! Promise: every line of a chunk is in exactly one row or one start of a broken line; lines without a
//! character are passed over. What is wrong with a broken line, a second look tells. Read next: `options.rs`.

use std::io::Read as _;

use arrow_schema::DataType;
use memchr::memchr;
use towpath_vocab::Reason;

use super::options::LineFormat;
use super::syslog::has_local_time;
use super::table::LineTable;
use crate::files::chunk::open_text;
use crate::files::column::Readings;
use crate::files::csv::{cell_reasons, encoding, without_line_end};
use crate::files::error::FilesError;
use crate::files::find::InputFile;

/// So much text of cells is made at once.
const MOST_TEXT: usize = 16 << 20;
/// So many broken lines are told at once.
const MOST_BROKEN: usize = 4096;
/// So many bytes of a file are looked at for its form.
const LOOKED_AT: u64 = 64 << 10;
/// Places of cells are 31 bits wide.
const LONGEST: usize = 1 << 30;

/// A walk through the lines of a chunk.
pub(crate) struct LineWalk<'a> {
    bytes: &'a [u8],
    format: &'a LineFormat,
    at: usize,
    max_record_bytes: usize,
}

impl<'a> LineWalk<'a> {
    /// From the first byte of a chunk.
    pub(crate) fn new(bytes: &'a [u8], format: &'a LineFormat, max_record_bytes: usize) -> Self {
        Self {
            bytes,
            format,
            at: 0,
            max_record_bytes,
        }
    }

    /// Adds up to `count` rows, fewer when their text is long or many are broken; false when the chunk is at
    /// its end.
    pub(crate) fn rows(
        &mut self,
        count: usize,
        table: &mut LineTable,
        broken: &mut Vec<usize>,
    ) -> bool {
        let (full, most) = (table.starts.len() + count, broken.len() + MOST_BROKEN);
        while self.at < self.bytes.len()
            && table.starts.len() < full
            && table.text.len() < MOST_TEXT
            && broken.len() < most
        {
            let start = self.at;
            let end = end_of(self.bytes, start);
            self.at = end;
            let line = without_line_end(self.bytes.get(start..end).unwrap_or_default(), b'\n');
            if line.is_empty() {
                continue;
            }
            let (text, cells) = (table.text.len(), table.spans.len());
            match read(line, self.format, self.max_record_bytes, table) {
                Ok(()) => table.starts.push(start),
                Err(_) => {
                    table.text.truncate(text);
                    table.spans.truncate(cells);
                    broken.push(start);
                }
            }
        }
        self.at < self.bytes.len()
    }
}

/// What is wrong with a line.
enum Flaw {
    Encoding,
    TooLong,
    Line(String),
}

fn read(
    line: &[u8],
    format: &LineFormat,
    max_record_bytes: usize,
    to: &mut LineTable,
) -> Result<(), Flaw> {
    if line.len() > max_record_bytes {
        return Err(Flaw::TooLong);
    }
    let line = std::str::from_utf8(line).map_err(|_| Flaw::Encoding)?;
    format.cells(line, to).map_err(Flaw::Line)?;
    match to.text.len() > LONGEST {
        true => Err(Flaw::TooLong),
        false => Ok(()),
    }
}

/// Why a line is no row.
pub(crate) fn wrong_with(line: &[u8], format: &LineFormat, max_record_bytes: usize) -> Reason {
    let (code, message) = match read(line, format, max_record_bytes, &mut LineTable::default()) {
        Err(Flaw::Encoding) => return encoding(None),
        Err(Flaw::Line(why)) => ("line", format!("the line {why}")),
        Err(Flaw::TooLong) | Ok(()) => return too_long(max_record_bytes),
    };
    Reason {
        code: code.to_owned(),
        column: None,
        value: None,
        message,
    }
}

/// The reason for a record that is longer than allowed.
pub(crate) fn too_long(max_record_bytes: usize) -> Reason {
    Reason {
        code: "too_long".to_owned(),
        column: None,
        value: None,
        message: format!(
            "the record is longer than {max_record_bytes} bytes; `max_record_bytes` allows more"
        ),
    }
}

/// Why the values of a line do not fit its columns.
pub(crate) fn reasons(
    line: &[u8],
    format: &LineFormat,
    columns: &[(String, Option<DataType>)],
    how: &Readings<'_>,
) -> Vec<Reason> {
    let mut table = LineTable::default();
    if read(line, format, usize::MAX, &mut table).is_err() {
        return Vec::new();
    }
    let plain = |text: &[u8], to: &mut Vec<u8>| to.extend_from_slice(text);
    cell_reasons((&table.text, &table.spans), columns, &plain, how)
}

/// The end of the line that starts here, its line end included.
fn end_of(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    memchr(b'\n', rest).map_or(bytes.len(), |end| start + end + 1)
}

/// The line that starts here, without its line end.
pub(crate) fn record_at(bytes: &[u8], start: usize) -> &[u8] {
    let line = bytes.get(start..end_of(bytes, start)).unwrap_or_default();
    without_line_end(line, b'\n')
}

/// The bytes of the first lines of a file, which are passed over.
pub(crate) fn head(file: &InputFile, lines: u64) -> Result<Vec<u8>, FilesError> {
    let mut head = Vec::new();
    if lines == 0 {
        return Ok(head);
    }
    let (input, _) = open_text(file)?;
    let mut input = std::io::BufReader::new(input);
    for _ in 0..lines {
        let line = std::io::BufRead::read_until(
            &mut input.by_ref().take(LONGEST as u64),
            b'\n',
            &mut head,
        );
        let read = line.map_err(|source| FilesError::Read {
            path: file.object.clone(),
            source,
        })?;
        if read == 0 {
            break;
        }
    }
    Ok(head)
}

/// Whether the first lines of a file have times without a year.
pub(crate) fn has_local_times(file: &InputFile) -> Result<bool, FilesError> {
    let mut bytes = Vec::new();
    let read = open_text(file)?.0.take(LOOKED_AT).read_to_end(&mut bytes);
    read.map_err(|source| FilesError::Read {
        path: file.object.clone(),
        source,
    })?;
    Ok(String::from_utf8_lossy(&bytes).lines().any(has_local_time))
}
