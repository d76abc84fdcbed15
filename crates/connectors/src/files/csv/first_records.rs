//! The first records of a CSV file, to see how it is written: widths, empty cells, flaws.
//!
//! Promise: a record is taken apart exactly as the reader will do it later. It decides nothing: that
//! is `header.rs`.

use super::index::{Index, Walk, unescape};
use super::scan::{Dialect, RecordEnd};
use crate::files::cells::{Cells, Nulls, Span};
use crate::files::chunk::Suspicion;
use crate::files::infer::{Guess, InferOptions};

/// So many records are looked at.
const MOST: usize = 200;

/// A record that is neither blank nor a comment.
pub(super) struct FirstRecord {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Its cells, counted from `start`; none when the record is broken.
    pub(super) cells: Vec<Span>,
}

impl FirstRecord {
    /// Cells in it; none when it is broken.
    pub(super) fn width(&self) -> usize {
        self.cells.len()
    }

    /// Cells with something in them.
    pub(super) fn filled(&self) -> usize {
        self.cells.iter().filter(|cell| !cell.is_empty()).count()
    }

    fn is_empty_at(&self, at: usize) -> bool {
        self.cells.get(at).is_some_and(|cell| cell.is_empty())
    }

    pub(super) fn is_quoted(&self) -> bool {
        self.cells.iter().any(|cell| cell.is_quoted())
    }

    pub(super) fn starts_empty(&self) -> bool {
        self.is_empty_at(0)
    }

    pub(super) fn ends_empty(&self) -> bool {
        self.is_empty_at(self.cells.len().saturating_sub(1))
    }
}

/// The records from `at` on. A last one that may go on is left out.
pub(super) fn first_records(
    bytes: &[u8],
    mut at: usize,
    dialect: &Dialect,
    last: bool,
) -> Vec<FirstRecord> {
    let (mut records, mut suspect) = (Vec::new(), 0);
    while at < bytes.len() && records.len() < MOST {
        let RecordEnd::At(end) = dialect.record_end(bytes, at, &mut suspect, last) else {
            break;
        };
        let record = bytes.get(at..end).unwrap_or_default();
        let is_comment = dialect.comment.is_some() && record.first().copied() == dialect.comment;
        let is_blank = record.iter().all(|byte| dialect.ends_line(*byte));
        if !is_comment && !is_blank {
            let mut index = Index::any_width();
            let mut broken = Vec::new();
            Walk::new(record, dialect, Suspicion::NONE).rows(1, &mut index, &mut broken);
            if !broken.is_empty() {
                index.clear();
            }
            records.push(FirstRecord {
                start: at,
                end,
                cells: index.spans,
            });
        }
        at = end;
    }
    records
}

/// The texts of a record's cells.
pub(super) fn texts(record: &[u8], cells: &[Span], dialect: &Dialect) -> Vec<String> {
    let mut texts = Vec::with_capacity(cells.len());
    let nulls = Nulls::default();
    let undo = |text: &[u8], to: &mut Vec<u8>| unescape(text, dialect, to);
    column(record, cells, 1, 0, &nulls, &undo).each(|_, text, _| {
        texts.push(String::from_utf8_lossy(text.unwrap_or_default()).into_owned());
    });
    texts
}

fn column<'a>(
    bytes: &'a [u8],
    spans: &'a [Span],
    width: usize,
    column: usize,
    nulls: &'a Nulls,
    unescape: &'a dyn Fn(&[u8], &mut Vec<u8>),
) -> Cells<'a> {
    Cells {
        bytes,
        spans,
        width,
        column,
        nulls,
        unescape,
    }
}

/// What the columns of these records look like.
pub(super) fn guesses(
    bytes: &[u8],
    records: &[FirstRecord],
    dialect: &Dialect,
    nulls: &Nulls,
    infer: &InferOptions<'_>,
) -> Vec<Guess> {
    let mut guesses = vec![Guess::default(); dialect.width];
    let undo = |text: &[u8], to: &mut Vec<u8>| unescape(text, dialect, to);
    for record in records.iter().filter(|r| r.width() == dialect.width) {
        let bytes = bytes.get(record.start..record.end).unwrap_or_default();
        for (at, guess) in guesses.iter_mut().enumerate() {
            guess.see(
                &column(bytes, &record.cells, dialect.width, at, nulls, &undo),
                infer,
            );
        }
    }
    guesses
}
