//! Scripted sources for tests: batches, change feeds with a model to compare with, and endless counters.
//!
//! Promise: a source returns exactly the events of its script, and records which positions were confirmed
//! to it. The tests of `flow` use them for all kinds of sources, because one loop reads all of them. Read
//! next: `flow/tests/transfer/`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt8Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use towpath_ports::{
    Assignment, BoxStream, Event, InputVersion, ReadSpec, Reader, RejectedRecord, Result, Rows,
    Source, Split, TableSchema,
};
use towpath_vocab::{
    Failure, Position, RawRecord, Reject, Remedy, SplitId, SplitPosition, TableName,
};

/// Makes the events of one split after a position.
type Script = Arc<dyn Fn(Option<&SplitPosition>) -> BoxStream<Result<Event>> + Send + Sync>;

/// A source with scripted events.
#[derive(Clone)]
pub struct ScriptedSource {
    tables: Vec<TableSchema>,
    splits: Vec<(SplitId, Script)>,
    bounded: bool,
    committed: Arc<Mutex<Vec<Position>>>,
}

impl ScriptedSource {
    /// A bounded source of one table in one split.
    pub fn of_batches(table: TableName, schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        let name = table.clone();
        let script: Script = Arc::new(move |_| {
            let mut first = 0;
            let mut events: Vec<Result<Event>> = Vec::new();
            for batch in &batches {
                events.push(Ok(Event::Rows(Rows::of_batch(
                    name.clone(),
                    "script",
                    batch.clone(),
                    first,
                ))));
                first += batch.num_rows() as u64;
            }
            events.push(Ok(Event::Boundary(SplitPosition::at(first))));
            events.push(Ok(Event::End));
            stream::iter(events).boxed()
        });
        Self::new(
            vec![TableSchema { table, schema }],
            vec![("all", script)],
            true,
        )
    }

    /// A bounded source with one split and these events.
    pub fn of_events(
        table: TableName,
        schema: SchemaRef,
        make: impl Fn() -> Vec<Result<Event>> + Send + Sync + 'static,
    ) -> Self {
        let script: Script = Arc::new(move |_| stream::iter(make()).boxed());
        Self::new(
            vec![TableSchema { table, schema }],
            vec![("all", script)],
            true,
        )
    }

    fn new(tables: Vec<TableSchema>, splits: Vec<(&str, Script)>, bounded: bool) -> Self {
        let splits = splits
            .into_iter()
            .map(|(id, script)| (SplitId(id.to_owned()), script))
            .collect();
        Self {
            tables,
            splits,
            bounded,
            committed: Arc::default(),
        }
    }

    /// An endless source of one table in one split, which returns its events after a position.
    pub(crate) fn of_split(
        table: TableSchema,
        split: &str,
        make: impl Fn(Option<&SplitPosition>) -> BoxStream<Result<Event>> + Send + Sync + 'static,
    ) -> Self {
        Self::new(vec![table], vec![(split, Arc::new(make))], false)
    }

    /// The positions that were confirmed to the reader, in order.
    pub fn committed(&self) -> Vec<Position> {
        self.committed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[async_trait]
impl Source for ScriptedSource {
    async fn open(&self, spec: &ReadSpec, from: Option<&Position>) -> Result<Box<dyn Reader>> {
        let mut reader = self.reader(from);
        if let Some(limit) = spec.limit {
            reader.limit(limit);
        }
        Ok(Box::new(reader))
    }

    async fn version(&self, _spec: &ReadSpec) -> Result<Option<InputVersion>> {
        Ok(None)
    }

    async fn replay(
        &self,
        _spec: &ReadSpec,
        _records: Vec<RejectedRecord>,
    ) -> Result<Box<dyn Reader>> {
        Err(Failure::new(
            "T0003",
            Remedy::Refused,
            "a script has no raw text",
        ))
    }
}

impl ScriptedSource {
    /// A reader without a spec.
    pub fn reader(&self, from: Option<&Position>) -> ScriptedReader {
        let opened = self.splits.iter().map(|(id, script)| {
            let position = from.and_then(|position| position.get(id));
            Split {
                id: id.clone(),
                events: script(position),
            }
        });
        ScriptedReader {
            tables: self.tables.clone(),
            splits: Some(opened.collect()),
            bounded: self.bounded,
            committed: Arc::clone(&self.committed),
        }
    }
}

/// An opened script.
pub struct ScriptedReader {
    tables: Vec<TableSchema>,
    splits: Option<Vec<Split>>,
    bounded: bool,
    committed: Arc<Mutex<Vec<Position>>>,
}

impl ScriptedReader {
    /// Returns no more batches after this many rows of all splits together.
    fn limit(&mut self, limit: u64) {
        let given = Arc::new(AtomicU64::new(0));
        for split in self.splits.iter_mut().flatten() {
            let given = Arc::clone(&given);
            let events = std::mem::replace(&mut split.events, stream::empty().boxed());
            let kept = events.filter(move |event| {
                let rows = match event {
                    Ok(Event::Rows(rows)) => rows.len() as u64,
                    _ => 0,
                };
                let enough = given.fetch_add(rows, Ordering::SeqCst) >= limit;
                // A boundary after rows that were not returned would lose them.
                let is_last = matches!(event, Ok(Event::End) | Err(_));
                futures::future::ready(is_last || !enough)
            });
            split.events = kept.boxed();
        }
    }
}

#[async_trait]
impl Reader for ScriptedReader {
    fn tables(&self) -> Vec<TableSchema> {
        self.tables.clone()
    }

    fn bounded(&self) -> bool {
        self.bounded
    }

    fn splits(&mut self) -> BoxStream<Result<Assignment>> {
        let splits = self.splits.take().unwrap_or_default();
        let assigned = splits
            .into_iter()
            .map(|split| Ok(Assignment::Assigned(split)));
        let complete = std::iter::once(Ok(Assignment::Complete(Position::default())));
        stream::iter(assigned.chain(complete).collect::<Vec<_>>()).boxed()
    }

    async fn committed(&mut self, position: &Position) -> Result<()> {
        self.committed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(position.clone());
        Ok(())
    }
}

/// Columns of the fake sources: `id bigint, value text`.
pub fn id_value_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("value", DataType::Utf8, true),
    ]))
}

