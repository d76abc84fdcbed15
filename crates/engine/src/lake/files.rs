//! Writes data files of a table that no reader sees: `Add`s that no commit names yet.
//!
//! Promise: row groups are limited by bytes, files by an eighth of the memory budget. A file is durable when it is
//! closed, before a log entry can name it. A write that is given up deletes its files. Read next:
//! `attempt_files.rs`, `commit.rs`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, TimestampMicrosecondType};
use arrow_array::{Array, PrimitiveArray, types::ArrowPrimitiveType};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use deltalake_core::kernel::Add;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel as _;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use towpath_parquet::Limits;

use super::attempt_files::{AttemptFiles, named};
use super::block_sums::{TAG, sums_of};
use super::candidate::LakeFile;
use super::data_files::{DataFileSettings, DataFiles};
use super::error::{LakeError, LakeResult};
use super::storage::remove;
use super::table::Table;

const MEBIBYTE: u64 = 1 << 20;
/// What the dictionary of a column takes before it holds anything: a table of 8,192 places of nine bytes.
const DICTIONARY_BYTES: u64 = 80 << 10;
/// The most rows of a row group.
const GROUP_ROWS: usize = 1 << 20;
/// Columns with statistics in the log.
const STATS_COLUMNS: usize = 32;

/// How big things may get.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// The memory budget.
    pub(crate) memory_bytes: u64,
}

impl Sizes {
    /// Bytes a data file aims for.
    pub(crate) fn file_bytes(self) -> u64 {
        (self.memory_bytes / 8).clamp(4 * MEBIBYTE, 256 * MEBIBYTE)
    }

    fn row_group_bytes(self) -> u64 {
        (self.memory_bytes / 16).clamp(2 * MEBIBYTE, 64 * MEBIBYTE)
    }

    /// Whether a column's part of a row group is larger than what its dictionary takes while it is written.
    fn has_room_for_dictionaries(self, columns: usize) -> bool {
        self.row_group_bytes() / columns.max(1) as u64 >= DICTIONARY_BYTES
    }

    /// Bytes a merge may spend on keys at once.
    pub(crate) fn key_bytes(self) -> u64 {
        (self.memory_bytes / 8).max(1 << 10)
    }
}

/// Data files on their way.
pub(crate) struct FileWriter {
    table: Arc<Table>,
    schema: SchemaRef,
    file_schema: SchemaRef,
    dated: Vec<usize>,
    files: DataFiles,
    store: Arc<AttemptFiles>,
    attempt: String,
    rows: u64,
}

impl FileWriter {
    /// Prepares to write rows of `schema`; creates nothing yet.
    pub(crate) fn new(
        table: Arc<Table>,
        schema: SchemaRef,
        sizes: Sizes,
        attempt: &str,
    ) -> LakeResult<Self> {
        let bare: Vec<Field> = schema
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_metadata(Default::default()))
            .collect();
        let file_schema = Arc::new(Schema::new(bare));
        let properties = properties(&schema, sizes).map_err(|source| LakeError::Parquet {
            address: table.address(),
            source,
        })?;
        let stats = schema
            .fields()
            .iter()
            .filter(|field| has_stats(field.data_type()))
            .take(STATS_COLUMNS);
        let settings = DataFileSettings {
            schema: Arc::clone(&file_schema),
            properties,
            group: Limits {
                encoded_bytes: sizes.row_group_bytes(),
                memory_bytes: 2 * sizes.row_group_bytes(),
                rows: GROUP_ROWS,
            },
            file_bytes: sizes.file_bytes(),
            stats: stats.map(|field| field.name().clone()).collect(),
        };
        let store = Arc::new(AttemptFiles::of(attempt, table.log.object_store(None)));
        let files = DataFiles::new(Arc::clone(&store) as _, settings);
        let dated = (0..schema.fields().len())
            .filter(|at| {
                matches!(
                    schema.field(*at).data_type(),
                    DataType::Date32 | DataType::Timestamp(..)
                )
            })
            .collect();
        Ok(Self {
            table,
            schema,
            file_schema,
            dated,
            files,
            store,
            attempt: attempt.to_owned(),
            rows: 0,
        })
    }

    /// Takes a batch of `schema`.
    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> LakeResult<()> {
        for at in &self.dated {
            check_dates(batch.column(*at), self.schema.field(*at).name())?;
        }
        let bare = RecordBatch::try_new(Arc::clone(&self.file_schema), batch.columns().to_vec())
            .map_err(|source| LakeError::Arrow {
                doing: "writing a batch",
                source,
            })?;
        self.files
            .write(&bare)
            .await
            .map_err(self.table.delta("writing files of"))?;
        self.rows += bare.num_rows() as u64;
        Ok(())
    }

    /// Rows taken so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Finishes every file and makes it durable. When one fails, none of them is left.
    pub(crate) async fn close(self) -> LakeResult<Vec<Add>> {
        let names = self.files.names();
        let closed = self.files.close().await;
        let (mut adds, rows) = match closed {
            Ok(closed) => closed,
            Err(error) => {
                if let Err(left) = delete_begun(&self.table, &names, &self.attempt).await {
                    tracing::debug!(error = %left, "files of a failed write stay until the next write");
                }
                return Err(self.table.delta("writing files of")(error));
            }
        };
        if rows != self.rows {
            return Err(LakeError::Misuse(
                "rows were lost between a batch and its file",
            ));
        }
        for add in &mut adds {
            add.path = named(&add.path, &self.attempt);
            let sums = self.store.sums(&add.path);
            let sums = sums.filter(|sums| i64::try_from(sums.size()) == Ok(add.size));
            let sums = sums.ok_or(LakeError::Misuse(
                "a data file was written without checksums",
            ))?;
            let tags = add.tags.get_or_insert_default();
            tags.insert(TAG.to_owned(), Some(sums.to_tag()));
        }
        Ok(adds)
    }

    /// Gives up and deletes what was written.
    pub(crate) async fn abort(self) -> LakeResult<()> {
        let names = self.files.names();
        self.files.abort().await;
        delete_begun(&self.table, &names, &self.attempt).await
    }
}

