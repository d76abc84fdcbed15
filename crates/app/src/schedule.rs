//! Schedules for people: when a pipeline runs next, and what became of the last intervals.
//!
//! Promise: a preview computes the same moments as the scheduler, from the project files alone. It decides
//! nothing. Read next: `orchestrator::due`, `serve.rs`.

use serde::Serialize;
use towpath_orchestrator::ScheduledPipeline;
use towpath_ports::{IntervalState, RunState, ScheduleRecord, ScheduleRecords, ScheduledInterval};
use towpath_schedule::{Timetable, local_text, local_time_us};
use towpath_vocab::{Failure, Interval, Plan, PlannedPipeline, Recurrence, Remedy, SchedulePlan};

use crate::Result;
use crate::names::pipeline_called;
use crate::pause::PauseLine;
use crate::services::ProjectServices;

/// The next runs of a pipeline.
#[derive(Clone, Debug, Serialize)]
pub struct SchedulePreview {
    /// Version of this form; 1.
    pub version: u32,
    /// The pipeline.
    pub pipeline: String,
    /// Its schedule.
    pub schedule: SchedulePlan,
    /// The runs, in the order of time.
    pub runs: Vec<PreviewedRun>,
}

/// One run to come.
#[derive(Clone, Debug, Serialize)]
pub struct PreviewedRun {
    /// The interval; the run is due at its end.
    #[serde(flatten)]
    pub interval: Interval,
    /// When it runs, in the zone of the schedule, with the distance from UTC.
    pub at: String,
    /// The start of the interval, likewise.
    pub start: String,
}

/// One schedule.
#[derive(Clone, Debug, Serialize)]
pub struct ScheduleLine {
    /// The pipeline.
    pub pipeline: String,
    /// Its schedule.
    pub schedule: SchedulePlan,
    /// When it runs next, in its zone; nothing when it has ended.
    pub next: Option<String>,
    /// Set when a clock that was ahead has decided the schedule until this moment, in its zone: nothing runs
    /// before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_was_ahead: Option<String>,
    /// Set while a user has paused it: nothing of it is decided, and no run of it begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<PauseLine>,
    /// How many intervals wait for their run.
    pub waiting: usize,
    /// The last interval that was due.
    pub last: Option<ScheduledInterval>,
}

/// The next runs of a pipeline, after a day in its zone or after now.
///
/// # Errors
/// R0922 when it has no schedule, R0920 when there is no such pipeline, R0900 when the day is not a date.
pub fn schedule_preview(
    plan: &Plan,
    pipeline: &str,
    after: Option<&str>,
    now_us: i64,
    count: usize,
) -> Result<SchedulePreview> {
    let scheduled = schedule_of(plan, pipeline)?;
    let zone = &scheduled.plan.timezone;
    let after_us = match after {
        None => now_us,
        Some(text) => local_time_us(text, zone).ok().flatten().ok_or_else(|| {
            let message = format!("`{text}` is not a date");
            Failure::new("R0900", Remedy::FixConfig, message).help("example: --after 2026-03-28")
        })?,
    };
    let intervals = scheduled.table.intervals(after_us).take(count);
    let runs = intervals.map(|interval| PreviewedRun {
        at: local_text(interval.end_us, zone),
        start: local_text(interval.start_us, zone),
        interval,
    });
    Ok(SchedulePreview {
        version: 1,
        pipeline: pipeline.to_owned(),
        runs: runs.collect(),
        schedule: scheduled.plan.clone(),
    })
}

/// The schedule of a pipeline.
///
/// # Errors
/// R0922 when it has none, R0920 when there is no such pipeline.
pub(crate) fn schedule_of(plan: &Plan, pipeline: &str) -> Result<ScheduledPipeline> {
    pipeline_called(plan, pipeline)?;
    let found = plan.pipelines.iter();
    let mut found = found.filter(|one| one.name.as_str() == pipeline);
    let scheduled = found.next().map(|one| scheduled(plan, one)).transpose()?;
    scheduled.flatten().ok_or_else(|| {
        let message = format!("pipeline `{pipeline}` has no schedule");
        Failure::new("R0922", Remedy::FixConfig, message).help(format!(
            "add one in pipelines/{pipeline}.yml: schedule: {{ cron: 0 2 * * * }}"
        ))
    })
}

/// All schedules of a project.
///
/// # Errors
/// Those of the state store.
pub(crate) async fn schedules(
    services: &ProjectServices,
    plan: &Plan,
) -> Result<Vec<ScheduleLine>> {
    let stored = services.store.schedules(&plan.environment).await?;
    let mut lines = Vec::new();
    for pipeline in &plan.pipelines {
        lines.extend(schedule_line(services, plan, &stored, pipeline).await?);
    }
    Ok(lines)
}

