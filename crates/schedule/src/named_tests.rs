//! The table of named cases: what a schedule does where the clock changes, and at its ends.
//!
//! Promise: each line is a case that a person can check with a calendar. For tests only. Read next:
//! `property_tests.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use towpath_vocab::{Catchup, DstGap, DstOverlap, Interval, Overlap, Recurrence, SchedulePlan};

use crate::{ScheduleError, Timetable, local_date_us, local_text, local_time_us, zone_names};

pub(crate) fn cron(text: &str, zone: &str) -> SchedulePlan {
    SchedulePlan {
        recurrence: Recurrence::Cron(text.to_owned()),
        timezone: zone.to_owned(),
        start_us: None,
        end_us: None,
        catchup: Catchup::Latest,
        overlap: Overlap::Queue,
        deadline_ms: None,
        dst_gap: DstGap::Shift,
        dst_overlap: DstOverlap::First,
    }
}

fn at(text: &str, zone: &str) -> i64 {
    local_time_us(text, zone).unwrap().unwrap()
}

/// The first moments after a local time.
fn after(plan: &SchedulePlan, local: &str, count: usize) -> Vec<String> {
    let table = Timetable::new(plan).unwrap();
    let moments = table.moments(at(local, &plan.timezone));
    let texts = moments.take(count).map(|us| local_text(us, &plan.timezone));
    texts.collect()
}

/// Zone, expression, after which local time, and what follows.
const CASES: &[(&str, &str, &str, &[&str])] = &[
    // A skipped time becomes the first moment after the skipped ones.
    (
        "Europe/Berlin",
        "30 2 * * *",
        "2026-03-28 12:00",
        &["2026-03-29 03:00 +02:00", "2026-03-30 02:30 +02:00"],
    ),
    (
        "Europe/Berlin",
        "*/15 2 * * *",
        "2026-03-28 12:00",
        &["2026-03-29 03:00 +02:00", "2026-03-30 02:00 +02:00"],
    ),
    (
        "Europe/Berlin",
        "0 2,3 * * *",
        "2026-03-28 12:00",
        &["2026-03-29 03:00 +02:00", "2026-03-30 02:00 +02:00"],
    ),
    (
        "America/New_York",
        "30 2 * * *",
        "2026-03-07 12:00",
        &["2026-03-08 03:00 -04:00", "2026-03-09 02:30 -04:00"],
    ),
    (
        "Australia/Lord_Howe",
        "15 2 * * *",
        "2026-10-03 12:00",
        &["2026-10-04 02:30 +11:00", "2026-10-05 02:15 +11:00"],
    ),
    (
        "Africa/Cairo",
        "0 0 * * *",
        "2026-04-23 12:00",
        &["2026-04-24 01:00 +03:00", "2026-04-25 00:00 +03:00"],
    ),
    // A repeated time is its first moment.
    (
        "Europe/Berlin",
        "30 2 * * *",
        "2026-10-24 12:00",
        &["2026-10-25 02:30 +02:00", "2026-10-26 02:30 +01:00"],
    ),
    (
        "America/New_York",
        "30 1 * * *",
        "2026-10-31 12:00",
        &["2026-11-01 01:30 -04:00", "2026-11-02 01:30 -05:00"],
    ),
    (
        "Australia/Lord_Howe",
        "45 1 * * *",
        "2026-04-04 12:00",
        &["2026-04-05 01:45 +11:00", "2026-04-06 01:45 +10:30"],
    ),
    // What runs in every hour follows the time that passes.
    (
        "Europe/Berlin",
        "0 * * * *",
        "2026-03-29 00:30",
        &["2026-03-29 01:00 +01:00", "2026-03-29 03:00 +02:00"],
    ),
    (
        "Europe/Berlin",
        "0 * * * *",
        "2026-10-25 01:30",
        &[
            "2026-10-25 02:00 +02:00",
            "2026-10-25 02:00 +01:00",
            "2026-10-25 03:00 +01:00",
        ],
    ),
    (
        "Australia/Lord_Howe",
        "*/30 * * * *",
        "2026-04-05 01:00",
        &[
            "2026-04-05 01:30 +11:00",
            "2026-04-05 01:30 +10:30",
            "2026-04-05 02:00 +10:30",
        ],
    ),
    // Samoa had no 30 December 2011.
    (
        "Pacific/Apia",
        "0 0 * * *",
        "2011-12-28 12:00",
        &[
            "2011-12-29 00:00 -10:00",
            "2011-12-31 00:00 +14:00",
            "2012-01-01 00:00 +14:00",
        ],
    ),
    (
        "Pacific/Apia",
        "0 12 * * *",
        "2011-12-29 00:00",
        &[
            "2011-12-29 12:00 -10:00",
            "2011-12-31 00:00 +14:00",
            "2011-12-31 12:00 +14:00",
        ],
    ),
    // Leap days; 2100 has none.
    (
        "UTC",
        "0 0 29 2 *",
        "2026-01-01",
        &["2028-02-29 00:00 +00:00", "2032-02-29 00:00 +00:00"],
    ),
    (
        "UTC",
        "0 0 29 2 *",
        "2096-03-01",
        &["2104-02-29 00:00 +00:00"],
    ),
    (
        "Asia/Kolkata",
        "30 5 31 * *",
        "2026-03-31 05:30",
        &["2026-05-31 05:30 +05:30"],
    ),
];

