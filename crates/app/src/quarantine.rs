//! Rows that were set aside: listed, shown, replayed, given up.
//!
//! A replay feeds the held records through transform, rules and audit again and commits those that
//! pass: by key, or appended without one. The commit's position names the records it took, so a replay
//! that died before it could mark them is finished, not repeated: each record once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use towpath_flow::{
    Cadence, Carry, OutputSpec, OutputSummary, Progress, QUARANTINE_SCHEMA, carry,
    quarantine_columns, quarantine_table,
};
use towpath_ports::{
    Assignment, BoxStream, Commit, Destination, Event, Intent, Origin, Query, Reader, Rows, Split,
    TableSchema,
};
use towpath_vocab::{
    Action, Failure, Generation, LoadPlan, Mark, Place, Plan, PlannedTask, Position, RawRecord,
    Reject, Remedy, SchemaChange, SplitId, StepName, TableName, TaskKey, WriteMode, WritePlan,
};

use crate::Result;
use crate::house::House;
use crate::work::load_spec;

/// Records replayed per commit.
const REPLAY_RECORDS: u64 = 50_000;
/// The split a replay's position speaks of.
const SPLIT: &str = "replay";

/// One table with rows set aside.
#[derive(Clone, Debug, Serialize)]
pub struct QuarantineLine {
    /// The table.
    pub table: String,
    /// Records that wait.
    pub held: u64,
    /// Records that were replayed.
    pub replayed: u64,
    /// Records that were given up.
    pub discarded: u64,
}

/// What a replay did.
#[derive(Clone, Debug, Serialize)]
pub struct ReplayReport {
    /// The table.
    pub table: TableName,
    /// Records that waited.
    pub held: u64,
    /// Those that passed and are in the table now.
    pub replayed: u64,
    /// Those that were set aside again.
    pub still_held: u64,
    /// The table's version now.
    pub now_at: Option<String>,
    /// Why the table was not committed, if it was not.
    pub stopped: Option<Failure>,
}

/// Every table with rows set aside.
pub async fn quarantine_list(house: &House) -> Result<Vec<QuarantineLine>> {
    let tables = house
        .lake
        .tables()
        .await?
        .into_iter()
        .filter(|t| t.schema() == QUARANTINE_SCHEMA);
    let mut lines = Vec::new();
    for table in tables {
        let count = |status: &str| format!("count(*) filter (where status = '{status}')");
        let sql = format!(
            "select {}, {}, {} from {}",
            count("held"),
            count("replayed"),
            count("discarded"),
            quoted(&table)
        );
        let batches = ask(house, &sql).await?;
        let number = |column: usize| -> u64 {
            let batch = batches.iter().find(|batch| batch.num_rows() > 0);
            batch
                .and_then(|b| {
                    b.columns()
                        .get(column)
                        .map(|c| c.as_primitive::<arrow_array::types::Int64Type>().value(0))
                })
                .and_then(|n| u64::try_from(n).ok())
                .unwrap_or(0)
        };
        lines.push(QuarantineLine {
            table: table.table().to_owned(),
            held: number(0),
            replayed: number(1),
            discarded: number(2),
        });
    }
    Ok(lines)
}

/// The rows set aside of a table as a query for them, newest first.
pub fn quarantine_query(table: &TableName, limit: u64) -> String {
    let quarantine = quoted(&quarantine_table(table));
    format!(
        "select status, object, line, reasons, record, run, set_aside_at from {quarantine} order by set_aside_at desc, object, line limit {limit}"
    )
}

/// Gives the held rows of a table up; how many there were.
pub async fn quarantine_discard(house: &House, plan: &Plan, table: &TableName) -> Result<u64> {
    need_quarantine(house, table).await?;
    let (task, load) = load_of(plan, table)?;
    let held = held(house, table, u64::MAX >> 1).await?;
    let ids: BTreeSet<String> = held.iter().map(|record| record.id.clone()).collect();
    mark(
        house,
        &key(plan, task, load, "discard"),
        table,
        &ids,
        "discarded",
    )
    .await?;
    Ok(ids.len() as u64)
}

