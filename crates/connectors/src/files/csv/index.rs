//! Finds the cells of a chunk: a few thousand rows at a time, eight bytes per cell.
//!
//! Promise: every record of the chunk becomes a row of exactly `width` cells or a `Broken` with its
//! place and flaw; blank lines (of more than one column) and comments are neither. The same chunk
//! gives the same answer whatever stood before it.

use super::scan::{Close, Dialect, RecordEnd, StructuralBytes};
use crate::files::cells::Span;
use crate::files::chunk::Suspicion;

/// Cells of some rows.
pub(crate) struct Index {
    pub(crate) spans: Vec<Span>,
    /// Where each row starts in the chunk.
    pub(crate) starts: Vec<usize>,
    width: Option<usize>,
}

impl Index {
    /// For rows of this many cells.
    pub(crate) fn new(width: usize) -> Self {
        Self {
            spans: Vec::new(),
            starts: Vec::new(),
            width: Some(width),
        }
    }

    /// For one row of unknown width.
    pub(crate) fn any_width() -> Self {
        Self {
            spans: Vec::new(),
            starts: Vec::new(),
            width: None,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.spans.clear();
        self.starts.clear();
    }
}

/// What is wrong with a record's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It has this many fields.
    Fields(usize),
    /// A quoted field never ends, or goes on after its closing quote. Where a chunk ends may hide
    /// which of the two it is, so they are one.
    Unclosed,
    /// A quote inside an unquoted field, behind a broken one.
    StrayQuote,
    /// A quote opens inside an unquoted field and another one closes in a later field: what is between
    /// them may be one text, and then cells are in wrong columns.
    Across,
    /// It is longer than allowed.
    TooLong,
}

impl Flaw {
    /// The stable code of `vocab::Reason`.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Fields(_) => "columns",
            Self::Unclosed | Self::StrayQuote | Self::Across => "quote",
            Self::TooLong => "too_long",
        }
    }

    /// In words.
    pub(crate) fn words(self, width: usize, max_record_bytes: usize) -> String {
        match self {
            Self::Fields(1) => format!("the record has 1 field, the header has {width}"),
            Self::Fields(count) => format!("the record has {count} fields, the header has {width}"),
            Self::Unclosed => {
                "a quoted field starts on this line and is never properly closed".to_owned()
            }
            Self::StrayQuote => {
                "there is a quote inside an unquoted field, after a broken quoted field".to_owned()
            }
            Self::Across => {
                "a quote opens inside an unquoted field and closes in another, so cells may be in wrong columns; quote the whole field, or set `quote: \"\"` if quotes are plain characters".to_owned()
            }
            Self::TooLong => {
                format!(
                    "the record is longer than {max_record_bytes} bytes; `max_record_bytes` allows more"
                )
            }
        }
    }
}

/// A record that is no row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broken {
    pub(crate) start: usize,
    /// Its line end is included.
    pub(crate) end: usize,
    pub(crate) flaw: Flaw,
}

/// A walk through the records of a chunk.
pub(crate) struct Walk<'a> {
    bytes: &'a [u8],
    dialect: &'a Dialect,
    structure: StructuralBytes<'a>,
    at: usize,
    suspect: usize,
    suspect_from: usize,
    /// The record has quotes as in `Flaw::Across`.
    is_across: bool,
}

enum Step {
    Row,
    Broken(Flaw, usize),
}

impl<'a> Walk<'a> {
    /// From the first byte of a chunk.
    pub(crate) fn new(bytes: &'a [u8], dialect: &'a Dialect, suspicion: Suspicion) -> Self {
        let structure =
            StructuralBytes::new(bytes, [dialect.delimiter, dialect.newline, dialect.quote]);
        Self {
            bytes,
            dialect,
            structure,
            at: 0,
            suspect: suspicion.until,
            suspect_from: suspicion.from,
            is_across: false,
        }
    }

    /// Adds up to `count` rows; false when the chunk is at its end.
    pub(crate) fn rows(
        &mut self,
        count: usize,
        index: &mut Index,
        broken: &mut Vec<Broken>,
    ) -> bool {
        let full = index.starts.len() + count;
        while index.starts.len() < full {
            let start = self.at;
            if start >= self.bytes.len() {
                return false;
            }
            if self.dialect.comment.is_some()
                && self.bytes.get(start).copied() == self.dialect.comment
            {
                self.pass_line(start);
                continue;
            }
            let first = index.spans.len();
            match self.record(start, &mut index.spans) {
                Step::Row => {
                    let fields = index.spans.len() - first;
                    let flaw = if self.at - start > self.dialect.max_record_bytes {
                        Flaw::TooLong
                    } else if self.is_across {
                        Flaw::Across
                    } else if index.width.is_none_or(|width| width == fields) {
                        index.starts.push(start);
                        continue;
                    } else {
                        Flaw::Fields(fields)
                    };
                    let blank = fields == 1
                        && index
                            .spans
                            .last()
                            .is_some_and(|span| span.is_empty() && !span.is_quoted());
                    index.spans.truncate(first);
                    if !blank {
                        broken.push(Broken {
                            start,
                            end: self.at,
                            flaw,
                        });
                    }
                }
                Step::Broken(flaw, place) => {
                    index.spans.truncate(first);
                    self.pass_line(place);
                    broken.push(Broken {
                        start,
                        end: self.at,
                        flaw,
                    });
                }
            }
        }
        self.at < self.bytes.len()
    }

