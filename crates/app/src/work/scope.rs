//! `RunExecutor`: executes the tasks of one run, with the options of the run and what its tasks did so far.
//!
//! It holds these values and decides nothing. Read next: `dispatch.rs`, which calls the function for each
//! action.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use towpath_flow::{OutputSummary, Progress};
use towpath_ports::Redaction;
use towpath_vocab::{
    Environment, PipelineName, ProjectId, RunName, StepName, TableFact, TableName, TaskId, TaskKey,
    TaskKind, Threshold,
};

use crate::Result;
use crate::services::ProjectServices;

/// What a user said for this run only.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunExecutorOptions {
    /// Everything is read and built anew.
    pub(crate) full_refresh: bool,
    /// At most about this many rows per load.
    pub(crate) limit: Option<u64>,
    /// Other limits for bad rows, by table.
    pub(crate) fail_above: BTreeMap<TableName, Threshold>,
    /// The run that is done again: what can be written twice without harm is made again.
    pub(crate) rerun_of: Option<RunName>,
    /// Models that give other rows at another time: never unchanged.
    pub(crate) changing: BTreeSet<TableName>,
    /// What is taken out of the output of programs.
    pub(crate) redaction: Redaction,
}

/// Carries out the tasks of one run.
pub(crate) struct RunExecutor {
    pub(crate) services: Arc<ProjectServices>,
    pub(crate) project: ProjectId,
    pub(crate) environment: Environment,
    pub(crate) pipeline: PipelineName,
    pub(crate) run: RunName,
    /// What tells the run from every other one.
    pub(crate) run_id: String,
    /// Where programs of the run find their folders.
    pub(crate) folder: PathBuf,
    pub(crate) options: RunExecutorOptions,
    pub(crate) progress: Arc<Progress>,
    done: Mutex<BTreeMap<TaskId, TaskDone>>,
    /// What earlier runs observed, read once.
    facts: OnceCell<Vec<(String, TableFact)>>,
}

/// What a task did, for the report.
#[derive(Clone, Debug)]
pub(crate) enum TaskDone {
    /// Rows were carried (or stopped by their data).
    Table(Box<OutputSummary>),
    /// Rows were committed by a process that died before it could tell. Only what the commit and the
    /// state store know is counted.
    Recovered(Box<OutputSummary>),
    /// A view was judged, if it has checks, and stored unless they stopped it.
    View {
        /// Its name.
        table: TableName,
        /// The version it was stored at.
        version: Option<u64>,
        /// What its checks said.
        judged: Option<Box<OutputSummary>>,
    },
    /// A program ran.
    Command,
    /// A publish was skipped, with the reason.
    Skipped(String),
}

impl RunExecutor {
    pub(crate) fn new(
        services: Arc<ProjectServices>,
        scope: RunScope,
        options: RunExecutorOptions,
        progress: Arc<Progress>,
    ) -> Self {
        let RunScope {
            project,
            environment,
            pipeline,
            run,
            run_id,
            folder,
        } = scope;
        Self {
            services,
            project,
            environment,
            pipeline,
            run,
            run_id,
            folder,
            options,
            progress,
            done: Mutex::default(),
            facts: OnceCell::new(),
        }
    }

    /// What earlier runs observed.
    pub(crate) async fn facts(&self) -> Result<&[(String, TableFact)]> {
        let read = || self.services.store.facts(&self.environment);
        Ok(self.facts.get_or_try_init(read).await?)
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
            kind: TaskKind::Step,
            table: table.clone(),
        }
    }
}

/// Whose tasks these are.
pub(crate) struct RunScope {
    pub(crate) project: ProjectId,
    pub(crate) environment: Environment,
    pub(crate) pipeline: PipelineName,
    pub(crate) run: RunName,
    pub(crate) run_id: String,
    pub(crate) folder: PathBuf,
}