/// Replays the held rows of a table.
///
/// # Errors
/// `FixConfig` when no load of the project writes this table.
pub async fn quarantine_replay(
    house: &House,
    plan: &Plan,
    table: &TableName,
) -> Result<ReplayReport> {
    need_quarantine(house, table).await?;
    let (task, load) = load_of(plan, table)?;
    let replay = Replay {
        house,
        plan,
        task,
        load,
        table,
    };
    replay.finish_earlier().await?;
    let mut report = ReplayReport {
        table: table.clone(),
        held: 0,
        replayed: 0,
        still_held: 0,
        now_at: None,
        stopped: None,
    };
    let records = held(house, table, REPLAY_RECORDS).await?;
    report.held = records.len() as u64;
    if records.is_empty() {
        return Ok(report);
    }
    let summary = replay.tow(records).await?;
    report.stopped = summary.stopped.clone();
    if report.stopped.is_none() {
        report.still_held = summary.rows_rejected;
        report.replayed = replay.finish_earlier().await?;
        report.now_at = summary.receipt.map(|receipt| receipt.committed.version);
    } else {
        report.still_held = report.held;
    }
    Ok(report)
}

struct Replay<'a> {
    house: &'a House,
    plan: &'a Plan,
    task: &'a PlannedTask,
    load: &'a LoadPlan,
    table: &'a TableName,
}

impl Replay<'_> {
    fn key(&self) -> TaskKey {
        key(self.plan, self.task, self.load, "replay")
    }

    /// Marks the records of the last committed replay that are still held although they passed.
    async fn finish_earlier(&self) -> Result<u64> {
        let Some(last) = self.house.lake.last(&self.key(), self.table).await? else {
            return Ok(0);
        };
        let split = SplitId(SPLIT.to_owned());
        let Some(mark_of) = last.token.position.mark(&split) else {
            return Ok(0);
        };
        let taken: BTreeSet<String> =
            serde_json::from_value(mark_of.resume.clone()).map_err(|error| {
                Failure::new(
                    "R0971",
                    Remedy::Bug,
                    format!("the position of the last replay cannot be read: {error}"),
                )
            })?;
        let again = self.rejected_again(last.token.generation).await?;
        let waiting = held(self.house, self.table, u64::MAX >> 1).await?;
        let ids: BTreeSet<String> = waiting
            .into_iter()
            .map(|record| record.id)
            .filter(|id| taken.contains(id) && !again.contains(id))
            .collect();
        mark(
            self.house,
            &key(self.plan, self.task, self.load, "replay mark"),
            self.table,
            &ids,
            "replayed",
        )
        .await?;
        Ok(ids.len() as u64)
    }

    /// Records that this replay's commit set aside again.
    async fn rejected_again(&self, generation: Generation) -> Result<BTreeSet<String>> {
        let quarantine = quarantine_table(self.table);
        let app_id = TaskKey {
            table: quarantine.clone(),
            ..self.key()
        }
        .app_id();
        let sql = format!(
            "select id from {} where task = '{}' and generation = {generation}",
            quoted(&quarantine),
            app_id.replace('\'', "''")
        );
        Ok(texts(&ask(self.house, &sql).await?, 0)
            .into_iter()
            .flatten()
            .collect())
    }

    async fn tow(&self, records: Vec<Held>) -> Result<OutputSummary> {
        let source = self.house.source(&self.load.connection)?;
        let spec = load_spec(self.load);
        let raw: Vec<RawRecord> = records.iter().map(|record| record.raw.clone()).collect();
        let inner = source.replay(&spec, raw).await?;
        let last = self.house.lake.last(&self.key(), self.table).await?;
        let generation = last.map_or(Generation(1), |last| last.token.generation.next());
        let mut plan = self.load.table.clone();
        plan.write.mode = if plan.write.key.is_empty() {
            WriteMode::Append
        } else {
            WriteMode::Merge
        };
        plan.fail_above.percent = Some(100.0);
        plan.fail_above.rows = None;
        let output = OutputSpec {
            source_table: self.table.clone(),
            task: self.key(),
            plan,
            generation,
            destination: Arc::clone(&self.house.lake) as _,
            quarantine: Arc::clone(&self.house.lake) as _,
            committed: Position::default(),
        };
        let carried = Carry {
            reader: Box::new(ReplayReader {
                inner,
                records: Arc::new(records),
                generation,
            }),
            opened_at: Position::default(),
            outputs: vec![output],
            run: format!("replay of {}", self.table),
            cadence: Cadence::default(),
            cancel: CancellationToken::new(),
        };
        let services = self.house.services(Arc::new(Progress::default()));
        let summary = carry(carried, &services).await?;
        summary
            .outputs
            .into_iter()
            .next()
            .ok_or_else(|| Failure::new("R0972", Remedy::Bug, "the replay ended without a result"))
    }
}

