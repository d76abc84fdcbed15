//! From record to record of JSON text, and from members to columns.
//!
//! Lines: a record is a line; a broken one is rejected and the next line starts afresh. Values: a
//! record is an element of the array (or of a sequence); its end is found by brackets, so a broken
//! element is rejected alone, and only unbalanced brackets cost the rest of the file. An array
//! without its end was cut short: that is a failure, for no one knows what is missing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use memchr::{memchr, memchr2, memrchr};
use towpath_vocab::Reason;

use super::shape::{MOST_NAMES, Shape};
use super::skim::{Member, Skim, Wrong, key_of, unescape};
use crate::files::cells::Span;
use crate::files::chunk::{Cut, Cutter, Suspicion};
use crate::files::column::Readings;
use crate::files::csv::{cell_reasons, typed_columns};
use crate::files::infer::InferOptions;
use crate::files::value::TimeFormats;

/// What is wrong with a record.
#[derive(Clone, Debug)]
pub(crate) struct Flaw {
    code: &'static str,
    message: String,
}

impl Flaw {
    /// Longer than allowed.
    pub(crate) fn too_long(max_record_bytes: usize) -> Self {
        let message = format!(
            "the record is longer than {max_record_bytes} bytes or never ends; `max_record_bytes` allows more"
        );
        Self {
            code: "too_long",
            message,
        }
    }

    fn wrong(wrong: Wrong, start: usize) -> Self {
        let message = format!(
            "is not a valid JSON object: expected {} at byte {}",
            wrong.expected,
            wrong.at - start + 1
        );
        Self {
            code: "json",
            message,
        }
    }

    /// As a reason of a reject.
    pub(crate) fn reason(&self) -> Reason {
        Reason {
            code: self.code.to_owned(),
            column: None,
            value: None,
            message: self.message.clone(),
        }
    }
}

/// A record that is no row.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) flaw: Flaw,
}

/// Takes the members of records.
pub(crate) trait Take {
    /// One good record; refuses it when a key occurs twice.
    fn record(&mut self, bytes: &[u8], start: usize, members: &[Member]) -> Result<(), String>;
}

/// A walk rests after so many broken records, so that they can be put away.
const MOST_BROKEN: usize = 4096;

/// A walk through the records of a chunk.
pub(crate) struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    lines: bool,
    clean: bool,
    max_record_bytes: usize,
    members: Vec<Member>,
}

impl<'a> Walk<'a> {
    /// From the first byte of a chunk.
    pub(crate) fn new(bytes: &'a [u8], lines: bool, max_record_bytes: usize) -> Self {
        let clean = std::str::from_utf8(bytes).is_ok();
        Self {
            bytes,
            at: 0,
            lines,
            clean,
            max_record_bytes,
            members: Vec::new(),
        }
    }

    /// Gives up to `count` records to `take`, fewer when many are broken; false when the chunk is at
    /// its end.
    pub(crate) fn rows(
        &mut self,
        count: usize,
        take: &mut dyn Take,
        broken: &mut Vec<Broken>,
    ) -> bool {
        let mut taken = 0;
        let most = broken.len() + MOST_BROKEN;
        while taken < count && broken.len() < most {
            let Some((start, end)) = self.next_record() else {
                return false;
            };
            match self.check(start, end, take) {
                Ok(()) => taken += 1,
                Err(flaw) => broken.push(Broken { start, end, flaw }),
            }
        }
        self.at < self.bytes.len()
    }

    fn check(&mut self, start: usize, end: usize, take: &mut dyn Take) -> Result<(), Flaw> {
        let record = self.bytes.get(..end).unwrap_or_default();
        if end - start > self.max_record_bytes {
            return Err(Flaw::too_long(self.max_record_bytes));
        }
        if !self.clean && std::str::from_utf8(record.get(start..).unwrap_or_default()).is_err() {
            let message =
                "contains bytes that are not valid in this encoding; `encoding` sets a different one"
                    .to_owned();
            return Err(Flaw {
                code: "encoding",
                message,
            });
        }
        self.members.clear();
        Skim::new(record, start)
            .object(&mut self.members)
            .map_err(|wrong| Flaw::wrong(wrong, start))?;
        take.record(self.bytes, start, &self.members)
            .map_err(|key| Flaw {
                code: "columns",
                message: format!("the object has the key `{key}` twice"),
            })
    }

    /// The next record without its line end or separators.
    fn next_record(&mut self) -> Option<(usize, usize)> {
        let start = next_start(self.bytes, self.at, self.lines)?;
        let end = record_end(self.bytes, start, self.lines).unwrap_or(self.bytes.len());
        self.at = end;
        Some((start, end))
    }
}

