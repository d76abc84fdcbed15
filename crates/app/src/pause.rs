//! `schedule pause`, `schedule resume` and `schedule events`: a user stops a schedule for a while.
//!
//! Promise: a pause is in the state store, so every server obeys it, and it needs no server. Runs that have
//! begun go on to their end. Who paused a schedule, when and why is an event. It does not know what becomes
//! of the intervals: see `orchestrator/src/pause.rs`.

use serde::Serialize;
use towpath_orchestrator::{end_pause, pause, resume};
use towpath_ports::{ScheduleEvent, SchedulePause, ScheduleRecord, System};
use towpath_schedule::{local_text, local_time_us};
use towpath_vocab::{Catchup, Failure, Plan, Remedy};

use crate::Result;
use crate::schedule::schedule_of;
use crate::services::ProjectServices;

/// A pause as people read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PauseLine {
    /// Since when, in the zone of the schedule.
    pub since: String,
    /// When it ends by itself, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// What the user gave as the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The user.
    pub by: String,
}

impl PauseLine {
    pub(crate) fn new(pause: &SchedulePause, zone: &str) -> Self {
        Self {
            since: local_text(pause.since_us, zone),
            until: pause.until_us.map(|until| local_text(until, zone)),
            reason: pause.reason.clone(),
            by: pause.by.clone(),
        }
    }

    /// `since 2026-03-28 10:00 +01:00 until 2026-03-29 10:00 +02:00, by ann: moving the database`
    pub fn words(&self) -> String {
        let until = self.until.as_ref();
        let until = until.map_or_else(String::new, |until| format!(" until {until}"));
        let reason = self.reason.as_ref();
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        format!("since {}{until}, by {}{reason}", self.since, self.by)
    }
}

/// What is to be paused.
#[derive(Clone, Debug, Default)]
pub struct PauseRequest {
    /// The pipeline.
    pub pipeline: String,
    /// `--until`: a day or a time in the zone of the schedule.
    pub until: Option<String>,
    /// `--reason`.
    pub reason: Option<String>,
    /// Who pauses it; nothing for the user of this process.
    pub by: Option<String>,
}

/// A schedule that was paused.
#[derive(Clone, Debug, Serialize)]
pub struct PausedSchedule {
    /// Version of this form; 1.
    pub version: u32,
    /// The pipeline.
    pub pipeline: String,
    /// The pause.
    #[serde(flatten)]
    pub pause: PauseLine,
}

/// A schedule that goes on.
#[derive(Clone, Debug, Serialize)]
pub struct ResumedSchedule {
    /// Version of this form; 1.
    pub version: u32,
    /// The pipeline.
    pub pipeline: String,
    /// False when it was not paused.
    pub was_paused: bool,
    /// True when the schedule was edited in the pause and no server has seen that: the next one that serves it
    /// decides about the intervals that were due meanwhile.
    pub decided_later: bool,
    /// Its `catchup`, which decides about the intervals that were due meanwhile.
    pub catchup: Catchup,
    /// How many of them wait for their run now.
    pub waiting: u64,
    /// How many of them get no run.
    pub skipped: u64,
}

/// The events of a schedule.
#[derive(Clone, Debug, Serialize)]
pub struct ScheduleEvents {
    /// Version of this form; 1.
    pub version: u32,
    /// The pipeline.
    pub pipeline: String,
    /// Its time zone.
    pub timezone: String,
    /// The events, in their order.
    pub events: Vec<ScheduleEvent>,
}

/// Pauses the schedule of a pipeline, or changes its pause.
///
/// # Errors
/// R0922 when it has no schedule, R0920 when there is no such pipeline, R0900 when `--until` is not a moment
/// to come.
pub async fn schedule_pause(
    services: &ProjectServices,
    plan: &Plan,
    request: &PauseRequest,
) -> Result<PausedSchedule> {
    let scheduled = schedule_of(plan, &request.pipeline)?;
    let zone = &scheduled.plan.timezone;
    loop {
        let (record, now_us) = stored(services, plan, &request.pipeline).await?;
        let until_us = request.until.as_ref();
        let until_us = until_us.map(|text| moment_to_come(text, zone, now_us));
        let wanted = SchedulePause {
            since_us: now_us,
            until_us: until_us.transpose()?,
            reason: request.reason.clone(),
            by: request.by.clone().unwrap_or_else(|| user(services)),
            ended_by: None,
        };
        let ended = record
            .as_ref()
            .filter(|one| one.paused_at(now_us).is_none());
        // A pause that has ended by itself is written first.
        let ended = ended.and_then(|one| Some((one, one.paused.as_ref()?.until_us?)));
        let update = match ended {
            Some((record, until_us)) => resume(record, until_us, None),
            None => pause(&scheduled, record.as_ref(), &wanted, now_us),
        };
        let Some(update) = update else { continue };
        let written = update.paused.clone();
        if services.store.update_schedule(update).await?
            && ended.is_none()
            && let Some(written) = written
        {
            return Ok(PausedSchedule {
                version: 1,
                pipeline: request.pipeline.clone(),
                pause: PauseLine::new(&written, zone),
            });
        }
    }
}

