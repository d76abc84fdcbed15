//! What becomes of the intervals of a schedule that are due: a pure function of the schedule, what the state
//! store has decided, and the moment.
//!
//! Promise: each interval that was due gets a run or a recorded skip with its reason, exactly one of them; a
//! clock that goes back decides nothing twice. It writes nothing: see `scheduler.rs`.

use towpath_ports::{
    IntervalDecision, IntervalState, RunStop, ScheduleRecord, ScheduleUpdate, ScheduledInterval,
    SkipReason, StopReason,
};
use towpath_schedule::Timetable;
use towpath_vocab::{Catchup, Environment, Interval, Overlap, PipelineName, SchedulePlan};

use crate::pause::{in_force, resume};

/// An interval that was due no longer than this ago is on time, whatever `catchup` says.
const ON_TIME_US: i64 = 60_000_000;

/// So many intervals of a schedule wait at most; the others stay undecided until there is room.
const MOST_WAITING: usize = 100;

/// So many missed intervals are counted in one decision at most; the next one goes on.
const MOST_COUNTED: u64 = 100_000;

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
        decided_us: record.map_or_else(|| begin(scheduled, now_us), |record| record.decided_us),
        since_us: record.and_then(|record| record.since_us),
        queued_us: record.and_then(|record| record.queued_us),
        removed_us: None,
        paused: record.and_then(|record| record.paused.clone()),
        event: None,
        due: Vec::new(),
        stop: None,
        skipped: Vec::new(),
    };
    let Some(record) = record else {
        return Some(update);
    };
    if record.removed_us.is_some() {
        // It comes back: between its end and now nothing was due.
        update.decided_us = update.decided_us.max(begin(scheduled, now_us));
        update.since_us = Some(now_us.max(update.decided_us));
        update.queued_us = None;
        return Some(update);
    }
    if let Some(pause) = &record.paused {
        if record.plan != scheduled.plan {
            edited_in_pause(scheduled, record, pause.since_us, &mut update);
            return Some(update);
        }
        // Nothing is decided until it goes on.
        let until_us = pause.until_us.filter(|until| *until <= now_us)?;
        return resume(record, until_us, None);
    }
    if !record.plan.same_times(&scheduled.plan) {
        changed(scheduled, record, now_us, &mut update);
        return Some(update);
    }
    decide(scheduled, record, now_us, Late::of(now_us), &mut update);
    let same = update.due.is_empty()
        && update.queued_us == record.queued_us
        && record.plan == scheduled.plan;
    (!same).then_some(update)
}

/// A schedule that the project does not have any more: what waits gets no run.
pub(crate) fn removed(record: &ScheduleRecord, now_us: i64) -> Option<ScheduleUpdate> {
    if record.removed_us.is_some() {
        return None;
    }
    let waiting = record.open.iter();
    let waiting = waiting.filter(|one| one.state == IntervalState::Waiting);
    Some(ScheduleUpdate {
        queued_us: None,
        removed_us: Some(now_us),
        skipped: waiting
            .map(|one| (one.interval.end_us, SkipReason::Removed))
            .collect(),
        ..unchanged(record)
    })
}

/// When something is to be decided about a schedule: in the past when it waits for room, never when it has
/// ended or was paused for ever.
pub(crate) fn next_due(scheduled: &ScheduledPipeline, record: &ScheduleRecord) -> Option<i64> {
    if let Some(pause) = &record.paused {
        return pause.until_us;
    }
    let rest = Undecided::of(scheduled, record.decided_us, record.since_us)?;
    scheduled.table.next(rest.after_us)
}

/// Where the first interval of a schedule begins: at its start, or at the last moment before now.
fn begin(scheduled: &ScheduledPipeline, now_us: i64) -> i64 {
    let at_us = scheduled
        .plan
        .start_us
        .map_or(now_us, |start| start.min(now_us));
    let first = Undecided::of(scheduled, at_us, None).map(|first| first.start_us);
    first.filter(|first| *first <= now_us).unwrap_or(at_us)
}

/// An update that changes nothing.
pub(crate) fn unchanged(record: &ScheduleRecord) -> ScheduleUpdate {
    ScheduleUpdate {
        pipeline: record.pipeline.clone(),
        environment: record.environment.clone(),
        fence: Some(record.fence),
        plan: record.plan.clone(),
        decided_us: record.decided_us,
        since_us: record.since_us,
        queued_us: record.queued_us,
        removed_us: record.removed_us,
        paused: record.paused.clone(),
        event: None,
        due: Vec::new(),
        stop: None,
        skipped: Vec::new(),
    }
}

