//! Opens a lakehouse at a URL: its tables, and what is known about each.
//!
//! Promise: opening writes nothing; the lakehouse is created by the first write. Tables are found by their
//! `_delta_log`, so tables of other programs are found too. Read next: `table.rs`, `writer.rs`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_schema::SchemaRef;
use object_store::memory::InMemory;
use towpath_ports::{Committed, Result, Source};
use towpath_vocab::{Generation, TableName, TaskKey, WriteMode};

use super::candidate::LakeCandidate;
use super::error::{LakeError, LakeResult};
use super::files::Sizes;
use super::names::{self, OWN};
use super::position::Positions;
use super::read::TableSource;
use super::storage::{self, Bucket, Key, LocalFolder, StorageRef};
use super::table::{Snapshot, Table};
use super::table_history::{self, TableHistoryEntry};

/// A lakehouse. Cheap to clone; clones share the warm snapshots.
#[derive(Clone)]
pub struct Lake {
    inner: Arc<Inner>,
}

struct Inner {
    storage: StorageRef,
    sizes: Sizes,
    tables: Mutex<HashMap<TableName, Arc<Table>>>,
}

/// What is known about a table at its current version.
#[derive(Clone, Debug)]
pub struct TableDescription {
    /// The table.
    pub table: TableName,
    /// Its version.
    pub version: u64,
    /// Its columns.
    pub schema: SchemaRef,
    /// How many files it has.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their rows, when the log says.
    pub rows: Option<u64>,
    /// Delta's properties.
    pub properties: BTreeMap<String, String>,
    /// Delta's id of the table.
    pub id: String,
    /// Where it is.
    pub location: String,
}

