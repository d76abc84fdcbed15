//! Which pipeline gets a free slot first.
//!
//! Promise: what a schedule has due comes before every backfill, but of five slots that become free while a
//! backfill waits, one is for it; of either, no pipeline waits longer than one run of each of the others, whatever
//! their names and however many intervals they have to catch up. It knows no slots and begins nothing: the
//! server does. Read next: `scheduler.rs` (where the intervals come from).

use std::collections::BTreeMap;

use towpath_ports::ScheduledInterval;
use towpath_vocab::PipelineName;

/// After so many runs of schedules, a backfill that waits comes first.
const SCHEDULED_PER_BACKFILL: u64 = 4;

/// When each pipeline had its last run here.
#[derive(Clone, Debug, Default)]
pub struct FairOrder {
    begun: BTreeMap<PipelineName, u64>,
    count: u64,
    /// How many runs of schedules have begun while a backfill waited, since the last run of a backfill.
    passed: u64,
    backfill_waits: bool,
}

impl FairOrder {
    /// Sorts intervals: first the pipeline whose last run began longest ago, or that had none; of several the
    /// one whose interval was due first.
    pub fn sort(&mut self, next: &mut [ScheduledInterval]) {
        self.backfill_waits = next.iter().any(|one| one.backfill.is_some());
        if !self.backfill_waits {
            self.passed = 0;
        }
        let backfill_first = self.passed >= SCHEDULED_PER_BACKFILL;
        next.sort_by_cached_key(|one| {
            let begun = self.begun.get(&one.pipeline).copied().unwrap_or(0);
            let order = (begun, one.interval.end_us, one.pipeline.clone());
            (one.backfill.is_some() != backfill_first, order)
        });
    }

    /// The run of this interval begins.
    pub fn begins(&mut self, one: &ScheduledInterval) {
        self.count += 1;
        self.begun.insert(one.pipeline.clone(), self.count);
        match one.backfill {
            Some(_) => self.passed = 0,
            None if self.backfill_waits => self.passed += 1,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use towpath_ports::IntervalState;
    use towpath_vocab::Interval;

    use super::*;

    fn due(pipeline: &str, end_us: i64) -> ScheduledInterval {
        ScheduledInterval {
            pipeline: pipeline.into(),
            interval: Interval {
                start_us: end_us - 10,
                end_us,
            },
            state: IntervalState::Waiting,
            reason: None,
            intervals: 1,
            run: None,
            backfill: None,
        }
    }

    /// The pipelines that get the next slots, one slot at a time; all of them always have something due.
    fn slots(of: &[(&str, i64)], count: usize) -> Vec<String> {
        let mut order = FairOrder::default();
        let mut next: Vec<_> = of.iter().map(|(name, end_us)| due(name, *end_us)).collect();
        let mut begun = Vec::new();
        for _ in 0..count {
            order.sort(&mut next);
            order.begins(&next[0]);
            begun.push(next[0].pipeline.to_string());
            // The next interval of a backlog was due long ago, too.
            next[0].interval.end_us += 10;
        }
        begun
    }

    #[test]
    fn the_oldest_is_first_and_then_each_in_its_order() {
        let of = [("a", 500), ("b", 20), ("c", 900)];
        assert_eq!(slots(&of, 7), ["b", "a", "c", "b", "a", "c", "b"]);
    }

    #[test]
    fn a_schedule_comes_before_every_backfill() {
        let mut order = FairOrder::default();
        let (live, filled) = (due("live", 900), due("filled", 10));
        let filled = ScheduledInterval {
            backfill: Some(1),
            ..filled
        };
        order.begins(&live);
        let mut next = vec![filled, live];
        order.sort(&mut next);
        assert_eq!(next[0].pipeline.as_str(), "live");
    }

    /// With one slot, schedules that always have something due leave every fifth run to a backfill.
    #[test]
    fn a_backfill_gets_its_share_and_no_more() {
        let mut order = FairOrder::default();
        let mut next = vec![due("a", 10), due("b", 20), due("c", 30)];
        next.push(ScheduledInterval {
            backfill: Some(1),
            ..due("a", 5)
        });
        let mut begun = Vec::new();
        for _ in 0..15 {
            order.sort(&mut next);
            order.begins(&next[0]);
            begun.push(next[0].backfill.is_some());
            next[0].interval.end_us += 10;
        }
        let places = begun.iter().enumerate().filter(|(_, filled)| **filled);
        assert_eq!(
            places.map(|(place, _)| place).collect::<Vec<_>>(),
            [4, 9, 14]
        );
        // One that comes later does not come at once.
        next.retain(|one| one.backfill.is_none());
        for _ in 0..9 {
            order.sort(&mut next);
            order.begins(&next[0]);
        }
        next.push(ScheduledInterval {
            backfill: Some(2),
            ..due("d", 5)
        });
        order.sort(&mut next);
        assert_eq!(next[0].backfill, None);
    }

    #[test]
    fn a_backlog_starves_nobody() {
        let of = [("a", 10), ("b", 20), ("c", 30), ("z", 1_000_000)];
        let begun = slots(&of, 40);
        assert_eq!(begun.iter().filter(|name| *name == "z").count(), 10);
    }
}
