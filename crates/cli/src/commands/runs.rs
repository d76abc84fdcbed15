//! `runs` and `why`: print past runs, and the reason for the state of a task.
//!
//! They call `app/src/run_history.rs` and print the report as text or JSON.

use towpath_app::{
    WaitingInterval, backfills, pause_of, runs_report, waiting_intervals, why as explain,
};

use towpath_orchestrator::is_late;
use towpath_ports::{RunRecord, RunState, RunStop, StopReason};

use super::backfill;
use super::project_args::{CommandResult, ProjectArgs};
use crate::args::{Format, RunsArguments, WhyArguments};
use crate::draw;
use crate::exit::Exit;

/// The state of a run whose process died before its end.
pub(super) const INTERRUPTED: &str = "interrupted";

pub(super) async fn runs(place: &ProjectArgs, arguments: RunsArguments) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let pipeline = arguments.pipeline.as_deref();
    let report = runs_report(&services, &plan, pipeline, arguments.last).await?;
    if arguments.format == Format::Json {
        draw::json(&report)?;
        return Ok(Exit::Done);
    }
    let (records, waiting) = (report.runs, report.waiting);
    waiting.iter().for_each(say_waiting);
    if records.is_empty() {
        outln!("Nothing has run yet: towpath run");
        return Ok(Exit::Done);
    }
    let names = ["RUN", "STATE", "TASKS", "TOOK", "BEGAN"].map(str::to_owned);
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|line| {
            let record = &line.record;
            let took = record
                .ended_us
                .map(|end| u64::try_from(end - record.started_us).unwrap_or(0));
            vec![
                record.name.to_string(),
                match line.interrupted {
                    true => INTERRUPTED.to_owned(),
                    false => word(&record.state),
                },
                record.tasks.len().to_string(),
                took.map_or_else(|| "–".to_owned(), draw::seconds),
                towpath_app::time_text(record.started_us),
            ]
        })
        .collect();
    out!(
        "{}",
        draw::text_table(&names, &rows, &[false, false, true, true, false])
    );
    let why = records.iter().filter_map(|line| stopped(&line.record));
    why.for_each(|line| outln!("{line}"));
    Ok(Exit::Done)
}

/// Why a run was stopped, or is to stop: `shop#4 was cancelled by ann`.
fn stopped(record: &RunRecord) -> Option<String> {
    let name = &record.name;
    let mut failures = record.tasks.iter().filter_map(|task| task.failure.as_ref());
    match (record.state, &record.stop) {
        (RunState::Failed, _) => failures
            .find(|failure| is_late(failure))
            .map(|failure| format!("{name} had not ended by its deadline ({})", failure.code)),
        (RunState::Cancelled, Some(stop)) => Some(format!("{name} {}", stopped_by(stop))),
        (RunState::Running, Some(_)) => Some(format!("{name} is asked to stop")),
        _ => None,
    }
}

/// `was cancelled by ann`
pub(super) fn stopped_by(stop: &RunStop) -> String {
    match (stop.why, &stop.by) {
        (StopReason::User, Some(by)) => format!("was cancelled by {by}"),
        (StopReason::User, None) => "was cancelled".to_owned(),
        (StopReason::Overlap, _) => "was stopped, because the next interval is due".to_owned(),
    }
}

/// `often waits for its run about 2026-01-01T00:00:00Z to 2026-01-01T00:15:00Z: often#3 is running`
fn say_waiting(one: &WaitingInterval) {
    let text = towpath_app::time_text;
    let interval = one.interval.interval;
    outln!(
        "{} waits for its run about {} to {}: {}",
        one.interval.pipeline,
        text(interval.start_us),
        text(interval.end_us),
        one.because
    );
}

pub(super) async fn why(place: &ProjectArgs, arguments: WhyArguments) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let mut names = plan.pipelines.iter().map(|pipeline| pipeline.name.as_str());
    if names.any(|name| name == arguments.subject) {
        let waiting = waiting_intervals(&services, &plan, Some(&arguments.subject)).await?;
        let subject = &arguments.subject;
        if let Some(pause) = pause_of(&services, &plan, subject).await? {
            outln!("The schedule of `{subject}` is paused {}", pause.words());
            outln!("To let it go on: towpath schedule resume {subject}");
        }
        waiting.iter().for_each(say_waiting);
        let filled = backfills(&services, &plan).await?;
        let mut filled = filled.iter().filter(|one| one.pipeline.as_str() == subject);
        if let Some(one) = filled.find(|one| !one.has_ended()) {
            outln!("{}", backfill::line(one));
            outln!(
                "Its runs come after those of the schedule: towpath backfill show {}",
                one.number
            );
        } else if waiting.is_empty() {
            outln!("Nothing of `{subject}` waits. To see its runs: towpath runs {subject}");
        }
        return Ok(Exit::Done);
    }
    let why = explain(&services, &plan, &arguments.subject).await?;
    let state = match &why.state {
        None => "not run".to_owned(),
        Some(state) if why.interrupted && !state.is_final() => INTERRUPTED.to_owned(),
        Some(state) => word(state),
    };
    outln!(
        "{}  {state}{}",
        why.task,
        why.run
            .as_ref()
            .map_or_else(String::new, |run| format!("  in {run}"))
    );
    for (title, lines) in [
        ("Because", &why.because),
        ("Behind it", &why.behind),
        ("You can", &why.you_can),
    ] {
        if !lines.is_empty() {
            outln!("{title}");
            lines.iter().for_each(|line| outln!("  {line}"));
        }
    }
    Ok(Exit::Done)
}

/// The stored word of a state, with spaces instead of underscores.
pub(super) fn word<T: serde::Serialize>(state: &T) -> String {
    serde_json::to_value(state)
        .ok()
        .and_then(|value| Some(value.as_str()?.replace('_', " ")))
        .unwrap_or_default()
}
