//! Decides about schedules again and again: reads, decides, writes with the fence.
//!
//! Promise: any number of schedulers may do this at once; the state store takes one decision about each
//! interval, and the others read it. Of two schedulers with different copies of a schedule the one that came
//! later decides. It begins no run: `tick` says which interval of each pipeline is next, and
//! `StateStore::open_run` gives it one run. Read next: `due.rs`, `fair.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;

use towpath_ports::{
    IntervalState, Result, ScheduleRecord, ScheduleRecords, ScheduledInterval, StateStore,
};
use towpath_vocab::{Environment, Failure, PipelineName, Remedy};

use crate::due::{ScheduledPipeline, due, next_due, removed};

/// How long two servers may need to read the same change of a project.
const SAME_CHANGE_US: i64 = 30_000_000;

/// A scheduler of one environment.
pub struct Scheduler {
    store: Arc<dyn StateStore>,
    environment: Environment,
    schedules: Vec<Followed>,
    /// Pipelines whose files cannot be read: their schedules stay as they are.
    unread: BTreeSet<PipelineName>,
    /// Whether schedules of the store that the project does not have were looked for.
    looked_for_removed: bool,
}

/// What is to be done after a decision.
#[derive(Clone, Debug, Default)]
pub struct Tick {
    /// Of each pipeline the first interval of its schedule that waits or runs, and the first one of a backfill,
    /// if both may begin.
    pub next: Vec<ScheduledInterval>,
    /// How long nothing will be due, in microseconds.
    pub idle_us: Option<i64>,
    /// What keeps a schedule from being decided; each of them comes once, until it is over or another one.
    pub failures: Vec<Failure>,
}

/// A schedule, and what is known about it here.
struct Followed {
    scheduled: ScheduledPipeline,
    /// The store has had this schedule. If it has another one then, somebody came later.
    was_in_force: bool,
    /// Since when the store has another one.
    replaced_us: Option<i64>,
    /// The fence of the record and a moment: with this fence nothing is due before it.
    rests_until: Option<(u64, i64)>,
    /// What was reported last.
    reported: Option<(String, String)>,
}

impl Scheduler {
    /// A scheduler of these pipelines.
    pub fn new(
        store: Arc<dyn StateStore>,
        environment: Environment,
        pipelines: Vec<ScheduledPipeline>,
    ) -> Self {
        let mut scheduler = Self {
            store,
            environment,
            schedules: Vec::new(),
            unread: BTreeSet::new(),
            looked_for_removed: false,
        };
        scheduler.replace(pipelines, BTreeSet::new());
        scheduler
    }

    /// The project was read again: a schedule that has changed is the later copy of it. Pipelines whose files
    /// cannot be read keep their schedules.
    pub fn replace(&mut self, pipelines: Vec<ScheduledPipeline>, unread: BTreeSet<PipelineName>) {
        let mut before = std::mem::take(&mut self.schedules);
        for scheduled in pipelines {
            let is_same = |one: &Followed| {
                one.scheduled.pipeline == scheduled.pipeline && one.scheduled.plan == scheduled.plan
            };
            let same = before.iter().position(is_same);
            self.schedules.push(match same {
                Some(same) => before.swap_remove(same),
                None => Followed {
                    scheduled,
                    was_in_force: false,
                    replaced_us: None,
                    rests_until: None,
                    reported: None,
                },
            });
        }
        before.retain(|one| unread.contains(&one.scheduled.pipeline));
        self.schedules.extend(before);
        self.unread = unread;
        self.looked_for_removed = false;
    }

    /// Decides what is due by the store's clock.
    ///
    /// # Errors
    /// Those of the state store that concern all schedules; what was decided before stays.
    pub async fn tick(&mut self) -> Result<Tick> {
        let mut found = self.store.schedules(&self.environment).await?;
        let mut tick = Tick::default();
        let mut changed = false;
        for one in &mut self.schedules {
            let name = &one.scheduled.pipeline;
            let unreadable = found.unreadable.iter().find(|(other, _)| other == name);
            let step = match unreadable {
                Some((_, failure)) => Err(failure.clone()),
                None => {
                    let record = found
                        .schedules
                        .iter()
                        .find(|record| record.pipeline == *name);
                    one.step(&*self.store, record, found.now_us).await
                }
            };
            match step {
                Ok(written) => {
                    changed |= written;
                    one.reported = None;
                }
                Err(failure) => tick.failures.extend(one.report(failure)),
            }
        }
        if !self.looked_for_removed {
            changed |= self.remove(&found).await?;
            self.looked_for_removed = true;
        }
        if changed {
            found = self.store.schedules(&self.environment).await?;
        }
        self.store.end_cancelled_runs(&self.environment).await?;
        let open = found.schedules.into_iter();
        let open = open.filter(|record| self.has(&record.pipeline) && record.paused.is_none());
        let live = open.filter_map(|record| record.open.into_iter().next());
        let backfills = self.store.next_backfills(&self.environment).await?;
        tick.next = with_backfills(live.collect(), backfills);
        let moments = self.schedules.iter().filter_map(|one| one.rests_until);
        let first = moments.map(|(_, until)| until).min();
        tick.idle_us = first.map(|first| first.saturating_sub(found.now_us));
        Ok(tick)
    }

