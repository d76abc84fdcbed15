//! A marker file that says that a command has succeeded: its files are committed even if this process dies.
//!
//! Promise: the marker exists only if every file that the program wrote is durable, and only for the same
//! program with the same inputs in the same run. While it exists, the program is not started again in its
//! run: all of its tables come from one attempt, and an action that must not happen twice happens once.

use std::fs::{self, File};
use std::path::Path;

use serde::{Deserialize, Serialize};
use towpath_vocab::{Failure, Remedy};

use super::folders::{FINISHED as MARKER, OUT};
use crate::{Result, private_files};

#[derive(Serialize, Deserialize)]
struct CompletionMarker {
    version: u32,
    /// The program and its inputs.
    identity: String,
    /// The successful attempt.
    attempt: String,
}

/// The successful attempt of this program with these inputs, if there is one.
pub(super) fn read(folder: &Path, identity: &str) -> Result<Option<String>> {
    let path = folder.join(MARKER);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unkept(&path, &error)),
    };
    // A marker is complete, because it is renamed into place; one that cannot be read is from another
    // version.
    let marker: Option<CompletionMarker> = serde_json::from_str(&text).ok();
    Ok(marker
        .filter(|marker| marker.version == 1 && marker.identity == identity)
        .map(|marker| marker.attempt))
}

/// Makes the files of the program durable, and then the marker.
pub(super) fn write(folder: &Path, identity: &str, attempt: &str) -> Result<()> {
    let marker = CompletionMarker {
        version: 1,
        identity: identity.to_owned(),
        attempt: attempt.to_owned(),
    };
    let text = serde_json::to_string(&marker).map_err(|error| {
        Failure::new(
            "R0956",
            Remedy::Bug,
            format!("a marker cannot be written: {error}"),
        )
    })?;
    let (path, draft) = (folder.join(MARKER), folder.join("finished.tmp"));
    let keep = || -> std::io::Result<()> {
        settle(&folder.join(OUT))?;
        fail::fail_point!("command::settled");
        private_files::write(&draft, &text)?;
        File::open(&draft)?.sync_all()?;
        fs::rename(&draft, &path)?;
        // The folders were created for this run, so their names must be durable too.
        for above in folder.ancestors() {
            File::open(above)?.sync_all()?;
            if above.ends_with(".towpath") {
                break;
            }
        }
        Ok(())
    };
    keep().map_err(|error| unkept(&path, &error))
}

/// Makes every file and folder in a folder durable; links are not followed.
fn settle(folder: &Path) -> std::io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            settle(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

fn unkept(path: &Path, error: &std::io::Error) -> Failure {
    let message = format!("{} cannot be kept: {error}", path.display());
    Failure::new("R0951", Remedy::FixConfig, message)
        .help("check the folder's permissions and free space")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_marker_holds_for_the_same_program_and_inputs() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join(".towpath");
        let folder = folder.as_path();
        assert_eq!(read(folder, "a").unwrap(), None);
        fs::create_dir_all(folder.join("out/raw.t")).unwrap();
        fs::write(folder.join("out/raw.t/x.csv"), "n\n1\n").unwrap();
        write(folder, "a", "a-1").unwrap();
        assert_eq!(read(folder, "a").unwrap().as_deref(), Some("a-1"));
        assert_eq!(read(folder, "b").unwrap(), None);
        fs::write(folder.join(MARKER), "{").unwrap();
        assert_eq!(read(folder, "a").unwrap(), None);
    }
}
