//! What becomes of intervals that are due: each policy by an example, and each interval exactly once for any.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

use proptest::prelude::*;
use towpath_ports::{
    IntervalState, RunStop, SchedulePause, ScheduleRecord, ScheduleUpdate, ScheduledInterval,
    SkipReason, StopReason,
};
use towpath_schedule::Timetable;
use towpath_vocab::{Catchup, DstGap, DstOverlap, Interval, Overlap, Recurrence, SchedulePlan};

use super::{MOST_WAITING, ScheduledPipeline, due, removed};
use crate::pause::{end_pause, pause, resume};

const MINUTE: i64 = 60_000_000;

fn scheduled(catchup: Catchup, overlap: Overlap) -> ScheduledPipeline {
    of(SchedulePlan {
        recurrence: Recurrence::EveryMs(600_000),
        timezone: "UTC".to_owned(),
        start_us: None,
        end_us: None,
        catchup,
        overlap,
        deadline_ms: None,
        dst_gap: DstGap::Shift,
        dst_overlap: DstOverlap::First,
    })
}

fn of(plan: SchedulePlan) -> ScheduledPipeline {
    ScheduledPipeline {
        pipeline: "p".into(),
        environment: "dev".into(),
        table: Timetable::new(&plan).unwrap(),
        plan,
    }
}

fn record(scheduled: &ScheduledPipeline, decided: i64) -> ScheduleRecord {
    ScheduleRecord {
        pipeline: "p".into(),
        environment: "dev".into(),
        plan: scheduled.plan.clone(),
        decided_us: decided * MINUTE,
        since_us: None,
        queued_us: None,
        removed_us: None,
        paused: None,
        fence: 7,
        open: Vec::new(),
    }
}

fn open(start: i64, state: IntervalState) -> ScheduledInterval {
    ScheduledInterval {
        pipeline: "p".into(),
        interval: Interval {
            start_us: start * MINUTE,
            end_us: (start + 10) * MINUTE,
        },
        state,
        reason: None,
        intervals: 1,
        run: None,
        backfill: None,
    }
}

/// Decisions as start, end (both in minutes) and the reason of a skip.
fn decisions(
    scheduled: &ScheduledPipeline,
    record: &ScheduleRecord,
    now: i64,
) -> Vec<(i64, i64, Option<SkipReason>)> {
    let update = due(scheduled, Some(record), now * MINUTE);
    let due = update.into_iter().flat_map(|update| update.due);
    due.map(|one| {
        let Interval { start_us, end_us } = one.interval;
        assert_eq!(one.intervals, ((end_us - start_us) / (10 * MINUTE)) as u64);
        (start_us / MINUTE, end_us / MINUTE, one.skip)
    })
    .collect()
}

#[test]
fn missed_intervals_follow_the_catchup() {
    let at = |catchup, decided, now| {
        let scheduled = scheduled(catchup, Overlap::Queue);
        decisions(&scheduled, &record(&scheduled, decided), now)
    };
    let missed = Some(SkipReason::Missed);
    assert_eq!(at(Catchup::None, 0, 35), [(0, 30, missed)]);
    assert_eq!(
        at(Catchup::Latest, 0, 35),
        [(0, 20, missed), (20, 30, None)]
    );
    assert_eq!(
        at(Catchup::All, 0, 35),
        [(0, 10, None), (10, 20, None), (20, 30, None)]
    );
    // One that is on time runs, and takes the place of the last missed one.
    assert_eq!(at(Catchup::None, 0, 30), [(0, 20, missed), (20, 30, None)]);
    assert_eq!(
        at(Catchup::Latest, 0, 30),
        [(0, 20, missed), (20, 30, None)]
    );
    assert_eq!(at(Catchup::Latest, 20, 35), [(20, 30, None)]);
    // Nothing is due.
    assert_eq!(at(Catchup::All, 30, 39), []);
    assert_eq!(at(Catchup::All, 30, -100), []);
}

