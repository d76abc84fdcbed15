//! One Delta table on disk: where it is, its log, and one warm snapshot that is advanced, not reopened.
//!
//! Tables with features this version does not read (partitions, column mapping, deletion vectors)
//! are refused by name instead of being read wrong.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arrow_schema::{Schema, SchemaRef};
use deltalake_core::DeltaTableError;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoArrow as _;
use deltalake_core::kernel::{Add, LogicalFileView, Remove};
use deltalake_core::logstore::{LogStoreRef, StorageConfig, logstore_for};
use deltalake_core::table::state::DeltaTableState;
use tokio::sync::Mutex;
use towpath_vocab::TableName;
use url::Url;

use super::candidate::{LakeCandidate, LakeFile};
use super::checkpoint;
use super::error::{LakeError, LakeResult};
use super::folder::{self, LOG};
use super::log::DurableLog;
use super::view;

/// A table, existing or not.
pub(crate) struct Table {
    pub(crate) name: TableName,
    pub(crate) folder: PathBuf,
    pub(crate) log: LogStoreRef,
    view: PathBuf,
    warm: Mutex<Option<(Snapshot, Entry)>>,
}

/// What tells the file of a log entry from another one of its name.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    changed: SystemTime,
    bytes: u64,
    file: u64,
}

impl Table {
    /// Names a table; touches nothing.
    pub(crate) fn at(root: &Path, name: TableName) -> LakeResult<Self> {
        let folder = folder::table_folder(root, &name);
        let location = || LakeError::Location {
            location: folder.display().to_string(),
        };
        let url = Url::from_directory_path(&folder).map_err(|()| location())?;
        let log = logstore_for(&url, StorageConfig::default())
            .map_err(|source| delta("opening", &name, source))?;
        let log: LogStoreRef = Arc::new(DurableLog::over(log, &folder));
        Ok(Self {
            view: view::stored_at(root, &name),
            name,
            folder,
            log,
            warm: Mutex::new(None),
        })
    }

    /// The table as it is now; `None` when there is none, or when a view has taken its place.
    pub(crate) async fn now(&self) -> LakeResult<Option<Snapshot>> {
        let Some(now) = self.standing().await? else {
            return Ok(None);
        };
        let view = self.view.clone();
        let over = folder::blocking(move || view::over(&view)).await?;
        let is_hidden = over.is_some_and(|id| id == now.state.metadata().id());
        Ok((!is_hidden).then_some(now))
    }

    /// The table as it is now, also behind a view that has taken its place.
    pub(crate) async fn standing(&self) -> LakeResult<Option<Snapshot>> {
        let mut warm = self.warm.lock().await;
        if !self.has_log().await? {
            *warm = None;
            return Ok(None);
        }
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
        let now = self.open_at(None).await?;
        *warm = self.marked(&now).await?;
        Ok(Some(now))
    }

    /// A snapshot that may be continued as long as the log holds the entry it ended with.
    async fn marked(&self, now: &Snapshot) -> LakeResult<Option<(Snapshot, Entry)>> {
        let entry = self.entry(now.version()).await?;
        Ok(entry.map(|entry| (now.clone(), entry)))
    }

    async fn entry(&self, version: u64) -> LakeResult<Option<Entry>> {
        let path = self.folder.join(LOG).join(format!("{version:020}.json"));
        folder::blocking(move || match std::fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(folder::failed("reading", &path)(error)),
            Ok(held) => Ok(Some(Entry {
                changed: held.modified().map_err(folder::failed("reading", &path))?,
                bytes: held.len(),
                file: file_number(&held),
            })),
        })
        .await
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
        let state = state.map_err(|source| delta("opening", &self.name, source))?;
        Snapshot::new(self, state)
    }

    async fn set_torn_aside(&self) -> LakeResult<bool> {
        let (name, log) = (self.name.clone(), self.folder.join(LOG));
        folder::blocking(move || checkpoint::set_aside(&name, &log)).await
    }

    /// Forgets what is known about it, for a table that is taken away.
    pub(crate) async fn forget(&self) {
        *self.warm.lock().await = None;
    }

    /// True when there is a table that readers see.
    pub(crate) async fn exists(&self) -> LakeResult<bool> {
        let view = self.view.clone();
        if folder::blocking(move || view::over(&view)).await?.is_some() {
            return Ok(self.now().await?.is_some());
        }
        self.has_log().await
    }

    /// True when its log has an entry.
    pub(crate) async fn has_log(&self) -> LakeResult<bool> {
        let log = self.folder.join(LOG);
        folder::blocking(move || {
            let names = folder::names(&log)?;
            Ok(names.iter().any(|name| {
                name.len() >= 25 && name.ends_with(".json") || name.ends_with(".parquet")
            }))
        })
        .await
    }

    /// Names a failure of the Delta library.
    pub(crate) fn delta(
        &self,
        doing: &'static str,
    ) -> impl FnOnce(DeltaTableError) -> LakeError + '_ {
        move |source| delta(doing, &self.name, source)
    }

    /// The absolute path of a file the log names.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }
}

#[cfg(unix)]
fn file_number(held: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(held)
}

#[cfg(not(unix))]
fn file_number(_: &std::fs::Metadata) -> u64 {
    0
}

fn delta(doing: &'static str, table: &TableName, source: DeltaTableError) -> LakeError {
    LakeError::Delta {
        doing,
        table: table.to_string(),
        source: Box::new(source),
    }
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
            .map(|view| LakeFile {
                path: table.file(&view.path()),
                bytes: u64::try_from(view.size()).unwrap_or(0),
                rows: view.num_records().map(|rows| rows as u64),
                stats: view.stats(),
            })
            .collect()
    }

    /// Takes one of its files (by its place in `files`) out of the table.
    pub(crate) fn remove(&self, at: usize) -> Option<Remove> {
        self.files.get(at).map(|view| view.remove_action(true))
    }

    /// Puts one of its files (by its place in `files`) into the table again.
    #[allow(
        deprecated,
        reason = "the library makes an action of a file it has read in no other way"
    )]
    pub(crate) fn add(&self, at: usize) -> Option<Add> {
        let add = self.files.get(at).map(LogicalFileView::add_action)?;
        Some(Add {
            data_change: true,
            ..add
        })
    }

    /// Takes these files out of the table without changing its rows; `None` when one is not in it.
    pub(crate) fn leaving(&self, table: &Table, files: &[LakeFile]) -> Option<Vec<Remove>> {
        let held: HashMap<PathBuf, &LogicalFileView> = self
            .files
            .iter()
            .map(|view| (table.file(&view.path()), view))
            .collect();
        let leaves = |file: &LakeFile| Some(held.get(&file.path)?.remove_action(false));
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
