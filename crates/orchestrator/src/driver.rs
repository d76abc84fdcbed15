//! Executes the commands of `decide`: first in the state store, then on the attempts, then for listeners.
//!
//! Promise: a change takes effect only after the state store has it. A process that lost its lease, or
//! whose change the state store refuses, stops all attempts at once and reports `Refused`. Dropping the
//! future drops all attempts, and the run can be resumed. Several workers may drive one run: each decides
//! with what all of them did, or the state store refuses its decision. The driver sleeps until an attempt
//! ends, a retry is due, the user stops it, its deadline comes, or the lease is lost; each second it reads
//! whether the run was asked to stop. It decides nothing. Read next: `following.rs` (what others did), `stopping.rs`, `decide.rs`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use towpath_ports::{
    AttemptEnd, Result, RunEvent, RunEventKind, RunRecord, RunStop, RunUpdate, RunUpdateResult,
    StateStore, System, TaskOutcome, TaskState, Transition,
};
use towpath_vocab::{Failure, PlannedPipeline, PlannedTask, TaskId};

use crate::attempt::{Attempt, AttemptSuccess, TaskExecutor};
use crate::decide::{DecisionContext, DriverCommand, DriverEvent, EndKind, decide};
use crate::error::RunError;
use crate::lease::keep;
use crate::notification::{DriveObserver, RunNotification};
use crate::reconnect::ReconnectLimit;
use crate::stopping::deadline;
use crate::view::RunView;

/// How often a run that waits for other workers polls the state store.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Everything a run needs.
pub struct RunSetup<'a> {
    /// The graph. Its tasks are those of the record, in the same order, with all parents.
    pub pipeline: &'a PlannedPipeline,
    /// The run, as `StateStore::open_run` returned it; for a worker that helps another one, as
    /// `StateStore::run` returns it.
    pub record: RunRecord,
    /// The state store.
    pub store: Arc<dyn StateStore>,
    /// Clock and random numbers.
    pub system: Arc<dyn System>,
    /// Executes the tasks.
    pub executor: Arc<dyn TaskExecutor>,
    /// Fires if the user asks to stop.
    pub cancel: CancellationToken,
    /// The name of this worker, as in `NewRun::worker` or `StateStore::register`.
    pub worker: String,
    /// As in `NewRun::lease_us`. The lease is renewed three times in this period.
    pub lease_us: i64,
    /// The time that attempts have to stop cleanly before they are dropped.
    pub grace: Duration,
    /// Gets the events of the run.
    pub observer: Arc<dyn DriveObserver>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct RunSummary {
    /// The run as it is in the state store now.
    pub record: RunRecord,
}

/// Drives a run to its end.
///
/// # Errors
/// R0705 if the graph does not fit the record, R0706 if this process lost the run, and those of the state
/// store. Failures of tasks are not errors: they are in the summary.
pub async fn drive(setup: RunSetup<'_>) -> Result<RunSummary> {
    let events = setup
        .store
        .events(&setup.record.name, &setup.record.environment, 0)
        .await?;
    let view = RunView::new(setup.pipeline, &setup.record, &retries_used(&events))?;
    let lost = keep(
        Arc::clone(&setup.store),
        Arc::clone(&setup.system),
        setup.record.name.clone(),
        setup.worker.clone(),
        Duration::from_micros(u64::try_from(setup.lease_us).unwrap_or(0)),
    );
    let mut lease = JoinSet::new();
    lease.spawn(lost);
    let deadline_us = deadline(&setup.record, &*setup.system);
    let mut driver = Driver::new(setup, view, deadline_us);
    driver.watch();
    let driven = driver.drive(&mut lease).await;
    if driven.is_err() {
        driver.stop_now().await;
    }
    driven?;
    Ok(driver.summary())
}

/// The number of retries of each task. Lost attempts have no such event, so they do not count.
fn retries_used(events: &[RunEvent]) -> HashMap<TaskId, u32> {
    let mut used = HashMap::new();
    for event in events
        .iter()
        .filter(|event| event.kind == RunEventKind::Task(TaskState::Retrying))
    {
        if let Some(task) = &event.task {
            *used.entry(task.clone()).or_insert(0) += 1;
        }
    }
    used
}