/// Where the next record starts: behind blanks, and behind array separators outside lines.
fn next_start(bytes: &[u8], from: usize, lines: bool) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let skipped = rest.iter().take_while(|byte| match byte {
        b' ' | b'\t' | b'\n' | b'\r' => true,
        b',' | b'[' | b']' => !lines,
        _ => false,
    });
    let start = from + skipped.count();
    (start < bytes.len()).then_some(start)
}

/// Where the record that starts at `start` ends.
fn record_end(bytes: &[u8], start: usize, lines: bool) -> Option<usize> {
    let rest = bytes.get(start..)?;
    if lines {
        let end = start + memchr(b'\n', rest)?;
        let line = bytes.get(start..end)?;
        return Some(start + line.trim_ascii_end().len());
    }
    if !rest.starts_with(b"{") {
        let end = rest
            .iter()
            .position(|byte| matches!(byte, b',' | b'[' | b']' | b'{' | b'\n'));
        return end.map(|end| start + end.max(1));
    }
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at + 1)?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The place of the quote that ends the string.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// The text of the record that starts at `start`.
pub(crate) fn record_at(bytes: &[u8], start: usize, lines: bool) -> &[u8] {
    let end = record_end(bytes, start, lines).unwrap_or(bytes.len());
    bytes.get(start..end).unwrap_or_default()
}

/// Cuts JSON lines.
pub(crate) struct LineCutter {
    pub(crate) max_record_bytes: usize,
}

impl Cutter for LineCutter {
    fn cut(&mut self, bytes: &[u8], _: &mut Suspicion, last: bool) -> Cut {
        match memrchr(b'\n', bytes) {
            _ if last => Cut::Whole(bytes.len()),
            Some(end) => Cut::Whole(end + 1),
            None if bytes.len() >= self.max_record_bytes => Cut::TooLong(bytes.len()),
            None => Cut::More,
        }
    }

    fn newline(&self) -> u8 {
        b'\n'
    }
}

/// Cuts an array, or a sequence, of values.
pub(crate) struct JsonCutter {
    max_record_bytes: usize,
    /// The first and the last byte so far that are no blanks.
    ends: Option<(u8, u8)>,
}

impl JsonCutter {
    /// At the start of a file.
    pub(crate) fn new(max_record_bytes: usize) -> Self {
        Self {
            max_record_bytes,
            ends: None,
        }
    }

    fn find(&self, bytes: &[u8], last: bool) -> Cut {
        if last {
            return Cut::Whole(bytes.len());
        }
        let mut at = 0;
        loop {
            let Some(start) = next_start(bytes, at, false) else {
                return Cut::Whole(bytes.len());
            };
            match record_end(bytes, start, false) {
                Some(end) => at = end,
                None if at > 0 => return Cut::Whole(at),
                None if bytes.len() >= self.max_record_bytes => return Cut::TooLong(bytes.len()),
                None => return Cut::More,
            }
        }
    }
}

impl Cutter for JsonCutter {
    fn cut(&mut self, bytes: &[u8], _: &mut Suspicion, last: bool) -> Cut {
        let cut = self.find(bytes, last);
        if let Cut::Whole(length) = cut {
            let taken = bytes.get(..length).unwrap_or_default().trim_ascii();
            if let (Some(first), Some(last)) = (taken.first(), taken.last()) {
                let (first, _) = self.ends.unwrap_or((*first, *last));
                self.ends = Some((first, *last));
            }
        }
        cut
    }

    fn newline(&self) -> u8 {
        b'\n'
    }

    fn resumes(&self) -> bool {
        false
    }

    fn lacks(&self) -> Option<&'static str> {
        match self.ends {
            Some((b'[', last)) if last != b']' => {
                Some("its array does not end with `]`, so records may be missing")
            }
            _ => None,
        }
    }
}

/// The column of members without a name, as of the first column without a name in a CSV file.
pub(crate) const UNNAMED: &str = "column0";

/// The name of a member's column.
fn column_of(bytes: &[u8], key: Span) -> String {
    let name = key_of(bytes, key);
    match name.is_empty() {
        true => UNNAMED.to_owned(),
        false => name,
    }
}

/// Cells of records, one per column that is read; other keys are passed over.
pub(crate) struct Table<'n> {
    names: HashMap<&'n str, usize>,
    order: Vec<&'n str>,
    pub(crate) spans: Vec<Span>,
    pub(crate) starts: Vec<usize>,
    seen: Vec<bool>,
}

