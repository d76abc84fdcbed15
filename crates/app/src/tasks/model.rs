//! Builds a model: SQL over the lakehouse that becomes a table or a view.
//!
//! Promise: a view is stored only after its tests have passed; a table goes through `write_table.rs` like
//! a load. The SQL itself is rendered and run in `engine::model`; which tasks run is decided in
//! `orchestrator`. Read next: `write_table.rs`.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use towpath_engine::Engine;
use towpath_flow::{OutputSummary, judge_view};
use towpath_orchestrator::AttemptSuccess;
use towpath_ports::{Clock, Destination, ModelEngine, ModelRequest, TaskOutcome};
use towpath_vocab::{
    Annotations, Check, CheckKind, ColumnRef, Failure, Materialized, ModelPlan, PlannedTask,
    Position, SchemaChange, TableLineage, TableName, WriteMode,
};

use super::executor::{RunExecutor, TaskDone};
use super::fingerprint::{fingerprint, held_form};
use super::write_table::TableWrite;
use crate::Result;

pub(super) async fn build(
    executor: &RunExecutor,
    task: &PlannedTask,
    model: &ModelPlan,
    cancel: CancellationToken,
) -> Result<AttemptSuccess> {
    let engine = &executor.services.engine;
    let target = model.table.target.clone();
    let read = inputs(engine, model).await?;
    let print = fingerprint(task, &read)?;
    if model.materialized == Materialized::View {
        return view(executor, task, model, print).await;
    }
    let destination = Arc::clone(&executor.services.lake) as Arc<dyn Destination>;
    let claim = executor
        .claim(task, destination.as_ref(), &target, Some(&print))
        .await?;
    if claim.is_done {
        return executor.adopted(task, &target, claim, Some(print));
    }
    let print = held_form(task, (print, &read), &claim, model.table.write.mode)?;
    // `full_refresh: false` wins over `--full-refresh`: appended rows are not appended again.
    let keeps = executor.options.full_refresh
        && !is_anew(executor, model)
        && model.table.write.mode == WriteMode::Append
        && claim.committed_fingerprint() == Some(print.as_str());
    let is_up_to_date = keeps
        || executor
            .is_up_to_date(task, &print, &claim, model.table.write.mode)
            .await?;
    let may_stay = !model.asks && !executor.options.changing.contains(&target);
    let stays = match (may_stay, is_up_to_date) {
        (true, true) => Some(TaskOutcome::Nothing),
        (true, false) => {
            executor
                .still_without_new_rows(task, &target, &print)
                .await?
        }
        (false, _) => None,
    };
    if let Some(outcome) = stays {
        return Ok(AttemptSuccess {
            unchanged: true,
            outcome,
            fingerprint: Some(print),
        });
    }
    let exists = destination.schema(&target).await?.is_some();
    let full_refresh = is_anew(executor, model);
    let incremental = model.materialized == Materialized::Incremental && exists && !full_refresh;
    let request = ModelRequest {
        model: model.clone(),
        full_refresh,
        incremental,
    };
    let run = engine.run(request).await?;
    let mut plan = model.table.clone();
    if !incremental {
        plan.write.mode = WriteMode::Replace;
        // A rebuilt table has the columns of its SQL.
        plan.write.schema_change = SchemaChange::Evolve;
    }
    plan.lineage = aimed(run.lineage, &target);
    executor
        .write_table(TableWrite {
            task,
            plan,
            source_table: target,
            destination,
            claim,
            reader: run.reader,
            opened_at: Position::default(),
            fingerprint: Some(print),
            annotations: Annotations::default(),
            rows_before: None,
            cancel,
        })
        .await
        .map_err(|failure| with_way_out(failure, model))
}

/// Whether an incremental model is rebuilt: by its config, or otherwise by the flag.
fn is_anew(executor: &RunExecutor, model: &ModelPlan) -> bool {
    model.full_refresh.unwrap_or(executor.options.full_refresh)
}

/// Adds help to the failure of a repeated key in a model: it must be corrected in the SQL.
fn with_way_out(failure: Failure, model: &ModelPlan) -> Failure {
    let key = &model.table.write.key;
    let is_keys =
        |check: &&Check| matches!(&check.kind, CheckKind::Unique { columns } if columns == key);
    let broken = model.table.checks.iter().filter(is_keys).any(|check| {
        let named = format!("check `{}`", check.name);
        failure.help.iter().any(|line| line.contains(&named))
    });
    match broken {
        true => failure.help(format!(
            "`unique_key` says one row per key: end the model's SQL with `qualify row_number() over (partition by {} order by …) = 1`",
            key.join(", ")
        )),
        false => failure,
    }
}

