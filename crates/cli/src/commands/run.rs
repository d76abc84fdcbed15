//! `run`: progress while it goes, the report at its end. Ctrl-C once stops cleanly.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use towpath_app::{Ran, RunReport, RunRequest, run as run_pipeline};
use towpath_ports::RunState;
use towpath_vocab::{Failure, Remedy, TableName, Threshold};

use super::houses::{Ended, Place};
use crate::args::{Format, RunArguments};
use crate::draw;
use crate::exit::Exit;

pub(super) async fn run(place: &Place, arguments: RunArguments) -> Ended {
    let request = RunRequest {
        dir: place.dir()?,
        environment: place.env.clone(),
        target: arguments.target,
        full_refresh: arguments.full_refresh,
        limit: arguments.limit,
        params: arguments.params.into_iter().collect(),
        fail_above: thresholds(arguments.fail_above)?,
    };
    let cancel = CancellationToken::new();
    stop_on_ctrl_c(cancel.clone());
    let watch = Arc::new(draw::RunWatch::new(arguments.format));
    let ran = Box::pin(run_pipeline(&request, watch.as_ref(), cancel)).await;
    watch.finish();
    match ran? {
        Ran::Wrong(report) => {
            draw::diagnostics(&report.diagnostics, &report.files);
            draw::check_summary(&report);
            Ok(Exit::Wrong)
        }
        Ran::Report(report) => {
            match arguments.format {
                Format::Json => draw::json(&report)?,
                Format::Text => draw::run_report(&report),
            }
            Ok(exit(&report))
        }
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

/// The first Ctrl-C asks; the second one goes at once, which a rerun survives as well.
fn stop_on_ctrl_c(cancel: CancellationToken) {
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            eprintln!(
                "\nStopping. Nothing half-done will be visible. Ctrl-C again to leave at once."
            );
            cancel.cancel();
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
    });
}

/// `raw.weather=6%` or `raw.weather=100`.
fn thresholds(said: Vec<(String, String)>) -> Result<BTreeMap<TableName, Threshold>, Failure> {
    said.into_iter()
        .map(|(table, limit)| {
            let wrong = |what: String| {
                Failure::new("R0992", Remedy::FixConfig, what)
                    .help("example: --fail-above raw.weather=6%")
            };
            let table: TableName = table
                .parse()
                .map_err(|error| wrong(format!("--fail-above: {error}")))?;
            let unreadable = || {
                wrong(format!(
                    "--fail-above: `{limit}` is no number of rows and no percentage"
                ))
            };
            let threshold = match limit.strip_suffix('%') {
                Some(percent) => {
                    let percent: f64 = percent.trim().parse().map_err(|_| unreadable())?;
                    Threshold {
                        rows: None,
                        percent: Some(percent),
                    }
                }
                None => Threshold {
                    rows: Some(limit.parse().map_err(|_| unreadable())?),
                    percent: None,
                },
            };
            Ok((table, threshold))
        })
        .collect()
}
