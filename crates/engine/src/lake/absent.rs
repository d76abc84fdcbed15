//! Rows of a table whose key is not among the incoming rows of a merge: they go, or get the time at which that was seen.
//!
//! Promise: only rows that no incoming row replaces are touched; a row that is marked already keeps its time,
//! and a file without a row to mark is not written anew. It does not know why rows are missing: the caller
//! has all rows of the source. Read next: `merge.rs`, `vocab/src/absent_rows.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Array as _, ArrayRef, RecordBatch, TimestampMicrosecondArray};
use deltalake_core::kernel::Add;
use futures::TryStreamExt as _;
use towpath_vocab::{AbsentRows, DELETED_AT};

use super::bitmap::Bitmap;
use super::candidate::LakeFile;
use super::error::{LakeError, LakeResult};
use super::files::FileWriter;
use super::merge::{MergeContext, columns, filtered};

/// What happens to rows whose key does not come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Absent {
    /// They are deleted.
    Delete,
    /// This column of the table gets this time, in microseconds since 1970 UTC.
    Mark { column: usize, at_us: i64 },
}

impl Absent {
    /// For a table with these columns.
    pub(crate) fn of(rows: AbsentRows, schema: &arrow_schema::Schema) -> LakeResult<Self> {
        let AbsentRows::Mark { at_us } = rows else {
            return Ok(Self::Delete);
        };
        let mut fields = schema.fields().iter();
        let column = fields.position(|field| field.name().eq_ignore_ascii_case(DELETED_AT));
        match (column, at_us) {
            (Some(column), Some(at_us)) => Ok(Self::Mark { column, at_us }),
            _ => Err(LakeError::Misuse(
                "a write that marks rows has no column or no time for it",
            )),
        }
    }
}

/// Adds the rows that do not come to those that go. Gives files with the marked rows, and how many rows were
/// deleted or marked.
pub(crate) async fn take(
    place: &MergeContext<'_>,
    absent: Absent,
    hits: &mut BTreeMap<usize, Bitmap>,
) -> LakeResult<(Vec<Add>, u64)> {
    match absent {
        Absent::Delete => Ok((Vec::new(), delete(place, hits).await?)),
        Absent::Mark { column, at_us } => mark(place, (column, at_us), hits).await,
    }
}

async fn delete(place: &MergeContext<'_>, hits: &mut BTreeMap<usize, Bitmap>) -> LakeResult<u64> {
    let mut deleted = 0;
    for (at, file) in place.files.iter().enumerate() {
        let rows = rows_of(place, file).await?;
        let known = hits.get(&at).map_or(0, Bitmap::count);
        if rows > known {
            deleted += (rows - known) as u64;
            hits.insert(at, Bitmap::filled(rows, true));
        }
    }
    Ok(deleted)
}

async fn rows_of(place: &MergeContext<'_>, file: &LakeFile) -> LakeResult<usize> {
    if let Some(rows) = file.rows.and_then(|rows| usize::try_from(rows).ok()) {
        return Ok(rows);
    }
    let key = columns(place.schema, place.key)?;
    let mut batches = place.read(vec![file.clone()], &key);
    let mut rows = 0;
    while let Some(batch) = batches.try_next().await? {
        rows += batch.num_rows();
    }
    Ok(rows)
}

async fn mark(
    place: &MergeContext<'_>,
    (column, at_us): (usize, i64),
    hits: &mut BTreeMap<usize, Bitmap>,
) -> LakeResult<(Vec<Add>, u64)> {
    let mut writer = FileWriter::new(
        Arc::clone(place.table),
        Arc::clone(place.schema),
        place.sizes,
        place.attempt,
    )?;
    let marked = mark_files(place, (column, at_us), hits, &mut writer).await;
    match marked {
        Ok(marked) => Ok((writer.close().await?, marked)),
        Err(error) => {
            writer.abort().await?;
            Err(error)
        }
    }
}

async fn mark_files(
    place: &MergeContext<'_>,
    (column, at_us): (usize, i64),
    hits: &mut BTreeMap<usize, Bitmap>,
    writer: &mut FileWriter,
) -> LakeResult<u64> {
    let mut marked = 0;
    for (at, file) in place.files.iter().enumerate() {
        let absent = absent_rows(place, file, column, hits.get(&at)).await?;
        if absent.count() == 0 {
            continue;
        }
        marked += absent.count() as u64;
        let mut batches = place.read(vec![file.clone()], place.schema);
        let mut first = 0;
        while let Some(batch) = batches.try_next().await? {
            let filter = absent.filter(first, batch.num_rows(), false);
            first += batch.num_rows();
            if filter.true_count() > 0 {
                let rows = filtered(&batch, &filter)?;
                writer.write(&with_time(&rows, column, at_us)?).await?;
            }
        }
        place.expect_rows(&file.key, first as u64, file.rows)?;
        match hits.get_mut(&at) {
            Some(bits) => bits.join(&absent),
            None => {
                hits.insert(at, absent);
            }
        }
    }
    Ok(marked)
}

/// The rows of a file that no incoming row replaces, and that are not marked yet.
async fn absent_rows(
    place: &MergeContext<'_>,
    file: &LakeFile,
    column: usize,
    hits: Option<&Bitmap>,
) -> LakeResult<Bitmap> {
    let times = columns(place.schema, &[column])?;
    let mut batches = place.read(vec![file.clone()], &times);
    let mut absent = Bitmap::filled(0, false);
    let mut first = 0;
    while let Some(batch) = batches.try_next().await? {
        absent.grow(batch.num_rows());
        for row in 0..batch.num_rows() {
            let is_marked = batch.column(0).is_valid(row);
            let is_replaced = hits.is_some_and(|hits| hits.get(first + row));
            if !is_marked && !is_replaced {
                absent.set(first + row, true);
            }
        }
        first += batch.num_rows();
    }
    Ok(absent)
}

fn with_time(rows: &RecordBatch, column: usize, at_us: i64) -> LakeResult<RecordBatch> {
    let times = TimestampMicrosecondArray::from_value(at_us, rows.num_rows());
    let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
    let mut columns = rows.columns().to_vec();
    if let Some(slot) = columns.get_mut(column) {
        *slot = times;
    }
    RecordBatch::try_new(rows.schema(), columns).map_err(|source| LakeError::Arrow {
        doing: "marking rows",
        source,
    })
}
