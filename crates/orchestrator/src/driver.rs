//! Carries out what `decide` says: the state store first, then the attempts, then whoever watches.
//!
//! Promise: no change is acted on before the state store holds it; a process that lost its lease, or whose
//! change the state store refuses, stops every attempt at once and reports `Refused`; dropping the future
//! drops every attempt, and the run can be resumed. It polls nothing: it sleeps until an attempt
//! ends, a retry is due, the user stops it, or the lease is lost. It decides nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use towpath_ports::{
    AttemptEnd, Result, RunEvent, RunRecord, StateStore, System, TaskState, Transition,
};
use towpath_vocab::{Failure, PlannedPipeline, PlannedTask, TaskId};

use crate::attempt::{Attempt, AttemptOutcome, TaskWork};
use crate::decide::{Command, End, Event, Now, decide};
use crate::error::RunError;
use crate::lease::keep;
use crate::news::{RunNews, RunSink};
use crate::view::RunView;

/// Everything a run needs.
pub struct RunSetup<'a> {
    /// The graph; its tasks are those of the record, in the same order, and every task that is waited
    /// for is among them.
    pub pipeline: &'a PlannedPipeline,
    /// The run, as `StateStore::open_run` began or resumed it.
    pub record: RunRecord,
    /// The state store.
    pub store: Arc<dyn StateStore>,
    /// Clock and chance.
    pub system: Arc<dyn System>,
    /// Does the work of tasks.
    pub work: Arc<dyn TaskWork>,
    /// Fires when the user asks to stop.
    pub cancel: CancellationToken,
    /// This process, as `NewRun::worker` named it.
    pub worker: String,
    /// As in `NewRun::lease_us`. Renewed three times as often.
    pub lease_us: i64,
    /// How long attempts have to stop cleanly before they are dropped.
    pub grace: Duration,
    /// Hears what happens.
    pub sink: Arc<dyn RunSink>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct RunSummary {
    /// The run as the state store holds it now.
    pub record: RunRecord,
}

/// Carries a run to its end.
///
/// # Errors
/// R0705 when graph and record do not fit, R0706 when this process lost its hold on the run, and
/// whatever the state store reports. Failures of tasks are no errors: they are in the summary.
pub async fn drive(setup: RunSetup<'_>) -> Result<RunSummary> {
    let history = setup
        .store
        .events(&setup.record.name, &setup.record.environment, 0)
        .await?;
    let view = RunView::new(setup.pipeline, &setup.record, &retries_used(&history))?;
    let lost = keep(
        Arc::clone(&setup.store),
        Arc::clone(&setup.system),
        setup.record.name.clone(),
        setup.worker.clone(),
        Duration::from_micros(u64::try_from(setup.lease_us).unwrap_or(0)),
    );
    let mut lease = JoinSet::new();
    lease.spawn(lost);
    let mut driver = Driver::new(setup, view);
    let driven = driver.drive(&mut lease).await;
    if driven.is_err() {
        driver.stop_now().await;
    }
    driven?;
    Ok(driver.summary())
}

/// Attempts that were tried again, by task. Lost ones left no such line, so they do not count.
fn retries_used(history: &[RunEvent]) -> HashMap<TaskId, u32> {
    let mut used = HashMap::new();
    for event in history
        .iter()
        .filter(|event| event.kind == "retry_scheduled")
    {
        if let Some(task) = &event.task {
            *used.entry(task.clone()).or_insert(0) += 1;
        }
    }
    used
}

struct Driver {
    view: RunView,
    planned: Vec<Arc<PlannedTask>>,
    record: RunRecord,
    store: Arc<dyn StateStore>,
    system: Arc<dyn System>,
    work: Arc<dyn TaskWork>,
    cancel: CancellationToken,
    grace: Duration,
    sink: Arc<dyn RunSink>,
    stop: CancellationToken,
    attempts: JoinSet<Result<AttemptOutcome, Failure>>,
    positions: HashMap<Id, usize>,
    drop_at_us: Option<u64>,
}

impl Driver {
    fn new(setup: RunSetup<'_>, view: RunView) -> Self {
        Self {
            view,
            planned: setup.pipeline.tasks.iter().cloned().map(Arc::new).collect(),
            record: setup.record,
            store: setup.store,
            system: setup.system,
            work: setup.work,
            cancel: setup.cancel,
            grace: setup.grace,
            sink: setup.sink,
            stop: CancellationToken::new(),
            attempts: JoinSet::new(),
            positions: HashMap::new(),
            drop_at_us: None,
        }
    }

