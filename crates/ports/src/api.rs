//! What the state store keeps for the HTTP API: tokens, submitted runs, pages of runs, the feed of events.
//!
//! Promise: values and one interface. Of a token only a hash is stored. A submitted run and its key are stored in
//! one transaction, so a key has one run, whoever submits it how often. The feed has each event once, in an order
//! that does not change. It does not know HTTP, and does not compare secrets. Read next: `state.rs`.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use towpath_vocab::{CheckResult, Environment, Failure, PipelineName, RunName, TableName};

use crate::{NewRun, Opened, Result, RunEvent, RunKind, RunRecord, RunState};

/// What the holder of a token may do; each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenScope {
    /// Look at everything.
    Read,
    /// Start and cancel runs, pause and resume schedules.
    Operate,
    /// What changes the server itself.
    Admin,
}

impl TokenScope {
    /// Its stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for TokenScope {
    type Err = String;

    fn from_str(word: &str) -> std::result::Result<Self, String> {
        let all = [Self::Read, Self::Operate, Self::Admin];
        let mut all = all.into_iter();
        all.find(|scope| scope.as_str() == word)
            .ok_or_else(|| format!("`{word}` is no scope: read, operate or admin"))
    }
}

/// A token as it is listed: without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiToken {
    /// Its public part, by which it is found.
    pub id: String,
    /// The name that the user gave it.
    pub name: String,
    /// What its holder may do.
    pub scope: TokenScope,
    /// When it was created, in microseconds since 1970 UTC, by the clock of the store.
    pub created_us: i64,
    /// Who created it.
    pub by: String,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_us: Option<i64>,
    /// Who revoked it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<String>,
}

/// A token to store.
#[derive(Clone, Debug)]
pub struct NewApiToken {
    /// The environment whose server accepts it.
    pub environment: Environment,
    /// Its public part.
    pub id: String,
    /// Its name: no other valid token of the environment has it.
    pub name: String,
    /// What its holder may do.
    pub scope: TokenScope,
    /// The hash of its secret part.
    pub hash: String,
    /// Who creates it.
    pub by: String,
}

/// A request to run a pipeline, as a client sent it.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// The environment.
    pub environment: Environment,
    /// The public part of the client's token: keys of other tokens are other keys.
    pub token: String,
    /// The client's key: a second request with it gets the run of the first one.
    pub key: String,
    /// What is to be run; it contains no secret. A key belongs to one request.
    pub request: serde_json::Value,
    /// Who sent it.
    pub by: String,
}

/// What became of a submission.
#[derive(Clone, Debug)]
pub enum SubmittedRun {
    /// What `StateStore::open_run` answered. A run that began belongs to the key; one that goes on did already.
    Opened(Opened),
    /// The key has this run already, which has ended or has a live process.
    Known(RunRecord),
    /// The key belongs to another request.
    OtherRequest,
}

/// A page of runs.
#[derive(Clone, Debug)]
pub struct RunPage {
    /// The environment.
    pub environment: Environment,
    /// Of this pipeline.
    pub pipeline: Option<PipelineName>,
    /// In this state.
    pub state: Option<RunState>,
    /// The run before which the page begins: the last one of the page before.
    pub after: Option<RunName>,
    /// The most runs.
    pub limit: u64,
}

/// A place in the feed of events. Places are compared from left to right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedPosition {
    /// Of the transaction.
    pub transaction: u64,
    /// Of the run.
    pub run: u64,
    /// Of the event in the run.
    pub seq: u64,
}

impl fmt::Display for FeedPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.transaction, self.run, self.seq)
    }
}

impl FromStr for FeedPosition {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let mut parts = text
            .split('-')
            .map(|part| part.parse::<u64>().map_err(|_| ()));
        let mut next = || parts.next().unwrap_or(Err(()));
        let (transaction, run, seq) = (next()?, next()?, next()?);
        // The store counts in 64 bits with a sign.
        let fits = [transaction, run, seq]
            .iter()
            .all(|part| i64::try_from(*part).is_ok());
        match parts.next().is_none() && fits {
            true => Ok(Self {
                transaction,
                run,
                seq,
            }),
            false => Err(()),
        }
    }
}

/// An event of the feed.
#[derive(Clone, Debug, Serialize)]
pub struct FeedEvent {
    /// Its place.
    #[serde(skip_serializing)]
    pub position: FeedPosition,
    /// Its run.
    pub run: RunName,
    /// What happened.
    #[serde(flatten)]
    pub event: RunEvent,
}