/// One record that waits.
#[derive(Clone, Debug)]
struct Held {
    id: String,
    raw: RawRecord,
    place: Place,
}

/// A source's replay whose rows and rejects stand where they first stood.
struct ReplayReader {
    inner: Box<dyn Reader>,
    records: Arc<Vec<Held>>,
    generation: Generation,
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
        let ids: Vec<&str> = self
            .records
            .iter()
            .map(|record| record.id.as_str())
            .collect();
        let order = u64::try_from(self.generation.0).unwrap_or(0);
        let closing = Position::single(
            SPLIT,
            Mark {
                order,
                resume: serde_json::json!(ids),
            },
        );
        let assignments = self.inner.splits().map(move |assignment| {
            Ok(match assignment? {
                Assignment::Assigned(split) => {
                    Assignment::Assigned(placed(split, Arc::clone(&records)))
                }
                Assignment::Complete(_) => Assignment::Complete(closing.clone()),
                Assignment::Revoked(split) => Assignment::Revoked(split),
            })
        });
        assignments.boxed()
    }

    async fn committed(&mut self, _position: &Position) -> Result<()> {
        Ok(())
    }
}

fn placed(split: Split, records: Arc<Vec<Held>>) -> Split {
    let events = split.events.map(move |event| {
        Ok(match event? {
            Event::Rows(rows) => Event::Rows(Rows {
                origin: Arc::new(FirstOrigin(Arc::clone(&records))),
                ..rows
            }),
            Event::Rejects(rejects) => Event::Rejects(
                rejects
                    .into_iter()
                    .map(|r| first_place(r, &records))
                    .collect(),
            ),
            Event::Boundary(_) => Event::Boundary(Mark::at(0)),
            other => other,
        })
    });
    Split {
        id: split.id,
        events: events.boxed(),
    }
}

fn first_place(reject: Reject, records: &[Held]) -> Reject {
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
struct FirstOrigin(Arc<Vec<Held>>);

impl FirstOrigin {
    fn record(&self, ordinal: u64) -> Option<&Held> {
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
        self.record(ordinal).map_or_else(
            || RawRecord::Row("{}".to_owned()),
            |record| record.raw.clone(),
        )
    }
}

/// Gives records another status, in one commit.
async fn mark(
    house: &House,
    task: &TaskKey,
    table: &TableName,
    ids: &BTreeSet<String>,
    status: &str,
) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let quarantine = quarantine_table(table);
    let task = TaskKey {
        table: quarantine.clone(),
        ..task.clone()
    };
    let last = house.lake.last(&task, &quarantine).await?;
    let columns: Vec<String> = quarantine_columns()
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "status" => format!("'{status}' as status"),
            name => name.to_owned(),
        })
        .collect();
    let list: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
    let sql = format!(
        "select {} from {} where id in ({})",
        columns.join(", "),
        quoted(&quarantine),
        list.join(", ")
    );
    let batches = ask(house, &sql).await?;
    let intent = Intent {
        after: None,
        table: quarantine,
        schema: quarantine_columns(),
        write: WritePlan {
            mode: WriteMode::Merge,
            key: vec!["id".to_owned()],
            schema_change: SchemaChange::Fail,
            options: BTreeMap::new(),
        },
        task,
        generation: last.map_or(Generation(1), |last| last.token.generation.next()),
        run: format!("{status} {table}"),
    };
    let mut writer = house.lake.begin(intent).await?;
    for batch in batches {
        let same = RecordBatch::try_new(quarantine_columns(), batch.columns().to_vec()).map_err(
            |error| {
                Failure::new(
                    "R0973",
                    Remedy::Bug,
                    format!("the quarantine has other columns: {error}"),
                )
            },
        )?;
        writer.write(same, None).await?;
    }
    writer
        .prepare()
        .await?
        .commit(Commit {
            audited: false,
            position: Position::default(),
        })
        .await?;
    Ok(())
}