    async fn drive(&mut self, lease: &mut JoinSet<Failure>) -> Result<()> {
        let done = self
            .record
            .tasks
            .iter()
            .filter(|task| task.state.is_final())
            .count();
        self.tell(RunNews::Opened {
            tasks: self.record.tasks.len(),
            done,
        });
        self.step(Event::Opened, AttemptEnd::default()).await?;
        while self.view.closed().is_none() {
            let (event, end) = tokio::select! {
                biased;
                Some(lost) = lease.join_next() => return Err(lost.unwrap_or_else(|_| self.lost("its renewal ended"))),
                () = self.cancel.cancelled(), if !self.view.cancelling() => (Event::Cancel, AttemptEnd::default()),
                Some(ended) = self.attempts.join_next_with_id() => match self.ended(ended) {
                    Some(ended) => ended,
                    None => continue,
                },
                () = until(&*self.system, self.drop_at_us), if self.drop_at_us.is_some() => {
                    self.attempts.abort_all();
                    self.drop_at_us = None;
                    continue;
                }
                () = due(&*self.system, self.view.next_due_us()), if self.view.next_due_us().is_some() => {
                    (Event::Due, AttemptEnd::default())
                }
            };
            self.step(event, end).await?;
        }
        Ok(())
    }

    /// Decides, writes, acts.
    async fn step(&mut self, event: Event, end: AttemptEnd) -> Result<()> {
        let now = Now {
            us: self.system.now_us(),
            random: self.system.random(),
        };
        let commands = decide(&self.view, event, now);
        let transitions = self.transitions(&commands, event, &end, now.us);
        if !transitions.is_empty() {
            fail::fail_point!("orchestrator::before_transition");
            if !self.store.transition_all(transitions).await? {
                return Err(self.lost("another process changed it"));
            }
            fail::fail_point!("orchestrator::after_transition");
        }
        for command in &commands {
            self.view.apply(command);
            match command {
                Command::Move { task, from, to } => {
                    let end = if ends(event, *task, *from) {
                        end.clone()
                    } else {
                        AttemptEnd::default()
                    };
                    self.moved(*task, *to, end, now.us);
                }
                Command::RetryAt { task, at_us } => self.tell_retry(*task, *at_us),
                Command::StopAll => {
                    self.stop.cancel();
                    let grace_us = u64::try_from(self.grace.as_micros()).unwrap_or(u64::MAX);
                    self.drop_at_us = Some(self.system.monotonic_us().saturating_add(grace_us));
                    self.tell(RunNews::Stopping {
                        running: self.view.running(),
                    });
                }
                Command::Close(state) => {
                    self.record.state = *state;
                    self.record.ended_us = Some(now.us);
                    fail::fail_point!("orchestrator::before_close");
                    self.store
                        .close_run(&self.record.name, &self.record.environment, *state, now.us)
                        .await?;
                    self.tell(RunNews::Closed(*state));
                }
            }
        }
        Ok(())
    }

    /// The changes for the state store, each with the fence the one before it leaves behind.
    fn transitions(
        &self,
        commands: &[Command],
        event: Event,
        end: &AttemptEnd,
        now_us: i64,
    ) -> Vec<Transition> {
        let mut raised: HashMap<usize, u64> = HashMap::new();
        let mut transitions = Vec::new();
        for command in commands {
            let Command::Move { task, from, to } = command else {
                continue;
            };
            let Some(record) = self.record.tasks.get(*task) else {
                continue;
            };
            let fence = raised.entry(*task).or_insert(record.fence);
            transitions.push(Transition {
                run: self.record.name.clone(),
                environment: self.record.environment.clone(),
                task: record.id.clone(),
                from: *from,
                fence: *fence,
                to: *to,
                now_us,
                end: ends(event, *task, *from).then(|| end.clone()),
            });
            if *to == TaskState::Running {
                *fence += 1;
            }
        }
        transitions
    }

