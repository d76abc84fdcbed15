//! Which files of a server a selection means: names below an address, or the files that the address itself names.
//!
//! Promise: a server lists no files, so a glob is refused where it would need that; braces stand for several names.
//! Each file is looked at once, and has the same version in all of its reads. Read next: `http/look.rs`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::runtime::Handle;
use towpath_ports::ConnectorContext;
use towpath_vocab::ConnectionPlan;
use url::Url;

use super::bucket::object::StoredObject;
use super::error::FilesError;
use super::find::{InputFile, one_format};
use super::http::client::HttpClient;
use super::http::error::HttpError;
use super::http::url::{expanded, parse, without_parameters};
use super::http::{Downloads, LookedAt};
use super::names::{bare, inside, is_glob, matcher, missing, name_parts};
use super::options::Options;
use super::place::Place;

/// Files that are looked at together.
const AT_ONCE: usize = 8;

/// An address of a server.
#[derive(Clone, Debug)]
pub(crate) struct HttpFolder {
    client: Arc<HttpClient>,
    /// As it was written, without parameters and a `/` at its end.
    shown: String,
    /// What the addresses of its files begin with, with a `/` at its end.
    folder: String,
    /// The addresses that `path` itself names.
    only: Vec<String>,
}

/// The part of an address behind its last `/`, without parameters.
fn name_of(address: &str) -> &str {
    let plain = without_parameters(address);
    plain.rsplit('/').next().unwrap_or(plain)
}