    fn pass_line(&mut self, place: usize) {
        self.at = self
            .dialect
            .line_end(self.bytes, place)
            .unwrap_or(self.bytes.len());
        self.structure.seek(self.at);
    }

    /// The cells of one record. The structural bytes are at its start.
    #[inline]
    fn record(&mut self, start: usize, spans: &mut Vec<Span>) -> Step {
        let (bytes, newline, delimiter) =
            (self.bytes, self.dialect.newline, self.dialect.delimiter);
        let mut field = start;
        // The field in which a quote opens that is not its first byte.
        let mut opened = usize::MAX;
        self.is_across = false;
        loop {
            let place = self.structure.next_place();
            let byte = bytes.get(place).copied().unwrap_or(newline);
            if byte == delimiter {
                spans.push(self.plain(field, place));
                field = place + 1;
            } else if byte == newline {
                let end =
                    if newline == b'\n' && place > field && bytes.get(place - 1) == Some(&b'\r') {
                        place - 1
                    } else {
                        place
                    };
                spans.push(self.plain(field, end));
                self.at = bytes.len().min(place + 1);
                return Step::Row;
            } else if self.at_field_start(field, place) {
                match self.quoted(start, place, spans) {
                    Ok(None) => return Step::Row,
                    Ok(Some(next)) => field = next,
                    Err(flaw) => return Step::Broken(flaw, place),
                }
            } else if place < self.suspect {
                return Step::Broken(Flaw::StrayQuote, place);
            } else if self.opens_inside(place) {
                opened = opened.min(field);
            } else if self.closes(place) {
                self.is_across |= opened < field;
                opened = usize::MAX;
            }
        }
    }

    fn at_field_start(&self, field: usize, place: usize) -> bool {
        let before = self.bytes.get(field..place).unwrap_or_default();
        before.iter().all(|byte| matches!(byte, b' ' | b'\t'))
    }

    /// Whether a quote inside an unquoted field looks like an opening one: ` "x`.
    fn opens_inside(&self, place: usize) -> bool {
        let is_blank = |at: usize| matches!(self.bytes.get(at), Some(b' ' | b'\t'));
        place > 0 && is_blank(place - 1) && !is_blank(place + 1) && !self.closes(place)
    }

    /// Whether a quote inside an unquoted field looks like a closing one: `x",`.
    fn closes(&self, place: usize) -> bool {
        match self.bytes.get(place + 1) {
            None | Some(b'\r' | b'\n') => true,
            Some(next) => *next == self.dialect.delimiter || *next == self.dialect.newline,
        }
    }

    /// A quoted field that opens at `open`: where the next field starts, `None` at the record's end.
    fn quoted(
        &mut self,
        record: usize,
        open: usize,
        spans: &mut Vec<Span>,
    ) -> Result<Option<usize>, Flaw> {
        match self.dialect.close(self.bytes, record, open, true) {
            Close::At { at, doubled } => {
                spans.push(Span::quoted(open + 1, at, doubled));
                self.structure.seek((at + 1).min(self.bytes.len()));
                let next = self.structure.next_place();
                if self.bytes.get(next) == Some(&self.dialect.delimiter) {
                    return Ok(Some(next + 1));
                }
                self.at = self.bytes.len().min(next + 1);
                Ok(None)
            }
            Close::Broken(at) => {
                self.suspect = self.suspect.max(at + 1);
                Err(Flaw::Unclosed)
            }
            Close::Open | Close::TooLong | Close::More => {
                if record >= self.suspect_from {
                    self.suspect = self.bytes.len();
                }
                Err(Flaw::Unclosed)
            }
        }
    }

    #[inline]
    fn plain(&self, mut start: usize, mut end: usize) -> Span {
        if self.dialect.trim {
            let blank = |at: usize| matches!(self.bytes.get(at), Some(b' ' | b'\t'));
            while start < end && blank(start) {
                start += 1;
            }
            while end > start && blank(end - 1) {
                end -= 1;
            }
        }
        Span::plain(start, end)
    }
}

