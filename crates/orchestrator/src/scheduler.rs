//! Decides about schedules again and again: reads, decides, writes with the fence.
//!
//! Promise: any number of schedulers may do this at once; the state store takes one decision about each
//! interval, and the others read it. It begins no run: `tick` says which interval of each pipeline is next,
//! and `StateStore::open_run` gives it one run. Read next: `due.rs`.

use std::sync::Arc;

use towpath_ports::{Result, ScheduledInterval, StateStore};
use towpath_vocab::Environment;

use crate::due::{ScheduledPipeline, due};

/// A scheduler of one environment.
pub struct Scheduler {
    store: Arc<dyn StateStore>,
    environment: Environment,
    pipelines: Vec<ScheduledPipeline>,
}

/// What is to be done after a decision.
#[derive(Clone, Debug, Default)]
pub struct Tick {
    /// Of each pipeline the first interval that waits or runs.
    pub next: Vec<ScheduledInterval>,
    /// How long nothing will be due, in microseconds.
    pub idle_us: Option<i64>,
}

impl Scheduler {
    /// A scheduler of these pipelines.
    pub fn new(
        store: Arc<dyn StateStore>,
        environment: Environment,
        pipelines: Vec<ScheduledPipeline>,
    ) -> Self {
        Self {
            store,
            environment,
            pipelines,
        }
    }

    /// Decides what is due by the store's clock.
    ///
    /// # Errors
    /// Those of the state store; what was decided before stays.
    pub async fn tick(&self) -> Result<Tick> {
        let mut found = self.store.schedules(&self.environment).await?;
        let mut changed = false;
        for scheduled in &self.pipelines {
            let mut records = found.schedules.iter();
            let record = records.find(|one| one.pipeline == scheduled.pipeline);
            if let Some(update) = due(scheduled, record, found.now_us) {
                fail::fail_point!("orchestrator::before_schedule");
                self.store.update_schedule(update).await?;
                fail::fail_point!("orchestrator::after_schedule");
                changed = true;
            }
        }
        if changed {
            found = self.store.schedules(&self.environment).await?;
        }
        let ours = |one: &ScheduledInterval| {
            let mut pipelines = self.pipelines.iter();
            pipelines.any(|known| known.pipeline == one.pipeline)
        };
        let open = found.schedules.into_iter();
        let next = open
            .filter_map(|record| record.open.into_iter().next())
            .filter(ours);
        let moments = self.pipelines.iter();
        let first = moments.filter_map(|one| one.table.next(found.now_us)).min();
        Ok(Tick {
            next: next.collect(),
            idle_us: first.map(|first| first.saturating_sub(found.now_us)),
        })
    }
}
