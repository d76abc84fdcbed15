//! The moments of a schedule, and the intervals between them.
//!
//! Promise: moments rise strictly; an interval goes from one moment to the next one, its start included
//! and its end not, so that intervals neither overlap nor leave anything out; it is due at its end. Nothing
//! begins before the start of the schedule or ends after its end. Read next: `zone.rs`.

use std::collections::VecDeque;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use towpath_vocab::{DstGap, DstOverlap, Interval, Recurrence, SchedulePlan};

use crate::cron::Cron;
use crate::error::ScheduleError;
use crate::zone::{moments, zone};

const DAY_US: i64 = 86_400_000_000;

/// So many days are searched for the next moment: 29 February is up to eight years away.
const SEARCHED_DAYS: i64 = 12 * 366;

/// A schedule that is ready to be asked.
#[derive(Clone, Debug)]
pub struct Timetable {
    times: Times,
    start_us: i64,
    end_us: i64,
}

/// Moments that were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// How many.
    pub moments: u64,
    /// The last of them.
    pub last_us: i64,
    /// False when more follow: the limit was reached.
    pub complete: bool,
}

#[derive(Clone, Debug)]
enum Times {
    Cron {
        cron: Cron,
        zone: TimeZone,
        gap: DstGap,
        overlap: DstOverlap,
    },
    Every {
        anchor_us: i64,
        every_us: i64,
    },
}

impl Timetable {
    /// Reads a schedule.
    ///
    /// # Errors
    /// What of it cannot be read, or never comes.
    pub fn new(plan: &SchedulePlan) -> Result<Self, ScheduleError> {
        let zone = zone(&plan.timezone)?;
        let times = match &plan.recurrence {
            Recurrence::Cron(text) => {
                let cron = Cron::parse(text)?;
                // A job that runs in every hour, or every few, follows the time that passes.
                let (gap, overlap) = match cron.fixed_hours {
                    true => (plan.dst_gap, plan.dst_overlap),
                    false => (DstGap::Skip, DstOverlap::Both),
                };
                Times::Cron {
                    cron,
                    zone,
                    gap,
                    overlap,
                }
            }
            Recurrence::EveryMs(every_ms) => {
                let every_us = i64::try_from(*every_ms)
                    .ok()
                    .and_then(|every_ms| every_ms.checked_mul(1000))
                    .unwrap_or(i64::MAX);
                if every_us < 1_000_000 {
                    return Err(ScheduleError::TooShort);
                }
                Times::Every {
                    anchor_us: plan.start_us.unwrap_or(0),
                    every_us,
                }
            }
        };
        let table = Self {
            times,
            start_us: plan.start_us.unwrap_or(i64::MIN),
            end_us: plan.end_us.unwrap_or(i64::MAX),
        };
        if let Recurrence::Cron(text) = &plan.recurrence
            && table.search(0).is_none()
        {
            return Err(ScheduleError::Never(text.clone()));
        }
        Ok(table)
    }

    /// True when its hours are listed, so that a change of the clock can skip or repeat one of them.
    pub fn has_fixed_hours(&self) -> bool {
        matches!(&self.times, Times::Cron { cron, .. } if cron.fixed_hours)
    }

    /// The first moment after this one.
    pub fn next(&self, after_us: i64) -> Option<i64> {
        let found = self.search(after_us.max(self.start_us.saturating_sub(1)))?;
        (found <= self.end_us).then_some(found)
    }

    /// The last moment that is not after this one.
    pub fn previous(&self, at_us: i64) -> Option<i64> {
        let at_us = at_us.min(self.end_us);
        let found = match &self.times {
            Times::Every {
                anchor_us,
                every_us,
            } => {
                let steps = at_us.checked_sub(*anchor_us)?.div_euclid(*every_us);
                anchor_us.checked_add(steps.checked_mul(*every_us)?)
            }
            Times::Cron { .. } => (0..SEARCHED_DAYS)
                .map(|day| at_us.saturating_sub(day * DAY_US))
                .take_while(|until| *until >= self.start_us)
                .find_map(|until| self.day(until.saturating_sub(DAY_US)).pop()),
        }?;
        (found >= self.start_us).then_some(found)
    }

