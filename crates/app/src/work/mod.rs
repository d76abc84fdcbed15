//! What a task does: loads a table, builds a model, runs a program, publishes a table.
//!
//! `orchestrator` decides when; this folder decides how, one file per verb. Each ends in
//! `tow.rs`: the same few lines that give out a generation, carry the rows and write the book.

mod command;
mod fingerprint;
mod generation;
mod load;
mod model;
mod publish;
mod tow;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use towpath_flow::{OutputSummary, Progress};
use towpath_orchestrator::{AttemptOutcome, TaskWork};
use towpath_vocab::{
    Action, Environment, Failure, PipelineName, PlannedTask, ProjectId, RunName, StepName,
    TableName, TaskId, TaskKey, Threshold,
};

pub(crate) use fingerprint::essence;
pub(crate) use load::load_spec;

use crate::Result;
use crate::house::House;

/// What a user said for this run only.
#[derive(Clone, Debug, Default)]
pub(crate) struct WorkOptions {
    /// Everything is read and built anew.
    pub(crate) full_refresh: bool,
    /// At most about this many rows per load.
    pub(crate) limit: Option<u64>,
    /// Other limits for bad rows, by table.
    pub(crate) fail_above: BTreeMap<TableName, Threshold>,
}

/// Carries out the tasks of one run.
pub(crate) struct Work {
    pub(crate) house: Arc<House>,
    pub(crate) project: ProjectId,
    pub(crate) environment: Environment,
    pub(crate) pipeline: PipelineName,
    pub(crate) run: RunName,
    pub(crate) options: WorkOptions,
    pub(crate) progress: Arc<Progress>,
    done: Mutex<BTreeMap<TaskId, TaskDone>>,
}

/// What a task did, for the report.
#[derive(Clone, Debug)]
pub(crate) enum TaskDone {
    /// Rows were carried (or stopped by their data).
    Table(Box<OutputSummary>),
    /// A view was stored at this version.
    View(TableName, u64),
    /// A program ran.
    Command,
    /// A publish was skipped, with the reason.
    Skipped(String),
}

impl Work {
    pub(crate) fn new(
        house: Arc<House>,
        scope: Scope,
        options: WorkOptions,
        progress: Arc<Progress>,
    ) -> Self {
        let Scope {
            project,
            environment,
            pipeline,
            run,
        } = scope;
        Self {
            house,
            project,
            environment,
            pipeline,
            run,
            options,
            progress,
            done: Mutex::default(),
        }
    }

    /// What every finished task did.
    pub(crate) fn done(&self) -> BTreeMap<TaskId, TaskDone> {
        self.done
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn record(&self, task: &TaskId, done: TaskDone) {
        self.done
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(task.clone(), done);
    }

    pub(crate) fn key(&self, step: &StepName, table: &TableName) -> TaskKey {
        TaskKey {
            project: self.project.clone(),
            environment: self.environment.clone(),
            pipeline: self.pipeline.clone(),
            step: step.clone(),
            table: table.clone(),
        }
    }
}

/// Whose tasks these are.
pub(crate) struct Scope {
    pub(crate) project: ProjectId,
    pub(crate) environment: Environment,
    pub(crate) pipeline: PipelineName,
    pub(crate) run: RunName,
}

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