/// Lets the schedule of a pipeline go on. `by` is who says so; nothing for the user of this process.
///
/// # Errors
/// R0922 when it has no schedule, R0920 when there is no such pipeline.
pub async fn schedule_resume(
    services: &ProjectServices,
    plan: &Plan,
    pipeline: &str,
    by: Option<&str>,
) -> Result<ResumedSchedule> {
    let scheduled = schedule_of(plan, pipeline)?;
    let user = || by.map_or_else(|| user(services), str::to_owned);
    let mut report = ResumedSchedule {
        version: 1,
        pipeline: pipeline.to_owned(),
        was_paused: false,
        decided_later: false,
        catchup: scheduled.plan.catchup,
        waiting: 0,
        skipped: 0,
    };
    loop {
        let (record, now_us) = stored(services, plan, pipeline).await?;
        let Some(record) = record else {
            return Ok(report);
        };
        let pause = record.paused.as_ref();
        let is_edited = record.removed_us.is_none() && record.plan != scheduled.plan;
        if pause.is_some() && is_edited {
            let update = end_pause(&record, now_us, &user());
            let ended = match update {
                Some(update) => services.store.update_schedule(update).await?,
                None => true,
            };
            if ended {
                (report.was_paused, report.decided_later) = (true, true);
                return Ok(report);
            }
            continue;
        }
        // One that has ended by itself ended at that moment.
        let ended_us = pause.and_then(|pause| pause.until_us);
        let ended_us = ended_us.filter(|until| *until <= now_us);
        let by = ended_us.is_none().then(&user);
        let update = resume(&record, ended_us.unwrap_or(now_us), by.as_deref());
        let Some(update) = update else {
            return Ok(report);
        };
        let of = |waits: bool| {
            let due = update.due.iter();
            let due = due.filter(|one| one.skip.is_none() == waits);
            due.map(|one| one.intervals).sum::<u64>()
        };
        let (waiting, skipped) = (of(true), of(false));
        report.catchup = record.plan.catchup;
        if services.store.update_schedule(update).await? {
            report.was_paused = true;
            report.waiting += waiting;
            report.skipped += skipped;
        }
    }
}

/// What users did to the schedule of a pipeline.
///
/// # Errors
/// R0922 when it has no schedule, R0920 when there is no such pipeline.
pub async fn schedule_events(
    services: &ProjectServices,
    plan: &Plan,
    pipeline: &str,
) -> Result<ScheduleEvents> {
    let scheduled = schedule_of(plan, pipeline)?;
    let store = &services.store;
    Ok(ScheduleEvents {
        version: 1,
        pipeline: pipeline.to_owned(),
        timezone: scheduled.plan.timezone,
        events: store
            .schedule_events(&plan.environment, &scheduled.pipeline)
            .await?,
    })
}

/// What the state store has about the schedule of a pipeline, and its clock.
pub(crate) async fn stored(
    services: &ProjectServices,
    plan: &Plan,
    pipeline: &str,
) -> Result<(Option<ScheduleRecord>, i64)> {
    let found = services.store.schedules(&plan.environment).await?;
    let mut unreadable = found.unreadable.into_iter();
    if let Some((_, failure)) = unreadable.find(|(name, _)| name.as_str() == pipeline) {
        return Err(failure);
    }
    let mut schedules = found.schedules.into_iter();
    let record = schedules.find(|one| one.pipeline.as_str() == pipeline);
    Ok((record, found.now_us))
}

fn moment_to_come(text: &str, zone: &str, now_us: i64) -> Result<i64> {
    let refused = |message: String| {
        Failure::new("R0900", Remedy::FixConfig, message)
            .help("example: --until 2026-03-28, --until \"2026-03-28 06:00\"")
    };
    let at_us = local_time_us(text, zone).ok().flatten();
    let at_us = at_us.ok_or_else(|| refused(format!("--until: `{text}` is not a date")))?;
    match at_us > now_us {
        true => Ok(at_us),
        false => Err(refused(format!(
            "--until: {} is over",
            local_text(at_us, zone)
        ))),
    }
}

/// The user of this process, as the system names them.
pub(crate) fn user(services: &ProjectServices) -> String {
    let variables = services.system.environment();
    let mut names = ["USER", "LOGNAME"]
        .iter()
        .filter_map(|name| variables.get(*name));
    let name = names.find(|name| !name.is_empty());
    name.map_or_else(|| "unknown".to_owned(), String::clone)
}
