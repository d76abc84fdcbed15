//! One try to put an entry into the log as the next version, and what became of it.
//!
//! The Delta library never retries on its own: whoever calls decides what may be tried again. Whatever
//! the library answers, the log is asked whether the entry landed. It knows no files and no positions.

use std::collections::HashMap;
use std::sync::Arc;

use deltalake_core::DeltaTableError;
use deltalake_core::kernel::transaction::{
    CommitBuilder, CommitProperties, PostCommit, TableReference, TransactionError,
};
use deltalake_core::kernel::{Action, Transaction};
use deltalake_core::protocol::DeltaOperation;
use uuid::Uuid;

use super::error::{LakeError, LakeResult};
use super::files::engine;
use super::history::{self, OWN_INFO, TowpathCommitInfo};
use super::table::{Snapshot, Table};

/// What an entry says.
pub(crate) struct Entry<'a> {
    /// Who writes it.
    pub(crate) attempt: &'a str,
    pub(crate) operation: DeltaOperation,
    /// Its actions, with the commit info that names the attempt.
    pub(crate) actions: Vec<Action>,
    /// The generations of tasks it sets.
    pub(crate) tokens: Vec<Transaction>,
}

/// How a try ended that did not fail.
pub(crate) enum LogWrite {
    Committed(Box<PostCommit>),
    /// The entry is in the log although the library reported a failure.
    FoundInLog,
    /// Another writer took this version.
    VersionTaken,
}

impl LogWrite {
    /// What is left to do after the entry stands, if the library is to do something.
    pub(crate) fn post(self) -> Option<PostCommit> {
        match self {
            Self::Committed(post) => Some(*post),
            Self::FoundInLog | Self::VersionTaken => None,
        }
    }
}

/// What an entry says about itself.
pub(crate) fn info(
    operation: &DeltaOperation,
    now: Option<&Snapshot>,
    own: TowpathCommitInfo,
    is_blind: bool,
    metrics: serde_json::Value,
) -> LakeResult<Action> {
    let own =
        serde_json::to_value(own).map_err(|_| LakeError::Misuse("commit info is plain data"))?;
    let mut info = operation.get_commit_info();
    info.timestamp = Some(chrono::Utc::now().timestamp_millis());
    info.engine_info = Some(engine());
    info.read_version = now.map(Snapshot::version);
    info.is_blind_append = Some(is_blind);
    info.info.extend(HashMap::from([
        (OWN_INFO.to_owned(), own),
        ("operationMetrics".to_owned(), metrics),
    ]));
    Ok(Action::CommitInfo(info))
}

/// Tries to put an entry behind the version `now`.
///
/// # Errors
/// `Unsettled` when the log does not tell whether the entry landed: then nothing that it may name can be
/// deleted. Any other error says that it did not.
pub(crate) async fn put(
    table: &Table,
    now: Option<&Snapshot>,
    entry: Entry<'_>,
) -> LakeResult<LogWrite> {
    let version = now.map_or(0, |now| now.version() + 1);
    let properties = CommitProperties::default()
        .with_max_retries(0)
        .with_application_transactions(entry.tokens);
    let base = now.map(|now| &now.state as &dyn TableReference);
    let mut commit = CommitBuilder::from(properties).with_actions(entry.actions);
    if let Ok(id) = Uuid::parse_str(entry.attempt) {
        commit = commit.with_operation_id(id);
    }
    let commit = commit.build(base, Arc::clone(&table.log), entry.operation);
    let tried = match commit.into_prepared_commit_future().await {
        Ok(prepared) => prepared.await,
        Err(error) => Err(error),
    };
    let error = match tried {
        Ok(post) => return Ok(LogWrite::Committed(Box::new(post))),
        Err(error) => error,
    };
    // Whatever the answer was, the entry may have landed: only the log knows.
    let landed = match history::attempt_at(table, version).await {
        Ok(landed) => landed,
        Err(source) => {
            return Err(LakeError::Unsettled {
                table: table.name.to_string(),
                source: Box::new(source),
            });
        }
    };
    if landed.as_deref() == Some(entry.attempt) {
        return Ok(LogWrite::FoundInLog);
    }
    if is_version_taken(&error) {
        return Ok(LogWrite::VersionTaken);
    }
    Err(match foreign_features(&error) {
        Some(feature) => LakeError::Foreign {
            table: table.name.to_string(),
            feature,
        },
        None => table.delta("committing to")(error),
    })
}

/// Lets the library write its checkpoint when one is due.
pub(crate) async fn finish(table: &Table, post: Option<PostCommit>) {
    if let Some(post) = post
        && let Err(error) = post.await
    {
        // The commit stands; a checkpoint only makes the next opening faster.
        tracing::warn!(table = %table.name, %error, "no checkpoint was written");
    }
}

/// True when another writer took the version.
fn is_version_taken(error: &DeltaTableError) -> bool {
    matches!(
        error,
        DeltaTableError::VersionAlreadyExists(_)
            | DeltaTableError::Transaction {
                source: TransactionError::MaxCommitAttempts(_)
                    | TransactionError::VersionAlreadyExists(_)
                    | TransactionError::CommitConflict(_),
            }
    )
}

/// Features of the table that the library cannot write.
fn foreign_features(error: &DeltaTableError) -> Option<String> {
    let DeltaTableError::Transaction {
        source: TransactionError::UnsupportedTableFeatures(features),
    } = error
    else {
        return None;
    };
    let names: Vec<String> = features.iter().map(ToString::to_string).collect();
    Some(names.join(", "))
}
