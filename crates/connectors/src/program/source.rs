//! The source of a `program` connection: the program runs to its end, then its output is read as a file.
//!
//! Promise: the output lies in a folder that only this user can read, and is gone with the reader. A read
//! that is not incremental has no position. Read next: `run.rs`, `cursor.rs`, `files/source.rs`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use serde_json::Value;
use towpath_ports::{
    Assignment, BoxStream, Connector as _, ConnectorContext, Event, InputVersion, ReadSpec, Reader,
    RejectedRecord, Source, Split, TableSchema,
};
use towpath_vocab::{
    ConnectionPlan, Failure, OptionValue, Position, RawRecord, ReadMode, Selection, SplitId,
};

use super::cursor::{LargestValue, SPLIT, Stored};
use super::error::{ProgramError, Result, of_output};
use super::records::{Again, Named, header};
use super::run::{Call, run};
use super::settings::Settings;
use super::spec::OF_FILES;
use crate::files::FilesConnector;
use crate::stage::{Stage, private};

/// The longest last line that is looked at.
const LAST_LINE_BYTES: u64 = 64 << 20;

/// A program to read from.
pub(super) struct ProgramSource {
    pub(super) settings: Arc<Settings>,
    pub(super) context: ConnectorContext,
}

/// What a program printed.
struct Output {
    stage: Stage,
    file: String,
    named: Named,
}

impl ProgramSource {
    /// The table that a program is asked for.
    fn table<'s>(&self, spec: &'s ReadSpec) -> Result<&'s str> {
        match &spec.selection {
            Selection::Object(table) => Ok(table),
            Selection::Query(_) => Err(ProgramError::Query {
                connection: self.settings.connection.clone(),
            }),
        }
    }

    fn stage(&self) -> Result<Stage> {
        let stage = Stage::make(&self.context.project_dir.join(".towpath"), "programs");
        stage.map_err(|source| self.not_kept(source))
    }

    fn not_kept(&self, source: std::io::Error) -> ProgramError {
        ProgramError::Spool {
            program: self.settings.program(),
            source,
        }
    }

    /// The name of the file with the output for a table, which places of records show.
    fn file_name(&self, table: &str, spec: &ReadSpec) -> String {
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let name: String = table
            .chars()
            .map(|c| if is_plain(c) { c } else { '_' })
            .collect();
        format!("{name}.{}", self.settings.format(&spec.options))
    }

    /// Runs the program for a table.
    async fn output(&self, spec: &ReadSpec, cursor: Option<&str>) -> Result<Output> {
        let (settings, table) = (&self.settings, self.table(spec)?);
        let stage = self.stage()?;
        let file = self.file_name(table, spec);
        let path = stage.folder().join(&file);
        let secrets = self.context.secrets.as_ref();
        let environment = settings.environment(table, cursor, secrets).await?;
        let said = run(Call {
            program: settings.program(),
            argv: settings.argv(table, &spec.options, cursor),
            env: environment.variables,
            directory: &self.context.project_dir,
            redaction: environment.redaction,
            timeout: settings.timeout,
            output: private(&path).map_err(|error| self.not_kept(error))?,
        })
        .await?;
        let format = settings.format(&spec.options);
        if format != "arrow" && is_cut(&path, format).map_err(|error| self.not_kept(error))? {
            let program = settings.program();
            return Err(ProgramError::Cut {
                program,
                why: "it ends in the middle of a line".to_owned(),
                said,
            });
        }
        let header = match self.has_header(spec) {
            true => header(&path).map_err(|error| self.not_kept(error))?,
            false => None,
        };
        let object = format!("{}/{table}", settings.connection).into();
        Ok(Output {
            stage,
            file,
            named: Named { object, header },
        })
    }

    /// Whether the output is CSV whose first line names its columns.
    fn has_header(&self, spec: &ReadSpec) -> bool {
        let own = spec.options.get("header").cloned();
        let of_connection = match self.settings.of_files.get("header") {
            Some(OptionValue::Plain(value)) => Some(value.clone()),
            _ => None,
        };
        let is_off = own.or(of_connection) == Some(Value::Bool(false));
        self.settings.format(&spec.options) == "csv" && !is_off
    }

    /// The output as files.
    fn files(&self, folder: PathBuf) -> towpath_ports::Result<Arc<dyn Source>> {
        let path = OptionValue::Plain(Value::String(folder.display().to_string()));
        let mut options = self.settings.of_files.clone();
        options.insert("path".to_owned(), path);
        let plan = ConnectionPlan {
            name: self.settings.connection.clone(),
            kind: FilesConnector.spec().kind,
            writable: false,
            options,
        };
        FilesConnector.source(&plan, &self.context)
    }

    /// How the output is read: all of it, by the options that files have.
    fn of_files(&self, spec: &ReadSpec, file: String) -> ReadSpec {
        let mut options: BTreeMap<String, Value> = spec.options.clone();
        options.retain(|name, _| OF_FILES.contains(&name.as_str()));
        let format = self.settings.format(&spec.options);
        options.insert("format".to_owned(), Value::String(format.to_owned()));
        ReadSpec {
            selection: Selection::Object(file),
            mode: ReadMode::Full,
            cursor: None,
            options,
            ..spec.clone()
        }
    }

    /// The cursor of an incremental read.
    fn cursor(&self, spec: &ReadSpec, from: Option<&Position>) -> Result<Option<(String, Stored)>> {
        let Some(cursor) = spec
            .cursor
            .as_ref()
            .filter(|_| spec.mode == ReadMode::Incremental)
        else {
            return Ok(None);
        };
        let table = self.table(spec)?;
        if cursor.lookback > 0 {
            return Err(ProgramError::Cursor {
                table: table.to_owned(),
                column: cursor.column.clone(),
                why: "has a `lookback`, and the program decides what it gives again".to_owned(),
            });
        }
        let stored = Stored::read(table, from)?;
        Ok(Some((cursor.column.clone(), stored)))
    }
}

