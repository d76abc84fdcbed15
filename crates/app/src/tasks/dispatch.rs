//! Executes a task: calls the function for its action (load, model, command, SQL, request or publish).
//!
//! Promise: a run that reads a part of its sources (`--limit`) publishes nothing and starts no program,
//! because that could not be undone. Read next: `load.rs`; `recovered.rs` for commits from before a crash.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use towpath_orchestrator::{AttemptSuccess, TaskExecutor};
use towpath_ports::TaskOutcome;
use towpath_vocab::{Action, Failure, PlannedTask};

use super::executor::{RunExecutor, TaskDone};
use super::folders::{log_of, task_folder};
use super::{call, command, load, model, publish};

#[async_trait]
impl TaskExecutor for RunExecutor {
    async fn execute(
        &self,
        task: &PlannedTask,
        attempt: u32,
        cancel: CancellationToken,
    ) -> Result<AttemptSuccess, Failure> {
        tracing::debug!(task = task.id.as_str(), attempt, "begin");
        if let Some(why) = self.kept_back(&task.action) {
            self.record(&task.id, TaskDone::Skipped(why.clone()));
            return Ok(AttemptSuccess {
                unchanged: true,
                outcome: TaskOutcome::Skipped { reason: why },
                fingerprint: None,
            });
        }
        let outcome = match &task.action {
            Action::Load(load) => Box::pin(load::load(self, task, load, cancel)).await,
            Action::Model(model) => model::build(self, task, model, cancel).await,
            Action::Command(command) => command::run(self, task, command, attempt, cancel).await,
            Action::Sql(sql) => call::sql(self, task, sql, cancel).await,
            Action::Http(http) => call::http(self, task, http, cancel).await,
            Action::Publish(publish) => {
                Box::pin(publish::publish(self, task, publish, cancel)).await
            }
        }?;
        self.recovered(task, outcome).await
    }

    fn kill(&self) {
        self.kill.cancel();
    }

    fn log_hint(&self, task: &PlannedTask, attempt: u32) -> Option<String> {
        let Action::Command(_) = task.action else {
            return None;
        };
        let log = log_of(&task_folder(&self.folder, &task.id), attempt);
        Some(format!("its output: {}", log.display()))
    }
}

impl RunExecutor {
    /// Why a task is skipped in a run that reads a part of its sources.
    fn kept_back(&self, action: &Action) -> Option<String> {
        let limit = self.options.limit?;
        let what = match action {
            Action::Load(_) | Action::Model(_) => return None,
            Action::Command(_) => "no command runs",
            Action::Publish(_) => "nothing is published",
            Action::Sql(_) => "no SQL runs in other systems",
            Action::Http(_) => "no request is sent",
        };
        Some(format!("with `--limit {limit}` {what}"))
    }
}
