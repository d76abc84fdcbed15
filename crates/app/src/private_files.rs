//! Files and folders that only their owner may read: local state, logs, spill files, the quarantine.
//!
//! Promise: they are created with restricted permissions; permissions of files that an earlier version left
//! open are corrected when a project is opened. If a folder belongs to another user, nothing changes and a
//! warning says so. It does not know the contents of the files.

use std::fs::{DirBuilder, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// The permissions of group and others.
const OTHERS: u32 = 0o077;

/// Creates a folder, and its missing parents, for this user only.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file for this user only.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

/// Removes the permissions of others from a folder and from what is directly in it.
pub(crate) fn close(folder: &Path) {
    close_one(folder);
    for path in entries(folder) {
        close_one(&path);
    }
}

/// Removes the permissions of others from a folder and everything in it.
pub(crate) fn close_all(folder: &Path) {
    close_one(folder);
    for path in entries(folder) {
        match path.is_dir() && !path.is_symlink() {
            true => close_all(&path),
            false => close_one(&path),
        }
    }
}

/// Removes the permissions of others from one file or folder, which another process may have deleted
/// meanwhile.
pub(crate) fn close_one(path: &Path) {
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return;
    };
    let mode = found.permissions().mode();
    if found.is_symlink() || mode & OTHERS == 0 {
        return;
    }
    match std::fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(
                "other users may be able to read {}: {error}",
                path.display()
            );
        }
        _ => {}
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_closed_and_what_was_open_is_closed_later() {
        let home = tempfile::tempdir().unwrap();
        let made = home.path().join("a/b");
        make_folder(&made).unwrap();
        write(&made.join("x"), "1").unwrap();
        assert_eq!((mode(&made), mode(&made.join("x"))), (0o700, 0o600));

        let old = home.path().join("old");
        std::fs::create_dir_all(old.join("deep")).unwrap();
        for name in ["x", "deep/y"] {
            std::fs::write(old.join(name), "").unwrap();
            std::fs::set_permissions(old.join(name), Permissions::from_mode(0o644)).unwrap();
        }
        close(&old);
        assert_eq!((mode(&old), mode(&old.join("x"))), (0o700, 0o600));
        assert_eq!(mode(&old.join("deep/y")), 0o644);
        close_all(&old);
        assert_eq!(mode(&old.join("deep/y")), 0o600);
        close_all(&home.path().join("none"));
    }
}