/// Records that wait, oldest first.
async fn held(house: &House, table: &TableName, limit: u64) -> Result<Vec<Held>> {
    let quarantine = quoted(&quarantine_table(table));
    let sql = format!(
        "select id, form, record, object, cast(line as varchar) as line_text, cast(ordinal as varchar) as ordinal_text from {quarantine} \
         where status = 'held' order by set_aside_at, object, ordinal, id limit {limit}"
    );
    let mut records = Vec::new();
    for batch in ask(house, &sql).await? {
        let columns: Vec<Vec<Option<String>>> = (0..6)
            .map(|c| texts(std::slice::from_ref(&batch), c))
            .collect();
        for row in 0..batch.num_rows() {
            let cell = |column: usize| {
                columns
                    .get(column)
                    .and_then(|c| c.get(row).cloned().flatten())
            };
            let record = cell(2).unwrap_or_default();
            records.push(Held {
                id: cell(0).unwrap_or_default(),
                raw: match cell(1).as_deref() {
                    Some("text") => RawRecord::Text(record),
                    _ => RawRecord::Row(record),
                },
                place: Place {
                    object: cell(3).unwrap_or_default(),
                    line: cell(4).and_then(|n| n.parse().ok()),
                    ordinal: cell(5).and_then(|n| n.parse().ok()).unwrap_or(0),
                },
            });
        }
    }
    Ok(records)
}

async fn ask(house: &House, sql: &str) -> Result<Vec<RecordBatch>> {
    house
        .engine
        .query(sql, &BTreeMap::new())
        .await?
        .batches
        .try_collect()
        .await
}

fn texts(batches: &[RecordBatch], column: usize) -> Vec<Option<String>> {
    let cells = batches
        .iter()
        .filter_map(|batch| batch.columns().get(column));
    cells
        .flat_map(|array| {
            let array = array.as_string::<i32>();
            (0..array.len())
                .map(|row| array.is_valid(row).then(|| array.value(row).to_owned()))
                .collect::<Vec<_>>()
        })
        .collect()
}

async fn need_quarantine(house: &House, table: &TableName) -> Result<()> {
    match house.lake.version(&quarantine_table(table)).await? {
        Some(_) => Ok(()),
        None => Err(Failure::new(
            "R0974",
            Remedy::FixConfig,
            format!("no row of `{table}` was ever set aside"),
        )
        .help("look: towpath quarantine ls")),
    }
}

fn load_of<'a>(plan: &'a Plan, table: &TableName) -> Result<(&'a PlannedTask, &'a LoadPlan)> {
    let tasks = plan.pipelines.iter().flat_map(|pipeline| &pipeline.tasks);
    tasks
        .filter_map(|task| match &task.action {
            Action::Load(load) if load.table.target == *table => Some((task, load.as_ref())),
            _ => None,
        })
        .next()
        .ok_or_else(|| {
            Failure::new(
                "R0975",
                Remedy::FixConfig,
                format!("no load of this project writes `{table}`"),
            )
            .help("rows of models are not replayed: run the model again")
        })
}

/// Replays are a task of their own: they never touch the load's generations and position.
fn key(plan: &Plan, task: &PlannedTask, load: &LoadPlan, what: &str) -> TaskKey {
    let pipeline = plan
        .pipelines
        .iter()
        .find(|pipeline| pipeline.tasks.iter().any(|t| t.id == task.id));
    TaskKey {
        project: plan.project.clone(),
        environment: plan.environment.clone(),
        pipeline: pipeline.map_or_else(|| "".into(), |pipeline| pipeline.name.clone()),
        step: StepName::new(format!("{} {what}", task.step)),
        table: load.table.target.clone(),
    }
}

fn quoted(table: &TableName) -> String {
    towpath_sql::quote_table(table)
}