/// Whether the last line does not end: a line feed is missing, and the line is not whole JSON.
fn is_cut(path: &Path, format: &str) -> std::io::Result<bool> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0_u8];
    file.read_exact(&mut last)?;
    if last == *b"\n" {
        return Ok(false);
    }
    if format == "csv" {
        return Ok(true);
    }
    let from = length.saturating_sub(LAST_LINE_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let begin = memchr::memrchr(b'\n', &tail).map_or(0, |at| at + 1);
    let line = tail.get(begin..).unwrap_or_default().trim_ascii();
    Ok(!line.is_empty() && serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err())
}

#[async_trait]
impl Source for ProgramSource {
    async fn open(
        &self,
        spec: &ReadSpec,
        from: Option<&Position>,
    ) -> towpath_ports::Result<Box<dyn Reader>> {
        let cursor = self.cursor(spec, from)?;
        let known = cursor
            .as_ref()
            .and_then(|(_, stored)| stored.cursor.as_deref());
        let output = self.output(spec, known).await?;
        let files = self.files(output.stage.folder().to_path_buf())?;
        let program = self.settings.program();
        let of_files = self.of_files(spec, output.file.clone());
        let inner = files.open(&of_files, None).await;
        let inner = inner.map_err(|failure| of_output(&program, failure))?;
        let table = self.table(spec)?.to_owned();
        Ok(Box::new(ProgramReader {
            tables: inner.tables(),
            notes: inner.notes(),
            inner,
            cursor: cursor.map(|(column, stored)| LargestValue::new(table, column, stored)),
            says: Says::Named(output.named, program.into()),
            _stage: output.stage,
        }))
    }

    async fn version(&self, _: &ReadSpec) -> towpath_ports::Result<Option<InputVersion>> {
        Ok(None)
    }

    async fn replay(
        &self,
        spec: &ReadSpec,
        records: Vec<RejectedRecord>,
    ) -> towpath_ports::Result<Box<dyn Reader>> {
        let (stage, file) = (self.stage()?, self.file_name(self.table(spec)?, spec));
        let again = Again::of(records, self.has_header(spec));
        let is_typed = self.settings.format(&spec.options) == "arrow";
        let columns = spec.observed.as_ref().filter(|_| is_typed);
        again
            .write(&stage.folder().join(&file), columns.map(AsRef::as_ref))
            .map_err(|error| self.not_kept(error))?;
        let originals = again.originals();
        let files = self.files(stage.folder().to_path_buf())?;
        let inner = files
            .replay(&self.of_files(spec, file), again.records)
            .await?;
        Ok(Box::new(ProgramReader {
            tables: inner.tables(),
            notes: inner.notes(),
            inner,
            cursor: None,
            says: Says::Kept(originals),
            _stage: stage,
        }))
    }
}