#[test]
fn an_earlier_run_follows_the_overlap() {
    let at = |overlap, state| {
        let scheduled = scheduled(Catchup::Latest, overlap);
        let record = ScheduleRecord {
            open: vec![open(0, state)],
            ..record(&scheduled, 10)
        };
        let update = due(&scheduled, Some(&record), 20 * MINUTE).unwrap();
        assert_eq!((update.decided_us, update.fence), (20 * MINUTE, Some(7)));
        (update.due[0].skip, update.skipped)
    };
    use IntervalState::{Running, Waiting};
    assert_eq!(at(Overlap::Queue, Waiting), (None, vec![]));
    assert_eq!(
        at(Overlap::Skip, Running),
        (Some(SkipReason::Overlap), vec![])
    );
    assert_eq!(
        at(Overlap::Skip, Waiting),
        (Some(SkipReason::Overlap), vec![])
    );
    assert_eq!(at(Overlap::KeepLatest, Running), (None, vec![]));
    let newer = vec![(10 * MINUTE, SkipReason::Newer)];
    assert_eq!(at(Overlap::KeepLatest, Waiting), (None, newer));
}

/// The run before it is asked to stop, and what waits gives way, also where a user had stopped its run.
#[test]
fn a_newer_interval_stops_what_runs_where_it_is_to() {
    use IntervalState::{Running, Waiting};
    let run = |open| ScheduledInterval {
        run: Some(towpath_vocab::RunName {
            pipeline: "p".into(),
            number: 3,
        }),
        ..open
    };
    let at = |overlap, opens: Vec<ScheduledInterval>, minute: i64| {
        let scheduled = scheduled(Catchup::Latest, overlap);
        let record = ScheduleRecord {
            open: opens,
            ..record(&scheduled, 20)
        };
        due(&scheduled, Some(&record), minute * MINUTE)
    };
    let stop = |at_once| {
        Some(RunStop {
            why: StopReason::Overlap,
            at_once,
            by: None,
        })
    };
    let opens = || vec![run(open(0, Running)), open(10, Waiting)];
    let update = at(Overlap::CancelRunning, opens(), 30).unwrap();
    assert_eq!(update.stop, stop(false));
    assert_eq!(update.skipped, [(20 * MINUTE, SkipReason::Newer)]);
    assert_eq!((update.due.len(), update.due[0].skip), (1, None));
    let update = at(Overlap::TerminateRunning, opens(), 30).unwrap();
    assert_eq!(update.stop, stop(true));
    let opens = vec![run(open(10, Waiting))];
    let update = at(Overlap::CancelRunning, opens.clone(), 30).unwrap();
    assert_eq!(update.skipped, [(20 * MINUTE, SkipReason::Replaced)]);
    // Nothing is due: nothing is stopped.
    assert_eq!(at(Overlap::CancelRunning, opens.clone(), 29), None);
    let update = at(Overlap::KeepLatest, opens, 30).unwrap();
    assert_eq!((update.stop, update.skipped), (None, vec![]));
}

/// A run that was stopped lets its interval wait again: what it has done is not left half done.
#[test]
fn a_newer_interval_replaces_none_whose_run_was_begun() {
    let scheduled = scheduled(Catchup::Latest, Overlap::KeepLatest);
    let stopped = ScheduledInterval {
        run: Some(towpath_vocab::RunName {
            pipeline: "p".into(),
            number: 3,
        }),
        ..open(0, IntervalState::Waiting)
    };
    let record = ScheduleRecord {
        open: vec![stopped, open(10, IntervalState::Waiting)],
        ..record(&scheduled, 20)
    };
    let update = due(&scheduled, Some(&record), 30 * MINUTE).unwrap();
    assert_eq!(update.due[0].skip, None);
    assert_eq!(update.skipped, [(20 * MINUTE, SkipReason::Newer)]);
}

#[test]
fn a_queue_has_an_end_and_goes_on_later() {
    let scheduled = scheduled(Catchup::All, Overlap::Queue);
    let first = due(&scheduled, Some(&record(&scheduled, 0)), 5000 * MINUTE).unwrap();
    assert_eq!(first.due.len(), MOST_WAITING);
    assert_eq!(first.decided_us, 1000 * MINUTE);
    let mut full = record(&scheduled, 1000);
    full.open = (0..100)
        .map(|n| open(n * 10, IntervalState::Waiting))
        .collect();
    assert_eq!(due(&scheduled, Some(&full), 5000 * MINUTE), None);
    full.open.drain(..40);
    let next = due(&scheduled, Some(&full), 5000 * MINUTE).unwrap();
    assert_eq!((next.due.len(), next.decided_us), (40, 1400 * MINUTE));
}

