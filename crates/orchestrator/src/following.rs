//! Copies what other workers did with a run into this worker's view.
//!
//! Promise: afterwards the view and the record are the state of the store at one moment. If a task was
//! given to another worker, its attempt here is dropped. If another process took the run over, the run is
//! reported as lost. It decides nothing and writes nothing. Read next: `driver.rs`.

use std::collections::HashMap;

use towpath_ports::{Result, RunEvent, RunEventKind, RunRecord, RunState, TaskState};
use towpath_vocab::TaskId;

use crate::decide::DriverCommand;
use crate::driver::Driver;
use crate::notification::RunNotification;

impl Driver {
    /// Applies the changes since the last event that is known here.
    pub(crate) async fn follow(&mut self) -> Result<()> {
        let (name, environment) = (&self.record.name, &self.record.environment);
        let Some(now) = self.store.run(name, environment).await? else {
            return Err(self.lost("it is no longer in the state store"));
        };
        if now.worker != self.record.worker || now.state == RunState::Superseded {
            return Err(self.lost("another process changed it"));
        }
        let events = self
            .store
            .events(name, environment, self.record.seq)
            .await?;
        let positions: HashMap<TaskId, usize> = now
            .tasks
            .iter()
            .enumerate()
            .map(|(position, task)| (task.id.clone(), position))
            .collect();
        for event in events.iter().filter(|event| event.seq <= now.seq) {
            let position = event.task.as_ref().and_then(|task| positions.get(task));
            if let Some(position) = position {
                self.take_over(*position, event);
            }
        }
        self.replace_record(now);
        Ok(())
    }

    /// Applies a change of a task by another worker.
    fn take_over(&mut self, task: usize, event: &RunEvent) {
        let RunEventKind::Task(to) = event.kind else {
            return;
        };
        let Some(from) = self.view.tasks().get(task).map(|task| task.state) else {
            return;
        };
        self.view.apply(&DriverCommand::Move { task, from, to });
        if let (TaskState::Retrying, Some(at_us)) = (to, event.body["due_us"].as_i64()) {
            self.view.apply(&DriverCommand::RetryAt { task, at_us });
        }
    }

    /// Replaces the record, and sends the events of tasks that other workers ended.
    fn replace_record(&mut self, now: RunRecord) {
        let before = std::mem::replace(&mut self.record, now);
        for (position, old) in before.tasks.iter().enumerate() {
            let Some(task) = self.record.tasks.get(position).cloned() else {
                continue;
            };
            let ours =
                task.state == TaskState::Running && task.worker.as_deref() == Some(&self.worker);
            if !ours || task.fence != old.fence {
                self.drop_attempt(position);
            }
            if ours && task.fence != old.fence {
                // The answer to our claim was lost, but the claim is valid.
                self.start(position);
            }
            if task.state == TaskState::Running && task.fence != old.fence {
                self.notify(RunNotification::Started {
                    task: task.id.clone(),
                    attempt: task.attempt,
                });
            }
            if task.state.is_final() && !old.state.is_final() {
                let ended_us = task.ended_us.unwrap_or(0);
                let elapsed_us = task
                    .started_us
                    .map_or(0, |from_us| ended_us.saturating_sub(from_us));
                self.notify(RunNotification::Ended {
                    task: task.id,
                    state: task.state,
                    outcome: task.outcome,
                    failure: task.failure,
                    elapsed_us: u64::try_from(elapsed_us).unwrap_or(0),
                });
            }
        }
        if self.record.state != RunState::Running {
            self.view.apply(&DriverCommand::Close(self.record.state));
            self.notify(RunNotification::Closed(self.record.state));
        }
    }
}
