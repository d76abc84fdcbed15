//! Files that last: synced before they are renamed, folders synced after.
//!
//! Promise: when a function here returns, what it did survives a power cut. It knows paths and bytes,
//! nothing of tables. Files on their way are removed when their `Scratch` is dropped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Makes a folder and all above it; a new name is synced in its parent.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    let mut new = Vec::new();
    let mut at = folder;
    while !at.as_os_str().is_empty() && !at.exists() {
        new.push(at);
        match at.parent() {
            Some(parent) => at = parent,
            None => break,
        }
    }
    fs::create_dir_all(folder)?;
    for made in new.iter().rev() {
        if let Some(parent) = made.parent() {
            sync_folder(parent)?;
        }
    }
    Ok(())
}

/// Makes the names in a folder last.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    File::open(folder)?.sync_all()
}

/// A new file; one of this name was left behind by a dead process. A link of this name is not followed.
pub(super) fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
}

/// Puts a synced file in its place.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    match to.parent() {
        Some(folder) => sync_folder(folder),
        None => Ok(()),
    }
}

/// Replaces a small file.
pub(super) fn replace(path: &Path, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    rename(temporary, path)
}

/// Files that are on their way; what is still there is removed at the end.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    paths: Vec<PathBuf>,
}

impl Scratch {
    /// Watches over one more file, which need not exist.
    pub(super) fn add(&mut self, path: PathBuf) {
        self.paths.push(path);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for path in &self.paths {
            match fs::remove_file(path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // The next write to this place removes it.
                Err(error) => tracing::warn!("an unfinished file could not be removed: {error}"),
            }
        }
    }
}
