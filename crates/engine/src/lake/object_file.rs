//! A Parquet file in a storage, as the Parquet library reads it: footer first, then the ranges it needs.
//!
//! It keeps nothing between calls and knows no table. Read next: `read.rs`.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
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
use super::verified::Mismatch;

/// A file that is read by ranges.
pub(crate) struct ObjectFile {
    objects: Arc<dyn ObjectStore>,
    plain: Arc<dyn ObjectStore>,
    key: Key,
}

impl ObjectFile {
    /// Names a file; reads nothing yet. `plain` are the same objects without their checksums.
    pub(crate) fn at(objects: Arc<dyn ObjectStore>, plain: Arc<dyn ObjectStore>, key: Key) -> Self {
        Self {
            objects,
            plain,
            key,
        }
    }

    /// What the footer says, or seems to say when bytes of its blocks differ; `None` when it cannot be read.
    pub(crate) async fn about(&mut self) -> Option<Arc<ParquetMetaData>> {
        match self.get_metadata(None).await {
            Ok(about) => Some(about),
            Err(ParquetError::External(source)) => {
                match source.downcast_ref().and_then(Mismatch::within) {
                    Some(Mismatch::Footer { about, .. }) => Some(Arc::clone(about)),
                    _ => None,
                }
            }
            Err(_) => None,
        }
    }

    async fn footer(&mut self, options: Option<&ArrowReaderOptions>) -> Result<ParquetMetaData> {
        let meta = self.objects.head(&self.key).await.map_err(external)?;
        let options = options.map(|options| options.metadata_options().clone());
        let reader = ParquetMetaDataReader::new().with_metadata_options(options);
        reader.load_and_finish(self, meta.size).await
    }

    /// The error of a footer, with what the footer seems to say where its bytes differ: other bytes in
    /// its blocks may be the damaged ones.
    async fn with_footer(&self, error: ParquetError) -> ParquetError {
        let Some(Mismatch::Bytes(range)) = (match &error {
            ParquetError::External(source) => source.downcast_ref().and_then(Mismatch::within),
            _ => None,
        }) else {
            return error;
        };
        let plain = || Arc::clone(&self.plain);
        let mut file = Self::at(plain(), plain(), self.key.clone());
        // A damaged footer may be anything.
        let read = AssertUnwindSafe(file.footer(None)).catch_unwind().await;
        match read {
            Ok(Ok(about)) => external(object_store::Error::from(Mismatch::Footer {
                range: range.clone(),
                about: Arc::new(about),
            })),
            _ => error,
        }
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
            match self.footer(options).await {
                Ok(about) => Ok(Arc::new(about)),
                Err(error) => Err(self.with_footer(error).await),
            }
        }
        .boxed()
    }
}
