//! Read specs, and reading everything a source gives.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use futures::StreamExt as _;
use towpath_ports::{Assignment, Event, ReadSpec, Source, row_as_json};
use towpath_vocab::{CursorPlan, Failure, Position, ReadMode, Reject, Selection, TableName};

pub(crate) fn spec(selection: Selection) -> ReadSpec {
    ReadSpec {
        table: TableName::new("raw", "t"),
        selection,
        mode: ReadMode::Full,
        cursor: None,
        declared: Vec::new(),
        known: None,
        observed: None,
        projection: None,
        limit: None,
        options: BTreeMap::new(),
        parallel: 2,
        batch_rows: 8192,
        batch_bytes: 8 << 20,
        may_repeat: false,
    }
}

pub(crate) fn table(name: &str) -> ReadSpec {
    spec(Selection::Object(name.into()))
}

pub(crate) fn by_cursor(name: &str, column: &str) -> ReadSpec {
    let cursor = Some(CursorPlan {
        column: column.into(),
        lookback: 0,
    });
    ReadSpec {
        mode: ReadMode::Incremental,
        cursor,
        ..table(name)
    }
}

/// Everything a read gave.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) schema: Option<SchemaRef>,
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) ordinals: Vec<u64>,
    pub(crate) rejects: Vec<Reject>,
    pub(crate) position: Position,
    pub(crate) splits: Vec<String>,
    pub(crate) notes: Vec<String>,
}

impl Read {
    pub(crate) fn len(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Rows as JSON texts, sorted.
    pub(crate) fn rows(&self) -> Vec<String> {
        let mut rows: Vec<String> = self
            .batches
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).map(|row| row_as_json(batch, row)))
            .collect();
        rows.sort();
        rows
    }

    /// One column as text, in order.
    pub(crate) fn column(&self, name: &str) -> Vec<Option<String>> {
        self.batches
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).map(|row| row_as_json(batch, row)))
            .map(|row| {
                let row: serde_json::Value = serde_json::from_str(&row).unwrap();
                match &row[name] {
                    serde_json::Value::Null => None,
                    serde_json::Value::String(text) => Some(text.clone()),
                    other => Some(other.to_string()),
                }
            })
            .collect()
    }

    /// One column as numbers, sorted.
    pub(crate) fn numbers(&self, name: &str) -> Vec<i64> {
        let mut numbers: Vec<i64> = self
            .column(name)
            .into_iter()
            .flatten()
            .map(|n| n.parse().unwrap())
            .collect();
        numbers.sort_unstable();
        numbers
    }
}

pub(crate) async fn try_read(
    source: &dyn Source,
    spec: &ReadSpec,
    from: Option<&Position>,
) -> Result<Read, Failure> {
    let mut reader = source.open(spec, from).await?;
    let mut read = Read {
        notes: reader.notes(),
        ..Read::default()
    };
    read.schema = reader.tables().first().map(|table| table.schema.clone());
    let assignments: Vec<_> = reader.splits().collect().await;
    let mut splits = Vec::new();
    for assignment in assignments {
        match assignment? {
            Assignment::Assigned(split) => {
                read.splits.push(split.id.0.clone());
                splits.push(split.events);
            }
            Assignment::Complete(position) => read.position = position,
            Assignment::Revoked(_) => panic!("a table's split was revoked"),
        }
    }
    let mut events = futures::stream::select_all(splits);
    while let Some(event) = events.next().await {
        match event? {
            Event::Rows(rows) => {
                read.ordinals.extend(rows.ordinals.values());
                read.batches.push(rows.batch);
            }
            Event::Rejects(rejects) => read.rejects.extend(rejects),
            Event::End => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    Ok(read)
}

pub(crate) async fn read(source: &dyn Source, spec: &ReadSpec, from: Option<&Position>) -> Read {
    try_read(source, spec, from).await.unwrap()
}
