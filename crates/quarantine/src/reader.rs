//! The waiting records as a `Reader`, in which rows and rejects keep the location of their first read.
//!
//! Promise: every record gives exactly one row or one reject, or nothing is committed. A source returns
//! replayed records one by one. They are combined into large batches, because each batch is one query on
//! the table (`newer_rows.rs`); the records are all in memory anyway.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::{RecordBatch, UInt64Array};
use arrow_schema::{ArrowError, Schema};
use arrow_select::concat::concat_batches;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::unfold;
use towpath_ports::{
    Assignment, BoxStream, Event, Origin, Reader, Result, Rows, Split, TableSchema,
};
use towpath_vocab::{Failure, Position, RawRecord, RecordLocation, Reject, Remedy, SplitPosition};

use crate::records::Record;

/// The most rows in one batch.
const GATHERED: usize = 50_000;

/// The replay of a source, in which an ordinal is a position in the list of records.
pub(crate) struct ReplayReader {
    pub(crate) inner: Box<dyn Reader>,
    pub(crate) records: Arc<Vec<Record>>,
}

#[async_trait]
impl Reader for ReplayReader {
    fn tables(&self) -> Vec<TableSchema> {
        self.inner.tables()
    }

    fn bounded(&self) -> bool {
        true
    }

    fn splits(&mut self) -> BoxStream<Result<Assignment>> {
        let records = Arc::clone(&self.records);
        let assignments = self.inner.splits().map(move |assignment| {
            Ok(match assignment? {
                Assignment::Assigned(split) => {
                    Assignment::Assigned(placed(split, Arc::clone(&records)))
                }
                Assignment::Complete(_) => Assignment::Complete(Position::default()),
                Assignment::Revoked(split) => Assignment::Revoked(split),
            })
        });
        assignments.boxed()
    }

    async fn committed(&mut self, _position: &Position) -> Result<()> {
        Ok(())
    }
}

fn placed(split: Split, records: Arc<Vec<Record>>) -> Split {
    let came_out = AtomicU64::new(0);
    let events = split.events.map(move |event| {
        Ok(match event? {
            Event::Rows(rows) => {
                came_out.fetch_add(rows.len() as u64, Ordering::Relaxed);
                Event::Rows(Rows {
                    origin: Arc::new(FirstOrigin(Arc::clone(&records))),
                    ..rows
                })
            }
            Event::Rejects(rejects) => {
                came_out.fetch_add(rejects.len() as u64, Ordering::Relaxed);
                let placed = rejects
                    .into_iter()
                    .map(|reject| first_place(reject, &records));
                Event::Rejects(placed.collect())
            }
            Event::End if came_out.load(Ordering::Relaxed) != records.len() as u64 => {
                return Err(unbalanced(came_out.load(Ordering::Relaxed), records.len()));
            }
            Event::Boundary(_) => Event::Boundary(SplitPosition::at(0)),
            other => other,
        })
    });
    Split {
        id: split.id,
        events: gathered(events.boxed()),
    }
}

/// Rows that wait to become one batch.
struct Gathering {
    events: BoxStream<Result<Event>>,
    rows: Vec<Rows>,
    count: usize,
    /// The event that came after them.
    next: Option<Result<Event>>,
}

/// The same events, with rows in batches as large as possible; rejects may come earlier.
fn gathered(events: BoxStream<Result<Event>>) -> BoxStream<Result<Event>> {
    let begin = Gathering {
        events,
        rows: Vec::new(),
        count: 0,
        next: None,
    };
    unfold(begin, |mut gathering| async move {
        let event = gathering.next_event().await?;
        Some((event, gathering))
    })
    .boxed()
}

impl Gathering {
    async fn next_event(&mut self) -> Option<Result<Event>> {
        if let Some(event) = self.next.take() {
            return Some(event);
        }
        while let Some(event) = self.events.next().await {
            match event {
                Ok(Event::Rows(rows)) if self.takes(&rows) => {
                    self.count += rows.len();
                    self.rows.push(rows);
                    if self.count >= GATHERED {
                        return self.batch();
                    }
                }
                Ok(Event::Rejects(rejects)) => return Some(Ok(Event::Rejects(rejects))),
                other => {
                    let Some(batch) = self.batch() else {
                        return Some(other);
                    };
                    self.next = Some(other);
                    return Some(batch);
                }
            }
        }
        self.batch()
    }

    fn takes(&self, rows: &Rows) -> bool {
        let first = self.rows.first();
        rows.ops.is_none()
            && first.is_none_or(|first| {
                first.table == rows.table && first.batch.schema() == rows.batch.schema()
            })
    }

