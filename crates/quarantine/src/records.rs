//! Reads the waiting records of a quarantine table, and changes the status of records.
//!
//! Promise: for a keyed table the newest record comes first, so an older one with the same key is left out.
//! Which records wait is decided in `waiting.rs`, what happens to them in `replay.rs`.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use futures::TryStreamExt;
use towpath_flow::{RecordSeal, WITHHELD, quarantine_columns, quarantine_table};
use towpath_ports::{Commit, Result, WriteRequest};
use towpath_vocab::{
    Action, Failure, Generation, LoadPlan, PipelineName, Plan, PlannedTask, Position, RawRecord,
    RecordLocation, Remedy, SchemaChange, TableName, TaskKey, TaskKind, WriteMode, WritePlan,
};

use crate::QuarantinePorts;
use crate::waiting::waiting;

/// Ids per statement.
const IDS: usize = 5_000;

/// One record that waits.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its id in the quarantine.
    pub id: String,
    /// What was rejected.
    pub raw: RawRecord,
    /// Its location in the source.
    pub place: RecordLocation,
    /// The commit from which it was rejected.
    pub generation: Generation,
}

/// The load whose rows were rejected.
pub struct Owner<'a> {
    /// The plan it is in.
    pub plan: &'a Plan,
    /// Its pipeline.
    pub pipeline: &'a PipelineName,
    pub(crate) task: &'a PlannedTask,
    /// The load.
    pub load: &'a LoadPlan,
}

impl<'a> Owner<'a> {
    /// The load that writes a table.
    ///
    /// # Errors
    /// R0975 if no load of the plan writes it.
    pub fn of(plan: &'a Plan, table: &TableName) -> Result<Self> {
        let all = plan
            .pipelines
            .iter()
            .flat_map(|p| p.tasks.iter().map(move |task| (p, task)));
        let mut found = all.filter_map(|(pipeline, task)| match &task.action {
            Action::Load(load) if load.table.target == *table => Some(Self {
                plan,
                pipeline: &pipeline.name,
                task,
                load,
            }),
            _ => None,
        });
        found.next().ok_or_else(|| {
            if is_published(plan, table) {
                let message = format!("rows of `{table}` were refused by the system they were published to");
                return Failure::new("R0975", Remedy::FixConfig, message).help(
                    "the next run of the publish sends them again: towpath run; rows that are corrected or deleted in the model are replaced",
                );
            }
            let message = format!("no load of this project writes `{table}`");
            Failure::new("R0975", Remedy::FixConfig, message)
                .help("rows of models and commands cannot be replayed: run them again")
        })
    }

    /// The table.
    pub fn table(&self) -> &TableName {
        &self.load.table.target
    }

    /// The key of the load's task, or of another kind of task on its table, which has generations of its
    /// own.
    pub(crate) fn key(&self, kind: TaskKind) -> TaskKey {
        TaskKey {
            project: self.plan.project.clone(),
            environment: self.plan.environment.clone(),
            pipeline: self.pipeline.clone(),
            step: self.task.step.clone(),
            kind,
            table: self.table().clone(),
        }
    }

    /// The load's last commit.
    pub(crate) async fn generation(&self, ports: &QuarantinePorts) -> Result<Generation> {
        let last = ports
            .lake
            .last(&self.key(TaskKind::Step), self.table())
            .await?;
        Ok(last.map_or(Generation(0), |last| last.token.generation))
    }
}

/// True if a publish writes this table.
fn is_published(plan: &Plan, table: &TableName) -> bool {
    let mut tasks = plan.pipelines.iter().flat_map(|pipeline| &pipeline.tasks);
    tasks.any(|task| match &task.action {
        Action::Publish(publish) => publish.table.target == *table,
        _ => false,
    })
}

/// Refuses a table of which no row was ever rejected.
///
/// # Errors
/// R0974, and those of the lakehouse.
pub async fn need_quarantine(ports: &QuarantinePorts, table: &TableName) -> Result<()> {
    match ports.lake.schema(&quarantine_table(table)).await? {
        Some(_) => Ok(()),
        None => {
            let message = format!("no row of `{table}` was ever rejected");
            Err(Failure::new("R0974", Remedy::FixConfig, message)
                .help("look: towpath quarantine ls"))
        }
    }
}

/// The number of waiting records whose text was not stored.
pub(crate) async fn withheld(ports: &QuarantinePorts, owner: &Owner<'_>) -> Result<u64> {
    let ids = waiting_ids(ports, owner, &format!("form = '{WITHHELD}'")).await?;
    Ok(ids.len() as u64)
}

/// The ids of all records that wait.
pub(crate) async fn all_ids(
    ports: &QuarantinePorts,
    owner: &Owner<'_>,
) -> Result<BTreeSet<String>> {
    waiting_ids(ports, owner, "true").await
}

async fn waiting_ids(
    ports: &QuarantinePorts,
    owner: &Owner<'_>,
    also: &str,
) -> Result<BTreeSet<String>> {
    let quarantine = quoted(&quarantine_table(owner.table()));
    let condition = waiting(ports, owner).await?;
    let sql = format!("select id from {quarantine} where {condition} and {also}");
    let mut ids = BTreeSet::new();
    for batch in ask(ports, &sql).await? {
        let column = batch.columns().first().map(texts).unwrap_or_default();
        ids.extend(column.into_iter().flatten());
    }
    Ok(ids)
}

