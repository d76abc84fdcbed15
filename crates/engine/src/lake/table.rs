//! One Delta table: where it is, its log, and one snapshot in memory that is advanced, not opened again.
//!
//! Promise: a table with features that this version does not read (partitions, column mapping, deletion
//! vectors) is refused by name instead of being read wrong. It reads no rows. Read next: `read.rs`, `entry.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use deltalake_core::DeltaTableError;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoArrow as _;
use deltalake_core::kernel::{Add, LogicalFileView, Remove};
use deltalake_core::logstore::LogStoreRef;
use deltalake_core::table::state::DeltaTableState;
use tokio::sync::Mutex;
use towpath_vocab::TableName;

use super::block_sums::sums_of;
use super::candidate::{LakeCandidate, LakeFile};
use super::checkpoint;
use super::damage;
use super::error::{LakeError, LakeResult};
use super::log::{lenient_log_of, log_of};
use super::names::{self, LOG};
use super::storage::{self, Key, StorageRef, child, head, key};
use super::view;

/// The property that names the write mode of a table that keeps the history of its rows.
pub(crate) const HISTORY: &str = "towpath.history";

/// A table, existing or not.
pub(crate) struct Table {
    pub(crate) name: TableName,
    pub(crate) storage: StorageRef,
    pub(crate) prefix: Key,
    pub(crate) log: LogStoreRef,
    view: Key,
    warm: Mutex<Option<(Snapshot, Entry)>>,
}

/// What tells a log entry from another one of its name.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    changed: chrono::DateTime<chrono::Utc>,
    bytes: u64,
    e_tag: Option<String>,
}

impl Table {
    /// Names a table; touches nothing.
    pub(crate) fn at(storage: &StorageRef, name: TableName) -> LakeResult<Self> {
        let schema = key(&names::escape(name.schema()));
        let prefix = child(&schema, &names::escape(name.table()));
        Ok(Self {
            view: view::stored_at(&name),
            log: log_of(storage, &prefix)?,
            name,
            storage: Arc::clone(storage),
            prefix,
            warm: Mutex::new(None),
        })
    }

    /// The table as it is now; `None` when there is none, or when a view has taken its place.
    pub(crate) async fn now(&self) -> LakeResult<Option<Snapshot>> {
        let Some(now) = self.standing().await? else {
            return Ok(None);
        };
        let over = view::over(&*self.storage, &self.view).await?;
        let is_hidden = over.is_some_and(|id| id == now.state.metadata().id());
        Ok((!is_hidden).then_some(now))
    }

    /// The table as it is now, also behind a view that has taken its place.
    pub(crate) async fn standing(&self) -> LakeResult<Option<Snapshot>> {
        let mut warm = self.warm.lock().await;
        if let Some((known, entry)) = warm.take() {
            let same = self.entry(known.version()).await? == Some(entry);
            let mut state = known.state.clone();
            // A log that cannot be continued (the table was made anew) is opened from its start.
            if same && state.update(&self.log, None).await.is_ok() {
                let now = if state.version() == known.version() {
                    known
                } else {
                    Snapshot::new(self, state)?
                };
                *warm = self.marked(&now).await?;
                return Ok(Some(now));
            }
        }
        if !self.has_log().await? {
            return Ok(None);
        }
        let now = self.open_at(None).await?;
        *warm = self.marked(&now).await?;
        Ok(Some(now))
    }

    /// True when the log still ends with the version that was looked at, of the same table, and readers
    /// see it; for `None` when there is still no log.
    pub(crate) async fn is_still(&self, seen: Option<&Snapshot>) -> LakeResult<bool> {
        let Some(seen) = seen else {
            return Ok(!self.has_log().await?);
        };
        let over = view::over(&*self.storage, &self.view).await?;
        if over.is_some_and(|id| id == seen.state.metadata().id()) {
            return Ok(false);
        }
        let entry = self.entry(seen.version()).await?;
        let warm = self.warm.lock().await;
        Ok(match &*warm {
            Some((known, known_entry)) if known.same_version(seen) => {
                entry.as_ref() == Some(known_entry)
            }
            // Another task of this process has looked since.
            _ => entry.is_some(),
        })
    }

    /// A snapshot that may be continued as long as the log holds the entry it ended with.
    async fn marked(&self, now: &Snapshot) -> LakeResult<Option<(Snapshot, Entry)>> {
        let entry = self.entry(now.version()).await?;
        Ok(entry.map(|entry| (now.clone(), entry)))
    }