impl<'n> Table<'n> {
    /// With these columns.
    pub(crate) fn new(names: &[&'n str]) -> Self {
        Self {
            names: names
                .iter()
                .enumerate()
                .map(|(at, name)| (*name, at))
                .collect(),
            order: names.to_vec(),
            spans: Vec::new(),
            starts: Vec::new(),
            seen: vec![false; names.len()],
        }
    }

    /// Without rows again.
    pub(crate) fn clear(&mut self) {
        self.spans.clear();
        self.starts.clear();
    }

    /// The column of a member; keys mostly come in the order of the columns.
    fn column(&self, bytes: &[u8], key: Span, expected: usize) -> Option<usize> {
        if !key.is_escaped() {
            let text = key.text(bytes);
            if self
                .order
                .get(expected)
                .is_some_and(|name| name.as_bytes() == text)
            {
                return Some(expected);
            }
            let text = match text.is_empty() {
                true => UNNAMED,
                false => std::str::from_utf8(text).ok()?,
            };
            return self.names.get(text).copied();
        }
        self.names.get(column_of(bytes, key).as_str()).copied()
    }
}

impl Take for Table<'_> {
    fn record(&mut self, bytes: &[u8], start: usize, members: &[Member]) -> Result<(), String> {
        let first = self.spans.len();
        self.spans.resize(first + self.order.len(), Span::NULL);
        self.seen.fill(false);
        let mut expected = 0;
        for (key, value) in members {
            let Some(column) = self.column(bytes, *key, expected) else {
                continue;
            };
            expected = column + 1;
            let (Some(seen), Some(span)) = (
                self.seen.get_mut(column),
                self.spans.get_mut(first + column),
            ) else {
                continue;
            };
            if *seen {
                self.spans.truncate(first);
                return Err(column_of(bytes, *key));
            }
            *seen = true;
            *span = *value;
        }
        self.starts.push(start);
        Ok(())
    }
}

/// Which lists and objects are not looked into: they are JSON text.
#[derive(Clone, Debug)]
pub(crate) enum AsText {
    All,
    /// Those of these columns.
    Of(Arc<HashSet<String>>),
}

impl AsText {
    pub(crate) fn has(&self, column: &str) -> bool {
        match self {
            Self::All => true,
            Self::Of(columns) => columns.contains(column),
        }
    }
}

/// Columns of a chunk and what their values are, at most one more than allowed, in the order of their
/// first appearance.
pub(crate) struct Survey<'a> {
    pub(crate) columns: Vec<(String, Shape)>,
    places: HashMap<String, usize>,
    pub(crate) rows: u64,
    times: TimeFormats,
    most: usize,
    as_text: &'a AsText,
    /// Names of members that may still be kept.
    room: usize,
    /// A record has a member without a name.
    pub(crate) has_unnamed: bool,
}

impl<'a> Survey<'a> {
    /// With the user's patterns of times, for so many columns.
    pub(crate) fn new(times: &TimeFormats, most: usize, as_text: &'a AsText) -> Self {
        Self {
            columns: Vec::new(),
            places: HashMap::new(),
            rows: 0,
            times: times.clone(),
            most,
            as_text,
            room: MOST_NAMES,
            has_unnamed: false,
        }
    }

    fn column(&mut self, bytes: &[u8], key: Span, expected: usize) -> usize {
        if !key.is_escaped()
            && self
                .columns
                .get(expected)
                .is_some_and(|(name, _)| name.as_bytes() == key.text(bytes))
        {
            return expected;
        }
        let name = column_of(bytes, key);
        self.has_unnamed |= key.text(bytes).is_empty();
        if let Some(column) = self.places.get(&name) {
            return *column;
        }
        if self.columns.len() > self.most {
            return usize::MAX - 1;
        }
        let shape = match self.as_text.has(&name) {
            true => Shape::text(),
            false => Shape::default(),
        };
        self.columns.push((name.clone(), shape));
        self.places.insert(name, self.columns.len() - 1);
        self.columns.len() - 1
    }
}

impl Take for Survey<'_> {
    fn record(&mut self, bytes: &[u8], _: usize, members: &[Member]) -> Result<(), String> {
        let mut expected = 0;
        for (key, value) in members {
            let column = self.column(bytes, *key, expected);
            expected = column + 1;
            if let Some((_, shape)) = self.columns.get_mut(column) {
                let infer = InferOptions {
                    times: &self.times,
                    typed: true,
                    numbers: None,
                    commas: false,
                    semicolons: false,
                };
                shape.see(bytes, *value, &infer, &mut self.room);
            }
        }
        self.rows += 1;
        Ok(())
    }
}

/// Every value of a record that does not fit its column.
pub(crate) fn reasons(record: &[u8], schema: &SchemaRef, how: &Readings<'_>) -> Vec<Reason> {
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let mut table = Table::new(&names);
    Walk::new(record, false, usize::MAX).rows(1, &mut table, &mut Vec::new());
    cell_reasons(
        (record, &table.spans),
        &typed_columns(schema),
        &unescape,
        how,
    )
}
