//! What becomes of intervals that are due: each policy by an example, and each interval exactly once for any.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;
use towpath_ports::{IntervalState, ScheduleRecord, ScheduledInterval, SkipReason};
use towpath_schedule::Timetable;
use towpath_vocab::{Catchup, DstGap, DstOverlap, Interval, Overlap, Recurrence, SchedulePlan};

use super::{MOST_WAITING, ScheduledPipeline, due};

const MINUTE: i64 = 60_000_000;

fn scheduled(catchup: Catchup, overlap: Overlap) -> ScheduledPipeline {
    of(SchedulePlan {
        recurrence: Recurrence::EveryMs(600_000),
        timezone: "UTC".to_owned(),
        start_us: None,
        end_us: None,
        catchup,
        overlap,
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
        (None, 25 * MINUTE, 0)
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
fn a_changed_schedule_begins_now() {
    let before = scheduled(Catchup::All, Overlap::Queue);
    let after = of(SchedulePlan {
        recurrence: Recurrence::EveryMs(300_000),
        ..before.plan.clone()
    });
    let update = due(&after, Some(&record(&before, 0)), 27 * MINUTE).unwrap();
    assert_eq!(update.decided_us, 27 * MINUTE);
    assert_eq!(update.due.len(), 1);
    assert_eq!(
        (update.due[0].skip, update.due[0].intervals),
        (Some(SkipReason::Changed), 5)
    );
    // Another policy is no other schedule.
    let policy = of(SchedulePlan {
        catchup: Catchup::None,
        ..before.plan.clone()
    });
    let update = due(&policy, Some(&record(&before, 30)), 31 * MINUTE).unwrap();
    assert_eq!((update.decided_us, update.due.len()), (30 * MINUTE, 0));
    assert_eq!(update.plan.catchup, Catchup::None);
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
        Just(Overlap::Skip)
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
}
