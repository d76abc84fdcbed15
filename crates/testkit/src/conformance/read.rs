//! Simple read specs and write plans for tests, and a function that reads a source to its end.
//!
//! It knows no system. Read next: `source/mod.rs`, which uses them.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use futures::StreamExt as _;
use towpath_ports::{Assignment, Event, ReadSpec, Source};
use towpath_vocab::{ReadMode, SchemaChange, Selection, TableName, WriteMode, WritePlan};

/// The spec of a plain full read of an object.
pub fn read_spec(object: &str) -> ReadSpec {
    ReadSpec {
        table: TableName::new("raw", "t"),
        selection: Selection::Object(object.to_owned()),
        mode: ReadMode::Full,
        cursor: None,
        declared: Vec::new(),
        known: None,
        observed: None,
        projection: None,
        limit: None,
        options: BTreeMap::new(),
        parallel: 2,
        batch_rows: 8_192,
        batch_bytes: 8 << 20,
        may_repeat: false,
    }
}

/// A write in this mode; modes that need a key get this one.
pub fn write_plan(mode: WriteMode, key: &[&str]) -> WritePlan {
    let keyed = !matches!(mode, WriteMode::Append | WriteMode::Replace);
    let key = if keyed { key } else { &[] };
    WritePlan {
        mode,
        key: key.iter().map(|name| (*name).to_owned()).collect(),
        schema_change: SchemaChange::Evolve,
        options: BTreeMap::new(),
    }
}

/// All batches of a full read. A rejected record is a failure.
pub(super) async fn batches(source: &dyn Source, spec: &ReadSpec) -> Vec<RecordBatch> {
    let mut reader = source.open(spec, None).await.unwrap();
    let mut splits = reader.splits();
    let mut batches = Vec::new();
    while let Some(assignment) = splits.next().await {
        let Assignment::Assigned(mut split) = assignment.unwrap() else {
            continue;
        };
        while let Some(event) = split.events.next().await {
            match event.unwrap() {
                Event::Rows(rows) => batches.push(rows.batch),
                Event::Rejects(rejects) => panic!("rejected: {rejects:?}"),
                _ => {}
            }
        }
    }
    batches
}