    fn has(&self, pipeline: &PipelineName) -> bool {
        let mut schedules = self.schedules.iter();
        schedules.any(|known| known.scheduled.pipeline == *pipeline)
    }

    /// Ends the schedules that the project does not have any more; true when there were some.
    async fn remove(&self, found: &ScheduleRecords) -> Result<bool> {
        let mut changed = false;
        for record in &found.schedules {
            if self.has(&record.pipeline) || self.unread.contains(&record.pipeline) {
                continue;
            }
            if let Some(update) = removed(record, found.now_us) {
                changed |= self.store.update_schedule(update).await?;
            }
        }
        Ok(changed)
    }
}

impl Followed {
    /// Decides about one schedule; true when something was written, by us or by another scheduler.
    async fn step(
        &mut self,
        store: &dyn StateStore,
        record: Option<&ScheduleRecord>,
        now_us: i64,
    ) -> Result<bool> {
        let ours = record.is_some_and(|record| {
            record.plan == self.scheduled.plan && record.removed_us.is_none()
        });
        if record.is_some() && !ours && self.was_in_force {
            self.rests_until = None;
            let since_us = *self.replaced_us.get_or_insert(now_us);
            return match now_us.saturating_sub(since_us) < SAME_CHANGE_US {
                true => Ok(false),
                false => Err(newer_elsewhere(&self.scheduled.pipeline)),
            };
        }
        self.replaced_us = None;
        self.was_in_force |= ours;
        let rests = |record: &ScheduleRecord| {
            let rests = self.rests_until;
            rests.is_some_and(|(fence, until)| ours && fence == record.fence && now_us < until)
        };
        if record.is_some_and(rests) {
            return Ok(false);
        }
        let Some(update) = due(&self.scheduled, record, now_us) else {
            self.rests_until = record.and_then(|record| {
                let next = next_due(&self.scheduled, record).unwrap_or(i64::MAX);
                // One that waits for room is due, although nothing can be decided.
                (next > now_us).then_some((record.fence, next))
            });
            return Ok(false);
        };
        self.rests_until = None;
        let plan = update.plan.clone();
        fail::fail_point!("orchestrator::before_schedule");
        let taken = store.update_schedule(update).await?;
        fail::fail_point!("orchestrator::after_schedule");
        self.was_in_force |= taken && plan == self.scheduled.plan;
        Ok(true)
    }

    /// The failure, if it was not reported yet.
    fn report(&mut self, failure: Failure) -> Option<Failure> {
        let known = (failure.code.clone(), failure.message.clone());
        let reported = self.reported.as_ref() == Some(&known);
        self.reported = Some(known);
        (!reported).then_some(failure)
    }
}

/// Of each pipeline one interval of its schedule and one of a backfill. Where a run of one of them has begun, only
/// that one: a run that was interrupted or stopped goes on before another one takes its place.
fn with_backfills(
    mut live: Vec<ScheduledInterval>,
    backfills: Vec<ScheduledInterval>,
) -> Vec<ScheduledInterval> {
    let schedules = live.len();
    for one in backfills {
        let mut open = live.iter().take(schedules);
        match open.position(|open| open.pipeline == one.pipeline) {
            None => live.push(one),
            Some(place) if one.state == IntervalState::Running => {
                if let Some(open) = live.get_mut(place) {
                    *open = one;
                }
            }
            Some(place) => {
                let waits = |open: &ScheduledInterval| {
                    open.state == IntervalState::Waiting && open.run.is_none()
                };
                if live.get(place).is_some_and(waits) {
                    live.push(one);
                }
            }
        }
    }
    live
}

fn newer_elsewhere(pipeline: &PipelineName) -> Failure {
    let message = format!(
        "the schedule of `{pipeline}` is decided by a server that started later, with another copy of it"
    );
    Failure::new("R0714", Remedy::Refused, message)
        .help("give all servers the same project, then start this one again")
        .help("this server still begins the runs that are due")
}
