//! Rejected records, read again by the options and types of today.
//!
//! Promise: no record is lost. A text record is a CSV record, a JSON object or an element, a row record an object of
//! exact texts. Ordinals of the rows given are places in the list of records, so that the caller knows which
//! one became a row. A CSV record knows no header: of files with different ones, that one counts in whose
//! order the record fits; if several do, in different orders, the record stays rejected. No record vanishes:
//! each gives exactly one row or one reject; one that was cut never gives a row. Columns of a path are those of the file that
//! the record came from. Read next: `rejects.rs`.

use std::sync::Arc;

use arrow_array::UInt64Array;
use async_trait::async_trait;
use futures::stream;
use towpath_ports::{
    Assignment, BoxStream, Event, Origin, Reader, RejectedRecord, Result, Rows, Split, TableSchema,
};
use towpath_vocab::{
    Position, RawRecord, Reason, RecordLocation, Reject, SplitId, SplitPosition, TableName,
};

use super::chunk::Chunk;
use super::error::FilesError;
use super::job::{How, Settled};
use super::path_rules::PathRules;
use super::path_values::PathValues;
use super::readable::from_readable;
use super::record::row_of;
use super::rejects::CUT_OFF;
use super::rows::{Layout, RecordFormat, parse};

/// What replayed records are called in places.
const OBJECT: &str = "replayed record";

/// Reads the records again.
pub(crate) fn reader(
    table: TableName,
    settled: Settled,
    records: Vec<RejectedRecord>,
    paths: &PathRules,
) -> Result<Box<dyn Reader>, FilesError> {
    let mut layouts: Vec<Arc<Layout>> = Vec::new();
    for job in &settled.jobs {
        if let How::Text { layout, .. } = &job.how
            && !layouts.iter().any(|other| same_order(other, layout))
        {
            layouts.push(Arc::clone(layout));
        }
    }
    let mut events = Vec::with_capacity(records.len());
    let today = settled
        .jobs
        .first()
        .map(|job| Arc::clone(&job.file.path_values));
    let today = today.unwrap_or_default();
    let (places, records): (Vec<RecordLocation>, Vec<RawRecord>) = records
        .into_iter()
        .map(|record| (record.place, record.raw))
        .unzip();
    let records = Arc::new(records);
    for (at, (record, from)) in records.iter().zip(&places).enumerate() {
        let given = match (paths.of_record(&from.object, &today), record) {
            (Err(why), _) => refused("path", &why),
            (Ok(values), RawRecord::Text(text)) => of_text(text, (&layouts, &values), &settled)?,
            (Ok(values), RawRecord::Row(text)) => of_row(text, &table, (&settled, &values))?,
        };
        let reasons = match given {
            RereadRecord::Row(rows) => {
                events.push(Event::Rows(renumbered(*rows, at as u64, &records)));
                continue;
            }
            RereadRecord::Reasons(reasons) => reasons,
        };
        events.push(Event::Rejects(vec![Reject {
            table: table.clone(),
            place: place(at as u64),
            raw: record.clone(),
            reasons,
        }]));
    }
    Ok(Box::new(Replay {
        table: TableSchema {
            table,
            schema: settled.schema,
        },
        events,
    }))
}

/// Reads rejected objects again that no file has.
pub(crate) fn of_objects(
    layout: Arc<Layout>,
    records: Vec<RejectedRecord>,
) -> Result<Box<dyn Reader>, FilesError> {
    let records: Vec<RawRecord> = records.into_iter().map(|record| record.raw).collect();
    let records = Arc::new(records);
    let mut events = Vec::with_capacity(records.len());
    for (at, record) in records.iter().enumerate() {
        let given = match record {
            RawRecord::Text(text) if text.ends_with(CUT_OFF) => {
                refused("too_long", "only the start of the record was stored")
            }
            RawRecord::Text(text) => of_record(&from_readable(text, None), &layout)?,
            RawRecord::Row(_) => refused("columns", "the record is no text"),
        };
        events.push(match given {
            RereadRecord::Row(rows) => Event::Rows(renumbered(*rows, at as u64, &records)),
            RereadRecord::Reasons(reasons) => Event::Rejects(vec![Reject {
                table: layout.table.clone(),
                place: place(at as u64),
                raw: record.clone(),
                reasons,
            }]),
        });
    }
    Ok(Box::new(Replay {
        table: TableSchema {
            table: layout.table.clone(),
            schema: Arc::clone(&layout.schema),
        },
        events,
    }))
}

fn same_order(one: &Layout, other: &Layout) -> bool {
    match (&one.shape, &other.shape) {
        (
            RecordFormat::Csv { columns, .. },
            RecordFormat::Csv {
                columns: others, ..
            },
        ) => columns == others,
        _ => true,
    }
}

/// What a record is today: exactly one row, or the reasons why not.
enum RereadRecord {
    Row(Box<Rows>),
    Reasons(Vec<Reason>),
}

