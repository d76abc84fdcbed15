//! A table goes: first out of sight by one put, then its files.
//!
//! Where a put that was given up may still be carried out, a commit must not land in a log that is being
//! deleted. So the next version is taken first: who wants to commit it finds it taken and stops. The log
//! itself goes only when no writer has said that it puts an entry there (`attempt_marker.rs`); until then it stays,
//! hidden. It knows no view but the note that hides the table. Read next: `view.rs`, `storage/bucket.rs`.

use object_store::{PutMode, PutOptions, PutPayload};
use serde_json::json;
use towpath_ports::Result;
use towpath_vocab::TableName;

use super::attempt_marker::{self, About, AttemptMarker};
use super::error::{LakeError, LakeResult};
use super::files::engine;
use super::open::Lake;
use super::storage::{self, Key, all, remove};
use super::table::Table;
use super::view;

/// What the entry that takes the next version says of itself.
const OPERATION: &str = "DROP TABLE";
/// Tries to take the next version against writers that keep getting in between.
const TRIES: usize = 50;

/// What is left of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Nothing.
    Wholly,
    /// Its log: a writer may still put an entry there.
    ButLog,
}

impl Lake {
    /// Drops a table: first out of sight by one put, then its files. True when there was one.
    pub async fn drop_table(&self, name: &TableName) -> Result<bool> {
        let dropped = self.holding(name, self.drop_held(name)).await;
        Ok(dropped?)
    }

    async fn drop_held(&self, name: &TableName) -> LakeResult<bool> {
        let table = self.table(name)?;
        let now = match table.now().await {
            // What its log says is lost already: nothing of it is hidden first.
            Err(LakeError::Damaged { .. }) => {
                return match self.take_away(&table).await? {
                    Gone::Wholly => Ok(true),
                    Gone::ButLog => Err(self.leaving(&table)),
                };
            }
            now => now?,
        };
        if let Some(now) = &now {
            // In the place of a view that the table hid: it must not come to light.
            let id = now.state.metadata().id();
            view::store_dropped(&**self.storage(), name, id).await?;
        }
        self.finish_dropped(&table).await?;
        Ok(now.is_some())
    }

    /// Deletes a table that is hidden by a view in its place or by the note that it is dropped.
    pub(super) async fn finish_hidden(&self, table: &Table) -> LakeResult<Gone> {
        if table.has_log().await?
            && table.now().await?.is_none()
            && self.take_away(table).await? == Gone::ButLog
        {
            return Ok(Gone::ButLog);
        }
        self.finish_dropped(table).await
    }

    /// Deletes a dropped table, where a crash or a writer kept that from being done, and the note that
    /// hides it.
    pub(super) async fn finish_dropped(&self, table: &Table) -> LakeResult<Gone> {
        let (storage, note) = (&**self.storage(), view::stored_at(&table.name));
        if !view::read(storage, &note)
            .await?
            .is_some_and(|note| note.is_dropped())
        {
            return Ok(Gone::Wholly);
        }
        let gone = self.take_away(table).await?;
        if gone == Gone::Wholly {
            remove(storage, &note).await?;
        }
        Ok(gone)
    }

    /// Deletes the objects of a table, whoever sees it.
    pub(crate) async fn take_away(&self, table: &Table) -> LakeResult<Gone> {
        table.forget().await;
        let storage = self.storage();
        if storage.lands_late() && table.has_log().await? {
            self.take_next_version(table).await?;
            if attempt_marker::is_committing(storage, &table.name).await? {
                delete_but_log(table).await?;
                return Ok(Gone::ButLog);
            }
        }
        match storage.delete_prefix(&table.prefix).await? {
            true => Ok(Gone::Wholly),
            false => Err(self.under_maintenance(&table.name)),
        }
    }

    /// The error of a write to a table whose log cannot be deleted yet.
    pub(super) fn leaving(&self, table: &Table) -> LakeError {
        LakeError::Leaving {
            table: table.name.to_string(),
            dead_after: self.storage().dead_after(),
        }
    }
}

impl Lake {
    /// Puts an entry without any change as the next version, so that nobody else's can be put there.
    async fn take_next_version(&self, table: &Table) -> LakeResult<()> {
        let (storage, log) = (&*table.storage, table.log_prefix());
        for _ in 0..TRIES {
            let names = storage::names(storage, &log).await?;
            let numbers = names.iter().filter_map(|name| {
                let (number, rest) = name.split_once('.')?;
                let is_version = rest == "json" || rest.ends_with("parquet");
                number.parse::<u64>().ok().filter(|_| is_version)
            });
            let newest = numbers.max();
            if let Some(newest) = newest
                && let Some(entry) = storage::get(storage, &entry_at(&log, newest)).await?
                && found(&entry, OPERATION)
            {
                return Ok(());
            }
            let next = newest.map_or(0, |newest| newest + 1);
            // This put may land late as well: it is one more that the deletion of the log waits for.
            let attempt = uuid::Uuid::new_v4().simple().to_string();
            let about = About::new(&attempt, &table.name, newest).committing(next);
            let marker = AttemptMarker::set(self.storage(), &about).await?;
            let entry = json!({ "commitInfo": {
            "timestamp": chrono::Utc::now().timestamp_millis(),
            "operation": OPERATION,
            "operationParameters": {},
            "engineInfo": engine(),
        } });
            let key = entry_at(&log, next);
            let payload = PutPayload::from(format!("{entry}\n"));
            let objects = storage.objects();
            let put = objects.put_opts(&key, payload, PutOptions::from(PutMode::Create));
            match put.await {
                Ok(_) => {
                    marker.lift().await;
                    return Ok(());
                }
                Err(object_store::Error::AlreadyExists { .. }) => marker.lift().await,
                Err(source) => {
                    return Err(LakeError::Storage {
                        doing: "writing",
                        address: storage.address(&key),
                        source,
                    });
                }
            }
        }
        Err(LakeError::Conflict {
            table: table.name.to_string(),
        })
    }
}

fn entry_at(log: &Key, version: u64) -> Key {
    storage::child(log, &format!("{version:020}.json"))
}

fn found(text: &[u8], wanted: &str) -> bool {
    let wanted = format!("\"operation\":\"{wanted}\"");
    text.windows(wanted.len())
        .any(|part| part == wanted.as_bytes())
}

async fn delete_but_log(table: &Table) -> LakeResult<()> {
    let storage = &*table.storage;
    let found = all(storage, &table.prefix).await?;
    for object in found {
        if !object.location.prefix_matches(&table.log_prefix()) {
            remove(storage, &object.location).await?;
        }
    }
    Ok(())
}
