//! The requests to a bucket: what is there, and the bytes of one version of an object.
//!
//! Promise: a listing is whole, or it is an error; a range is of the version that was asked for, or it is an
//! error. Settings and credentials come from the environment (the crate `buckets`) and are in no message.
//! It knows no file format. Read next: `object.rs` (reads), `put.rs` (writes).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use object_store::list::PaginatedListOptions;
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectStoreExt as _};
use tokio::sync::OnceCell;
use towpath_buckets::{Bucket, Cloud, KeysOfPage, ListedObject, Page, Store};

use super::url::BucketUrl;
use crate::files::error::FilesError;
use crate::files::room::Room;

/// A bucket.
pub(crate) struct BucketClient {
    pub(super) store: Arc<dyn Store>,
    bucket: Bucket,
    /// What may still be kept of small objects.
    pub(super) room: Room,
    /// What is known of the service: whether it obeys conditions of puts, and of ends of uploads in parts.
    pub(super) proved: Arc<Proof>,
}

impl fmt::Debug for BucketClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BucketClient({})", self.bucket.shown())
    }
}

/// What is known of a service.
#[derive(Debug, Default)]
pub(super) struct Proof {
    pub(super) puts: OnceCell<()>,
    pub(super) parts: OnceCell<()>,
}

/// What this process knows of services, by the bucket and a hash of the settings with which it is reached.
static PROOFS: Mutex<BTreeMap<(String, u64), Arc<Proof>>> = Mutex::new(BTreeMap::new());

fn proof_of(bucket: &str, variables: &BTreeMap<String, String>) -> Arc<Proof> {
    let mut hash = DefaultHasher::new();
    variables.hash(&mut hash);
    let place = (bucket.to_owned(), hash.finish());
    let mut proofs = PROOFS.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(proofs.entry(place).or_default())
}

/// What tells the contents of an object from others that have been or will be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Bytes.
    pub(crate) size: u64,
    /// Without the quotes that stand around it in a request.
    pub(crate) e_tag: String,
}

/// Objects by their keys or names; no version where the service does not say it.
pub(crate) type Objects = BTreeMap<String, Option<Version>>;

/// Which keys of a listing are wanted.
pub(crate) type Keep = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Wants all keys.
pub(crate) fn all() -> Keep {
    Arc::new(|_: &str| true)
}

/// Wants one key.
pub(crate) fn only(key: &str) -> Keep {
    let wanted = key.to_owned();
    Arc::new(move |key: &str| key == wanted)
}

/// What is below a prefix.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Those that are wanted.
    pub(crate) objects: Objects,
    /// Prefixes of other objects, with `/` at their end.
    pub(crate) prefixes: Vec<String>,
}

/// How much of a listing is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// To the next `/`.
    Level,
    /// The same, and only about a thousand names of it.
    SomeOfLevel,
    /// All.
    Deep,
}

/// The key that the client can ask for; `None` where it can only ask for another one.
pub(crate) fn readable(key: &str) -> Option<Key> {
    Key::parse(key).ok().filter(|read| read.as_ref() == key)
}

/// An ETag without its quotes; a weak one does not say that all bytes are the same.
fn plain(e_tag: &str) -> Option<String> {
    let e_tag = e_tag.trim();
    let is_weak = e_tag.starts_with("W/");
    let e_tag = e_tag.trim_matches('"');
    (!is_weak && !e_tag.is_empty()).then(|| e_tag.to_owned())
}

impl Version {
    /// Of an object of a listing; `None` where the service does not say it.
    fn listed(object: &ListedObject) -> Option<Self> {
        Self::of(object.size?, object.e_tag.as_deref())
    }

    pub(super) fn of(size: u64, e_tag: Option<&str>) -> Option<Self> {
        let e_tag = plain(e_tag?)?;
        Some(Self { size, e_tag })
    }
}