fn id_value(ids: Vec<i64>, values: Vec<Option<String>>) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids)),
        Arc::new(StringArray::from(values)),
    ];
    let rows = columns.first().map_or(0, |c| c.len());
    RecordBatch::try_new(id_value_schema(), columns).unwrap_or_else(|_| {
        debug_assert!(rows == 0, "columns of one length");
        RecordBatch::new_empty(id_value_schema())
    })
}

/// An endless source that ends after `total` rows per split, so that a test can end. It still reports that
/// it is endless, and resumes from any boundary. Split `s` has the ids `s * 1_000_000 + n`.
pub fn endless(
    table: TableName,
    splits: usize,
    rows_per_boundary: u64,
    total: u64,
) -> ScriptedSource {
    let names: Vec<String> = (0..splits)
        .map(|split| format!("partition {split}"))
        .collect();
    let scripts = names.iter().enumerate().map(|(split, name)| {
        let (table, object) = (table.clone(), name.clone());
        let script: Script = Arc::new(move |from: Option<&SplitPosition>| {
            let (table, object) = (table.clone(), object.clone());
            let start = from.map_or(0, |position| position.order);
            let steps = (start..total).step_by(usize::try_from(rows_per_boundary).unwrap_or(1));
            let events = steps.flat_map(move |first| {
                let end = (first + rows_per_boundary).min(total);
                let ids: Vec<i64> = (first..end)
                    .map(|n| (split as u64 * 1_000_000 + n) as i64)
                    .collect();
                let values = ids.iter().map(|id| Some(format!("v{id}"))).collect();
                let rows = Rows::of_batch(table.clone(), &object, id_value(ids, values), first);
                [
                    Ok(Event::Rows(rows)),
                    Ok(Event::Boundary(SplitPosition::at(end))),
                ]
            });
            stream::iter(events)
                .chain(stream::once(async { Ok(Event::End) }))
                .boxed()
        });
        (name.as_str(), script)
    });
    let schema = TableSchema {
        table: table.clone(),
        schema: id_value_schema(),
    };
    ScriptedSource::new(vec![schema], scripts.collect(), false)
}

/// The events of a split after a position with this order.
pub type Stretch = fn(u64) -> Vec<Event>;

/// An endless source of one table whose splits return these events after a position.
pub fn endless_of(
    table: TableName,
    schema: SchemaRef,
    splits: Vec<(&str, Stretch)>,
) -> ScriptedSource {
    let scripts = splits.into_iter().map(|(name, make)| {
        let script: Script = Arc::new(move |from: Option<&SplitPosition>| {
            let events = make(from.map_or(0, |position| position.order));
            stream::iter(events.into_iter().map(Ok)).boxed()
        });
        (name, script)
    });
    ScriptedSource::new(
        vec![TableSchema { table, schema }],
        scripts.collect(),
        false,
    )
}

/// One change of a change feed.
#[derive(Clone, Debug)]
pub struct Change {
    /// The table.
    pub table: TableName,
    /// 0 insert, 1 update, 2 delete.
    pub op: u8,
    /// The key.
    pub id: i64,
    /// The value; none for deletes.
    pub value: Option<String>,
}

