//! Leases as files that the operating system locks.
//!
//! A file is locked before it has its name, so nobody ever sees it free while its holder lives. Where
//! the file system knows no locks, every lease is granted and none is ever found dead.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use super::disk::{self, failed};
use crate::lake::error::LakeResult;
use crate::lake::storage::HeldLease;

/// A locked file; without one where the file system knows no locks.
#[derive(Debug)]
pub(super) struct Locked {
    file: Option<(PathBuf, File)>,
}

#[async_trait]
impl HeldLease for Locked {
    fn is_held(&self) -> bool {
        true
    }

    async fn confirm(&self, _about: Bytes) -> LakeResult<bool> {
        // A file stays locked for as long as its process lives.
        Ok(true)
    }

    async fn abandon(&self) -> LakeResult<()> {
        self.release().await
    }

    async fn release(&self) -> LakeResult<()> {
        let Some((path, _)) = &self.file else {
            return Ok(());
        };
        let path = path.clone();
        disk::blocking(move || disk::remove(&path)).await
    }
}

/// Takes a lease; `None` when somebody holds it.
pub(super) fn take(path: &Path, about: &[u8]) -> LakeResult<Option<Locked>> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    disk::create_folder(folder)?;
    loop {
        if let Some(mut file) = open(path)? {
            match lock(&file, path)? {
                Taken::No => return Ok(None),
                Taken::Yes if is_at(&file, path) => {
                    file.set_len(0)
                        .and_then(|()| file.write_all(about))
                        .map_err(failed("writing", path))?;
                    return Ok(Some(held(path, file)));
                }
                // Given back meanwhile.
                Taken::Yes => continue,
                Taken::Unsupported => return Ok(Some(Locked { file: None })),
            }
        }
        let unnamed = folder.join(format!("_unfinished_{}.tmp", Uuid::new_v4().simple()));
        let written = File::create(&unnamed).and_then(|mut file| {
            file.write_all(about)?;
            Ok(file)
        });
        let file = written.map_err(failed("writing", &unnamed))?;
        let taken = lock(&file, &unnamed);
        let named = fs::hard_link(&unnamed, path);
        disk::remove(&unnamed)?;
        match (taken?, named) {
            (Taken::Unsupported, named) => {
                if named.is_ok() {
                    disk::remove(path)?;
                }
                return Ok(Some(Locked { file: None }));
            }
            (_, Ok(())) => return Ok(Some(held(path, file))),
            // Somebody was faster.
            (_, Err(error)) if error.kind() == ErrorKind::AlreadyExists => {}
            (_, Err(error)) => return Err(failed("writing", path)(error)),
        }
    }
}

/// Takes over every lease in a folder whose holder is gone.
pub(super) fn take_dead(folder: &Path) -> LakeResult<Vec<(Bytes, Locked)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries.map_err(failed("listing", folder))?,
    };
    let mut dead = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed("listing", folder))?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        // Gone meanwhile, or held by whoever took it or clears up after it.
        let Ok(Some(mut file)) = open(&path) else {
            continue;
        };
        if !matches!(lock(&file, &path), Ok(Taken::Yes)) || !is_at(&file, &path) {
            continue;
        }
        let mut about = Vec::new();
        file.read_to_end(&mut about)
            .map_err(failed("reading", &path))?;
        dead.push((about.into(), held(&path, file)));
    }
    Ok(dead)
}

fn held(path: &Path, file: File) -> Locked {
    Locked {
        file: Some((path.to_path_buf(), file)),
    }
}

fn open(path: &Path) -> LakeResult<Option<File>> {
    match File::options().read(true).write(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some).map_err(failed("opening", path)),
    }
}

enum Taken {
    Yes,
    No,
    Unsupported,
}

fn lock(file: &File, path: &Path) -> LakeResult<Taken> {
    match file.try_lock() {
        Ok(()) => Ok(Taken::Yes),
        Err(TryLockError::WouldBlock) => Ok(Taken::No),
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
            tracing::debug!(%error, "files cannot be locked here");
            Ok(Taken::Unsupported)
        }
        Err(TryLockError::Error(error)) => Err(failed("locking", path)(error)),
    }
}

/// True when the file still has this name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(file), Ok(path)) if same(&file, &path))
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}
