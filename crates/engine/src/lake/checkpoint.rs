//! Checkpoints that are not whole: set aside where the log can do without them.
//!
//! Our own are durable before they have a name (`store.rs`); a disk, a copy or another program may
//! still leave a torn one, and one torn checkpoint makes a table unreadable for every program. The log's
//! entries hold the same, as long as they reach back to an older whole checkpoint or to the first
//! version: then the torn one gets another name and nothing is lost. It is asked only after an opening
//! has failed, and touches nothing but torn checkpoints and the pointer to them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use towpath_vocab::TableName;

use super::error::{LakeError, LakeResult};
use super::folder::{self, failed};

/// What a torn checkpoint's name ends with from then on.
const TORN: &str = ".torn";
const POINTER: &str = "_last_checkpoint";

/// Sets torn checkpoints of a log aside; true when there was one, so that opening is worth another try.
///
/// # Errors
/// `Torn` when the log cannot do without one.
pub(crate) fn set_aside(table: &TableName, log: &Path) -> LakeResult<bool> {
    let names = folder::names(log)?;
    let (mut whole, mut torn) = (BTreeSet::new(), Vec::new());
    for name in names.iter().filter(|name| name.ends_with(".parquet")) {
        let Some(version) = version_of(name, ".checkpoint.") else {
            continue;
        };
        match is_whole(&log.join(name)) {
            true => {
                whole.insert(version);
            }
            false => torn.push((version, name)),
        }
    }
    for (version, _) in &torn {
        whole.remove(version);
    }
    if torn.is_empty() {
        return Ok(false);
    }
    let entries: BTreeSet<u64> = names
        .iter()
        .filter(|name| name.ends_with(".json"))
        .filter_map(|name| version_of(name, ".json"))
        .collect();
    let first = whole.last().map_or(0, |version| version + 1);
    let latest = entries.last().copied();
    let reaches = latest.is_some_and(|latest| (first..=latest).all(|at| entries.contains(&at)));
    for (version, name) in &torn {
        let path = log.join(name);
        if !reaches || latest.is_none_or(|latest| latest < *version) {
            return Err(LakeError::Torn {
                table: table.to_string(),
                path,
            });
        }
        let aside = log.join(format!("{name}{TORN}"));
        fs::rename(&path, aside).map_err(failed("setting aside", &path))?;
        tracing::warn!(%table, checkpoint = %path.display(), "a checkpoint was not whole and is set aside; nothing is lost");
    }
    // Only a hint for readers; it may point to what is gone.
    folder::remove(&log.join(POINTER))?;
    folder::sync_folder(log)?;
    Ok(true)
}

/// The version a name of the log begins with, when this follows.
fn version_of(name: &str, then: &str) -> Option<u64> {
    let (digits, rest) = name.split_at_checked(20)?;
    rest.starts_with(then).then(|| digits.parse().ok())?
}

fn is_whole(path: &Path) -> bool {
    let reader = File::open(path)
        .map_err(parquet::errors::ParquetError::from)
        .and_then(SerializedFileReader::new);
    reader.is_ok_and(|reader| {
        (0..reader.num_row_groups()).all(|group| reader.get_row_group(group).is_ok())
    })
}