#[test]
fn a_schedule_begins_at_its_start_or_now() {
    let plain = scheduled(Catchup::All, Overlap::Queue);
    let first = due(&plain, None, 25 * MINUTE).unwrap();
    assert_eq!(
        (first.fence, first.decided_us, first.due.len()),
        (None, 20 * MINUTE, 0)
    );
    assert_eq!(decisions(&plain, &record(&plain, 25), 35), [(20, 30, None)]);
    let started = |start_us| {
        of(SchedulePlan {
            start_us: Some(start_us),
            ..plain.plan.clone()
        })
    };
    let past = started(5 * MINUTE);
    let first = due(&past, None, 25 * MINUTE).unwrap();
    assert_eq!(first.decided_us, 5 * MINUTE);
    assert_eq!(
        decisions(&past, &record(&past, 5), 26),
        [(5, 15, None), (15, 25, None)]
    );
    let future = started(500 * MINUTE);
    assert_eq!(
        due(&future, None, 25 * MINUTE).unwrap().decided_us,
        25 * MINUTE
    );
    assert_eq!(
        decisions(&future, &record(&future, 25), 510),
        [(500, 510, None)]
    );
}

#[test]
fn another_policy_is_no_other_schedule() {
    let before = scheduled(Catchup::All, Overlap::Queue);
    let after = of(SchedulePlan {
        recurrence: Recurrence::EveryMs(300_000),
        ..before.plan.clone()
    });
    let update = due(&after, Some(&record(&before, 0)), 27 * MINUTE).unwrap();
    assert_eq!(
        (update.decided_us, update.since_us),
        (20 * MINUTE, Some(27 * MINUTE))
    );
    assert_eq!(minutes(Some(update)), [(0, 10, None), (10, 20, None)]);
    // Another policy is no other schedule.
    let policy = of(SchedulePlan {
        catchup: Catchup::None,
        ..before.plan.clone()
    });
    let update = due(&policy, Some(&record(&before, 30)), 31 * MINUTE).unwrap();
    assert_eq!((update.decided_us, update.due.len()), (30 * MINUTE, 0));
    assert_eq!(update.plan.catchup, Catchup::None);
}

/// Takes a decision as the store does: fence and limit, what waits, what is skipped.
fn take(record: &mut ScheduleRecord, update: &ScheduleUpdate) {
    assert_eq!(update.fence, Some(record.fence));
    assert!(update.decided_us >= record.decided_us);
    for (end_us, _) in &update.skipped {
        record.open.retain(|open| open.interval.end_us != *end_us);
    }
    let waiting = update.due.iter().filter(|one| one.skip.is_none());
    record.open.extend(waiting.map(|one| ScheduledInterval {
        interval: one.interval,
        ..open(0, IntervalState::Waiting)
    }));
    record.fence += 1;
    record.plan = update.plan.clone();
    record.decided_us = update.decided_us;
    record.since_us = update.since_us;
    record.queued_us = update.queued_us;
    record.removed_us = update.removed_us;
    record.paused = update.paused.clone();
}

fn every(minutes: u64, catchup: Catchup, overlap: Overlap) -> ScheduledPipeline {
    of(SchedulePlan {
        recurrence: Recurrence::EveryMs(minutes * 60_000),
        ..scheduled(catchup, overlap).plan
    })
}

fn cron(text: &str, catchup: Catchup, overlap: Overlap) -> ScheduledPipeline {
    of(SchedulePlan {
        recurrence: Recurrence::Cron(text.to_owned()),
        timezone: "Europe/Berlin".to_owned(),
        ..scheduled(catchup, overlap).plan
    })
}

/// All intervals that the update decides, in minutes.
fn minutes(update: Option<ScheduleUpdate>) -> Vec<(i64, i64, Option<SkipReason>)> {
    let due = update.into_iter().flat_map(|update| update.due);
    due.map(|one| {
        let Interval { start_us, end_us } = one.interval;
        (start_us / MINUTE, end_us / MINUTE, one.skip)
    })
    .collect()
}

