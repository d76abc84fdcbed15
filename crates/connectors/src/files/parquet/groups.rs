//! Row groups of a file, decoded side by side, handed on in the order of the file.
//!
//! Promise: each row group gives as many rows as the footer counts, or the read fails; what the
//! library refuses or panics on is an error with the row group and the column it is about. Memory is
//! held for each batch. It knows no types: see `columnar/shape.rs`.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use futures::{StreamExt, future, stream};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as PhysicalType;
use parquet::file::metadata::RowGroupMetaData;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use towpath_ports::{BoxStream, Event, Memory, ReservedMemory, Result};
use towpath_vocab::{Failure, SplitPosition};

use super::footer::{self, Footer, broken, reason};
use crate::files::ahead::{Ahead, CurrentPart, ahead};
use crate::files::columnar::{BATCHES, ColumnarRead, FileColumn, quietly, shape, unread};
use crate::files::error::FilesError;
use crate::files::find::InputFile;
use crate::files::pieces::workers;

/// The rows of a file, in batches.
pub(in crate::files) fn events(
    file: InputFile,
    mut asked: ColumnarRead,
    memory: &Arc<dyn Memory>,
) -> BoxStream<Result<Event>> {
    let memory = Arc::clone(memory);
    let most = usize::try_from(memory.limit_bytes() / BATCHES).unwrap_or(usize::MAX);
    asked.batch_bytes = asked.batch_bytes.min(most);
    let started = stream::once(async move {
        let wanted = file.clone();
        let opened = tokio::task::spawn_blocking(move || footer::open(&wanted)).await;
        let footer = opened
            .unwrap_or(Err(FilesError::Broken {
                path: file.object.clone(),
            }))
            .map_err(Failure::from)?;
        let (turn, ahead) = ahead(&memory, asked.lanes);
        let turn = Arc::new(turn);
        let read = Arc::new(Read {
            file,
            asked,
            footer,
        });
        let rows = read.footer.rows();
        let groups = (0..read.groups().len()).map(move |group| {
            let (read, turn, ahead) = (Arc::clone(&read), Arc::clone(&turn), ahead.clone());
            // Not lazily: a future of it would be polled only when it is the next to be taken.
            future::ready(group_events(read, group, turn, ahead))
        });
        let ends = stream::iter([Ok(Event::Boundary(SplitPosition::at(rows))), Ok(Event::End)]);
        Ok::<_, Failure>(
            stream::iter(groups)
                .buffered(workers())
                .flatten()
                .chain(ends),
        )
    });
    Box::pin(started.flat_map(|started| match started {
        Ok(events) => Box::pin(events) as BoxStream<Result<Event>>,
        Err(failure) => Box::pin(stream::once(future::ready(Err(failure)))),
    }))
}

/// A file on its way.
struct Read {
    file: InputFile,
    asked: ColumnarRead,
    footer: Footer,
}

impl Read {
    fn groups(&self) -> &[RowGroupMetaData] {
        self.footer.metadata.metadata().row_groups()
    }

    /// The columns of the file that are read, in its order.
    fn columns(&self) -> Vec<FileColumn> {
        let is_read =
            |column: &&FileColumn| self.asked.schema.field_with_name(&column.name).is_ok();
        self.footer
            .columns
            .iter()
            .filter(is_read)
            .cloned()
            .collect()
    }

    fn damaged(&self, group: usize, column: Option<String>, why: String) -> FilesError {
        if let Some(failure) = self.file.place.failure() {
            return failure;
        }
        FilesError::Damaged {
            path: self.file.object.clone(),
            part: format!("row group {} of {}", group + 1, self.groups().len()),
            column,
            why: reason(&why).to_owned(),
        }
    }
}

