//! `ports::ApiStore` over either database.
//!
//! Promise: each operation is one transaction, written once for both. The SQL is in `api_tokens.rs`,
//! `submissions.rs`, `feed.rs`, `lost_runs.rs`, `findings.rs` and `run_history.rs`. Read next: `state_store.rs`.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use towpath_ports::{
    ApiStore, ApiToken, FeedPiece, FeedPosition, NewApiToken, NewRun, Opened, Result, RunEvent,
    RunKind, RunPage, RunRecord, RunSummary, StoredCheck, Submission, SubmittedRun,
};
use towpath_vocab::{Environment, Failure, PipelineName, RunName, TableName};

use crate::postgres::Redo;
use crate::runs::Opening;
use crate::store::{Store, dead};
use crate::submissions::Submitting;
use crate::tx::operation;
use crate::{api_tokens, feed, findings, lost_runs, run_history, submissions};

#[async_trait]
impl ApiStore for Store {
    async fn create_token(&self, token: NewApiToken) -> Result<Option<ApiToken>> {
        let token = Arc::new(token);
        let writing = operation!(tx, [token] => async { api_tokens::create(tx, &token).await });
        self.write(Redo::Never, writing).await
    }

    async fn tokens(&self, environment: &Environment) -> Result<Vec<ApiToken>> {
        let environment = environment.clone();
        let reading = operation!(tx, [environment] => async {
            api_tokens::list(tx, &environment).await
        });
        self.read(reading).await
    }

    async fn token(
        &self,
        environment: &Environment,
        id: &str,
    ) -> Result<Option<(ApiToken, String)>> {
        let (environment, id) = (environment.clone(), id.to_owned());
        let reading = operation!(tx, [environment, id] => async {
            api_tokens::one(tx, &environment, &id).await
        });
        self.read(reading).await
    }

    async fn revoke_token(
        &self,
        environment: &Environment,
        name: &str,
        by: &str,
    ) -> Result<Option<ApiToken>> {
        let (environment, name, by) = (environment.clone(), name.to_owned(), by.to_owned());
        let writing = operation!(tx, [environment, name, by] => async {
            api_tokens::revoke(tx, &environment, &name, &by).await
        });
        self.write(Redo::Never, writing).await
    }

    async fn open_submitted(&self, run: NewRun, submission: Submission) -> Result<SubmittedRun> {
        let (worker, run) = (run.worker.clone(), Arc::new(run));
        let (submission, liveness) = (Arc::new(submission), self.liveness());
        // An operation that is repeated sets it again.
        let other = Arc::new(Mutex::new(None));
        let opening = operation!(tx, [run, submission, liveness, other] => async {
            let is_dead = |worker: &str| dead(&liveness, worker);
            let submitted = submissions::open(tx, &run, &submission, &is_dead).await?;
            let (opening, kept) = match submitted {
                Submitting::Opened(opening) => (opening, None),
                Submitting::Known(record, dead_worker) => {
                    (nothing(dead_worker), Some(SubmittedRun::Known(record)))
                }
                Submitting::OtherRequest => (nothing(None), Some(SubmittedRun::OtherRequest)),
            };
            *other.lock().unwrap_or_else(PoisonError::into_inner) = kept;
            Ok(opening)
        });
        let opened = self.opening(&worker, opening).await?;
        let other = other.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(other.unwrap_or(SubmittedRun::Opened(opened)))
    }

    async fn submitted(
        &self,
        environment: &Environment,
        token: &str,
        key: &str,
    ) -> Result<Option<(Submission, RunRecord)>> {
        let (environment, token, key) = (environment.clone(), token.to_owned(), key.to_owned());
        let reading = operation!(tx, [environment, token, key] => async {
            submissions::with_run(tx, &environment, &token, &key).await
        });
        self.read(reading).await
    }

    async fn unfinished_submissions(
        &self,
        environment: &Environment,
    ) -> Result<Vec<(Submission, RunRecord)>> {
        let environment = environment.clone();
        let reading = operation!(tx, [environment] => async {
            submissions::unfinished(tx, &environment).await
        });
        self.read(reading).await
    }

    async fn fail_run(
        &self,
        run: &RunName,
        environment: &Environment,
        failure: &Failure,
    ) -> Result<bool> {
        let (run, environment, failure) = (run.clone(), environment.clone(), failure.clone());
        let liveness = self.liveness();
        let writing = operation!(tx, [run, environment, failure, liveness] => async {
            let is_dead = |worker: &str| dead(&liveness, worker);
            lost_runs::fail_unable(tx, &run, &environment, &failure, &is_dead).await
        });
        let lost = self.write(Redo::Harmless, writing).await?;
        if let (Some(lost), Some(liveness)) = (&lost, self.liveness()) {
            liveness.forget(lost);
        }
        Ok(lost.is_some())
    }

    async fn runs_page(&self, page: RunPage) -> Result<Vec<RunRecord>> {
        let reading = operation!(tx, [page] => async { run_history::page(tx, &page).await });
        self.read(reading).await
    }

    async fn newest_runs(
        &self,
        environment: &Environment,
        pipelines: &[PipelineName],
        kind: Option<RunKind>,
        limit: u64,
    ) -> Result<Vec<RunSummary>> {
        let (environment, pipelines) = (environment.clone(), pipelines.to_vec());
        let liveness = self.liveness();
        let reading = operation!(tx, [environment, pipelines, liveness] => async {
            let is_dead = |worker: &str| dead(&liveness, worker);
            let mut found = Vec::new();
            for pipeline in &pipelines {
                let newest = run_history::newest(tx, &environment, pipeline, (kind, limit), &is_dead);
                found.extend(newest.await?);
            }
            Ok(found)
        });
        self.read(reading).await
    }

    async fn events_page(
        &self,
        run: &RunName,
        environment: &Environment,
        after_seq: u64,
        limit: u64,
    ) -> Result<Vec<RunEvent>> {
        let (run, environment) = (run.clone(), environment.clone());
        let reading = operation!(tx, [run, environment] => async {
            run_history::events(tx, &run, &environment, after_seq, limit).await
        });
        self.read(reading).await
    }

    async fn checks_page(
        &self,
        environment: &Environment,
        table: Option<&TableName>,
        before: Option<u64>,
        limit: u64,
    ) -> Result<Vec<StoredCheck>> {
        let (environment, table) = (environment.clone(), table.cloned());
        let reading = operation!(tx, [environment, table] => async {
            findings::checks(tx, &environment, table.as_ref(), (before, limit)).await
        });
        self.read(reading).await
    }

    async fn feed(
        &self,
        environment: &Environment,
        after: FeedPosition,
        limit: u64,
    ) -> Result<FeedPiece> {
        let environment = environment.clone();
        let reading = operation!(tx, [environment] => async {
            feed::after(tx, &environment, after, limit).await
        });
        self.read(reading).await
    }

    async fn feed_end(&self) -> Result<FeedPosition> {
        let reading = operation!(tx, [] => async { feed::end(tx).await });
        self.read(reading).await
    }
}

/// No run was opened.
fn nothing(dead_worker: Option<String>) -> Opening {
    Opening {
        opened: Opened::Decided,
        dead_worker,
    }
}
