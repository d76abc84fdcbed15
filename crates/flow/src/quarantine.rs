//! Writes rejected records to `_quarantine.<schema.table>`: one row per record, with its raw form.
//!
//! Promise: a record's id is a hash of project, environment, table, location and raw form (`seal.rs`), and
//! the write merges by it, so a record that is rejected again keeps one row. The quarantine is committed
//! before the table, and also if the load is stopped. It has its own generations, because a second attempt of
//! the table may reject other records, which must not be taken for those of the first. Column `generation`
//! says from which commit of the table the record was rejected. It does not know how a replay works. Read
//! next: `seal.rs`.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use towpath_ports::{Commit, Destination, Op, OpColumn, Result, WriteRequest};
use towpath_vocab::{
    Failure, Generation, Reject, Remedy, SchemaChange, TableName, TaskKey, WriteMode, WritePlan,
    types,
};

use crate::predicate::kernel;
use crate::seal::{RecordSeal, StoredRecord};
use crate::writing::Writing;

/// The lakehouse schema of quarantine tables.
pub const QUARANTINE_SCHEMA: &str = "_quarantine";

/// Records per batch.
const BATCH: usize = 1024;

/// The quarantine of a table.
pub fn quarantine_table(table: &TableName) -> TableName {
    TableName::new(QUARANTINE_SCHEMA, table.to_string())
}

/// The columns of every quarantine table, version 1.
pub fn quarantine_columns() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        text("id"),
        text("status"),
        Field::new("set_aside_at", types::instant(), true),
        text("task"),
        text("run"),
        Field::new("generation", DataType::Int64, true),
        text("object"),
        Field::new("line", DataType::Int64, true),
        Field::new("ordinal", DataType::Int64, true),
        text("form"),
        text("record"),
        text("reasons"),
    ]))
}

/// Writes rejected records to the quarantine when they come.
pub(crate) struct Quarantine {
    writing: Writing,
    waiting: Vec<Reject>,
    task: TaskKey,
    run: String,
    /// The generation of the commit from which these records were rejected.
    generation: Generation,
    now_us: i64,
    /// The table of these records.
    of: TableName,
    seal: RecordSeal,
}

impl Quarantine {
    pub(crate) async fn open(
        lake: &dyn Destination,
        task: &TaskKey,
        generation: Generation,
        run: &str,
        now_us: i64,
        seal: RecordSeal,
    ) -> Result<Self> {
        let of = task.table.clone();
        let table = quarantine_table(&of);
        let task = TaskKey {
            table: table.clone(),
            ..task.clone()
        };
        let last = lake.last(&task, &table).await?;
        let after = last.map_or(Generation(0), |last| last.token.generation);
        let write = WritePlan {
            mode: WriteMode::Merge,
            key: vec!["id".to_owned()],
            schema_change: SchemaChange::Fail,
            options: Default::default(),
        };
        let intent = WriteRequest {
            table,
            schema: quarantine_columns(),
            write,
            task: task.clone(),
            generation: after.next(),
            after: Some(after),
            run: run.to_owned(),
        };
        let writing = Writing::start(lake.begin(intent).await?);
        Ok(Self {
            writing,
            waiting: Vec::new(),
            task,
            run: run.to_owned(),
            generation,
            now_us,
            of,
            seal,
        })
    }

    pub(crate) async fn add(&mut self, rejects: Vec<Reject>) -> Result<()> {
        self.waiting.extend(rejects);
        while self.waiting.len() >= BATCH {
            let rest = self.waiting.split_off(BATCH);
            let full = std::mem::replace(&mut self.waiting, rest);
            self.write(&full).await?;
        }
        Ok(())
    }

    /// Writes records as updates by id: a record that comes twice at one location is one record, without a
    /// list of ids in memory.
    async fn write(&mut self, rejects: &[Reject]) -> Result<()> {
        let ops = OpColumn::from(vec![Op::Update as u8; rejects.len()]);
        self.writing.write(self.batch(rejects)?, Some(ops)).await
    }

    /// Makes the records visible.
    pub(crate) async fn commit(mut self) -> Result<()> {
        if !self.waiting.is_empty() {
            let last = std::mem::take(&mut self.waiting);
            self.write(&last).await?;
        }
        let prepared = self.writing.prepare(true).await?;
        let commit = Commit::default();
        let receipt = prepared.commit(commit).await?;
        match receipt.adopted {
            false => Ok(()),
            true => Err(overtaken(&self.task.table)),
        }
    }

    pub(crate) async fn abandon(self) -> Result<()> {
        self.writing.abandon().await
    }

    fn batch(&self, rejects: &[Reject]) -> Result<RecordBatch> {
        let rows = rejects.len();
        let app_id = self.task.app_id();
        let text = |value: &dyn Fn(&Reject) -> String| -> ArrayRef {
            Arc::new(
                rejects
                    .iter()
                    .map(|r| Some(value(r)))
                    .collect::<StringArray>(),
            )
        };
        let number = |value: &dyn Fn(&Reject) -> Option<u64>| -> ArrayRef {
            let signed = rejects
                .iter()
                .map(|r| value(r).and_then(|n| i64::try_from(n).ok()));
            Arc::new(signed.collect::<Int64Array>())
        };
        let ids = rejects
            .iter()
            .map(|r| self.seal.id(&self.task, &r.place, &r.raw))
            .collect::<Result<Vec<_>>>()?;
        let stored = rejects
            .iter()
            .map(|r| self.seal.close(&self.of, &r.raw))
            .collect::<Result<Vec<_>>>()?;
        let texts = |value: &dyn Fn(&StoredRecord) -> &str| -> ArrayRef {
            Arc::new(
                stored
                    .iter()
                    .map(|record| Some(value(record)))
                    .collect::<StringArray>(),
            )
        };
        let reasons = rejects
            .iter()
            .map(|r| serde_json::to_string(&r.reasons))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| kernel(arrow_schema::ArrowError::JsonError(error.to_string())))?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(ids)),
            text(&|_| "held".to_owned()),
            Arc::new(TimestampMicrosecondArray::from(vec![self.now_us; rows]).with_timezone("UTC")),
            text(&|_| app_id.clone()),
            text(&|_| self.run.clone()),
            Arc::new(Int64Array::from(vec![self.generation.0; rows])),
            text(&|r| r.place.object.clone()),
            number(&|r| r.place.line),
            number(&|r| Some(r.place.ordinal)),
            texts(&|stored| stored.form),
            texts(&|stored| &stored.record),
            Arc::new(StringArray::from(reasons)),
        ];
        RecordBatch::try_new(quarantine_columns(), columns).map_err(kernel)
    }
}

fn overtaken(table: &TableName) -> Failure {
    let message = format!("another process has written `{table}` meanwhile");
    Failure::new("R0624", Remedy::Retry, message)
}
