//! Where the files of a connection are: in a folder of this machine, below a prefix of a bucket, or of a server.
//!
//! Promise: the same questions, whichever it is. It reads no file. Read next: `find.rs`, `bucket_folder.rs`,
//! `http_folder.rs`.

use std::collections::BTreeMap;
use std::path::Path;

use super::bucket::url::{BucketUrl, is_bucket};
use super::bucket_folder::BucketFolder;
use super::error::FilesError;
use super::find::{Folder, InputFile};
use super::http_folder::HttpFolder;
use super::options::Options;

/// The place of a connection's files.
#[derive(Clone, Debug)]
pub(crate) enum Root {
    Folder(Folder),
    Bucket(BucketFolder),
    Server(HttpFolder),
}

impl Root {
    /// The place that a connection's path names; `variables` are the settings of the environment for
    /// buckets. Nothing is asked of a bucket yet.
    pub(crate) fn of(
        project: &Path,
        path: &str,
        variables: impl FnOnce() -> BTreeMap<String, String>,
    ) -> Result<Self, FilesError> {
        if !is_bucket(path) {
            return Ok(Self::Folder(Folder::new(project, path)));
        }
        let url = BucketUrl::read(path)?;
        Ok(Self::Bucket(BucketFolder::open(url, &variables())?))
    }

    /// As people know it.
    pub(crate) fn shown(&self) -> &str {
        match self {
            Self::Folder(folder) => &folder.shown,
            Self::Bucket(bucket) => bucket.shown(),
            Self::Server(server) => server.shown(),
        }
    }

    /// The name of a file below it that people know as `object`.
    pub(crate) fn relative<'o>(&self, object: &'o str) -> Option<&'o str> {
        match self {
            Self::Folder(folder) => folder.relative(object),
            Self::Bucket(bucket) => bucket.relative(object),
            Self::Server(server) => server.relative(object),
        }
    }

    /// What it is and where, for people.
    pub(crate) fn system(&self) -> String {
        match self {
            Self::Folder(folder) => format!("folder `{}`", folder.shown),
            Self::Bucket(bucket) => format!("bucket `{}`", bucket.shown()),
            Self::Server(server) => format!("server `{}`", server.shown()),
        }
    }

    /// The files a selection means, sorted by name, at least one.
    pub(crate) async fn find(
        &self,
        selection: &str,
        options: &Options,
    ) -> Result<Vec<InputFile>, FilesError> {
        match self {
            Self::Folder(folder) => {
                let (selection, options) = (selection.to_owned(), options.clone());
                ask(folder, move |folder| folder.find(&selection, &options)).await
            }
            Self::Bucket(bucket) => bucket.find(selection, options).await,
            Self::Server(server) => server.find(selection, options, false).await,
        }
    }

    /// The same for a read that knows files by their bytes: how a server says which version a file has may change with
    /// the file's age, so its files are got whole.
    pub(crate) async fn find_whole(
        &self,
        selection: &str,
        options: &Options,
    ) -> Result<Vec<InputFile>, FilesError> {
        match self {
            Self::Server(server) => server.find(selection, options, true).await,
            _ => self.find(selection, options).await,
        }
    }

    /// Names below it that match a glob, sorted.
    pub(crate) async fn matching(&self, glob: &str) -> Result<Vec<String>, FilesError> {
        match self {
            Self::Folder(folder) => {
                let glob = glob.to_owned();
                ask(folder, move |folder| folder.matching(&glob)).await
            }
            Self::Bucket(bucket) => bucket.matching(glob).await,
            Self::Server(server) => server.matching(glob),
        }
    }

    /// What a person should know about a selection.
    pub(crate) async fn notes(&self, selection: &str) -> Result<Vec<String>, FilesError> {
        match self {
            Self::Folder(folder) => {
                let selection = selection.to_owned();
                ask(folder, move |folder| folder.notes(&selection)).await
            }
            Self::Bucket(_) | Self::Server(_) => Ok(Vec::new()),
        }
    }
}

/// Asks a folder on a blocking thread.
async fn ask<T: Send + 'static>(
    folder: &Folder,
    question: impl FnOnce(&Folder) -> Result<T, FilesError> + Send + 'static,
) -> Result<T, FilesError> {
    let (folder, path) = (folder.clone(), folder.shown.clone());
    tokio::task::spawn_blocking(move || question(&folder))
        .await
        .map_err(|_| FilesError::Broken { path })?
}