/// A whole life of a schedule: at each moment the pipeline has one of several schedules.
fn play(
    plans: &[ScheduledPipeline],
    steps: &[(usize, i64)],
) -> Vec<(i64, i64, Option<SkipReason>)> {
    let first = due(&plans[0], None, 0).unwrap();
    let mut record = ScheduleRecord {
        decided_us: first.decided_us,
        ..record(&plans[0], 0)
    };
    let mut found = Vec::new();
    for (plan, at) in steps {
        let update = due(&plans[*plan], Some(&record), *at * MINUTE);
        let Some(update) = update else { continue };
        take(&mut record, &update);
        found.extend(minutes(Some(update)));
    }
    found
}

#[test]
fn a_changed_schedule_goes_on_where_the_old_one_was() {
    let plans = [
        every(10, Catchup::All, Overlap::Queue),
        every(60, Catchup::All, Overlap::Queue),
        every(7, Catchup::All, Overlap::Queue),
    ];
    // What the old schedule has had until the change is its own; the rest is part of the first new interval.
    assert_eq!(
        play(
            &plans,
            &[(0, 10), (1, 35), (1, 61), (2, 62), (2, 63), (2, 71)]
        ),
        [
            (0, 10, None),
            (10, 20, None),
            (20, 30, None),
            (30, 60, None),
            (60, 63, None),
            (63, 70, None)
        ]
    );
    // To smaller intervals: no moment before the change is one of the new schedule.
    assert_eq!(
        play(&plans, &[(1, 1), (1, 60), (2, 100), (2, 106)]),
        [(0, 60, None), (60, 105, None)]
    );
    // Changed twice between two moments.
    assert_eq!(
        play(
            &plans,
            &[(1, 1), (1, 60), (2, 61), (1, 62), (0, 79), (0, 80)]
        ),
        [(0, 60, None), (60, 80, None)]
    );
}

#[test]
fn a_change_without_a_scheduler_follows_the_catchup_of_the_old_schedule() {
    let plans = [
        every(10, Catchup::Latest, Overlap::KeepLatest),
        every(60, Catchup::Latest, Overlap::KeepLatest),
    ];
    assert_eq!(
        play(&plans, &[(0, 10), (1, 155), (1, 180)]),
        [
            (0, 10, None),
            (10, 140, Some(SkipReason::Missed)),
            (140, 150, None),
            (150, 180, None)
        ]
    );
}

#[test]
fn a_changed_start_or_end_leaves_no_hole() {
    let plain = every(10, Catchup::All, Overlap::Queue);
    let with = |start: Option<i64>, end: Option<i64>| {
        of(SchedulePlan {
            start_us: start.map(|at| at * MINUTE),
            end_us: end.map(|at| at * MINUTE),
            ..plain.plan.clone()
        })
    };
    // Nothing begins before the new start, which is no moment of the old schedule.
    let plans = [plain.clone(), with(Some(45), None)];
    assert_eq!(
        play(&plans, &[(0, 20), (1, 21), (1, 66)]),
        [
            (0, 10, None),
            (10, 20, None),
            (45, 55, None),
            (55, 65, None)
        ]
    );
    // A schedule that has ended goes on from its end.
    let plans = [with(None, Some(20)), plain.clone()];
    assert_eq!(
        play(&plans, &[(0, 20), (0, 50), (1, 41), (1, 41)]),
        [
            (0, 10, None),
            (10, 20, None),
            (20, 30, None),
            (30, 40, None)
        ]
    );
    // One that has not begun yet has had no interval.
    let plans = [with(Some(500), None), plain];
    assert_eq!(play(&plans, &[(0, 20), (1, 25), (1, 30)]), [(20, 30, None)]);
}

#[test]
fn a_removed_schedule_that_comes_back_has_missed_nothing() {
    let scheduled = scheduled(Catchup::Latest, Overlap::Queue);
    let mut record = record(&scheduled, 20);
    record.open = vec![
        open(0, IntervalState::Running),
        open(10, IntervalState::Waiting),
    ];
    let update = removed(&record, 27 * MINUTE).unwrap();
    assert_eq!((update.decided_us, update.due.len()), (20 * MINUTE, 0));
    assert_eq!(update.skipped, [(20 * MINUTE, SkipReason::Removed)]);
    take(&mut record, &update);
    assert_eq!(removed(&record, 28 * MINUTE), None);
    let back = due(&scheduled, Some(&record), 95 * MINUTE).unwrap();
    take(&mut record, &back);
    assert_eq!(record.removed_us, None);
    assert_eq!(decisions(&scheduled, &record, 100), [(90, 100, None)]);
    // At once again: nothing is done twice.
    let update = removed(&record, 96 * MINUTE).unwrap();
    take(&mut record, &update);
    let sevens = every(7, Catchup::All, Overlap::Queue);
    let mut twice = record.clone();
    twice.decided_us = 95 * MINUTE;
    let back = due(&sevens, Some(&twice), 97 * MINUTE).unwrap();
    take(&mut twice, &back);
    let next = due(&sevens, Some(&twice), 98 * MINUTE);
    assert_eq!(minutes(next), [(95, 98, None)]);
}

