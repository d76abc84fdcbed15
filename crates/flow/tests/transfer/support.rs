//! What the tests of the loop share: plans, specs, a small engine, transfers.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use towpath_flow::{
    Budget, CommitCadence, OutputSpec, Progress, SkipCommit, SpillFolder, Transfer,
    TransferServices, TransferSummary, run_transfer,
};
use towpath_ports::{
    Assignment, Candidate, Checkpoint, Clock, Destination, Event, ExpressionCompiler, Query,
    QueryResult, ReadSpec, Result, RowExpression, Secrets,
};
use towpath_testkit::{MemoryDestination, ScriptedSource, SimulatedSystem, id_value_schema};
use towpath_vocab::{
    Annotations, BadRows, Failure, Generation, Position, ReadMode, Remedy, Rule, RuleKind,
    SchemaChange, SecretTemplate, Selection, Severity, TableName, TablePlan, TaskKey, TaskKind,
    Threshold, WriteMode, WritePlan,
};

/// An engine that knows the few sentences these tests say.
pub(crate) struct SmallEngine;

fn unknown(text: &str) -> Failure {
    Failure::new("T", Remedy::Bug, format!("no engine for `{text}`"))
}

/// Conditions about the `value` of a row; they fail where it is NULL, as they would on a delete.
#[derive(Debug)]
enum Sentence {
    /// `value`
    Value,
    /// `value not like '%5'`
    DoesNotEndInFive,
}

impl ExpressionCompiler for SmallEngine {
    fn compile(&self, text: &str, _: &SchemaRef) -> Result<Arc<dyn RowExpression>> {
        match text {
            "value" => Ok(Arc::new(Sentence::Value)),
            "value not like '%5'" => Ok(Arc::new(Sentence::DoesNotEndInFive)),
            _ => Err(unknown(text)),
        }
    }

    fn in_own_names(&self, text: &str, _: &SchemaRef) -> Result<String> {
        Ok(text.to_owned())
    }
}

impl RowExpression for Sentence {
    fn data_type(&self) -> &DataType {
        match self {
            Sentence::Value => &DataType::Utf8,
            Sentence::DoesNotEndInFive => &DataType::Boolean,
        }
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let values = batch.column_by_name("value").unwrap();
        if values.null_count() > 0 {
            return Err(unknown("a row without a value"));
        }
        Ok(match self {
            Sentence::Value => Arc::clone(values),
            Sentence::DoesNotEndInFive => {
                let values = values.as_string::<i32>().iter();
                let holds = values.map(|v| v.map(|v| !v.ends_with('5')));
                Arc::new(holds.collect::<BooleanArray>())
            }
        })
    }
}

#[async_trait]
impl Query for SmallEngine {
    async fn query(
        &self,
        sql: &str,
        candidates: &BTreeMap<TableName, Candidate>,
    ) -> Result<QueryResult> {
        let candidate = candidates.values().next().unwrap();
        let mut batches = Vec::new();
        let mut reader = candidate.source.open(&read_spec(), None).await?;
        let mut assignments = reader.splits();
        while let Some(assignment) = assignments.next().await {
            let Assignment::Assigned(split) = assignment? else {
                continue;
            };
            let events = split.events.collect::<Vec<_>>().await;
            for event in events {
                if let Event::Rows(rows) = event? {
                    batches.push(rows.batch);
                }
            }
        }
        let answer: Vec<RecordBatch> = if sql.starts_with("select \"id\" as k0 from") {
            let ids = batches.iter().map(|batch| {
                let ids = Arc::clone(batch.column_by_name("id").unwrap());
                RecordBatch::try_from_iter([("k0", ids)]).unwrap()
            });
            ids.collect()
        } else if sql.contains("where \"value\" is null") {
            let nulls = batches.iter().map(|batch| {
                let values = batch.column_by_name("value").unwrap();
                i64::try_from(values.null_count()).unwrap()
            });
            let rows = batches.iter().map(RecordBatch::num_rows).sum::<usize>();
            let count = |n: i64| Arc::new(Int64Array::from(vec![n])) as ArrayRef;
            let rows = i64::try_from(rows).unwrap();
            vec![
                RecordBatch::try_from_iter([("a", count(nulls.sum())), ("b", count(rows))])
                    .unwrap(),
            ]
        } else {
            return Err(unknown(sql));
        };
        let schema = match answer.first() {
            Some(batch) => batch.schema(),
            None => Arc::new(Schema::new(vec![Field::new("k0", DataType::Int64, true)])),
        };
        Ok(QueryResult {
            schema,
            batches: stream::iter(answer.into_iter().map(Ok)).boxed(),
        })
    }
}

fn read_spec() -> ReadSpec {
    ReadSpec {
        table: table("candidate"),
        selection: Selection::Object(String::new()),
        mode: ReadMode::Full,
        cursor: None,
        declared: Vec::new(),
        known: None,
        observed: None,
        projection: None,
        limit: None,
        options: BTreeMap::new(),
        parallel: 1,
        batch_rows: 1,
        batch_bytes: 1,
        may_repeat: false,
    }
}