/// Deletes the files of these names, as the attempt calls them, where they are.
async fn delete_begun(table: &Table, names: &[String], attempt: &str) -> LakeResult<()> {
    for name in names {
        remove(&*table.storage, &table.file(&named(name, attempt))).await?;
    }
    Ok(())
}

/// How Parquet files are written.
fn properties(schema: &Schema, sizes: Sizes) -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_dictionary_enabled(sizes.has_room_for_dictionaries(schema.fields().len()))
        .set_created_by(engine());
    for name in bare_floats(schema) {
        let path = ColumnPath::new(vec![name]);
        properties = properties.set_column_statistics_enabled(path, EnabledStatistics::None);
    }
    Ok(properties.build())
}

/// Deletes files that no commit names.
pub(crate) async fn delete(table: &Table, adds: &[Add]) -> LakeResult<()> {
    for add in adds {
        remove(&*table.storage, &table.file(&add.path)).await?;
    }
    Ok(())
}

/// What these uncommitted files will be once they are committed.
pub(crate) fn lake_files(table: &Table, adds: &[Add]) -> Vec<LakeFile> {
    adds.iter().map(|add| lake_file(table, add)).collect()
}

/// What an uncommitted file will be once it is committed.
pub(crate) fn lake_file(table: &Table, add: &Add) -> LakeFile {
    let rows = add
        .stats
        .as_deref()
        .and_then(|stats| serde_json::from_str::<serde_json::Value>(stats).ok());
    LakeFile {
        key: table.file(&add.path),
        bytes: u64::try_from(add.size).unwrap_or(0),
        rows: rows.and_then(|stats| stats.get("numRecords")?.as_u64()),
        stats: add.stats.clone(),
        sums: sums_of(add),
        version: None,
    }
}

/// This engine as Parquet files and commits name it.
pub(crate) fn engine() -> String {
    format!("Towpath/{}", env!("CARGO_PKG_VERSION"))
}

/// Columns whose smallest and largest value say nothing: writers leave NaN out of them, and readers
/// that take NaN for the largest number would skip rows.
fn bare_floats(schema: &Schema) -> Vec<String> {
    let floats = schema
        .fields()
        .iter()
        .filter(|field| field.data_type().is_floating());
    floats.map(|field| field.name().clone()).collect()
}

/// Statistics only where their JSON form is exact (the log keeps decimals as floating point), and where
/// no value is left out of them.
fn has_stats(data_type: &DataType) -> bool {
    match data_type {
        other if other.is_floating() => false,
        DataType::Decimal128(precision, _) => *precision <= 15,
        DataType::Binary => false,
        other => !other.is_nested(),
    }
}

/// The days a table may hold.
pub(crate) const DAYS: RangeInclusive<i32> = -719_162..=2_932_896;

/// Readers of Delta agree on the years 1 to 9999 only; a date outside is refused, not clamped.
fn check_dates(array: &dyn Array, column: &str) -> LakeResult<()> {
    const DAY_US: i64 = 86_400_000_000;
    let (first, last) = (*DAYS.start(), *DAYS.end());
    let fits = match array.data_type() {
        DataType::Date32 => within::<Date32Type>(array.as_primitive(), first, last),
        _ => within::<TimestampMicrosecondType>(
            array.as_primitive(),
            i64::from(first) * DAY_US,
            (i64::from(last) + 1) * DAY_US - 1,
        ),
    };
    if fits {
        return Ok(());
    }
    Err(LakeError::NotExact {
        column: column.to_owned(),
        target: towpath_vocab::types::name(array.data_type()),
        why: "a lakehouse date lies between 0001-01-01 and 9999-12-31".to_owned(),
    })
}

fn within<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, low: T::Native, high: T::Native) -> bool
where
    T::Native: PartialOrd,
{
    let inside = |value: &T::Native| *value >= low && *value <= high;
    if array.null_count() == 0 {
        array.values().iter().all(inside)
    } else {
        array.iter().flatten().all(|value| inside(&value))
    }
}

/// The columns as Delta's log writes them.
pub(crate) fn delta_schema(schema: &Schema) -> LakeResult<deltalake_core::kernel::StructType> {
    schema.try_into_kernel().map_err(|source| LakeError::Arrow {
        doing: "describing a table's columns",
        source,
    })
}