fn wanted(until: Option<i64>) -> SchedulePause {
    SchedulePause {
        since_us: 0,
        until_us: until.map(|at| at * MINUTE),
        reason: Some("the database moves".to_owned()),
        by: "ann".to_owned(),
        ended_by: None,
    }
}

#[test]
fn intervals_of_a_pause_follow_the_catchup() {
    let skipped = Some(SkipReason::Paused);
    let during = |catchup| {
        let scheduled = scheduled(catchup, Overlap::Queue);
        let mut record = record(&scheduled, 10);
        // What was due when it was paused is decided as ever.
        let update = pause(&scheduled, Some(&record), &wanted(None), 21 * MINUTE).unwrap();
        take(&mut record, &update);
        assert_eq!(minutes(Some(update)), [(10, 20, None)]);
        assert_eq!(record.paused.as_ref().unwrap().since_us, 21 * MINUTE);
        for now in [30, 31, 50, 20] {
            assert_eq!(due(&scheduled, Some(&record), now * MINUTE), None);
        }
        // One that is due just when it goes on was due while it was paused, too.
        let update = resume(&record, 50 * MINUTE, Some("ben")).unwrap();
        let (kind, details) = update.event.clone().unwrap();
        assert_eq!(
            (kind.as_str(), details.by.as_deref()),
            ("resumed", Some("ben"))
        );
        take(&mut record, &update);
        assert_eq!(resume(&record, 50 * MINUTE, None), None);
        let mut found = minutes(Some(update));
        found.extend(minutes(due(&scheduled, Some(&record), 60 * MINUTE)));
        found
    };
    assert_eq!(during(Catchup::None), [(20, 50, skipped), (50, 60, None)]);
    assert_eq!(
        during(Catchup::Latest),
        [(20, 40, skipped), (40, 50, None), (50, 60, None)]
    );
    assert_eq!(
        during(Catchup::All),
        [
            (20, 30, None),
            (30, 40, None),
            (40, 50, None),
            (50, 60, None)
        ]
    );
}

#[test]
fn a_pause_ends_by_itself_and_can_be_changed() {
    let scheduled = scheduled(Catchup::Latest, Overlap::Queue);
    let mut record = record(&scheduled, 10);
    let update = pause(&scheduled, Some(&record), &wanted(None), 11 * MINUTE).unwrap();
    take(&mut record, &update);
    let update = pause(&scheduled, Some(&record), &wanted(Some(45)), 31 * MINUTE).unwrap();
    take(&mut record, &update);
    let paused = record.paused.as_ref().unwrap();
    assert_eq!(
        (paused.since_us, paused.until_us),
        (11 * MINUTE, Some(45 * MINUTE))
    );
    assert_eq!(due(&scheduled, Some(&record), 44 * MINUTE), None);
    // No scheduler ran for a while: what was due after the end of the pause was missed.
    let update = due(&scheduled, Some(&record), 95 * MINUTE).unwrap();
    assert_eq!(update.event.as_ref().unwrap().1.by, None);
    take(&mut record, &update);
    let skip = Some;
    assert_eq!(
        minutes(Some(update)),
        [(10, 30, skip(SkipReason::Paused)), (30, 40, None)]
    );
    let update = due(&scheduled, Some(&record), 95 * MINUTE);
    assert_eq!(
        minutes(update),
        [(40, 80, skip(SkipReason::Missed)), (80, 90, None)]
    );
}

