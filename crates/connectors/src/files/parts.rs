//! The files of a folder that Towpath wrote as one table, as its manifest names them.
//!
//! Promise: a file of a commit that a crash cut off, or that a later commit replaced, is no file of the table,
//! from the moment the manifest says so; a file that the manifest names and that is not there is told, because
//! its rows would be lost. Files of other names are not touched by it. It writes no manifest:
//! see `write/commit_notes.rs`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// What makes a folder of files a table.
pub(crate) const MANIFEST: &str = "_manifest.json";

#[derive(Deserialize)]
struct Manifest {
    files: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    name: String,
}

/// How the names of notes about files in a bucket end.
pub(crate) const NOTE: &str = ".towpath-note";

/// How such names begin.
const BEGIN: &str = "part-";

/// The folder, with its `/`, of names that begin with this, if names of parts may be among them and the name of a
/// manifest may not.
pub(crate) fn folder_of_parts_alone(begin: &str) -> Option<&str> {
    let (folder, own) = split(begin);
    let may_be_part = own.starts_with(BEGIN) || BEGIN.starts_with(own);
    (may_be_part && !MANIFEST.starts_with(own)).then_some(folder)
}

/// Whether a file has the name of one that a commit makes.
pub(crate) fn is_part(name: &str) -> bool {
    let parts = name
        .strip_prefix(BEGIN)
        .and_then(|rest| rest.split_once('-'));
    let parts = parts.and_then(|(number, rest)| Some((number, rest.split_once('.')?.0)));
    parts.is_some_and(|(number, task)| {
        number.len() >= 6
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && task.len() == 8
            && task.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// The folder of a manifest, with its `/`; `None` for other names.
pub(crate) fn folder_of_manifest(name: &str) -> Option<&str> {
    let (folder, own) = split(name);
    (own == MANIFEST).then_some(folder)
}

/// Leaves out the files that are in a folder with a manifest and not in the manifest, and gives those that are in
/// a manifest and not there. Names are relative to the root; `read` gives a manifest by its name.
pub(crate) fn keep_committed(
    names: &mut Vec<String>,
    read: impl Fn(&str) -> Option<Vec<u8>>,
) -> Vec<String> {
    let folders = names.iter().filter_map(|name| folder_of_manifest(name));
    let folders: BTreeSet<String> = folders.map(str::to_owned).collect();
    let mut lost = Vec::new();
    for folder in folders {
        if let Some(manifest) = read(&format!("{folder}{MANIFEST}")) {
            lost.extend(keep_of(names, &folder, &manifest));
        }
    }
    lost
}

/// The folders in which files have names as a commit makes them, each with its `/`.
pub(crate) fn folders(names: &[String]) -> BTreeSet<String> {
    let parts = names.iter().map(|name| split(name));
    parts
        .filter(|(_, own)| is_part(own))
        .map(|(folder, _)| folder.to_owned())
        .collect()
}

/// Leaves out the files of a folder that its manifest does not name, and gives those that it names and that
/// are not there, sorted.
pub(crate) fn keep_of(names: &mut Vec<String>, folder: &str, manifest: &[u8]) -> Vec<String> {
    // One that cannot be read says nothing; the next write there says why.
    let Ok(read) = serde_json::from_slice::<Manifest>(manifest) else {
        return Vec::new();
    };
    let parts = read.files.into_iter();
    let mut is_there: BTreeMap<String, bool> = parts.map(|part| (part.name, false)).collect();
    names.retain(|name| {
        let (own_folder, own) = split(name);
        if own_folder != folder {
            return true;
        }
        match is_there.get_mut(own) {
            Some(is_there) => {
                *is_there = true;
                true
            }
            None => !is_part(own),
        }
    });
    let lost = is_there.into_iter().filter(|(_, is_there)| !is_there);
    lost.map(|(name, _)| format!("{folder}{name}")).collect()
}

/// The folder of a name, with its `/`, and what is behind it.
fn split(name: &str) -> (&str, &str) {
    name.rfind('/')
        .and_then(|at| name.split_at_checked(at + 1))
        .unwrap_or(("", name))
}
