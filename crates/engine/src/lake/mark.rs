//! Who writes now: each attempt holds a locked file `<root>/_towpath/writers/<attempt>.json`.
//!
//! The lock is the operating system's: it is held before the file has its name and is gone with the
//! process, however that ends. A mark that nobody holds is of a dead attempt, and says which table it
//! wrote, so that its leftovers are found without reading any log. It deletes nothing but marks. Read
//! next: `sweep.rs`.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use towpath_vocab::TableName;

use super::error::{LakeError, LakeResult};
use super::folder::{self, OWN, failed};

/// Version of the stored form.
const VERSION: u32 = 1;
/// A mark without its name for this long will get none.
const UNNAMED: Duration = Duration::from_secs(3600);

/// What an attempt writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct About {
    version: u32,
    pub(crate) attempt: String,
    pub(crate) table: TableName,
    /// The version of the table it started from.
    pub(crate) base: Option<u64>,
}

impl About {
    pub(crate) fn new(attempt: &str, table: &TableName, base: Option<u64>) -> Self {
        Self {
            version: VERSION,
            attempt: attempt.to_owned(),
            table: table.clone(),
            base,
        }
    }
}

/// The mark of an attempt of this process. Dropped it stays, and says that the attempt is dead.
#[derive(Debug)]
pub(crate) struct AttemptMarker {
    path: PathBuf,
    _held: File,
}

impl AttemptMarker {
    /// Says that an attempt begins; `None` where the file system knows no locks.
    pub(crate) fn set(root: &Path, about: &About) -> LakeResult<Option<Self>> {
        let folder = marks(root);
        folder::create_folder(&folder)?;
        let path = folder.join(format!("{}.json", about.attempt));
        let unnamed = folder.join(format!(".{}.tmp", about.attempt));
        let text = serde_json::to_vec(about).map_err(|error| LakeError::Stored {
            path: path.clone(),
            why: error.to_string(),
        })?;
        let written = File::create(&unnamed).and_then(|mut file| {
            file.write_all(&text)?;
            Ok(file)
        });
        let held = written.map_err(failed("writing", &unnamed))?;
        if let Err(TryLockError::Error(error)) = held.try_lock() {
            tracing::debug!(%error, "writers are not marked: files cannot be locked here");
            folder::remove(&unnamed)?;
            return Ok(None);
        }
        fs::rename(&unnamed, &path).map_err(failed("writing", &path))?;
        Ok(Some(Self { path, _held: held }))
    }

    /// The attempt has ended and left nothing behind.
    pub(crate) fn lift(&self) {
        if let Err(error) = folder::remove(&self.path) {
            tracing::debug!(%error, "a writer's mark stays until the next write");
        }
    }
}

/// The mark of an attempt whose process is gone; held, so that only one process clears up after it.
pub(crate) struct Dead {
    pub(crate) about: About,
    mark: AttemptMarker,
}

impl Dead {
    /// Everything it left is gone.
    pub(crate) fn bury(self) {
        self.mark.lift();
    }
}

/// Attempts whose processes are gone.
pub(crate) fn dead(root: &Path) -> LakeResult<Vec<Dead>> {
    let folder = marks(root);
    let mut dead = Vec::new();
    for name in folder::names(&folder)? {
        let path = folder.join(&name);
        if !name.ends_with(".json") {
            forget_unnamed(&path);
            continue;
        }
        // Gone meanwhile, or held by whoever wrote it or clears up after it.
        let Ok(mut held) = File::options().read(true).write(true).open(&path) else {
            continue;
        };
        if held.try_lock().is_err() || !path.exists() {
            continue;
        }
        let mut text = String::new();
        let read = held
            .read_to_string(&mut text)
            .map_err(failed("reading", &path));
        read?;
        let mark = AttemptMarker { path, _held: held };
        match serde_json::from_str::<About>(&text) {
            Ok(about) if about.version <= VERSION => dead.push(Dead { about, mark }),
            Ok(_) => {}
            // A power cut took the text: what it wrote waits for `vacuum`.
            Err(_) => mark.lift(),
        }
    }
    Ok(dead)
}

/// Attempts that are marked, dead or alive, with what they write.
pub(crate) fn all(root: &Path) -> LakeResult<Vec<(String, Option<About>)>> {
    let folder = marks(root);
    let names = folder::names(&folder)?;
    let marked = names.iter().filter_map(|name| name.strip_suffix(".json"));
    Ok(marked
        .map(|attempt| {
            let about = fs::read(folder.join(format!("{attempt}.json")))
                .ok()
                .and_then(|text| serde_json::from_slice(&text).ok());
            (attempt.to_owned(), about)
        })
        .collect())
}

/// Holds a table against other work of this kind; `None` when somebody has it.
pub(crate) fn hold(root: &Path, table: &TableName) -> LakeResult<Option<File>> {
    let folder = root.join(OWN).join("care");
    folder::create_folder(&folder)?;
    let name = format!(
        "{}.{}.lock",
        folder::escape(table.schema()),
        folder::escape(table.table())
    );
    let path = folder.join(name);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed("opening", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
            tracing::debug!(%error, "care is not kept apart: files cannot be locked here");
            Ok(Some(file))
        }
        Err(TryLockError::Error(error)) => Err(failed("locking", &path)(error)),
    }
}

fn marks(root: &Path) -> PathBuf {
    root.join(OWN).join("writers")
}

fn forget_unnamed(path: &Path) {
    let old = path
        .metadata()
        .and_then(|metadata| metadata.modified())
        .ok()
        .and_then(|at| SystemTime::now().duration_since(at).ok())
        .is_some_and(|passed| passed >= UNNAMED);
    if old {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_mark_is_dead_only_when_nobody_holds_it_and_is_buried_once() {
        let home = tempfile::tempdir().unwrap();
        let about = About::new("a1", &TableName::new("raw", "t"), Some(3));
        let mark = AttemptMarker::set(home.path(), &about).unwrap().unwrap();
        assert!(dead(home.path()).unwrap().is_empty(), "it lives");
        drop(mark);
        let mut found = dead(home.path()).unwrap();
        assert_eq!(found.len(), 1);
        assert!(dead(home.path()).unwrap().is_empty(), "somebody clears up");
        let only = found.pop().unwrap();
        assert_eq!(
            (only.about.attempt.as_str(), only.about.base),
            ("a1", Some(3))
        );
        only.bury();
        assert!(all(home.path()).unwrap().is_empty());
    }

    #[test]
    fn a_table_is_held_by_one() {
        let home = tempfile::tempdir().unwrap();
        let (one, other) = (TableName::new("raw", "t"), TableName::new("raw", "u"));
        let held = hold(home.path(), &one).unwrap();
        assert!(held.is_some());
        assert!(hold(home.path(), &one).unwrap().is_none());
        assert!(hold(home.path(), &other).unwrap().is_some());
        drop(held);
        assert!(hold(home.path(), &one).unwrap().is_some());
    }
}
