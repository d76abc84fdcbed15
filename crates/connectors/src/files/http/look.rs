//! A look at a file of a server: which version of it is read, and from where.
//!
//! Promise: a server that gives ranges of one version is asked for ranges. From any other the file is got once, as a
//! whole, into a folder of this machine that is gone with the read; what the server has packed for the way is
//! unpacked there, but a file whose name says that it is packed stays so. Read next: `client.rs`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::OnceCell;
use url::Url;

use super::client::{HttpClient, shown};
use super::error::HttpError;
use super::version::HttpVersion;
use crate::files::error::FilesError;
use crate::files::options::Compression;
use crate::stage::Stage;

/// The folder below the project's state that holds files which were got whole.
const STAGES: &str = "http";
/// So much is asked for first; a smaller file is then known.
const FIRST_BYTES: u64 = 256 << 10;

/// Where a file is read from.
pub(crate) enum LookedAt {
    /// Ranges of a version; all of it, if it is small.
    Ranged(HttpVersion, Option<Bytes>),
    /// A file of this machine.
    Whole(PathBuf),
}

/// Files of one read that were got whole.
#[derive(Debug, Default)]
pub(crate) struct Downloads {
    stage: OnceCell<Arc<Stage>>,
    count: AtomicUsize,
}

impl Downloads {
    /// What keeps the files.
    pub(crate) fn kept(&self) -> Option<Arc<Stage>> {
        self.stage.get().cloned()
    }

    async fn next(&self, client: &HttpClient) -> Result<PathBuf, FilesError> {
        let make = || async {
            let state = client.state.clone();
            let shown = state.display().to_string();
            blocking(&shown, move || Stage::make(&state, STAGES))
                .await
                .map(Arc::new)
        };
        let stage = self.stage.get_or_try_init(make).await?;
        let count = self.count.fetch_add(1, Ordering::SeqCst);
        Ok(stage.folder().join(format!("file-{count}")))
    }
}

async fn blocking<T: Send + 'static>(
    path: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, FilesError> {
    let done = tokio::task::spawn_blocking(work).await;
    let broken = |_| FilesError::Broken {
        path: path.to_owned(),
    };
    done.map_err(broken)?.map_err(|source| FilesError::Read {
        path: path.to_owned(),
        source,
    })
}

impl LookedAt {
    /// Looks at a file whose name says this compression.
    pub(crate) async fn of(
        client: &HttpClient,
        url: &Url,
        by_name: Compression,
        downloads: &Downloads,
    ) -> Result<Self, FilesError> {
        if let Some((version, first)) = client.first(url, FIRST_BYTES).await? {
            let is_whole = version.size == first.len() as u64;
            return Ok(Self::Ranged(version, is_whole.then_some(first)));
        }
        Self::whole(client, url, by_name, downloads).await
    }

    /// Gets all of the file.
    pub(crate) async fn whole(
        client: &HttpClient,
        url: &Url,
        by_name: Compression,
        downloads: &Downloads,
    ) -> Result<Self, FilesError> {
        let path = downloads.next(client).await?;
        let packed = client.download(url, &path).await?;
        let packed = match (packed.as_deref(), by_name) {
            (None | Some("identity" | ""), _)
            // Some servers say so of a file that is packed itself.
            | (Some("gzip" | "x-gzip"), Compression::Gzip)
            | (Some("zstd"), Compression::Zstd) => return Ok(Self::Whole(path)),
            (Some("gzip" | "x-gzip"), _) => Compression::Gzip,
            (Some("zstd"), _) => Compression::Zstd,
            (Some(other), _) => {
                let why = format!("the server has packed it with `{other}`, which was not asked for");
                let address = shown(url);
                return Err(HttpError::Unreadable { address, why }.into());
            }
        };
        let (from, to) = (path, downloads.next(client).await?);
        let plain = to.clone();
        let unpacked = tokio::task::spawn_blocking(move || unpack(packed, &from, &to)).await;
        let address = shown(url);
        match unpacked {
            Err(_) => Err(FilesError::Broken { path: address }),
            Ok(Err(error)) => {
                let why = format!("it was cut off, or is damaged: {error}");
                Err(HttpError::Failed { address, why }.into())
            }
            Ok(Ok(())) => Ok(Self::Whole(plain)),
        }
    }
}

fn unpack(packed: Compression, from: &Path, to: &Path) -> io::Result<()> {
    let input = io::BufReader::new(File::open(from)?);
    let mut input: Box<dyn Read> = match packed {
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(input)?),
        _ => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
    };
    let mut output = File::create(to)?;
    io::copy(&mut input, &mut output)?;
    output.flush()
}
