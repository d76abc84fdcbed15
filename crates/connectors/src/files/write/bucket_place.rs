//! The place of a table in a bucket: what is there, what is noted about it, and which of it nobody needs.
//!
//! Promise: what was committed last is known from the bucket alone. An object has the mark of the put that made it;
//! the note of that name (`.NAME.MARK.towpath-note`, put before the object) has its tokens. The manifest of a
//! folder has them itself. It changes nothing. Read next: `begin_bucket.rs`, `commit_bucket.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use object_store::path::Path as Key;
use tokio::runtime::Handle;

use super::commit_notes::{self, Known, Part, Standing};
use super::error::{Result, WriteError};
use crate::files::bucket::client::{BucketClient, Depth, Objects, Version, readable};
use crate::files::bucket::object::StoredObject;
use crate::files::bucket_folder::BucketFolder;
use crate::files::error::FilesError;
use crate::files::parts::{NOTE, is_part};
use crate::files::place::Place;

/// How names of the files of a folder begin.
const PART: &str = "part-";
/// Looks at an object that others replace meanwhile.
const LOOKS: usize = 10;
/// A note that no object names is of no use after this time: what its writer sent does not arrive any more.
const DEAD_AFTER: Duration = Duration::from_secs(1_200);

/// The place of a table.
#[derive(Debug)]
pub(super) struct BucketPlace {
    client: Arc<BucketClient>,
    /// What the keys of all files of the connection begin with.
    root: String,
    /// What the keys of its files begin with.
    folder: String,
    /// Of the file, or of the manifest.
    name: String,
    shown: String,
}

impl BucketPlace {
    pub(super) fn new(folder: &BucketFolder, relative: &str, name: &str, shown: &str) -> Self {
        let root = folder.prefix();
        Self {
            client: Arc::clone(folder.client()),
            folder: format!("{root}{relative}"),
            root,
            name: name.to_owned(),
            shown: shown.to_owned(),
        }
    }

    pub(super) fn client(&self) -> &Arc<BucketClient> {
        &self.client
    }

    /// What the keys of all files of the connection begin with.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// The key of a file in the folder.
    pub(super) fn key(&self, name: &str) -> Result<Key, FilesError> {
        let key = format!("{}{name}", self.folder);
        readable(&key).ok_or_else(|| FilesError::Key {
            path: self.client.address(&key),
            why: "has an empty part, `.` or `..` as a part, or a control character",
        })
    }

    /// The key of the file, or of the manifest.
    pub(super) fn own_key(&self) -> Result<Key, FilesError> {
        self.key(&self.name)
    }

    /// The key of the note of a mark.
    pub(super) fn note_key(&self, mark: &str) -> Result<Key, FilesError> {
        self.key(&format!(".{}.{mark}{NOTE}", self.name))
    }

    /// What is known of the file.
    pub(super) async fn known_file(&self) -> Result<Known> {
        let key = self.own_key()?;
        for _ in 0..LOOKS {
            let mut known = Known::nothing();
            let Some(seen) = self.client.look(&key).await? else {
                return Ok(known);
            };
            known.standing = Standing::Foreign;
            if let Some(mark) = seen.mark.as_deref().filter(|mark| is_mark(mark)) {
                let note = self.client.whole(&self.note_key(mark)?).await?;
                match note {
                    Some(note) => {
                        let bytes = seen.size;
                        commit_notes::read_object_note(&note, bytes, &self.shown, &mut known)?;
                    }
                    // A commit since the look may have removed it.
                    None if self.client.look(&key).await?.as_ref() != Some(&seen) => continue,
                    None => {}
                }
            }
            known.seen = Some(seen);
            return Ok(known);
        }
        Err(WriteError::Changed {
            path: self.shown.clone(),
        })
    }

