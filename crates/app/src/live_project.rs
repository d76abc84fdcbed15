//! A project that a server serves, for those who ask the server while it runs.
//!
//! Promise: it has the plan that the scheduler has now. What is submitted here is begun by the server, and has one
//! run for its key, also across restarts. It does not know HTTP, and decides about no schedule. Read next:
//! `submissions.rs` (how a submitted run begins), `serve.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use towpath_ports::{RunRecord, Submission};
use towpath_vocab::{Failure, PipelineName, Plan, Remedy};

use crate::Result;
use crate::cancel::CancelRequest;
use crate::names::pipeline_called;
use crate::opening::other_request;
use crate::pages::{RunDetails, details, run_details};
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

/// Which tasks of a past run a client asks to be run again: the options of `towpath rerun`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RerunOptions {
    /// `--failed`: those that did not end well, and what depends on them.
    pub failed: bool,
    /// `--from`: those of this step, and what depends on them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// The run that a submission runs again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PastRun {
    pub(crate) run: String,
    pub(crate) options: RerunOptions,
}

/// A submission as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SubmittedRequest {
    pub(crate) pipeline: String,
    #[serde(default)]
    pub(crate) options: RunOptions,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rerun: Option<PastRun>,
}

/// Who submits, and under which key.
#[derive(Clone, Copy, Debug)]
pub struct Submitter<'a> {
    /// The public part of the token, to which the key belongs.
    pub token: &'a str,
    /// The name for histories: `token ci`.
    pub by: &'a str,
    /// The key; without one it is a submission of its own.
    pub key: Option<&'a str>,
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

    /// Has a pipeline run, and returns when the run has begun. A second call with the same key and options gives
    /// the run of the first one, also after a restart.
    ///
    /// # Errors
    /// R0920 when there is no such pipeline, R1124 when the key belongs to other options, R1125 when the server
    /// stops, R1126 when it has no room, R1127 when the project has mistakes, R1128 when there is nothing to
    /// run, R0960 when another run of the pipeline goes on, and what else keeps a run from beginning.
    pub async fn submit(
        &self,
        pipeline: &str,
        options: RunOptions,
        submitter: Submitter<'_>,
    ) -> Result<SubmittedRunDetails> {
        let request = SubmittedRequest {
            pipeline: pipeline.to_owned(),
            options,
            rerun: None,
        };
        self.begin(request, submitter).await
    }

    /// Has a past run run again, as `towpath rerun` does; else like `submit`.
    ///
    /// # Errors
    /// R0980 and R0981 if there is no such run, and those of `submit`.
    pub async fn rerun(
        &self,
        run: &str,
        options: RerunOptions,
        submitter: Submitter<'_>,
    ) -> Result<SubmittedRunDetails> {
        let past = run_details(&self.services, &self.plan(), run).await?;
        let name = past.run.record.name;
        let request = SubmittedRequest {
            pipeline: name.pipeline.to_string(),
            options: RunOptions::default(),
            rerun: Some(PastRun {
                run: name.to_string(),
                options,
            }),
        };
        self.begin(request, submitter).await
    }

    async fn begin(
        &self,
        request: SubmittedRequest,
        submitter: Submitter<'_>,
    ) -> Result<SubmittedRunDetails> {
        let stored = serde_json::to_value(&request).map_err(|error| {
            let message = format!("the request cannot be stored: {error}");
            Failure::new("R0961", Remedy::Bug, message)
        })?;
        let plan = self.plan();
        let key = submitter.key.map(str::to_owned);
        let submission = Submission {
            environment: plan.environment.clone(),
            token: submitter.token.to_owned(),
            key: key.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            request: stored,
            by: submitter.by.to_owned(),
        };
        if let Some(known) = self.known(&submission).await? {
            return Ok(known);
        }
        pipeline_called(&plan, &request.pipeline)?;
        let (begun, answer) = oneshot::channel();
        let asked = Asked {
            submission: submission.clone(),
            request,
            begun,
        };
        self.asks.send(asked).await.map_err(|_| stopping())?;
        match answer.await {
            Ok(Ok((record, is_new))) => self.submitted(record, is_new).await,
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
        let (environment, key) = (&submission.environment, &submission.key);
        match api.submitted(environment, &submission.token, key).await? {
            None => Ok(None),
            Some((found, _)) if found.request != submission.request => Err(other_request()),
            Some((_, record)) => self.submitted(record, false).await.map(Some),
        }
    }

    async fn submitted(&self, record: RunRecord, is_new: bool) -> Result<SubmittedRunDetails> {
        let run = details(&self.services, &self.plan(), record).await?;
        Ok(SubmittedRunDetails { run, is_new })
    }

    /// Asks a run to stop, whichever process carries it out. One that has ended stays as it is. True when it has
    /// ended.
    ///
    /// # Errors
    /// R0980 and R0981 if there is no such run, R0968 if it runs no pipeline.
    pub async fn cancel(&self, request: &CancelRequest, by: &str) -> Result<(RunDetails, bool)> {
        let plan = self.plan();
        let has_ended = request.ask(&self.services, &plan, by).await?;
        let run = run_details(&self.services, &plan, &request.run).await?;
        Ok((run, has_ended))
    }
}

fn stopping() -> Failure {
    let message = "the server is stopping and begins no run";
    Failure::new("R1125", Remedy::Retry, message)
        .help("ask again with the same key when it has been started again")
}
