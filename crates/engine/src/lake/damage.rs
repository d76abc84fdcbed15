//! What is wrong with a log that cannot be opened: the first of its files that is missing or damaged.
//!
//! Promise: the log is only looked at, and only after an opening has failed; the answer names one file,
//! the version it belongs to and the last version before it that can still be read. It repairs nothing:
//! checkpoints that the log can do without are `checkpoint.rs`' work.

use std::collections::BTreeSet;

use serde_json::Value;

use super::checkpoint::{checkpoints, pointed_version, version_of};
use super::error::LakeResult;
use super::sealed;
use super::storage::{self, child};
use super::table::Table;

/// A file of a log that stops it from being read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) address: String,
    pub(crate) version: u64,
    pub(crate) why: String,
    /// The last version that can be read without it.
    pub(crate) last_good: Option<u64>,
}

/// What is wrong with the entry of one version, if it is there.
pub(crate) async fn of_entry(table: &Table, version: u64) -> LakeResult<Option<Damage>> {
    let storage = &*table.storage;
    let key = child(&table.log_prefix(), &entry(version));
    let bytes = storage::get(storage, &key).await?;
    let why = bytes.and_then(|bytes| flaw(&bytes));
    Ok(why.map(|why| Damage {
        address: storage.address(&key),
        version,
        why,
        last_good: version.checked_sub(1),
    }))
}

/// Looks for the first damage of a table's log, up to a version.
pub(crate) async fn find(table: &Table, up_to: Option<u64>) -> LakeResult<Option<Damage>> {
    let (storage, log) = (&*table.storage, table.log_prefix());
    let names = storage::names(storage, &log).await?;
    let entries: BTreeSet<u64> = names
        .iter()
        .filter(|name| name.ends_with(".json"))
        .filter_map(|name| version_of(name, ".json"))
        .collect();
    let mut base = None;
    for checkpoint in checkpoints(&names) {
        let version = checkpoint.version;
        if up_to.is_none_or(|up_to| version <= up_to) && checkpoint.is_usable(table).await? {
            base = base.max(Some(version));
        }
    }
    let Some(latest) = up_to.or(entries.last().copied()) else {
        return Ok(None);
    };
    for version in base.map_or(0, |version| version + 1)..=latest {
        let key = child(&log, &entry(version));
        let last_good = version
            .checked_sub(1)
            .filter(|last| *last >= base.unwrap_or(0));
        let Some(bytes) = storage::get(storage, &key).await? else {
            let is_behind = base.is_none() && entries.first() > Some(&version);
            let lost = match is_behind {
                true => Some(lost_checkpoint(table, &entries).await?),
                false => lost_after(table, &names, version).await?,
            };
            let (file, of, why) = missing(version, lost, is_behind, version == latest);
            return Ok(Some(Damage {
                address: storage.address(&child(&log, &file)),
                version: of,
                why,
                last_good: last_good.filter(|_| !is_behind),
            }));
        };
        let Some(why) = flaw(&bytes) else {
            continue;
        };
        return Ok(Some(Damage {
            address: storage.address(&key),
            version,
            why,
            last_good,
        }));
    }
    Ok(None)
}

/// What is said of an entry that is missing: a file, its version, and why. `lost` is a missing checkpoint
/// that held what the entry said; with `is_behind` the entries before the first one were cleaned up.
fn missing(
    version: u64,
    lost: Option<u64>,
    is_behind: bool,
    is_last: bool,
) -> (String, u64, String) {
    match lost {
        Some(lost) => {
            let why = match is_behind {
                true => "is missing, and the entries before it were deleted".to_owned(),
                false => format!("is missing, and so is the entry of version {version}"),
            };
            (checkpoint(lost), lost, why)
        }
        None => {
            let why = match is_last {
                true => "is missing",
                false => "is missing, and later entries depend on it",
            };
            (entry(version), version, why.to_owned())
        }
    }
}

/// The name of a version's checkpoint.
fn checkpoint(version: u64) -> String {
    format!("{version:020}.checkpoint.parquet")
}

/// The name of a version's entry.
fn entry(version: u64) -> String {
    format!("{version:020}.json")
}

/// What is wrong with the bytes of an entry: lines of JSON objects.
fn flaw(bytes: &[u8]) -> Option<String> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Some("is empty".to_owned());
    }
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let is_action = |line: &[u8]| {
        line.iter().all(u8::is_ascii_whitespace)
            || serde_json::from_slice::<Value>(line).is_ok_and(|action| action.is_object())
    };
    let Some(at) = lines.iter().position(|line| !is_action(line)) else {
        return sealed::differs(bytes).then(|| "is damaged: its checksum differs".to_owned());
    };
    Some(match at + 1 == lines.len() {
        true => format!("is cut short in line {}", at + 1),
        false => format!("is damaged in line {}", at + 1),
    })
}

/// The version of the checkpoint that the pointer names, or of the one that the first entry builds on.
async fn lost_checkpoint(table: &Table, entries: &BTreeSet<u64>) -> LakeResult<u64> {
    let before = entries.first().map_or(0, |first| first.saturating_sub(1));
    Ok(pointed(table).await?.unwrap_or(before))
}

async fn pointed(table: &Table) -> LakeResult<Option<u64>> {
    let key = child(&table.log_prefix(), "_last_checkpoint");
    let pointer = storage::get(&*table.storage, &key).await?;
    Ok(pointer.and_then(|bytes| pointed_version(&bytes)))
}

/// The version of a checkpoint that is gone and that held what this entry and those before it said.
async fn lost_after(table: &Table, names: &[String], version: u64) -> LakeResult<Option<u64>> {
    let is_there = |lost: u64| {
        let mut there = checkpoints(names).into_iter();
        there.any(|checkpoint| checkpoint.version == lost)
    };
    let pointed = pointed(table).await?;
    Ok(pointed.filter(|lost| *lost >= version && !is_there(*lost)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_lines_of_json_objects() {
        let cases = [
            ("{\"commitInfo\":{}}\n", None),
            ("{\"commitInfo\":{}}\n\n{}", None),
            ("{\"add\":{\"pa", Some("is cut short in line 1")),
            ("x\n{}\n", Some("is damaged in line 1")),
            ("", Some("is empty")),
        ];
        for (text, expected) in cases {
            assert_eq!(flaw(text.as_bytes()).as_deref(), expected, "{text}");
        }
    }
}
