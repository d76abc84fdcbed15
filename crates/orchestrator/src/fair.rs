//! Which pipeline gets a free slot first.
//!
//! Promise: what a schedule has due comes before every backfill; of either, no pipeline waits longer than one
//! run of each of the others, whatever their names and however many intervals they have to catch up. It knows no slots and begins nothing: the server does. Read next:
//! `scheduler.rs` (where the intervals come from).

use std::collections::BTreeMap;

use towpath_ports::ScheduledInterval;
use towpath_vocab::PipelineName;

/// When each pipeline had its last run here.
#[derive(Clone, Debug, Default)]
pub struct FairOrder {
    begun: BTreeMap<PipelineName, u64>,
    count: u64,
}

impl FairOrder {
    /// Sorts intervals of different pipelines: first the pipeline whose last run began longest ago, or that
    /// had none; of several the one whose interval was due first.
    pub fn sort(&self, next: &mut [ScheduledInterval]) {
        next.sort_by_cached_key(|one| {
            let begun = self.begun.get(&one.pipeline).copied().unwrap_or(0);
            let order = (begun, one.interval.end_us, one.pipeline.clone());
            (one.backfill.is_some(), order)
        });
    }

    /// A run of this pipeline begins.
    pub fn begins(&mut self, pipeline: &PipelineName) {
        self.count += 1;
        self.begun.insert(pipeline.clone(), self.count);
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
            order.begins(&next[0].pipeline);
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
        order.begins(&"live".into());
        let mut next = vec![filled, live];
        order.sort(&mut next);
        assert_eq!(next[0].pipeline.as_str(), "live");
    }

    #[test]
    fn a_backlog_starves_nobody() {
        let of = [("a", 10), ("b", 20), ("c", 30), ("z", 1_000_000)];
        let begun = slots(&of, 40);
        assert_eq!(begun.iter().filter(|name| *name == "z").count(), 10);
    }
}
