//! `schedule`: when pipelines run next, what became of the last intervals, and pauses.
//!
//! Promise: it calls `app/src/schedule.rs` and `app/src/pause.rs`, and prints what they return as text or
//! JSON. Read next: `serve.rs`.

use towpath_app::{
    PauseRequest, schedule_events, schedule_pause, schedule_preview, schedule_resume,
    schedule_words, schedules_report,
};
use towpath_ports::{Clock, IntervalState, ScheduledInterval};

use super::project_args::{CommandResult, ProjectArgs};
use super::runs::word;
use crate::args::{Format, ScheduleCommand};
use crate::draw;
use crate::exit::Exit;

pub(super) async fn schedule(place: &ProjectArgs, command: ScheduleCommand) -> CommandResult {
    match command {
        ScheduleCommand::Ls { format } => list(place, format).await,
        ScheduleCommand::Preview {
            pipeline,
            next,
            after,
            format,
        } => preview(place, &pipeline, after.as_deref(), next, format).await,
        ScheduleCommand::Pause {
            pipeline,
            until,
            reason,
            format,
        } => {
            let request = PauseRequest {
                pipeline,
                until,
                reason,
                by: None,
            };
            pause(place, &request, format).await
        }
        ScheduleCommand::Resume { pipeline, format } => resume(place, &pipeline, format).await,
        ScheduleCommand::Events { pipeline, format } => events(place, &pipeline, format).await,
    }
}

async fn list(place: &ProjectArgs, format: Format) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let report = schedules_report(&services, &plan).await?;
    if format == Format::Json {
        draw::json(&report)?;
        return Ok(Exit::Done);
    }
    let lines = report.schedules;
    if lines.is_empty() {
        outln!("No pipeline has a schedule.");
        return Ok(Exit::Done);
    }
    let names = [
        "PIPELINE",
        "SCHEDULE",
        "NEXT RUN",
        "WAITING",
        "LAST INTERVAL",
    ];
    let rows = lines.iter().map(|line| {
        let next = match (&line.paused, &line.next) {
            (Some(_), _) => "paused",
            (None, Some(next)) => next,
            (None, None) => "ended",
        };
        vec![
            line.pipeline.clone(),
            schedule_words(&line.schedule),
            next.to_owned(),
            line.waiting.to_string(),
            line.last.as_ref().map_or_else(|| "–".to_owned(), interval),
        ]
    });
    let right = [false, false, false, true, false];
    let rows: Vec<Vec<String>> = rows.collect();
    out!(
        "{}",
        draw::text_table(&names.map(str::to_owned), &rows, &right)
    );
    for line in &lines {
        if let Some(until) = &line.clock_was_ahead {
            outln!(
                "{}: a clock was ahead, and all until {until} is decided; nothing runs before",
                line.pipeline
            );
        }
        if let Some(pause) = &line.paused {
            outln!("{} is paused {}", line.pipeline, pause.words());
        }
    }
    Ok(Exit::Done)
}

async fn preview(
    place: &ProjectArgs,
    pipeline: &str,
    after: Option<&str>,
    next: usize,
    format: Format,
) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let now_us = services.system.now_us();
    let preview = schedule_preview(&plan, pipeline, after, now_us, next)?;
    if format == Format::Json {
        draw::json(&preview)?;
        return Ok(Exit::Done);
    }
    outln!(
        "{}: {}",
        preview.pipeline,
        schedule_words(&preview.schedule)
    );
    let rows = preview.runs.iter();
    let rows: Vec<Vec<String>> = rows
        .map(|run| vec![run.at.clone(), run.start.clone()])
        .collect();
    let names = ["RUNS AT", "INTERVAL FROM"].map(str::to_owned);
    match rows.is_empty() {
        true => outln!("It has ended: there is no next run."),
        false => out!("{}", draw::text_table(&names, &rows, &[false, false])),
    }
    Ok(Exit::Done)
}

async fn pause(place: &ProjectArgs, request: &PauseRequest, format: Format) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let paused = schedule_pause(&services, &plan, request).await?;
    match format {
        Format::Json => draw::json(&paused)?,
        Format::Text => {
            outln!(
                "The schedule of `{}` is paused {}",
                paused.pipeline,
                paused.pause.words()
            );
            outln!(
                "To let it go on: towpath schedule resume {}",
                paused.pipeline
            );
        }
    }
    Ok(Exit::Done)
}

async fn resume(place: &ProjectArgs, pipeline: &str, format: Format) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let resumed = schedule_resume(&services, &plan, pipeline, None).await?;
    if format == Format::Json {
        draw::json(&resumed)?;
        return Ok(Exit::Done);
    }
    if !resumed.was_paused {
        outln!("The schedule of `{pipeline}` is not paused.");
        return Ok(Exit::Done);
    }
    if resumed.decided_later {
        outln!(
            "The schedule of `{pipeline}` goes on. It was edited while it was paused: `towpath serve` decides by \
             the edited schedule (`catchup: {}`) what was due meanwhile.",
            word(&resumed.catchup)
        );
        return Ok(Exit::Done);
    }
    outln!(
        "The schedule of `{pipeline}` goes on. Of the intervals that were due meanwhile, {} get a run \
         and {} are skipped (`catchup: {}`).",
        resumed.waiting,
        resumed.skipped,
        word(&resumed.catchup)
    );
    Ok(Exit::Done)
}

async fn events(place: &ProjectArgs, pipeline: &str, format: Format) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let found = schedule_events(&services, &plan, pipeline).await?;
    if format == Format::Json {
        draw::json(&found)?;
        return Ok(Exit::Done);
    }
    if found.events.is_empty() {
        outln!("Nobody has paused the schedule of `{pipeline}`.");
        return Ok(Exit::Done);
    }
    let time = |us| towpath_app::local_text(us, &found.timezone);
    let rows = found.events.iter().map(|event| {
        let details = &event.details;
        vec![
            time(event.at_us),
            event.kind.as_str().to_owned(),
            details.by.clone().unwrap_or_else(|| "–".to_owned()),
            details.until_us.map_or_else(|| "–".to_owned(), time),
            details.reason.clone().unwrap_or_default(),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let names = ["TIME", "EVENT", "BY", "UNTIL", "REASON"].map(str::to_owned);
    out!("{}", draw::text_table(&names, &rows, &[false; 5]));
    Ok(Exit::Done)
}

/// `succeeded shop#4`, `skipped: missed (12 intervals)`, `waiting`.
fn interval(one: &ScheduledInterval) -> String {
    let mut text = word(&one.state);
    if let (IntervalState::Skipped, Some(reason)) = (one.state, &one.reason) {
        text = format!("{text}: {}", word(reason));
    }
    if one.intervals > 1 {
        text = format!("{text} ({} intervals)", one.intervals);
    }
    match &one.run {
        Some(run) => format!("{text} {run}"),
        None => text,
    }
}
