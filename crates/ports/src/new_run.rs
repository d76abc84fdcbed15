//! How a run is asked for, and what the state store answers.
//!
//! Promise: values only. `StateStore::open_run` decides whether a run begins, goes on or is refused, in one
//! transaction with the interval that it is about. Read next: `state.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use towpath_vocab::{Environment, Interval, PipelineName};

use crate::{CompiledGraph, RunKind, RunRecord};

/// The values of a new run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewRun {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The environment.
    pub environment: Environment,
    /// Its kind. A kind other than `Run` may come in between if the process of a run is gone; that run is
    /// resumed afterwards.
    pub kind: RunKind,
    /// Its interval, if it has one.
    pub interval: Option<Interval>,
    /// True when a scheduler begins it: its interval must wait for a run, and then has this one.
    #[serde(default)]
    pub scheduled: bool,
    /// With `scheduled`: the backfill in which its interval must wait, instead of the schedule.
    #[serde(default)]
    pub backfill: Option<u64>,
    /// How long it may take from its beginning, in milliseconds; then it fails. A run that its user stopped
    /// and that goes on has all of this time again; one whose process died has not. Without it a run that goes on has
    /// no deadline any more.
    #[serde(default)]
    pub deadline_ms: Option<u64>,
    /// The values of the pipeline's parameters; they contain no secret.
    pub params: BTreeMap<String, String>,
    /// Its graph.
    pub graph: CompiledGraph,
    /// The request of the user, for a rerun and for display; it contains no secret.
    pub request: serde_json::Value,
    /// Identifies this process.
    pub worker: String,
    /// A worker that has not renewed for this long is dead.
    pub lease_us: i64,
}

/// So many processes of a scheduled run may die in a row without a task having ended well. Then the run fails,
/// because it may be what kills them.
pub const MOST_LOST_PROCESSES: u64 = 5;

/// The result of `open_run`.
#[derive(Clone, Debug)]
pub enum Opened {
    /// A new run.
    New(RunRecord),
    /// The interrupted run with the same graph: its process died, or the user stopped it and it is the
    /// newest. Running tasks became ready again; cancelled, failed and skipped ones wait again; fences were
    /// raised.
    Resumed(RunRecord),
    /// Another process is running this pipeline in this environment.
    Busy(RunRecord),
    /// The interval of a scheduled run has had its run or was skipped, or its schedule is paused.
    Decided,
    /// The run of the interval has lost `MOST_LOST_PROCESSES` processes in a row: it is not begun once more, and
    /// has failed.
    GivenUp(RunRecord),
}
