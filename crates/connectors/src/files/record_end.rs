//! Where the last whole record of a part of a CSV file ends.
//!
//! Promise: a line end inside of an open quoted field ends no record. A field that is longer than a record may be is
//! left to the read, which rejects it. It is asked only of what is new in a file that grew. Read next:
//! `file_position.rs`, `csv/cutter.rs`.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::chunk::{Cut, Cutter as _, Suspicion};
use super::csv::{CsvCutter, Dialect};

const STEP: u64 = 1 << 20;

/// The end of the last whole record between two places of a file, the first of which begins a record.
pub(super) fn last_record_end(
    path: &Path,
    dialect: &Dialect,
    (from, to): (u64, u64),
) -> io::Result<u64> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut input = file.take(to.saturating_sub(from));
    let mut cutter = CsvCutter::new(dialect.clone());
    let (mut carry, mut at) = (Vec::new(), from);
    let mut suspicion = Suspicion::NONE;
    while input.by_ref().take(STEP).read_to_end(&mut carry)? > 0 {
        match cutter.cut(&carry, &mut suspicion, false) {
            Cut::Whole(length) => {
                carry.drain(..length);
                at += length as u64;
                suspicion = Suspicion {
                    until: suspicion.until.saturating_sub(length),
                    ..Suspicion::NONE
                };
            }
            Cut::More => {}
            Cut::TooLong(_) | Cut::Damaged(_) => return Ok(to),
        }
    }
    Ok(at)
}
