//! `quality`: prints the results of checks, of the last run or over time.
//!
//! It calls `app/src/run_history.rs` and prints the report as text or JSON.

use towpath_app::quality as results;
use towpath_vocab::CheckOutcome;

use super::project_args::{CommandResult, ProjectArgs};
use crate::args::{Format, QualityArguments};
use crate::draw;
use crate::exit::Exit;

pub(super) async fn quality(place: &ProjectArgs, arguments: QualityArguments) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let report = results(&services, &plan, arguments.table.as_deref(), arguments.last).await?;
    if arguments.format == Format::Json {
        draw::json(&report)?;
        return Ok(Exit::Done);
    }
    for lost in &report.lost {
        outln!(
            "{}: its checks passed in {}; their results were lost with the process of that run.",
            lost.table,
            lost.run
        );
    }
    let lines = report.checks;
    if lines.is_empty() && !report.lost.is_empty() {
        return Ok(Exit::Done);
    }
    if lines.is_empty() {
        outln!("No check has run yet. Add `checks:` to a table, then: towpath run");
        return Ok(Exit::Done);
    }
    let names = [
        "TABLE",
        "CHECK",
        "RESULT",
        "VALUE",
        "THRESHOLD",
        "TIME",
        "RUN",
    ]
    .map(str::to_owned);
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            let result = &line.result;
            let word = match result.outcome {
                CheckOutcome::Pass => "PASS",
                CheckOutcome::Warn => "WARN",
                CheckOutcome::Fail => "FAIL",
            };
            vec![
                result.table.to_string(),
                result.name.clone(),
                word.to_owned(),
                format!("{}", result.value),
                result.threshold.clone(),
                format!("{} ms", result.elapsed_ms),
                line.run.clone(),
            ]
        })
        .collect();
    out!(
        "{}",
        draw::text_table(
            &names,
            &rows,
            &[false, false, false, true, false, true, false]
        )
    );
    Ok(Exit::Done)
}
