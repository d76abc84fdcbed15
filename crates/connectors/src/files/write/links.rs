//! Links on the way to a table: a write never goes through one that leads out of the connection's folder.
//!
//! Promise: what the folder's own path goes through does not matter, it is what the user named. It follows
//! no link that it refuses, and changes nothing. Read next: `find.rs`, the same rule for reads.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::{Result, WriteError};
use super::location::Location;

/// Refuses a place whose folder or whose files are links that lead out, or to nothing.
pub(super) fn check(location: &Location) -> Result<()> {
    let real = |path: &Path| real(path).map_err(WriteError::io(&*location.shown));
    let root = real(&location.root)?;
    let files = [location.path(), location.sidecar(), location.lock()];
    for path in [location.folder.clone()].into_iter().chain(files) {
        if !real(&path)?.starts_with(&root) {
            return Err(WriteError::Target {
                object: location.shown.clone(),
                why: "it is behind a link that leads out of the connection's folder".to_owned(),
                way_out: "set the connection's `path` to the folder that the link leads to, or remove the link",
            });
        }
    }
    Ok(())
}

/// Where a path leads, with links followed; what is not there yet keeps its name.
fn real(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Ok(real) => return Ok(real),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    if fs::symlink_metadata(path).is_ok() {
        let why = format!("the target of the link {} does not exist", path.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    match (path.parent(), path.file_name()) {
        (Some(above), Some(name)) if !above.as_os_str().is_empty() => Ok(real(above)?.join(name)),
        _ => Ok(path.to_path_buf()),
    }
}
