//! Schedules of many zones against a model that looks at every minute.
//!
//! Promise: the model shares nothing with the timetable but the zone's clock: it reads the local time of
//! each minute, one after the other, and sees by itself what was skipped and what was repeated. For tests
//! only. Read next: `timetable.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZoneDatabase;
use proptest::prelude::*;
use towpath_vocab::{DstGap, DstOverlap, Interval, Recurrence, SchedulePlan};

use crate::Timetable;
use crate::cron::Cron;
use crate::named_tests::cron;

const MINUTE_US: i64 = 60_000_000;

const ZONES: &[&str] = &[
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Havana",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "Asia/Beirut",
    "Asia/Gaza",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Antarctica/Troll",
];

const CRONS: &[&str] = &[
    "0 0 * * *",
    "30 2 * * *",
    "*/15 2 * * *",
    "0 1,2,3 * * *",
    "45 1-3 * * *",
    "0 * * * *",
    "*/30 * * * *",
    "15 */2 * * *",
    "59 23 * * 0",
    "0 0 28,29 2 *",
    "30 0 1 * MON",
    "* * * * *",
];

/// What the schedule gives in a window, found minute by minute.
fn model(plan: &SchedulePlan, text: &str, window: Interval) -> Vec<i64> {
    let cron = Cron::parse(text).unwrap();
    let zone = TimeZoneDatabase::bundled().get(&plan.timezone).unwrap();
    let local = |us: i64| zone.to_datetime(Timestamp::from_microsecond(us).unwrap());
    let times: HashSet<(i8, i8)> = cron.times().collect();
    let named = |at: DateTime| cron.has_day(at.date()) && times.contains(&(at.hour(), at.minute()));
    let minute = jiff::Span::new().minutes(1);
    let mut found = Vec::new();
    let mut seen: Vec<(DateTime, i64)> = Vec::new();
    // Early enough to know what is repeated and what was skipped.
    let mut us = window.start_us - 2 * 1440 * MINUTE_US;
    let mut before = local(us - MINUTE_US);
    while us < window.end_us {
        let now = local(us);
        let mut skipped = before + minute;
        while cron.fixed_hours && plan.dst_gap == DstGap::Shift && skipped < now {
            if named(skipped) {
                found.push(us);
            }
            skipped += minute;
        }
        if named(now) {
            let earlier = seen.iter().find(|(at, _)| *at == now).map(|(_, us)| *us);
            match (earlier, cron.fixed_hours, plan.dst_overlap) {
                (Some(_), true, DstOverlap::First) => {}
                (Some(earlier), true, DstOverlap::Last) => {
                    found.retain(|one| *one != earlier);
                    found.push(us);
                }
                _ => found.push(us),
            }
            seen.push((now, us));
            if seen.len() > 3000 {
                seen.drain(..1500);
            }
        }
        before = now;
        us += MINUTE_US;
    }
    found.dedup();
    found.retain(|us| (window.start_us..window.end_us).contains(us));
    found
}

fn plans() -> impl Strategy<Value = (SchedulePlan, &'static str)> {
    let gap = prop_oneof![Just(DstGap::Shift), Just(DstGap::Skip)];
    let overlap = prop_oneof![
        Just(DstOverlap::First),
        Just(DstOverlap::Last),
        Just(DstOverlap::Both)
    ];
    let zones = prop::sample::select(ZONES);
    let crons = prop::sample::select(CRONS);
    (zones, crons, gap, overlap).prop_map(|(zone, text, dst_gap, dst_overlap)| {
        let plan = SchedulePlan {
            dst_gap,
            dst_overlap,
            ..cron(text, zone)
        };
        (plan, text)
    })
}

