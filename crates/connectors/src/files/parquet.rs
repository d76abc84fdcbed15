//! Parquet files: row groups decoded side by side, batches in the order of the file.
//!
//! Text and bytes come as plain `Utf8` and `Binary`, whatever encoding the file chose. A declared type
//! other than the file's is a cast that must lead back to the same value; a row where it does not is
//! set aside. Ordinals are row numbers; the origin keeps the batch as it was read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array, new_null_array,
};
use arrow_cast::cast::{CastOptions, cast, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use futures::{StreamExt, future, stream};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as PhysicalType;
use parquet::file::metadata::RowGroupMetaData;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use towpath_ports::{
    BatchOrigin, BoxStream, Event, Lease, Memory, Origin, Result, Rows, row_as_json,
};
use towpath_vocab::{Failure, Mark, RawRecord, Reason, RecordLocation, Reject, TableName, types};

use super::ahead::{Ahead, Turn, ahead};
use super::error::FilesError;
use super::find::InputFile;
use super::pieces::workers;

/// So many batches fit into the budget: one must be had while a taker keeps most of it.
const BATCHES: u64 = 64;

/// A file's columns and size.
pub(crate) struct Look {
    pub(crate) schema: SchemaRef,
    pub(crate) rows: u64,
}

fn broken(file: &InputFile, error: impl std::fmt::Display) -> FilesError {
    FilesError::Parquet {
        path: file.object.clone(),
        why: error.to_string(),
    }
}

fn open(file: &InputFile) -> Result<(File, ArrowReaderMetadata), FilesError> {
    let handle = File::open(&file.path).map_err(|source| FilesError::Read {
        path: file.object.clone(),
        source,
    })?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(false);
    let metadata =
        ArrowReaderMetadata::load(&handle, options).map_err(|error| broken(file, error))?;
    Ok((handle, metadata))
}

impl Look {
    /// The columns' names.
    pub(crate) fn names(&self) -> Vec<String> {
        let fields = self.schema.fields().iter();
        fields.map(|field| field.name().clone()).collect()
    }
}

/// The type of each column; it must be the same in every file. Where it is not, a column with a
/// declared type has none of its own; text and bytes are never mixed, because their texts are alike.
pub(crate) fn types_of(
    files: &[InputFile],
    looks: &[Look],
    is_declared: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, DataType>, FilesError> {
    let mut all: BTreeMap<String, DataType> = BTreeMap::new();
    let mut mixed = BTreeSet::new();
    let binary = |data_type: &DataType| *data_type == DataType::Binary;
    for (file, look) in files.iter().zip(looks) {
        for field in look.schema.fields() {
            match all.get(field.name()) {
                None => {
                    all.insert(field.name().clone(), field.data_type().clone());
                }
                Some(other) if other == field.data_type() => {}
                Some(other)
                    if is_declared(field.name()) && binary(other) == binary(field.data_type()) =>
                {
                    mixed.insert(field.name().clone());
                }
                Some(other) => {
                    return Err(FilesError::TypeDiffers {
                        column: field.name().clone(),
                        first: types::name(other),
                        second: types::name(field.data_type()),
                        path: file.object.clone(),
                    });
                }
            }
        }
    }
    all.retain(|name, _| !mixed.contains(name));
    Ok(all)
}

/// Reads a file's footer.
pub(crate) fn look(file: &InputFile) -> Result<Look, FilesError> {
    let (_, metadata) = open(file)?;
    let fields: Vec<Field> = metadata
        .schema()
        .fields()
        .iter()
        .map(|field| Field::new(field.name(), plain(field.data_type()), true))
        .collect();
    // They are read by name.
    for (second, field) in fields.iter().enumerate() {
        let same = |other: &Field| other.name() == field.name();
        if let Some(first) = fields.iter().take(second).position(same) {
            return Err(FilesError::TwoColumns {
                path: file.object.clone(),
                name: field.name().clone(),
                first: first + 1,
                second: second + 1,
            });
        }
    }
    let rows = u64::try_from(metadata.metadata().file_metadata().num_rows()).unwrap_or(0);
    Ok(Look {
        schema: Arc::new(Schema::new(fields)),
        rows,
    })
}

/// The type without an encoding of its own.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Dictionary(_, values) => plain(values),
        other => other.clone(),
    }
}