    async fn entry(&self, version: u64) -> LakeResult<Option<Entry>> {
        let entry = child(&self.log_prefix(), &format!("{version:020}.json"));
        let meta = head(&*self.storage, &entry).await?;
        Ok(meta.map(|meta| Entry {
            changed: meta.last_modified,
            bytes: meta.size,
            e_tag: meta.e_tag,
        }))
    }

    /// The prefix of its log.
    pub(crate) fn log_prefix(&self) -> Key {
        child(&self.prefix, LOG)
    }

    /// The table as it was at a version; the newest without one.
    pub(crate) async fn open_at(&self, version: Option<u64>) -> LakeResult<Snapshot> {
        let opened = DeltaTableState::try_new(&self.log, version).await;
        let state = match opened {
            Err(_) if self.set_torn_aside().await? => {
                DeltaTableState::try_new(&self.log, version).await
            }
            opened => opened,
        };
        let state = match state {
            Ok(state) => state,
            Err(source) => self.opened_otherwise(version, source).await?,
        };
        // The library opens a log whose newest entry is cut short, without what it held.
        if let Some(damage) = damage::of_entry(self, state.version()).await? {
            return Err(self.damaged(damage));
        }
        Snapshot::new(self, state)
    }

    /// The error that says so of its log.
    pub(crate) fn damaged(&self, damage: damage::Damage) -> LakeError {
        LakeError::Damaged {
            table: self.name.to_string(),
            address: damage.address,
            version: damage.version,
            why: damage.why,
            last_good: damage.last_good,
        }
    }

    /// A log that the library refuses: its damage, or its state without the statistics it stumbles over.
    async fn opened_otherwise(
        &self,
        version: Option<u64>,
        source: DeltaTableError,
    ) -> LakeResult<DeltaTableState> {
        if let Some(damage) = damage::find(self, version).await? {
            tracing::debug!(table = %self.name, "opening failed: {source}");
            return Err(self.damaged(damage));
        }
        let plain = lenient_log_of(&self.storage, &self.prefix)?;
        match DeltaTableState::try_new(&plain, version).await {
            Ok(state) => Ok(state),
            Err(_) => Err(delta("opening", &self.name, source)),
        }
    }

    async fn set_torn_aside(&self) -> LakeResult<bool> {
        checkpoint::set_aside(self).await
    }

    /// Forgets what is known about it, for a table that is taken away.
    pub(crate) async fn forget(&self) {
        *self.warm.lock().await = None;
    }

    /// True when there is a table that readers see.
    pub(crate) async fn exists(&self) -> LakeResult<bool> {
        if view::over(&*self.storage, &self.view).await?.is_some() {
            return Ok(self.now().await?.is_some());
        }
        self.has_log().await
    }

    /// True when its log has an entry.
    pub(crate) async fn has_log(&self) -> LakeResult<bool> {
        let names = storage::names(&*self.storage, &self.log_prefix()).await?;
        Ok(names
            .iter()
            .any(|name| name.len() >= 25 && name.ends_with(".json") || name.ends_with(".parquet")))
    }

    /// Names a failure of the Delta library.
    pub(crate) fn delta(
        &self,
        doing: &'static str,
    ) -> impl FnOnce(DeltaTableError) -> LakeError + '_ {
        move |source| delta(doing, &self.name, source)
    }

    /// The key of a file the log names.
    pub(crate) fn file(&self, path: &str) -> Key {
        key(&format!("{}/{path}", self.prefix))
    }

    /// Where a person finds it.
    pub(crate) fn address(&self) -> String {
        self.storage.address(&self.prefix)
    }
}

fn delta(doing: &'static str, table: &TableName, source: DeltaTableError) -> LakeError {
    LakeError::Delta {
        doing,
        table: table.to_string(),
        source: Box::new(source),
    }
}

#[allow(
    deprecated,
    reason = "the library makes an action of a file it has read in no other way"
)]
fn add_action(view: &LogicalFileView) -> Add {
    view.add_action()
}

/// One version of a table.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) state: DeltaTableState,
    pub(crate) schema: SchemaRef,
    files: Arc<Vec<LogicalFileView>>,
}

