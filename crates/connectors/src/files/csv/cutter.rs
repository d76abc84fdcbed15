//! Cuts a CSV file where records end. Bytes without a quote, the usual case, are cut at their last
//! line end without looking at any record.

use memchr::{memchr, memrchr};

use super::scan::{Dialect, RecordEnd};
use crate::files::chunk::{Cut, Cutter, Suspicion};

/// The cutter of one file.
pub(crate) struct CsvCutter {
    pub(crate) dialect: Dialect,
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
            match dialect.record_end(bytes, at, &mut suspicion.until, last) {
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
                RecordEnd::More | RecordEnd::TooLong => {
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
}