/// What the result of a model depends on in addition to its text: the versions of the tables that it reads,
/// and the variables that its template uses.
pub(super) async fn inputs(engine: &Engine, model: &ModelPlan) -> Result<Vec<String>> {
    let mut read: Vec<TableName> = model.references.values().cloned().collect();
    read.extend(model.reads.iter().cloned());
    read.sort();
    read.dedup();
    let versions = engine.versions(&read).await?;
    let versions = versions
        .iter()
        .map(|(table, version)| format!("{table}@{version}"));
    let variables = model
        .env_vars
        .keys()
        .map(|name| format!("{name}={:?}", engine.variable(name)));
    Ok(versions.chain(variables).collect())
}

/// Stores a view: its text and its lineage, because it has no rows. Its checks run before.
async fn view(
    executor: &RunExecutor,
    task: &PlannedTask,
    model: &ModelPlan,
    print: String,
) -> Result<AttemptSuccess> {
    let target = &model.table.target;
    let stands = executor.stored_view_version(task, target).await?;
    let is_rerun = executor.options.rerun_of.is_some();
    if let Some(version) = stands
        && !is_rerun
        && !model.asks
        && executor.is_unchanged(task, &print, true).await?
    {
        return Ok(AttemptSuccess {
            unchanged: true,
            outcome: TaskOutcome::View { version },
            fingerprint: Some(print),
        });
    }
    let request = ModelRequest {
        model: model.clone(),
        full_refresh: false,
        incremental: false,
    };
    let run = executor.services.engine.run(request).await?;
    let judged = judge(executor, task, model, &run.sql).await?;
    let built_by_us = executor
        .services
        .lake
        .last(&executor.key(&task.step, target), target)
        .await?
        .is_some();
    let engine = &executor.services.engine;
    let version = match built_by_us {
        // The model was a table before; its rows can be computed again.
        true => engine.replace_by_view(target, &run.sql).await?,
        false => engine.create_view(target, &run.sql).await?,
    };
    let lineage = aimed(run.lineage, target);
    executor
        .services
        .store
        .put_lineage(&executor.environment, target, &lineage)
        .await?;
    executor.record(
        &task.id,
        TaskDone::View {
            table: target.clone(),
            version: Some(version),
            judged,
        },
    );
    Ok(AttemptSuccess {
        unchanged: false,
        outcome: TaskOutcome::View { version },
        fingerprint: Some(print),
    })
}

/// Runs the checks of a view on the rows that it would show. If one fails, the view does not change.
async fn judge(
    executor: &RunExecutor,
    task: &PlannedTask,
    model: &ModelPlan,
    sql: &str,
) -> Result<Option<Box<OutputSummary>>> {
    if model.table.checks.is_empty() {
        return Ok(None);
    }
    let services = &executor.services;
    let table = &model.table.target;
    let candidate = services.engine.view_candidate(table, sql).await?;
    let transfer = services.transfer_services(Arc::clone(&executor.progress));
    let judged = judge_view(&model.table, candidate, &transfer).await?;
    let now_us = services.system.now_us();
    services
        .store
        .put_checks(&executor.run, &executor.environment, now_us, &judged.checks)
        .await?;
    let Some(stopped) = judged.stopped.clone() else {
        return Ok(Some(Box::new(judged)));
    };
    executor.record(
        &task.id,
        TaskDone::View {
            table: table.clone(),
            version: None,
            judged: Some(Box::new(judged)),
        },
    );
    let stands = services.lake.view(table).await?;
    Err(of_view(stopped, stands.map(|view| view.sql == sql)))
}

/// The failure of a view whose test failed, with what readers see. A stored view shows the present rows of
/// its tables. `same` says whether the stored text is the one that was checked.
fn of_view(stopped: Failure, same: Option<bool>) -> Failure {
    let visible = match same {
        Some(true) => {
            "the view shows these rows: a view stores no rows and always shows its tables as they are now"
        }
        Some(false) => "the view keeps its earlier query; it shows its tables as they are now",
        None => "the view was not stored",
    };
    let mut failure = Failure::new(&stopped.code, stopped.remedy, stopped.message).help(visible);
    for line in stopped.help {
        failure = failure.help(line);
    }
    match same {
        Some(_) => failure.help(
            "to keep the earlier rows visible until the tests pass: config(materialized='table')",
        ),
        None => failure,
    }
}

/// Turns the lineage of a statement into that of a table.
fn aimed(mut lineage: TableLineage, target: &TableName) -> TableLineage {
    for edge in &mut lineage.edges {
        edge.to = ColumnRef {
            table: target.to_string(),
            column: std::mem::take(&mut edge.to.column),
        };
    }
    lineage
}