#[test]
fn a_pause_outlasts_an_edit_and_a_removed_schedule() {
    let (tens, sevens) = (
        every(10, Catchup::All, Overlap::Queue),
        every(7, Catchup::All, Overlap::Queue),
    );
    // Nobody has served it yet.
    let update = pause(&tens, None, &wanted(None), 15 * MINUTE).unwrap();
    assert_eq!((update.fence, update.decided_us), (None, 10 * MINUTE));
    assert!(update.paused.is_some());
    let mut record = record(&tens, 10);
    let update = pause(&tens, Some(&record), &wanted(None), 15 * MINUTE).unwrap();
    take(&mut record, &update);
    // The edited schedule is taken, and decides all of the pause.
    let mut edited = record.clone();
    let update = due(&sevens, Some(&edited), 30 * MINUTE).unwrap();
    assert_eq!((&update.paused, &update.due), (&record.paused, &vec![]));
    take(&mut edited, &update);
    assert_eq!(edited.plan, sevens.plan);
    assert_eq!(due(&sevens, Some(&edited), 40 * MINUTE), None);
    let update = resume(&edited, 40 * MINUTE, None).unwrap();
    take(&mut edited, &update);
    assert_eq!(
        minutes(Some(update)),
        [
            (10, 14, None),
            (14, 21, None),
            (21, 28, None),
            (28, 35, None)
        ]
    );
    assert_eq!(
        minutes(due(&sevens, Some(&edited), 42 * MINUTE)),
        [(35, 42, None)]
    );
    let update = removed(&record, 60 * MINUTE).unwrap();
    take(&mut record, &update);
    let back = due(&tens, Some(&record), 90 * MINUTE).unwrap();
    take(&mut record, &back);
    assert_eq!((record.removed_us, record.paused.is_some()), (None, true));
    assert_eq!(due(&tens, Some(&record), 120 * MINUTE), None);
    let update = resume(&record, 120 * MINUTE, None).unwrap();
    assert_eq!(minutes(Some(update)).last(), Some(&(110, 120, None)));
}

#[test]
fn an_edit_in_a_pause_holds_when_it_goes_on() {
    let skipped = Some(SkipReason::Paused);
    let (before, after) = (
        every(10, Catchup::All, Overlap::Queue),
        every(10, Catchup::Latest, Overlap::Queue),
    );
    let mut record = record(&before, 10);
    let update = pause(&before, Some(&record), &wanted(None), 11 * MINUTE).unwrap();
    take(&mut record, &update);
    // No server has seen the edit when a user lets the schedule go on: the next server decides, by its copy.
    let mut ended = record.clone();
    let update = end_pause(&ended, 50 * MINUTE, "ben").unwrap();
    assert_eq!((&update.plan, &update.event), (&before.plan, &None));
    take(&mut ended, &update);
    assert!(ended.paused.is_some() && ended.paused_at(50 * MINUTE).is_none());
    assert_eq!(end_pause(&ended, 51 * MINUTE, "ben"), None);
    let mut by = None;
    let mut found = Vec::new();
    while let Some(update) = due(&after, Some(&ended), 52 * MINUTE) {
        take(&mut ended, &update);
        by = by.or(update.event.clone().and_then(|(_, details)| details.by));
        found.extend(minutes(Some(update)));
    }
    assert_eq!(found, [(10, 40, skipped), (40, 50, None)]);
    assert_eq!((by.as_deref(), ended.paused), (Some("ben"), None));
}

#[test]
fn intervals_without_room_wait_and_are_not_missed() {
    for catchup in [Catchup::None, Catchup::Latest] {
        let scheduled = scheduled(catchup, Overlap::Queue);
        let mut record = record(&scheduled, 1000);
        record.open = (0..100)
            .map(|n| open(n * 10, IntervalState::Waiting))
            .collect();
        // A scheduler looks all the time, and there is no room.
        for now in [1010, 1020, 1021, 1030, 1035] {
            if let Some(update) = due(&scheduled, Some(&record), now * MINUTE) {
                assert_eq!(update.due, []);
                take(&mut record, &update);
            }
        }
        let fence = record.fence;
        assert_eq!(due(&scheduled, Some(&record), 1036 * MINUTE), None);
        assert_eq!(fence, record.fence);
        record.open.drain(..2);
        let update = due(&scheduled, Some(&record), 1037 * MINUTE).unwrap();
        take(&mut record, &update);
        assert_eq!(
            minutes(Some(update)),
            [(1000, 1010, None), (1010, 1020, None)]
        );
        // Then nobody looks for a long time: that is missed, what waited before is not.
        record.open.drain(..50);
        let update = due(&scheduled, Some(&record), 1095 * MINUTE);
        let missed = Some(SkipReason::Missed);
        match catchup {
            Catchup::None => {
                assert_eq!(minutes(update), [(1020, 1030, None), (1030, 1090, missed)])
            }
            _ => assert_eq!(
                minutes(update),
                [(1020, 1030, None), (1030, 1080, missed), (1080, 1090, None)]
            ),
        }
    }
}

