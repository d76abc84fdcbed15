//! The files of a folder that Towpath wrote as one table, as its manifest names them.
//!
//! Promise: a file of a commit that a crash cut off, or that a later commit replaced, is no file of the table,
//! from the moment the manifest says so. Files of other names are not touched by it. It writes no manifest:
//! see `write/commit_notes.rs`.

use std::collections::{BTreeSet, HashSet};

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

/// Whether a file has the name of one that a commit makes.
pub(crate) fn is_part(name: &str) -> bool {
    let parts = name
        .strip_prefix("part-")
        .and_then(|rest| rest.split_once('-'));
    let parts = parts.and_then(|(number, rest)| Some((number, rest.split_once('.')?.0)));
    parts.is_some_and(|(number, task)| {
        number.len() >= 6
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && task.len() == 8
            && task.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Leaves out the files that are in a folder with a manifest and not in the manifest. Names are relative to
/// the root; `read` gives a manifest by its name.
pub(crate) fn keep_committed(names: &mut Vec<String>, read: impl Fn(&str) -> Option<Vec<u8>>) {
    for folder in folders(names) {
        let manifest = format!("{folder}{MANIFEST}");
        if names.contains(&manifest)
            && let Some(manifest) = read(&manifest)
        {
            keep_of(names, &folder, &manifest);
        }
    }
}

/// The folders in which files have names as a commit makes them, each with its `/`.
pub(crate) fn folders(names: &[String]) -> BTreeSet<String> {
    let parts = names.iter().map(|name| split(name));
    parts
        .filter(|(_, own)| is_part(own))
        .map(|(folder, _)| folder.to_owned())
        .collect()
}

/// Leaves out the files of a folder that its manifest does not name.
pub(crate) fn keep_of(names: &mut Vec<String>, folder: &str, manifest: &[u8]) {
    // One that cannot be read says nothing; the next write there says why.
    let Ok(read) = serde_json::from_slice::<Manifest>(manifest) else {
        return;
    };
    let committed: HashSet<String> = read.files.into_iter().map(|part| part.name).collect();
    names.retain(|name| {
        let (own_folder, own) = split(name);
        own_folder != folder || !is_part(own) || committed.contains(own)
    });
}

/// The folder of a name, with its `/`, and what is behind it.
fn split(name: &str) -> (&str, &str) {
    name.rfind('/')
        .and_then(|at| name.split_at_checked(at + 1))
        .unwrap_or(("", name))
}
