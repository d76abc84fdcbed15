//! The source of a `files` connection: opens files, fingerprints them, reads rejected records again.
//!
//! Promise: a changed file has another fingerprint, and a read starts behind what a position says was
//! read. It does not decode a format: see `job.rs`. Read next: `find.rs`, `file_position.rs`, `replay.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use towpath_ports::{
    ConnectorContext, InputVersion, ReadSpec, Reader, RejectedRecord, Result, Source,
};
use towpath_vocab::{ConnectionPlan, Position, ReadMode, Selection};

use super::error::FilesError;
use super::file_position::{self, FilePosition};
use super::find::InputFile;
use super::fingerprint;
use super::grown;
use super::job::{Request, Settled};
use super::options::{HIVE, Options};
use super::path_rules::PathRules;
use super::reader::FilesReader;
use super::replay;
use super::root::Root;
use super::settle::settle;

/// A place of files to read from.
#[derive(Clone)]
pub(crate) struct FilesSource {
    pub(crate) connection: ConnectionPlan,
    pub(crate) root: Root,
    pub(crate) context: ConnectorContext,
}

impl FilesSource {
    /// The files a read means, with the options they are read by.
    pub(crate) async fn files(
        &self,
        spec: &ReadSpec,
    ) -> Result<(Vec<InputFile>, Arc<Options>), FilesError> {
        let options = Options::read(&self.connection.options, &spec.options)?;
        let Selection::Object(object) = &spec.selection else {
            return Err(FilesError::Query);
        };
        let mut files = match spec.mode {
            ReadMode::Incremental => self.root.find_whole(object, &options).await?,
            _ => self.root.find(object, &options).await?,
        };
        let Some(format) = files.first().map(|file| file.format) else {
            return Ok((files, Arc::new(options)));
        };
        let options = options.of_format(format)?;
        if Options::have(format, HIVE) {
            self.paths(&options).fill(&mut files)?;
        }
        Ok((files, Arc::new(options)))
    }

    /// What of the paths of files is read as columns.
    fn paths(&self, options: &Options) -> PathRules {
        PathRules::of(options, &self.root, &self.context.project_dir)
    }

    /// Columns and types of a read, and its rows if they are counted.
    pub(crate) async fn settle(
        &self,
        spec: &ReadSpec,
        count_rows: bool,
    ) -> Result<(Settled, usize), FilesError> {
        let (files, options) = self.files(spec).await?;
        self.settle_files(files, (spec, options), count_rows).await
    }

    async fn settle_files(
        &self,
        files: Vec<InputFile>,
        (spec, options): (&ReadSpec, Arc<Options>),
        count_rows: bool,
    ) -> Result<(Settled, usize), FilesError> {
        let request = Request {
            spec,
            options,
            context: &self.context,
            count_rows,
        };
        let note = self.paths(&request.options).note(&files);
        let mut settled = settle(files, &request).await?;
        settled.notes.extend(note);
        if let Selection::Object(object) = &spec.selection {
            settled.notes.extend(self.root.notes(object).await?);
        }
        Ok((settled, request.chunk_bytes()))
    }

    /// The files of a settled read that an incremental one has not read yet, with their positions.
    async fn new_ones(
        &self,
        spec: &ReadSpec,
        from: Option<&Position>,
    ) -> Result<(Settled, Vec<FilePosition>, usize), FilesError> {
        let from = from.cloned().unwrap_or_default();
        let broken = || FilesError::Broken {
            path: self.root.shown().to_owned(),
        };
        let (files, options) = self.files(spec).await?;
        let (before, asked) = (from.clone(), Arc::clone(&options));
        let looked = tokio::task::spawn_blocking(move || grown::look(files, &before, &asked));
        let looked = looked.await.map_err(|_| broken())??;
        let settled = self.settle_files(looked.files, (spec, options), false);
        let (mut settled, chunk_bytes) = settled.await?;
        let may_repeat = spec.may_repeat;
        let found = tokio::task::spawn_blocking(move || {
            file_position::leave_out(&mut settled, looked.texts, &from, may_repeat)
                .map(|positions| (settled, positions, chunk_bytes))
        });
        found.await.map_err(|_| broken())?
    }
}

#[async_trait]
impl Source for FilesSource {
    async fn open(&self, spec: &ReadSpec, from: Option<&Position>) -> Result<Box<dyn Reader>> {
        let memory = Arc::clone(&self.context.memory);
        if spec.mode != ReadMode::Incremental {
            let (settled, chunk_bytes) = self.settle(spec, false).await?;
            let reader = FilesReader::new(spec, settled, memory, chunk_bytes);
            return Ok(Box::new(reader));
        }
        let (settled, positions, chunk_bytes) = self.new_ones(spec, from).await?;
        let reader = FilesReader::new(spec, settled, memory, chunk_bytes).ending_at(positions);
        Ok(Box::new(reader))
    }

    async fn version(&self, spec: &ReadSpec) -> Result<Option<InputVersion>> {
        let (files, _) = self.files(spec).await?;
        let path = self.root.shown().to_owned();
        let version = tokio::task::spawn_blocking(move || fingerprint::of_files(&files)).await;
        Ok(Some(version.map_err(|_| FilesError::Broken { path })??))
    }

    async fn replay(
        &self,
        spec: &ReadSpec,
        records: Vec<RejectedRecord>,
    ) -> Result<Box<dyn Reader>> {
        let (settled, _) = self.settle(spec, false).await?;
        let paths = self.paths(&settled.options);
        Ok(replay::reader(
            spec.table.clone(),
            settled,
            records,
            &paths,
        )?)
    }
}