#[test]
fn years_of_seconds_are_counted_at_once() {
    let began = std::time::Instant::now();
    let each_second = of(SchedulePlan {
        recurrence: Recurrence::EveryMs(1000),
        start_us: Some(0),
        ..scheduled(Catchup::None, Overlap::KeepLatest).plan
    });
    let (half_year, ten_years) = (250_000, 10 * 365 * 24 * 60);
    let update = due(
        &each_second,
        Some(&record(&each_second, 0)),
        ten_years * MINUTE,
    )
    .unwrap();
    let missed = &update.due[0];
    assert_eq!(missed.skip, Some(SkipReason::Missed));
    assert_eq!(
        (missed.interval.start_us, missed.intervals),
        (0, (ten_years as u64 - 1) * 60 - 1)
    );
    assert_eq!(update.decided_us, ten_years * MINUTE);
    assert!(began.elapsed().as_millis() < 500, "{:?}", began.elapsed());
    // A cron expression is counted in pieces.
    let each_minute = cron("* * * * *", Catchup::Latest, Overlap::KeepLatest);
    let mut record = record(&each_minute, 0);
    let (mut pieces, mut counted) = (0, 0);
    while let Some(update) = due(&each_minute, Some(&record), half_year * MINUTE) {
        counted += update.due.iter().map(|one| one.intervals).sum::<u64>();
        pieces += 1;
        assert!(update.due.iter().all(|one| one.intervals <= 100_000));
        take(&mut record, &update);
    }
    assert_eq!((pieces, counted), (3, half_year as u64));
}

fn policies() -> impl Strategy<Value = (Catchup, Overlap)> {
    let catchup = prop_oneof![
        Just(Catchup::None),
        Just(Catchup::Latest),
        Just(Catchup::All)
    ];
    let overlap = prop_oneof![
        Just(Overlap::Queue),
        Just(Overlap::KeepLatest),
        Just(Overlap::Skip),
        Just(Overlap::CancelRunning),
        Just(Overlap::TerminateRunning),
    ];
    (catchup, overlap)
}