    /// The state store holds this change: follow it, and start the attempt if it is one.
    fn moved(&mut self, position: usize, to: TaskState, end: AttemptEnd, now_us: i64) {
        let Some(record) = self.record.tasks.get_mut(position) else {
            return;
        };
        record.state = to;
        if to == TaskState::Running {
            record.attempt += 1;
            record.fence += 1;
            record.started_us = Some(now_us);
            record.ended_us = None;
            record.failure = None;
            record.outcome = serde_json::Value::Null;
            let started = RunNews::Started {
                task: record.id.clone(),
                attempt: record.attempt,
            };
            self.tell(started);
            self.start(position);
        } else if to.is_final() || to == TaskState::Retrying {
            record.ended_us = Some(now_us);
            record.failure = end.failure;
            record.outcome = end.outcome;
            record.fingerprint = end.fingerprint;
            let elapsed_us = record
                .started_us
                .map_or(0, |from_us| now_us.saturating_sub(from_us));
            let ended = RunNews::Ended {
                task: record.id.clone(),
                state: to,
                outcome: record.outcome.clone(),
                failure: record.failure.clone(),
                elapsed_us: u64::try_from(elapsed_us).unwrap_or(0),
            };
            if to.is_final() {
                self.tell(ended);
            }
        }
    }

    fn start(&mut self, position: usize) {
        let (Some(task), Some(record)) =
            (self.planned.get(position), self.record.tasks.get(position))
        else {
            return;
        };
        let attempt = Attempt {
            task: Arc::clone(task),
            number: record.attempt,
            cancel: self.stop.child_token(),
            work: Arc::clone(&self.work),
            system: Arc::clone(&self.system),
            grace: self.grace,
        };
        let handle = self.attempts.spawn(attempt.make());
        self.positions.insert(handle.id(), position);
    }

    /// What an attempt reports, as an event.
    fn ended(
        &mut self,
        ended: Result<(Id, Result<AttemptOutcome, Failure>), JoinError>,
    ) -> Option<(Event, AttemptEnd)> {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let task = self.positions.remove(&id)?;
        let id = self.planned.get(task)?.id.clone();
        let report = match ended {
            Ok((_, report)) => report,
            Err(error) if error.is_cancelled() => Err(RunError::Cancelled { task: id }.into()),
            Err(_) => Err(RunError::Panicked { task: id }.into()),
        };
        let (end, details) = match report {
            Ok(AttemptOutcome {
                unchanged,
                outcome,
                fingerprint,
            }) => {
                let end = if unchanged {
                    End::Unchanged
                } else {
                    End::Succeeded
                };
                (
                    end,
                    AttemptEnd {
                        failure: None,
                        outcome,
                        fingerprint,
                    },
                )
            }
            Err(failure) => (
                End::Failed(failure.remedy),
                AttemptEnd {
                    failure: Some(failure),
                    ..AttemptEnd::default()
                },
            ),
        };
        Some((Event::Ended { task, end }, details))
    }

    fn tell_retry(&self, position: usize, at_us: i64) {
        if let Some(record) = self.record.tasks.get(position) {
            self.tell(RunNews::Retrying {
                task: record.id.clone(),
                at_us,
                failure: record.failure.clone(),
            });
        }
    }

    fn tell(&self, news: RunNews) {
        self.sink.tell(news);
    }

    /// Drops every attempt and waits, for the grace time at most, until they are gone.
    async fn stop_now(&mut self) {
        self.stop.cancel();
        tokio::select! {
            () = self.attempts.shutdown() => {}
            () = self.system.sleep(self.grace) => {}
        }
    }

    fn lost(&self, detail: &str) -> Failure {
        RunError::Lost {
            run: self.record.name.clone(),
            detail: detail.to_owned(),
        }
        .into()
    }

    fn summary(self) -> RunSummary {
        RunSummary {
            record: self.record,
        }
    }
}

/// True when this move is the one that ends the attempt the event is about.
fn ends(event: Event, task: usize, from: TaskState) -> bool {
    matches!(event, Event::Ended { task: ended, .. } if ended == task) && from == TaskState::Running
}

async fn until(system: &dyn System, at_us: Option<u64>) {
    let left_us = at_us.unwrap_or(0).saturating_sub(system.monotonic_us());
    system.sleep(Duration::from_micros(left_us)).await;
}

async fn due(system: &dyn System, at_us: Option<i64>) {
    let left_us = at_us.unwrap_or(0).saturating_sub(system.now_us());
    system
        .sleep(Duration::from_micros(u64::try_from(left_us).unwrap_or(0)))
        .await;
}
