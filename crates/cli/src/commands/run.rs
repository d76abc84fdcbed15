//! `run`: prints the progress while the run goes on, and the report at its end.
//!
//! Promise: Ctrl-C or TERM stops the run cleanly; a second one stops it at once. `run --all` stops after
//! the first pipeline that did not end well. It calls `app/src/run.rs`. Read next: `draw/run_display.rs`
//! (progress), `draw/report.rs` (the report).

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use towpath_app::{
    RunReport, RunRequest, RunResult, TaskSelection, Wait, pipelines_in_order, run as run_pipeline,
    threshold,
};
use towpath_ports::RunState;
use towpath_vocab::{Failure, Remedy, TableName, Threshold};

use super::project_args::{CommandResult, ProjectArgs};
use crate::args::{Format, RunArguments, SelectionArguments, WaitArgument};
use crate::exit::Exit;
use crate::{draw, signals};

pub(super) async fn run(place: &ProjectArgs, arguments: RunArguments) -> CommandResult {
    let (all, format) = (arguments.all, arguments.format);
    let request = RunRequest {
        dir: place.dir()?,
        environment: place.env.clone(),
        pipeline_or_step: arguments.pipeline_or_step,
        choice: choice(arguments.choice),
        full_refresh: arguments.full_refresh,
        limit: arguments.limit,
        params: arguments.params.into_iter().collect(),
        fail_above: thresholds("--fail-above", arguments.fail_above)?,
        delete_above: thresholds("--delete-above", arguments.delete_above)?,
        wait: wait(&arguments.wait),
        ..RunRequest::default()
    };
    let cancel = signals::listen()?;
    match all {
        true => every(place, request, format, &cancel).await,
        false => one(&request, format, cancel).await,
    }
}

async fn one(request: &RunRequest, format: Format, cancel: CancellationToken) -> CommandResult {
    let display = Arc::new(draw::RunDisplay::new(format));
    let ran = Box::pin(run_pipeline(request, display.as_ref(), cancel)).await;
    display.finish();
    show_result(ran?, format)
}

/// Runs all pipelines, one after the other. If one does not end well, the later ones do not run.
async fn every(
    place: &ProjectArgs,
    request: RunRequest,
    format: Format,
    cancel: &CancellationToken,
) -> CommandResult {
    let report = place
        .check(request.params.clone().into_iter().collect())
        .await?;
    let Some(plan) = &report.plan else {
        return show_result(RunResult::InvalidProject(Box::new(report)), format);
    };
    for name in pipelines_in_order(plan)? {
        let of_one = RunRequest {
            pipeline_or_step: Some(name),
            ..request.clone()
        };
        let exit = one(&of_one, format, cancel.clone()).await?;
        if exit != Exit::Done {
            return Ok(exit);
        }
    }
    Ok(Exit::Done)
}

/// Prints the result of a run.
pub(super) fn show_result(ran: RunResult, format: Format) -> CommandResult {
    match ran {
        RunResult::InvalidProject(report) => {
            draw::diagnostics(&report.diagnostics, &report.files);
            draw::check_summary(&report);
            Ok(Exit::Wrong)
        }
        RunResult::Report(report) => {
            match format {
                Format::Json => draw::json(&report)?,
                Format::Text => draw::run_report(&report),
            }
            Ok(exit(&report))
        }
        RunResult::NothingToRun(why) => {
            match format {
                Format::Json => {
                    draw::json(&serde_json::json!({ "version": 1, "run": null, "notes": [why] }))?;
                }
                Format::Text => outln!("{why}"),
            }
            Ok(Exit::Done)
        }
    }
}

pub(super) fn choice(said: SelectionArguments) -> TaskSelection {
    TaskSelection {
        select: said.select,
        exclude: said.exclude,
    }
}

pub(super) fn wait(said: &WaitArgument) -> Wait {
    match said.wait {
        None => Wait::No,
        Some(None) => Wait::Yes,
        Some(Some(limit)) => Wait::AtMost(limit),
    }
}

fn exit(report: &RunReport) -> Exit {
    match report.state {
        RunState::Succeeded => Exit::Done,
        RunState::Cancelled => Exit::Interrupted,
        RunState::Running | RunState::Failed | RunState::Superseded => {
            match Exit::of_run(report.failures.iter().map(|(_, failure)| failure)) {
                Exit::Done => Exit::Failed,
                exit => exit,
            }
        }
    }
}

/// `raw.weather=6%` or `raw.weather=100`.
fn thresholds(
    option: &str,
    said: Vec<(String, String)>,
) -> Result<BTreeMap<TableName, Threshold>, Failure> {
    said.into_iter()
        .map(|(table, limit)| {
            let wrong = |what: String| {
                Failure::new("R0992", Remedy::FixConfig, what)
                    .help(format!("example: {option} raw.weather=6%"))
            };
            let table: TableName = table
                .parse()
                .map_err(|error| wrong(format!("{option}: {error}")))?;
            let limit = threshold(&limit).ok_or_else(|| {
                wrong(format!(
                    "{option}: `{limit}` is neither a number of rows nor a percentage"
                ))
            })?;
            Ok((table, limit))
        })
        .collect()
}