    /// The moments after this one.
    pub fn moments(&self, after_us: i64) -> impl Iterator<Item = i64> + '_ {
        let mut last_us = after_us.max(self.start_us.saturating_sub(1));
        let mut known: VecDeque<i64> = VecDeque::new();
        std::iter::from_fn(move || {
            if known.is_empty() {
                known = match &self.times {
                    Times::Every { .. } => self.search(last_us).into_iter().collect(),
                    Times::Cron { .. } => self.first_day(last_us)?.into(),
                };
            }
            last_us = known.pop_front()?;
            (last_us <= self.end_us).then_some(last_us)
        })
        .fuse()
    }

    /// Counts the moments after one and until another, `most` of them at most; `None` when there are none.
    pub fn count(&self, after_us: i64, until_us: i64, most: u64) -> Option<Counted> {
        if let Times::Every { every_us, .. } = &self.times {
            let first_us = self.next(after_us).filter(|first| *first <= until_us)?;
            let last_us = self.previous(until_us)?;
            let steps = last_us.checked_sub(first_us)?.div_euclid(*every_us);
            return Some(Counted {
                moments: u64::try_from(steps).ok()?.saturating_add(1),
                last_us,
                complete: true,
            });
        }
        let mut counted: Option<Counted> = None;
        for last_us in self.moments(after_us).take_while(|us| *us <= until_us) {
            let moments = counted.map_or(0, |counted| counted.moments);
            if moments >= most {
                return counted.map(|counted| Counted {
                    complete: false,
                    ..counted
                });
            }
            counted = Some(Counted {
                moments: moments + 1,
                last_us,
                complete: true,
            });
        }
        counted
    }

    /// The intervals that are due after this moment, in their order.
    pub fn intervals(&self, after_us: i64) -> impl Iterator<Item = Interval> + '_ {
        let mut start = self.previous(after_us);
        self.moments(after_us).filter_map(move |end_us| {
            let start_us = start.replace(end_us)?;
            Some(Interval { start_us, end_us })
        })
    }

    /// The intervals that lie in a window as a whole: what a backfill of it runs.
    pub fn intervals_in(&self, window: Interval) -> impl Iterator<Item = Interval> + '_ {
        let first = self.intervals(window.start_us);
        first
            .skip_while(move |interval| interval.start_us < window.start_us)
            .take_while(move |interval| interval.end_us <= window.end_us)
    }

    /// The next moment, wherever the schedule starts and ends.
    fn search(&self, after_us: i64) -> Option<i64> {
        match &self.times {
            Times::Every {
                anchor_us,
                every_us,
            } => {
                let steps = after_us.checked_sub(*anchor_us)?.div_euclid(*every_us);
                anchor_us.checked_add(steps.checked_add(1)?.checked_mul(*every_us)?)
            }
            Times::Cron { .. } => self.first_day(after_us)?.first().copied(),
        }
    }

    /// The moments of the first day after this moment that has some.
    fn first_day(&self, after_us: i64) -> Option<Vec<i64>> {
        (0..SEARCHED_DAYS)
            .map(|day| self.day(after_us.saturating_add(day * DAY_US)))
            .find(|found| !found.is_empty())
    }

    /// The moments of the 24 hours after this moment, its end included.
    fn day(&self, after_us: i64) -> Vec<i64> {
        let Times::Cron {
            cron,
            zone,
            gap,
            overlap,
        } = &self.times
        else {
            return Vec::new();
        };
        let until_us = after_us.saturating_add(DAY_US);
        // A day more at both ends: a time that the clock moves may leave the local day it is named on.
        let dates = local_date(zone, after_us)
            .and_then(|date| date.yesterday().ok())
            .zip(local_date(zone, until_us).and_then(|date| date.tomorrow().ok()));
        let Some((first, last)) = dates else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for date in first.series(jiff::Span::new().days(1)) {
            if date > last {
                break;
            }
            if !cron.has_day(date) {
                continue;
            }
            for (hour, minute) in cron.times() {
                let local = date.at(hour, minute, 0, 0);
                let both = moments(zone, local, *gap, *overlap).into_iter().flatten();
                let both = both.map(Timestamp::as_microsecond);
                found
                    .extend(both.filter(|us| (after_us.saturating_add(1)..=until_us).contains(us)));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn local_date(zone: &TimeZone, us: i64) -> Option<Date> {
    let at = Timestamp::from_microsecond(us).ok()?;
    Some(zone.to_datetime(at).date())
}
