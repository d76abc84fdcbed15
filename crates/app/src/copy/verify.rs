//! `copy --verify`: what the target has after the commit is compared with what was read and written.
//!
//! Promise: rows are counted and their values summed (`flow/src/checksum.rs`) where the reader gives them and
//! where they are handed to the target; after the commit the target is read back, and every column that differs
//! is named. No value is part of a message. It does not know who changed a value, and not whether the reader read
//! it as it is stored: both ends are read by this program. Read next: `copy.rs`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use towpath_flow::{Checksums, OutputSummary, SumDifference, missing_columns};
use towpath_ports::{
    Assignment, BoxStream, Checkpoint, Committed, Destination, Event, OpColumn, Prepared, ReadSpec,
    Reader, Source, Split, StagedFile, TableSchema, TableStates, WriteRequest, Writer,
};
use towpath_vocab::{
    ColumnPlan, Failure, Position, ReadMode, Remedy, Selection, TableName, TaskKey, WriteMode,
    types,
};

use super::{CopyEndpoint, CopyRequest};
use crate::Result;
use crate::services::{holds_files, parallelism};

/// Sums that are made while rows pass.
#[derive(Clone, Default)]
enum Passing {
    /// No row came.
    #[default]
    Nothing,
    /// With the columns of the rows.
    Sums(SchemaRef, Checksums),
    /// The columns changed on the way.
    Unusable,
}

impl Passing {
    fn of(schema: SchemaRef) -> Self {
        let sums = Checksums::of(&schema);
        Self::Sums(schema, sums)
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        if let Self::Nothing = self {
            *self = Self::of(batch.schema());
        }
        match self {
            Self::Sums(_, sums) => sums.add(batch).map_err(unsummed),
            _ => Ok(()),
        }
    }
}

type Shared = Arc<Mutex<Passing>>;

/// What a copy that is verified looks at.
#[derive(Clone, Default)]
pub(super) struct Watch {
    read: Shared,
    written: Shared,
}

/// What was found to be equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The number of rows.
    pub rows: u64,
    /// The number of columns.
    pub columns: usize,
}

/// Refuses a write after which the target has other rows, too.
pub(super) fn refuse_mode(mode: WriteMode) -> Result<()> {
    if mode == WriteMode::Replace {
        return Ok(());
    }
    Err(Failure::new(
        "R0257",
        Remedy::FixConfig,
        "--verify compares the whole target, and this copy adds to it",
    )
    .help("copy into a new table or file, or with `--write replace`"))
}

fn lock(sums: &Shared) -> MutexGuard<'_, Passing> {
    sums.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unsummed(reason: impl Display) -> Failure {
    let message = format!("a column cannot be verified: {reason}");
    Failure::new("R0258", Remedy::FixConfig, message)
        .help("copy without --verify, or give the column the type text: --type NAME=text")
}

impl Watch {
    /// A reader whose rows are summed.
    pub(super) fn reader(&self, inner: Box<dyn Reader>) -> Box<dyn Reader> {
        Box::new(WatchedReader {
            inner,
            sums: Arc::clone(&self.read),
        })
    }

    /// A destination to which the rows that are handed over are summed.
    pub(super) fn destination(&self, inner: Arc<dyn Destination>) -> Arc<dyn Destination> {
        Arc::new(WatchedDestination {
            inner,
            sums: Arc::clone(&self.written),
        })
    }

