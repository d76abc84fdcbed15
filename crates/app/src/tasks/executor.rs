//! `RunExecutor`: executes the tasks of one run, with the options of the run and what its tasks did so far.
//!
//! It holds these values and decides nothing. Read next: `dispatch.rs`, which calls the function for each
//! action.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use towpath_flow::{OutputSummary, Progress};
use towpath_ports::{Interval, Redaction};
use towpath_schedule::local_text;
use towpath_vocab::{
    Environment, PipelineName, ProjectId, RunName, StepName, TableFact, TableName, TaskId, TaskKey,
    TaskKind, Threshold,
};

use crate::Result;
use crate::services::ProjectServices;

/// The user's options for this run.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunExecutorOptions {
    /// True if everything is read and built again.
    pub(crate) full_refresh: bool,
    /// If set, each load reads approximately this many rows at most.
    pub(crate) limit: Option<u64>,
    /// Other limits for bad rows, by table.
    pub(crate) fail_above: BTreeMap<TableName, Threshold>,
    /// Other limits for rows that are gone, by table.
    pub(crate) delete_above: BTreeMap<TableName, Threshold>,
    /// The run that is rerun: what can be written twice without harm is written again.
    pub(crate) rerun_of: Option<RunName>,
    /// Models whose results change over time; they are never unchanged.
    pub(crate) changing: BTreeSet<TableName>,
    /// The values that are removed from the output of programs.
    pub(crate) redaction: Redaction,
}

/// Executes the tasks of one run.
pub(crate) struct RunExecutor {
    pub(crate) services: Arc<ProjectServices>,
    pub(crate) project: ProjectId,
    pub(crate) environment: Environment,
    pub(crate) pipeline: PipelineName,
    pub(crate) run: RunName,
    /// Distinguishes the run from all others.
    pub(crate) run_id: String,
    /// The folder of the programs of this run.
    pub(crate) folder: PathBuf,
    /// The interval of the run, if it has one.
    pub(crate) interval: Option<IntervalTexts>,
    /// The moment at which its publishes ask the clock, in microseconds since 1970 UTC: when the run began,
    /// also if it was resumed since, so that all its tables have the rows of one moment.
    pub(crate) moment_us: i64,
    pub(crate) options: RunExecutorOptions,
    pub(crate) progress: Arc<Progress>,
    /// Fires when its programs get no time to stop.
    pub(crate) kill: CancellationToken,
    done: Mutex<BTreeMap<TaskId, TaskDone>>,
    /// The facts that earlier runs observed, read once.
    facts: OnceCell<Vec<(String, TableFact)>>,
}

/// What a task did, for the report.
#[derive(Clone, Debug)]
pub(crate) enum TaskDone {
    /// Rows were written, or their data stopped the table.
    Table(Box<OutputSummary>),
    /// Rows were committed by a process that died before it could report them. Only numbers in the commit
    /// and the state store are counted.
    Recovered(Box<OutputSummary>),
    /// A view was checked, if it has checks, and stored unless they stopped it.
    View {
        /// Its name.
        table: TableName,
        /// Its version, if it was stored.
        version: Option<u64>,
        /// The results of its checks.
        judged: Option<Box<OutputSummary>>,
    },
    /// A program, SQL or a request of the project ran.
    Command,
    /// It was not done, with the reason.
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
            interval,
            moment_us,
        } = scope;
        Self {
            services,
            project,
            environment,
            pipeline,
            run,
            run_id,
            folder,
            interval,
            moment_us,
            options,
            progress,
            done: Mutex::default(),
            facts: OnceCell::new(),
            kill: CancellationToken::new(),
        }
    }

    /// The facts that earlier runs observed.
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

/// Identifies the run whose tasks are executed.
pub(crate) struct RunScope {
    pub(crate) project: ProjectId,
    pub(crate) environment: Environment,
    pub(crate) pipeline: PipelineName,
    pub(crate) run: RunName,
    pub(crate) run_id: String,
    pub(crate) folder: PathBuf,
    pub(crate) interval: Option<IntervalTexts>,
    pub(crate) moment_us: i64,
}

/// The interval of a run as programs get it.
pub(crate) struct IntervalTexts {
    /// Its first moment, in UTC.
    pub(crate) start: String,
    /// The first moment after it, in UTC.
    pub(crate) end: String,
    /// The day of its start in the zone of the schedule.
    pub(crate) date: String,
}

impl IntervalTexts {
    pub(crate) fn new(interval: Interval, timezone: Option<&str>) -> Self {
        let moment = |us| {
            jiff::Timestamp::from_microsecond(us)
                .map_or_else(|_| String::new(), |at| at.to_string())
        };
        let local = local_text(interval.start_us, timezone.unwrap_or("UTC"));
        Self {
            start: moment(interval.start_us),
            end: moment(interval.end_us),
            date: local.split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}