impl HttpFolder {
    /// The place of a connection. Nothing is asked yet.
    pub(crate) fn open(
        path: &str,
        plan: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Self, FilesError> {
        let all = expanded(path)?;
        for address in &all {
            parse(address)?;
        }
        let wrong = |why| HttpError::Place {
            place: without_parameters(path).to_owned(),
            why,
        };
        let first = all.first().ok_or_else(|| wrong("it is empty"))?;
        let is_file = |address: &String| name_parts(name_of(address)).format.is_some();
        let has_parameters = without_parameters(first).len() != first.len();
        let only = match all.iter().any(is_file) || all.len() > 1 || has_parameters {
            true => all.clone(),
            false => Vec::new(),
        };
        let base = parse(first)?;
        // As addresses of files are shown.
        let plain = without_parameters(base.as_str());
        let folder = match only.is_empty() {
            true => format!("{}/", plain.trim_end_matches('/')),
            false => plain
                .strip_suffix(name_of(plain))
                .unwrap_or(plain)
                .to_owned(),
        };
        let origin = |address: &String| parse(address).map(|url| url.origin());
        for address in &all {
            if origin(address)? != base.origin() {
                let why = "its files are of several hosts; write a connection for each";
                return Err(wrong(why).into());
            }
            if !only.is_empty() && !parse(address)?.as_str().starts_with(folder.as_str()) {
                let why = "its files are in several folders; write the braces in `from`";
                return Err(wrong(why).into());
            }
        }
        Ok(Self {
            client: Arc::new(HttpClient::open(&base, plan, context)?),
            shown: without_parameters(path).trim_end_matches('/').to_owned(),
            folder,
            only,
        })
    }

    /// As people know it.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether the path itself names files.
    pub(crate) fn names_files(&self) -> bool {
        !self.only.is_empty()
    }

    /// The name of a file that people know as this.
    pub(crate) fn relative<'o>(&self, object: &'o str) -> Option<&'o str> {
        object.strip_prefix(self.folder.as_str())
    }

    /// Names that match a glob.
    pub(crate) fn matching(&self, glob: &str) -> Result<Vec<String>, FilesError> {
        if !self.names_files() {
            return Err(self.unlisted(glob).into());
        }
        let matches = matcher(glob)?;
        let names = self.only.iter().map(|address| name_of(address).to_owned());
        Ok(names.filter(|name| matches(name)).collect())
    }

    /// The names of the files that `path` names, each of which was asked for.
    pub(crate) async fn asked(&self, plan: &ConnectionPlan) -> Result<Vec<String>, FilesError> {
        let options = Options::read(&plan.options, &BTreeMap::new())?;
        let files = self.find("*", &options, false).await?;
        let names = files.iter().filter_map(|file| self.relative(&file.object));
        Ok(names.map(str::to_owned).collect())
    }

    fn unlisted(&self, selection: &str) -> HttpError {
        HttpError::Place {
            place: format!("{}{selection}", self.folder),
            why: "a server lists no files, so a glob finds none",
        }
    }

    /// The addresses that a selection means.
    fn meant(&self, selection: &str) -> Result<Vec<String>, FilesError> {
        inside(without_parameters(selection), &self.shown)?;
        let all = expanded(selection)?;
        if !self.names_files() {
            let plain = without_parameters(selection);
            if is_glob(plain) || plain.is_empty() {
                return Err(self.unlisted(plain).into());
            }
            return Ok(all
                .iter()
                .map(|name| format!("{}{name}", self.folder))
                .collect());
        }
        let names: Vec<String> = self
            .only
            .iter()
            .map(|address| name_of(address).to_owned())
            .collect();
        let plain = without_parameters(selection);
        let glob = matcher(plain).ok().filter(|_| is_glob(plain));
        let stem = bare(plain, &self.shown, &names).ok().flatten();
        let is_meant = |address: &&String| {
            let name = name_of(address);
            let is_named = |one: &String| {
                one == name || address.strip_prefix(self.folder.as_str()) == Some(one)
            };
            all.iter().any(is_named)
                || stem.is_some_and(|stem| stem == name)
                || glob.as_ref().is_some_and(|matches| matches(name))
        };
        let meant: Vec<String> = self.only.iter().filter(is_meant).cloned().collect();
        match meant.is_empty() {
            true => Err(missing(format!("{}{plain}", self.folder), plain, &names)),
            false => Ok(meant),
        }
    }

    /// The files a selection means, in the order in which they are written, at least one; with `is_whole` each is
    /// got whole.
    pub(crate) async fn find(
        &self,
        selection: &str,
        options: &Options,
        is_whole: bool,
    ) -> Result<Vec<InputFile>, FilesError> {
        let mut urls: Vec<Url> = Vec::new();
        let mut seen = HashSet::new();
        for address in self.meant(selection)? {
            let url = parse(&address)?;
            let is_below = url.as_str().starts_with(parse(&self.folder)?.as_str());
            if !is_below || !seen.insert(without_parameters(&address).to_owned()) {
                return Err(HttpError::Place {
                    place: without_parameters(&address).to_owned(),
                    why: "it leads out of `path`, or differs from another file in its parameters alone",
                }
                .into());
            }
            urls.push(url);
        }
        let downloads = Arc::new(Downloads::default());
        // Owned, because the compiler cannot tell that what is borrowed lives long enough.
        let files = stream::iter(urls)
            .map(|url| {
                let (folder, options) = (self.clone(), options.clone());
                let downloads = Arc::clone(&downloads);
                async move { folder.file(url, (&downloads, is_whole), &options).await }
            })
            .buffered(AT_ONCE)
            .try_collect::<Vec<_>>();
        let files = files.await?;
        one_format(&files)?;
        Ok(files)
    }

    async fn file(
        &self,
        url: Url,
        (downloads, is_whole): (&Downloads, bool),
        options: &Options,
    ) -> Result<InputFile, FilesError> {
        let object = without_parameters(url.as_str()).to_owned();
        let name = name_of(&object).to_owned();
        let parts = name_parts(&name);
        let packed = options.compression.unwrap_or(parts.compression);
        let mut kept = None;
        let looked = match is_whole {
            true => LookedAt::whole(&self.client, &url, packed, downloads).await?,
            false => LookedAt::of(&self.client, &url, packed, downloads).await?,
        };
        let place = match looked {
            LookedAt::Ranged(version, bytes) => {
                let handle = Handle::current();
                let object = StoredObject::of_server(&self.client, (url, version), bytes, handle);
                Place::Object(Arc::new(object))
            }
            LookedAt::Whole(path) => {
                kept = downloads.kept();
                Place::Local(path)
            }
        };
        let mut file = InputFile::of((&name, object), place, options)?;
        file.kept = kept;
        Ok(file)
    }
}
