//! `backfill`: has past intervals of a pipeline run, and shows, pauses, resumes or cancels that.
//!
//! Promise: it calls `app/src/backfill.rs` and prints what it returns as text or JSON. The runs are those of
//! `towpath serve`. Read next: `serve.rs`.

use towpath_app::{
    BackfillDetails, BackfillReport, BackfillRequest, backfill, backfill_change, backfill_show,
    backfills_report, local_text,
};
use towpath_ports::{
    BackfillInterval, BackfillOrder, BackfillRecord, BackfillSkip, BackfillState, IntervalState,
    OnExisting,
};

use super::project_args::{CommandResult, ProjectArgs};
use super::runs::word;
use crate::args::{
    BackfillArguments, BackfillCommand, BackfillNumber, BackfillOrderArgument, Format,
    OnExistingArgument,
};
use crate::exit::Exit;
use crate::{draw, terminal};

pub(super) async fn run(place: &ProjectArgs, arguments: BackfillArguments) -> CommandResult {
    match arguments.command {
        None => create(place, arguments).await,
        Some(BackfillCommand::Ls(format)) => list(place, format.format).await,
        Some(BackfillCommand::Show(one)) => {
            let (services, plan) = place.open_to_read().await?;
            show(
                &backfill_show(&services, &plan, one.number).await?,
                one.format,
            )
        }
        Some(BackfillCommand::Pause(one)) => change(place, one, BackfillState::Paused).await,
        Some(BackfillCommand::Resume(one)) => change(place, one, BackfillState::Active).await,
        Some(BackfillCommand::Cancel(one)) => change(place, one, BackfillState::Cancelled).await,
    }
}

async fn create(place: &ProjectArgs, arguments: BackfillArguments) -> CommandResult {
    let (services, plan) = place.open().await?;
    let every = arguments.every.map(|every| every.as_millis());
    let request = BackfillRequest {
        pipeline: arguments.pipeline.unwrap_or_default(),
        from: arguments.from.unwrap_or_default(),
        to: arguments.to.unwrap_or_default(),
        every_ms: every.map(|every| u64::try_from(every).unwrap_or(u64::MAX)),
        parallel: arguments.parallel,
        order: match arguments.order {
            BackfillOrderArgument::Oldest => BackfillOrder::Oldest,
            BackfillOrderArgument::Newest => BackfillOrder::Newest,
        },
        on_existing: match arguments.on_existing {
            OnExistingArgument::Skip => OnExisting::Skip,
            OnExistingArgument::Rerun => OnExisting::Rerun,
            OnExistingArgument::RerunFailed => OnExisting::RerunFailed,
        },
        dry_run: arguments.dry_run,
    };
    let report = backfill(&services, &plan, &request).await?;
    if arguments.format == Format::Json {
        draw::json(&report)?;
        return Ok(Exit::Done);
    }
    if !terminal::is_quiet() {
        report.notes.iter().for_each(|note| errln!("note: {note}"));
    }
    created(&report);
    Ok(Exit::Done)
}

fn created(report: &BackfillReport) {
    let (due, all) = (report.due(), report.intervals.len());
    let Some(number) = report.number else {
        table(&report.intervals, &report.timezone, |one| {
            match one.reason {
                None => "is run".to_owned(),
                Some(reason) => because(reason, one),
            }
        });
        outln!("{due} of {all} intervals get a run.");
        return;
    };
    outln!(
        "Backfill {number} of `{}`: {due} of {all} intervals get a run from `towpath serve`.",
        report.pipeline
    );
    outln!("To follow it: towpath backfill show {number}");
}