/// Events of the feed, and how far it was looked at.
#[derive(Clone, Debug, Default)]
pub struct FeedPiece {
    /// The events.
    pub events: Vec<FeedEvent>,
    /// The place behind which the next piece begins.
    pub position: FeedPosition,
}

/// A run in a list, without its tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    /// Its name.
    pub name: RunName,
    /// Its state.
    pub state: RunState,
    /// True if its process died before the run ended.
    pub interrupted: bool,
    /// When it began, in microseconds since 1970 UTC.
    pub started_us: i64,
    /// When it ended.
    pub ended_us: Option<i64>,
}

/// The result of a check as it is stored.
#[derive(Clone, Debug)]
pub struct StoredCheck {
    /// Its place: later results have higher ones.
    pub id: u64,
    /// The run that checked.
    pub run: RunName,
    /// When, in microseconds since 1970 UTC.
    pub at_us: i64,
    /// The result.
    pub result: CheckResult,
}

/// The part of a state store that only the HTTP API uses.
#[async_trait]
pub trait ApiStore: Send + Sync {
    /// Stores a token; nothing when a valid token of the environment has its name.
    async fn create_token(&self, token: NewApiToken) -> Result<Option<ApiToken>>;

    /// All tokens of an environment, oldest first, also revoked ones.
    async fn tokens(&self, environment: &Environment) -> Result<Vec<ApiToken>>;

    /// A token and the hash of its secret, by its public part; also a revoked one.
    async fn token(
        &self,
        environment: &Environment,
        id: &str,
    ) -> Result<Option<(ApiToken, String)>>;

    /// Revokes the valid token with this name; nothing when there is none.
    async fn revoke_token(
        &self,
        environment: &Environment,
        name: &str,
        by: &str,
    ) -> Result<Option<ApiToken>>;

    /// `StateStore::open_run` for a submission, in one transaction with its key. It resumes the run of its key and
    /// no other. A run that a server goes on with by itself keeps the pipeline busy; one that a terminal left is
    /// superseded.
    async fn open_submitted(&self, run: NewRun, submission: Submission) -> Result<SubmittedRun>;

    /// The submission with this key of a token, and its run.
    async fn submitted(
        &self,
        environment: &Environment,
        token: &str,
        key: &str,
    ) -> Result<Option<(Submission, RunRecord)>>;

    /// The submissions whose run has not ended and was not asked to stop, oldest first.
    async fn unfinished_submissions(
        &self,
        environment: &Environment,
    ) -> Result<Vec<(Submission, RunRecord)>>;

    /// Fails a run that cannot go on, for this reason; false if it has ended or has a live process.
    async fn fail_run(
        &self,
        run: &RunName,
        environment: &Environment,
        failure: &Failure,
    ) -> Result<bool>;

    /// Runs, newest first.
    async fn runs_page(&self, page: RunPage) -> Result<Vec<RunRecord>>;

    /// The newest runs of each of these pipelines, of one kind or of all, newest first; at most `limit` of each.
    async fn newest_runs(
        &self,
        environment: &Environment,
        pipelines: &[PipelineName],
        kind: Option<RunKind>,
        limit: u64,
    ) -> Result<Vec<RunSummary>>;

    /// The events of a run behind a number, at most so many.
    async fn events_page(
        &self,
        run: &RunName,
        environment: &Environment,
        after_seq: u64,
        limit: u64,
    ) -> Result<Vec<RunEvent>>;

    /// Results of checks before a place, newest first, at most so many.
    async fn checks_page(
        &self,
        environment: &Environment,
        table: Option<&TableName>,
        before: Option<u64>,
        limit: u64,
    ) -> Result<Vec<StoredCheck>>;

    /// The events behind a place, in order. An event is not in the feed while an earlier one may still come.
    async fn feed(
        &self,
        environment: &Environment,
        after: FeedPosition,
        limit: u64,
    ) -> Result<FeedPiece>;

    /// The present end of the feed.
    async fn feed_end(&self) -> Result<FeedPosition>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written() {
        let position = FeedPosition {
            transaction: 7,
            run: 2,
            seq: 19,
        };
        assert_eq!(position.to_string().parse(), Ok(position));
        for wrong in [
            "",
            "1",
            "1-2",
            "1-2-3-4",
            "a-b-c",
            "1-2--3",
            "1-2-18446744073709551615",
        ] {
            assert_eq!(wrong.parse::<FeedPosition>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn scopes_include_the_ones_before() {
        assert!(TokenScope::Admin > TokenScope::Operate);
        assert!(TokenScope::Operate > TokenScope::Read);
        assert_eq!("operate".parse(), Ok(TokenScope::Operate));
        assert!("owner".parse::<TokenScope>().is_err());
    }
}
