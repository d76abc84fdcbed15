//! Records of a program: their places, and what is kept of one that is rejected, so that it can be read
//! again without the program.
//!
//! Promise: a place names the connection and the table, never the file in which the output lay, so the same
//! record has the same place in every run. A record of CSV is kept with the header before it. Read next:
//! `source.rs`, `files/replay.rs`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::Arc;

use arrow_ipc::writer::FileWriter;
use arrow_schema::Schema;
use towpath_ports::{Event, Origin, RejectedRecord, Rows};
use towpath_vocab::{RawRecord, RecordLocation};

use crate::stage::private;

/// The longest header.
const HEADER_BYTES: u64 = 1 << 20;

/// What is the same for all records of an output.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// What their places name.
    pub(super) object: Arc<str>,
    /// The first line of CSV that has one.
    pub(super) header: Option<Arc<str>>,
}

impl Named {
    fn place(&self, place: RecordLocation) -> RecordLocation {
        RecordLocation {
            object: self.object.to_string(),
            ..place
        }
    }

    fn raw(&self, raw: RawRecord) -> RawRecord {
        match (raw, &self.header) {
            (RawRecord::Text(text), Some(header)) => RawRecord::Text(format!("{header}\n{text}")),
            (raw, _) => raw,
        }
    }

    /// An event with the names of these records.
    pub(super) fn event(&self, event: Event) -> Event {
        match event {
            Event::Rows(rows) => Event::Rows(Rows {
                origin: Arc::new(NamedOrigin {
                    named: self.clone(),
                    inner: Arc::clone(&rows.origin),
                }),
                ..rows
            }),
            Event::Rejects(mut rejects) => {
                for reject in &mut rejects {
                    reject.place = self.place(reject.place.clone());
                    reject.raw = self.raw(reject.raw.clone());
                }
                Event::Rejects(rejects)
            }
            other => other,
        }
    }
}

#[derive(Debug)]
struct NamedOrigin {
    named: Named,
    inner: Arc<dyn Origin>,
}

impl Origin for NamedOrigin {
    fn place(&self, ordinal: u64) -> RecordLocation {
        self.named.place(self.inner.place(ordinal))
    }

    fn raw(&self, ordinal: u64) -> RawRecord {
        self.named.raw(self.inner.raw(ordinal))
    }
}

/// The first line of a file.
pub(super) fn header(path: &Path) -> std::io::Result<Option<Arc<str>>> {
    use std::io::Read as _;
    let mut line = Vec::new();
    let file = std::fs::File::open(path)?.take(HEADER_BYTES);
    BufReader::new(file).read_until(b'\n', &mut line)?;
    while line
        .last()
        .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
    {
        line.pop();
    }
    let text = String::from_utf8(line).ok();
    Ok(text.filter(|text| !text.is_empty()).map(Arc::from))
}

/// Records that are read again.
#[derive(Debug)]
pub(super) struct Again {
    /// As they were kept.
    originals: Arc<Vec<RawRecord>>,
    /// As a file of today has them.
    pub(super) records: Vec<RejectedRecord>,
    /// The texts, with the header if there is one.
    text: String,
}

impl Again {
    /// Of records whose text begins with a header, or not.
    pub(super) fn of(records: Vec<RejectedRecord>, has_header: bool) -> Self {
        let originals = records.iter().map(|record| record.raw.clone()).collect();
        let mut text = String::new();
        let mut known: Option<String> = None;
        let records = records.into_iter().map(|mut record| {
            if let RawRecord::Text(kept) = &record.raw {
                let (header, own) = match kept.split_once('\n').filter(|_| has_header) {
                    Some((header, own)) => (Some(header), own),
                    None => (None, kept.as_str()),
                };
                if known.is_none()
                    && let Some(header) = header
                {
                    known = Some(header.to_owned());
                    text.push_str(header);
                    text.push('\n');
                }
                // A record of another header is not one of this file: it stays rejected.
                let own = match known.as_deref() == header {
                    true => own.to_owned(),
                    false => kept.clone(),
                };
                text.push_str(&own);
                text.push('\n');
                record.raw = RawRecord::Text(own);
            }
            record
        });
        Self {
            records: records.collect(),
            originals: Arc::new(originals),
            text,
        }
    }

    /// Writes a file that says how the records are read: their texts, or the columns of rows without text.
    pub(super) fn write(&self, path: &Path, columns: Option<&Schema>) -> std::io::Result<()> {
        let mut file = private(path)?;
        let Some(columns) = columns else {
            return file.write_all(self.text.as_bytes());
        };
        let written = FileWriter::try_new(file, columns).and_then(|mut writer| writer.finish());
        written.map_err(std::io::Error::other)
    }

    /// An event of these records, with what was kept of them.
    pub(super) fn event(originals: &Arc<Vec<RawRecord>>, event: Event) -> Event {
        match event {
            Event::Rows(rows) => Event::Rows(Rows {
                origin: Arc::new(KeptOrigin {
                    originals: Arc::clone(originals),
                    inner: Arc::clone(&rows.origin),
                }),
                ..rows
            }),
            Event::Rejects(mut rejects) => {
                for reject in &mut rejects {
                    if let Some(kept) = kept(originals, reject.place.ordinal) {
                        reject.raw = kept;
                    }
                }
                Event::Rejects(rejects)
            }
            other => other,
        }
    }

    pub(super) fn originals(&self) -> Arc<Vec<RawRecord>> {
        Arc::clone(&self.originals)
    }
}

fn kept(originals: &[RawRecord], ordinal: u64) -> Option<RawRecord> {
    let at = usize::try_from(ordinal).ok()?;
    originals.get(at).cloned()
}

#[derive(Debug)]
struct KeptOrigin {
    originals: Arc<Vec<RawRecord>>,
    inner: Arc<dyn Origin>,
}

impl Origin for KeptOrigin {
    fn place(&self, ordinal: u64) -> RecordLocation {
        self.inner.place(ordinal)
    }

    fn raw(&self, ordinal: u64) -> RawRecord {
        kept(&self.originals, ordinal).unwrap_or_else(|| self.inner.raw(ordinal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> RejectedRecord {
        RejectedRecord {
            place: RecordLocation {
                object: "p/t".to_owned(),
                line: None,
                ordinal: 0,
            },
            raw: RawRecord::Text(text.to_owned()),
        }
    }

    #[test]
    fn records_with_another_header_are_not_read_as_if_they_had_this_one() {
        let again = Again::of(
            vec![record("a,b\n1,2"), record("a,b\n3,4"), record("b,a\n5,6")],
            true,
        );
        assert_eq!(again.text, "a,b\n1,2\n3,4\nb,a\n5,6\n");
        let texts = again.records.iter().map(|record| record.raw.clone());
        let wanted = ["1,2", "3,4", "b,a\n5,6"];
        assert!(texts.eq(wanted.map(|text| RawRecord::Text(text.to_owned()))));
        let plain = Again::of(vec![record("{\"a\":1}")], false);
        assert_eq!(plain.text, "{\"a\":1}\n");
    }
}