    /// Reads the target back and compares.
    ///
    /// # Errors
    /// `FixData` with everything that differs.
    pub(super) async fn compare(
        &self,
        request: &CopyRequest,
        to: &CopyEndpoint,
        target: &dyn Source,
        table: &OutputSummary,
    ) -> Result<Verified> {
        let Passing::Sums(schema, written) = lock(&self.written).clone() else {
            return Err(unsummed("its rows were not seen"));
        };
        let mut found = Vec::new();
        // Declared types, a part of the columns or rows, and rejected rows make what was written another thing
        // than what was read.
        let changed = [
            table.rows_rejected,
            table.rows_dropped,
            table.rows_filtered,
            table.rows_deduplicated,
        ];
        let is_whole = changed.iter().all(|rows| *rows == 0)
            && request.types.is_empty()
            && request.columns.is_empty()
            && request.filter.is_none();
        let read = lock(&self.read).clone();
        if let (Passing::Sums(_, read), true) = (read, is_whole) {
            let differences = read.differences(&written);
            found.extend(differences.iter().map(|one| said(one, "read", "written")));
        }
        let has_types = !holds_files(&to.connection.kind)
            || to.object.to_ascii_lowercase().ends_with(".parquet");
        let declared = match has_types {
            true => Vec::new(),
            false => texts(&schema),
        };
        let spec = everything(to, table, declared);
        let back = ReadBack::of(target, &spec, &written).await?;
        let missing = back.missing.iter();
        found.extend(missing.map(|name| format!("column `{name}` is not there")));
        if back.rejected > 0 {
            found.push(format!("{} rows cannot be read back", back.rejected));
        }
        if back.missing.is_empty() {
            let differences = written.differences(&back.sums);
            found.extend(differences.iter().map(|one| said(one, "written", "there")));
        }
        if found.is_empty() {
            let (rows, columns) = (written.rows, written.names().count());
            return Ok(Verified { rows, columns });
        }
        let message = format!("`{}` does not have what was copied", to.object);
        let failure = Failure::new("R0256", Remedy::FixData, message);
        let failure = found
            .into_iter()
            .fold(failure, |failure, one| failure.help(one));
        Err(failure.help("the copy was committed before it was verified; a trigger, a default or a type of the target changed values, or somebody has changed it since"))
    }
}

/// The verification was stopped.
pub(super) fn stopped() -> Failure {
    let message = "the copy was committed, and was not verified: it was stopped";
    Failure::new("R0259", Remedy::Cancelled, message)
        .help("all of its rows are visible; copy again with --write replace to verify them")
}

/// A read of all rows and columns of the target, whatever part of the source was copied.
fn everything(to: &CopyEndpoint, table: &OutputSummary, declared: Vec<ColumnPlan>) -> ReadSpec {
    ReadSpec {
        table: table.table.clone(),
        selection: Selection::Object(to.object.clone()),
        mode: ReadMode::Full,
        cursor: None,
        declared,
        known: None,
        observed: None,
        projection: None,
        limit: None,
        options: BTreeMap::new(),
        parallel: parallelism(),
        batch_rows: 32 * 1024,
        batch_bytes: 8 << 20,
        may_repeat: false,
    }
}

/// All columns as text: what a file without types holds, and nothing that is guessed.
fn texts(schema: &Schema) -> Vec<ColumnPlan> {
    let plans = schema.fields().iter().map(|field| ColumnPlan {
        name: field.name().clone(),
        data_type: Some(types::name(&DataType::Utf8)),
        ..ColumnPlan::default()
    });
    plans.collect()
}

/// What a target has.
struct ReadBack {
    sums: Checksums,
    rejected: usize,
    missing: Vec<String>,
}

impl ReadBack {
    async fn of(target: &dyn Source, spec: &ReadSpec, written: &Checksums) -> Result<Self> {
        let mut reader = target.open(spec, None).await?;
        let tables = reader.tables();
        let missing = tables
            .first()
            .map(|table| missing_columns(written, &table.schema));
        let mut back = Self {
            sums: written.empty(),
            rejected: 0,
            missing: missing.unwrap_or_default(),
        };
        if !back.missing.is_empty() {
            return Ok(back);
        }
        let assignments: Vec<Assignment> = reader.splits().try_collect().await?;
        let splits = assignments.into_iter().filter_map(|one| match one {
            Assignment::Assigned(split) => Some(split.events),
            _ => None,
        });
        let mut events = stream::select_all(splits);
        while let Some(event) = events.next().await {
            match event? {
                Event::Rows(rows) => {
                    let added = back.sums.add(&rows.batch);
                    added.map_err(unsummed)?;
                }
                Event::Rejects(rejects) => back.rejected += rejects.len(),
                _ => {}
            }
        }
        Ok(back)
    }
}

