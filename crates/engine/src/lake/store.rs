//! The Delta library's store of a table's files, with two promises of our own.
//!
//! A checkpoint is durable before it has its name: after a power cut `_last_checkpoint` never points
//! at a torn one. A data file bears the attempt that writes it in its name, so what a killed writer
//! left behind is told from what others write. All else is the library's store. It knows no log.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use uuid::Uuid;

use super::folder::{self, LOG};

/// How names of data files begin.
const PART: &str = "part-";
/// How names of checkpoints that are not yet whole begin and end.
pub(crate) const UNNAMED: (&str, &str) = ("_checkpoint_", ".tmp");

/// How names of data files of an attempt begin.
pub(crate) fn part_of(attempt: &str) -> String {
    format!("{PART}{attempt}-")
}

/// The name of a data file of an attempt, from the one the library gave.
pub(crate) fn named(name: &str, attempt: &str) -> String {
    let rest = name.strip_prefix(PART).unwrap_or(name);
    format!("{}{rest}", part_of(attempt))
}

/// A table's files.
#[derive(Debug)]
pub(crate) struct TableStore {
    inner: Arc<dyn ObjectStore>,
    log: PathBuf,
    attempt: Option<String>,
}

impl TableStore {
    /// Over a store that holds the table of this log folder.
    pub(crate) fn over(inner: Arc<dyn ObjectStore>, log: PathBuf) -> Self {
        Self {
            inner,
            log,
            attempt: None,
        }
    }

    /// The same for the data files of one attempt.
    pub(crate) fn of_attempt(inner: Arc<dyn ObjectStore>, log: PathBuf, attempt: &str) -> Self {
        Self {
            attempt: Some(attempt.to_owned()),
            ..Self::over(inner, log)
        }
    }

    /// Where a data file goes.
    fn place(&self, location: &Path) -> Path {
        let Some((attempt, name)) = self.attempt.as_deref().zip(location.filename()) else {
            return location.clone();
        };
        let name = named(name, attempt);
        let mut parts: Vec<String> = location
            .parts()
            .map(|part| part.as_ref().to_owned())
            .collect();
        parts.pop();
        parts.push(name);
        Path::from(parts.join("/"))
    }
}

impl fmt::Display for TableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableStore({})", self.inner)
    }
}

/// The name of a checkpoint, or of the pointer to the last one.
fn checkpoint(location: &Path) -> Option<String> {
    let name = location.filename()?;
    let folder = location.parts().rev().nth(1)?;
    let is_one = name == "_last_checkpoint" || name.contains(".checkpoint");
    (folder.as_ref() == LOG && is_one).then(|| name.to_owned())
}

/// Puts a file whose bytes are durable before it has its name, and whose name is before this returns.
fn put_durably(log: PathBuf, name: &str, payload: &PutPayload, mode: &PutMode) -> io::Result<()> {
    let (begin, end) = UNNAMED;
    let unnamed = log.join(format!("{begin}{}{end}", Uuid::new_v4().simple()));
    let path = log.join(name);
    let written = File::create(&unnamed).and_then(|mut file| {
        payload.iter().try_for_each(|bytes| file.write_all(bytes))?;
        file.sync_all()
    });
    fail::fail_point!("lake::before_checkpoint_name");
    let placed = written.and_then(|()| match mode {
        PutMode::Create => fs::hard_link(&unnamed, &path).and_then(|()| fs::remove_file(&unnamed)),
        _ => fs::rename(&unnamed, &path),
    });
    if placed.is_err() {
        let _ = fs::remove_file(&unnamed);
    }
    placed.and_then(|()| File::open(&log)?.sync_all())
}

fn refused(path: String) -> impl FnOnce(io::Error) -> object_store::Error {
    move |source| match source.kind() {
        io::ErrorKind::AlreadyExists => object_store::Error::AlreadyExists {
            path,
            source: Box::new(source),
        },
        _ => object_store::Error::Generic {
            store: "TableStore",
            source: Box::new(source),
        },
    }
}

#[async_trait]
impl ObjectStore for TableStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let Some(name) = checkpoint(location) else {
            let place = self.place(location);
            return self.inner.put_opts(&place, payload, options).await;
        };
        let log = self.log.clone();
        let put = folder::blocking(move || Ok(put_durably(log, &name, &payload, &options.mode)));
        match put.await {
            Ok(done) => done.map_err(refused(location.to_string()))?,
            Err(error) => {
                return Err(object_store::Error::Generic {
                    store: "TableStore",
                    source: Box::new(error),
                });
            }
        }
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let place = self.place(location);
        self.inner.put_multipart_opts(&place, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