impl BucketClient {
    /// The client of a bucket, with the settings of these variables. Nothing is asked yet.
    pub(crate) fn open(
        url: &BucketUrl,
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, FilesError> {
        let store = url.bucket.open(variables);
        let store = store.map_err(|refusal| FilesError::Setting {
            setting: refusal.setting,
            why: refusal.why,
            way: refusal.way,
        })?;
        Ok(Self {
            store,
            bucket: url.bucket.clone(),
            room: Room::default(),
            proved: proof_of(url.bucket.shown(), variables),
        })
    }

    /// Whether an upload in parts can end under a condition.
    pub(super) fn ends_under_conditions(&self) -> bool {
        self.bucket.cloud == Cloud::Amazon
    }

    /// Where a person finds an object.
    pub(crate) fn address(&self, key: &str) -> String {
        format!("{}/{key}", self.bucket.shown())
    }

    pub(super) fn failed<'a>(
        &'a self,
        doing: &'static str,
        key: &'a str,
    ) -> impl FnOnce(object_store::Error) -> FilesError + 'a {
        move |source| FilesError::Bucket {
            doing,
            address: self.address(key),
            source: Box::new(source),
        }
    }

    /// What is below a prefix, which may end within a name. Only the objects that are wanted are held.
    pub(crate) async fn list(
        &self,
        prefix: &str,
        depth: Depth,
        keep: Keep,
    ) -> Result<Listing, FilesError> {
        let mut all = Listing::default();
        let take = |page: Page| {
            for object in page.objects {
                if !keep(&object.key) {
                    continue;
                }
                let version = Version::listed(&object);
                match all.objects.entry(object.key) {
                    Entry::Vacant(place) => place.insert(version),
                    Entry::Occupied(place) => return Err(place.key().clone()),
                };
            }
            all.prefixes.extend(page.prefixes);
            Ok(())
        };
        self.pages(prefix, depth, take).await?;
        // Some services repeat a prefix on every page that has keys of it.
        all.prefixes.sort_unstable();
        all.prefixes.dedup();
        Ok(all)
    }

    /// The objects of one level whose keys begin so, as the listing has them.
    pub(crate) async fn listed(&self, prefix: &str) -> Result<Vec<ListedObject>, FilesError> {
        let mut all = Vec::new();
        let take = |page: Page| {
            all.extend(page.objects);
            Ok(())
        };
        self.pages(prefix, Depth::Level, take).await?;
        Ok(all)
    }

    /// Goes through the pages of a listing; `take` gives a key that it does not take.
    async fn pages(
        &self,
        prefix: &str,
        depth: Depth,
        mut take: impl FnMut(Page) -> Result<(), String> + Send,
    ) -> Result<(), FilesError> {
        let wrong = |key| FilesError::Listing {
            address: self.address(prefix),
            key,
        };
        let mut token = None;
        loop {
            let keys = KeysOfPage::default();
            let mut options = PaginatedListOptions {
                delimiter: (depth != Depth::Deep).then_some(Cow::Borrowed("/")),
                page_token: token.take(),
                ..PaginatedListOptions::default()
            };
            options.extensions.insert(keys.clone());
            let prefixed = Some(prefix).filter(|prefix| !prefix.is_empty());
            let got = self.store.list_paginated(prefixed, options).await;
            let got = got.map_err(self.failed("listing", prefix))?;
            let page = keys.take();
            let foreign = page
                .objects
                .iter()
                .find(|object| !object.key.starts_with(prefix));
            if let Some(foreign) = foreign {
                return Err(wrong(foreign.key.clone()));
            }
            take(page).map_err(wrong)?;
            token = got.page_token;
            if token.is_none() || depth == Depth::SomeOfLevel {
                return Ok(());
            }
        }
    }

    /// The version that an object has now; `None` when there is none.
    pub(crate) async fn find(&self, key: &Key) -> Result<Option<Version>, FilesError> {
        match self.store.head(key).await {
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            // Who may not list all of a bucket hears this of a key that is not there, too.
            Err(object_store::Error::PermissionDenied { .. }) => self.find_listed(key).await,
            Err(error) => Err(self.failed("looking for", key.as_ref())(error)),
            Ok(meta) => match Version::of(meta.size, meta.e_tag.as_deref()) {
                Some(version) => Ok(Some(version)),
                None => Err(FilesError::NoVersion {
                    path: self.address(key.as_ref()),
                }),
            },
        }
    }

    /// The same from a listing.
    async fn find_listed(&self, key: &Key) -> Result<Option<Version>, FilesError> {
        let wanted = key.as_ref();
        let listing = self.list(wanted, Depth::Level, only(wanted)).await?;
        match listing.objects.into_values().next() {
            None => Ok(None),
            Some(Some(version)) => Ok(Some(version)),
            Some(None) => Err(FilesError::NoVersion {
                path: self.address(wanted),
            }),
        }
    }

    /// All of an object, whichever version it has; `None` when there is none.
    pub(crate) async fn whole(&self, key: &Key) -> Result<Option<Bytes>, FilesError> {
        let got = match self.store.get(key).await {
            Ok(got) => got.bytes().await,
            Err(error) => Err(error),
        };
        match got {
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("reading", key.as_ref())(error)),
            Ok(bytes) => Ok(Some(bytes)),
        }
    }

    /// A range of one version of an object.
    pub(crate) async fn get(
        &self,
        key: &Key,
        version: &Version,
        range: Range<u64>,
    ) -> Result<Bytes, FilesError> {
        if range.start >= range.end {
            return Ok(Bytes::new());
        }
        let wanted = range.end - range.start;
        let changed = || FilesError::Changing {
            path: self.address(key.as_ref()),
        };
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: Some(format!("\"{}\"", version.e_tag)),
            ..GetOptions::default()
        };
        let got = match self.store.get_opts(key, options).await {
            Ok(got) => got,
            // It was there when it was listed.
            Err(
                object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. },
            ) => return Err(changed()),
            Err(error) => return Err(self.failed("reading", key.as_ref())(error)),
        };
        // A service may pass over the condition.
        match Version::of(got.meta.size, got.meta.e_tag.as_deref()) {
            Some(got) if got == *version => {}
            Some(_) => return Err(changed()),
            None => {
                return Err(FilesError::NoVersion {
                    path: self.address(key.as_ref()),
                });
            }
        }
        let bytes = match got.bytes().await {
            Ok(bytes) => bytes,
            Err(
                object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. },
            ) => return Err(changed()),
            Err(error) => return Err(self.failed("reading", key.as_ref())(error)),
        };
        match bytes.len() as u64 == wanted {
            true => Ok(bytes),
            false => Err(FilesError::Short {
                path: self.address(key.as_ref()),
                wanted,
                got: bytes.len() as u64,
            }),
        }
    }
}