pub(crate) struct Driver {
    pub(crate) view: RunView,
    pub(crate) planned: Vec<Arc<PlannedTask>>,
    patience: Vec<Arc<ReconnectLimit>>,
    pub(crate) record: RunRecord,
    pub(crate) store: Arc<dyn StateStore>,
    pub(crate) system: Arc<dyn System>,
    pub(crate) executor: Arc<dyn TaskExecutor>,
    cancel: CancellationToken,
    pub(crate) worker: String,
    pub(crate) grace: Duration,
    observer: Arc<dyn DriveObserver>,
    stop: CancellationToken,
    attempts: JoinSet<Result<AttemptSuccess, Failure>>,
    positions: HashMap<Id, usize>,
    /// The attempts that run in this process, by task.
    pub(crate) here: HashMap<usize, AbortHandle>,
    pub(crate) drop_at_us: Option<u64>,
    deadline_us: Option<u64>,
    pub(crate) asked: JoinSet<RunStop>,
}

impl Driver {
    fn new(setup: RunSetup<'_>, view: RunView, deadline_us: Option<u64>) -> Self {
        let tasks = || setup.pipeline.tasks.iter();
        Self {
            view,
            planned: tasks().cloned().map(Arc::new).collect(),
            patience: tasks()
                .map(|task| Duration::from_millis(task.retry.reconnect_ms))
                .map(|limit| Arc::new(ReconnectLimit::new(limit)))
                .collect(),
            record: setup.record,
            store: setup.store,
            system: setup.system,
            executor: setup.executor,
            cancel: setup.cancel,
            worker: setup.worker,
            grace: setup.grace,
            observer: setup.observer,
            stop: CancellationToken::new(),
            attempts: JoinSet::new(),
            positions: HashMap::new(),
            here: HashMap::new(),
            drop_at_us: None,
            deadline_us,
            asked: JoinSet::new(),
        }
    }

