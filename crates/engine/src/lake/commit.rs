//! The one log entry that makes a prepared write visible, together with its token.
//!
//! Promise: data files and the position are durable before the entry, and the entry before the receipt. A
//! generation of this task that is committed already is adopted; after any other generation than the expected
//! one the write is refused. Files are deleted only if the log does not name this attempt. Read next: `entry.rs`
//! (one try, after which this file decides about the next), `position.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use deltalake_core::kernel::transaction::PostCommit;
use deltalake_core::kernel::{
    Action, Add, Metadata, MetadataExt as _, Protocol, Transaction, new_metadata,
};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use serde_json::json;
use towpath_ports::{Candidate, CandidateRows, Commit, Prepared, PreparedStats, Receipt, Result};
use towpath_vocab::{Generation, Token, added_fields};

use super::bitmap::Bitmap;
use super::candidate::{LakeCandidate, LakeFile};
use super::entry::{self, Entry, LogWrite};
use super::error::{LakeError, LakeResult, is_unsettled};
use super::files::{self, delta_schema, lake_file};
use super::merge::{Keyed, Merged};
use super::names::word;
use super::position::{Positions, Stored};
use super::read::FilesSource;
use super::storage::{child, remove};
use super::table::{HISTORY, Snapshot};
use super::table_history::{self, TowpathCommitInfo};
use super::types::has_local_timestamps;
use super::view;
use super::writer::{Mode, Write};

/// Tries against writers that keep getting in between.
const TRIES: usize = 50;

/// A finished, invisible write.
pub(crate) struct PreparedWrite {
    pub(crate) write: Write,
    pub(crate) merged: Merged,
    pub(crate) stats: PreparedStats,
}

impl PreparedWrite {
    fn new_files(&self) -> impl Iterator<Item = &Add> {
        self.merged.incoming.iter().chain(&self.merged.rewritten)
    }

    fn files(&self, scope: CandidateRows) -> Vec<LakeFile> {
        let table = &self.write.table;
        let incoming = self.merged.incoming.iter().map(|add| lake_file(table, add));
        if scope == CandidateRows::OfThisWrite {
            return incoming.collect();
        }
        let base = self
            .write
            .base
            .as_ref()
            .map(|base| base.files(table))
            .unwrap_or_default();
        let removed = Bitmap::at(base.len(), &self.merged.removed);
        let kept = base
            .into_iter()
            .enumerate()
            .filter(|(at, _)| !removed.get(*at))
            .map(|(_, file)| file);
        kept.chain(
            self.merged
                .rewritten
                .iter()
                .map(|add| lake_file(table, add)),
        )
        .chain(incoming)
        .collect()
    }

    async fn drop_files(&self) -> LakeResult<()> {
        let adds: Vec<Add> = self.new_files().cloned().collect();
        files::delete(&self.write.table, &adds).await
    }

    fn positions(&self) -> Positions {
        Positions::of(&self.write.table, &self.write.intent.task.app_id())
    }

    async fn make_visible(&self, commit: Commit) -> LakeResult<Receipt> {
        let intent = &self.write.intent;
        let audited = commit.audited;
        let token = commit.into_token(intent.task.clone(), intent.generation);
        for _ in 0..TRIES {
            if !self.write.may_commit() {
                return Err(LakeError::LeaseLost {
                    table: self.write.table.name.to_string(),
                });
            }
            let now = self.write.table.now().await?;
            if let Some(receipt) = self.adopted(now.as_ref(), &token).await? {
                return Ok(receipt);
            }
            if !self.still_applies(now.as_ref(), audited) {
                self.give_up().await?;
                return Err(LakeError::Conflict {
                    table: self.write.table.name.to_string(),
                });
            }
            let version = now.as_ref().map_or(0, |now| now.version() + 1);
            let stored = Stored::new(&self.write.attempt, version, token.clone(), self.stats);
            if let Err(error) = self.positions().put(&stored).await {
                match self.write.table.storage.lands_late() {
                    // The marker stays: who clears up deletes the position as well, if it lands.
                    true => self.drop_files().await?,
                    false => self.give_up().await?,
                }
                return Err(error);
            }
            fail::fail_point!("lake::position_written");
            self.announce(now.as_ref()).await?;
            match self.attempt(now.as_ref()).await? {
                LogWrite::Committed(post) => {
                    return self.acknowledge(version, stored, Some(*post)).await;
                }
                LogWrite::FoundInLog => return self.acknowledge(version, stored, None).await,
                LogWrite::VersionTaken => {}
            }
        }
        self.give_up().await?;
        Err(LakeError::Conflict {
            table: self.write.table.name.to_string(),
        })
    }

    /// Says which version is about to be put; gives up when it must not be.
    async fn announce(&self, now: Option<&Snapshot>) -> LakeResult<()> {
        let (table, adds) = (&self.write.table, self.new_files().cloned());
        let adds: Vec<Add> = adds.collect();
        let announced = entry::announce(table, now, self.write.marker(), &adds).await;
        // Without the lease others clear up, and nothing of this attempt is on its way.
        if announced
            .as_ref()
            .is_err_and(|error| !matches!(error, LakeError::LeaseLost { .. }))
        {
            self.give_up().await?;
        }
        announced
    }

