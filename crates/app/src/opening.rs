//! Opens a run: creates a new one, resumes an interrupted one, or waits for the one that is running.
//!
//! Promise: the request is stored with the run, so that `rerun` can repeat it; it contains no secret. It
//! does not execute tasks. Read next: `run.rs`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;
use towpath_ports::{
    Clock, CompiledGraph, GraphTask, NewRun, Opened, RunKind, RunRecord, SubmittedRun, System,
};
use towpath_project::TaskSelection;
use towpath_vocab::{Failure, PipelineName, Remedy, TableName, Threshold};

use crate::Result;
use crate::run::{PendingRun, RunObserver, RunRequest, Wait};
use crate::tasks::stable_parts;

/// A worker that has not renewed its lease for this long is dead.
pub(crate) const LEASE_US: i64 = 20_000_000;

/// How often a waiting run checks whether it may begin.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The request of a run as it is stored. Requests of earlier versions do not have the later fields.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StoredRequest {
    /// Distinguishes this run from all others, also from one with the same name in another state store.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "target")]
    pipeline_or_step: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    select: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exclude: Vec<String>,
    full_refresh: bool,
    limit: Option<u64>,
    params: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fail_above: BTreeMap<TableName, Threshold>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    delete_above: BTreeMap<TableName, Threshold>,
    /// The run that was rerun.
    #[serde(skip_serializing_if = "Option::is_none")]
    rerun_of: Option<String>,
}

impl StoredRequest {
    /// The request of a past run.
    ///
    /// # Errors
    /// R0964 if it cannot be read.
    pub(crate) fn of(record: &RunRecord) -> Result<Self> {
        serde_json::from_value(record.request.clone()).map_err(|error| {
            let message = format!("the request of `{}` cannot be read: {error}", record.name);
            Failure::new("R0964", Remedy::Refused, message).help(format!(
                "start a new run: towpath run {}",
                record.name.pipeline
            ))
        })
    }

    /// The request for a rerun in the same environment.
    pub(crate) fn again(self, record: &RunRecord, dir: &std::path::Path) -> RunRequest {
        RunRequest {
            dir: dir.to_path_buf(),
            environment: Some(record.environment.to_string()),
            pipeline_or_step: self.pipeline_or_step,
            choice: TaskSelection {
                select: self.select,
                exclude: self.exclude,
            },
            full_refresh: self.full_refresh,
            limit: self.limit,
            params: self.params,
            fail_above: self.fail_above,
            delete_above: self.delete_above,
            wait: Wait::No,
            interval: record.interval,
            ..RunRequest::default()
        }
    }

    fn now(going: &PendingRun<'_>) -> Self {
        let request = going.request;
        Self {
            id: Some(format!("{:016x}", going.services.system.random())),
            pipeline_or_step: request.pipeline_or_step.clone(),
            select: request.choice.select.clone(),
            exclude: request.choice.exclude.clone(),
            full_refresh: request.full_refresh,
            limit: request.limit,
            params: request.params.clone(),
            fail_above: request.fail_above.clone(),
            delete_above: request.delete_above.clone(),
            rerun_of: going.rerun_of.as_ref().map(ToString::to_string),
        }
    }
}

/// Creates a run, or resumes the interrupted one (then true).
pub(crate) async fn open_run(
    going: &PendingRun<'_>,
    worker: &str,
    observer: &dyn RunObserver,
    cancel: &CancellationToken,
) -> Result<(RunRecord, bool)> {
    let system = &going.services.system;
    let began_us = system.monotonic_us();
    let mut reported = None;
    loop {
        let new = new_run(going, worker)?;
        let running = match open_in_store(going, new).await? {
            Opened::New(record) => return Ok((record, false)),
            Opened::Resumed(record) => return Ok((record, true)),
            Opened::Busy(record) => record,
            Opened::Decided => return Err(decided(&going.pipeline.name)),
            Opened::GivenUp(record) => return Err(lost(record)),
        };
        let waited = Duration::from_micros(system.monotonic_us().saturating_sub(began_us));
        match going.request.wait {
            Wait::No => return Err(busy(&running)),
            Wait::AtMost(limit) if waited >= limit => return Err(waited_out(&running, limit)),
            Wait::Yes | Wait::AtMost(_) => {}
        }
        if reported.as_ref() != Some(&running.name) {
            observer.waits(&running);
            reported = Some(running.name.clone());
        }
        tokio::select! {
            () = cancel.cancelled() => return Err(given_up(&running)),
            () = system.sleep(POLL_INTERVAL) => {}
        }
    }
}