/// The schedule of a pipeline, if it has one.
///
/// # Errors
/// Those of the state store.
pub(crate) async fn schedule_line(
    services: &ProjectServices,
    plan: &Plan,
    stored: &ScheduleRecords,
    pipeline: &PlannedPipeline,
) -> Result<Option<ScheduleLine>> {
    let Some(scheduled) = scheduled(plan, pipeline)? else {
        return Ok(None);
    };
    let last = services
        .store
        .scheduled_intervals(&plan.environment, Some(&pipeline.name), 1)
        .await?;
    let mut record = stored.schedules.iter();
    let record = record.find(|one| one.pipeline == pipeline.name);
    let decided_us = record.map_or(i64::MIN, |record| record.decided_us);
    let zone = &scheduled.plan.timezone;
    // A clock that was ahead decided more than was due: nothing runs until that moment.
    let ahead_us = Some(decided_us).filter(|decided| *decided > stored.now_us);
    let after_us = ahead_us.unwrap_or(stored.now_us);
    let next = scheduled.table.intervals(after_us).next();
    let pause = record.and_then(|record| record.paused_at(stored.now_us));
    Ok(Some(ScheduleLine {
        pipeline: pipeline.name.to_string(),
        next: next.map(|next| local_text(next.end_us, zone)),
        clock_was_ahead: ahead_us.map(|ahead| local_text(ahead, zone)),
        paused: pause.map(|pause| PauseLine::new(pause, zone)),
        schedule: scheduled.plan,
        waiting: record.map_or(0, waiting),
        last: last.into_iter().next(),
    }))
}

fn waiting(record: &ScheduleRecord) -> usize {
    let open = record.open.iter();
    open.filter(|one| one.state == IntervalState::Waiting)
        .count()
}

/// An interval that waits for its run.
#[derive(Clone, Debug, Serialize)]
pub struct WaitingInterval {
    /// The interval.
    #[serde(flatten)]
    pub interval: ScheduledInterval,
    /// Why it waits.
    pub because: String,
}

/// The intervals that wait for their run, each with the reason, in the order of time.
///
/// # Errors
/// Those of the state store.
pub async fn waiting_intervals(
    services: &ProjectServices,
    plan: &Plan,
    pipeline: Option<&str>,
) -> Result<Vec<WaitingInterval>> {
    let stored = services.store.schedules(&plan.environment).await?;
    let mut names = Vec::new();
    for record in &stored.schedules {
        let mut open = record.open.iter();
        let has_waiting = open.any(|open| open.state == IntervalState::Waiting);
        if has_waiting && pipeline.is_none_or(|pipeline| record.pipeline.as_str() == pipeline) {
            names.push(record.pipeline.clone());
        }
    }
    let api = services.store.api();
    let newest = api.newest_runs(&plan.environment, &names, None, 1).await?;
    let mut waiting = Vec::new();
    for record in stored.schedules {
        if pipeline.is_some_and(|pipeline| record.pipeline.as_str() != pipeline) {
            continue;
        }
        let mut newest = newest.iter();
        let newest = newest.find(|run| run.name.pipeline == record.pipeline);
        let going = newest.filter(|run| run.state == RunState::Running);
        let mut before = match going {
            Some(line) if line.interrupted => Some(format!(
                "the process of {} has ended; `towpath serve` resumes it",
                line.name
            )),
            Some(line) => Some(format!("{} is running", line.name)),
            None => None,
        };
        let pause = record.paused_at(stored.now_us);
        let pause = pause.map(|pause| PauseLine::new(pause, &record.plan.timezone));
        if let Some(pause) = pause {
            before = Some(format!("the schedule is paused {}", pause.words()));
        }
        for open in record.open {
            if open.state == IntervalState::Waiting {
                let because = before.clone();
                waiting.push(WaitingInterval {
                    because: because
                        .unwrap_or_else(|| "`towpath serve` begins it when it has room".to_owned()),
                    interval: open,
                });
            }
            before.get_or_insert_with(|| "the interval before it waits".to_owned());
        }
    }
    Ok(waiting)
}

/// The pause of a schedule, if it is paused.
///
/// # Errors
/// Those of the state store.
pub async fn pause_of(
    services: &ProjectServices,
    plan: &Plan,
    pipeline: &str,
) -> Result<Option<PauseLine>> {
    let stored = services.store.schedules(&plan.environment).await?;
    let mut records = stored.schedules.iter();
    let record = records.find(|record| record.pipeline.as_str() == pipeline);
    let pause = record.and_then(|record| {
        let pause = record.paused_at(stored.now_us)?;
        Some(PauseLine::new(pause, &record.plan.timezone))
    });
    Ok(pause)
}

/// A schedule in a few words: `0 2 * * * (Europe/Berlin)`.
pub fn schedule_words(plan: &SchedulePlan) -> String {
    match &plan.recurrence {
        Recurrence::Cron(text) => format!("{text} ({})", plan.timezone),
        Recurrence::EveryMs(ms) if ms.is_multiple_of(60_000) => format!("every {}m", ms / 60_000),
        Recurrence::EveryMs(ms) if ms.is_multiple_of(1000) => format!("every {}s", ms / 1000),
        Recurrence::EveryMs(ms) => format!("every {ms}ms"),
    }
}

/// A pipeline with its schedule, if it has one.
pub(crate) fn scheduled(
    plan: &Plan,
    pipeline: &PlannedPipeline,
) -> Result<Option<ScheduledPipeline>> {
    let Some(schedule) = &pipeline.schedule else {
        return Ok(None);
    };
    let table = Timetable::new(schedule).map_err(|error| {
        let message = format!("the schedule of `{}`: {error}", pipeline.name);
        Failure::new("R0922", Remedy::FixConfig, message).help("look: towpath check")
    })?;
    Ok(Some(ScheduledPipeline {
        pipeline: pipeline.name.clone(),
        environment: plan.environment.clone(),
        plan: schedule.clone(),
        table,
    }))
}
