//! A CSV text that is in memory as a whole, such as the answer of an API.
//!
//! Promise: its records are those that a file of the same text has, by the rules of `scan.rs`; a record
//! that a file would have rejected is an error here, with its line. It does not know what becomes of the
//! cells. Read next: `index.rs`.

use super::index::{Index, Walk, unescape};
use super::scan::Dialect;
use crate::files::cells::Span;
use crate::files::chunk::Suspicion;

/// How the text is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) delimiter: u8,
    /// `None` where quotes are plain characters.
    pub(crate) quote: Option<u8>,
}

/// A cell, and whether it is between quotes.
pub(crate) type Cell = (Vec<u8>, bool);

impl Whole {
    fn dialect(&self, text: &[u8]) -> Dialect {
        // A text that knows no other line end has `\r`.
        let newline = match memchr::memchr(b'\n', text).is_none() && text.contains(&b'\r') {
            true => b'\r',
            false => b'\n',
        };
        Dialect {
            delimiter: self.delimiter,
            quote: self.quote.unwrap_or(newline),
            escape: None,
            comment: None,
            trim: false,
            newline,
            max_record_bytes: text.len().max(1),
            width: 0,
        }
    }

    /// Gives each record: the first one, and those with as many cells. Blank lines are none. The error is
    /// the line of the first broken record, and what is wrong with it.
    pub(crate) fn records(
        &self,
        text: &[u8],
        record: &mut dyn FnMut(Vec<Cell>),
    ) -> Result<(), (usize, String)> {
        if text.len() >= 1 << 31 {
            return Err((1, "the text is too long".to_owned()));
        }
        let dialect = self.dialect(text);
        let cell = |span: &Span| {
            let raw = span.text(text);
            let mut plain = Vec::with_capacity(raw.len());
            match span.is_escaped() {
                true => unescape(raw, &dialect, &mut plain),
                false => plain.extend_from_slice(raw),
            }
            (plain, span.is_quoted())
        };
        let mut walk = Walk::new(text, &dialect, Suspicion::NONE);
        let (mut index, mut broken) = (Index::any_width(), Vec::new());
        let mut width = 0;
        loop {
            let goes_on = walk.rows(1, &mut index, &mut broken);
            if let Some(flawed) = broken.first() {
                let line = 1 + memchr::memchr_iter(
                    dialect.newline,
                    text.get(..flawed.start).unwrap_or_default(),
                )
                .count();
                return Err((line, flawed.flaw.words(width, dialect.max_record_bytes)));
            }
            if !index.starts.is_empty() {
                let is_blank = index.spans.len() == 1
                    && width != 1
                    && index
                        .spans
                        .iter()
                        .all(|span| span.is_empty() && !span.is_quoted());
                if !is_blank {
                    if width == 0 {
                        width = index.spans.len();
                    }
                    record(index.spans.iter().map(cell).collect());
                }
                let known = width;
                index = if known == 0 {
                    Index::any_width()
                } else {
                    Index::new(known)
                };
            }
            if !goes_on {
                return Ok(());
            }
        }
    }
}
