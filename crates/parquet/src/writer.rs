//! A Parquet file on its way.
//!
//! Promise: a row group ends when its encoded columns reach the limit of bytes, looked at after each slice of a
//! batch, or at exactly the limit of rows. What is written to the output before `finish` is whole row groups.
//! It does not make anything durable. Read next: `share.rs`.

use std::io::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, FieldRef, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use crate::share::{share, threads};

type Result<T> = std::result::Result<T, ParquetError>;

/// Fewer rows are encoded faster than another thread begins.
const ROWS_FOR_THREADS: usize = 512;
/// The most rows between two looks at the size of a row group.
const SLICE_ROWS: usize = 64 << 10;

/// How large a row group may get; the first limit that is reached ends it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of its columns in the file, as far as they can be told before its end.
    pub encoded_bytes: u64,
    /// Bytes of its columns in memory: dictionaries and buffers are more than what they become.
    pub memory_bytes: u64,
    /// Rows.
    pub rows: usize,
}

/// A file that was encoded in memory.
pub struct Finished {
    /// Its bytes since the last call of `take_bytes`.
    pub rest: Vec<u8>,
    /// All its bytes.
    pub size: u64,
    /// What its footer says.
    pub metadata: ParquetMetaData,
}

/// The writers of one column: one for each leaf.
type Leaves = Vec<ArrowColumnWriter>;

type ColumnPart<'a> = (&'a mut Leaves, &'a FieldRef, &'a ArrayRef);

/// A Parquet file on its way to an output.
pub struct ParquetWriter<W: Write + Send> {
    schema: SchemaRef,
    file: SerializedFileWriter<W>,
    factory: ArrowRowGroupWriterFactory,
    limits: Limits,
    threads: usize,
    /// Of the open row group; empty when none is open.
    columns: Vec<Leaves>,
    group_rows: usize,
    /// A call failed: rows may be missing from what there is.
    failed: bool,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Begins a file with these columns.
    ///
    /// # Errors
    /// A type that Parquet does not have.
    pub fn new(
        out: W,
        schema: &SchemaRef,
        properties: WriterProperties,
        limits: Limits,
    ) -> Result<Self> {
        let writer = ArrowWriter::try_new(out, Arc::clone(schema), Some(properties))?;
        let (file, factory) = writer.into_serialized_writer()?;
        Ok(Self {
            schema: Arc::clone(schema),
            file,
            factory,
            limits,
            threads: threads(),
            columns: Vec::new(),
            group_rows: 0,
            failed: false,
        })
    }

