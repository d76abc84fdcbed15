//! From record to record of a chunk: elements, and the records that are none.
//!
//! Promise: every record that the cutter found is one element for the taker or one broken record. What is wrong
//! with a broken one, a second look tells. Read next: `table.rs`, `../../exact/xml.rs`.

use towpath_vocab::Reason;

use crate::exact::xml::{Element, parse_within};
use crate::files::csv::encoding;
use crate::files::lines::too_long;

/// So many broken records are told at once.
const MOST_BROKEN: usize = 4096;

/// Elements and attributes of one record, so that its tree fits into memory too.
const MOST_PARTS: usize = 500_000;

/// How records are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) keeps_prefix: bool,
    /// Blanks around texts are no part of them.
    pub(crate) trims: bool,
    pub(crate) max_record_bytes: usize,
}

/// Takes elements.
pub(crate) trait Take {
    /// One record, which starts here in its chunk; false if its cells are too long.
    fn record(&mut self, element: &Element, start: usize) -> bool;

    /// Whether what was taken is enough for now.
    fn is_full(&self) -> bool {
        false
    }
}

/// A walk through the records of a chunk.
pub(crate) struct XmlWalk<'a> {
    bytes: &'a [u8],
    records: &'a [(usize, usize)],
    reading: Reading,
    at: usize,
}

impl<'a> XmlWalk<'a> {
    /// From the first record of a chunk.
    pub(crate) fn new(bytes: &'a [u8], records: &'a [(usize, usize)], reading: Reading) -> Self {
        Self {
            bytes,
            records,
            reading,
            at: 0,
        }
    }

    /// Gives up to `count` records to `take`, fewer when it is full or many are broken; false when the chunk is at
    /// its end.
    pub(crate) fn rows(
        &mut self,
        count: usize,
        take: &mut dyn Take,
        broken: &mut Vec<usize>,
    ) -> bool {
        let (mut taken, most) = (0, broken.len() + MOST_BROKEN);
        while taken < count && broken.len() < most && !take.is_full() {
            let Some((start, end)) = self.records.get(self.at).copied() else {
                return false;
            };
            self.at += 1;
            let record = self.bytes.get(start..end).unwrap_or_default();
            match read(record, self.reading) {
                Ok(element) if take.record(&element, start) => taken += 1,
                Ok(_) | Err(_) => broken.push(start),
            }
        }
        self.at < self.records.len()
    }
}

/// What is wrong with a record.
enum Flaw {
    TooLong,
    TooMany,
    Encoding,
    Xml(String),
    Names(String),
}

fn read(record: &[u8], reading: Reading) -> Result<Element, Flaw> {
    if record.len() > reading.max_record_bytes {
        return Err(Flaw::TooLong);
    }
    let text = std::str::from_utf8(record).map_err(|_| Flaw::Encoding)?;
    let element = parse_within(text, reading.keeps_prefix, MOST_PARTS).map_err(|wrong| {
        if wrong.has_too_many {
            return Flaw::TooMany;
        }
        let place = text.get(..wrong.at).map_or(text.len(), str::len);
        Flaw::Xml(format!(
            "at byte {} of the record: {}",
            place + 1,
            wrong.why
        ))
    })?;
    if let Some(name) = element.false_nil() {
        return Err(Flaw::Xml(format!(
            "`{name}` is `xsi:nil`, and has something in it"
        )));
    }
    match element.conflict() {
        None => Ok(element),
        Some((one, other)) => Err(Flaw::Names(format!(
            "`{one}` and `{other}` are in one element and would be one column; `prefixes: keep` makes two of them"
        ))),
    }
}

/// A record as an element; `None` if it cannot be read.
pub(super) fn element(record: &[u8], reading: Reading) -> Option<Element> {
    read(record, reading).ok()
}

/// Why a record is no row.
pub(crate) fn wrong_with(record: &[u8], reading: Reading) -> Reason {
    let (code, message) = match read(record, reading) {
        Err(Flaw::Encoding) => return encoding(None),
        Err(Flaw::Xml(why)) => ("xml", format!("is not a valid element: {why}")),
        Err(Flaw::Names(why)) => ("columns", why),
        Err(Flaw::TooMany) => (
            "too_long",
            format!("the record has more than {MOST_PARTS} elements and attributes"),
        ),
        Err(Flaw::TooLong) | Ok(_) => return too_long(reading.max_record_bytes),
    };
    Reason {
        code: code.to_owned(),
        column: None,
        value: None,
        message,
    }
}

/// The record that starts here.
pub(crate) fn record_at<'b>(bytes: &'b [u8], records: &[(usize, usize)], start: usize) -> &'b [u8] {
    let found = records.binary_search_by_key(&start, |(start, _)| *start);
    let found = found.ok().and_then(|at| records.get(at));
    found
        .and_then(|(start, end)| bytes.get(*start..*end))
        .unwrap_or_default()
}
