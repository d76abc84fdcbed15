//! A set of Parquet files as a table: a committed version of a lakehouse table, or a candidate.
//!
//! Promise: scans are plain Parquet scans with the files and statistics of the log, so files are skipped
//! and rows are counted without opening them. Statistics that writers shorten (text, timestamps) or that
//! leave values out (`bounds.rs`) are not used. It knows no log and no version: see `holdings.rs`.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DataFusionError, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use object_store::ObjectMeta;
use serde_json::Value;

use super::bounds::Unbounded;
use crate::lake::{LakeCandidate, LakeFile};

/// The URL of the lakehouse's objects in sessions; an engine has one lakehouse.
const LAKE: &str = "lakehouse://tables";

/// Parquet files as one table.
pub(crate) struct FilesTable {
    files: Arc<LakeCandidate>,
    schema: SchemaRef,
}

impl fmt::Debug for FilesTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilesTable")
            .field("table", &self.files.table)
            .field("version", &self.files.version)
            .finish()
    }
}

impl FilesTable {
    /// A table of these files.
    pub(crate) fn new(files: Arc<LakeCandidate>) -> Self {
        let schema = with_views(&files.schema);
        Self { files, schema }
    }
}

/// Reads text and bytes as views, so that they are not copied in a plan.
fn with_views(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| {
            let data_type = match field.data_type() {
                DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
                DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
                other => other.clone(),
            };
            field.as_ref().clone().with_data_type(data_type)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

#[async_trait]
impl TableProvider for FilesTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        // Row groups and files are skipped by the plan's own push-down; every row is still tested.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        if self.files.files.is_empty() {
            let schema = match projection {
                Some(columns) => Arc::new(self.schema.project(columns)?),
                None => Arc::clone(&self.schema),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let statistics: Vec<Arc<Statistics>> = self
            .files
            .files
            .iter()
            .map(|file| Arc::new(file_statistics(file, &self.schema)))
            .collect();
        let whole = Statistics::try_merge_iter(statistics.iter().map(Arc::as_ref), &self.schema)?;
        let files = self
            .files
            .files
            .iter()
            .zip(&statistics)
            .map(|(file, statistics)| partitioned(file).with_statistics(Arc::clone(statistics)))
            .collect();
        let groups = FileGroup::new(files).split_files(session.config().target_partitions());
        let place = ObjectStoreUrl::parse(LAKE)?;
        let environment = session.runtime_env();
        environment.register_object_store(place.as_ref(), self.files.all_objects());
        // Not the registered object store, because each table knows only the checksums of its own files.
        let objects = self.files.objects();
        let files = Unbounded {
            files: CachedParquetFileReaderFactory::new(
                Arc::clone(&objects),
                environment.cache_manager.get_file_metadata_cache(),
            ),
            objects,
            table: Arc::clone(&self.files),
        };
        let source = ParquetSource::new(TableSchema::from(Arc::clone(&self.schema)))
            .with_table_parquet_options(session.default_table_options().parquet)
            .with_parquet_file_reader_factory(Arc::new(files));
        let scan = FileScanConfigBuilder::new(place, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(whole)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}

fn partitioned(file: &LakeFile) -> PartitionedFile {
    // Data files never change once written, so a constant time is a true cache key.
    let never = chrono::DateTime::<chrono::Utc>::UNIX_EPOCH;
    PartitionedFile::new_from_meta(ObjectMeta {
        location: file.key.clone(),
        last_modified: never,
        size: file.bytes,
        e_tag: None,
        version: None,
    })
}

/// The statistics of a file in the log.
fn file_statistics(file: &LakeFile, schema: &Schema) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    statistics.total_byte_size =
        Precision::Inexact(usize::try_from(file.bytes).unwrap_or(usize::MAX));
    let Some(rows) = file.rows.and_then(|rows| usize::try_from(rows).ok()) else {
        return statistics;
    };
    statistics.num_rows = Precision::Exact(rows);
    let stats: Value = file
        .stats
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    for (field, column) in schema
        .fields()
        .iter()
        .zip(&mut statistics.column_statistics)
    {
        *column = column_statistics(field, &stats);
    }
    statistics
}

fn column_statistics(field: &Field, stats: &Value) -> ColumnStatistics {
    let of = |kind: &str| {
        stats
            .get(kind)
            .and_then(|columns| columns.get(field.name()))
    };
    let bound = |kind: &str| match of(kind).and_then(|value| bound(value, field.data_type())) {
        Some(value) => Precision::Exact(value),
        None => Precision::Absent,
    };
    let nulls = of("nullCount")
        .and_then(Value::as_u64)
        .and_then(|count| usize::try_from(count).ok());
    ColumnStatistics {
        null_count: nulls.map_or(Precision::Absent, Precision::Exact),
        min_value: bound("minValues"),
        max_value: bound("maxValues"),
        ..ColumnStatistics::new_unknown()
    }
}

/// A minimum or maximum, for types whose statistics are exact.
fn bound(value: &Value, data_type: &DataType) -> Option<ScalarValue> {
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            ScalarValue::Int64(Some(value.as_i64()?))
                .cast_to(data_type)
                .ok()
        }
        DataType::Date32 => {
            ScalarValue::try_from_string(value.as_str()?.to_owned(), data_type).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use std::path::PathBuf;
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::super::fixture::{Fixture, batch};

    fn rows(seed: i64) -> Vec<(&'static str, ArrayRef)> {
        let mut state = seed;
        let ids = (0..40_000).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state >> 20
        });
        let ids: Vec<i64> = ids.collect();
        let names = ids.iter().map(|id| format!("name {}", id % 50));
        let names: ArrayRef = Arc::new(StringArray::from_iter_values(names));
        vec![
            ("id", Arc::new(Int64Array::from(ids)) as ArrayRef),
            ("name", names),
        ]
    }

    fn data_file(fixture: &Fixture, table: &str) -> PathBuf {
        let files = std::fs::read_dir(fixture.folder.path().join("lake/raw").join(table)).unwrap();
        let mut files = files.map(|file| file.unwrap().path());
        files.find(|path| path.extension().is_some()).unwrap()
    }

    #[tokio::test]
    async fn a_query_over_flipped_bytes_names_file_column_and_row_group() {
        let fixture = Fixture::new();
        fixture.put("raw.t", batch(rows(1))).await;
        fixture.put("raw.u", batch(rows(2))).await;
        let queries = [
            "select count(distinct id), sum(id) from raw.t",
            "select max(id) from raw.t where id > 5",
            "select count(*) from raw.t join raw.u on t.name = u.name where t.id <> u.id",
            "select * from raw.t order by id, name limit 3",
        ];
        let mut whole = Vec::new();
        for sql in queries {
            whole.push(fixture.rows(sql).await.unwrap());
        }
        let path = data_file(&fixture, "t");
        let bytes = std::fs::read(&path).unwrap();
        for seed in 1..20_usize {
            let mut damaged = bytes.clone();
            for step in 1..=8 {
                // In the pages of `id`, most of the file.
                let at = (seed * 7_919 + step * 104_729) % (bytes.len() / 2) + 100;
                damaged[at] ^= 0x10;
            }
            std::fs::write(&path, &damaged).unwrap();
            for (sql, whole) in queries.iter().zip(&whole) {
                match fixture.rows(sql).await {
                    // The cached footer and other columns may be enough.
                    Ok(rows) => assert_eq!(&rows, whole, "{sql}"),
                    Err(failure) => {
                        assert_eq!(failure.code, "R0432", "{sql}: {failure}");
                        for part in ["`raw.t` (version 0)", "`id`", "row group 0", ".parquet"] {
                            assert!(failure.message.contains(part), "{sql}: {failure}");
                        }
                    }
                }
            }
            assert!(fixture.rows(queries[0]).await.is_err(), "{seed}");
        }
        std::fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
        let failure = fixture.rows(queries[0]).await.unwrap_err();
        assert_eq!(failure.code, "R0432", "{failure}");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(fixture.rows(queries[3]).await.unwrap(), whole[3]);
    }

    #[tokio::test]
    async fn a_damaged_footer_is_never_trusted() {
        let fixture = Fixture::new();
        fixture.put("raw.t", batch(rows(1))).await;
        let path = data_file(&fixture, "t");
        let bytes = std::fs::read(&path).unwrap();
        for at in (1..200).step_by(7) {
            let mut damaged = bytes.clone();
            let place = bytes.len() - at;
            damaged[place] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            let failure = fixture.rows("select sum(id) from raw.t").await.unwrap_err();
            assert_eq!(failure.code, "R0432", "{at}: {failure}");
            assert!(failure.message.contains("footer"), "{at}: {failure}");
        }
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(
            fixture.rows("select count(id) from raw.t").await.unwrap(),
            ["40000"]
        );
    }
}