    /// Adds rows; ends row groups that are full.
    ///
    /// # Errors
    /// Values that cannot be encoded, and those of the output. After an error the file cannot be used.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.attempt(|writer| writer.write_slices(batch))
    }

    /// Does a step, unless one before it failed.
    fn attempt<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.failed {
            let why = "a Parquet file that failed was used again";
            return Err(ParquetError::General(why.to_owned()));
        }
        self.failed = true;
        let done = step(self)?;
        self.failed = false;
        Ok(done)
    }

    fn write_slices(&mut self, batch: &RecordBatch) -> Result<()> {
        let slice_rows = self.slice_rows(batch);
        let mut start = 0;
        while start < batch.num_rows() {
            let count = (batch.num_rows() - start)
                .min(slice_rows)
                .min(self.limits.rows.max(1) - self.group_rows);
            self.write_slice(&batch.slice(start, count))?;
            start += count;
        }
        Ok(())
    }

    /// Rows between two looks at the size: about a quarter of what a row group may be.
    fn slice_rows(&self, batch: &RecordBatch) -> usize {
        let rows = self.limits.memory_bytes / 4 / row_bytes(batch);
        usize::try_from(rows)
            .unwrap_or(SLICE_ROWS)
            .clamp(1, SLICE_ROWS)
    }

    fn write_slice(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.columns.is_empty() {
            self.columns = self.new_columns()?;
        }
        let threads = self.threads_for(batch.num_rows());
        let columns = self.columns.iter_mut().zip(self.schema.fields());
        let parts: Vec<ColumnPart<'_>> = columns
            .zip(batch.columns())
            .map(|((leaves, field), array)| (leaves, field, array))
            .collect();
        share(parts, threads, |(leaves, field, array)| {
            encode(leaves, field, array)
        })?;
        self.group_rows += batch.num_rows();
        let leaves = self.columns.iter().flatten();
        let memory: usize = leaves.map(ArrowColumnWriter::memory_size).sum();
        if self.group_rows >= self.limits.rows
            || memory as u64 >= self.limits.memory_bytes
            || self.open_bytes() >= self.limits.encoded_bytes
        {
            self.close_group()?;
        }
        Ok(())
    }

    fn threads_for(&self, rows: usize) -> usize {
        match rows >= ROWS_FOR_THREADS {
            true => self.threads,
            false => 1,
        }
    }

    fn new_columns(&self) -> Result<Vec<Leaves>> {
        let group = self.file.flushed_row_groups().len();
        let mut writers = self.factory.create_column_writers(group)?.into_iter();
        let fields = self.schema.fields().iter();
        fields
            .map(|field| {
                let empty = arrow_array::new_empty_array(field.data_type());
                let leaves = compute_leaves(field, &empty)?.len();
                Ok(writers.by_ref().take(leaves).collect())
            })
            .collect()
    }

    /// Ends the open row group, if there is one, and writes it to the output.
    ///
    /// # Errors
    /// Those of the output.
    pub fn end_group(&mut self) -> Result<()> {
        self.attempt(Self::close_group)
    }

    fn close_group(&mut self) -> Result<()> {
        let columns = std::mem::take(&mut self.columns);
        let rows = std::mem::take(&mut self.group_rows);
        if columns.is_empty() {
            return Ok(());
        }
        let leaves: Vec<ArrowColumnWriter> = columns.into_iter().flatten().collect();
        let chunks = share(leaves, self.threads_for(rows), ArrowColumnWriter::close)?;
        let mut group = self.file.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut group)?;
        }
        group.close()?;
        Ok(())
    }

    /// Bytes that the open row group will have in the file, as far as they can be told.
    #[must_use]
    pub fn open_bytes(&self) -> u64 {
        let leaves = self.columns.iter().flatten();
        let bytes: usize = leaves
            .map(ArrowColumnWriter::get_estimated_total_bytes)
            .sum();
        bytes as u64
    }

    /// Bytes of the row groups that have ended.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.file.bytes_written() as u64
    }

    /// The file below, to which whole row groups can be appended after `end_group`.
    pub fn file(&mut self) -> &mut SerializedFileWriter<W> {
        &mut self.file
    }

    /// Ends the file; returns the output, flushed.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> Result<W> {
        self.end_group()?;
        self.file.into_inner()
    }
}

impl ParquetWriter<Vec<u8>> {
    /// The bytes of row groups that ended since the last call.
    ///
    /// # Errors
    /// None: memory takes all bytes.
    pub fn take_bytes(&mut self) -> Result<Vec<u8>> {
        self.attempt(Self::taken)
    }

    fn taken(&mut self) -> Result<Vec<u8>> {
        self.file.flush()?;
        Ok(std::mem::take(self.file.inner_mut()))
    }

    /// Ends the file.
    ///
    /// # Errors
    /// Values that cannot be encoded.
    pub fn finish_in_memory(mut self) -> Result<Finished> {
        self.end_group()?;
        let metadata = self.file.finish()?;
        let size = self.written_bytes();
        let rest = self.taken()?;
        Ok(Finished {
            rest,
            size,
            metadata,
        })
    }
}

/// About what a row of a batch weighs, at least one byte. Of a slice only its own rows count.
#[must_use]
pub fn row_bytes(batch: &RecordBatch) -> u64 {
    let bytes: usize = batch.columns().iter().map(|array| bytes_of(array)).sum();
    (bytes as u64 / batch.num_rows().max(1) as u64).max(1)
}