    /// The receipt of this generation when the log holds it already.
    ///
    /// # Errors
    /// `Superseded` when it holds one that is neither ours nor the one the source was read after.
    async fn adopted(&self, now: Option<&Snapshot>, token: &Token) -> LakeResult<Option<Receipt>> {
        fail::fail_point!("lake::token", |_| Ok(None));
        let (table, ours) = (&self.write.table, self.write.intent.generation);
        let app_id = self.write.intent.task.app_id();
        let committed = match now {
            Some(now) => now
                .state
                .transaction_version(&table.log, app_id.clone())
                .await
                .map_err(table.delta("reading the log of"))?,
            None => None,
        };
        let committed = Generation(committed.unwrap_or(0));
        let Some(now) = now.filter(|_| committed == ours) else {
            let expected = self
                .write
                .intent
                .after
                .is_none_or(|after| after == committed);
            if expected && committed < ours {
                return Ok(None);
            }
            self.give_up().await?;
            return Err(LakeError::Superseded {
                table: table.name.to_string(),
                committed: committed.0,
                ours: ours.0,
            });
        };
        // An answer that was lost may have hidden that this very attempt won.
        let winner = table_history::winner(table, now.version(), &app_id, ours.0).await?;
        if let Some((version, _)) = winner.filter(|(_, attempt)| *attempt == self.write.attempt) {
            let stored = Stored::new(&self.write.attempt, version, token.clone(), self.stats);
            return self.acknowledge(version, stored, None).await.map(Some);
        }
        self.give_up().await?;
        let committed = self
            .write
            .lake
            .committed(table, now, &self.write.intent.task)
            .await?;
        Ok(committed.map(|committed| Receipt {
            committed,
            adopted: true,
        }))
    }

    async fn give_up(&self) -> LakeResult<()> {
        self.drop_files().await?;
        let generation = self.write.intent.generation;
        self.positions()
            .forget(generation, &self.write.attempt)
            .await?;
        self.write.ended().await;
        Ok(())
    }

    /// Whether what was prepared, and judged when it was audited, is still right on the table as it
    /// is now.
    fn still_applies(&self, now: Option<&Snapshot>, audited: bool) -> bool {
        match (&self.write.base, now) {
            (None, None) => true,
            (Some(base), Some(now)) if base.same_version(now) => true,
            (Some(_), Some(_)) if audited => false,
            // Added rows and a whole new content do not depend on the rows that others wrote.
            (Some(base), Some(now)) => match self.write.mode {
                Mode::Append => !self.write.target.rewrite && base.same_shape(now),
                Mode::Replace => base.same_shape(now),
                Mode::Keyed(_) | Mode::History => false,
            },
            _ => false,
        }
    }

    async fn attempt(&self, now: Option<&Snapshot>) -> LakeResult<LogWrite> {
        let operation = self.operation();
        let actions = self.actions(now, &operation)?;
        let app_id = self.write.intent.task.app_id();
        fail::fail_point!("lake::before_commit");
        let entry = Entry {
            attempt: &self.write.attempt,
            operation,
            actions,
            tokens: vec![Transaction::new(&app_id, self.write.intent.generation.0)],
        };
        let tried = entry::put(&self.write.table, now, entry).await;
        // An entry that may stand keeps its files: the marker stays, and whoever clears up asks the log.
        if tried.as_ref().is_err_and(|error| !is_unsettled(error)) {
            self.give_up().await?;
        }
        tried
    }

    fn operation(&self) -> DeltaOperation {
        let write = |mode| DeltaOperation::Write {
            mode,
            partition_by: None,
            predicate: None,
        };
        match self.write.mode {
            Mode::Replace => write(SaveMode::Overwrite),
            Mode::Append | Mode::Keyed(Keyed::InsertOnly) => write(SaveMode::Append),
            Mode::Keyed(_) | Mode::History => DeltaOperation::Merge {
                predicate: None,
                merge_predicate: Some(self.write.intent.write.key.join(", ")),
                matched_predicates: Vec::new(),
                not_matched_predicates: Vec::new(),
                not_matched_by_source_predicates: Vec::new(),
            },
        }
    }

