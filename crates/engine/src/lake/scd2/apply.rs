//! Writes what was decided: touched files with the ends of closed versions, incoming files with what stays.
//!
//! Promise: a row that was there before keeps all its values but its end, and none is lost: what is written
//! is counted against what was read. Current and closed versions go to different files, so that later loads
//! look only into those that hold current ones. Read next: `../merge.rs`, which does the same for merges.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use deltalake_core::kernel::Add;
use futures::TryStreamExt as _;

use super::dated::{History, times, utc};
use crate::lake::bitmap::Bitmap;
use crate::lake::candidate::LakeFile;
use crate::lake::error::{LakeError, LakeResult};
use crate::lake::files::{self, FileWriter};
use crate::lake::merge::{Incoming, MergeContext, filtered};

/// Rows that are closed, each at the time of the load or at one of its own.
pub(super) struct Closed {
    bits: Bitmap,
    times: BTreeMap<usize, i64>,
}

impl Closed {
    pub(super) fn none(rows: usize) -> Self {
        Self {
            bits: Bitmap::filled(rows, false),
            times: BTreeMap::new(),
        }
    }

    /// Closes a row; without a time at that of the load.
    pub(super) fn add(&mut self, row: usize, time: Option<i64>) {
        if row >= self.bits.len() {
            self.bits.grow(row + 1 - self.bits.len());
        }
        self.bits.set(row, true);
        if let Some(time) = time {
            self.times.insert(row, time);
        }
    }

    fn is_empty(&self) -> bool {
        self.bits.count() == 0
    }

    /// The rows of a batch that begins at `first`, with their ends.
    fn apply(
        &self,
        history: &History,
        batch: RecordBatch,
        first: usize,
    ) -> LakeResult<RecordBatch> {
        let marks = self.bits.filter(first, batch.num_rows(), false);
        if marks.true_count() == 0 {
            return Ok(batch);
        }
        let [_, to, current] = history.own;
        let (ends, is_current) = (column(&batch, to)?, column(&batch, current)?);
        let held = times(ends)?.iter().enumerate();
        let ends: TimestampMicrosecondArray = held
            .map(|(row, end)| match marks.value(row) {
                true => Some(
                    self.times
                        .get(&(first + row))
                        .copied()
                        .unwrap_or(history.at),
                ),
                false => end,
            })
            .collect();
        let held = is_current.as_boolean().iter().zip(marks.values());
        let is_current: BooleanArray = held
            .map(|(held, is_closed)| if is_closed { Some(false) } else { held })
            .collect();
        let mut columns = batch.columns().to_vec();
        for (place, made) in [
            (to, Arc::new(utc(ends)) as ArrayRef),
            (current, Arc::new(is_current) as ArrayRef),
        ] {
            if let Some(column) = columns.get_mut(place) {
                *column = made;
            }
        }
        RecordBatch::try_new(batch.schema(), columns).map_err(|source| LakeError::Arrow {
            doing: "closing versions",
            source,
        })
    }
}

fn column(batch: &RecordBatch, at: usize) -> LakeResult<&ArrayRef> {
    let column = batch.columns().get(at);
    column.ok_or(LakeError::Misuse("a batch has too few columns"))
}

/// Files of current and of closed versions.
struct SplitWriter<'a> {
    place: &'a MergeContext<'a>,
    history: &'a History,
    current: FileWriter,
    closed: FileWriter,
}

impl<'a> SplitWriter<'a> {
    fn new(place: &'a MergeContext<'a>, history: &'a History) -> LakeResult<Self> {
        let writer = || {
            FileWriter::new(
                Arc::clone(place.table),
                Arc::clone(place.schema),
                place.sizes,
                place.attempt,
            )
        };
        Ok(Self {
            place,
            history,
            current: writer()?,
            closed: writer()?,
        })
    }

    async fn write(&mut self, batch: RecordBatch) -> LakeResult<()> {
        let [_, to, _] = self.history.own;
        let is_open = is_null(column(&batch, to)?);
        let open = is_open.true_count();
        if open == batch.num_rows() {
            return self.current.write(&batch).await;
        }
        if open > 0 {
            self.current.write(&filtered(&batch, &is_open)?).await?;
        }
        let is_closed: BooleanArray = is_open.values().iter().map(|open| Some(!open)).collect();
        self.closed.write(&filtered(&batch, &is_closed)?).await
    }