/// Opens the run, with the key of a submission in one transaction.
async fn open_in_store(going: &PendingRun<'_>, new: NewRun) -> Result<Opened> {
    let store = &going.services.store;
    let Some(submission) = &going.request.submission else {
        return store.open_run(new).await;
    };
    match store.api().open_submitted(new, submission.clone()).await? {
        SubmittedRun::Opened(opened) => Ok(opened),
        SubmittedRun::Known(record) => Err(known_elsewhere(&record)),
        SubmittedRun::OtherRequest => Err(other_request()),
    }
}

fn new_run(going: &PendingRun<'_>, worker: &str) -> Result<NewRun> {
    let asked = serde_json::to_value(StoredRequest::now(going)).map_err(|error| {
        let message = format!("the request cannot be stored: {error}");
        Failure::new("R0961", Remedy::Bug, message)
    })?;
    Ok(NewRun {
        pipeline: going.pipeline.name.clone(),
        environment: going.plan.environment.clone(),
        kind: RunKind::Run,
        interval: going.request.interval,
        scheduled: going.request.scheduled,
        backfill: going.request.backfill,
        deadline_ms: deadline_ms(going),
        params: going.request.params.clone(),
        graph: compiled(going)?,
        request: asked,
        worker: worker.to_owned(),
        lease_us: LEASE_US,
    })
}

/// How long a run of the schedule may take; the schedule says nothing about what a user runs.
fn deadline_ms(going: &PendingRun<'_>) -> Option<u64> {
    let schedule = going.pipeline.schedule.as_ref();
    schedule.filter(|_| going.request.scheduled)?.deadline_ms
}

/// True for the two failures of a run that another process has begun: it is busy, or the interval is
/// decided.
pub fn is_begun_elsewhere(failure: &Failure) -> bool {
    matches!(failure.code.as_str(), "R0960" | "R0969")
}

/// The reason that the state store wrote into a run which it does not begin once more.
pub(crate) fn lost(record: RunRecord) -> Failure {
    let name = record.name;
    let failures = record.tasks.into_iter().filter_map(|task| task.failure);
    let failure = failures.into_iter().next();
    failure.unwrap_or_else(|| decided(&name.pipeline))
}

/// Another scheduler was quicker.
pub(crate) fn decided(pipeline: &PipelineName) -> Failure {
    let message =
        format!("this interval of `{pipeline}` already has its run, was skipped, or is paused");
    Failure::new("R0969", Remedy::Refused, message).help("look: towpath schedule ls")
}

/// The key belongs to other options.
pub(crate) fn other_request() -> Failure {
    let message = "this key was used for another request";
    Failure::new("R1124", Remedy::FixConfig, message)
        .help("a key belongs to one pipeline with its options: take a new key for a new request")
}

/// Another process has the run of this key.
fn known_elsewhere(record: &RunRecord) -> Failure {
    let message = format!("this key has the run {} already", record.name);
    Failure::new("R1130", Remedy::Refused, message)
        .help(format!("look: towpath logs {}", record.name))
}

fn busy(running: &RunRecord) -> Failure {
    let pipeline = &running.name.pipeline;
    Failure::new(
        "R0960",
        Remedy::Refused,
        format!("`{pipeline}` is already running: {}", running.name),
    )
    .help(format!("look: towpath logs {} --follow", running.name))
    .help(format!("wait until it ends: towpath run {pipeline} --wait"))
}

fn waited_out(running: &RunRecord, limit: Duration) -> Failure {
    Failure::new(
        "R0965",
        Remedy::Refused,
        format!(
            "{} is still running after {} s",
            running.name,
            limit.as_secs()
        ),
    )
    .help(format!("look: towpath logs {} --follow", running.name))
    .help("`--wait` without a time waits until it ends")
}

fn given_up(running: &RunRecord) -> Failure {
    Failure::new(
        "R0966",
        Remedy::Cancelled,
        format!("stopped waiting for {}; nothing was started", running.name),
    )
    .help(format!("look: towpath logs {} --follow", running.name))
}

/// The graph as it is stored, with the request: an interrupted run is resumed only if both are equal.
fn compiled(going: &PendingRun<'_>) -> Result<CompiledGraph> {
    let request = going.request;
    let asked = (request.full_refresh, request.limit, &going.rerun_of);
    let graph = (stable_parts(going.pipeline), &going.plan.lakehouse, asked);
    let failed = |error: serde_json::Error| {
        let message = format!("the graph cannot be hashed: {error}");
        Failure::new("R0961", Remedy::Bug, message)
    };
    let text = serde_json::to_string(&graph).map_err(failed)?;
    let hash = Sha256::digest(&text);
    let tasks = going.pipeline.tasks.iter().map(|task| GraphTask {
        id: task.id.clone(),
        pool: None,
    });
    Ok(CompiledGraph {
        hash: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        body: serde_json::from_str(&text).map_err(failed)?,
        tasks: tasks.collect(),
        parallel: u32::try_from(going.pipeline.parallel).unwrap_or(u32::MAX),
    })
}
