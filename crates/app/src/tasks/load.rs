//! Runs a load: from an outside system into the lakehouse.
//!
//! Promise: it opens the source at the position of the last commit, or skips the read if nothing has
//! changed. It does not write rows (`write_table.rs`), and does not know which system it reads: that is
//! behind `ports::Source`. Read next: `generation.rs`, which claims the next commit.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use tokio_util::sync::CancellationToken;
use towpath_connectors::found_no_file;
use towpath_flow::{mask_words, refuse_unknown_columns};
use towpath_orchestrator::AttemptSuccess;
use towpath_ports::{Destination, ReadSpec, TaskOutcome};
use towpath_project::nearest;
use towpath_vocab::types::MASKED;
use towpath_vocab::{
    AbsentRows, Annotations, AuditColumns, ColumnPlan, ConnectorSpec, FactSource, Failure,
    LoadPlan, ObjectKind, PlannedTask, Position, ReadMode, RowHistoryPlan, SchemaPolicy, Selection,
    TablePlan, WriteMode, WritePlan,
};

use super::executor::{RunExecutor, TaskDone};
use super::fingerprint::fingerprint;
use super::generation::GenerationClaim;
use super::load_lineage::observed_lineage;
use super::nondeterministic::loads_by_time;
use super::observed_types::{observed, stamped_schema};
use super::write_table::{TableWrite, has_definition};
use crate::Result;
use crate::services::{parallelism, spec_of};

/// The rows and bytes that a batch should have.
const BATCH_ROWS: usize = 32 * 1024;
const BATCH_BYTES: usize = 8 << 20;

pub(super) async fn load(
    executor: &RunExecutor,
    task: &PlannedTask,
    load: &LoadPlan,
    cancel: CancellationToken,
) -> Result<AttemptSuccess> {
    let source = executor.services.source(&load.connection)?;
    let destination = Arc::clone(&executor.services.lake) as Arc<dyn Destination>;
    let target = load.table.target.clone();
    let mut spec = read_spec(executor, load);
    // A part of the source has no fingerprint: the next run reads it whole.
    let fingerprint = match source.version(&spec).await {
        Ok(Some(version)) if spec.limit.is_none() => Some(fingerprint(task, &[version.0])?),
        Ok(_) => None,
        Err(failure) => return emptied(executor, task, load, failure).await,
    };
    // Without a fingerprint, only the number of the run shows that it has already appended.
    if fingerprint.is_none()
        && load.read == ReadMode::Full
        && executor
            .is_appended(task, destination.as_ref(), &load.table)
            .await?
    {
        return Ok(AttemptSuccess {
            unchanged: true,
            ..AttemptSuccess::default()
        });
    }
    let claim = executor
        .claim(task, destination.as_ref(), &target, fingerprint.as_deref())
        .await?;
    if claim.is_done {
        return executor.adopted(task, &target, claim, fingerprint);
    }
    if let Some(print) = &fingerprint
        && !loads_by_time(load)
        && !is_masked_otherwise(executor, load).await?
        && executor
            .is_up_to_date(task, print, &claim, load.table.write.mode)
            .await?
    {
        return Ok(AttemptSuccess {
            unchanged: true,
            outcome: TaskOutcome::Nothing,
            fingerprint,
        });
    }
    let is_anew = executor.options.full_refresh || load.read == ReadMode::Full;
    let from = if is_anew {
        Position::default()
    } else {
        claim.position()
    };
    if !executor.options.full_refresh {
        let facts = executor.facts().await?;
        spec.observed = observed(destination.as_ref(), facts, load).await?;
    }
    let rows_before = rows_before(executor, load, &claim).await?;
    let mut plan = written_plan(executor, load);
    let begin = (!from.is_empty()).then_some(&from);
    let reader = match source.open(&spec, begin).await? {
        reader if reader.tables().is_empty() => {
            // The source has no records and does not know its columns: the table may know them.
            let notes = reader.notes();
            let facts = executor.facts().await?;
            spec.observed = observed(destination.as_ref(), facts, load).await?;
            if spec.observed.is_none() {
                return Ok(nothing_yet(executor, task, &notes));
            }
            source.open(&spec, begin).await?
        }
        reader => reader,
    };
    if let Some(table) = reader.tables().first() {
        let may_be_absent =
            |name: &str| gives_records(load) && !is_nearly(name, &plan, &table.schema);
        refuse_unknown_columns(&plan, &table.schema, &may_be_absent)?;
    }
    if plan.lineage.edges.is_empty()
        && let Some(table) = reader.tables().first()
    {
        plan.lineage = observed_lineage(load, &table.schema);
    }
    let seen = reader.tables().into_iter().next().map(|table| table.schema);
    let outcome = executor
        .write_table(TableWrite {
            task,
            plan,
            source_table: target,
            destination,
            claim,
            reader,
            opened_at: from,
            fingerprint,
            annotations: Annotations::default(),
            rows_before,
            cancel,
        })
        .await?;
    if let (Some(schema), Selection::Object(object)) = (seen, &load.selection) {
        executor
            .observe_external(&load.connection.name, object, stamped_schema(&schema, load))
            .await?;
    }
    Ok(outcome)
}