    /// Copies the rows of files with their ends; of incoming ones those that stay. How many were read.
    async fn copy(
        &mut self,
        files: Vec<LakeFile>,
        keep: Option<&Bitmap>,
        closed: &Closed,
    ) -> LakeResult<u64> {
        let mut batches = self.place.read(files, self.place.schema);
        let mut first = 0;
        while let Some(batch) = batches.try_next().await? {
            let rows = batch.num_rows();
            let batch = closed.apply(self.history, batch, first)?;
            let batch = match keep.map(|keep| keep.filter(first, rows, false)) {
                Some(keep) if keep.true_count() < rows => filtered(&batch, &keep)?,
                _ => batch,
            };
            first += rows;
            if batch.num_rows() > 0 {
                self.write(batch).await?;
            }
        }
        Ok(first as u64)
    }

    /// Finishes all files; they hold as many rows as they should.
    async fn close(self, expected: u64) -> LakeResult<Vec<Add>> {
        if self.current.rows() + self.closed.rows() != expected {
            self.abort().await?;
            return Err(LakeError::Misuse(
                "files written anew do not hold every row",
            ));
        }
        let table = self.place.table;
        let mut adds = match self.current.close().await {
            Ok(adds) => adds,
            Err(error) => {
                self.closed.abort().await?;
                return Err(error);
            }
        };
        match self.closed.close().await {
            Ok(closed) => {
                adds.extend(closed);
                Ok(adds)
            }
            Err(error) => {
                files::delete(table, &adds).await?;
                Err(error)
            }
        }
    }

    async fn abort(self) -> LakeResult<()> {
        self.current.abort().await?;
        self.closed.abort().await
    }
}

fn is_null(column: &ArrayRef) -> BooleanArray {
    match column.nulls() {
        None => BooleanArray::from(vec![false; column.len()]),
        Some(nulls) => BooleanArray::new(!nulls.inner(), None),
    }
}

/// Writes touched files anew; gives the places of those that go.
pub(super) async fn rewritten_files(
    place: &MergeContext<'_>,
    history: &History,
    closed: &BTreeMap<usize, Closed>,
) -> LakeResult<(Vec<usize>, Vec<Add>)> {
    let mut writer = SplitWriter::new(place, history)?;
    let none = Closed::none(0);
    let (mut removed, mut rows) = (Vec::new(), 0);
    for (at, file) in place.files.iter().enumerate() {
        let touched = closed.get(&at);
        if touched.is_none() && !place.rewrite {
            continue;
        }
        removed.push(at);
        let copied = writer
            .copy(vec![file.clone()], None, touched.unwrap_or(&none))
            .await;
        let copied = copied.and_then(|read| {
            place.expect_rows(&file.key, read, file.rows)?;
            Ok(read)
        });
        match copied {
            Ok(read) => rows += read,
            Err(error) => {
                writer.abort().await?;
                return Err(error);
            }
        }
    }
    Ok((removed, writer.close(rows).await?))
}

/// Incoming files with only the versions that are new; the old files are deleted.
pub(super) async fn incoming_files(
    place: &MergeContext<'_>,
    history: &History,
    incoming: &Incoming,
    keep: &Bitmap,
    ended: &Closed,
) -> LakeResult<Vec<Add>> {
    if keep.count() == keep.len() && ended.is_empty() {
        return Ok(incoming.adds.clone());
    }
    let mut writer = SplitWriter::new(place, history)?;
    let files = files::lake_files(place.table, &incoming.adds);
    let copied = writer.copy(files, Some(keep), ended).await;
    let copied = copied
        .and_then(|read| place.expect_rows(&place.table.prefix, read, Some(keep.len() as u64)));
    if let Err(error) = copied {
        writer.abort().await?;
        return Err(error);
    }
    let kept = writer.close(keep.count() as u64).await?;
    files::delete(place.table, &incoming.adds).await?;
    Ok(kept)
}