/// Bytes of an array's own rows, also of those that its lists hold.
fn bytes_of(array: &dyn Array) -> usize {
    let items = |values: &ArrayRef, first: i64, end: i64| {
        let first = usize::try_from(first).unwrap_or(0);
        let end = usize::try_from(end).unwrap_or(first);
        bytes_of(&values.slice(first, end.saturating_sub(first)))
    };
    let rows = array.len();
    match array.data_type() {
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let offsets = lists.value_offsets();
            let (first, end) = (i64::from(offsets[0]), i64::from(offsets[rows]));
            items(lists.values(), first, end) + 4 * rows
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            let offsets = lists.value_offsets();
            items(lists.values(), offsets[0], offsets[rows]) + 8 * rows
        }
        DataType::Map(..) => {
            let maps = array.as_map();
            let offsets = maps.value_offsets();
            let (first, end) = (i64::from(offsets[0]), i64::from(offsets[rows]));
            let entries: ArrayRef = Arc::new(maps.entries().clone());
            items(&entries, first, end) + 4 * rows
        }
        DataType::Struct(_) => {
            let members = array.as_struct().columns().iter();
            members.map(|member| bytes_of(member)).sum()
        }
        _ => {
            let slice = array.to_data().get_slice_memory_size();
            slice.unwrap_or_else(|_| array.get_array_memory_size())
        }
    }
}