/// Starts decoding one row group on a thread of its own, at most two batches ahead.
fn group_events(
    read: Arc<Read>,
    group: usize,
    turn: Arc<CurrentPart>,
    mut ahead: Ahead,
) -> BoxStream<Result<Event>> {
    let (to, mut from) = mpsc::channel(2);
    let handle = Handle::current();
    let path = read.file.object.clone();
    let thread = tokio::task::spawn_blocking(move || {
        let mut hold = |bytes| {
            handle.block_on(async {
                let lease = tokio::select! {
                    lease = ahead.hold(group, bytes) => lease?,
                    () = to.closed() => return None,
                };
                match lease {
                    Ok(lease) => Some(lease),
                    Err(failure) => {
                        // No one listens any more when this fails.
                        let _ = to.send(Err(failure)).await;
                        None
                    }
                }
            })
        };
        if let Err(error) = read_group(&read, group, &mut hold, &to) {
            // No one listens any more when this fails.
            let _ = to.blocking_send(Err(Failure::from(error)));
        }
    });
    let checked = stream::once(async move {
        thread
            .await
            .err()
            .map(|_| Err(Failure::from(FilesError::Broken { path })))
    });
    // First polled when every group before it is at its end.
    let in_turn = stream::poll_fn(move |context| {
        turn.of(group);
        from.poll_recv(context)
    });
    Box::pin(in_turn.chain(checked.filter_map(future::ready)))
}

/// Where these columns of a row group are.
fn spans(metadata: &ArrowReaderMetadata, group: usize, roots: &[usize]) -> Vec<Range<u64>> {
    let schema = metadata.parquet_schema();
    let Some(group) = metadata.metadata().row_groups().get(group) else {
        return Vec::new();
    };
    let columns = group.columns().iter().enumerate();
    columns
        .filter(|(leaf, _)| roots.contains(&schema.get_column_root_idx(*leaf)))
        .map(|(_, column)| {
            let first = column.dictionary_page_offset();
            let first = first.unwrap_or_else(|| column.data_page_offset());
            // What makes no sense is found when it is read.
            let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
            let start = unsigned(first.min(column.data_page_offset()));
            start..start.saturating_add(unsigned(column.compressed_size()))
        })
        .collect()
}

/// Reads some columns of a row group.
pub(super) fn columns_reader(
    file: &InputFile,
    metadata: &ArrowReaderMetadata,
    group: usize,
    roots: Vec<usize>,
    batch_rows: usize,
) -> Result<ParquetRecordBatchReader, FilesError> {
    let spans = spans(metadata, group, &roots);
    let bytes = file.place.spans(spans).map_err(unread(file))?;
    let mask = ProjectionMask::roots(metadata.parquet_schema(), roots);
    ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata.clone())
        .with_projection(mask)
        .with_row_groups(vec![group])
        .with_batch_size(batch_rows)
        .build()
        .map_err(|error| broken(file, error))
}

fn read_group(
    read: &Read,
    group: usize,
    hold: &mut dyn FnMut(u64) -> Option<ReservedMemory>,
    to: &mpsc::Sender<Result<Event>>,
) -> Result<(), FilesError> {
    let columns = read.columns();
    let Some(about) = read.groups().get(group) else {
        return Ok(());
    };
    counted(read, group, about)?;
    let rows_of = |group: &RowGroupMetaData| u64::try_from(group.num_rows()).unwrap_or(0);
    let start: u64 = read
        .groups()
        .iter()
        .take(group)
        .map(rows_of)
        .fold(0, u64::saturating_add);
    let roots: Vec<usize> = columns.iter().map(|column| column.root).collect();
    let (batch_rows, bytes) =
        batch_of(about, &roots, read.asked.batch_rows, read.asked.batch_bytes);
    let spans = spans(&read.footer.metadata, group, &roots);
    // What was decoded, and what it is turned into; beside it, what is read ahead of a bucket.
    let bytes = bytes
        .saturating_mul(2)
        .saturating_add(read.file.place.held_bytes(&spans));
    let opened =
        quietly(|| columns_reader(&read.file, &read.footer.metadata, group, roots, batch_rows));
    let mut reader = opened.map_err(|panic| located(read, group, &columns, panic))??;
    let mut first = start;
    loop {
        fail::fail_point!("files::read");
        let Some(lease) = hold(bytes) else {
            return Ok(());
        };
        let next = quietly(|| reader.next().transpose());
        let batch: Option<RecordBatch> = match next {
            Ok(Ok(batch)) => batch,
            Ok(Err(error)) => return Err(located(read, group, &columns, error.to_string())),
            // Nothing of it may be used any more, not even to be dropped.
            Err(panic) => {
                std::mem::forget(reader);
                return Err(located(read, group, &columns, panic));
            }
        };
        let Some(batch) = batch else { break };
        let count = batch.num_rows() as u64;
        let events = quietly(|| shape(&read.asked, &read.file, &columns, batch, first, lease));
        let events = events.map_err(|panic| read.damaged(group, None, panic))?;
        for event in events.map_err(|error| read.damaged(group, None, error.to_string()))? {
            if to.blocking_send(Ok(event)).is_err() {
                return Ok(());
            }
        }
        first += count;
    }
    if first - start == rows_of(about) {
        return Ok(());
    }
    Err(FilesError::RowsDiffer {
        path: read.file.object.clone(),
        part: format!("row group {}", group + 1),
        counted: rows_of(about),
        read: first - start,
    })
}

