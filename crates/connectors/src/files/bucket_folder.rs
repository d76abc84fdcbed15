//! Which objects a selection means: a key, a glob or a bare table name, below a prefix of a bucket.
//!
//! Promise: the same objects give the same files in the same order, as in a folder (`find.rs`); objects that
//! stand for folders are no files. A listing that is not whole stops the read. It reads no object but
//! the manifests of tables. Read next: `names.rs`, `bucket/client.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path as Key;
use tokio::runtime::Handle;

use super::bucket::client::{
    BucketClient, Depth, Keep, Listing, Objects, Version, all, only, readable,
};
use super::bucket::object::StoredObject;
use super::bucket::put::is_probe;
use super::bucket::url::BucketUrl;
use super::error::FilesError;
use super::find::{InputFile, one_format};
use super::names::{bare, inside, is_glob, is_mark, matcher, missing, name_parts};
use super::options::Options;
use super::parts::{self, MANIFEST};
use super::place::Place;

/// Listings at once.
const AT_ONCE: usize = 8;

/// A prefix of a bucket.
#[derive(Clone, Debug)]
pub(crate) struct BucketFolder {
    client: Arc<BucketClient>,
    url: BucketUrl,
    shown: String,
}

/// What was found for a glob.
#[derive(Debug, Default)]
struct Found {
    /// By their names below the prefix.
    files: Objects,
    /// The folders with a manifest, of those that were looked at.
    manifests: BTreeSet<String>,
    /// What the keys begin with that were looked at.
    prefixes: Vec<String>,
}

impl BucketFolder {
    /// The place of a connection. Nothing is asked yet.
    pub(crate) fn open(
        url: BucketUrl,
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, FilesError> {
        Ok(Self {
            client: Arc::new(BucketClient::open(&url, variables)?),
            shown: url.shown(),
            url,
        })
    }

    /// As people know it.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// The bucket.
    pub(crate) fn client(&self) -> &Arc<BucketClient> {
        &self.client
    }

    /// Whether the path has the name of a file.
    pub(crate) fn names_file(&self) -> bool {
        let name = self.url.prefix.rsplit('/').next().unwrap_or_default();
        !self.url.is_folder && name_parts(name).format.is_some()
    }

    /// What the keys of its objects begin with.
    pub(crate) fn prefix(&self) -> String {
        match self.url.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        }
    }

    fn object(&self, name: &str) -> String {
        format!("{}/{name}", self.shown)
    }

