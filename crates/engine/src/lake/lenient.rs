//! The log of a table of another program, without the statistics that the Delta library stumbles over.
//!
//! The library refuses a log whose statistics hold NULL for a member of a struct that may not be NULL,
//! though such a log is valid. Here every entry is read with the number of rows as its only statistic,
//! and checkpoints, which hold the same, are not seen. It is asked only after an opening has failed.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use serde_json::{Value, json};

use super::names::LOG;

/// A table's files, its log without most statistics.
#[derive(Debug)]
pub(crate) struct LenientStore(pub(crate) Arc<dyn ObjectStore>);

impl fmt::Display for LenientStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LenientStore({})", self.0)
    }
}

fn is_of_log(location: &Path) -> bool {
    location
        .parts()
        .rev()
        .nth(1)
        .is_some_and(|folder| folder.as_ref() == LOG)
}

fn is_entry(location: &Path) -> bool {
    is_of_log(location)
        && location
            .filename()
            .is_some_and(|name| name.ends_with(".json"))
}

fn is_seen(found: &ObjectMeta) -> bool {
    let name = found.location.filename().unwrap_or_default();
    !is_of_log(&found.location) || !name.contains("checkpoint")
}

/// An entry with the number of rows as its only statistic.
fn plain(entry: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entry.len());
    for line in entry
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        match serde_json::from_slice::<Value>(line) {
            Ok(mut action) => {
                if let Some(stats) = action.pointer_mut("/add/stats")
                    && let Some(text) = stats.as_str()
                {
                    let all: Value = serde_json::from_str(text).unwrap_or_default();
                    let rows = all.get("numRecords").cloned().unwrap_or_default();
                    *stats = Value::String(json!({ "numRecords": rows }).to_string());
                }
                out.extend_from_slice(action.to_string().as_bytes());
            }
            Err(_) => out.extend_from_slice(line),
        }
        out.push(b'\n');
    }
    out
}

#[async_trait]
impl ObjectStore for LenientStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if is_of_log(location) && location.filename() == Some("_last_checkpoint") {
            return Err(object_store::Error::NotFound {
                path: location.to_string(),
                source: "checkpoints are not read here".into(),
            });
        }
        if !is_entry(location) || options.head || options.range.is_some() {
            return self.0.get_opts(location, options).await;
        }
        let found = self.0.get_opts(location, options).await?;
        let (meta, attributes) = (found.meta.clone(), found.attributes.clone());
        let bytes = Bytes::from(plain(&found.bytes().await?));
        let size = bytes.len() as u64;
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::once(async { Ok(bytes) }).boxed()),
            meta: ObjectMeta { size, ..meta },
            range: 0..size,
            attributes,
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let all = self.0.list(prefix);
        all.try_filter(|found| futures::future::ready(is_seen(found)))
            .boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let all = self.0.list_with_offset(prefix, offset);
        all.try_filter(|found| futures::future::ready(is_seen(found)))
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut all = self.0.list_with_delimiter(prefix).await?;
        all.objects.retain(is_seen);
        Ok(all)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}
