//! A project that a server serves, for those who ask the server while it runs.
//!
//! Promise: it has the plan that the scheduler has now. A run that is submitted here is begun by the server, has
//! one run for its key, also across restarts, and can be cancelled here. It does not know HTTP, and decides about
//! no schedule. Read next: `submissions.rs` (how a submitted run begins), `serve.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use towpath_ports::{RunRecord, Submission};
use towpath_vocab::{Failure, PipelineName, Plan, Remedy, RunName};

use crate::Result;
use crate::lists::{RunDetails, run_details};
use crate::logs::has_ended;
use crate::names::pipeline_called;
use crate::opening::other_request;
use crate::run_history::line;
use crate::services::ProjectServices;

/// What a client asks to be run: the options of `towpath run`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunOptions {
    /// Only this step of the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// `--param`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// `--full-refresh`.
    pub full_refresh: bool,
    /// `--select`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub select: Vec<String>,
    /// `--exclude`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

/// A submission as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SubmittedRequest {
    pub(crate) pipeline: String,
    pub(crate) options: RunOptions,
}

/// The run of a submission.
pub struct SubmittedRunDetails {
    /// The run.
    pub run: RunDetails,
    /// False when the key had this run already.
    pub is_new: bool,
}

/// To the client: the run, and whether it has begun for this client.
pub(crate) type Begun = oneshot::Sender<Result<(RunRecord, bool)>>;

/// A submission on its way to the server.
pub(crate) struct Asked {
    pub(crate) submission: Submission,
    pub(crate) request: SubmittedRequest,
    /// Hears of the run when it has begun, or why it has not.
    pub(crate) begun: Begun,
}

/// A project that is served.
pub struct LiveProject {
    services: Arc<ProjectServices>,
    plan: RwLock<Arc<Plan>>,
    asks: mpsc::Sender<Asked>,
    /// The submitted runs of this process.
    going: Mutex<BTreeMap<String, CancellationToken>>,
}

impl LiveProject {
    pub(crate) fn new(
        services: Arc<ProjectServices>,
        plan: Plan,
    ) -> (Arc<Self>, mpsc::Receiver<Asked>) {
        let (asks, asked) = mpsc::channel(1);
        let live = Self {
            services,
            plan: RwLock::new(Arc::new(plan)),
            asks,
            going: Mutex::default(),
        };
        (Arc::new(live), asked)
    }

    /// The services of the project.
    pub fn services(&self) -> &Arc<ProjectServices> {
        &self.services
    }

    /// The present plan.
    pub fn plan(&self) -> Arc<Plan> {
        let plan = self.plan.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&plan)
    }

    /// The project has changed. Pipelines that have mistakes now stay as they were.
    pub(crate) fn replace(&self, mut plan: Plan, unread: &BTreeSet<PipelineName>) {
        let mut known = self.plan.write().unwrap_or_else(PoisonError::into_inner);
        let had: BTreeSet<PipelineName> =
            plan.pipelines.iter().map(|one| one.name.clone()).collect();
        let stay = known
            .pipelines
            .iter()
            .filter(|one| unread.contains(&one.name));
        let stay = stay.filter(|one| !had.contains(&one.name)).cloned();
        plan.pipelines.extend(stay);
        plan.pipelines.sort_by(|a, b| a.name.cmp(&b.name));
        *known = Arc::new(plan);
    }

    pub(crate) fn begins(&self, run: &RunName, cancel: CancellationToken) {
        let mut going = self.going.lock().unwrap_or_else(PoisonError::into_inner);
        going.insert(run.to_string(), cancel);
    }

    pub(crate) fn ended(&self, run: &RunName) {
        let mut going = self.going.lock().unwrap_or_else(PoisonError::into_inner);
        going.remove(&run.to_string());
    }

    /// Has a pipeline run, and returns when the run has begun. A second call with the same key and options gives
    /// the run of the first one, also after a restart. Without a key it is a submission of its own.
    ///
    /// # Errors
    /// R0920 when there is no such pipeline, R1124 when the key belongs to other options, R1125 when the server
    /// stops, R1126 when it has no room, R1127 when the project has mistakes, R1128 when there is nothing to
    /// run, R0960 when another run of the pipeline goes on, and what else keeps a run from beginning.
    pub async fn submit(
        &self,
        pipeline: &str,
        options: RunOptions,
        key: Option<&str>,
        by: &str,
    ) -> Result<SubmittedRunDetails> {
        let request = SubmittedRequest {
            pipeline: pipeline.to_owned(),
            options,
        };
        let stored = serde_json::to_value(&request).map_err(|error| {
            let message = format!("the request cannot be stored: {error}");
            Failure::new("R0961", Remedy::Bug, message)
        })?;
        let plan = self.plan();
        let submission = Submission {
            environment: plan.environment.clone(),
            key: key.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned),
            request: stored,
            by: by.to_owned(),
        };
        if let Some(known) = self.known(&submission).await? {
            return Ok(known);
        }
        pipeline_called(&plan, pipeline)?;
        let (begun, answer) = oneshot::channel();
        let asked = Asked {
            submission: submission.clone(),
            request,
            begun,
        };
        self.asks.send(asked).await.map_err(|_| stopping())?;
        match answer.await {
            Ok(Ok((record, is_new))) => self.details(record, is_new).await,
            // Another request with this key may have been quicker.
            Ok(Err(failure)) => match self.known(&submission).await? {
                Some(known) => Ok(known),
                None => Err(failure),
            },
            Err(_) => Err(stopping()),
        }
    }

    async fn known(&self, submission: &Submission) -> Result<Option<SubmittedRunDetails>> {
        let api = self.services.store.api();
        let found = api.submitted(&submission.environment, &submission.key);
        match found.await? {
            None => Ok(None),
            Some((found, _)) if found.request != submission.request => Err(other_request()),
            Some((_, record)) => self.details(record, false).await.map(Some),
        }
    }

    async fn details(&self, record: RunRecord, is_new: bool) -> Result<SubmittedRunDetails> {
        let run = RunDetails {
            version: 1,
            run: line(&self.services, record).await?,
        };
        Ok(SubmittedRunDetails { run, is_new })
    }

    /// Stops a submitted run of this server: its tasks get time to end, and no partial result is visible. A run
    /// that has ended stays as it is.
    ///
    /// # Errors
    /// R0980 and R0981 if there is no such run, R1129 if it is not a submitted run of this server.
    pub async fn cancel(&self, run: &str) -> Result<RunDetails> {
        let found = run_details(&self.services, &self.plan(), run).await?;
        let name = &found.run.record.name;
        if has_ended(&found.run.record) {
            return Ok(found);
        }
        let going = self.going.lock().unwrap_or_else(PoisonError::into_inner);
        match going.get(&name.to_string()) {
            Some(cancel) => cancel.cancel(),
            None => return Err(not_here(name)),
        }
        drop(going);
        Ok(found)
    }
}

fn stopping() -> Failure {
    let message = "the server is stopping and begins no run";
    Failure::new("R1125", Remedy::Retry, message)
        .help("ask again with the same key when it has been started again")
}

fn not_here(run: &RunName) -> Failure {
    let message =
        format!("`{run}` was not submitted to this server, so it cannot be cancelled here");
    Failure::new("R1129", Remedy::Refused, message)
        .help(format!(
            "a run of a schedule: towpath schedule pause {} keeps the next one from beginning",
            run.pipeline
        ))
        .help("a run of another process: stop it there, with Ctrl-C")
}