/// What is asked of a file.
pub(crate) struct ParquetRead {
    pub(crate) schema: SchemaRef,
    pub(crate) table: TableName,
    pub(crate) batch_rows: usize,
    pub(crate) batch_bytes: usize,
    /// Files that are read at once.
    pub(crate) lanes: usize,
}

/// The rows of a file, in batches.
pub(crate) fn events(
    file: InputFile,
    mut asked: ParquetRead,
    memory: &Arc<dyn Memory>,
) -> BoxStream<Result<Event>> {
    let memory = Arc::clone(memory);
    let most = usize::try_from(memory.limit_bytes() / BATCHES).unwrap_or(usize::MAX);
    asked.batch_bytes = asked.batch_bytes.min(most);
    let started = stream::once(async move {
        let wanted = file.clone();
        let opened = tokio::task::spawn_blocking(move || open(&wanted)).await;
        let (_, metadata) = opened
            .unwrap_or(Err(FilesError::Broken {
                path: file.object.clone(),
            }))
            .map_err(Failure::from)?;
        let (turn, ahead) = ahead(&memory, asked.lanes);
        let turn = Arc::new(turn);
        let read = Arc::new(Read {
            file,
            asked,
            metadata,
        });
        let rows = u64::try_from(read.metadata.metadata().file_metadata().num_rows()).unwrap_or(0);
        let groups = (0..read.metadata.metadata().num_row_groups()).map(move |group| {
            let (read, turn, ahead) = (Arc::clone(&read), Arc::clone(&turn), ahead.clone());
            // Not lazily: a future of it would be polled only when it is the next to be taken.
            future::ready(group_events(read, group, turn, ahead))
        });
        let ends = stream::iter([Ok(Event::Boundary(Mark::at(rows))), Ok(Event::End)]);
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

struct Read {
    file: InputFile,
    asked: ParquetRead,
    metadata: ArrowReaderMetadata,
}

/// Starts decoding one row group on a thread of its own, at most two batches ahead.
fn group_events(
    read: Arc<Read>,
    group: usize,
    turn: Arc<Turn>,
    mut ahead: Ahead,
) -> BoxStream<Result<Event>> {
    let (to, mut from) = mpsc::channel(2);
    let handle = Handle::current();
    let path = read.file.object.clone();
    let thread = tokio::task::spawn_blocking(move || {
        let mut hold = |bytes| {
            handle.block_on(async {
                tokio::select! {
                    lease = ahead.hold(group, bytes) => lease,
                    () = to.closed() => None,
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

fn read_group(
    read: &Read,
    group: usize,
    hold: &mut dyn FnMut(u64) -> Option<Lease>,
    to: &mpsc::Sender<Result<Event>>,
) -> Result<(), FilesError> {
    let file = &read.file;
    let handle = File::open(&file.path).map_err(|source| FilesError::Read {
        path: file.object.clone(),
        source,
    })?;
    let groups = read.metadata.metadata().row_groups();
    let mut first: u64 = groups
        .iter()
        .take(group)
        .map(|group| u64::try_from(group.num_rows()).unwrap_or(0))
        .sum();
    let wanted = read.metadata.schema().fields().iter().enumerate();
    let roots: Vec<usize> = wanted
        .filter(|(_, field)| read.asked.schema.field_with_name(field.name()).is_ok())
        .map(|(at, _)| at)
        .collect();
    let (batch_rows, bytes) = groups.get(group).map_or((1, 0), |group| {
        batch_of(group, &roots, read.asked.batch_rows, read.asked.batch_bytes)
    });
    let mask = ProjectionMask::roots(read.metadata.parquet_schema(), roots);
    let mut reader =
        ParquetRecordBatchReaderBuilder::new_with_metadata(handle, read.metadata.clone())
            .with_projection(mask)
            .with_row_groups(vec![group])
            .with_batch_size(batch_rows)
            .build()
            .map_err(|error| broken(file, error))?;
    loop {
        fail::fail_point!("files::read");
        // What was decoded, and what it is turned into.
        let Some(lease) = hold(bytes.saturating_mul(2)) else {
            return Ok(());
        };
        let Some(batch) = reader.next() else {
            return Ok(());
        };
        let batch = batch.map_err(|error| broken(file, error))?;
        let count = batch.num_rows() as u64;
        for event in shape(read, batch, first, lease).map_err(|error| broken(file, error))? {
            if to.blocking_send(Ok(event)).is_err() {
                return Ok(());
            }
        }
        first += count;
    }
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
        .sum();
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

/// Rows of a Parquet file; holds their memory.
struct GroupOrigin {
    batch: BatchOrigin,
    _lease: Lease,
}

impl std::fmt::Debug for GroupOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.batch.fmt(f)
    }
}

impl Origin for GroupOrigin {
    fn place(&self, ordinal: u64) -> RecordLocation {
        self.batch.place(ordinal)
    }

    fn raw(&self, ordinal: u64) -> RawRecord {
        self.batch.raw(ordinal)
    }
}

/// Brings a batch into the schema of the read; rows that do not fit become rejects.
fn shape(
    read: &Read,
    batch: RecordBatch,
    first: u64,
    lease: Lease,
) -> Result<Vec<Event>, ArrowError> {
    let rows = batch.num_rows();
    let mut columns = Vec::with_capacity(read.asked.schema.fields().len());
    let mut misfits: Vec<(usize, usize, String)> = Vec::new();
    for (at, field) in read.asked.schema.fields().iter().enumerate() {
        let column = match batch.column_by_name(field.name()) {
            None => new_null_array(field.data_type(), rows),
            Some(column) if column.data_type() == field.data_type() => Arc::clone(column),
            Some(column) if plain(column.data_type()) == *field.data_type() => {
                cast(column, field.data_type())?
            }
            Some(column) => {
                let (cast, misfit) = exact_cast(column, field.data_type())?;
                misfits.extend(
                    misfit
                        .into_iter()
                        .map(|row| (row, at, types::name(column.data_type()))),
                );
                cast
            }
        };
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let shaped =
        RecordBatch::try_new_with_options(Arc::clone(&read.asked.schema), columns, &options)?;
    let origin = BatchOrigin {
        object: read.file.object.clone(),
        batch,
        first,
    };
    let mut keep = vec![true; rows];
    for (row, ..) in &misfits {
        if let Some(keep) = keep.get_mut(*row) {
            *keep = false;
        }
    }
    let rejects = rejects_of(read, &origin, misfits);
    let kept = (first..first + rows as u64)
        .zip(&keep)
        .filter(|(_, keep)| **keep);
    let ordinals = UInt64Array::from_iter_values(kept.map(|(row, _)| row));
    let batch = if rejects.is_empty() {
        shaped
    } else {
        arrow_select::filter::filter_record_batch(&shaped, &BooleanArray::from(keep))?
    };
    let mut events = Vec::with_capacity(2);
    if batch.num_rows() > 0 {
        events.push(Event::Rows(Rows {
            table: read.asked.table.clone(),
            batch,
            ordinals,
            ops: None,
            origin: Arc::new(GroupOrigin {
                batch: origin,
                _lease: lease,
            }),
        }));
    }
    if !rejects.is_empty() {
        events.push(Event::Rejects(rejects));
    }
    Ok(events)
}

/// One reject per row: `misfits` are rows with the column and the file's type.
fn rejects_of(
    read: &Read,
    origin: &BatchOrigin,
    mut misfits: Vec<(usize, usize, String)>,
) -> Vec<Reject> {
    let mut rejects: Vec<Reject> = Vec::new();
    misfits.sort();
    for (row, column, found) in misfits {
        let field = read.asked.schema.field(column);
        let wanted = types::name(field.data_type());
        let reason = Reason {
            code: "type".to_owned(),
            column: Some(field.name().clone()),
            value: None,
            message: format!("a `{found}` value does not fit `{wanted}` exactly"),
        };
        let place = origin.place(origin.first + row as u64);
        match rejects.last_mut() {
            Some(last) if last.place == place => last.reasons.push(reason),
            _ => rejects.push(Reject {
                table: read.asked.table.clone(),
                place,
                raw: RawRecord::Row(row_as_json(&origin.batch, row)),
                reasons: vec![reason],
            }),
        }
    }
    rejects
}

/// Casts, and gives the rows whose value does not come back when cast back.
fn exact_cast(column: &ArrayRef, to: &DataType) -> Result<(ArrayRef, Vec<usize>), ArrowError> {
    let from = cast(column, &plain(column.data_type()))?;
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    let there = cast_with_options(&from, to, &options)?;
    let back = cast_with_options(&there, from.data_type(), &options)?;
    let differs = arrow_ord::cmp::distinct(&from, &back)?;
    let misfits = (0..differs.len())
        .filter(|row| differs.value(*row))
        .collect();
    Ok((there, misfits))
}