fn refused(code: &str, message: &str) -> RereadRecord {
    RereadRecord::Reasons(vec![Reason {
        code: code.to_owned(),
        column: None,
        value: None,
        message: message.to_owned(),
    }])
}

fn of_text(
    text: &str,
    (layouts, of_path): (&[Arc<Layout>], &PathValues),
    settled: &Settled,
) -> Result<RereadRecord, FilesError> {
    if text.ends_with(CUT_OFF) {
        return Ok(refused(
            "too_long",
            "only the start of the record was stored: correct its file or raise `max_record_bytes`, and load the file again",
        ));
    }
    let bytes = from_readable(text, settled.options.encoding);
    let (mut fits, mut misfit) = (Vec::new(), None);
    for layout in layouts {
        match of_record(&bytes, &layout.with_path(of_path))? {
            RereadRecord::Row(rows) => fits.push(rows),
            reasons => misfit = misfit.or(Some(reasons)),
        }
    }
    let fit = fits.pop();
    Ok(match fit {
        Some(rows) if fits.is_empty() => RereadRecord::Row(rows),
        Some(_) => refused(
            "columns",
            "the files have different orders of columns, and the record fits more than one",
        ),
        None => misfit.unwrap_or_else(|| {
            refused(
                "columns",
                "the record is text, but the table is now read from files without texts",
            )
        }),
    })
}

fn of_record(bytes: &[u8], layout: &Arc<Layout>) -> Result<RereadRecord, FilesError> {
    let newline = match &layout.shape {
        RecordFormat::Csv { dialect, .. } => dialect.newline,
        RecordFormat::Json { .. } | RecordFormat::Lines { .. } | RecordFormat::Xml { .. } => b'\n',
    };
    let mut chunk = Chunk::of_bytes(OBJECT, bytes.to_vec(), newline);
    chunk.records = vec![(0, bytes.len())];
    let events = parse(chunk, layout)?;
    let (mut rows, mut rejects) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Rows(some) => rows.push(some),
            Event::Rejects(some) => rejects.extend(some),
            _ => {}
        }
    }
    Ok(match (rows.pop(), rejects.pop()) {
        (Some(row), None) if rows.is_empty() && row.len() == 1 => RereadRecord::Row(Box::new(row)),
        (None, Some(reject)) if rejects.is_empty() => RereadRecord::Reasons(reject.reasons),
        (None, None) => refused("columns", "the record is empty"),
        _ => refused("columns", "the text is now several records"),
    })
}

fn of_row(
    text: &str,
    table: &TableName,
    (settled, of_path): (&Settled, &PathValues),
) -> Result<RereadRecord, FilesError> {
    let row = row_of(text, &settled.schema, &settled.own, of_path);
    let row = row.map_err(|error| FilesError::Columns {
        path: OBJECT.to_owned(),
        why: error.to_string(),
    })?;
    Ok(match row {
        Ok(batch) => RereadRecord::Row(Box::new(Rows::of_batch(table.clone(), OBJECT, batch, 0))),
        Err(reasons) => RereadRecord::Reasons(reasons),
    })
}

fn renumbered(rows: Rows, at: u64, records: &Arc<Vec<RawRecord>>) -> Rows {
    Rows {
        ordinals: UInt64Array::from_value(at, rows.len()),
        origin: Arc::new(Records(Arc::clone(records))),
        ..rows
    }
}

fn place(at: u64) -> RecordLocation {
    RecordLocation {
        object: OBJECT.to_owned(),
        line: None,
        ordinal: at,
    }
}

#[derive(Debug)]
struct Records(Arc<Vec<RawRecord>>);

impl Origin for Records {
    fn place(&self, ordinal: u64) -> RecordLocation {
        place(ordinal)
    }

    fn raw(&self, ordinal: u64) -> RawRecord {
        let record = usize::try_from(ordinal)
            .ok()
            .and_then(|at| self.0.get(at))
            .cloned();
        record.unwrap_or_else(|| RawRecord::Text(String::new()))
    }
}

struct Replay {
    table: TableSchema,
    events: Vec<Event>,
}

#[async_trait]
impl Reader for Replay {
    fn tables(&self) -> Vec<TableSchema> {
        vec![self.table.clone()]
    }

    fn bounded(&self) -> bool {
        true
    }

    fn splits(&mut self) -> BoxStream<Result<Assignment>> {
        let mut events = std::mem::take(&mut self.events);
        events.push(Event::Boundary(SplitPosition::at(0)));
        events.push(Event::End);
        let split = Split {
            id: SplitId("replay".to_owned()),
            events: Box::pin(stream::iter(events.into_iter().map(Ok))),
        };
        let all = [
            Ok(Assignment::Assigned(split)),
            Ok(Assignment::Complete(Position::default())),
        ];
        Box::pin(stream::iter(all))
    }

    async fn committed(&mut self, _: &Position) -> Result<()> {
        Ok(())
    }
}
