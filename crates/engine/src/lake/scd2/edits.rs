//! Times of rows that are not those of the load: where a version begins or ends at another one.
//!
//! Promise: what one pass of keys finds is in memory; what earlier passes found is in files of the table that
//! no log entry names, so that memory does not grow with the rows of a load. They are read once, in the order
//! of their rows. It does not know why a row changes. Read next: `apply.rs`.

use std::collections::{BTreeMap, btree_map};
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{Array as _, ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use deltalake_core::kernel::Add;
use futures::TryStreamExt as _;
use towpath_ports::BoxStream;

use crate::lake::error::{LakeError, LakeResult};
use crate::lake::files::{self, FileWriter};
use crate::lake::merge::MergeContext;

/// Rows of a file of edits that are made at once.
const BATCH: usize = 8_192;

/// Where a row is: its file, by place in the table, and its place in there. Incoming rows come behind all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowPlace {
    file: i64,
    row: i64,
}

impl RowPlace {
    /// A row of the table.
    pub(super) fn at(file: usize, row: usize) -> Self {
        let place = |at: usize| i64::try_from(at).unwrap_or(i64::MAX);
        Self {
            file: place(file),
            row: place(row),
        }
    }

    /// An incoming row.
    pub(super) fn incoming(row: usize) -> Self {
        Self::at(usize::MAX, row)
    }

    /// A later row of the same file.
    pub(super) fn after(self, rows: usize) -> Self {
        let row = self
            .row
            .saturating_add(i64::try_from(rows).unwrap_or(i64::MAX));
        Self { row, ..self }
    }

    /// Its place in its file.
    pub(super) fn row(self) -> usize {
        usize::try_from(self.row).unwrap_or(usize::MAX)
    }
}

/// The times of a row, where they are not those of the load and of the row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Edit {
    pub(super) from: Option<i64>,
    pub(super) to: Option<i64>,
}

/// All edits of a load.
pub(super) struct Edits<'a> {
    place: &'a MergeContext<'a>,
    latest: BTreeMap<RowPlace, Edit>,
    /// Files of earlier passes; each is in the order of its rows.
    written: Vec<Add>,
    /// There is one of an incoming row.
    has_incoming: bool,
}

impl<'a> Edits<'a> {
    pub(super) fn new(place: &'a MergeContext<'a>) -> Self {
        Self {
            place,
            latest: BTreeMap::new(),
            written: Vec::new(),
            has_incoming: false,
        }
    }

    /// Lets a row end at a time of its own.
    pub(super) fn end(&mut self, row: RowPlace, time: i64) {
        self.edit(row).to = Some(time);
    }

    /// Lets a row begin at another time.
    pub(super) fn begin(&mut self, row: RowPlace, time: i64) {
        self.edit(row).from = Some(time);
    }

    fn edit(&mut self, row: RowPlace) -> &mut Edit {
        self.has_incoming |= row.file == RowPlace::incoming(0).file;
        self.latest.entry(row).or_default()
    }

    pub(super) fn has_incoming(&self) -> bool {
        self.has_incoming
    }

    /// Writes what the last pass found, because another one follows.
    pub(super) async fn end_pass(&mut self) -> LakeResult<()> {
        if self.latest.is_empty() {
            return Ok(());
        }
        let place = self.place;
        let mut writer = FileWriter::new(
            Arc::clone(place.table),
            schema(),
            place.sizes,
            place.attempt,
        )?;
        let mut found = std::mem::take(&mut self.latest).into_iter();
        loop {
            let rows: Vec<_> = found.by_ref().take(BATCH).collect();
            if rows.is_empty() {
                break;
            }
            let written = match batch(&rows) {
                Ok(batch) => writer.write(&batch).await,
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                writer.abort().await?;
                return Err(error);
            }
        }
        self.written.extend(writer.close().await?);
        Ok(())
    }

    /// Reads them in the order of their rows.
    pub(super) fn reader(&mut self) -> EditReader {
        let files = files::lake_files(self.place.table, &self.written);
        let runs = files.into_iter().map(|file| Run {
            batches: self.place.read(vec![file], &schema()),
            batch: None,
            at: 0,
        });
        EditReader {
            latest: std::mem::take(&mut self.latest).into_iter().peekable(),
            runs: runs.collect(),
        }
    }

    /// Deletes its files: nobody else knows them.
    pub(super) async fn delete(&self) -> LakeResult<()> {
        files::delete(self.place.table, &self.written).await
    }
}

fn schema() -> SchemaRef {
    let field = |name| Field::new(name, DataType::Int64, true);
    let fields = ["file", "row", "begin", "end"].map(field);
    Arc::new(Schema::new(fields.to_vec()))
}

fn batch(rows: &[(RowPlace, Edit)]) -> LakeResult<RecordBatch> {
    let column = |of: fn(&(RowPlace, Edit)) -> Option<i64>| {
        Arc::new(rows.iter().map(of).collect::<Int64Array>()) as ArrayRef
    };
    let columns = vec![
        column(|(place, _)| Some(place.file)),
        column(|(place, _)| Some(place.row)),
        column(|(_, edit)| edit.from),
        column(|(_, edit)| edit.to),
    ];
    RecordBatch::try_new(schema(), columns).map_err(|source| LakeError::Arrow {
        doing: "noting the times of versions",
        source,
    })
}

/// Gives edits in the order of their rows.
pub(super) struct EditReader {
    latest: std::iter::Peekable<btree_map::IntoIter<RowPlace, Edit>>,
    runs: Vec<Run>,
}

impl EditReader {
    /// The edits of some rows, which are behind those asked for before.
    pub(super) async fn of(
        &mut self,
        first: RowPlace,
        rows: usize,
    ) -> LakeResult<BTreeMap<usize, Edit>> {
        let row = |at: i64| usize::try_from(at - first.row).unwrap_or(usize::MAX);
        let end = first.after(rows);
        let mut found = BTreeMap::new();
        while let Some((place, edit)) = self.latest.next_if(|(place, _)| *place < end) {
            if place >= first {
                found.insert(row(place.row), edit);
            }
        }
        for run in &mut self.runs {
            while let Some((place, edit)) = run.next_before(end).await? {
                if place >= first {
                    found.insert(row(place.row), edit);
                }
            }
        }
        Ok(found)
    }
}

/// One file of edits.
struct Run {
    batches: BoxStream<LakeResult<RecordBatch>>,
    batch: Option<RecordBatch>,
    at: usize,
}

impl Run {
    async fn next_before(&mut self, end: RowPlace) -> LakeResult<Option<(RowPlace, Edit)>> {
        loop {
            match &self.batch {
                Some(batch) if self.at < batch.num_rows() => {
                    let (place, edit) = read(batch, self.at)?;
                    if place >= end {
                        return Ok(None);
                    }
                    self.at += 1;
                    return Ok(Some((place, edit)));
                }
                _ => match self.batches.try_next().await? {
                    None => return Ok(None),
                    next => (self.batch, self.at) = (next, 0),
                },
            }
        }
    }
}

fn read(batch: &RecordBatch, at: usize) -> LakeResult<(RowPlace, Edit)> {
    let value = |column: usize| {
        let column = batch.columns().get(column);
        let column = column.and_then(|column| column.as_primitive_opt::<Int64Type>())?;
        (at < column.len() && column.is_valid(at)).then(|| column.value(at))
    };
    match (value(0), value(1)) {
        (Some(file), Some(row)) => {
            let (from, to) = (value(2), value(3));
            Ok((RowPlace { file, row }, Edit { from, to }))
        }
        _ => Err(LakeError::Misuse("an edit of a version has no row")),
    }
}
