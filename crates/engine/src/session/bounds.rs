//! Reads Parquet files without the minimum and maximum of their floating point columns.
//!
//! Promise: no rows are skipped because of NaN. Writers leave NaN out of these statistics, but here NaN is
//! the largest number, so row groups and pages that contain it would be skipped. The lakehouse writes no such
//! statistics; older files and files of other programs have them. It knows no table and no filter. Read next:
//! `scan.rs`.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::DataFusionError;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::basic::Type;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use towpath_vocab::Failure;

use crate::lake::{FileName, LakeCandidate, LakeError, ObjectFile};

/// Opens files without these statistics.
#[derive(Debug)]
pub(crate) struct Unbounded<F> {
    pub(crate) files: F,
    /// The object store of the files, which compares them with their checksums.
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// The table of the files.
    pub(crate) table: Arc<LakeCandidate>,
}

impl<F: ParquetFileReaderFactory> ParquetFileReaderFactory for Unbounded<F> {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        metadata_bytes: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> std::result::Result<Box<dyn AsyncFileReader + Send>, DataFusionError> {
        let location = file.object_meta.location.clone();
        let name = FileName {
            address: self.table.address_of(&location),
            version: self.table.version,
        };
        let inner = self
            .files
            .create_reader(partition, file, metadata_bytes, metrics)?;
        Ok(Box::new(UnboundedReader {
            inner,
            file: ObjectFile::at(
                Arc::clone(&self.objects),
                self.table.all_objects(),
                location,
            ),
            name,
            about: None,
        }))
    }
}

/// A reader of a file, which adds the file to errors.
struct UnboundedReader {
    inner: Box<dyn AsyncFileReader + Send>,
    file: ObjectFile,
    name: FileName,
    about: Option<Arc<ParquetMetaData>>,
}

impl UnboundedReader {
    /// Adds the column and row group that could not be read to an error.
    async fn named(&mut self, error: ParquetError) -> ParquetError {
        if self.about.is_none() {
            self.about = self.file.about().await;
        }
        named(&self.name, error, self.about.as_deref())
    }
}

impl AsyncFileReader for UnboundedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move {
            match self.inner.get_bytes(range).await {
                Ok(bytes) => Ok(bytes),
                Err(error) => Err(self.named(error).await),
            }
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move {
            match self.inner.get_byte_ranges(ranges).await {
                Ok(bytes) => Ok(bytes),
                Err(error) => Err(self.named(error).await),
            }
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        async move {
            let about = match self.inner.get_metadata(options).await {
                Ok(about) => about,
                // The library only returns the text of an error, so the bytes are read again to get its
                // kind.
                Err(error) => {
                    let again = self.file.get_metadata(None).await;
                    let error = again.err().unwrap_or(error);
                    return Err(named(&self.name, error, None));
                }
            };
            let about = unbounded(about)?;
            self.about = Some(Arc::clone(&about));
            Ok(about)
        }
        .boxed()
    }
}

/// Adds the file and its table to an error; an error of the storage that may disappear is not changed.
fn named(name: &FileName, error: ParquetError, about: Option<&ParquetMetaData>) -> ParquetError {
    match name.unreadable(&error, about) {
        LakeError::OutOfReach { .. } => error,
        damage => ParquetError::External(Box::new(Failure::from(damage))),
    }
}

/// The metadata of a file, without these statistics.
fn unbounded(metadata: Arc<ParquetMetaData>) -> Result<Arc<ParquetMetaData>> {
    let mut chunks = metadata
        .row_groups()
        .iter()
        .flat_map(RowGroupMetaData::columns);
    if !chunks.any(is_bounded) {
        return Ok(metadata);
    }
    let groups = metadata.row_groups().iter().cloned().map(group);
    let groups = groups.collect::<Result<Vec<_>>>()?;
    let pages = metadata.column_index().cloned().map(|mut pages| {
        for (group, pages) in metadata.row_groups().iter().zip(&mut pages) {
            for (chunk, pages) in group.columns().iter().zip(pages) {
                if is_float(chunk) {
                    *pages = ColumnIndexMetaData::NONE;
                }
            }
        }
        pages
    });
    let metadata = metadata.as_ref().clone().into_builder();
    let metadata = metadata.set_row_groups(groups).set_column_index(pages);
    Ok(Arc::new(metadata.build()))
}

fn group(group: RowGroupMetaData) -> Result<RowGroupMetaData> {
    let chunks = group.columns().iter().cloned().map(|chunk| {
        if !is_float(&chunk) {
            return Ok(chunk);
        }
        let chunk = chunk.into_builder().clear_statistics();
        let chunk = chunk.set_column_index_offset(None);
        chunk.set_column_index_length(None).build()
    });
    let chunks = chunks.collect::<Result<Vec<_>>>()?;
    group.into_builder().set_column_metadata(chunks).build()
}

fn is_bounded(chunk: &ColumnChunkMetaData) -> bool {
    let has_bounds = chunk.statistics().is_some() || chunk.column_index_offset().is_some();
    is_float(chunk) && has_bounds
}

fn is_float(chunk: &ColumnChunkMetaData) -> bool {
    matches!(chunk.column_type(), Type::FLOAT | Type::DOUBLE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeMap;

    use futures::TryStreamExt;
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::{EnabledStatistics, WriterProperties};
    use towpath_ports::{Candidate, Query};

    use super::super::fixture::{Fixture, batch, floats, ints, name, text_rows};
    use crate::lake::{LakeCandidate, LakeFile};

    #[tokio::test]
    async fn nan_is_found_in_files_whose_bounds_leave_it_out() {
        let fixture = Fixture::new();
        let kept = batch(vec![("id", ints(vec![Some(1)])), ("x", floats(vec![None]))]);
        let (prepared, candidate) = fixture.candidate("raw.t", kept).await;
        let path = fixture.folder.path().join("lake/others.parquet");
        let rows = batch(vec![
            ("id", ints(vec![Some(1), Some(2)])),
            ("x", floats(vec![Some(f64::NAN), Some(1.0)])),
        ]);
        let bounds = WriterProperties::builder();
        let bounds = bounds
            .set_statistics_enabled(EnabledStatistics::Page)
            .build();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(bounds)).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        let own = candidate.native.downcast_ref::<LakeCandidate>().unwrap();
        let others = LakeCandidate {
            schema: rows.schema(),
            files: vec![LakeFile {
                bytes: std::fs::metadata(&path).unwrap().len(),
                key: "others.parquet".into(),
                rows: Some(2),
                stats: None,
                sums: None,
                version: None,
            }],
            ..own.clone()
        };
        let others = Candidate {
            native: std::sync::Arc::new(others),
            ..candidate
        };
        let candidates = BTreeMap::from([(name("raw.t"), others)]);
        for (sql, expected) in [
            ("select id from raw.t where x > 5", "1"),
            ("select id from raw.t where x > 0.5 and x < 2", "2"),
            ("select id from raw.t order by x desc limit 1", "1"),
        ] {
            let found = fixture.engine.query(sql, &candidates).await.unwrap();
            let found: Vec<_> = found.batches.try_collect().await.unwrap();
            assert_eq!(text_rows(&found), [expected], "{sql}");
        }
        prepared.discard().await.unwrap();
    }
}
