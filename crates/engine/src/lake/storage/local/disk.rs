//! The operations on files and folders that must be durable, for a thread that may block.
//!
//! Promise: an unfinished file is named `_unfinished_<id>.tmp` in the folder of its final name and locked
//! while its writer lives, so that leftovers of a killed process are distinguished from work in progress.
//! Read next: `lock.rs`.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use object_store::PutPayload;
use uuid::Uuid;

use crate::lake::error::{LakeError, LakeResult};
use crate::lake::storage::Unfinished;

/// How names of unfinished files begin and end.
const UNFINISHED: (&str, &str) = ("_unfinished_", ".tmp");
/// How those of earlier versions begin and end.
const UNFINISHED_BEFORE: [(&str, &str); 3] = [
    ("_commit_", ".json.tmp"),
    ("_checkpoint_", ".tmp"),
    (".", ".tmp"),
];
/// Tries of a put whose unfinished file another process took for a leftover.
const TRIES: usize = 3;

/// What a put does with what has the name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// Fails where something has the name.
    Create,
    /// Takes its place.
    Replace,
}

/// Runs disk work off the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> LakeResult<T> + Send + 'static,
) -> LakeResult<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| LakeError::Stopped)?
}

/// Names a failed disk operation.
pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LakeError {
    let path = path.to_path_buf();
    move |source| LakeError::Io {
        doing,
        path,
        source,
    }
}

/// Puts a file: its bytes are durable before it has its name, the name before this returns.
pub(super) fn put(path: &Path, payload: &PutPayload, mode: Put) -> LakeResult<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    create_folder(folder)?;
    for _ in 1..TRIES {
        match try_put(folder, path, payload, mode) {
            Err(error) if error.kind() == ErrorKind::NotFound && folder.is_dir() => {}
            done => return done.map_err(failed("writing", path)),
        }
    }
    try_put(folder, path, payload, mode).map_err(failed("writing", path))
}

fn try_put(folder: &Path, path: &Path, payload: &PutPayload, mode: Put) -> io::Result<()> {
    let (begin, end) = UNFINISHED;
    let unfinished = folder.join(format!("{begin}{}{end}", Uuid::new_v4().simple()));
    let mut file = File::create(&unfinished)?;
    // Where files cannot be locked, leftovers are found by their age alone.
    let _ = file.try_lock();
    let written = payload
        .iter()
        .try_for_each(|bytes| file.write_all(bytes))
        .and_then(|()| file.sync_all());
    edge(path);
    let named = written.and_then(|()| match mode {
        Put::Create => fs::hard_link(&unfinished, path),
        Put::Replace => fs::rename(&unfinished, path),
    });
    if named.is_err() || mode == Put::Create {
        // Left behind, it is cleared away later; it is no reason to fail.
        let _ = fs::remove_file(&unfinished);
    }
    named.and_then(|()| File::open(folder)?.sync_all())
}

/// The edges that tests kill at.
fn edge(path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.contains("checkpoint") {
        fail::fail_point!("lake::before_checkpoint_name");
    } else if name.len() == 25 && name.ends_with(".json") {
        fail::fail_point!("lake::before_link");
    }
}

/// Makes a file and its name durable.
pub(super) fn sync_named(path: &Path) -> LakeResult<()> {
    sync(path)?;
    path.parent().map_or(Ok(()), sync)
}

fn sync(path: &Path) -> LakeResult<()> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(failed("syncing", path))
}

/// Creates a folder and makes every new name on the way to it durable.
pub(super) fn create_folder(path: &Path) -> LakeResult<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_folder(parent)?;
    }
    match new_folder(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(failed("creating", path)(ErrorKind::NotADirectory.into()));
        }
        Err(error) => return Err(failed("creating", path)(error)),
    }
    match parent.map(sync) {
        // A folder that is not ours may be one that may not be listed.
        Some(Err(LakeError::Io { source, .. })) if source.kind() == ErrorKind::PermissionDenied => {
            Ok(())
        }
        Some(done) => done,
        None => Ok(()),
    }
}

/// Rejected records hold what policy hides elsewhere: their folder is for its owner alone.
const PRIVATE: &str = "_quarantine";

fn new_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    if path.file_name().is_some_and(|name| name == PRIVATE) {
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    }
    builder.create(path)
}

/// Deletes a file; none there is fine.
pub(super) fn remove(path: &Path) -> LakeResult<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("deleting", path)(error)),
        _ => Ok(()),
    }
}

