//! `copy`: one table from a source to a target, without a project.
//!
//! It turns arguments into a request for `app/src/copy.rs`, which does the work, and prints the result.
//! Ctrl-C stops the copy; nothing of it is visible then.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use towpath_app::{CopyReport, CopyRequest, copy as carry_out, memory_bytes, threshold};
use towpath_flow::{OutputSummary, Progress};
use towpath_vocab::{Failure, Remedy, Threshold, WriteMode};

use super::project_args::{CommandResult, working_dir};
use crate::args::{CopyArguments, CopyWrite};
use crate::exit::Exit;
use crate::{draw, signals, terminal};

/// The time that a copy has to stop cleanly.
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn copy(arguments: CopyArguments) -> CommandResult {
    let working_dir = working_dir()?;
    let request = CopyRequest {
        write: arguments.write.map(|write| match write {
            CopyWrite::Replace => WriteMode::Replace,
            CopyWrite::Append => WriteMode::Append,
            CopyWrite::Merge => WriteMode::Merge,
            CopyWrite::DeleteInsert => WriteMode::DeleteInsert,
            CopyWrite::InsertOnly => WriteMode::InsertOnly,
        }),
        key: arguments.key,
        source: arguments.source,
        destination: arguments.destination,
        table: arguments.table,
        query: arguments.query,
        columns: arguments.columns,
        filter: arguments.filter,
        limit: arguments.limit,
        into: arguments.into,
        types: arguments.types,
        options: arguments.options,
        verify: arguments.verify,
        fail_above: arguments.fail_above.as_deref().map(limit).transpose()?,
        memory_bytes: arguments.memory.as_deref().map(budget).transpose()?,
        working_dir,
    };
    let began = std::time::Instant::now();
    let progress = Arc::new(Progress::default());
    let cancel = signals::listen()?;
    let live = draw::Live::default();
    let counters = Arc::clone(&progress);
    live.start(move || draw::moved(&counters, began.elapsed().as_secs_f64().max(0.001)));
    let copied = tokio::select! {
        copied = Box::pin(carry_out(&request, progress, cancel.clone(), &draw::waits)) => copied,
        () = stopped(&cancel) => Err(interrupted()),
    };
    live.finish();
    let CopyReport {
        table,
        rejected,
        verified,
    } = copied.map_err(|failure| match failure.remedy {
        Remedy::Cancelled => interrupted(),
        _ => failure,
    })?;
    if let Some(failure) = &table.stopped {
        draw::failure(failure);
        return Ok(Exit::of(failure));
    }
    if !terminal::is_quiet() {
        print(&table, &rejected, began.elapsed());
    }
    match verified {
        Some(Err(failure)) => {
            draw::failure(&failure);
            return Ok(Exit::of(&failure));
        }
        Some(Ok(verified)) if !terminal::is_quiet() => outln!(
            "Verified: {} and {} are the same in the target.",
            draw::plural(verified.rows, "row"),
            draw::plural(verified.columns as u64, "column")
        ),
        _ => {}
    }
    Ok(Exit::Done)
}

/// Prints what was copied.
fn print(table: &OutputSummary, rejected: &Path, took: Duration) {
    let rate = table.rows_loaded as f64 / took.as_secs_f64().max(0.001);
    let peak = towpath_app::peak_rss_bytes().map_or_else(String::new, |peak| {
        format!(", peak memory {}", draw::bytes(peak))
    });
    outln!(
        "{} copied in {} ({} rows/s{peak}).",
        draw::plural(table.rows_loaded, "row"),
        draw::seconds(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
        draw::count(rate as u64)
    );
    for note in &table.notes {
        outln!(" ⓘ {note}");
    }
    if table.rows_rejected > 0 {
        outln!(
            "{} rejected: {}",
            draw::plural(table.rows_rejected, "row"),
            rejected.display()
        );
    }
}

/// Fires when the time of a copy that was asked to stop is over, so that a system that does not answer
/// cannot block it.
async fn stopped(cancel: &CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

fn interrupted() -> Failure {
    Failure::new(
        "R0939",
        Remedy::Cancelled,
        "the copy was stopped by the user",
    )
    .help("no row of it is visible; run the same command to start again")
    .help("a load in a pipeline with a `cursor` continues where it stopped: towpath init --from")
}

fn limit(text: &str) -> Result<Threshold, Failure> {
    threshold(text).ok_or_else(|| {
        let wrong = format!("--fail-above: `{text}` is neither a number of rows nor a percentage");
        Failure::new("R0992", Remedy::FixConfig, wrong).help("example: --fail-above 5%")
    })
}

fn budget(text: &str) -> Result<u64, Failure> {
    memory_bytes(text).ok_or_else(|| {
        let wrong = format!("`--memory {text}` is not a valid amount of memory");
        Failure::new("R0998", Remedy::FixConfig, wrong).help("write 16MB or more: --memory 256MB")
    })
}
