//! A Parquet file in a storage, as the Parquet library reads it: footer first, then the ranges it needs.
//!
//! It keeps nothing between calls and knows no table. Read next: `read.rs`.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::storage::Key;

/// A file that is read by ranges.
pub(crate) struct ObjectFile {
    objects: Arc<dyn ObjectStore>,
    key: Key,
}

impl ObjectFile {
    /// Names a file; reads nothing yet.
    pub(crate) fn at(objects: Arc<dyn ObjectStore>, key: Key) -> Self {
        Self { objects, key }
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for ObjectFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move {
            let got = self.objects.get_range(&self.key, range).await;
            got.map_err(external)
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move {
            let got = self.objects.get_ranges(&self.key, &ranges).await;
            got.map_err(external)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        async move {
            let meta = self.objects.head(&self.key).await.map_err(external)?;
            let options = options.map(|options| options.metadata_options().clone());
            let reader = ParquetMetaDataReader::new().with_metadata_options(options);
            Ok(Arc::new(reader.load_and_finish(self, meta.size).await?))
        }
        .boxed()
    }
}