/// Deletes a folder: it is out of sight by one rename, whenever its files are deleted.
pub(super) fn delete_folder(folder: &Path, away: &Path) -> LakeResult<()> {
    create_folder(away)?;
    let moved = away.join(Uuid::new_v4().simple().to_string());
    match fs::rename(folder, &moved) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("dropping", folder)(error)),
        Ok(()) => {}
    }
    folder.parent().map_or(Ok(()), sync)?;
    fail::fail_point!("lake::before_deleting_dropped");
    delete_tree(&moved)
}

/// Deletes what `delete_folder` moved away and could not delete.
pub(super) fn delete_moved(away: &Path) -> LakeResult<()> {
    let entries = match fs::read_dir(away) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed("listing", away))?,
    };
    for entry in entries {
        delete_tree(&entry.map_err(failed("listing", away))?.path())?;
    }
    Ok(())
}

/// Another process may be at it too.
fn delete_tree(folder: &Path) -> LakeResult<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("deleting", folder)(error)),
        _ => Ok(()),
    }
}

/// Unfinished files right in a folder whose writers are not known to live.
pub(super) fn unfinished(folder: &Path) -> LakeResult<Vec<Unfinished>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries.map_err(failed("listing", folder))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("listing", folder))?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let Some(lock) = locked(&entry.path(), &name) else {
            continue;
        };
        let writer_is_gone = lock == Lock::Free;
        // It may have got its name meanwhile.
        if let Ok(metadata) = entry.metadata()
            && metadata.is_file()
            && lock != Lock::Held
        {
            found.push(Unfinished {
                name,
                bytes: metadata.len(),
                changed: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                writer_is_gone,
            });
        }
    }
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// What the lock of an unfinished file says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lock {
    Held,
    Free,
    /// It is of a kind that nobody locks.
    Unknown,
}

/// The lock of an unfinished file; `None` for a file that has its final name.
fn locked(path: &Path, name: &str) -> Option<Lock> {
    let like = |(begin, end): &(&str, &str)| name.starts_with(begin) && name.ends_with(end);
    // How the library names uploads that are not complete: the final name, `#`, a number.
    let uploaded = name.rsplit_once('#').is_some_and(|(_, number)| {
        !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    });
    if like(&UNFINISHED) {
        let file = File::open(path).ok()?;
        return Some(match file.try_lock() {
            Ok(()) => Lock::Free,
            Err(fs::TryLockError::WouldBlock) => Lock::Held,
            Err(fs::TryLockError::Error(_)) => Lock::Unknown,
        });
    }
    let unknown = uploaded || UNFINISHED_BEFORE.iter().any(like);
    unknown.then_some(Lock::Unknown)
}

/// An absolute path without `..`, which stores of files do not take. What is there is asked where it
/// leads; what is not there yet leads nowhere else.
pub(super) fn without_parents(path: &Path) -> io::Result<PathBuf> {
    if !path.components().any(|part| part == Component::ParentDir) {
        return Ok(path.to_path_buf());
    }
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part != Component::ParentDir {
            plain.push(part);
            continue;
        }
        if plain.exists() {
            plain = plain.canonicalize()?;
        }
        plain.pop();
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_path_leads_where_the_system_says() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        fs::create_dir_all(home.join("a/b")).unwrap();
        let plain = |path: &str| without_parents(&home.join(path)).unwrap();
        assert_eq!(plain("a/../lake"), home.join("lake"));
        assert_eq!(plain("a/b/../../new/../lake"), home.join("lake"));
        assert_eq!(plain("a/b"), home.join("a/b"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(home.join("a/b"), home.join("link")).unwrap();
            assert_eq!(plain("link/../lake"), home.join("a/lake"));
        }
    }

    #[test]
    fn unfinished_files_are_found_once_their_writer_is_gone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("_unfinished_1.tmp");
        let file = File::create(&path).unwrap();
        file.try_lock().unwrap();
        fs::write(home.path().join("part-1.parquet"), "x").unwrap();
        fs::write(home.path().join("part-1.parquet#3"), "x").unwrap();
        let names = || {
            let found = unfinished(home.path()).unwrap();
            found.into_iter().map(|file| file.name).collect::<Vec<_>>()
        };
        assert_eq!(names(), ["part-1.parquet#3"]);
        drop(file);
        assert_eq!(names(), ["_unfinished_1.tmp", "part-1.parquet#3"]);
    }
}