impl Lake {
    /// The modes in which its tables can be written; those with history only by loads.
    pub const WRITES: &'static [WriteMode] = &[
        WriteMode::Replace,
        WriteMode::Append,
        WriteMode::Merge,
        WriteMode::DeleteInsert,
        WriteMode::InsertOnly,
        WriteMode::Scd2,
        WriteMode::Snapshot,
    ];

    /// Opens the lakehouse at a folder (a path or a `file://` URL) or in a bucket (`s3://BUCKET/PREFIX` or
    /// of another cloud, with the settings of these environment variables), with a budget of memory for writes. Nothing is asked yet.
    ///
    /// # Errors
    /// `FixConfig` when the location is a URL this version has no store for, or the settings are wrong.
    pub fn open_with(
        location: &str,
        variables: &BTreeMap<String, String>,
        memory_bytes: u64,
    ) -> Result<Self> {
        if storage::is_bucket(location) {
            let bucket = storage::open_bucket(location, variables)?;
            return Ok(Self::over(Arc::new(bucket), memory_bytes));
        }
        Self::open(location, memory_bytes)
    }

    /// Opens the lakehouse at a folder: a path or a `file://` URL.
    ///
    /// # Errors
    /// `FixConfig` when the location is another URL.
    pub fn open(location: &str, memory_bytes: u64) -> Result<Self> {
        let unknown = || LakeError::Location {
            location: location
                .split_once("://")
                .map_or(location, |(scheme, _)| scheme)
                .to_owned(),
        };
        let path = match url::Url::parse(location) {
            Ok(url) if url.scheme() == "file" => url.to_file_path().map_err(|()| unknown())?,
            Ok(url) if url.scheme().len() > 1 && location.contains("://") => {
                return Err(unknown().into());
            }
            _ => Path::new(location).to_path_buf(),
        };
        Ok(Self::over(Arc::new(LocalFolder::at(&path)?), memory_bytes))
    }

    /// An empty lakehouse that is gone with the process.
    ///
    /// # Errors
    /// None in practice.
    pub fn in_memory(memory_bytes: u64) -> Result<Self> {
        let url = url::Url::parse("memory://lakehouse/").map_err(|_| LakeError::Location {
            location: "memory".to_owned(),
        })?;
        let bucket = Bucket::over(Arc::new(InMemory::new()), url);
        Ok(Self::over(Arc::new(bucket), memory_bytes))
    }

    /// The lakehouse in a storage.
    pub(crate) fn over(storage: StorageRef, memory_bytes: u64) -> Self {
        Self {
            inner: Arc::new(Inner {
                storage,
                sizes: Sizes { memory_bytes },
                tables: Mutex::new(HashMap::new()),
            }),
        }
    }

    /// Where it is: a path on this machine, or a URL without credentials.
    pub fn address(&self) -> String {
        self.inner.storage.address(&Key::default())
    }

    pub(crate) fn storage(&self) -> &StorageRef {
        &self.inner.storage
    }

    pub(crate) fn sizes(&self) -> Sizes {
        self.inner.sizes
    }

    pub(crate) fn table(&self, name: &TableName) -> LakeResult<Arc<Table>> {
        let mut tables = self
            .inner
            .tables
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = tables.get(name) {
            return Ok(Arc::clone(table));
        }
        let table = Arc::new(Table::at(&self.inner.storage, name.clone())?);
        tables.insert(name.clone(), Arc::clone(&table));
        Ok(table)
    }

    pub(crate) async fn existing(&self, name: &TableName) -> LakeResult<(Arc<Table>, Snapshot)> {
        let table = self.table(name)?;
        let snapshot = table.now().await?.ok_or_else(|| LakeError::Missing {
            what: "table",
            name: name.to_string(),
        })?;
        Ok((table, snapshot))
    }

    /// Every table, by name.
    pub async fn tables(&self) -> Result<Vec<TableName>> {
        let storage = &**self.storage();
        let mut found = Vec::new();
        for schema in storage::names(storage, &Key::default()).await? {
            let Some(schema_name) = names::unescape(&schema).filter(|_| schema != OWN) else {
                continue;
            };
            for table in storage::names(storage, &storage::key(&schema)).await? {
                let Some(name) = names::unescape(&table) else {
                    continue;
                };
                let name = TableName::new(schema_name.clone(), name);
                if self.table(&name)?.exists().await? {
                    found.push(name);
                }
            }
        }
        Ok(found)
    }

    /// A table's files and columns at its current version; `None` when there is no such table.
    pub async fn snapshot(&self, name: &TableName) -> Result<Option<LakeCandidate>> {
        let table = self.table(name)?;
        Ok(table
            .now()
            .await?
            .map(|snapshot| snapshot.candidate(&table)))
    }

    /// A table's files and columns as they were at a version.
    ///
    /// # Errors
    /// `FixConfig` when there is no such table or version.
    pub async fn snapshot_at(&self, name: &TableName, version: u64) -> Result<LakeCandidate> {
        let table = self.table(name)?;
        let newest = match self.existing(name).await {
            Ok((_, now)) => now.version(),
            // Of a damaged log an older version may still be whole.
            Err(LakeError::Damaged { .. }) => version,
            Err(error) => return Err(error.into()),
        };
        if version > newest {
            return Err(LakeError::Missing {
                what: "version",
                name: format!("{version}` of `{name}"),
            }
            .into());
        }
        Ok(table.open_at(Some(version)).await?.candidate(&table))
    }

    /// A table's current version; `None` when there is no such table.
    pub async fn version(&self, name: &TableName) -> Result<Option<u64>> {
        Ok(self
            .table(name)?
            .now()
            .await?
            .map(|snapshot| snapshot.version()))
    }

    /// What tells the commit of a version from every other one, also from one that got its number after
    /// the lakehouse was set back or copied; `None` when the log does not hold its entry (any more).
    pub async fn commit_id(&self, name: &TableName, version: u64) -> Result<Option<String>> {
        let table = self.table(name)?;
        Ok(table_history::commit_id(&table, version).await?)
    }

    /// A version of a table in words that no other one has.
    pub async fn version_text(&self, name: &TableName, version: u64, id: &str) -> Result<String> {
        let table = self.table(name)?;
        Ok(table_history::version_text(&table, version, id).await?)
    }

    /// What is known about a table.
    pub async fn describe(&self, name: &TableName) -> Result<TableDescription> {
        let (table, snapshot) = self.existing(name).await?;
        let now = snapshot.candidate(&table);
        let metadata = snapshot.state.metadata();
        Ok(TableDescription {
            table: name.clone(),
            version: snapshot.version(),
            schema: Arc::clone(&now.schema),
            files: now.files.len() as u64,
            bytes: now.files.iter().map(|file| file.bytes).sum(),
            rows: now.rows(),
            properties: metadata
                .configuration()
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            id: metadata.id().to_owned(),
            location: self.storage().address(&table.prefix),
        })
    }

    /// A table's newest versions, newest first.
    pub async fn history(&self, name: &TableName, limit: usize) -> Result<Vec<TableHistoryEntry>> {
        let (table, snapshot) = self.existing(name).await?;
        Ok(table_history::history(&table, snapshot.version(), limit).await?)
    }

    /// Versions of a table below one of them, newest first.
    pub async fn history_below(
        &self,
        name: &TableName,
        version: u64,
        limit: usize,
    ) -> Result<Vec<TableHistoryEntry>> {
        let (table, snapshot) = self.existing(name).await?;
        match version.checked_sub(1) {
            None => Ok(Vec::new()),
            Some(last) => {
                let last = last.min(snapshot.version());
                Ok(table_history::history(&table, last, limit).await?)
            }
        }
    }

    /// Reads a table at the version it has when the source is opened.
    pub fn source(&self, name: &TableName) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(TableSource(self.table(name)?)))
    }

    /// The last commit of a task, as log and position file say.
    pub(crate) async fn committed(
        &self,
        table: &Arc<Table>,
        snapshot: &Snapshot,
        task: &TaskKey,
    ) -> LakeResult<Option<Committed>> {
        // A door for tests: a lake that does not ask what it holds must be caught.
        fail::fail_point!("lake::token", |_| Ok(None));
        let app_id = task.app_id();
        let stored = snapshot
            .state
            .transaction_version(&table.log, &app_id)
            .await
            .map_err(table.delta("reading the log of"))?;
        let Some(generation) = stored else {
            return Ok(None);
        };
        let positions = Positions::of(table, &app_id);
        let missing = || LakeError::PositionMissing {
            table: table.name.to_string(),
            generation,
        };
        if let Some(settled) = positions.settled(Generation(generation)).await? {
            return Ok(Some(settled.committed()));
        }
        let mut attempts = positions.attempts(Generation(generation)).await?;
        let winner = match attempts.len() {
            0 => return Err(missing()),
            1 => attempts.remove(0),
            _ => {
                let (_, attempt) =
                    table_history::winner(table, snapshot.version(), &app_id, generation)
                        .await?
                        .ok_or_else(missing)?;
                attempts
                    .into_iter()
                    .find(|stored| stored.attempt() == attempt)
                    .ok_or_else(missing)?
            }
        };
        let attempt = winner.attempt().to_owned();
        positions.settle(Generation(generation), &attempt).await?;
        Ok(Some(winner.committed()))
    }
}
