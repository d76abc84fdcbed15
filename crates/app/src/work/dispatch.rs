//! Hands each task to its verb.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use towpath_orchestrator::{AttemptOutcome, TaskWork};
use towpath_vocab::{Action, Failure, PlannedTask};

use super::scope::Work;
use super::{command, load, model, publish};

#[async_trait]
impl TaskWork for Work {
    async fn execute(
        &self,
        task: &PlannedTask,
        attempt: u32,
        cancel: CancellationToken,
    ) -> Result<AttemptOutcome, Failure> {
        tracing::debug!(task = task.id.as_str(), attempt, "begin");
        match &task.action {
            Action::Load(load) => load::load(self, task, load, cancel).await,
            Action::Model(model) => model::build(self, task, model, cancel).await,
            Action::Command(command) => command::run(self, task, command, cancel).await,
            Action::Publish(publish) => publish::publish(self, task, publish, cancel).await,
        }
    }
}
