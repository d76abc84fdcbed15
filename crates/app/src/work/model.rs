//! A model: SQL over the lakehouse, kept as a table or a view.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use towpath_orchestrator::AttemptOutcome;
use towpath_ports::{Destination, ModelEngine, ModelRequest, StateStore};
use towpath_vocab::{
    ColumnRef, Materialized, ModelPlan, PlannedTask, Position, TableLineage, TableName, WriteMode,
};

use super::fingerprint::fingerprint;
use super::scope::{TaskDone, Work};
use super::tow::Tow;
use crate::Result;

pub(super) async fn build(
    work: &Work,
    task: &PlannedTask,
    model: &ModelPlan,
    cancel: CancellationToken,
) -> Result<AttemptOutcome> {
    let engine = &work.house.engine;
    let target = model.table.target.clone();
    let inputs: Vec<TableName> = model.references.values().cloned().collect();
    let versions = engine.versions(&inputs).await?;
    let versions: Vec<String> = versions
        .iter()
        .map(|(table, version)| format!("{table}@{version}"))
        .collect();
    let print = fingerprint(task, &versions)?;
    if model.materialized == Materialized::View {
        return view(work, task, model, print).await;
    }
    let destination = Arc::clone(&work.house.lake) as Arc<dyn Destination>;
    let turn = work
        .turn(task, destination.as_ref(), &target, Some(&print))
        .await?;
    if turn.is_done {
        return work.adopted(task, &target, turn, Some(print));
    }
    if !work.options.changing.contains(&target)
        && work
            .is_held(task, &print, &turn, model.table.write.mode)
            .await?
    {
        return Ok(AttemptOutcome {
            unchanged: true,
            outcome: serde_json::Value::Null,
            fingerprint: Some(print),
        });
    }
    let exists = destination.schema(&target).await?.is_some();
    let incremental =
        model.materialized == Materialized::Incremental && exists && !work.options.full_refresh;
    let request = ModelRequest {
        model: model.clone(),
        full_refresh: work.options.full_refresh,
        incremental,
    };
    let run = engine.run(request).await?;
    let mut plan = model.table.clone();
    if !incremental {
        plan.write.mode = WriteMode::Replace;
    }
    plan.lineage = aimed(run.lineage, &target);
    work.tow(Tow {
        task,
        plan,
        source_table: target,
        destination,
        turn,
        reader: run.reader,
        opened_at: Position::default(),
        fingerprint: Some(print),
        cancel,
    })
    .await
}

/// A view holds no rows: only its text is kept, and its lineage.
async fn view(
    work: &Work,
    task: &PlannedTask,
    model: &ModelPlan,
    print: String,
) -> Result<AttemptOutcome> {
    let target = &model.table.target;
    let holds = work.house.lake.view(target).await?.is_some();
    let is_rerun = work.options.rerun_of.is_some();
    if !is_rerun && work.is_unchanged(task, &print, holds).await? {
        return Ok(AttemptOutcome {
            unchanged: true,
            outcome: serde_json::Value::Null,
            fingerprint: Some(print),
        });
    }
    let request = ModelRequest {
        model: model.clone(),
        full_refresh: false,
        incremental: false,
    };
    let run = work.house.engine.run(request).await?;
    let built_by_us = work
        .house
        .lake
        .last(&work.key(&task.step, target), target)
        .await?
        .is_some();
    let engine = &work.house.engine;
    let version = match built_by_us {
        // The model was kept as a table before: what it held can be computed again.
        true => engine.replace_by_view(target, &run.sql).await?,
        false => engine.create_view(target, &run.sql).await?,
    };
    let lineage = aimed(run.lineage, target);
    work.house
        .book
        .put_lineage(&work.environment, target, &lineage)
        .await?;
    work.record(&task.id, TaskDone::View(target.clone(), version));
    Ok(AttemptOutcome {
        unchanged: false,
        outcome: serde_json::json!({ "view": version }),
        fingerprint: Some(print),
    })
}

/// Lineage of a statement becomes lineage of a table.
fn aimed(mut lineage: TableLineage, target: &TableName) -> TableLineage {
    for edge in &mut lineage.edges {
        edge.to = ColumnRef {
            table: target.to_string(),
            column: std::mem::take(&mut edge.to.column),
        };
    }
    lineage
}