/// Whether a column may be absent from one read and present in the next: JSON objects have only the members
/// that they need, and `missing_columns: null` allows the same for other files.
fn gives_records(load: &LoadPlan) -> bool {
    let spec = spec_of(&load.connection.kind);
    let has_formats =
        |spec: &ConnectorSpec| spec.options.iter().any(|known| known.name == "format");
    let has_formats = spec.as_ref().is_some_and(has_formats);
    let kind = spec.map(|spec| spec.objects);
    let option = |name: &str| {
        let own = load.options.get(name).and_then(|value| value.as_str());
        own.or_else(|| load.connection.text(name))
    };
    let is_json = match (option("format"), &load.selection) {
        (Some(format), _) => format.starts_with("json"),
        (None, Selection::Object(object)) => {
            let object = object.to_ascii_lowercase();
            object.contains(".json") || object.contains(".ndjson")
        }
        (None, Selection::Query(_)) => false,
    };
    match kind {
        Some(ObjectKind::Endpoints) => true,
        // Tables that a program prints: lines of JSON, unless it says.
        Some(ObjectKind::Tables) => {
            has_formats && option("format").is_none_or(|one| one == "jsonl")
        }
        Some(ObjectKind::Files) => is_json || option("missing_columns") == Some("null"),
        _ => false,
    }
}

/// Whether a name is nearly that of a column which no other name means, and so probably a spelling mistake.
/// Short names are too much alike to tell.
fn is_nearly(name: &str, plan: &TablePlan, schema: &SchemaRef) -> bool {
    let listed = |column: &str| {
        let mut names = plan.keep.iter().chain(&plan.drop);
        names.any(|name| plan.names.is_same(name, column))
    };
    let columns = schema.fields().iter().map(|field| field.name().as_str());
    name.chars().count() > 3 && nearest(name, columns.filter(|column| !listed(column))).is_some()
}

/// How this run writes the table.
fn written_plan(executor: &RunExecutor, load: &LoadPlan) -> TablePlan {
    let mut plan = load.table.clone();
    let keeps_values = AuditColumns::of(&plan.write).is_some_and(|own| !own.previous.is_empty());
    if executor.options.full_refresh && !keeps_values && RowHistoryPlan::of(&plan.write).is_none() {
        plan.write.mode = WriteMode::Replace;
        // What is replaced has no columns to keep.
        SchemaPolicy::clear(&mut plan.write);
    }
    if gives_records(load) {
        SchemaPolicy::allow_absent(&mut plan.write);
    }
    if executor.options.limit.is_some() {
        // Of a part of the source nobody knows what is gone.
        RowHistoryPlan::change(&mut plan.write, |history| history.closes_absent = false);
        AbsentRows::clear(&mut plan.write);
    }
    plan
}

/// True if a column of the table is hashed with another key than rows would be now. A key that cannot be
/// resolved stops the load that reads, not one that has nothing to do.
async fn is_masked_otherwise(executor: &RunExecutor, load: &LoadPlan) -> Result<bool> {
    let services = executor.services.transfer_services(Arc::default());
    let Ok(words) = mask_words(&load.table, &services).await else {
        return Ok(false);
    };
    if words.is_empty() {
        return Ok(false);
    }
    let Some(schema) = executor.services.lake.schema(&load.table.target).await? else {
        return Ok(false);
    };
    Ok(words.iter().any(|(column, now)| {
        let field = schema.field_with_name(column).ok();
        let before = field.and_then(|field| field.metadata().get(MASKED));
        before.is_some_and(|before| before != now)
    }))
}

