//! Records of a chunk that are no rows, told with their reasons when somebody asks.
//!
//! Promise: until then each takes a few bytes, however many there are; then they come in the order of
//! the file, a few at a time. It does not find them: that is `rows.rs`.

use std::sync::Arc;

use arrow_schema::DataType;
use towpath_ports::Event;
use towpath_vocab::{RawRecord, Reason, Reject};

use super::chunk::{Chunk, Passed};
use super::column::Readings;
use super::csv::{self, Dialect, Flaw};
use super::json;
use super::lines::{self, LineFormat};
use super::path_columns::PathColumn;
use super::readable::readable;
use super::rows::{Layout, RecordFormat, disagreements, place};
use super::xml::{self, Reading};

/// Rejects that are told together.
const TOGETHER: usize = 256;
/// What is kept of a record that is too long.
const HEAD_BYTES: usize = 4096;
/// Stands behind a record that was cut: what is kept of it must never be taken for all of it.
pub(crate) const CUT_OFF: &str = "\n[… cut off here; the file holds the rest …]";

/// A record that is no row.
pub(crate) struct PendingReject {
    pub(crate) start: usize,
    pub(crate) flaw: Flawed,
}

/// What is wrong with it.
pub(crate) enum Flawed {
    /// Its values; which of them is found when it is told.
    Values,
    /// The chunk is its head.
    TooLong,
    Csv {
        end: usize,
        flaw: Flaw,
    },
    /// `None` when a look at the record alone shows it again.
    Json {
        end: usize,
        flaw: Option<Box<json::Flaw>>,
    },
    /// What is wrong with a line or an element, a second look tells.
    Line,
}

impl PendingReject {
    pub(crate) fn csv(broken: csv::Broken) -> Self {
        Self {
            start: broken.start,
            flaw: Flawed::Csv {
                end: broken.end,
                flaw: broken.flaw,
            },
        }
    }

    pub(crate) fn line(start: usize) -> Self {
        Self {
            start,
            flaw: Flawed::Line,
        }
    }

    pub(crate) fn json(broken: json::Broken, lines: bool) -> Self {
        Self {
            start: broken.start,
            flaw: Flawed::Json {
                end: broken.end,
                flaw: (!lines).then(|| Box::new(broken.flaw)),
            },
        }
    }
}

/// Tells the records of a chunk that were set aside.
pub(crate) struct Rejects {
    pub(crate) chunk: Arc<Chunk>,
    pub(crate) layout: Arc<Layout>,
    pub(crate) records: std::vec::IntoIter<PendingReject>,
}

impl Iterator for Rejects {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let some: Vec<PendingReject> = self.records.by_ref().take(TOGETHER).collect();
        let rejects: Vec<Reject> = some.into_iter().map(|record| self.reject(record)).collect();
        (!rejects.is_empty()).then_some(Event::Rejects(rejects))
    }
}

impl Rejects {
    fn reject(&self, aside: PendingReject) -> Reject {
        let PendingReject { start, flaw } = aside;
        let (record, mut reasons) = self.told(start, &flaw);
        if matches!(flaw, Flawed::Values) {
            reasons.extend(self.of_path(record));
        }
        let place = place(&self.chunk, start);
        let raw = match self.extent(start, &flaw) {
            None => readable(record),
            Some(passed) => {
                let kept = record.get(..HEAD_BYTES).unwrap_or(record);
                let is_head = matches!(flaw, Flawed::TooLong);
                let is_cut = is_head || kept.len() < record.len();
                let first = place.line.unwrap_or(passed.last_line);
                for reason in reasons.iter_mut().take(1) {
                    let words = extent_words(first, passed, is_cut.then_some(kept.len()));
                    reason.message.push_str(&words);
                }
                readable(kept) + if is_cut { CUT_OFF } else { "" }
            }
        };
        Reject {
            table: self.layout.table.clone(),
            place,
            raw: RawRecord::Text(raw),
            reasons,
        }
    }

    /// What the path of the file has against a record whose shape is right.
    fn of_path(&self, record: &[u8]) -> Vec<Reason> {
        let paths = &self.layout.from_path;
        let mut reasons: Vec<Reason> = paths.iter().filter_map(PathColumn::misfit).collect();
        // Whatever keeps the values from being compared is told for the record itself.
        let differ = match paths.is_empty() {
            true => Vec::new(),
            false => disagreements(record, &self.layout).unwrap_or_default(),
        };
        let differ = differ.into_iter().filter_map(|index| paths.get(index));
        let is_told = |path: &&PathColumn| path.misfit().is_none();
        reasons.extend(differ.filter(is_told).map(PathColumn::disagreement));
        reasons
    }

    /// The text of a record and the reasons that it shows itself.
    fn told(&self, start: usize, flaw: &Flawed) -> (&[u8], Vec<Reason>) {
        match &self.layout.shape {
            RecordFormat::Csv { dialect, columns } => self.of_csv(start, flaw, dialect, columns),
            RecordFormat::Json {
                lines,
                max_record_bytes,
                ..
            } => self.of_json(start, flaw, *lines, *max_record_bytes),
            RecordFormat::Lines {
                format,
                columns,
                max_record_bytes,
            } => self.of_line(start, flaw, (format, columns), *max_record_bytes),
            RecordFormat::Xml { reading, .. } => self.of_element(start, flaw, *reading),
        }
    }