    /// The name of an object below the prefix that people know as this.
    pub(crate) fn relative<'o>(&self, object: &'o str) -> Option<&'o str> {
        match object.strip_prefix(self.shown.as_str())? {
            "" => object.rsplit('/').next(),
            rest => rest.strip_prefix('/'),
        }
    }

    /// The object that the connection's path names, if it names one.
    async fn only(&self) -> Result<Option<(String, Version)>, FilesError> {
        if !self.names_file() {
            return Ok(None);
        }
        let name = self.url.prefix.rsplit('/').next().unwrap_or_default();
        let Some(key) = readable(&self.url.prefix) else {
            return Ok(None);
        };
        let version = self.client.find(&key).await?;
        Ok(version.map(|version| (name.to_owned(), version)))
    }

    /// The files a selection means, sorted by name, at least one.
    pub(crate) async fn find(
        &self,
        selection: &str,
        options: &Options,
    ) -> Result<Vec<InputFile>, FilesError> {
        let selection = inside(selection, &self.shown)?;
        if let Some((name, version)) = self.only().await? {
            return self.find_only(selection, (&name, version), options);
        }
        if is_glob(selection) {
            return self.find_glob(selection, options).await;
        }
        let key = format!("{}{selection}", self.prefix());
        if let Some(key) = readable(&key)
            && let Some(version) = self.client.find(&key).await?
        {
            return Ok(vec![self.file(selection, key, version, options)?]);
        }
        let listing = self.client.list(&key, Depth::Level, all()).await?;
        let objects = self.named(listing.objects);
        if let Some(name) = bare(selection, &self.shown, objects.keys())? {
            let version = objects.get(name).cloned().flatten();
            return Ok(vec![self.listed(name, version, options)?]);
        }
        let folder = format!("{key}/");
        if listing.prefixes.contains(&folder) {
            return Err(FilesError::Folder {
                path: self.object(selection),
                selection: selection.to_owned(),
            });
        }
        Err(self.missing(selection).await?)
    }

    /// A connection may be one object.
    fn find_only(
        &self,
        selection: &str,
        (name, version): (&str, Version),
        options: &Options,
    ) -> Result<Vec<InputFile>, FilesError> {
        let is_meant = selection == name
            || bare(selection, &self.shown, [&name.to_owned()])?.is_some()
            || (is_glob(selection) && matcher(selection)?(name));
        let folder = self.url.prefix.strip_suffix(name).unwrap_or_default();
        if !is_meant {
            let path = self.client.address(&format!("{folder}{selection}"));
            return Err(missing(path, selection, &[name.to_owned()]));
        }
        let key = readable(&self.url.prefix).ok_or_else(|| self.unreadable(name))?;
        Ok(vec![self.placed(
            (name, self.shown.clone()),
            key,
            version,
            options,
        )?])
    }

    async fn find_glob(&self, glob: &str, options: &Options) -> Result<Vec<InputFile>, FilesError> {
        let found = self.walk(glob).await?;
        // An object may have the name of a glob.
        if let Some(version) = found.files.get(glob) {
            return Ok(vec![self.listed(glob, version.clone(), options)?]);
        }
        let mut names: Vec<String> = found.files.keys().cloned().collect();
        let lost = self.keep_committed(&mut names, &found).await?;
        let matches = matcher(glob)?;
        if let Some(name) = lost.iter().find(|name| matches(name)) {
            return Err(FilesError::LostPart {
                path: self.object(name),
            });
        }
        let file = |name: &String| {
            let version = found.files.get(name).cloned().flatten();
            self.listed(name, version, options)
        };
        let files = names.iter().map(file).collect::<Result<Vec<_>, _>>()?;
        match files.is_empty() {
            true => Err(self.missing(glob).await?),
            false => one_format(&files).map(|()| files),
        }
    }

    /// Names below the prefix that match a glob, sorted.
    pub(crate) async fn matching(&self, glob: &str) -> Result<Vec<String>, FilesError> {
        if let Some((name, _)) = self.only().await? {
            let is_meant = matcher(glob)?(&name);
            return Ok(is_meant.then_some(name).into_iter().collect());
        }
        let found = self.walk(glob).await?;
        let mut names: Vec<String> = found.files.keys().cloned().collect();
        self.keep_committed(&mut names, &found).await?;
        Ok(names)
    }

    /// Leaves out what a commit did not finish or has replaced, where a table was copied from a folder, and gives
    /// what a commit made and is not there.
    async fn keep_committed(
        &self,
        names: &mut Vec<String>,
        found: &Found,
    ) -> Result<Vec<String>, FilesError> {
        let mut lost = Vec::new();
        let prefix = self.prefix();
        let mut folders = parts::folders(names);
        folders.extend(found.manifests.iter().cloned());
        let begins = found.prefixes.iter();
        let begins = begins.filter_map(|begin| begin.strip_prefix(&prefix));
        let alone = begins.filter_map(parts::folder_of_parts_alone);
        folders.extend(alone.map(str::to_owned));
        for folder in &folders {
            let key = format!("{prefix}{folder}{MANIFEST}");
            let is_known = found.prefixes.iter().any(|begin| key.starts_with(begin));
            if is_known && !found.manifests.contains(folder) {
                continue;
            }
            let Some(readable) = readable(&key) else {
                continue;
            };
            // Some services do not say of a key that is not there that it is not, but they list.
            if !is_known {
                let listing = self.client.list(&key, Depth::Level, only(&key)).await?;
                if listing.objects.is_empty() {
                    continue;
                }
            }
            if let Some(manifest) = self.client.whole(&readable).await? {
                lost.extend(parts::keep_of(names, folder, &manifest));
            }
        }
        Ok(lost)
    }

    /// The objects that match a glob, or have it as their name. Only prefixes that may have some are listed.
    async fn walk(&self, glob: &str) -> Result<Found, FilesError> {
        let mut folders = vec![self.prefix()];
        let parts: Vec<&str> = glob.split('/').collect();
        for (at, part) in parts.iter().enumerate() {
            let is_last = at + 1 == parts.len();
            if !is_last && !is_glob(part) {
                for folder in &mut folders {
                    folder.push_str(part);
                    folder.push('/');
                }
                continue;
            }
            let fixed = part.split(['*', '?', '[']).next().unwrap_or_default();
            let prefixes: Vec<String> = folders
                .iter()
                .map(|folder| format!("{folder}{fixed}"))
                .collect();
            if part.contains("**") {
                return self.look(glob, prefixes, Depth::Deep).await;
            }
            if is_last {
                return self.look(glob, prefixes, Depth::Level).await;
            }
            let is_meant = matcher(part)?;
            folders = self
                .lists(&prefixes, Depth::Level, Arc::new(|_: &str| false))
                .await?
                .into_iter()
                .flat_map(|listing| listing.prefixes)
                .filter(|prefix| {
                    let name = prefix.strip_suffix('/').unwrap_or(prefix);
                    let name = name.rsplit('/').next().unwrap_or(name);
                    is_meant(name) || name.is_empty() || name == *part
                })
                .collect();
        }
        Ok(Found::default())
    }

    /// What matches a glob of that which begins with these prefixes.
    async fn look(
        &self,
        glob: &str,
        prefixes: Vec<String>,
        depth: Depth,
    ) -> Result<Found, FilesError> {
        let is_meant = {
            let (folder, glob, matches) = (self.clone(), glob.to_owned(), matcher(glob)?);
            let is_meant =
                move |name: &str| name == glob || matches(name) || folder.is_near(name, &matches);
            Arc::new(is_meant)
        };
        let keep = {
            let (is_meant, prefix) = (Arc::clone(&is_meant), self.prefix());
            move |key: &str| {
                let name = key.strip_prefix(&prefix);
                name.is_some_and(|name| is_meant(name) || parts::folder_of_manifest(name).is_some())
            }
        };
        let mut found = Found::default();
        for listing in self.lists(&prefixes, depth, Arc::new(keep)).await? {
            found.files.extend(self.named(listing.objects));
        }
        let folders = found.files.keys();
        let folders = folders.filter_map(|name| parts::folder_of_manifest(name));
        found.manifests = folders.map(str::to_owned).collect();
        found.files.retain(|name, _| is_meant(name));
        found.prefixes = prefixes;
        Ok(found)
    }

    /// Several listings, some at once, in their order.
    async fn lists(
        &self,
        prefixes: &[String],
        depth: Depth,
        keep: Keep,
    ) -> Result<Vec<Listing>, FilesError> {
        // Owned, because the compiler cannot tell that what is borrowed lives long enough.
        stream::iter(prefixes.to_vec())
            .map(|prefix| {
                let (client, keep) = (Arc::clone(&self.client), Arc::clone(&keep));
                async move { client.list(&prefix, depth, keep).await }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Whether a key that cannot be asked for would match if its odd parts were left out, or were names: to pass
    /// over it might lose rows.
    fn is_near(&self, name: &str, matches: impl Fn(&str) -> bool) -> bool {
        if readable(&format!("{}{name}", self.prefix())).is_some() {
            return false;
        }
        let is_odd = |part: &str| matches!(part, "" | "." | "..");
        let without: Vec<&str> = name.split('/').filter(|part| !is_odd(part)).collect();
        let named = name
            .split('/')
            .map(|part| if is_odd(part) { "x" } else { part });
        matches(&without.join("/")) || matches(&named.collect::<Vec<_>>().join("/"))
    }

    /// Objects by their names below the prefix, without those that stand for folders, notes about files and what
    /// a write tries the service with.
    fn named(&self, objects: Objects) -> Objects {
        let prefix = self.prefix();
        let files = objects.into_iter().filter_map(|(key, version)| {
            let name = key.strip_prefix(&prefix)?;
            let own = name.rsplit('/').next().unwrap_or(name);
            let is_ours = own.ends_with(parts::NOTE) || is_probe(name);
            let is_file = !own.is_empty() && !is_mark(own) && !is_ours;
            is_file.then(|| (name.to_owned(), version))
        });
        files.collect()
    }

    async fn missing(&self, selection: &str) -> Result<FilesError, FilesError> {
        let folder = selection.rsplit_once('/').map_or("", |(folder, _)| folder);
        let folder = match folder {
            folder if folder.is_empty() || is_glob(folder) => self.prefix(),
            folder => format!("{}{folder}/", self.prefix()),
        };
        let some = Depth::SomeOfLevel;
        let listing = self.client.list(&folder, some, all()).await?;
        let names: Vec<String> = self.named(listing.objects).into_keys().collect();
        Ok(missing(self.object(selection), selection, &names))
    }

    fn unreadable(&self, name: &str) -> FilesError {
        FilesError::Key {
            path: self.object(name),
            why: "has an empty part, `.` or `..` as a part, or a control character",
        }
    }

    fn listed(
        &self,
        name: &str,
        version: Option<Version>,
        options: &Options,
    ) -> Result<InputFile, FilesError> {
        let key = format!("{}{name}", self.prefix());
        let key = readable(&key).ok_or_else(|| self.unreadable(name))?;
        let version = version.ok_or_else(|| FilesError::NoVersion {
            path: self.object(name),
        })?;
        self.file(name, key, version, options)
    }

    fn file(
        &self,
        name: &str,
        key: Key,
        version: Version,
        options: &Options,
    ) -> Result<InputFile, FilesError> {
        self.placed((name, self.object(name)), key, version, options)
    }

    fn placed(
        &self,
        names: (&str, String),
        key: Key,
        version: Version,
        options: &Options,
    ) -> Result<InputFile, FilesError> {
        let object = StoredObject::new(&self.client, key, version, Handle::current());
        InputFile::of(names, Place::Object(Arc::new(object)), options)
    }
}
