//! Writes what was decided: touched files with the ends of closed versions, incoming files with what stays.
//!
//! Promise: a row that was there before keeps all its values but its times, and none is lost: what is written
//! is counted against what was read. Current and closed versions go to different files, so that later loads
//! look only into those that hold current ones. Read next: `../merge.rs`, which does the same for merges.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use deltalake_core::kernel::Add;
use futures::TryStreamExt as _;

use super::dated::{RowHistory, times, utc};
use super::edits::{EditReader, RowPlace};
use crate::lake::bitmap::Bitmap;
use crate::lake::candidate::LakeFile;
use crate::lake::error::{LakeError, LakeResult};
use crate::lake::files::{self, FileWriter};
use crate::lake::merge::{Incoming, MergeContext, filtered};

/// Rows whose times change: they are closed, at the time of the load or at one of their own, or they begin at
/// another time.
struct Changes<'b> {
    history: &'b RowHistory,
    closed: &'b Bitmap,
    edits: &'b mut EditReader,
}

impl Changes<'_> {
    /// The rows of a batch, the first of which is here, with their times.
    async fn apply(&mut self, batch: RecordBatch, first: RowPlace) -> LakeResult<RecordBatch> {
        let rows = batch.num_rows();
        let edits = self.edits.of(first, rows).await?;
        let closed = self.closed.filter(first.row(), rows, false);
        if closed.true_count() == 0 && edits.is_empty() {
            return Ok(batch);
        }
        let edit = |row: usize| edits.get(&row).copied().unwrap_or_default();
        let [from, to, current] = self.history.own;
        let (ends, is_current) = (column(&batch, to)?, column(&batch, current)?);
        let known = times(ends)?.iter().enumerate();
        let ends: TimestampMicrosecondArray = known
            .map(|(row, end)| match closed.value(row) {
                true => edit(row).to.or(Some(self.history.at)),
                false => end,
            })
            .collect();
        let known = times(column(&batch, from)?)?.iter().enumerate();
        let begins: TimestampMicrosecondArray =
            known.map(|(row, begin)| edit(row).from.or(begin)).collect();
        let known = is_current.as_boolean().iter().zip(closed.values());
        let is_current: BooleanArray = known
            .map(|(known, is_closed)| if is_closed { Some(false) } else { known })
            .collect();
        let mut columns = batch.columns().to_vec();
        for (place, made) in [
            (from, Arc::new(utc(begins)) as ArrayRef),
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
    history: &'a RowHistory,
    current: FileWriter,
    closed: FileWriter,
}

impl<'a> SplitWriter<'a> {
    fn new(place: &'a MergeContext<'a>, history: &'a RowHistory) -> LakeResult<Self> {
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
        (begin, keep): (RowPlace, Option<&Bitmap>),
        changes: &mut Changes<'_>,
    ) -> LakeResult<u64> {
        let mut batches = self.place.read(files, self.place.schema);
        let mut first = 0;
        while let Some(batch) = batches.try_next().await? {
            let rows = batch.num_rows();
            let batch = changes.apply(batch, begin.after(first)).await?;
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
    history: &RowHistory,
    closed: &BTreeMap<usize, Bitmap>,
    edits: &mut EditReader,
) -> LakeResult<(Vec<usize>, Vec<Add>)> {
    let mut writer = SplitWriter::new(place, history)?;
    let none = Bitmap::filled(0, false);
    let (mut removed, mut rows) = (Vec::new(), 0);
    for (at, file) in place.files.iter().enumerate() {
        let touched = closed.get(&at);
        if touched.is_none() && !place.rewrite {
            continue;
        }
        removed.push(at);
        let mut changes = Changes {
            history,
            closed: touched.unwrap_or(&none),
            edits: &mut *edits,
        };
        let begin = (RowPlace::at(at, 0), None);
        let copied = writer.copy(vec![file.clone()], begin, &mut changes).await;
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
    history: &RowHistory,
    incoming: &Incoming,
    (keep, ended): (&Bitmap, &Bitmap),
    edits: &mut EditReader,
) -> LakeResult<Vec<Add>> {
    if keep.count() == 0 {
        files::delete(place.table, &incoming.adds).await?;
        return Ok(Vec::new());
    }
    let mut writer = SplitWriter::new(place, history)?;
    let files = files::lake_files(place.table, &incoming.adds);
    let mut changes = Changes {
        history,
        closed: ended,
        edits,
    };
    let begin = (RowPlace::incoming(0), Some(keep));
    let copied = writer.copy(files, begin, &mut changes).await;
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