#[async_trait]
impl Secrets for SmallEngine {
    async fn resolve(&self, _: &SecretTemplate) -> Result<String> {
        Ok("key".to_owned())
    }
}

pub(crate) fn services_at(clock: Arc<dyn Clock>) -> TransferServices {
    TransferServices {
        expressions: Arc::new(SmallEngine),
        query: Arc::new(SmallEngine),
        clock,
        secrets: Arc::new(SmallEngine),
        memory: Arc::new(Budget::new(64 << 20)),
        spill: SpillFolder::new(std::env::temp_dir().join("towpath-flow-tests")),
        progress: Arc::new(Progress::default()),
    }
}

pub(crate) fn services() -> TransferServices {
    services_at(Arc::new(SimulatedSystem::new(1)))
}

pub(crate) fn table(name: &str) -> TableName {
    TableName::new("raw", name)
}

pub(crate) fn key(table: &TableName) -> TaskKey {
    TaskKey {
        project: "p".into(),
        environment: "dev".into(),
        pipeline: "pipe".into(),
        step: "extract".into(),
        kind: TaskKind::Step,
        table: table.clone(),
    }
}

pub(crate) fn plan(table: &TableName, mode: WriteMode) -> TablePlan {
    TablePlan {
        target: table.clone(),
        write: WritePlan {
            mode,
            key: vec!["id".to_owned()],
            schema_change: SchemaChange::Evolve,
            options: BTreeMap::new(),
        },
        filter: None,
        names: Default::default(),
        columns: Vec::new(),
        keep: Vec::new(),
        drop: Vec::new(),
        dedup: None,
        rules: Vec::new(),
        checks: Vec::new(),
        bad_rows: BadRows::Quarantine,
        fail_above: Threshold::default(),
        lineage: Default::default(),
    }
}

pub(crate) fn spec(
    plan: TablePlan,
    lake: &MemoryDestination,
    generation: i64,
    committed: Position,
) -> OutputSpec {
    OutputSpec {
        source_table: plan.target.clone(),
        task: key(&plan.target),
        plan,
        generation: Generation(generation),
        after: Some(Generation(generation - 1)),
        destination: Arc::new(lake.clone()),
        quarantine: Arc::new(lake.clone()),
        committed,
        fingerprint: None,
        annotations: Annotations::default(),
        checkpoint: Checkpoint::default(),
        operators: Vec::new(),
        rows_before: None,
        skip: SkipCommit::Never,
    }
}

pub(crate) async fn transfer(
    source: &ScriptedSource,
    from: Position,
    outputs: Vec<OutputSpec>,
    rows: u64,
) -> Result<TransferSummary> {
    let transfer = Transfer {
        reader: Box::new(source.reader((!from.is_empty()).then_some(&from))),
        opened_at: from,
        outputs,
        run: "pipe#1".to_owned(),
        cadence: CommitCadence {
            rows,
            interval_us: u64::MAX,
        },
        commits: None,
        cancel: CancellationToken::new(),
    };
    run_transfer(transfer, &services()).await
}

/// Runs until it succeeds, each time from what the destination holds, as a rerun would.
pub(crate) async fn until_done(
    source: &ScriptedSource,
    plans: &[TablePlan],
    lake: &MemoryDestination,
    rows: u64,
) -> u32 {
    for attempt in 1..50 {
        let mut outputs = Vec::new();
        let mut from: Option<Position> = None;
        for plan in plans {
            let last = lake.last(&key(&plan.target), &plan.target).await.unwrap();
            let (generation, position) = last.map_or((1, Position::default()), |last| {
                (last.token.generation.0 + 1, last.token.position)
            });
            from = Some(match from {
                Some(least) if behind(&least, &position) => least,
                _ => position.clone(),
            });
            outputs.push(spec(plan.clone(), lake, generation, position));
        }
        if transfer(source, from.unwrap_or_default(), outputs, rows)
            .await
            .is_ok()
        {
            return attempt;
        }
    }
    panic!("never succeeded");
}

fn behind(left: &Position, right: &Position) -> bool {
    let order = |position: &Position| {
        position
            .splits()
            .map(|(_, position)| position.order)
            .sum::<u64>()
    };
    order(left) < order(right)
}

pub(crate) fn batch(ids: &[Option<i64>], values: &[Option<&str>]) -> RecordBatch {
    let columns: Vec<arrow_array::ArrayRef> = vec![
        Arc::new(Int64Array::from(ids.to_vec())),
        Arc::new(StringArray::from(values.to_vec())),
    ];
    RecordBatch::try_new(id_value_schema(), columns).unwrap()
}

pub(crate) fn rule(column: &str, kind: RuleKind) -> Rule {
    Rule {
        column: column.to_owned(),
        kind,
        severity: Severity::Error,
        span: None,
    }
}
