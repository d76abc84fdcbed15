//! What becomes of the intervals of a schedule that are due: a pure function of the schedule, what the state
//! store has decided, and the moment.
//!
//! Promise: each interval that was due gets a run or a recorded skip with its reason, exactly one of them; a
//! clock that goes back decides nothing twice. It writes nothing: see `scheduler.rs`.

use towpath_ports::{IntervalDecision, IntervalState, ScheduleRecord, ScheduleUpdate, SkipReason};
use towpath_schedule::Timetable;
use towpath_vocab::{Catchup, Environment, Interval, Overlap, PipelineName, SchedulePlan};

/// An interval that was due no longer than this ago is on time, whatever `catchup` says.
const ON_TIME_US: i64 = 60_000_000;

/// So many intervals of a schedule wait at most; the others stay undecided until there is room.
const MOST_WAITING: usize = 100;

/// A pipeline with its schedule.
#[derive(Clone, Debug)]
pub struct ScheduledPipeline {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The environment.
    pub environment: Environment,
    /// The schedule.
    pub plan: SchedulePlan,
    /// Its moments.
    pub table: Timetable,
}

/// Decides what is due now. Without a change there is nothing to write.
pub fn due(
    scheduled: &ScheduledPipeline,
    record: Option<&ScheduleRecord>,
    now_us: i64,
) -> Option<ScheduleUpdate> {
    let mut update = ScheduleUpdate {
        pipeline: scheduled.pipeline.clone(),
        environment: scheduled.environment.clone(),
        fence: record.map(|record| record.fence),
        plan: scheduled.plan.clone(),
        decided_us: now_us,
        due: Vec::new(),
        skipped: Vec::new(),
    };
    let Some(record) = record else {
        // The first interval begins at the start, or at the last moment before now.
        let start_us = scheduled.plan.start_us.unwrap_or(now_us);
        update.decided_us = start_us.min(now_us);
        return Some(update);
    };
    update.decided_us = record.decided_us;
    if !record.plan.same_times(&scheduled.plan) {
        changed(scheduled, record, now_us, &mut update);
        return Some(update);
    }
    decide(scheduled, record, now_us, &mut update);
    let same = update.due.is_empty() && record.plan == scheduled.plan;
    (!same).then_some(update)
}

/// A changed schedule begins now: what it would have had before gets no run.
fn changed(
    scheduled: &ScheduledPipeline,
    record: &ScheduleRecord,
    now_us: i64,
    update: &mut ScheduleUpdate,
) {
    let before = scheduled.table.intervals(record.decided_us);
    let before = before.take_while(|interval| interval.end_us <= now_us);
    update.due.extend(together(before, SkipReason::Changed));
    update.decided_us = record.decided_us.max(now_us);
}

fn decide(
    scheduled: &ScheduledPipeline,
    record: &ScheduleRecord,
    now_us: i64,
    update: &mut ScheduleUpdate,
) {
    let room = MOST_WAITING.saturating_sub(record.open.len());
    if room == 0 {
        return;
    }
    let all = scheduled.table.intervals(record.decided_us);
    let all = all.take_while(|interval| interval.end_us <= now_us);
    let waits = |interval| IntervalDecision {
        interval,
        skip: None,
        intervals: 1,
    };
    match scheduled.plan.catchup {
        Catchup::All => update.due.extend(all.take(room).map(waits)),
        catchup => {
            let mut on_time: Vec<Interval> = Vec::new();
            let missed = all.filter(|interval| {
                let late = interval.end_us < now_us.saturating_sub(ON_TIME_US);
                if !late {
                    on_time.push(*interval);
                }
                late
            });
            let mut skip = together(missed, SkipReason::Missed);
            // `latest` runs the last of the missed ones, if none came after it.
            if let (Catchup::Latest, true, Some(missed)) = (catchup, on_time.is_empty(), &mut skip)
                && let Some(last) = scheduled.table.last_interval(missed.interval.end_us)
            {
                missed.intervals -= 1;
                missed.interval.end_us = last.start_us;
                on_time.push(last);
            }
            let skip = skip.filter(|missed| missed.intervals > 0);
            update.due.extend(skip);
            update.due.extend(on_time.into_iter().map(waits));
        }
    }
    if let Some(last) = update.due.last() {
        update.decided_us = last.interval.end_us;
    }
    overlap(scheduled.plan.overlap, record, update);
}

/// Several intervals that get no run, as one.
fn together(
    intervals: impl Iterator<Item = Interval>,
    reason: SkipReason,
) -> Option<IntervalDecision> {
    let mut all: Option<IntervalDecision> = None;
    for interval in intervals {
        match &mut all {
            None => {
                all = Some(IntervalDecision {
                    interval,
                    skip: Some(reason),
                    intervals: 1,
                });
            }
            Some(all) => {
                all.interval.end_us = interval.end_us;
                all.intervals += 1;
            }
        }
    }
    all
}

/// What an earlier run that has not ended does to those that are due.
fn overlap(policy: Overlap, record: &ScheduleRecord, update: &mut ScheduleUpdate) {
    let waiting = |one: &&mut IntervalDecision| one.skip.is_none();
    match policy {
        Overlap::Queue => {}
        Overlap::Skip => {
            let free = usize::from(record.open.is_empty());
            let due = update.due.iter_mut().filter(waiting).skip(free);
            due.for_each(|one| one.skip = Some(SkipReason::Overlap));
        }
        Overlap::KeepLatest => {
            let mut due: Vec<_> = update.due.iter_mut().filter(waiting).collect();
            if due.pop().is_none() {
                return;
            }
            due.into_iter()
                .for_each(|one| one.skip = Some(SkipReason::Newer));
            let open = record.open.iter();
            update.skipped = open
                .filter(|one| one.state == IntervalState::Waiting && one.run.is_none())
                .map(|one| (one.interval.end_us, SkipReason::Newer))
                .collect();
        }
    }
}

#[cfg(test)]
#[path = "due_tests.rs"]
mod tests;