#[test]
fn the_table_of_named_cases() {
    for (zone, text, from, expected) in CASES {
        let found = after(&cron(text, zone), from, expected.len());
        assert_eq!(&found, expected, "`{text}` in {zone} after {from}");
    }
}

#[test]
fn the_rules_of_skipped_and_repeated_times() {
    let skip = SchedulePlan {
        dst_gap: DstGap::Skip,
        ..cron("30 2 * * *", "Europe/Berlin")
    };
    assert_eq!(
        after(&skip, "2026-03-28 12:00", 1),
        ["2026-03-30 02:30 +02:00"]
    );
    let noon = SchedulePlan {
        dst_gap: DstGap::Skip,
        ..cron("0 12 * * *", "Pacific/Apia")
    };
    assert_eq!(
        after(&noon, "2011-12-29 12:00", 1),
        ["2011-12-31 12:00 +14:00"]
    );
    let of = |dst_overlap| SchedulePlan {
        dst_overlap,
        ..cron("30 2 * * *", "Europe/Berlin")
    };
    let found = |dst_overlap| after(&of(dst_overlap), "2026-10-24 12:00", 2);
    assert_eq!(
        found(DstOverlap::Last),
        ["2026-10-25 02:30 +01:00", "2026-10-26 02:30 +01:00"]
    );
    assert_eq!(
        found(DstOverlap::Both),
        ["2026-10-25 02:30 +02:00", "2026-10-25 02:30 +01:00"]
    );
}

#[test]
fn a_local_day_has_23_24_or_25_hours() {
    let hours = |from: &str| -> Vec<i64> {
        let table = Timetable::new(&cron("@daily", "Europe/Berlin")).unwrap();
        let days = table.intervals(at(from, "Europe/Berlin")).take(3);
        days.map(|day| (day.end_us - day.start_us) / 3_600_000_000)
            .collect()
    };
    assert_eq!(hours("2026-03-28"), [24, 23, 24]);
    assert_eq!(hours("2026-10-24"), [24, 25, 24]);
}

#[test]
fn a_schedule_has_a_start_and_an_end() {
    let zone = "America/New_York";
    let plan = SchedulePlan {
        start_us: local_time_us("2026-01-01", zone).unwrap(),
        end_us: local_date_us("2026-01-03", zone).unwrap(),
        ..cron("@daily", zone)
    };
    let table = Timetable::new(&plan).unwrap();
    let day = |text: &str| at(text, zone);
    let expected = [
        ("2026-01-01", "2026-01-02"),
        ("2026-01-02", "2026-01-03"),
        ("2026-01-03", "2026-01-04"),
    ]
    .map(|(start, end)| Interval {
        start_us: day(start),
        end_us: day(end),
    });
    assert_eq!(
        table.intervals(day("2025-06-01")).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(table.next(day("2026-01-04")), None);
    assert_eq!(table.previous(day("2025-12-31")), None);
    let window = Interval {
        start_us: day("2026-01-01 12:00"),
        end_us: day("2026-01-03 12:00"),
    };
    assert_eq!(
        table.intervals_in(window).collect::<Vec<_>>(),
        expected[1..2]
    );
}

#[test]
fn fixed_intervals_count_from_the_start() {
    let plan = SchedulePlan {
        recurrence: Recurrence::EveryMs(90_000),
        start_us: Some(at("2026-01-01 00:00:10", "UTC")),
        ..cron("", "UTC")
    };
    assert_eq!(
        after(&plan, "2025-01-01", 3),
        [
            "2026-01-01 00:00:10 +00:00",
            "2026-01-01 00:01:40 +00:00",
            "2026-01-01 00:03:10 +00:00"
        ]
    );
    let table = Timetable::new(&plan).unwrap();
    let first = table.intervals(i64::MIN).next().unwrap();
    assert_eq!(first.end_us - first.start_us, 90_000_000);
    let without = SchedulePlan {
        start_us: None,
        ..plan
    };
    assert_eq!(
        after(&without, "2026-01-01 00:00:10", 2),
        ["2026-01-01 00:01:30 +00:00", "2026-01-01 00:03 +00:00"]
    );
}

#[test]
fn what_is_not_a_schedule_is_refused() {
    let error = |plan: SchedulePlan| Timetable::new(&plan).unwrap_err();
    assert_eq!(
        error(cron("0 2 * * *", "Europe/Berlni")),
        ScheduleError::Zone("Europe/Berlni".to_owned())
    );
    assert_eq!(
        error(cron("0 0 31 2 *", "UTC")),
        ScheduleError::Never("0 0 31 2 *".to_owned())
    );
    let short = SchedulePlan {
        recurrence: Recurrence::EveryMs(999),
        ..cron("", "UTC")
    };
    assert_eq!(error(short), ScheduleError::TooShort);
    assert_eq!(local_time_us("2026-13-01", "UTC"), Ok(None));
    assert_eq!(local_date_us("2026-01-01 06:00", "UTC"), Ok(None));
    assert!(zone_names().iter().any(|name| name == "Europe/Berlin"));
}