fn encode(leaves: &mut Leaves, field: &FieldRef, array: &ArrayRef) -> Result<()> {
    for (writer, leaf) in leaves.iter_mut().zip(compute_leaves(field, array)?) {
        writer.write(&leaf)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        Int64Array, ListArray, RecordBatch, StringArray, StructArray, types::Int32Type,
    };
    use arrow_schema::{Field, Schema, SchemaRef};
    use bytes::Bytes;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    fn batch(rows: usize) -> RecordBatch {
        let numbers = Int64Array::from_iter((0..rows as i64).map(|n| (n % 7 != 0).then_some(n)));
        let texts = StringArray::from_iter_values((0..rows).map(|n| format!("text {}", n % 97)));
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>((0..rows).map(|n| {
            let items = i32::try_from(n % 4).unwrap();
            (n % 5 != 0).then(|| (0..items).map(Some).collect::<Vec<_>>())
        }));
        let inner = Arc::new(Field::new("n", DataType::Int64, true));
        let structs = StructArray::from(vec![(inner, Arc::new(numbers.clone()) as ArrayRef)]);
        let fields = vec![
            Field::new("n", DataType::Int64, true),
            Field::new("t", DataType::Utf8, false),
            Field::new("l", lists.data_type().clone(), true),
            Field::new("s", structs.data_type().clone(), true),
        ];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(numbers),
            Arc::new(texts),
            Arc::new(lists),
            Arc::new(structs),
        ];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    fn writer(schema: &SchemaRef, bytes: u64, rows: usize) -> ParquetWriter<Vec<u8>> {
        let limits = Limits {
            encoded_bytes: u64::MAX,
            memory_bytes: bytes,
            rows,
        };
        let properties = WriterProperties::default();
        ParquetWriter::new(Vec::new(), schema, properties, limits).unwrap()
    }

    fn read(bytes: Vec<u8>) -> (usize, RecordBatch) {
        let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap();
        let groups = builder.metadata().num_row_groups();
        let schema = Arc::clone(builder.schema());
        let batches: Vec<RecordBatch> = builder
            .build()
            .unwrap()
            .map(|batch| batch.unwrap())
            .collect();
        let all = batches.iter().map(|batch| batch.columns().to_vec()).fold(
            Vec::<Vec<ArrayRef>>::new(),
            |mut all, columns| {
                all.resize(columns.len(), Vec::new());
                for (at, column) in columns.into_iter().enumerate() {
                    all[at].push(column);
                }
                all
            },
        );
        let columns = all
            .iter()
            .map(|parts| {
                let parts: Vec<&dyn arrow_array::Array> = parts.iter().map(AsRef::as_ref).collect();
                arrow_select::concat::concat(&parts).unwrap()
            })
            .collect();
        (groups, RecordBatch::try_new(schema, columns).unwrap())
    }

    #[test]
    fn rows_are_the_same_in_any_number_of_batches_groups_and_threads() {
        let rows = batch(20_000);
        for (bytes, group_rows, threads) in [
            (u64::MAX, usize::MAX, 1),
            (u64::MAX, usize::MAX, 3),
            (u64::MAX, 3_000, 2),
            (50_000, usize::MAX, 4),
            (1, 1, 2),
        ] {
            let rows = rows.slice(0, if group_rows == 1 { 50 } else { 20_000 });
            let mut writer = writer(&rows.schema(), bytes, group_rows);
            writer.threads = threads;
            let mut out = Vec::new();
            let mut start = 0;
            for size in [1, 511, 7_000, 20_000] {
                let count = size.min(rows.num_rows() - start);
                writer.write(&rows.slice(start, count)).unwrap();
                out.extend(writer.take_bytes().unwrap());
                start += count;
            }
            let Finished {
                rest,
                size,
                metadata,
            } = writer.finish_in_memory().unwrap();
            out.extend(rest);
            assert_eq!(out.len() as u64, size);
            assert_eq!(metadata.file_metadata().num_rows(), rows.num_rows() as i64);
            let (groups, found) = read(out);
            assert_eq!(found, rows);
            match group_rows {
                usize::MAX => assert_eq!(groups > 1, bytes < u64::MAX, "{groups}"),
                limit => assert_eq!(groups, rows.num_rows().div_ceil(limit)),
            }
        }
    }

    #[test]
    fn a_file_without_rows_has_its_columns() {
        let rows = batch(0);
        let writer = writer(&rows.schema(), 1 << 20, 1 << 20);
        let file = writer.finish_in_memory().unwrap();
        assert_eq!(file.metadata.file_metadata().num_rows(), 0);
        let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file.rest)).unwrap();
        assert_eq!(builder.schema().fields(), rows.schema().fields());
    }

    #[test]
    fn what_has_ended_leaves_memory() {
        let rows = batch(10_000);
        let mut writer = writer(&rows.schema(), 1_000_000, usize::MAX);
        for _ in 0..20 {
            writer.write(&rows).unwrap();
            let leaves = writer.columns.iter().flatten();
            let memory: usize = leaves.map(ArrowColumnWriter::memory_size).sum();
            assert!(memory < 1_300_000, "{memory}");
        }
        assert!(writer.file.flushed_row_groups().len() > 1);
    }

    #[test]
    fn a_row_group_ends_at_its_size_in_the_file() {
        let rows = batch(50_000);
        let limits = Limits {
            encoded_bytes: 40_000,
            memory_bytes: u64::MAX,
            rows: usize::MAX,
        };
        let properties = WriterProperties::default();
        let mut writer =
            ParquetWriter::new(Vec::new(), &rows.schema(), properties, limits).unwrap();
        for start in (0..50_000).step_by(1_000) {
            writer.write(&rows.slice(start, 1_000)).unwrap();
        }
        let sizes: Vec<i64> = writer
            .file
            .flushed_row_groups()
            .iter()
            .map(|group| group.compressed_size())
            .collect();
        assert!(sizes.len() > 1, "{sizes:?}");
        assert!(
            sizes.iter().all(|size| (20_000..60_000).contains(size)),
            "{sizes:?}"
        );
    }

    #[test]
    fn a_file_that_failed_is_not_finished() {
        let rows = batch(100);
        let mut writer = writer(&rows.schema(), u64::MAX, usize::MAX);
        writer.write(&rows).unwrap();
        let other =
            RecordBatch::try_from_iter([("n", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)]);
        assert!(writer.write(&other.unwrap()).is_err());
        assert!(writer.write(&rows).is_err());
        assert!(writer.finish_in_memory().is_err());
    }

    #[test]
    fn a_slice_weighs_what_its_rows_weigh() {
        let rows = batch(10_000);
        let (all, slice) = (row_bytes(&rows), row_bytes(&rows.slice(5_000, 10)));
        assert!(slice < all * 3, "{slice} {all}");
    }
}
