//! A publish: sends a lakehouse table out.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use towpath_orchestrator::AttemptOutcome;
use towpath_ports::ReadSpec;
use towpath_vocab::{Failure, PlannedTask, Position, PublishPlan, ReadMode, Remedy, Selection};

use super::fingerprint::fingerprint;
use super::scope::{TaskDone, Work};
use super::tow::Tow;
use crate::Result;
use crate::house::parallelism;

pub(super) async fn publish(
    work: &Work,
    task: &PlannedTask,
    publish: &PublishPlan,
    cancel: CancellationToken,
) -> Result<AttemptOutcome> {
    if !publish.connection.writable {
        let why = format!(
            "`{}` is read-only; to send tables there say `writable: true`",
            publish.connection.name
        );
        work.record(&task.id, TaskDone::Skipped(why));
        return Ok(AttemptOutcome {
            unchanged: true,
            outcome: serde_json::Value::Null,
            fingerprint: None,
        });
    }
    let destination = work.house.destination(&publish.connection)?;
    let target = publish.table.target.clone();
    let source = work.house.lake.source(&publish.from)?;
    let spec = ReadSpec {
        table: target.clone(),
        selection: Selection::Object(publish.from.to_string()),
        mode: ReadMode::Full,
        cursor: None,
        declared: Vec::new(),
        known: None,
        projection: None,
        limit: None,
        options: BTreeMap::new(),
        parallel: parallelism(),
        batch_rows: 32 * 1024,
        batch_bytes: 8 << 20,
    };
    let version = source.version(&spec).await?.ok_or_else(|| {
        Failure::new(
            "R0940",
            Remedy::FixConfig,
            format!("there is no table `{}` to publish", publish.from),
        )
        .help("build it first: towpath run")
    })?;
    let print = fingerprint(task, &[version.0])?;
    let turn = work
        .turn(task, destination.as_ref(), &target, Some(&print))
        .await?;
    if turn.is_done {
        return work.adopted(task, &target, turn, Some(print));
    }
    if work
        .is_held(task, &print, &turn, publish.table.write.mode)
        .await?
    {
        return Ok(AttemptOutcome {
            unchanged: true,
            outcome: serde_json::Value::Null,
            fingerprint: Some(print),
        });
    }
    let reader = source.open(&spec, None).await?;
    let from = publish.table.clone();
    work.tow(Tow {
        task,
        plan: from,
        source_table: target,
        destination: Arc::clone(&destination),
        turn,
        reader,
        opened_at: Position::default(),
        fingerprint: Some(print),
        cancel,
    })
    .await
}