    /// What is known of a folder of files.
    pub(super) async fn known_folder(&self) -> Result<Known> {
        let mut known = Known::nothing();
        if let Some((bytes, seen)) = self.client.whole_seen(&self.own_key()?).await? {
            commit_notes::read_manifest(&bytes, &self.shown, &mut known)?;
            known.seen = Some(seen);
        }
        known.present = Some(self.parts_present().await?);
        Ok(known)
    }

    /// The files that are there with a name as a commit makes them.
    async fn parts_present(&self) -> Result<Objects> {
        let begin = format!("{}{PART}", self.folder);
        let keep = Arc::new(|_: &str| true);
        let listing = self.client.list(&begin, Depth::Level, keep).await?;
        let parts = listing.objects.into_iter().filter_map(|(key, version)| {
            let name = key.strip_prefix(&self.folder)?.to_owned();
            is_part(&name).then_some((name, version))
        });
        Ok(parts.collect())
    }

    /// Where the files of a folder are, to read them. Must be called where requests run.
    pub(super) fn places(&self, known: &Known) -> Result<BTreeMap<String, Place>> {
        let mut places = BTreeMap::new();
        for part in &known.parts {
            let present = known.present.as_ref().and_then(|all| all.get(&part.name));
            let Some(version) = present else { continue };
            let key = self.key(&part.name)?;
            let no_version = || FilesError::NoVersion {
                path: self.client.address(key.as_ref()),
            };
            let version = version.clone().ok_or_else(no_version)?;
            places.insert(part.name.clone(), self.place(key, version));
        }
        Ok(places)
    }

    /// An object, to read it. Must be called where requests run.
    pub(super) fn place(&self, key: Key, version: Version) -> Place {
        let object = StoredObject::new(&self.client, key, version, Handle::current());
        Place::Object(Arc::new(object))
    }

    /// Notes of writers that are gone or were overtaken long ago, by the clock of the service: `own` was put now.
    pub(super) async fn old_notes(&self, own: &str, current: Option<&str>) -> Result<Vec<Key>> {
        let begin = format!("{}.{}.", self.folder, self.name);
        let mut notes = Vec::new();
        for object in self.client.listed(&begin).await? {
            let rest = object.key.strip_prefix(&begin);
            let mark = rest.and_then(|rest| rest.strip_suffix(NOTE));
            if let Some(mark) = mark.filter(|mark| is_mark(mark)) {
                notes.push((mark.to_owned(), time(object.last_modified.as_deref())));
            }
        }
        let now = notes.iter().find(|(mark, _)| mark == own);
        let Some(now) = now.and_then(|(_, time)| *time) else {
            return Ok(Vec::new());
        };
        let is_old = |put: &DateTime<Utc>| {
            let age = now.signed_duration_since(put).to_std();
            age.is_ok_and(|age| age >= DEAD_AFTER)
        };
        notes
            .iter()
            .filter(|(mark, put)| {
                put.as_ref().is_some_and(is_old) && Some(mark.as_str()) != current && mark != own
            })
            .map(|(mark, _)| self.note_key(mark).map_err(WriteError::Read))
            .collect()
    }
}

/// The parts of a folder that no manifest names and that may be a table, sorted.
pub(super) fn without_manifest(known: &mut Known) {
    let Some(present) = known.present.as_ref().filter(|_| known.seen.is_none()) else {
        return;
    };
    let part = |(name, version): (&String, &Option<Version>)| Part {
        name: name.clone(),
        rows: None,
        bytes: version.as_ref().map_or(0, |version| version.size),
    };
    known.parts = present.iter().map(part).collect();
    if !known.parts.is_empty() {
        known.standing = Standing::Foreign;
    }
}

/// A mark as `commit_bucket.rs` makes it.
fn is_mark(mark: &str) -> bool {
    mark.len() == 32 && mark.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A time as S3 and Google, or Azure, write it.
fn time(text: Option<&str>) -> Option<DateTime<Utc>> {
    let text = text?;
    let read = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_rfc2822(text));
    Some(read.ok()?.to_utc())
}
