//! `schedule`: when pipelines run next, and what became of the last intervals.

use towpath_app::{schedule_preview, schedule_words, schedules};
use towpath_ports::{Clock, IntervalState, ScheduledInterval};

use super::project_args::{CommandResult, ProjectArgs};
use super::runs::word;
use crate::args::{Format, ScheduleCommand};
use crate::draw;
use crate::exit::Exit;

pub(super) async fn schedule(place: &ProjectArgs, command: ScheduleCommand) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    match command {
        ScheduleCommand::Ls { format } => {
            let lines = schedules(&services, &plan).await?;
            if format == Format::Json {
                draw::json(&serde_json::json!({ "version": 1, "schedules": lines }))?;
                return Ok(Exit::Done);
            }
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
                vec![
                    line.pipeline.clone(),
                    schedule_words(&line.schedule),
                    line.next.clone().unwrap_or_else(|| "ended".to_owned()),
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
            }
        }
        ScheduleCommand::Preview {
            pipeline,
            next,
            after,
            format,
        } => {
            let now_us = services.system.now_us();
            let preview = schedule_preview(&plan, &pipeline, after.as_deref(), now_us, next)?;
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
        }
    }
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
