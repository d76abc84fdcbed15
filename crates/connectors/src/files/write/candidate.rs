//! A candidate as a source: the hidden files of a write, read by the source side with the types that
//! were written.
//!
//! Promise: it sees exactly what readers would see after the commit, through the same code that will
//! read it then. Options that only say how foreign files are read do not reach it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use futures::{StreamExt as _, future, stream};
use serde_json::json;
use towpath_ports::{
    Assignment, BoxStream, Candidate, Event, InputVersion, ReadSpec, Reader, RejectedRecord,
    Result, Rows, Source, Split, TableSchema,
};
use towpath_vocab::{Failure, Position, ReadMode, Selection, TableName};

use super::begin::Job;
use super::error::WriteError;
use crate::files::options::{Compression, Format, Options};
use crate::files::source::FilesSource;

/// One file of a candidate.
#[derive(Clone, Debug)]
pub(super) struct Readable {
    /// Its name in the place's folder.
    pub(super) name: String,
    /// It is on its way.
    pub(super) is_staged: bool,
    /// Its rows, if known.
    pub(super) rows: Option<u64>,
}

/// The source side of the connection that is written.
#[derive(Clone)]
pub(super) struct Reading {
    pub(super) source: FilesSource,
    /// The same for files on their way to a bucket.
    pub(super) staged: Option<FilesSource>,
}

impl Reading {
    /// A candidate of these files.
    pub(super) async fn candidate(&self, job: &Job, files: Vec<Readable>) -> Result<Candidate> {
        let target = &job.target;
        let has_header = target.format != Format::Csv || target.options.header;
        let selection = |file: &Readable| match self.staged.as_ref().filter(|_| file.is_staged) {
            Some(staged) => (staged.clone(), file.name.clone()),
            None => (self.source.clone(), target.location.selection(&file.name)),
        };
        let source = FileCandidate {
            // An empty text file has no head to read.
            selections: files
                .iter()
                .filter(|file| file.rows != Some(0))
                .map(selection)
                .collect(),
            options: options(job),
            written: Arc::clone(&job.columns.schema),
            has_header,
        };
        let schema = source
            .schema(&source.spec(&spec(&job.intent.table)))
            .await?;
        Ok(Candidate {
            schema,
            source: Arc::new(source),
            native: Arc::new(()),
        })
    }
}

/// How the files were written, in the words of the source side.
fn options(job: &Job) -> BTreeMap<String, serde_json::Value> {
    let target = &job.target;
    let mut options = job.intent.write.options.clone();
    let compression = match (target.format, target.compression) {
        (format, _) if format.has_columns() => "none",
        (_, Compression::None) => "none",
        (_, Compression::Gzip) => "gzip",
        (_, Compression::Zstd) => "zstd",
    };
    let settled = [
        ("format", json!(target.format.word())),
        ("compression", json!(compression)),
        ("delimiter", json!(char::from(target.delimiter).to_string())),
        ("missing_columns", json!("null")),
        ("skip_lines", json!(0)),
        ("max_record_bytes", json!(1_u64 << 30)),
    ];
    options.extend(settled.map(|(key, value)| (key.to_owned(), value)));
    options.retain(|option, _| Options::have(target.format, option));
    options
}

