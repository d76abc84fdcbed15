//! One try to add an entry to the log as the next version, and its result.
//!
//! Promise: whatever the Delta library answers, the log is asked whether the entry is there. It never retries: the
//! caller decides what may be tried again. It knows no files and no positions. Read next: `commit.rs`, `log.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use deltalake_core::DeltaTableError;
use deltalake_core::kernel::transaction::{
    CommitBuilder, CommitProperties, PostCommit, TableReference, TransactionError,
};
use deltalake_core::kernel::{Action, Add, Transaction};
use deltalake_core::protocol::DeltaOperation;
use uuid::Uuid;

use super::attempt_marker::AttemptMarker;
use super::cause::brief;
use super::error::{LakeError, LakeResult};
use super::files::engine;
use super::storage::head;
use super::table::{Snapshot, Table};
use super::table_history::{self, Committer, OWN_INFO, TowpathCommitInfo};

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
    if let Some(feature) = foreign_features(&error) {
        return Err(LakeError::Foreign {
            table: table.name.to_string(),
            feature,
        });
    }
    let unsettled = |source| LakeError::Unsettled {
        table: table.name.to_string(),
        source: Box::new(source),
    };
    // Whatever the answer was, the entry may have landed: only the log knows.
    match table_history::committer_of(table, version).await {
        Ok(Committer::Attempt(landed)) if landed == entry.attempt => Ok(LogWrite::FoundInLog),
        // Where a request may be carried out later, only an entry of others says that ours never will be.
        Ok(Committer::Attempt(_) | Committer::Other) if table.storage.lands_late() => {
            Ok(LogWrite::VersionTaken)
        }
        Ok(_) if table.storage.lands_late() => Err(unsettled(table.delta("committing to")(error))),
        Ok(_) if is_version_taken(&error) => Ok(LogWrite::VersionTaken),
        Ok(_) => Err(table.delta("committing to")(error)),
        Err(source) => Err(unsettled(source)),
    }
}

/// Says which version is about to be put, and looks once more whether it may be: the lease is ours, the
/// table is the one that was looked at and nobody deletes it, and the files that the entry names are there.
/// Only a storage on which a put may land late, after the process was taken for dead, needs it.
///
/// # Errors
/// `LeaseLost` and `Conflict`: the entry must not be put.
pub(crate) async fn announce(
    table: &Table,
    now: Option<&Snapshot>,
    marker: &AttemptMarker,
    adds: &[Add],
) -> LakeResult<()> {
    if !table.storage.lands_late() {
        return Ok(());
    }
    let version = now.map_or(0, |now| now.version() + 1);
    if !marker.commits(version).await? {
        return Err(LakeError::LeaseLost {
            table: table.name.to_string(),
        });
    }
    // In this order: who drops the table hides it first, and then looks who has said that it commits.
    let is_there = !table.storage.is_deleting(&table.prefix).await? && table.is_still(now).await?;
    let mut are_there = is_there;
    for add in adds.iter().take_while(|_| is_there) {
        let file = head(&*table.storage, &table.file(&add.path)).await?;
        are_there &= file.is_some();
    }
    // The request is signed right after this: the service refuses it when its signature is 15 minutes old,
    // and only after that does this attempt count as dead.
    if !marker.is_held() {
        return Err(LakeError::LeaseLost {
            table: table.name.to_string(),
        });
    }
    match are_there {
        true => Ok(()),
        false => Err(LakeError::Conflict {
            table: table.name.to_string(),
        }),
    }
}

/// Lets the library write its checkpoint when one is due, and ends the attempt. A checkpoint that may
/// still land keeps the marker, so that the log is not deleted before.
pub(crate) async fn finish(table: &Table, post: Option<PostCommit>, marker: &AttemptMarker) {
    if let Some(post) = post
        && let Err(error) = post.await
    {
        // The commit stands; a checkpoint only makes the next opening faster.
        tracing::warn!(table = %table.name, error = %brief(&error), "no checkpoint was written");
        if table.storage.lands_late() {
            return;
        }
    }
    marker.lift().await;
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
