//! Cuts a CSV file into chunks at the ends of records.
//!
//! Promise: bytes without a quote, the usual case, are cut at their last line end without reading any
//! record. It does not split records into fields: see `index.rs` and `scan.rs`.

use memchr::{memchr, memrchr};

use super::scan::{Dialect, Inside, RecordEnd, Rest};
use crate::files::chunk::{Cut, Cutter, Pass, Suspicion, pass_line};

/// The cutter of one file.
pub(crate) struct CsvCutter {
    dialect: Dialect,
    passing: Passing,
    /// Where the quoted field opened that makes a record too long.
    opened: usize,
    left_open: bool,
}

/// Where in a record that is too long.
enum Passing {
    Line,
    Quoted,
    /// Behind the quoted field.
    Rest,
}

impl CsvCutter {
    /// At the start of a file.
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            passing: Passing::Line,
            opened: 0,
            left_open: false,
        }
    }

    /// The head of a record that the quoted field which opens at `open` makes too long, up to where
    /// that field can be gone on with: not behind one of two quotes.
    fn inside(&mut self, bytes: &[u8], open: usize) -> Cut {
        self.passing = Passing::Quoted;
        self.opened = open;
        let limit = bytes.len().min(self.dialect.max_record_bytes);
        let field = bytes.get(open + 1..limit).unwrap_or_default();
        if let Some(end) = memrchr(self.dialect.newline, field) {
            return Cut::TooLong(open + 1 + end + 1);
        }
        let pairs =
            |byte: &&u8| **byte == self.dialect.quote || Some(**byte) == self.dialect.escape;
        let run = field.iter().rev().take_while(pairs).count();
        Cut::TooLong(open + 1 + field.len() - run)
    }
}

/// Whether a quoted field of the last record is open: a line end behind it does not end the record.
fn is_open(dialect: &Dialect, record: &[u8]) -> bool {
    let mut ended = record.to_vec();
    ended.push(dialect.newline);
    let end = dialect.record_end(&ended, 0, &mut 0, false);
    matches!(end, RecordEnd::More | RecordEnd::TooLongInside(_))
}

impl Cutter for CsvCutter {
    fn cut(&mut self, bytes: &[u8], suspicion: &mut Suspicion, last: bool) -> Cut {
        let dialect = &self.dialect;
        if !dialect.quotes() || memchr(dialect.quote, bytes).is_none() {
            return match memrchr(dialect.newline, bytes) {
                _ if last => Cut::Whole(bytes.len()),
                Some(end) => Cut::Whole(end + 1),
                None if bytes.len() >= dialect.max_record_bytes => Cut::TooLong(bytes.len()),
                None => Cut::More,
            };
        }
        let mut at = 0;
        // Records shown broken, each by something further on than the one before.
        let mut broken: Vec<(usize, usize)> = Vec::new();
        while at < bytes.len() {
            let before = suspicion.until;
            let mut found = dialect.record_end(bytes, at, &mut suspicion.until, false);
            if last && found == RecordEnd::More {
                // More bytes could tell otherwise.
                self.left_open = is_open(dialect, bytes.get(at..).unwrap_or_default());
                found = dialect.record_end(bytes, at, &mut suspicion.until, true);
            }
            match found {
                RecordEnd::At(end) => {
                    if suspicion.until > before {
                        broken.push((at, suspicion.until));
                    }
                    at = end;
                }
                RecordEnd::More if at == 0 => return Cut::More,
                RecordEnd::TooLong if at == 0 => {
                    return Cut::TooLong(bytes.len().min(dialect.max_record_bytes));
                }
                RecordEnd::TooLongInside(open) if at == 0 => return self.inside(bytes, open),
                RecordEnd::More | RecordEnd::TooLong | RecordEnd::TooLongInside(_) => {
                    suspicion.until = before;
                    break;
                }
            }
        }
        let beyond = broken.iter().find(|(_, until)| *until > at);
        suspicion.from = beyond.map_or(usize::MAX, |(start, _)| *start);
        Cut::Whole(at)
    }

    fn newline(&self) -> u8 {
        self.dialect.newline
    }

    fn pass(&mut self, bytes: &[u8], last: bool) -> Pass {
        match self.passing {
            Passing::Line => pass_line(self.dialect.newline, bytes, last),
            Passing::Quoted => match self.dialect.inside(bytes, last) {
                Inside::Closes(end) => {
                    self.passing = Passing::Rest;
                    Pass::GoesOn(end)
                }
                Inside::GoesOn(end) if !last => Pass::GoesOn(end),
                Inside::GoesOn(_) => {
                    self.left_open = true;
                    Pass::Never
                }
                Inside::Broken => Pass::Never,
            },
            Passing::Rest => match self.dialect.rest(bytes, last) {
                Rest::Ends(end) => {
                    self.passing = Passing::Line;
                    Pass::Ends(end)
                }
                Rest::GoesOn(end) => Pass::GoesOn(end),
                Rest::Stray(open) => {
                    self.passing = Passing::Line;
                    Pass::GoesOn(open + 1)
                }
                Rest::Open(open) => {
                    self.left_open = true;
                    self.passing = Passing::Line;
                    Pass::GoesOn(open + 1)
                }
                Rest::Long(open) => {
                    self.passing = Passing::Quoted;
                    Pass::Opens(open + 1)
                }
            },
        }
    }

    fn left_open(&self) -> bool {
        self.left_open
    }

    fn first_line(&mut self, head: &[u8]) -> Option<usize> {
        self.passing = Passing::Line;
        self.dialect.line_end(head, self.opened)
    }
}
