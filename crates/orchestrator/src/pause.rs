//! A user pauses a schedule, or lets it go on: pure functions of what the state store has.
//!
//! Promise: what was due before a pause is decided as if there were none; while it lasts, nothing is decided
//! and no run of the schedule begins (the state store sees to that). When the schedule goes on, the intervals
//! that were due meanwhile are decided at once, by the schedule as it is then. Read next: `due.rs`.

use towpath_ports::{
    ScheduleEventDetails, ScheduleEventKind, SchedulePause, ScheduleRecord, ScheduleUpdate,
    SkipReason,
};
use towpath_schedule::Timetable;

use crate::due::{Late, ScheduledPipeline, decide, due, unchanged};

/// Pauses a schedule, or changes its pause. A pause that has ended by itself must have been written first.
pub fn pause(
    scheduled: &ScheduledPipeline,
    record: Option<&ScheduleRecord>,
    pause: &SchedulePause,
    now_us: i64,
) -> Option<ScheduleUpdate> {
    let stored = record.filter(|record| record.removed_us.is_none());
    let mut update = match (record, stored) {
        (_, Some(record)) => {
            // The copy that is in force decides what was due until now.
            let old = in_force(record).and_then(|old| due(&old, Some(record), now_us));
            old.unwrap_or_else(|| unchanged(record))
        }
        (record, None) => due(scheduled, record, now_us)?,
    };
    let before = update.paused.take();
    update.paused = Some(SchedulePause {
        since_us: before.map_or(now_us, |before| before.since_us),
        ..pause.clone()
    });
    let details = ScheduleEventDetails {
        by: Some(pause.by.clone()),
        reason: pause.reason.clone(),
        until_us: pause.until_us,
    };
    update.event = Some((ScheduleEventKind::Paused, details));
    Some(update)
}

/// Lets a paused schedule go on at a moment. If more was due meanwhile than can be decided at once, it is still
/// paused afterwards, and the next call goes on.
pub fn resume(record: &ScheduleRecord, at_us: i64, by: Option<&str>) -> Option<ScheduleUpdate> {
    record.paused.as_ref()?;
    let mut update = unchanged(record);
    let stored = record.removed_us.is_none().then(|| in_force(record));
    if let Some(scheduled) = stored.flatten() {
        let late = Late {
            until_us: at_us,
            reason: SkipReason::Paused,
        };
        if !decide(&scheduled, record, at_us, late, &mut update) {
            return Some(update);
        }
    }
    let ended_by = record.paused.as_ref()?.ended_by.clone();
    update.paused = None;
    let details = ScheduleEventDetails {
        by: by.map(str::to_owned).or(ended_by),
        ..ScheduleEventDetails::default()
    };
    update.event = Some((ScheduleEventKind::Resumed, details));
    Some(update)
}

/// Ends a pause whose schedule has another copy than the project has now: the next server that serves it decides
/// what was due meanwhile, by its copy. Nothing when it has ended already.
pub fn end_pause(record: &ScheduleRecord, now_us: i64, by: &str) -> Option<ScheduleUpdate> {
    let pause = record.paused_at(now_us)?;
    let mut update = unchanged(record);
    update.paused = Some(SchedulePause {
        until_us: Some(now_us),
        ended_by: Some(by.to_owned()),
        ..pause.clone()
    });
    Some(update)
}

/// The copy of a schedule that is in force; nothing when this version does not know its zone.
pub fn in_force(record: &ScheduleRecord) -> Option<ScheduledPipeline> {
    Some(ScheduledPipeline {
        pipeline: record.pipeline.clone(),
        environment: record.environment.clone(),
        plan: record.plan.clone(),
        table: Timetable::new(&record.plan).ok()?,
    })
}