/// A column whose values are one to a row must have as many of them as the group has rows.
fn counted(read: &Read, group: usize, about: &RowGroupMetaData) -> Result<(), FilesError> {
    let flat = about.columns().iter();
    let mut flat = flat.filter(|chunk| chunk.column_descr().max_rep_level() == 0);
    match flat.find(|chunk| chunk.num_values() != about.num_rows()) {
        Some(chunk) => Err(FilesError::RowsDiffer {
            path: read.file.object.clone(),
            part: format!("row group {}", group + 1),
            counted: u64::try_from(about.num_rows()).unwrap_or(0),
            read: u64::try_from(chunk.num_values()).unwrap_or(0),
        }),
        None => Ok(()),
    }
}

/// The error with the column it is about: the first that cannot be read alone either.
fn located(read: &Read, group: usize, columns: &[FileColumn], why: String) -> FilesError {
    if let Some(failure) = read.file.place.failure() {
        return failure;
    }
    for column in columns {
        let metadata = &read.footer.metadata;
        let alone = quietly(|| -> Result<(), String> {
            let rows = read.asked.batch_rows;
            let reader = columns_reader(&read.file, metadata, group, vec![column.root], rows);
            for batch in reader.map_err(|error| error.to_string())? {
                batch.map_err(|error| error.to_string())?;
            }
            Ok(())
        });
        if let Err(why) = alone.and_then(|read| read) {
            return read.damaged(group, Some(column.name.clone()), why);
        }
    }
    read.damaged(group, None, why)
}

/// Rows in a batch of a group and what they take, decoded, in the columns that are read: no more
/// than asked for, by either measure.
fn batch_of(group: &RowGroupMetaData, roots: &[usize], rows: usize, bytes: usize) -> (usize, u64) {
    let schema = group.schema_descr();
    let size: u64 = group
        .columns()
        .iter()
        .enumerate()
        .filter(|(leaf, _)| roots.contains(&schema.get_column_root_idx(*leaf)))
        .map(|(_, column)| {
            let values = u64::try_from(column.num_values()).unwrap_or(0);
            let stored = u64::try_from(column.uncompressed_size()).unwrap_or(0);
            // A dictionary stores less than it is decoded to.
            stored.max(values.saturating_mul(width(column.column_type())))
        })
        .fold(0, u64::saturating_add);
    let count = u64::try_from(group.num_rows()).unwrap_or(0).max(1);
    let row = size.div_ceil(count).max(1);
    let fitting = usize::try_from(bytes as u64 / row).unwrap_or(usize::MAX);
    let rows = rows.min(fitting).max(1);
    (rows, row.saturating_mul((rows as u64).min(count)))
}

/// The least that a decoded value takes.
fn width(physical: PhysicalType) -> u64 {
    match physical {
        PhysicalType::BOOLEAN => 1,
        PhysicalType::INT32 | PhysicalType::FLOAT => 4,
        _ => 8,
    }
}