impl Snapshot {
    fn new(table: &Table, state: DeltaTableState) -> LakeResult<Self> {
        let foreign = |feature: &str| LakeError::Foreign {
            table: table.name.to_string(),
            feature: feature.to_owned(),
        };
        if let Some(features) = state.protocol().reader_features() {
            for feature in features {
                let name = feature.to_string();
                if !matches!(
                    name.as_str(),
                    "timestampNtz" | "v2Checkpoint" | "deletionVectors"
                ) {
                    return Err(foreign(&name));
                }
            }
        }
        if state
            .metadata()
            .configuration()
            .get("delta.columnMapping.mode")
            .is_some_and(|mode| mode != "none")
        {
            return Err(foreign("columnMapping"));
        }
        if !state.metadata().partition_columns().is_empty() {
            return Err(foreign("partitions"));
        }
        let files: Vec<_> = state.log_data().iter().collect();
        if files
            .iter()
            .any(|file| file.deletion_vector_descriptor().is_some())
        {
            return Err(foreign("deletionVectors"));
        }
        let schema: Schema =
            state
                .schema()
                .as_ref()
                .try_into_arrow()
                .map_err(|source| LakeError::Arrow {
                    doing: "reading a table's columns",
                    source,
                })?;
        Ok(Self {
            state,
            schema: Arc::new(schema),
            files: Arc::new(files),
        })
    }

    pub(crate) fn version(&self) -> u64 {
        self.state.version()
    }

    /// The write mode that keeps its history, if one does.
    pub(crate) fn history(&self) -> Option<&str> {
        let properties = self.state.metadata().configuration();
        properties.get(HISTORY).map(String::as_str)
    }

    /// Refuses tables whose rules a writer would have to keep and this version does not.
    pub(crate) fn check_writable(&self, table: &Table) -> LakeResult<()> {
        let foreign = |feature: &str| {
            Err(LakeError::Foreign {
                table: table.name.to_string(),
                feature: feature.to_owned(),
            })
        };
        if let Some(key) = self
            .state
            .metadata()
            .configuration()
            .keys()
            .find(|key| key.starts_with("delta.constraints."))
        {
            return foreign(key);
        }
        if self
            .state
            .metadata()
            .configuration()
            .get("delta.appendOnly")
            .is_some_and(|value| value == "true")
        {
            return foreign("delta.appendOnly");
        }
        for field in self.schema.fields() {
            let ruled = |key: &&String| {
                key.starts_with("delta.generationExpression")
                    || key.starts_with("delta.identity.")
                    || *key == "delta.invariants"
            };
            if let Some(key) = field.metadata().keys().find(ruled) {
                return foreign(key);
            }
            if !field.is_nullable() {
                return foreign("columns that are NOT NULL");
            }
        }
        Ok(())
    }

    /// Its files, in the order of the log.
    pub(crate) fn files(&self, table: &Table) -> Vec<LakeFile> {
        self.files
            .iter()
            .map(|view| {
                let add = add_action(view);
                LakeFile {
                    key: table.file(&add.path),
                    bytes: u64::try_from(add.size).unwrap_or(0),
                    rows: view.num_records().map(|rows| rows as u64),
                    sums: sums_of(&add),
                    stats: add.stats,
                    version: Some(self.version()),
                }
            })
            .collect()
    }

    /// Takes one of its files (by its place in `files`) out of the table.
    pub(crate) fn remove(&self, at: usize) -> Option<Remove> {
        self.files.get(at).map(|view| view.remove_action(true))
    }

    /// Puts one of its files (by its place in `files`) into the table again.
    pub(crate) fn add(&self, at: usize) -> Option<Add> {
        let add = self.files.get(at).map(add_action)?;
        Some(Add {
            data_change: true,
            ..add
        })
    }

    /// Takes these files out of the table without changing its rows; `None` when one is not in it.
    pub(crate) fn leaving(&self, table: &Table, files: &[LakeFile]) -> Option<Vec<Remove>> {
        let held: HashMap<Key, &LogicalFileView> = self
            .files
            .iter()
            .map(|view| (table.file(&view.path()), view))
            .collect();
        let leaves = |file: &LakeFile| Some(held.get(&file.key)?.remove_action(false));
        files.iter().map(leaves).collect()
    }

    /// Takes every file out of the table.
    pub(crate) fn remove_all(&self) -> Vec<Remove> {
        self.files
            .iter()
            .map(|view| view.remove_action(true))
            .collect()
    }

    pub(crate) fn candidate(&self, table: &Table) -> LakeCandidate {
        LakeCandidate {
            table: table.name.clone(),
            storage: Arc::clone(&table.storage),
            schema: Arc::clone(&self.schema),
            files: self.files(table),
            version: Some(self.version()),
        }
    }

    /// True when it is this version of the same table, not of one made anew under its name.
    pub(crate) fn same_version(&self, other: &Snapshot) -> bool {
        self.version() == other.version()
            && self.state.metadata().id() == other.state.metadata().id()
    }

    /// True when columns, properties and protocol are those of the other version.
    pub(crate) fn same_shape(&self, other: &Snapshot) -> bool {
        self.state.metadata() == other.state.metadata()
            && self.state.protocol() == other.state.protocol()
    }
}