fn said(difference: &SumDifference, before: &str, after: &str) -> String {
    match difference {
        SumDifference::Rows(one, other) => {
            format!("rows: {one} were {before}, and {other} are {after}")
        }
        SumDifference::Column(name) => format!("column `{name}`: other values"),
        SumDifference::Together => {
            "every column has its values, but some stand in other rows".to_owned()
        }
    }
}

/// A reader whose rows are summed when they are taken.
struct WatchedReader {
    inner: Box<dyn Reader>,
    sums: Shared,
}

#[async_trait]
impl Reader for WatchedReader {
    fn tables(&self) -> Vec<TableSchema> {
        self.inner.tables()
    }

    fn bounded(&self) -> bool {
        self.inner.bounded()
    }

    fn splits(&mut self) -> BoxStream<Result<Assignment>> {
        let sums = Arc::clone(&self.sums);
        let watched = move |assignment| match assignment {
            Assignment::Assigned(Split { id, events }) => {
                let sums = Arc::clone(&sums);
                let events = events.inspect_ok(move |event| match event {
                    Event::Rows(rows) => {
                        let mut sums = lock(&sums);
                        if sums.add(&rows.batch).is_err() {
                            // What is handed to the target is summed too.
                            *sums = Passing::Unusable;
                        }
                    }
                    Event::Schema(_) => *lock(&sums) = Passing::Unusable,
                    _ => {}
                });
                let events = events.boxed();
                Assignment::Assigned(Split { id, events })
            }
            other => other,
        };
        self.inner.splits().map_ok(watched).boxed()
    }

    async fn committed(&mut self, position: &Position) -> Result<()> {
        self.inner.committed(position).await
    }

    fn notes(&self) -> Vec<String> {
        self.inner.notes()
    }
}

/// A destination whose rows are summed when they are handed over.
struct WatchedDestination {
    inner: Arc<dyn Destination>,
    sums: Shared,
}

#[async_trait]
impl Destination for WatchedDestination {
    async fn last(&self, task: &TaskKey, table: &TableName) -> Result<Option<Committed>> {
        self.inner.last(task, table).await
    }

    async fn begin(&self, intent: WriteRequest) -> Result<Box<dyn Writer>> {
        *lock(&self.sums) = Passing::of(Arc::clone(&intent.schema));
        Ok(Box::new(WatchedWriter {
            inner: self.inner.begin(intent).await?,
            sums: Arc::clone(&self.sums),
        }))
    }

    async fn schema(&self, table: &TableName) -> Result<Option<SchemaRef>> {
        self.inner.schema(table).await
    }

    async fn states(&self, task: &TaskKey, table: &TableName) -> Result<TableStates> {
        self.inner.states(task, table).await
    }

    fn days(&self) -> Option<RangeInclusive<i32>> {
        self.inner.days()
    }

    async fn checkpoint(&self, task: &TaskKey, table: &TableName) -> Result<Option<Checkpoint>> {
        self.inner.checkpoint(task, table).await
    }
}

struct WatchedWriter {
    inner: Box<dyn Writer>,
    sums: Shared,
}

#[async_trait]
impl Writer for WatchedWriter {
    async fn write(&mut self, batch: RecordBatch, ops: Option<OpColumn>) -> Result<()> {
        lock(&self.sums).add(&batch)?;
        self.inner.write(batch, ops).await
    }

    async fn add_files(&mut self, files: Vec<StagedFile>) -> Result<()> {
        self.inner.add_files(files).await
    }

    fn rows_are_missing(&mut self) {
        self.inner.rows_are_missing();
    }

    async fn prepare(self: Box<Self>) -> Result<Box<dyn Prepared>> {
        self.inner.prepare().await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.inner.abort().await
    }
}