    /// How far a record goes that is too long.
    fn extent(&self, start: usize, flaw: &Flawed) -> Option<Passed> {
        match flaw {
            Flawed::TooLong => self.chunk.too_long,
            Flawed::Csv {
                flaw: Flaw::TooLong,
                end,
            } => Some(Passed {
                bytes: end.saturating_sub(start) as u64,
                last_line: self.chunk.line_of(end.saturating_sub(1)),
                to_end: false,
            }),
            _ => None,
        }
    }

    fn of_csv(
        &self,
        start: usize,
        flaw: &Flawed,
        dialect: &Dialect,
        columns: &[(String, Option<DataType>)],
    ) -> (&[u8], Vec<Reason>) {
        let bytes = self.chunk.bytes.as_slice();
        match flaw {
            Flawed::Csv { end, flaw } => {
                let record = csv::without_line_end(
                    bytes.get(start..*end).unwrap_or_default(),
                    dialect.newline,
                );
                let mut reasons = vec![flaw_reason(*flaw, columns.len(), dialect)];
                reasons.extend(csv::foreign(record));
                (record, reasons)
            }
            Flawed::Values => {
                let record = csv::record_at(bytes, dialect, start);
                let reasons = csv::reasons(record, dialect, columns, &self.readings());
                (record, reasons)
            }
            Flawed::TooLong | Flawed::Json { .. } | Flawed::Line => {
                let reason = flaw_reason(Flaw::TooLong, columns.len(), dialect);
                (bytes, vec![reason])
            }
        }
    }

    fn of_json(
        &self,
        start: usize,
        flaw: &Flawed,
        lines: bool,
        max_record_bytes: usize,
    ) -> (&[u8], Vec<Reason>) {
        let bytes = self.chunk.bytes.as_slice();
        match flaw {
            Flawed::Json { end, flaw } => {
                let record = bytes.get(start..*end).unwrap_or_default();
                let reason = match flaw {
                    Some(flaw) => flaw.reason(),
                    None => self.json_flaw(record, max_record_bytes).reason(),
                };
                (record, vec![reason])
            }
            Flawed::Values => {
                let record = json::record_at(bytes, start, lines);
                let reasons = json::reasons(record, &self.layout.schema, &self.readings());
                (record, reasons)
            }
            Flawed::TooLong | Flawed::Csv { .. } | Flawed::Line => {
                let reason = json::Flaw::too_long(max_record_bytes).reason();
                (bytes, vec![reason])
            }
        }
    }

    fn of_line(
        &self,
        start: usize,
        flaw: &Flawed,
        (format, columns): (&LineFormat, &[(String, Option<DataType>)]),
        max_record_bytes: usize,
    ) -> (&[u8], Vec<Reason>) {
        let bytes = self.chunk.bytes.as_slice();
        let line = lines::record_at(bytes, start);
        match flaw {
            Flawed::TooLong => (bytes, vec![lines::too_long(max_record_bytes)]),
            Flawed::Values => (
                line,
                lines::reasons(line, format, columns, &self.readings()),
            ),
            Flawed::Line | Flawed::Csv { .. } | Flawed::Json { .. } => (
                line,
                vec![lines::wrong_with(line, format, max_record_bytes)],
            ),
        }
    }

    fn of_element(&self, start: usize, flaw: &Flawed, reading: Reading) -> (&[u8], Vec<Reason>) {
        let bytes = self.chunk.bytes.as_slice();
        let record = xml::record_at(bytes, &self.chunk.records, start);
        match flaw {
            Flawed::TooLong => (bytes, vec![lines::too_long(reading.max_record_bytes)]),
            Flawed::Values => {
                let schema = &self.layout.schema;
                (
                    record,
                    xml::reasons(record, reading, schema, &self.readings()),
                )
            }
            Flawed::Line | Flawed::Csv { .. } | Flawed::Json { .. } => {
                (record, vec![xml::wrong_with(record, reading)])
            }
        }
    }

    /// What is wrong with a line, looked at once more.
    fn json_flaw(&self, line: &[u8], max_record_bytes: usize) -> json::Flaw {
        let fields = self.layout.schema.fields().iter();
        let names: Vec<&str> = fields.map(|field| field.name().as_str()).collect();
        let mut broken = Vec::new();
        json::Walk::new(line, true, max_record_bytes).rows(
            1,
            &mut json::Table::new(&names),
            &mut broken,
        );
        let flaw = broken.pop().map(|broken| broken.flaw);
        flaw.unwrap_or_else(|| json::Flaw::too_long(max_record_bytes))
    }

    fn readings(&self) -> Readings<'_> {
        Readings {
            nulls: &self.layout.nulls,
            formats: &self.layout.formats,
            exact: &self.layout.exact,
        }
    }
}

/// Which lines a record takes, and what is not kept of it.
fn extent_words(first: u64, passed: Passed, kept: Option<usize>) -> String {
    let Passed {
        bytes, last_line, ..
    } = passed;
    let mut words = if passed.to_end {
        format!("; everything from line {first} to the end of the file was skipped")
    } else if last_line > first {
        format!(
            "; it reaches from line {first} to line {last_line} ({} lines, {bytes} bytes), unless a stray quote opens it",
            last_line - first + 1
        )
    } else {
        format!("; it has {bytes} bytes")
    };
    if let Some(kept) = kept {
        words.push_str(&format!(
            "; the first {kept} are stored, too few for a replay: correct the file or raise the limit, and load it again"
        ));
    }
    words
}

fn flaw_reason(flaw: Flaw, width: usize, dialect: &Dialect) -> Reason {
    Reason {
        code: flaw.code().to_owned(),
        column: None,
        value: None,
        message: flaw.words(width, dialect.max_record_bytes),
    }
}