/// What events say of their records.
#[derive(Clone)]
enum Says {
    /// Places of the connection, and the program.
    Named(Named, Arc<str>),
    /// What was kept of records that are read again.
    Kept(Arc<Vec<RawRecord>>),
}

impl Says {
    fn event(&self, event: towpath_ports::Result<Event>) -> towpath_ports::Result<Event> {
        match self {
            Self::Named(named, program) => match event {
                Ok(event) => Ok(named.event(event)),
                Err(failure) => Err(of_output(program, failure)),
            },
            Self::Kept(originals) => event.map(|event| Again::event(originals, event)),
        }
    }
}

/// An open read; its output is there as long as it lives.
struct ProgramReader {
    inner: Box<dyn Reader>,
    tables: Vec<TableSchema>,
    notes: Vec<String>,
    cursor: Option<LargestValue>,
    says: Says,
    _stage: Stage,
}

#[async_trait]
impl Reader for ProgramReader {
    fn tables(&self) -> Vec<TableSchema> {
        self.tables.clone()
    }

    fn bounded(&self) -> bool {
        true
    }

    fn splits(&mut self) -> BoxStream<towpath_ports::Result<Assignment>> {
        let says = self.says.clone();
        let splits = self.inner.splits().map(move |assignment| {
            let says = says.clone();
            assignment.map(|assignment| match assignment {
                Assignment::Assigned(split) => Assignment::Assigned(Split {
                    id: split.id,
                    events: Box::pin(split.events.map(move |event| says.event(event))),
                }),
                other => other,
            })
        });
        let splits: BoxStream<towpath_ports::Result<Assignment>> = Box::pin(splits);
        let Some(largest) = self.cursor.take() else {
            return splits;
        };
        let split = Assignment::Assigned(Split {
            id: SplitId(SPLIT.to_owned()),
            events: events(splits, largest),
        });
        let complete = Assignment::Complete(Position::default());
        Box::pin(stream::iter([Ok(split), Ok(complete)]))
    }

    async fn committed(&mut self, _: &Position) -> towpath_ports::Result<()> {
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

/// Where an incremental read is.
struct Progress {
    splits: BoxStream<towpath_ports::Result<Assignment>>,
    /// Of the split that is read.
    events: Option<BoxStream<towpath_ports::Result<Event>>>,
    largest: LargestValue,
    /// Events behind the last row.
    last: Option<std::vec::IntoIter<Event>>,
}

/// The events of all splits one after the other, and behind them the position.
fn events(
    splits: BoxStream<towpath_ports::Result<Assignment>>,
    largest: LargestValue,
) -> BoxStream<towpath_ports::Result<Event>> {
    let progress = Progress {
        splits,
        events: None,
        largest,
        last: None,
    };
    Box::pin(stream::unfold(progress, |mut progress| async move {
        let next = progress.next().await.transpose()?;
        Some((next, progress))
    }))
}

impl Progress {
    async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            if let Some(last) = &mut self.last {
                return Ok(last.next());
            }
            if let Some(events) = &mut self.events {
                match events.next().await.transpose()? {
                    Some(Event::Boundary(_)) => {}
                    Some(Event::End) | None => self.events = None,
                    Some(Event::Rows(rows)) => {
                        self.largest.see(&rows.batch)?;
                        return Ok(Some(Event::Rows(rows)));
                    }
                    Some(other) => return Ok(Some(other)),
                }
                continue;
            }
            match self.splits.next().await.transpose()? {
                Some(Assignment::Assigned(split)) => self.events = Some(split.events),
                Some(Assignment::Revoked(_) | Assignment::Complete(_)) => {}
                None => {
                    let end = vec![Event::Boundary(self.largest.position()), Event::End];
                    self.last = Some(end.into_iter());
                }
            }
        }
    }
}
