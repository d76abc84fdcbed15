//! One write of the conformance suite, with short names for its steps.
//!
//! Promise: a case reads as a list of steps (`begin`, `put`, `refused`), and each failure has a code and
//! a message and shows no secret. Read next: `commits.rs`, which uses it most.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use towpath_ports::{
    CandidateRows, Commit, Committed, OpColumn, Prepared, Receipt, Result, WriteRequest, Writer,
};
use towpath_vocab::{
    Failure, Generation, Position, SchemaChange, SplitPosition, TableName, TaskKey, TaskKind,
    WriteMode,
};

use super::DestinationUnderTest;
use crate::conformance::types::batch;
use crate::conformance::{lines_of_batch, read, write_plan};
use crate::postgres::PASSWORD;

/// A write of `id bigint, v text` into the table `t`, unless a case changes it.
#[derive(Clone)]
pub(super) struct Write<'a> {
    pub(super) under: &'a dyn DestinationUnderTest,
    pub(super) name: &'a str,
    pub(super) mode: WriteMode,
    pub(super) generation: i64,
    pub(super) after: Option<i64>,
    pub(super) step: &'a str,
    pub(super) change: SchemaChange,
}

/// The first generation of a write in this mode.
pub(super) fn write(under: &dyn DestinationUnderTest, mode: WriteMode) -> Write<'_> {
    Write {
        under,
        name: "t",
        mode,
        generation: 1,
        after: None,
        step: "load",
        change: SchemaChange::Evolve,
    }
}

/// Rows of an id and a value.
pub(super) fn rows(pairs: &[(i64, &str)]) -> RecordBatch {
    keyed(
        &pairs
            .iter()
            .map(|(id, v)| (Some(*id), *v))
            .collect::<Vec<_>>(),
    )
}

/// The same with ids that may be NULL.
pub(super) fn keyed(pairs: &[(Option<i64>, &str)]) -> RecordBatch {
    let ids: Int64Array = pairs.iter().map(|(id, _)| *id).collect();
    let values: StringArray = pairs.iter().map(|(_, v)| Some(*v)).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![("id", Arc::new(ids)), ("v", Arc::new(values))];
    batch(columns)
}

/// Rows as `look` returns them.
pub(super) fn seen(pairs: &[(i64, &str)]) -> Option<Vec<String>> {
    Some(sorted(lines_of_batch(&rows(pairs))))
}

pub(super) fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

pub(super) fn position(generation: i64) -> Position {
    let position = SplitPosition {
        order: generation.unsigned_abs() * 100,
        resume: serde_json::json!({ "generation": generation, "text": "ä \"'" }),
    };
    Position::single("split 1", position)
}

pub(super) fn commit(generation: i64) -> Commit {
    Commit {
        position: position(generation),
        audited: false,
        ..Commit::default()
    }
}

impl<'a> Write<'a> {
    pub(super) fn generation(&self, generation: i64) -> Self {
        Self {
            generation,
            ..self.clone()
        }
    }

    pub(super) fn mode(&self, mode: WriteMode) -> Self {
        Self {
            mode,
            ..self.clone()
        }
    }

    pub(super) fn named(&self, name: &'a str) -> Self {
        Self {
            name,
            ..self.clone()
        }
    }

    pub(super) fn table(&self) -> TableName {
        self.under.table(self.name)
    }

    pub(super) fn task(&self) -> TaskKey {
        TaskKey {
            project: "p".into(),
            environment: "test".into(),
            pipeline: "shop".into(),
            step: self.step.into(),
            kind: TaskKind::Step,
            table: self.table(),
        }
    }

    fn intent(&self, schema: SchemaRef) -> WriteRequest {
        let mut write = write_plan(self.mode, &["id"]);
        write.schema_change = self.change;
        write.options = self.under.options();
        WriteRequest {
            table: self.table(),
            schema,
            write,
            task: self.task(),
            generation: Generation(self.generation),
            after: self.after.map(Generation),
            run: format!("shop#{}", self.generation),
        }
    }

    pub(super) async fn begin(&self, schema: SchemaRef) -> Result<Box<dyn Writer>> {
        self.under.destination().begin(self.intent(schema)).await
    }

    /// Begins, writes each batch, prepares.
    pub(super) async fn prepare_all(
        &self,
        batches: &[(RecordBatch, Option<OpColumn>)],
    ) -> Result<Box<dyn Prepared>> {
        let mut writer = self.begin(batches[0].0.schema()).await?;
        for (batch, ops) in batches {
            writer.write(batch.clone(), ops.clone()).await?;
        }
        writer.prepare().await
    }

    pub(super) async fn prepare(&self, batch: &RecordBatch) -> Result<Box<dyn Prepared>> {
        self.prepare_all(&[(batch.clone(), None)]).await
    }

    /// The whole write.
    pub(super) async fn put(&self, batch: &RecordBatch) -> Result<Receipt> {
        let prepared = self.prepare(batch).await?;
        prepared.commit(commit(self.generation)).await
    }

    /// A write that must succeed and be the first of its generation.
    pub(super) async fn done(&self, batch: &RecordBatch) -> Receipt {
        let receipt = self.put(batch).await.unwrap();
        assert!(
            !receipt.adopted,
            "the first commit of a generation is no adoption"
        );
        receipt
    }

    /// A write that must be refused at any step.
    pub(super) async fn refused(&self, batch: &RecordBatch) -> Failure {
        match self.put(batch).await {
            Err(failure) => assert_reported(failure),
            Ok(receipt) => panic!("it was not refused: {receipt:?}"),
        }
    }

    pub(super) async fn look(&self) -> Option<Vec<String>> {
        self.under.look(&self.table()).await.map(sorted)
    }

    pub(super) async fn last(&self) -> Option<Committed> {
        let destination = self.under.destination();
        destination.last(&self.task(), &self.table()).await.unwrap()
    }

    pub(super) async fn last_generation(&self) -> Option<i64> {
        self.last().await.map(|last| last.token.generation.0)
    }

    /// The table, read back by the connector itself.
    pub(super) async fn back(&self, known: &SchemaRef) -> Vec<RecordBatch> {
        let (source, spec) = self.under.reading(&self.table(), known);
        read::batches(source.as_ref(), &spec).await
    }
}

/// Checks a failure: it has a code and a message, and no secret.
pub(super) fn assert_reported(failure: Failure) -> Failure {
    assert!(failure.code.len() == 5, "{failure:?} has no code");
    assert!(!failure.message.is_empty(), "{failure:?} has no message");
    assert!(
        !format!("{failure:?}").contains(PASSWORD),
        "{failure:?} tells a secret"
    );
    failure
}

/// The rows of a candidate, as sorted lines.
pub(super) async fn candidate(prepared: &dyn Prepared, scope: CandidateRows) -> Vec<String> {
    let candidate = prepared.candidate(scope).await.unwrap();
    let batches = read::batches(candidate.source.as_ref(), &read::read_spec("candidate")).await;
    for batch in &batches {
        assert_eq!(
            batch.schema().fields(),
            candidate.schema.fields(),
            "a candidate's columns"
        );
    }
    sorted(batches.iter().flat_map(lines_of_batch).collect())
}