/// A changed schedule: what was due until now is decided by the old one, the rest belongs to the new one,
/// whose first interval begins where the last one of the old schedule ended.
fn changed(
    scheduled: &ScheduledPipeline,
    record: &ScheduleRecord,
    now_us: i64,
    update: &mut ScheduleUpdate,
) {
    // A zone or an expression of another version of Towpath: nothing can be decided by it.
    let Ok(table) = Timetable::new(&record.plan) else {
        update.since_us = Some(now_us.max(update.decided_us));
        return;
    };
    let old = ScheduledPipeline {
        plan: record.plan.clone(),
        table,
        ..scheduled.clone()
    };
    if !decide(&old, record, now_us, Late::of(now_us), update) {
        update.plan = old.plan;
        return;
    }
    let starts_later = |start_us| start_us > update.decided_us;
    if record.since_us.is_none() && old.plan.start_us.is_some_and(starts_later) {
        // The old one has had no interval.
        update.decided_us = update.decided_us.max(begin(scheduled, now_us));
        return;
    }
    let rest = Undecided::of(&old, update.decided_us, record.since_us);
    let next = rest.and_then(|rest| rest.intervals(&old.table).next());
    if let Some(next) = next {
        update.decided_us = update.decided_us.max(next.start_us.min(now_us));
    }
    update.since_us = Some(match next {
        Some(next) if next.end_us > now_us => now_us.max(update.decided_us),
        // The old one has ended, or has no room: the new one decides what is left.
        _ => update.decided_us,
    });
}

/// A schedule that was changed while it is paused: what is due in the pause is decided when it goes on, by the
/// schedule as it is then. The next interval begins where the last one of the old schedule ended.
fn edited_in_pause(
    scheduled: &ScheduledPipeline,
    record: &ScheduleRecord,
    since_us: i64,
    update: &mut ScheduleUpdate,
) {
    let starts_later = |start_us| start_us > record.decided_us;
    if record.plan.same_times(&scheduled.plan) {
        return;
    }
    if record.since_us.is_none() && record.plan.start_us.is_some_and(starts_later) {
        // The old one has had no interval.
        update.decided_us = update.decided_us.max(begin(scheduled, since_us));
        return;
    }
    let next = in_force(record).and_then(|old| {
        let rest = Undecided::of(&old, record.decided_us, record.since_us)?;
        rest.intervals(&old.table).next()
    });
    if let Some(next) = next {
        update.decided_us = update.decided_us.max(next.start_us.min(since_us));
    }
    update.since_us = update.since_us.max(Some(update.decided_us));
}

/// What of a schedule is not decided: an interval from `start_us` to the first moment after `after_us`, and
/// all that follow it.
#[derive(Clone, Copy)]
struct Undecided {
    start_us: i64,
    after_us: i64,
}

impl Undecided {
    fn of(scheduled: &ScheduledPipeline, decided_us: i64, since_us: Option<i64>) -> Option<Self> {
        let (plan, table) = (&scheduled.plan, &scheduled.table);
        let begun = match since_us {
            None => table.previous(decided_us),
            Some(_) => {
                let begun = plan.start_us.is_none_or(|start| start <= decided_us);
                begun.then_some(decided_us)
            }
        };
        let start_us = begun.or_else(|| table.next(decided_us))?;
        let after_us = since_us.unwrap_or(decided_us);
        Some(Self {
            start_us,
            after_us: after_us.max(start_us).max(decided_us),
        })
    }

    fn intervals(self, table: &Timetable) -> impl Iterator<Item = Interval> {
        let mut start = self.start_us;
        table.moments(self.after_us).map(move |end_us| Interval {
            start_us: std::mem::replace(&mut start, end_us),
            end_us,
        })
    }

    /// True when an interval is due at this moment.
    fn has(self, table: &Timetable, at_us: i64) -> bool {
        table.next(self.after_us).is_some_and(|next| next <= at_us)
    }

    /// Lets the intervals until this moment wait for their runs, as many as there is room for.
    fn wait(
        &mut self,
        table: &Timetable,
        until_us: i64,
        room: &mut usize,
        due: &mut Vec<IntervalDecision>,
    ) {
        let intervals = self.intervals(table);
        let intervals = intervals.take_while(|interval| interval.end_us <= until_us);
        for interval in intervals.take(*room) {
            due.push(waits(interval));
            *room -= 1;
            (self.start_us, self.after_us) = (interval.end_us, interval.end_us);
        }
    }

    /// The intervals until this moment as one that is missed; false when there are more of them.
    fn miss(&mut self, table: &Timetable, late: Late) -> (Option<IntervalDecision>, bool) {
        let Some(counted) = table.count(self.after_us, late.until_us, MOST_COUNTED) else {
            return (None, true);
        };
        let missed = IntervalDecision {
            interval: Interval {
                start_us: self.start_us,
                end_us: counted.last_us,
            },
            skip: Some(late.reason),
            intervals: counted.moments,
        };
        (self.start_us, self.after_us) = (counted.last_us, counted.last_us);
        (Some(missed), counted.complete)
    }
}

fn waits(interval: Interval) -> IntervalDecision {
    IntervalDecision {
        interval,
        skip: None,
        intervals: 1,
    }
}