async fn list(place: &ProjectArgs, format: Format) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let report = backfills_report(&services, &plan).await?;
    if format == Format::Json {
        draw::json(&report)?;
        return Ok(Exit::Done);
    }
    let found = report.backfills;
    if found.is_empty() {
        outln!("There is no backfill.");
        return Ok(Exit::Done);
    }
    let rows = found.iter().map(|one| {
        let time = |us| local_text(us, &one.plan.timezone);
        vec![
            one.number.to_string(),
            one.pipeline.to_string(),
            time(one.plan.range.start_us),
            time(one.plan.range.end_us),
            state(one),
            counts(one),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let names = ["BACKFILL", "PIPELINE", "FROM", "TO", "STATE", "INTERVALS"].map(str::to_owned);
    let right = [true, false, false, false, false, false];
    out!("{}", draw::text_table(&names, &rows, &right));
    Ok(Exit::Done)
}

async fn change(place: &ProjectArgs, one: BackfillNumber, to: BackfillState) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let number = one.number;
    let (found, changed) = backfill_change(&services, &plan, number, to, one.reason).await?;
    if one.format == Format::Json {
        draw::json(&found)?;
        return Ok(Exit::Done);
    }
    let record = &found.backfill;
    let (pipeline, counts) = (&record.pipeline, counts(record));
    let is_cancelled = record.state == BackfillState::Cancelled;
    match changed {
        true => {
            let state = word(&record.state);
            outln!("Backfill {number} of `{pipeline}` is now {state}: {counts}");
        }
        false if record.has_ended() && !is_cancelled => {
            let what = match to {
                BackfillState::Active => "resume",
                BackfillState::Paused => "pause",
                BackfillState::Cancelled => "cancel",
            };
            outln!(
                "Backfill {number} of `{pipeline}` has ended ({counts}): there is nothing to {what}."
            );
        }
        false => {
            let state = word(&record.state);
            outln!("Backfill {number} of `{pipeline}` was already {state}: {counts}");
        }
    }
    if record.running > 0 && to != BackfillState::Active {
        outln!("A run that has begun goes on to its end.");
    }
    Ok(Exit::Done)
}

fn show(found: &BackfillDetails, format: Format) -> CommandResult {
    if format == Format::Json {
        draw::json(found)?;
        return Ok(Exit::Done);
    }
    let record = &found.backfill;
    outln!("{}", line(record));
    let zone = &record.plan.timezone;
    table(&found.intervals, zone, |one| {
        let mut text = match one.reason {
            Some(reason) if one.state == IntervalState::Skipped => because(reason, one),
            _ => word(&one.state),
        };
        if let (Some(run), true) = (&one.run, one.state != IntervalState::Skipped) {
            text = format!("{text} {run}");
        }
        text
    });
    for event in &found.events {
        let by = event.details.by.as_ref();
        let by = by.map_or_else(String::new, |by| format!(" by {by}"));
        let reason = event.details.reason.as_ref();
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        outln!(
            "{} {}{by}{reason}",
            local_text(event.at_us, zone),
            event.kind.as_str()
        );
    }
    Ok(Exit::Done)
}

fn table(intervals: &[BackfillInterval], zone: &str, text: impl Fn(&BackfillInterval) -> String) {
    if intervals.is_empty() {
        outln!("No interval lies in this range as a whole.");
        return;
    }
    let rows = intervals.iter().map(|one| {
        let time = |us| local_text(us, zone);
        vec![
            time(one.interval.start_us),
            time(one.interval.end_us),
            text(one),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let names = ["INTERVAL FROM", "TO", "BACKFILL"].map(str::to_owned);
    out!("{}", draw::text_table(&names, &rows, &[false; 3]));
}

/// `skipped: often#3 has ended well`
fn because(reason: BackfillSkip, one: &BackfillInterval) -> String {
    let run = one.run.as_ref();
    let run = run.map_or_else(|| "a run of it".to_owned(), ToString::to_string);
    let text = match reason {
        BackfillSkip::Succeeded => format!("{run} has ended well"),
        BackfillSkip::Failed => format!("{run} has failed"),
        BackfillSkip::Running => format!("{run} goes on"),
        BackfillSkip::Scheduled => "the schedule decides about it".to_owned(),
        BackfillSkip::OtherBackfill => "another backfill runs it".to_owned(),
        BackfillSkip::NotDue => "its end has not come".to_owned(),
        BackfillSkip::Cancelled => "the backfill was cancelled".to_owned(),
        BackfillSkip::RunCancelled => "its run was cancelled".to_owned(),
    };
    format!("skipped: {text}")
}

/// ``Backfill 1 of `shop` is active: 3 waiting, 12 succeeded``
pub(super) fn line(record: &BackfillRecord) -> String {
    format!(
        "Backfill {} of `{}` is {}: {}",
        record.number,
        record.pipeline,
        state(record),
        counts(record)
    )
}

fn state(record: &BackfillRecord) -> String {
    match record.has_ended() && record.state != BackfillState::Cancelled {
        true => "done".to_owned(),
        false => word(&record.state),
    }
}

/// `3 waiting, 1 running, 12 succeeded`
fn counts(record: &BackfillRecord) -> String {
    let counts = [
        (record.waiting, "waiting"),
        (record.running, "running"),
        (record.succeeded, "succeeded"),
        (record.failed, "failed"),
        (record.skipped, "skipped"),
    ];
    let some = counts.iter().filter(|(count, _)| *count > 0);
    let some: Vec<String> = some
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    some.join(", ")
}