    async fn drive(&mut self, lease: &mut JoinSet<Failure>) -> Result<()> {
        let done = self
            .record
            .tasks
            .iter()
            .filter(|task| task.state.is_final())
            .count();
        self.notify(RunNotification::Opened {
            tasks: self.record.tasks.len(),
            done,
        });
        // The worker that opened the run decides about every task; a helper only about undecided ones.
        let first = match self.record.worker == self.worker {
            true => DriverEvent::Opened,
            false => DriverEvent::Polled,
        };
        // One whose process died after its deadline, or long before it.
        let late = |at_us: u64| at_us <= self.system.monotonic_us();
        let first = match (&self.record.stop, self.deadline_us.is_some_and(late)) {
            // It was asked before this process began with it.
            (Some(stop), _) => {
                if stop.at_once {
                    self.no_more_time();
                }
                DriverEvent::Cancel
            }
            (None, true) => DriverEvent::Deadline,
            (None, false) => first,
        };
        self.step(first, AttemptEnd::default()).await?;
        while self.view.closed().is_none() {
            let (event, end) = tokio::select! {
                biased;
                Some(lost) = lease.join_next() => return Err(lost.unwrap_or_else(|_| self.lost("its renewal ended"))),
                () = self.cancel.cancelled(), if !self.view.cancelling() => (DriverEvent::Cancel, AttemptEnd::default()),
                Some(Ok(stop)) = self.asked.join_next() => match self.stops(stop) {
                    true => (DriverEvent::Cancel, AttemptEnd::default()),
                    false => continue,
                },
                () = until(&*self.system, self.deadline_us), if self.deadline_us.is_some() && !self.view.cancelling() => {
                    (DriverEvent::Deadline, AttemptEnd::default())
                }
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
                    (DriverEvent::Due, AttemptEnd::default())
                }
                () = self.system.sleep(POLL_INTERVAL), if self.waits_for_others() => {
                    self.store.reap().await?;
                    self.follow().await?;
                    (DriverEvent::Polled, AttemptEnd::default())
                }
            };
            self.step(event, end).await?;
        }
        Ok(())
    }

    /// True while there is work that this worker cannot do now.
    fn waits_for_others(&self) -> bool {
        let elsewhere = self.view.running() > self.here.len();
        let no_slot = !self.view.ready().is_empty() && self.view.running() < self.view.parallel();
        elsewhere || no_slot
    }

    /// Decides, stores the changes, and executes the commands. If other workers were faster, it follows
    /// them and decides again.
    async fn step(&mut self, event: DriverEvent, end: AttemptEnd) -> Result<()> {
        loop {
            let now = DecisionContext {
                us: self.system.now_us(),
                random: self.system.random(),
            };
            let commands = decide(&self.view, event, now);
            let change = self.change(&commands, event, &end, now.us);
            if change.transitions.is_empty() && change.claim == 0 {
                return self.act(&commands, event, &end, now.us).await;
            }
            fail::fail_point!("orchestrator::before_transition");
            let claims = match self.store.advance(change).await? {
                RunUpdateResult::Done { seq, claims } => {
                    self.record.seq = seq;
                    claims
                }
                RunUpdateResult::Behind(_) => {
                    self.follow().await?;
                    if self.view.closed().is_some() {
                        return Ok(());
                    }
                    continue;
                }
                RunUpdateResult::Refused => return Err(self.lost("another process changed it")),
            };
            fail::fail_point!("orchestrator::after_transition");
            self.act(&commands, event, &end, now.us).await?;
            for claim in claims {
                let position = self
                    .planned
                    .iter()
                    .position(|planned| planned.id == claim.task);
                if let Some(task) = position {
                    self.view.apply(&DriverCommand::Move {
                        task,
                        from: TaskState::Ready,
                        to: TaskState::Running,
                    });
                    self.moved(task, TaskState::Running, AttemptEnd::default(), now.us);
                }
            }
            return Ok(());
        }
    }

    /// Executes the commands, which the state store has now. Attempts begin with the claims, not here.
    async fn act(
        &mut self,
        commands: &[DriverCommand],
        event: DriverEvent,
        end: &AttemptEnd,
        now_us: i64,
    ) -> Result<()> {
        for command in commands {
            if starts(command) {
                continue;
            }
            self.view.apply(command);
            match command {
                DriverCommand::Move { task, from, to } => {
                    let end = self.end_of(event, (*task, *from, *to), end);
                    self.moved(*task, *to, end.unwrap_or_default(), now_us);
                }
                DriverCommand::RetryAt { task, at_us } => self.tell_retry(*task, *at_us),
                DriverCommand::StopAll { .. } => {
                    self.stop.cancel();
                    let grace_us = u64::try_from(self.grace.as_micros()).unwrap_or(u64::MAX);
                    self.drop_at_us = Some(self.system.monotonic_us().saturating_add(grace_us));
                    self.notify(RunNotification::Stopping {
                        running: self.view.running(),
                    });
                }
                DriverCommand::Close(state) => {
                    self.record.state = *state;
                    self.record.ended_us = Some(now_us);
                    fail::fail_point!("orchestrator::before_close");
                    let (run, environment) = (&self.record.name, &self.record.environment);
                    self.store
                        .close_run(run, environment, *state, &self.worker, now_us)
                        .await?;
                    self.record.seq += 1;
                    self.notify(RunNotification::Closed(*state));
                }
            }
        }
        Ok(())
    }

    /// The changes for the state store. A task that starts is claimed and not named in a change, because
    /// another worker may be faster, or its pool may have no free slot.
    fn change(
        &self,
        commands: &[DriverCommand],
        event: DriverEvent,
        end: &AttemptEnd,
        now_us: i64,
    ) -> RunUpdate {
        let due = |position: usize| {
            commands.iter().find_map(|command| match command {
                DriverCommand::RetryAt { task, at_us } if *task == position => Some(*at_us),
                _ => None,
            })
        };
        let mut transitions = Vec::new();
        for command in commands.iter().filter(|command| !starts(command)) {
            let DriverCommand::Move { task, from, to } = command else {
                continue;
            };
            let Some(record) = self.record.tasks.get(*task) else {
                continue;
            };
            transitions.push(Transition {
                run: self.record.name.clone(),
                environment: self.record.environment.clone(),
                task: record.id.clone(),
                from: *from,
                fence: record.fence,
                to: *to,
                now_us,
                due_us: due(*task).filter(|_| *to == TaskState::Retrying),
                end: self.end_of(event, (*task, *from, *to), end),
            });
        }
        let claim = commands.iter().filter(|command| starts(command)).count();
        RunUpdate {
            run: self.record.name.clone(),
            environment: self.record.environment.clone(),
            worker: self.worker.clone(),
            after_seq: Some(self.record.seq),
            transitions,
            claim: u32::try_from(claim).unwrap_or(u32::MAX),
            now_us,
        }
    }

    /// Applies a change that the state store has, and starts the attempt if it is one.
    pub(crate) fn moved(&mut self, position: usize, to: TaskState, end: AttemptEnd, now_us: i64) {
        let Some(record) = self.record.tasks.get_mut(position) else {
            return;
        };
        record.state = to;
        if to == TaskState::Running {
            record.attempt += 1;
            record.fence += 1;
            record.worker = Some(self.worker.clone());
            record.due_us = None;
            record.started_us = Some(now_us);
            record.ended_us = None;
            record.failure = None;
            record.outcome = TaskOutcome::Nothing;
            let started = RunNotification::Started {
                task: record.id.clone(),
                attempt: record.attempt,
            };
            self.notify(started);
            self.start(position);
        } else if to.is_final() || to == TaskState::Retrying {
            record.ended_us = Some(now_us);
            record.worker = None;
            record.failure = end.failure;
            record.outcome = end.outcome;
            record.fingerprint = end.fingerprint;
            let elapsed_us = record
                .started_us
                .map_or(0, |from_us| now_us.saturating_sub(from_us));
            let ended = RunNotification::Ended {
                task: record.id.clone(),
                state: to,
                outcome: record.outcome.clone(),
                failure: record.failure.clone(),
                elapsed_us: u64::try_from(elapsed_us).unwrap_or(0),
            };
            if to.is_final() {
                self.notify(ended);
            }
        }
    }

    pub(crate) fn start(&mut self, position: usize) {
        let (Some(task), Some(patience), Some(record)) = (
            self.planned.get(position),
            self.patience.get(position),
            self.record.tasks.get(position),
        ) else {
            return;
        };
        let attempt = Attempt {
            task: Arc::clone(task),
            number: record.attempt,
            cancel: self.stop.child_token(),
            executor: Arc::clone(&self.executor),
            system: Arc::clone(&self.system),
            grace: self.grace,
            patience: Arc::clone(patience),
            observer: Arc::clone(&self.observer),
        };
        let handle = self.attempts.spawn(attempt.make());
        self.positions.insert(handle.id(), position);
        self.here.insert(position, handle);
    }

    /// Drops the attempt of a task that belongs to another worker now.
    pub(crate) fn drop_attempt(&mut self, position: usize) {
        if let Some(handle) = self.here.remove(&position) {
            self.positions.remove(&handle.id());
            handle.abort();
        }
    }

    /// The report of an attempt as an event.
    fn ended(
        &mut self,
        ended: Result<(Id, Result<AttemptSuccess, Failure>), JoinError>,
    ) -> Option<(DriverEvent, AttemptEnd)> {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let task = self.positions.remove(&id)?;
        self.here.remove(&task);
        let id = self.planned.get(task)?.id.clone();
        let report = match ended {
            Ok((_, report)) => report,
            Err(error) if error.is_cancelled() => Err(RunError::Cancelled { task: id }.into()),
            Err(_) => Err(RunError::Panicked { task: id }.into()),
        };
        let (end, details) = match report {
            Ok(AttemptSuccess {
                unchanged,
                outcome,
                fingerprint,
            }) => {
                let end = if unchanged {
                    EndKind::Unchanged
                } else {
                    EndKind::Succeeded
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
                EndKind::Failed(failure.remedy),
                AttemptEnd {
                    failure: Some(self.because(task, failure)),
                    ..AttemptEnd::default()
                },
            ),
        };
        Some((DriverEvent::Ended { task, end }, details))
    }

    pub(crate) fn tell_retry(&self, position: usize, at_us: i64) {
        if let Some(record) = self.record.tasks.get(position) {
            self.notify(RunNotification::Retrying {
                task: record.id.clone(),
                at_us,
                failure: record.failure.clone(),
            });
        }
    }

    pub(crate) fn notify(&self, notification: RunNotification) {
        self.observer.notify(notification);
    }

    /// Drops all attempts, and waits until they have ended, but not longer than the grace period.
    async fn stop_now(&mut self) {
        self.stop.cancel();
        tokio::select! {
            () = self.attempts.shutdown() => {}
            () = self.system.sleep(self.grace) => {}
        }
    }

    pub(crate) fn lost(&self, detail: &str) -> Failure {
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

/// True if a command starts an attempt.
fn starts(command: &DriverCommand) -> bool {
    matches!(
        command,
        DriverCommand::Move {
            to: TaskState::Running,
            ..
        }
    )
}

/// True if this change ends the attempt of the event.
pub(crate) fn ends(event: DriverEvent, task: usize, from: TaskState) -> bool {
    matches!(event, DriverEvent::Ended { task: ended, .. } if ended == task)
        && from == TaskState::Running
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