/// What was due until this moment and is not decided was missed, for this reason.
#[derive(Clone, Copy)]
pub(crate) struct Late {
    pub(crate) until_us: i64,
    pub(crate) reason: SkipReason,
}

impl Late {
    /// While no scheduler ran.
    fn of(now_us: i64) -> Self {
        Self {
            until_us: now_us.saturating_sub(ON_TIME_US).saturating_sub(1),
            reason: SkipReason::Missed,
        }
    }
}

/// Decides what is due by one schedule; false when missed intervals are left for the next time.
pub(crate) fn decide(
    scheduled: &ScheduledPipeline,
    record: &ScheduleRecord,
    now_us: i64,
    late: Late,
    update: &mut ScheduleUpdate,
) -> bool {
    let Some(mut from) = Undecided::of(scheduled, record.decided_us, record.since_us) else {
        return true;
    };
    let mut room = match scheduled.plan.overlap {
        Overlap::Queue => MOST_WAITING.saturating_sub(record.open.len()),
        Overlap::KeepLatest
        | Overlap::Skip
        | Overlap::CancelRunning
        | Overlap::TerminateRunning => MOST_WAITING,
    };
    let complete = match scheduled.plan.catchup {
        Catchup::All => {
            from.wait(&scheduled.table, now_us, &mut room, &mut update.due);
            true
        }
        Catchup::None | Catchup::Latest => catch_up(scheduled, from, (now_us, late), room, update),
    };
    if let Some(last) = update.due.last() {
        update.decided_us = last.interval.end_us;
    }
    overlap(scheduled.plan.overlap, record, update);
    complete
}

/// Decides where missed intervals are skipped: first those that waited for room, then the missed ones, then
/// those that are on time. What has no room now waits for it.
fn catch_up(
    scheduled: &ScheduledPipeline,
    mut from: Undecided,
    (now_us, late): (i64, Late),
    mut room: usize,
    update: &mut ScheduleUpdate,
) -> bool {
    let table = &scheduled.table;
    let queued_us = update.queued_us.unwrap_or(i64::MIN).min(now_us);
    from.wait(table, queued_us, &mut room, &mut update.due);
    if from.has(table, queued_us) {
        // Nobody was late since: what came is queued, too.
        if table
            .next(queued_us)
            .is_some_and(|next| next > late.until_us)
        {
            update.queued_us = table.previous(now_us).max(update.queued_us);
        }
        return true;
    }
    let (mut missed, complete) = from.miss(table, late);
    let mut last = None;
    // `latest` runs the last of the missed ones, if none came after it.
    if let (Catchup::Latest, true, Some(all)) = (scheduled.plan.catchup, complete, &mut missed)
        && !from.has(table, now_us)
    {
        let end_us = all.interval.end_us;
        let start_us = match all.intervals {
            1 => Some(all.interval.start_us),
            _ => table.previous(end_us.saturating_sub(1)),
        };
        let start_us = start_us.unwrap_or(all.interval.start_us);
        last = Some(Interval { start_us, end_us });
        all.intervals -= 1;
        all.interval.end_us = start_us;
    }
    update
        .due
        .extend(missed.filter(|missed| missed.intervals > 0));
    let first_us = last.map_or(i64::MAX, |last| last.start_us);
    if room > 0 {
        update.due.extend(last.map(waits));
    }
    if complete {
        from.wait(table, now_us, &mut room, &mut update.due);
        let left = from.has(table, now_us) || (room == 0 && first_us < i64::MAX);
        if left {
            update.queued_us = table.previous(now_us).max(update.queued_us);
        }
    }
    complete
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
        Overlap::KeepLatest | Overlap::CancelRunning | Overlap::TerminateRunning => {
            let mut due: Vec<_> = update.due.iter_mut().filter(waiting).collect();
            if due.pop().is_none() {
                return;
            }
            due.into_iter()
                .for_each(|one| one.skip = Some(SkipReason::Newer));
            let stops = policy != Overlap::KeepLatest;
            let open = record.open.iter();
            let waiting = open.filter(|one| one.state == IntervalState::Waiting);
            update.skipped = waiting
                .filter_map(|one| Some((one.interval.end_us, gives_way(one, stops)?)))
                .collect();
            update.stop = stops.then_some(RunStop {
                why: StopReason::Overlap,
                at_once: policy == Overlap::TerminateRunning,
                by: None,
            });
        }
    }
}

/// Why an interval that waits gets no run when a later one is due. One whose run a user has stopped goes on later,
/// unless running ones are stopped, too.
fn gives_way(waiting: &ScheduledInterval, stops: bool) -> Option<SkipReason> {
    match (&waiting.run, stops) {
        (None, _) => Some(SkipReason::Newer),
        (Some(_), true) => Some(SkipReason::Replaced),
        (Some(_), false) => None,
    }
}

#[cfg(test)]
#[path = "due_tests.rs"]
mod tests;