/// The bytes of the record that starts at `start`, without its line end.
pub(crate) fn record_at<'a>(bytes: &'a [u8], dialect: &Dialect, start: usize) -> &'a [u8] {
    let mut suspect = 0;
    let end = match dialect.record_end(bytes, start, &mut suspect, true) {
        RecordEnd::At(end) => end,
        RecordEnd::More | RecordEnd::TooLong | RecordEnd::TooLongInside(_) => bytes.len(),
    };
    without_line_end(bytes.get(start..end).unwrap_or_default(), dialect.newline)
}

/// A record without its line end.
pub(crate) fn without_line_end(record: &[u8], newline: u8) -> &[u8] {
    let record = record.strip_suffix(&[newline]).unwrap_or(record);
    record.strip_suffix(b"\r").unwrap_or(record)
}

/// The text of a quoted field with doubled quotes or escapes.
pub(crate) fn unescape(text: &[u8], dialect: &Dialect, to: &mut Vec<u8>) {
    let escape = dialect.escape.filter(|escape| *escape != dialect.quote);
    let mut rest = text;
    loop {
        let found = match escape {
            None => memchr::memchr(dialect.quote, rest),
            Some(escape) => memchr::memchr2(dialect.quote, escape, rest),
        };
        let Some(found) = found else { break };
        // Of a doubled quote, or of an escape and what it protects, the second byte stays.
        to.extend_from_slice(rest.get(..found).unwrap_or_default());
        to.extend(rest.get(found + 1));
        rest = rest.get(found + 2..).unwrap_or_default();
    }
    to.extend_from_slice(rest);
}

/// Takes rows that are no UTF-8 out of the index.
pub(crate) fn without_foreign_bytes(
    bytes: &[u8],
    dialect: &Dialect,
    index: &mut Index,
    width: usize,
    bad: &mut Vec<usize>,
) {
    let mut kept = 0;
    for row in 0..index.starts.len() {
        let Some(start) = index.starts.get(row).copied() else {
            break;
        };
        if std::str::from_utf8(record_at(bytes, dialect, start)).is_err() {
            bad.push(start);
            continue;
        }
        if kept != row {
            index
                .spans
                .copy_within(row * width..(row + 1) * width, kept * width);
            index.starts.swap(kept, row);
        }
        kept += 1;
    }
    index.spans.truncate(kept * width);
    index.starts.truncate(kept);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::files::cells::{Cells, Nulls};

    fn walk(text: &str, width: usize) -> (Vec<Vec<String>>, Vec<(usize, Flaw)>) {
        let dialect = Dialect {
            delimiter: b',',
            quote: b'"',
            escape: None,
            comment: Some(b'#'),
            trim: true,
            newline: b'\n',
            max_record_bytes: 1000,
            width,
        };
        let (mut index, mut broken) = (Index::new(width), Vec::new());
        let mut walk = Walk::new(text.as_bytes(), &dialect, Suspicion::NONE);
        while walk.rows(3, &mut index, &mut broken) {}
        let nulls = Nulls::default();
        let undo = |text: &[u8], to: &mut Vec<u8>| unescape(text, &dialect, to);
        let cells = Cells {
            bytes: text.as_bytes(),
            spans: &index.spans,
            width: 1,
            column: 0,
            nulls: &nulls,
            unescape: &undo,
        };
        let mut all = Vec::new();
        cells.each(|_, text, _| all.push(String::from_utf8(text.unwrap().to_vec()).unwrap()));
        let rows = all.chunks(width).map(<[String]>::to_vec).collect();
        (
            rows,
            broken
                .iter()
                .map(|broken| (broken.start, broken.flaw))
                .collect(),
        )
    }

    #[test]
    fn cells_and_flaws() {
        let (rows, broken) = walk(
            "a, b \n# no, \"row\n\n \"x,\n\"\"y\" ,\r\n1\n1,2,3\n5\" pipe,\"\"",
            2,
        );
        assert_eq!(rows, [["a", "b"], ["x,\n\"y", ""], ["5\" pipe", ""]]);
        assert_eq!(broken, [(31, Flaw::Fields(1)), (33, Flaw::Fields(3))]);
    }

    #[test]
    fn a_broken_quote_spoils_its_line_and_makes_the_next_ones_suspect() {
        let (rows, broken) = walk("1,\"x\n2,y\n3,\"z\"\n4,w\n", 2);
        assert_eq!(rows, [["2", "y"], ["3", "z"], ["4", "w"]]);
        assert_eq!(broken, [(0, Flaw::Unclosed)]);
        let (rows, broken) = walk("1,\"x\ny\"z,2\n4,w\"w\n", 2);
        assert_eq!(rows, [["4", "w\"w"]]);
        assert_eq!(broken, [(0, Flaw::Unclosed), (5, Flaw::StrayQuote)]);
        let (rows, broken) = walk("1,2\n3,\"4\n5,6\n", 2);
        assert_eq!(rows, [["1", "2"], ["5", "6"]]);
        assert_eq!(broken, [(4, Flaw::Unclosed)]);
    }
}