/// Windows of three days around a change of the zone's clock, or anywhere.
fn windows(zone: &str, near: u32, around: bool) -> Interval {
    // 1990 to 2037.
    let base = 631_152_000 + i64::from(near % 17_500) * 86_400;
    let from = Timestamp::from_second(base).unwrap();
    let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
    let change = zone.following(from).next().map(|change| change.timestamp());
    let middle = change.filter(|_| around).unwrap_or(from);
    let middle_us = middle.as_second().div_euclid(60) * MINUTE_US;
    Interval {
        start_us: middle_us - 1440 * MINUTE_US,
        end_us: middle_us + 2 * 1440 * MINUTE_US,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn moments_are_those_of_the_model((plan, text) in plans(), near in any::<u32>(), around in any::<bool>()) {
        let window = windows(&plan.timezone, near, around);
        let table = Timetable::new(&plan).unwrap();
        let found: Vec<i64> = table
            .moments(window.start_us - 1)
            .take_while(|us| *us < window.end_us)
            .collect();
        prop_assert_eq!(&found, &model(&plan, text, window));
        // However it is asked, it answers the same.
        let mut stepped = Vec::new();
        let mut at = window.start_us - 1;
        while let Some(next) = table.next(at).filter(|us| *us < window.end_us).filter(|_| stepped.len() < 50) {
            prop_assert!(next > at);
            prop_assert_eq!(table.previous(next), Some(next));
            prop_assert_eq!(table.previous(next + MINUTE_US / 2), Some(next));
            stepped.push(next);
            at = next;
        }
        prop_assert_eq!(&stepped[..], &found[..stepped.len()]);
    }

    #[test]
    fn intervals_neither_overlap_nor_leave_out((plan, _) in plans(), near in any::<u32>()) {
        let window = windows(&plan.timezone, near, true);
        let table = Timetable::new(&plan).unwrap();
        let mut end = None;
        for interval in table.intervals(window.start_us).take(40) {
            prop_assert!(interval.start_us < interval.end_us);
            prop_assert!(end.is_none_or(|end| end == interval.start_us));
            prop_assert_eq!(table.previous(interval.end_us - 1), Some(interval.start_us));
            end = Some(interval.end_us);
        }
    }

    #[test]
    fn moments_are_counted_as_they_come((plan, _) in plans(), near in any::<u32>(), most in 1..60_u64) {
        let window = windows(&plan.timezone, near, true);
        let table = Timetable::new(&plan).unwrap();
        let all: Vec<i64> = table.moments(window.start_us).take_while(|us| *us <= window.end_us).collect();
        let counted = table.count(window.start_us, window.end_us, most);
        let moments = counted.map_or(0, |counted| counted.moments);
        let is_all = counted.is_none_or(|counted| counted.complete);
        prop_assert_eq!(is_all, moments == all.len() as u64);
        prop_assert!(is_all || moments == most);
        let last = moments.checked_sub(1).and_then(|last| all.get(last as usize).copied());
        prop_assert_eq!(counted.map(|counted| counted.last_us), last);
        let every = SchedulePlan { recurrence: Recurrence::EveryMs(most * 61_000), ..plan };
        let table = Timetable::new(&every).unwrap();
        let all: Vec<i64> = table.moments(window.start_us).take_while(|us| *us <= window.end_us).collect();
        let counted = table.count(window.start_us, window.end_us, 1).unwrap();
        prop_assert_eq!((counted.moments, Some(&counted.last_us)), (all.len() as u64, all.last()));
        prop_assert!(counted.complete);
    }

    #[test]
    fn a_daily_schedule_has_one_interval_a_day(zone in prop::sample::select(ZONES), hour in 0..24_u8, year in 2012..2037_i16) {
        let table = Timetable::new(&cron(&format!("20 {hour} * * *"), zone)).unwrap();
        let clock = TimeZoneDatabase::bundled().get(zone).unwrap();
        let noon = |year: i16| {
            let noon = jiff::civil::date(year, 1, 1).at(12, 0, 0, 0);
            clock.to_timestamp(noon).unwrap().as_microsecond()
        };
        let until = noon(year + 1);
        let days = if jiff::civil::date(year, 1, 1).in_leap_year() { 366 } else { 365 };
        prop_assert_eq!(table.moments(noon(year)).take_while(|us| *us <= until).count(), days);
    }
}
