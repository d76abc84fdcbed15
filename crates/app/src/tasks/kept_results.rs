//! Decides which results a resumed run keeps: those of tasks that ended well and whose inputs are
//! unchanged.
//!
//! Promise: a result with a fingerprint is kept only if the task would get the same fingerprint now. A
//! result without one (a load from a database, a program) is kept: it belongs to this run, and doing it
//! again could do it twice.

use std::collections::BTreeSet;

use towpath_ports::{RunRecord, TaskState};
use towpath_vocab::{Action, PlannedPipeline, PlannedTask, TaskId};

use super::changes::Pinned;
use super::executor::RunExecutor;
use super::fingerprint::fingerprint;
use super::load::read_spec;
use super::model;
use crate::Result;

impl RunExecutor {
    /// Tasks of a resumed run that ended well, but whose inputs have changed since.
    pub(crate) async fn outdated(
        &self,
        pipeline: &PlannedPipeline,
        record: &RunRecord,
    ) -> BTreeSet<TaskId> {
        let mut outdated = BTreeSet::new();
        for (task, done) in pipeline.tasks.iter().zip(&record.tasks) {
            let ended_well = matches!(done.state, TaskState::Succeeded | TaskState::Unchanged);
            let Some(stored) = done.fingerprint.as_ref().filter(|_| ended_well) else {
                continue;
            };
            // If the fingerprint cannot be computed, the task runs again and reports why.
            if !matches!(self.print_now(task).await, Ok(Some(now)) if now == *stored) {
                outdated.insert(task.id.clone());
            }
        }
        outdated
    }

    /// The fingerprint that a task would get now.
    pub(super) async fn print_now(&self, task: &PlannedTask) -> Result<Option<String>> {
        match &task.action {
            Action::Load(load) => {
                let source = self.services.source(&load.connection)?;
                let version = source.version(&read_spec(self, load)).await?;
                version
                    .map(|version| fingerprint(task, &[version.0]))
                    .transpose()
            }
            // The answers to its template's questions are not known without asking again.
            Action::Model(model) if model.asks => Ok(None),
            Action::Model(model) => {
                let inputs = model::inputs(&self.services.engine, model).await?;
                fingerprint(task, &inputs).map(Some)
            }
            Action::Publish(publish) => {
                let now = Pinned::now(&self.services.lake, &publish.from).await?;
                now.map(|now| fingerprint(task, &[now.input()])).transpose()
            }
            Action::Command(_) | Action::Sql(_) | Action::Http(_) => Ok(None),
        }
    }
}