proptest! {
    /// Whatever the clock does: decided once, in order, nothing left out.
    #[test]
    fn each_interval_is_decided_once((catchup, overlap) in policies(), steps in prop::collection::vec(-50..200_i64, 1..30)) {
        let scheduled = scheduled(catchup, overlap);
        let mut record = record(&scheduled, 0);
        let mut now = 0;
        for step in steps {
            now += step;
            let Some(update) = due(&scheduled, Some(&record), now * MINUTE) else {
                continue;
            };
            let mut end_us = record.decided_us;
            for one in &update.due {
                prop_assert_eq!(one.interval.start_us, end_us);
                prop_assert!(one.interval.end_us <= now * MINUTE);
                end_us = one.interval.end_us;
            }
            prop_assert_eq!(update.decided_us, end_us);
            for (end_us, _) in &update.skipped {
                record.open.retain(|open| open.interval.end_us != *end_us);
            }
            let waiting = update.due.iter().filter(|one| one.skip.is_none());
            record.open.extend(waiting.map(|one| ScheduledInterval {
                interval: one.interval,
                ..open(0, IntervalState::Waiting)
            }));
            prop_assert!(record.open.len() <= MOST_WAITING + 2);
            if overlap != Overlap::Queue {
                prop_assert!(record.open.len() <= 1);
            }
            record.decided_us = update.decided_us;
            // What waits is done now and then.
            if step % 3 == 0 && !record.open.is_empty() {
                record.open.remove(0);
            }
        }
    }

    /// Whatever is paused whenever, and whatever the clock does: nothing of a pause is decided before it ends,
    /// and the intervals leave no hole.
    #[test]
    fn pauses_leave_no_hole_and_are_obeyed(
        (catchup, overlap) in policies(),
        steps in prop::collection::vec((0..10_u8, -40..400_i64, 0..120_usize), 1..60),
    ) {
        let copies = [
            scheduled(catchup, overlap),
            every(7, Catchup::Latest, overlap),
            cron("*/15 * * * *", catchup, Overlap::Queue),
        ];
        let mut scheduled = &copies[0];
        let mut record = record(scheduled, 0);
        let (mut now, mut end_us) = (0, 0);
        let ends = [(9, 0, 0), (9, 0, 0), (9, 0, 0), (1, 1000, 0), (7, 1, 0)];
        for (act, step, done) in steps.into_iter().chain(ends) {
            now += step;
            let before = record.paused.clone();
            if act == 8 {
                scheduled = &copies[done % 3];
            }
            let update = match act {
                0 => pause(scheduled, Some(&record), &wanted(Some(now + 25)), now * MINUTE),
                2 => pause(scheduled, Some(&record), &wanted(None), now * MINUTE),
                1 => resume(&record, now * MINUTE, Some("ann")),
                9 => end_pause(&record, now * MINUTE, "ann"),
                _ => due(scheduled, Some(&record), now * MINUTE),
            };
            let Some(update) = update else { continue };
            for one in &update.due {
                prop_assert_eq!(one.interval.start_us, end_us);
                prop_assert!(one.interval.end_us <= now * MINUTE);
                end_us = one.interval.end_us;
            }
            prop_assert_eq!(update.decided_us, end_us);
            if before.is_some() && update.paused == before {
                prop_assert!(update.due.is_empty());
            }
            take(&mut record, &update);
            prop_assert!(record.open.len() <= MOST_WAITING + 2);
            record.open.drain(..done.min(record.open.len()));
        }
        prop_assert_eq!(&record.paused, &None);
        if overlap != Overlap::Queue && catchup != Catchup::All {
            let last = scheduled.table.previous(now * MINUTE).unwrap();
            let is_new = record.since_us.is_some_and(|since| since >= last);
            let is_queued = record.plan.overlap == Overlap::Queue;
            prop_assert!(record.decided_us >= last || is_new || is_queued);
        }
    }

    /// Whatever is changed whenever: the intervals follow each other, and no change waits for ever.
    #[test]
    fn edits_leave_no_hole_and_no_overlap(
        (catchup, overlap) in policies(),
        steps in prop::collection::vec((0..6_usize, -40..400_i64, 0..120_usize), 1..60),
    ) {
        let plans = [
            every(10, catchup, overlap),
            every(7, catchup, overlap),
            every(60, catchup, overlap),
            cron("*/15 * * * *", catchup, overlap),
            cron("30 2 * * *", catchup, overlap),
            cron("5 */4 * * 1-5", catchup, overlap),
        ];
        let mut now = 0;
        let first = due(&plans[0], None, now).unwrap();
        let mut record = ScheduleRecord { decided_us: first.decided_us, ..record(&plans[0], 0) };
        let mut end_us = record.decided_us;
        for (plan, step, done) in steps {
            now += step;
            let scheduled = &plans[plan];
            if let Some(update) = due(scheduled, Some(&record), now * MINUTE) {
                for one in &update.due {
                    prop_assert_eq!(one.interval.start_us, end_us);
                    prop_assert!(one.interval.end_us > end_us);
                    prop_assert!(one.interval.end_us <= now * MINUTE);
                    end_us = one.interval.end_us;
                }
                prop_assert_eq!(update.decided_us, end_us);
                prop_assert!(update.plan == scheduled.plan);
                take(&mut record, &update);
            }
            prop_assert!(record.open.len() <= MOST_WAITING);
            record.open.drain(..done.min(record.open.len()));
        }
        // All that is due now is decided in the end, but for the room.
        for _ in 0..100_000 {
            let plan = plans.iter().find(|one| one.plan == record.plan).unwrap();
            let Some(update) = due(plan, Some(&record), now * MINUTE) else { break };
            take(&mut record, &update);
            record.open.clear();
        }
        let plan = plans.iter().find(|one| one.plan == record.plan).unwrap();
        let last = plan.table.previous(now * MINUTE).unwrap();
        prop_assert!(record.decided_us >= last || record.since_us.is_some_and(|since| since >= last));
    }
}
