//! Names to folders and back, and the few disk operations that must be durable.
//!
//! A name part keeps letters, digits, `.`, `_`, `-`; each other byte (and a leading dot) becomes `~`
//! and two hex digits, so every table name is one safe folder name on every system. Folders are
//! fsynced after what was renamed into them.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use towpath_vocab::TableName;

use super::error::{LakeError, LakeResult};

/// The folder beside data files, and at the root, for what is ours; readers ignore its name.
pub(crate) const OWN: &str = "_towpath";
/// The folder that makes a folder a Delta table.
pub(crate) const LOG: &str = "_delta_log";

/// The folder of a table.
pub(crate) fn table_folder(root: &Path, table: &TableName) -> PathBuf {
    root.join(escape(table.schema()))
        .join(escape(table.table()))
}

/// An absolute path without `..`, which stores of files do not take. What is there is asked where it
/// leads; what is not there yet leads nowhere else.
pub(crate) fn without_parents(path: &Path) -> io::Result<PathBuf> {
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

/// A name part as a folder name.
pub(crate) fn escape(part: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(part.len());
    for (at, byte) in part.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || (byte == b'.' && at > 0) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "~{byte:02x}");
        }
    }
    out
}

/// The name part a folder name stands for; `None` for names `escape` never gives.
pub(crate) fn unescape(folder: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(folder.len());
    let mut rest = folder.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'~' {
            let pair = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    (!name.is_empty() && escape(&name) == folder).then_some(name)
}

/// A task's id as a folder name: itself, or its hash when file systems could refuse the length.
pub(crate) fn app_folder(app_id: &str) -> String {
    if app_id.len() <= 200 {
        return app_id.to_owned();
    }
    Sha256::digest(app_id.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Runs disk work off the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> LakeResult<T> + Send + 'static,
) -> LakeResult<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| LakeError::Stopped)?
}

/// Names a failed disk operation.
pub(crate) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LakeError {
    let path = path.to_path_buf();
    move |source| LakeError::Io {
        doing,
        path,
        source,
    }
}

/// Makes a file's bytes durable.
pub(crate) fn sync_file(path: &Path) -> LakeResult<()> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(failed("syncing", path))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> LakeResult<()> {
    sync_file(path)
}

/// Creates a folder and makes every new name on the way to it durable.
pub(crate) fn create_folder(path: &Path) -> LakeResult<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_folder(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(failed("creating", path)(error)),
    }
    parent.map_or(Ok(()), sync_folder)
}

/// Writes JSON so that the file is either the old or the new one, durably.
pub(crate) fn put_json(path: &Path, value: &impl Serialize) -> LakeResult<()> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| LakeError::Stored {
        path: path.to_path_buf(),
        why: error.to_string(),
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    create_folder(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unique = uuid::Uuid::new_v4().simple();
    let temporary = folder.join(format!(".{name}.{unique}.tmp"));
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(&text)?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = renamed {
        let _ = fs::remove_file(&temporary);
        return Err(failed("writing", path)(error));
    }
    sync_folder(folder)
}

/// Reads JSON; `None` when there is no such file.
pub(crate) fn get_json<T: DeserializeOwned>(path: &Path) -> LakeResult<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("reading", path)(error)),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| LakeError::Stored {
            path: path.to_path_buf(),
            why: error.to_string(),
        })
}

/// Deletes a file; none there is fine.
pub(crate) fn remove(path: &Path) -> LakeResult<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("deleting", path)(error))
        }
        _ => Ok(()),
    }
}

/// Names in a folder, sorted; none when there is no such folder.
pub(crate) fn names(path: &Path) -> LakeResult<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed("listing", path)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("listing", path))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_name_is_one_safe_folder_and_reads_back() {
        for name in [
            "flights",
            "a b",
            "Größe",
            "..",
            ".x",
            "a/b",
            "a~b",
            "_quarantine",
            "x.y",
        ] {
            let folder = escape(name);
            assert!(
                !folder.contains('/') && !folder.starts_with('.'),
                "{folder}"
            );
            assert_eq!(unescape(&folder).as_deref(), Some(name));
        }
        assert_eq!(unescape("a b"), None);
    }

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
    fn json_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/x.json");
        put_json(&path, &1).unwrap();
        put_json(&path, &2).unwrap();
        assert_eq!(get_json::<i32>(&path).unwrap(), Some(2));
        assert_eq!(names(path.parent().unwrap()).unwrap(), ["x.json"]);
        assert_eq!(get_json::<i32>(&folder.path().join("none")).unwrap(), None);
    }
}