/// A load of new files only that finds none at all, and has loaded files before: they were moved away, and
/// nothing is new. Any other failure stays one, also where the load was defined otherwise then: its names may be
/// wrong.
async fn emptied(
    executor: &RunExecutor,
    task: &PlannedTask,
    load: &LoadPlan,
    failure: Failure,
) -> Result<AttemptSuccess> {
    let goes_on = load.read == ReadMode::Incremental
        && !executor.options.full_refresh
        && executor.options.limit.is_none();
    if !goes_on || !found_no_file(&failure) {
        return Err(failure);
    }
    let key = executor.key(&task.step, &load.table.target);
    let last = executor
        .services
        .lake
        .last(&key, &load.table.target)
        .await?;
    match last.filter(|last| has_definition(&last.token, task)) {
        Some(last) if !last.token.position.is_empty() => {
            let reason = "no file is there any more; those that were loaded are in the table";
            Ok(nothing_yet(executor, task, &[reason.to_owned()]))
        }
        _ => Err(failure),
    }
}

/// There is no table to make: the source never had a record, and nobody says its columns.
fn nothing_yet(executor: &RunExecutor, task: &PlannedTask, notes: &[String]) -> AttemptSuccess {
    let reason = match notes {
        [] => "the source has no records, and its columns are not known".to_owned(),
        notes => notes.join("; "),
    };
    executor.record(&task.id, TaskDone::Skipped(reason.clone()));
    AttemptSuccess {
        unchanged: true,
        outcome: TaskOutcome::Skipped { reason },
        fingerprint: None,
    }
}

/// The rows of the table that this load would delete if no row came. A merge that deletes looks at all rows of
/// the table, whoever wrote them.
async fn rows_before(
    executor: &RunExecutor,
    load: &LoadPlan,
    claim: &GenerationClaim,
) -> Result<Option<u64>> {
    let write = &load.table.write;
    if load.read != ReadMode::Full || executor.options.limit.is_some() {
        return Ok(None);
    }
    if AbsentRows::of(write).is_some() {
        let (lake, table) = (&executor.services.lake, &load.table.target);
        return Ok(match lake.schema(table).await? {
            Some(_) => lake.describe(table).await?.rows,
            None => None,
        });
    }
    let closes = RowHistoryPlan::of(write).is_some_and(|history| history.closes_absent);
    let replaces = write.mode == WriteMode::Replace || closes;
    let last = claim.last.as_ref().filter(|_| replaces);
    let before = last.map(|last| last.stats.rows_in).filter(|rows| *rows > 0);
    if closes && before.is_none() {
        // The last load had no rows, or another step wrote the versions.
        let (lake, table) = (&executor.services.lake, &load.table.target);
        return Ok(match lake.schema(table).await? {
            Some(_) => lake.describe(table).await?.rows,
            None => None,
        });
    }
    Ok(before)
}

/// What a load reads, with the options of this run.
pub(super) fn read_spec(executor: &RunExecutor, load: &LoadPlan) -> ReadSpec {
    let mut spec = load_spec(load);
    spec.limit = executor.options.limit;
    if spec.limit.is_some() {
        // A sample begins at the start and is never continued.
        spec.mode = ReadMode::Full;
        spec.cursor = None;
    }
    spec
}

/// What a load reads.
pub(crate) fn load_spec(load: &LoadPlan) -> ReadSpec {
    let discovered = load
        .known
        .as_ref()
        .filter(|fact| fact.source != FactSource::Observed);
    ReadSpec {
        table: load.table.target.clone(),
        selection: load.selection.clone(),
        mode: load.read,
        cursor: load.cursor.clone(),
        declared: declared(&load.table.columns),
        known: discovered.map(|fact| Arc::clone(&fact.schema)),
        observed: None,
        projection: None,
        limit: None,
        options: load.options.clone(),
        parallel: parallelism(),
        batch_rows: BATCH_ROWS,
        batch_bytes: BATCH_BYTES,
        may_repeat: may_repeat(&load.table.write),
    }
}

/// Whether rows that are written twice are in the table once.
fn may_repeat(write: &WritePlan) -> bool {
    let by_key = [
        WriteMode::Merge,
        WriteMode::DeleteInsert,
        WriteMode::InsertOnly,
        WriteMode::Scd2,
    ];
    !write.key.is_empty() && by_key.contains(&write.mode)
}

/// What the reader must know of columns that come directly from the source: their declared types, which it
/// applies, and their masks.
fn declared(columns: &[ColumnPlan]) -> Vec<ColumnPlan> {
    columns
        .iter()
        .filter(|column| {
            (column.data_type.is_some() || column.mask.is_some()) && column.set.is_none()
        })
        .cloned()
        .collect()
}
