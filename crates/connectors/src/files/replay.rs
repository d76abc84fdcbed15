//! Records that were set aside, read again by the options and types of today.
//!
//! A text record is a CSV record or a JSON object, a row record an object of exact texts. Ordinals of
//! the rows given are places in the list of records, so that the caller knows which one became a
//! row. A CSV record knows no header: of files with different ones, that one counts in whose order
//! the record fits; if several do, in different orders, the record stays set aside.

use std::sync::Arc;

use arrow_array::UInt64Array;
use async_trait::async_trait;
use futures::stream;
use towpath_ports::{
    Assignment, BoxStream, Event, Origin, Reader, Result, Rows, Split, TableSchema,
};
use towpath_vocab::{Mark, Place, Position, RawRecord, Reason, Reject, SplitId, TableName};

use super::cells::Nulls;
use super::chunk::{Chunk, from_readable};
use super::error::FilesError;
use super::rows::{Layout, Shape, parse};
use super::settle::{How, Settled};

/// What replayed records are called in places.
const OBJECT: &str = "replayed record";

/// Reads the records again.
pub(crate) fn reader(
    table: TableName,
    settled: Settled,
    records: Vec<RawRecord>,
) -> Result<Box<dyn Reader>, FilesError> {
    let mut layouts: Vec<Arc<Layout>> = Vec::new();
    for job in &settled.jobs {
        if let How::Text { layout, .. } = &job.how
            && !layouts.iter().any(|other| same_order(other, layout))
        {
            layouts.push(Arc::clone(layout));
        }
    }
    let by_name = Arc::new(Layout {
        table: table.clone(),
        schema: Arc::clone(&settled.schema),
        places: (0..settled.schema.fields().len()).map(Some).collect(),
        width: settled.schema.fields().len(),
        shape: Shape::Json {
            lines: false,
            max_record_bytes: usize::MAX,
        },
        nulls: Nulls::default(),
        times: settled.options.times.clone(),
        batch_rows: 1,
    });
    let records = Arc::new(records);
    let mut events = Vec::new();
    for (at, record) in records.iter().enumerate() {
        let given = match record {
            RawRecord::Text(text) => of_text(text, &layouts, &by_name, &settled)?,
            RawRecord::Row(text) => of_record(text.as_bytes(), &by_name)?,
        };
        events.extend(
            given
                .into_iter()
                .map(|event| renumbered(event, at as u64, &records)),
        );
    }
    Ok(Box::new(Replay {
        table: TableSchema {
            table,
            schema: settled.schema,
        },
        events,
    }))
}

fn same_order(one: &Layout, other: &Layout) -> bool {
    match (&one.shape, &other.shape) {
        (
            Shape::Csv { columns, .. },
            Shape::Csv {
                columns: others, ..
            },
        ) => columns == others,
        _ => true,
    }
}

fn of_text(
    text: &str,
    layouts: &[Arc<Layout>],
    by_name: &Arc<Layout>,
    settled: &Settled,
) -> Result<Vec<Event>, FilesError> {
    let bytes = from_readable(text, settled.options.encoding);
    let mut fits = Vec::new();
    let mut misfit = None;
    for layout in layouts {
        let events = of_record(&bytes, layout)?;
        if matches!(events.as_slice(), [Event::Rows(_)]) {
            fits.push(events);
        } else if misfit.is_none() {
            misfit = Some(events);
        }
    }
    match fits.len() {
        0 => Ok(misfit.unwrap_or_default()),
        1 => Ok(fits.pop().unwrap_or_default()),
        _ => Ok(vec![Event::Rejects(vec![Reject {
            table: by_name.table.clone(),
            place: Place {
                object: OBJECT.to_owned(),
                line: None,
                ordinal: 0,
            },
            raw: RawRecord::Text(text.to_owned()),
            reasons: vec![Reason {
                code: "columns".to_owned(),
                column: None,
                value: None,
                message: "the files have different orders of columns and the record fits several"
                    .to_owned(),
            }],
        }])]),
    }
}

fn of_record(bytes: &[u8], layout: &Arc<Layout>) -> Result<Vec<Event>, FilesError> {
    let newline = match &layout.shape {
        Shape::Csv { dialect, .. } => dialect.newline,
        Shape::Json { .. } => b'\n',
    };
    parse(Chunk::of_bytes(OBJECT, bytes.to_vec(), newline), layout)
}

fn renumbered(event: Event, at: u64, records: &Arc<Vec<RawRecord>>) -> Event {
    match event {
        Event::Rows(rows) => {
            let ordinals = UInt64Array::from_value(at, rows.len());
            Event::Rows(Rows {
                ordinals,
                origin: Arc::new(Records(Arc::clone(records))),
                ..rows
            })
        }
        Event::Rejects(mut rejects) => {
            for reject in &mut rejects {
                reject.place = place(at);
                if let Some(raw) = usize::try_from(at).ok().and_then(|at| records.get(at)) {
                    reject.raw = raw.clone();
                }
            }
            Event::Rejects(rejects)
        }
        other => other,
    }
}

fn place(at: u64) -> Place {
    Place {
        object: OBJECT.to_owned(),
        line: None,
        ordinal: at,
    }
}

#[derive(Debug)]
struct Records(Arc<Vec<RawRecord>>);

impl Origin for Records {
    fn place(&self, ordinal: u64) -> Place {
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
        events.push(Event::Boundary(Mark::at(0)));
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