    fn actions(
        &self,
        now: Option<&Snapshot>,
        operation: &DeltaOperation,
    ) -> LakeResult<Vec<Action>> {
        let mut actions = vec![self.commit_info(now, operation)?];
        let schema = &self.write.target.schema;
        if let Some(protocol) = protocol(now, has_local_timestamps(schema)) {
            actions.push(Action::Protocol(protocol?));
        }
        match now {
            None => {
                let mut properties = vec![("delta.checkpointInterval", "10")];
                let mode = self.write.intent.write.mode;
                let kept = word(mode);
                if !added_fields(mode).is_empty() {
                    properties.push((HISTORY, kept.as_str()));
                }
                let metadata =
                    new_metadata(&delta_schema(schema)?, Vec::<String>::new(), properties);
                actions.push(Action::Metadata(self.kernel(metadata)?));
            }
            Some(now) if self.write.target.changed => {
                let metadata: Metadata = now.state.metadata().clone();
                actions.push(Action::Metadata(
                    self.kernel(metadata.with_schema(&delta_schema(schema)?))?,
                ));
            }
            Some(_) => {}
        }
        if let Some(now) = now {
            match self.write.mode {
                Mode::Replace => actions.extend(now.remove_all().into_iter().map(Action::Remove)),
                _ => actions.extend(
                    self.merged
                        .removed
                        .iter()
                        .filter_map(|at| now.remove(*at))
                        .map(Action::Remove),
                ),
            }
        }
        actions.extend(self.new_files().cloned().map(Action::Add));
        Ok(actions)
    }

    fn kernel<T>(
        &self,
        made: std::result::Result<T, deltalake_core::kernel::error::Error>,
    ) -> LakeResult<T> {
        made.map_err(|error| self.write.table.delta("describing")(error.into()))
    }

    fn commit_info(
        &self,
        now: Option<&Snapshot>,
        operation: &DeltaOperation,
    ) -> LakeResult<Action> {
        let own = TowpathCommitInfo {
            run: self.write.intent.run.clone(),
            app_id: self.write.intent.task.app_id(),
            generation: self.write.intent.generation.0,
            attempt: self.write.attempt.clone(),
            write: word(self.write.intent.write.mode),
            stats: self.stats,
        };
        let metrics = json!({
            "numOutputRows": self.stats.rows_in.to_string(),
            "numFiles": self.new_files().count().to_string(),
            "numOutputBytes": self.stats.bytes.to_string(),
        });
        let is_blind = self.write.mode == Mode::Append && self.merged.removed.is_empty();
        entry::info(operation, now, own, is_blind, metrics)
    }

    async fn acknowledge(
        &self,
        version: u64,
        stored: Stored,
        post: Option<PostCommit>,
    ) -> LakeResult<Receipt> {
        fail::fail_point!("lake::after_commit");
        let (table, generation) = (&self.write.table, self.write.intent.generation);
        if post.is_none() {
            let entry = child(&table.log_prefix(), &format!("{version:020}.json"));
            table.storage.make_durable(&entry).await?;
        }
        self.positions()
            .settle(generation, &self.write.attempt)
            .await?;
        if version == 0 {
            // The table has taken the place of a view of its name.
            remove(&*table.storage, &view::stored_at(&table.name)).await?;
        }
        entry::finish(&self.write.table, post, self.write.marker()).await;
        fail::fail_point!("lake::before_receipt");
        Ok(Receipt {
            committed: stored.committed(),
            adopted: false,
        })
    }
}

/// The protocol a commit must set: on creation, and when the first timestamp without zone comes in.
fn protocol(now: Option<&Snapshot>, local_timestamps: bool) -> Option<LakeResult<Protocol>> {
    let feature = "timestampNtz";
    let wanted = match now.map(|now| now.state.protocol()) {
        None if local_timestamps => {
            json!({ "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": [feature], "writerFeatures": [feature] })
        }
        None => json!({ "minReaderVersion": 1, "minWriterVersion": 2 }),
        Some(protocol) => {
            let names = |features: Option<&[_]>| {
                features
                    .unwrap_or_default()
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<String>>()
            };
            let (mut readers, mut writers) = (
                names(protocol.reader_features()),
                names(protocol.writer_features()),
            );
            if !local_timestamps || readers.iter().any(|name| name == feature) {
                return None;
            }
            if protocol.min_writer_version() < 7 {
                // What writer version 2 means, spelled out as features.
                writers = vec!["appendOnly".to_owned(), "invariants".to_owned()];
            }
            readers.push(feature.to_owned());
            writers.push(feature.to_owned());
            json!({ "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": readers, "writerFeatures": writers })
        }
    };
    Some(
        serde_json::from_value(wanted)
            .map_err(|_| LakeError::Misuse("the protocol of a table is plain data")),
    )
}

#[async_trait]
impl Prepared for PreparedWrite {
    fn stats(&self) -> PreparedStats {
        self.stats
    }

    async fn candidate(&self, scope: CandidateRows) -> Result<Candidate> {
        let schema = Arc::clone(&self.write.target.schema);
        let native = Arc::new(LakeCandidate {
            table: self.write.intent.table.clone(),
            storage: Arc::clone(&self.write.table.storage),
            schema: Arc::clone(&schema),
            files: self.files(scope),
            version: None,
        });
        Ok(Candidate {
            schema,
            source: Arc::new(FilesSource(Arc::clone(&native))),
            native,
        })
    }

    async fn commit(self: Box<Self>, commit: Commit) -> Result<Receipt> {
        Ok(self.make_visible(commit).await?)
    }

    async fn discard(self: Box<Self>) -> Result<()> {
        self.drop_files().await?;
        self.write.ended().await;
        Ok(())
    }
}