/// Waiting records whose text was stored, after the first `offset`: oldest first, or newest first for a
/// table with a key.
pub(crate) async fn waiting_records(
    ports: &QuarantinePorts,
    owner: &Owner<'_>,
    offset: u64,
    limit: u64,
) -> Result<Vec<Record>> {
    let quarantine = quoted(&quarantine_table(owner.table()));
    let condition = waiting(ports, owner).await?;
    let order = match owner.load.table.write.key.is_empty() {
        true => "asc",
        false => "desc",
    };
    let sql = format!(
        "select id, form, record, object, cast(line as varchar) as line_text, \
         cast(ordinal as varchar) as ordinal_text, cast(generation as varchar) as generation_text \
         from {quarantine} where {condition} and form <> '{WITHHELD}' order by set_aside_at {order}, object {order}, \
         ordinal {order}, id limit {limit} offset {offset}"
    );
    let seal = RecordSeal::of(&owner.load.table, ports.secrets.as_ref()).await?;
    let mut records = Vec::new();
    for batch in ask(ports, &sql).await? {
        let columns: Vec<Vec<Option<String>>> = batch.columns().iter().map(texts).collect();
        for row in 0..batch.num_rows() {
            let cell = |column: usize| {
                columns
                    .get(column)
                    .and_then(|c| c.get(row).cloned().flatten())
            };
            let (form, record) = (cell(1).unwrap_or_default(), cell(2).unwrap_or_default());
            let Some(raw) = seal.open(owner.table(), &form, &record)? else {
                continue;
            };
            records.push(Record {
                id: cell(0).unwrap_or_default(),
                raw,
                place: RecordLocation {
                    object: cell(3).unwrap_or_default(),
                    line: cell(4).and_then(|number| number.parse().ok()),
                    ordinal: cell(5).and_then(|number| number.parse().ok()).unwrap_or(0),
                },
                generation: Generation(cell(6).and_then(|n| n.parse().ok()).unwrap_or(0)),
            });
        }
    }
    Ok(records)
}

/// A change of the status of records.
pub(crate) struct Change {
    /// SQL conditions; one of them is true for each of the records.
    pub(crate) conditions: BTreeSet<String>,
    /// The new status.
    pub(crate) status: &'static str,
}

impl Change {
    /// For records by their ids.
    pub(crate) fn of(ids: &BTreeSet<String>, status: &'static str) -> Self {
        let literals: Vec<String> = ids.iter().map(|id| towpath_vocab::literal(id)).collect();
        let some = literals.chunks(IDS);
        let conditions = some.map(|some| format!("id in ({})", some.join(", ")));
        Self {
            conditions: conditions.collect(),
            status,
        }
    }
}

/// Changes the status of records, in one commit with this `position`.
pub(crate) async fn set_statuses(
    ports: &QuarantinePorts,
    task: &TaskKey,
    changes: Vec<Change>,
    position: Position,
) -> Result<()> {
    let quarantine = quarantine_table(&task.table);
    let task = TaskKey {
        table: quarantine.clone(),
        ..task.clone()
    };
    let last = ports.lake.last(&task, &quarantine).await?;
    let after = last.map_or(Generation(0), |last| last.token.generation);
    let run: Vec<&str> = changes.iter().map(|change| change.status).collect();
    let intent = WriteRequest {
        table: quarantine.clone(),
        schema: quarantine_columns(),
        write: WritePlan {
            mode: WriteMode::Merge,
            key: vec!["id".to_owned()],
            schema_change: SchemaChange::Fail,
            options: BTreeMap::new(),
        },
        task,
        generation: after.next(),
        after: Some(after),
        run: run.join(", "),
    };
    let mut writer = ports.lake.begin(intent).await?;
    for change in &changes {
        for condition in &change.conditions {
            let sql = with_status(&quarantine, condition, change.status);
            let mut rows = ports.query.query(&sql, &BTreeMap::new()).await?.batches;
            while let Some(batch) = rows.try_next().await? {
                writer.write(whole(&quarantine, &batch)?, None).await?;
            }
        }
    }
    let prepared = writer.prepare().await?;
    prepared
        .commit(Commit {
            position,
            audited: false,
            ..Commit::default()
        })
        .await?;
    Ok(())
}

/// SQL for whole rows of the quarantine with another status.
fn with_status(quarantine: &TableName, condition: &str, status: &str) -> String {
    let columns: Vec<String> = quarantine_columns()
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "status" => format!("'{status}' as status"),
            name => name.to_owned(),
        })
        .collect();
    let (columns, table) = (columns.join(", "), quoted(quarantine));
    format!("select {columns} from {table} where {condition}")
}

fn whole(quarantine: &TableName, batch: &RecordBatch) -> Result<RecordBatch> {
    RecordBatch::try_new(quarantine_columns(), batch.columns().to_vec()).map_err(|error| {
        let message = format!("`{quarantine}` has other columns: {error}");
        Failure::new("R0973", Remedy::Bug, message)
    })
}

pub(crate) async fn ask(ports: &QuarantinePorts, sql: &str) -> Result<Vec<RecordBatch>> {
    let result = ports.query.query(sql, &BTreeMap::new()).await?;
    result.batches.try_collect().await
}

pub(crate) fn texts(array: &arrow_array::ArrayRef) -> Vec<Option<String>> {
    let array = array.as_string::<i32>();
    (0..array.len())
        .map(|row| array.is_valid(row).then(|| array.value(row).to_owned()))
        .collect()
}

pub(crate) fn quoted(table: &TableName) -> String {
    towpath_vocab::quote_table(table)
}
