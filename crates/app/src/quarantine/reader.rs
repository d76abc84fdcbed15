//! Records that wait as a source: rows and rejects stand where they first stood, and every record
//! gives exactly one of the two, or nothing is committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use towpath_ports::{Assignment, BoxStream, Event, Origin, Reader, Rows, Split, TableSchema};
use towpath_vocab::{Failure, Mark, Place, Position, RawRecord, Reject, Remedy};

use super::records::Record;
use crate::Result;

/// A source's replay, whose ordinals are places in the list of records.
pub(super) struct ReplayReader {
    pub(super) inner: Box<dyn Reader>,
    pub(super) records: Arc<Vec<Record>>,
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
    let told = AtomicU64::new(0);
    let events = split.events.map(move |event| {
        Ok(match event? {
            Event::Rows(rows) => {
                told.fetch_add(rows.len() as u64, Ordering::Relaxed);
                Event::Rows(Rows {
                    origin: Arc::new(FirstOrigin(Arc::clone(&records))),
                    ..rows
                })
            }
            Event::Rejects(rejects) => {
                told.fetch_add(rejects.len() as u64, Ordering::Relaxed);
                let placed = rejects
                    .into_iter()
                    .map(|reject| first_place(reject, &records));
                Event::Rejects(placed.collect())
            }
            Event::End if told.load(Ordering::Relaxed) != records.len() as u64 => {
                return Err(unbalanced(told.load(Ordering::Relaxed), records.len()));
            }
            Event::Boundary(_) => Event::Boundary(Mark::at(0)),
            other => other,
        })
    });
    Split {
        id: split.id,
        events: events.boxed(),
    }
}

fn unbalanced(told: u64, records: usize) -> Failure {
    let message = format!("{records} records were replayed, but {told} came of it");
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
    fn place(&self, ordinal: u64) -> Place {
        let unknown = || Place {
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
