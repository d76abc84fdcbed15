//! The destination part: what was committed last, what is there now, and the writer.
//!
//! Promise: a connection is written only when the project says `writable: true`. The last commit is
//! known from the files alone. Read next: `begin.rs`, and `begin_bucket.rs` for a bucket.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use futures::FutureExt as _;
use towpath_ports::{
    Committed, Destination, ReadSpec, Result, StateBeforeWrite, TableState, TableStates,
    WriteRequest, Writer,
};
use towpath_vocab::{ReadMode, Selection, TableName, TaskKey};

use super::begin::{Job, begin};
use super::begin_bucket;
use super::candidate::Reading;
use super::commit_notes::{self, Known, Standing};
use super::error::WriteError;
use super::links;
use super::location::{FileTarget, Location};
use super::parquet::group_bytes;
use super::writer::FilesWriter;
use crate::files::find::Folder;
use crate::files::options::{Format, Options};
use crate::files::root::Root;
use crate::files::source::FilesSource;

/// A folder, or a prefix of a bucket, that files are written into.
pub(crate) struct FilesDestination {
    source: FilesSource,
}

impl FilesDestination {
    /// The destination side of a connection; its folder need not exist yet.
    pub(crate) fn new(source: FilesSource) -> Self {
        Self { source }
    }

    fn location(&self, table: &TableName) -> Result<Location, WriteError> {
        match &self.source.root {
            Root::Folder(folder) => Location::of(folder, table.table()),
            Root::Bucket(bucket) => Location::in_bucket(bucket, table.table()),
            Root::Server(server) => Err(WriteError::Target {
                object: server.shown().to_owned(),
                why: "files behind `https://` and `http://` are only read".to_owned(),
                way_out: "write into a folder or a bucket, or send rows by a connection of type `rest`",
            }),
        }
    }

    async fn known(&self, table: &TableName) -> Result<(Location, Known), WriteError> {
        let location = self.location(table)?;
        if let Some(place) = &location.bucket {
            let known = match location.many {
                true => place.known_folder().await?,
                false => place.known_file().await?,
            };
            return Ok((location, known));
        }
        let shown = location.shown.clone();
        let looked = tokio::task::spawn_blocking(move || {
            links::check(&location)?;
            commit_notes::read_known(&location).map(|known| (location, known))
        });
        looked
            .await
            .map_err(|_| WriteError::Broken { path: shown })?
    }

    /// The source side of files on their way to a bucket.
    fn staged(&self, job: &Job) -> FilesSource {
        let folder = job.location().folder.clone();
        let shown = job.location().shown.clone();
        FilesSource {
            root: Root::Folder(Folder::named(folder.clone(), shown, folder)),
            ..self.source.clone()
        }
    }

    fn target(&self, intent: &WriteRequest) -> Result<FileTarget, WriteError> {
        let connection = &self.source.connection;
        if !connection.writable {
            return Err(WriteError::ReadOnly {
                connection: connection.name.clone(),
            });
        }
        let path = connection.text("path").unwrap_or_default();
        let names_file = match &self.source.root {
            Root::Folder(_) => self.source.context.project_dir.join(path).is_file(),
            Root::Bucket(bucket) => bucket.names_file(),
            Root::Server(_) => false,
        };
        if names_file {
            return Err(WriteError::Target {
                object: path.to_owned(),
                why: "the connection's `path` names a file".to_owned(),
                way_out: "name a folder in `path`; each table is a file in it",
            });
        }
        let options = Options::read(&connection.options, &intent.write.options)?;
        FileTarget::of(self.location(&intent.table)?, options)
    }
}

#[async_trait]
impl Destination for FilesDestination {
    async fn last(&self, task: &TaskKey, table: &TableName) -> Result<Option<Committed>> {
        let (_, mut known) = self.known(table).await?;
        Ok(known
            .commits
            .remove(&task.app_id())
            .map(|noted| noted.committed))
    }

    /// A single file is known by its bytes (`commit_notes.rs`); a folder also by the files that are in it.
    async fn states(&self, task: &TaskKey, table: &TableName) -> Result<TableStates> {
        let (location, known) = self.known(table).await?;
        let now = commit_notes::state(&location, &known);
        let is_noted = known.commits.contains_key(&task.app_id());
        let left = match location.many {
            true => commit_notes::parts_noted(&known),
            false => String::new(),
        };
        Ok(TableStates {
            committed: (is_noted && now.is_some()).then_some(TableState {
                identity: left,
                ..TableState::default()
            }),
            now,
        })
    }

    async fn begin(&self, intent: WriteRequest) -> Result<Box<dyn Writer>> {
        fail::fail_point!("files::begin");
        let target = self.target(&intent)?;
        let before = StateBeforeWrite::of(&intent.write)?;
        let shown = target.location.shown.clone();
        let memory = &self.source.context.memory;
        let (group, memory_bytes) = match target.format {
            Format::Parquet => (
                group_bytes(memory.limit_bytes()),
                group_bytes(memory.limit_bytes()),
            ),
            _ => (0, (memory.limit_bytes() / 64).min(1 << 20)),
        };
        // Rows on their way here may hold what is wanted: the little a writer takes is not waited for.
        let lease = memory.hold(memory_bytes).now_or_never();
        let (job, claim) = match target.location.bucket.clone() {
            Some(place) => {
                let state = self.source.context.project_dir.join(".towpath");
                begin_bucket::begin(&place, target, (intent, before), group, state).await?
            }
            None => {
                let begun =
                    tokio::task::spawn_blocking(move || begin(target, (intent, before), group));
                begun
                    .await
                    .map_err(|_| WriteError::Broken { path: shown })??
            }
        };
        let reading = Reading {
            source: self.source.clone(),
            staged: job.location().bucket.as_ref().map(|_| self.staged(&job)),
        };
        Ok(Box::new(
            FilesWriter::open(job, claim, reading, lease).await?,
        ))
    }

    async fn schema(&self, table: &TableName) -> Result<Option<SchemaRef>> {
        let (location, known) = self.known(table).await?;
        let files = match (known.standing, location.many) {
            (Standing::Missing, _) => Vec::new(),
            (_, true) => known.parts.into_iter().map(|part| part.name).collect(),
            (_, false) => vec![location.name.clone()],
        };
        let mut fields: Vec<Arc<arrow_schema::Field>> = Vec::new();
        for file in &files {
            let (settled, _) = self
                .source
                .settle(&spec(table, location.selection(file)), false)
                .await?;
            for field in settled.schema.fields() {
                if !fields.iter().any(|other| other.name() == field.name()) {
                    fields.push(Arc::clone(field));
                }
            }
        }
        Ok((!files.is_empty()).then(|| Arc::new(Schema::new(fields))))
    }
}

fn spec(table: &TableName, selection: String) -> ReadSpec {
    ReadSpec {
        table: table.clone(),
        selection: Selection::Object(selection),
        mode: ReadMode::Full,
        cursor: None,
        declared: Vec::new(),
        known: None,
        observed: None,
        projection: None,
        limit: None,
        options: BTreeMap::new(),
        parallel: 1,
        batch_rows: 8192,
        batch_bytes: 4 << 20,
        may_repeat: false,
    }
}