fn spec(table: &TableName) -> ReadSpec {
    ReadSpec {
        table: table.clone(),
        selection: Selection::Object(String::new()),
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

/// Hidden files as a source.
struct FileCandidate {
    selections: Vec<(FilesSource, String)>,
    options: BTreeMap<String, serde_json::Value>,
    written: SchemaRef,
    has_header: bool,
}

impl FileCandidate {
    /// The files' own name of a column.
    fn own_name(&self, at: usize, name: &str) -> String {
        if self.has_header {
            name.to_owned()
        } else {
            format!("column{}", at + 1)
        }
    }

    /// What is asked of one file.
    fn spec(&self, asked: &ReadSpec) -> ReadSpec {
        let fields = self.written.fields().iter().enumerate();
        let known: Vec<Field> = fields
            .filter(|(_, field)| *field.data_type() != DataType::Null)
            .map(|(at, field)| {
                Field::new(
                    self.own_name(at, field.name()),
                    field.data_type().clone(),
                    true,
                )
            })
            .collect();
        let projection = asked.projection.as_ref().map(|names| {
            let own = |name: &String| match self.written.index_of(name) {
                Ok(at) => self.own_name(at, name),
                Err(_) => name.clone(),
            };
            names.iter().map(own).collect()
        });
        ReadSpec {
            declared: Vec::new(),
            known: Some(Arc::new(Schema::new(known))),
            projection,
            options: self.options.clone(),
            cursor: None,
            mode: ReadMode::Full,
            ..asked.clone()
        }
    }

    async fn readers(&self, spec: &ReadSpec) -> Result<Vec<Box<dyn Reader>>> {
        let mut readers = Vec::with_capacity(self.selections.len());
        for (source, selection) in &self.selections {
            let spec = ReadSpec {
                selection: Selection::Object(selection.clone()),
                ..spec.clone()
            };
            readers.push(source.open(&spec, None).await?);
        }
        Ok(readers)
    }

    /// The columns a read gives, by the names that were written.
    async fn schema(&self, spec: &ReadSpec) -> Result<SchemaRef> {
        let mut joined: Vec<Field> = Vec::new();
        for reader in self.readers(spec).await? {
            for table in reader.tables() {
                for field in table.schema.fields() {
                    if !joined.iter().any(|other| other.name() == field.name()) {
                        joined.push(Field::clone(field));
                    }
                }
            }
        }
        if self.selections.is_empty() {
            return Ok(Arc::clone(&self.written));
        }
        let renamed = |field: Field| match self.written_name(field.name()) {
            Some(name) => field.with_name(name),
            None => field,
        };
        Ok(Arc::new(Schema::new(
            joined.into_iter().map(renamed).collect::<Vec<_>>(),
        )))
    }

    fn written_name(&self, own: &str) -> Option<String> {
        let mut fields = self.written.fields().iter().enumerate();
        fields
            .find(|(at, field)| self.own_name(*at, field.name()) == own)
            .map(|(_, field)| field.name().clone())
    }
}

#[async_trait]
impl Source for FileCandidate {
    async fn open(&self, spec: &ReadSpec, _: Option<&Position>) -> Result<Box<dyn Reader>> {
        let spec = self.spec(spec);
        let schema = self.schema(&spec).await?;
        let parts = self.readers(&spec).await?;
        Ok(Box::new(Joined {
            table: TableSchema {
                table: spec.table,
                schema,
            },
            parts,
        }))
    }

    async fn version(&self, _: &ReadSpec) -> Result<Option<InputVersion>> {
        Ok(None)
    }

    async fn replay(&self, _: &ReadSpec, _: Vec<RejectedRecord>) -> Result<Box<dyn Reader>> {
        Err(WriteError::Misused {
            reason: "cannot replay records of a candidate",
        }
        .into())
    }
}

/// Readers of several files, one after the other, in one set of columns.
struct Joined {
    table: TableSchema,
    parts: Vec<Box<dyn Reader>>,
}

/// Brings rows into the columns of all files: own names by place, missing columns as NULL.
fn shape(rows: Rows, own: &SchemaRef, schema: &SchemaRef) -> Result<Rows> {
    let is_same = own.fields().len() == schema.fields().len();
    let columns = schema.fields().iter().enumerate().map(|(at, field)| {
        let there = if is_same {
            Some(at)
        } else {
            own.index_of(field.name()).ok()
        };
        match there.and_then(|at| rows.batch.columns().get(at)) {
            Some(column) => Arc::clone(column),
            None => arrow_array::new_null_array(field.data_type(), rows.batch.num_rows()),
        }
    });
    let columns = columns.collect();
    let batch =
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| WriteError::Encode {
            path: rows.table.to_string(),
            why: error.to_string(),
        })?;
    Ok(Rows { batch, ..rows })
}

#[async_trait]
impl Reader for Joined {
    fn tables(&self) -> Vec<TableSchema> {
        vec![self.table.clone()]
    }

    fn bounded(&self) -> bool {
        true
    }

    fn splits(&mut self) -> BoxStream<Result<Assignment>> {
        let mut splits: Vec<BoxStream<Result<Assignment>>> = Vec::new();
        for mut part in std::mem::take(&mut self.parts) {
            let Some(own) = part.tables().into_iter().next().map(|table| table.schema) else {
                continue;
            };
            let schema = Arc::clone(&self.table.schema);
            let assigned = part.splits().filter_map(move |assignment| {
                let shaped = match assignment {
                    Ok(Assignment::Assigned(split)) => {
                        Some(Ok(Assignment::Assigned(shaped(split, &own, &schema))))
                    }
                    Ok(_) => None,
                    Err(failure) => Some(Err(failure)),
                };
                future::ready(shaped)
            });
            splits.push(Box::pin(assigned));
        }
        let complete = stream::once(future::ready(Ok(Assignment::Complete(Position::default()))));
        Box::pin(stream::iter(splits).flatten().chain(complete))
    }

    async fn committed(&mut self, _: &Position) -> Result<()> {
        Ok(())
    }
}

fn shaped(split: Split, own: &SchemaRef, schema: &SchemaRef) -> Split {
    let (own, schema) = (Arc::clone(own), Arc::clone(schema));
    let events = split.events.map(move |event| -> Result<Event, Failure> {
        match event? {
            Event::Rows(rows) => Ok(Event::Rows(shape(rows, &own, &schema)?)),
            other => Ok(other),
        }
    });
    Split {
        id: split.id,
        events: Box::pin(events),
    }
}