/// A change feed over several tables: transactions of changes, each ended by a boundary whose order is
/// its number from 1 (an LSN). One split, `wal`.
#[derive(Clone)]
pub struct ChangeFeed {
    tables: Vec<TableName>,
    transactions: Arc<Vec<Vec<Change>>>,
}

impl ChangeFeed {
    /// A feed of seeded random changes that respect keys: only existing rows are updated or deleted.
    pub fn random(tables: Vec<TableName>, transactions: usize, seed: u64) -> Self {
        let mut dice = Dice(seed | 1);
        let mut alive: BTreeMap<TableName, Vec<i64>> = BTreeMap::new();
        let mut next_id = 0;
        let transactions = (0..transactions)
            .map(|_| {
                (0..1 + dice.roll(5))
                    .filter_map(|_| {
                        let pick = usize::try_from(dice.roll(tables.len() as u64)).ok()?;
                        let table = tables.get(pick)?.clone();
                        let ids = alive.entry(table.clone()).or_default();
                        let op = if ids.is_empty() {
                            0
                        } else {
                            (dice.roll(4) % 3) as u8
                        };
                        let id = if op == 0 {
                            next_id += 1;
                            ids.push(next_id);
                            next_id
                        } else {
                            let at = usize::try_from(dice.roll(ids.len() as u64)).ok()?;
                            if op == 2 {
                                ids.swap_remove(at)
                            } else {
                                *ids.get(at)?
                            }
                        };
                        let value = (op != 2).then(|| format!("v{}", dice.roll(1000)));
                        Some(Change {
                            table,
                            op,
                            id,
                            value,
                        })
                    })
                    .collect()
            })
            .collect();
        Self {
            tables,
            transactions: Arc::new(transactions),
        }
    }

    /// The rows of a table after all transactions, as `(id, value)` sorted by id.
    pub fn expected(&self, table: &TableName) -> Vec<(i64, String)> {
        let mut rows = BTreeMap::new();
        for change in self
            .transactions
            .iter()
            .flatten()
            .filter(|change| change.table == *table)
        {
            match &change.value {
                Some(value) => rows.insert(change.id, value.clone()),
                None => rows.remove(&change.id),
            };
        }
        rows.into_iter().collect()
    }

    /// All changes, in order.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.transactions.iter().flatten()
    }

    /// The feed as an endless source that ends with its last transaction.
    pub fn source(&self) -> ScriptedSource {
        let transactions = Arc::clone(&self.transactions);
        let script: Script = Arc::new(move |from: Option<&SplitPosition>| {
            let transactions = Arc::clone(&transactions);
            let start = from.map_or(0, |position| position.order);
            let count = transactions.len() as u64;
            let before = transactions
                .iter()
                .zip(0..start)
                .map(|(t, _)| t.len() as u64);
            let mut ordinal: u64 = before.sum();
            let events = (start..count).flat_map(move |index| {
                let changes = usize::try_from(index)
                    .ok()
                    .and_then(|i| transactions.get(i).cloned())
                    .unwrap_or_default();
                let first = ordinal;
                ordinal += changes.len() as u64;
                let mut events: Vec<Result<Event>> = (first..)
                    .zip(changes)
                    .map(|(ordinal, change)| Ok(Event::Rows(rows_of(change, ordinal))))
                    .collect();
                events.push(Ok(Event::Boundary(SplitPosition::at(index + 1))));
                events
            });
            stream::iter(events)
                .chain(stream::once(async { Ok(Event::End) }))
                .boxed()
        });
        let tables = self.tables.iter().map(|table| TableSchema {
            table: table.clone(),
            schema: id_value_schema(),
        });
        ScriptedSource::new(tables.collect(), vec![("wal", script)], false)
    }
}

fn rows_of(change: Change, ordinal: u64) -> Rows {
    let batch = id_value(vec![change.id], vec![change.value]);
    Rows {
        ops: Some(UInt8Array::from(vec![change.op])),
        ..Rows::of_batch(change.table, "wal", batch, ordinal)
    }
}

/// A record that could not become a row, for tests.
pub fn bad_record(table: TableName, line: u64) -> Reject {
    Reject {
        table,
        place: towpath_vocab::RecordLocation {
            object: "script".to_owned(),
            line: Some(line),
            ordinal: line,
        },
        raw: RawRecord::Text(format!("bad {line}")),
        reasons: vec![towpath_vocab::Reason {
            code: "columns".to_owned(),
            column: None,
            value: None,
            message: "3 fields, 2 expected".to_owned(),
        }],
    }
}

/// A small seeded generator (xorshift): the same numbers everywhere.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides.max(1)
    }
}