    /// The collected rows as one batch.
    fn batch(&mut self) -> Option<Result<Event>> {
        self.count = 0;
        let mut rows = std::mem::take(&mut self.rows);
        let joined = match rows.len() {
            0 | 1 => None,
            _ => Some(joined(&rows)),
        };
        let last = rows.pop()?;
        Some(match joined {
            None => Ok(Event::Rows(last)),
            Some(Ok((batch, ordinals))) => Ok(Event::Rows(Rows {
                batch,
                ordinals,
                ..last
            })),
            Some(Err(error)) => {
                let message = format!("replayed rows cannot be combined: {error}");
                Err(Failure::new("R0977", Remedy::Bug, message))
            }
        })
    }
}

fn joined(rows: &[Rows]) -> std::result::Result<(RecordBatch, UInt64Array), ArrowError> {
    let schema = rows
        .first()
        .map_or_else(|| Arc::new(Schema::empty()), |rows| rows.batch.schema());
    let batch = concat_batches(&schema, rows.iter().map(|rows| &rows.batch))?;
    let ordinals = rows.iter().flat_map(|rows| rows.ordinals.values());
    Ok((batch, ordinals.copied().collect()))
}

fn unbalanced(came_out: u64, records: usize) -> Failure {
    let message = format!("{records} records were replayed, but {came_out} came out");
    Failure::new("R0976", Remedy::Bug, message).help("nothing was committed; please report this")
}

fn first_place(reject: Reject, records: &[Record]) -> Reject {
    match usize::try_from(reject.place.ordinal)
        .ok()
        .and_then(|at| records.get(at))
    {
        Some(record) => Reject {
            place: record.place.clone(),
            raw: record.raw.clone(),
            ..reject
        },
        None => reject,
    }
}

#[derive(Debug)]
struct FirstOrigin(Arc<Vec<Record>>);

impl FirstOrigin {
    fn record(&self, ordinal: u64) -> Option<&Record> {
        usize::try_from(ordinal).ok().and_then(|at| self.0.get(at))
    }
}

impl Origin for FirstOrigin {
    fn place(&self, ordinal: u64) -> RecordLocation {
        let unknown = || RecordLocation {
            object: "replayed record".to_owned(),
            line: None,
            ordinal,
        };
        self.record(ordinal)
            .map_or_else(unknown, |record| record.place.clone())
    }

    fn raw(&self, ordinal: u64) -> RawRecord {
        let unknown = || RawRecord::Row("{}".to_owned());
        self.record(ordinal)
            .map_or_else(unknown, |record| record.raw.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use arrow_array::cast::AsArray;
    use arrow_array::{ArrayRef, Int64Array};
    use futures::{TryStreamExt, stream};
    use towpath_vocab::TableName;

    use super::*;

    fn one(at: u64) -> Event {
        let table: TableName = "raw.t".parse().unwrap();
        match at % 3 {
            0 => Event::Rejects(vec![Reject {
                table,
                place: RecordLocation {
                    object: "x".to_owned(),
                    line: None,
                    ordinal: at,
                },
                raw: RawRecord::Text(String::new()),
                reasons: Vec::new(),
            }]),
            _ => {
                let ids: ArrayRef = Arc::new(Int64Array::from(vec![at.cast_signed()]));
                let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
                Event::Rows(Rows::of_batch(table, "x", batch, at))
            }
        }
    }

    #[tokio::test]
    async fn records_that_come_one_by_one_are_one_batch() {
        let end = [Event::Boundary(SplitPosition::at(0)), Event::End];
        let events = (0..3_000).map(one).chain(end).map(Ok);
        let events = gathered(stream::iter(events).boxed());
        let events: Vec<Event> = events.try_collect().await.unwrap();
        let rejects = events
            .iter()
            .filter(|event| matches!(event, Event::Rejects(_)));
        assert_eq!(rejects.count(), 1_000);
        let [Event::Rows(rows), Event::Boundary(_), Event::End] = &events[1_000..] else {
            panic!("one batch, then the end: {} events", events.len());
        };
        assert_eq!(rows.len(), 2_000);
        assert_eq!(rows.ordinals.value(0), 1);
        assert_eq!(rows.ordinals.value(1_999), 2_999);
        let ids = rows
            .batch
            .column(0)
            .as_primitive::<arrow_array::types::Int64Type>();
        assert_eq!(ids.value(1_999), 2_999);
    }
}
