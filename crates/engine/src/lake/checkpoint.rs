//! Damaged checkpoints: renamed where the log can do without them.
//!
//! Promise: nothing that the log had is lost, and only torn checkpoints and the pointer to them are touched.
//! Our own are durable before they have a name; a disk, a copy or another program may still leave a torn one,
//! and one torn checkpoint makes a table unreadable for every program. The log's entries hold the same, as
//! long as they reach back to an older whole checkpoint or to the first version: then the torn one gets
//! another name and nothing is lost. It is asked only after an opening has failed, and touches nothing but
//! torn checkpoints and the pointer to them: one that names a checkpoint that is gone is removed, as it is
//! only a hint. Read next: `damage.rs`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use object_store::RenameOptions;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::error::{LakeError, LakeResult};
use super::storage::{self, child, remove};
use super::table::Table;

/// What a torn checkpoint's name ends with from then on.
const TORN: &str = ".torn";
/// Characters of what tells checkpoints of one version apart, and of the number of a part.
const UNIQUE: usize = 36;
const PART: usize = 10;
const POINTER: &str = "_last_checkpoint";

/// Renames torn checkpoints of a log and removes a pointer to none; true when there was one, so that
/// opening is worth another try.
///
/// # Errors
/// `Torn` when the log cannot do without one.
pub(crate) async fn set_aside(table: &Table) -> LakeResult<bool> {
    let (storage, log) = (&*table.storage, table.log_prefix());
    let names = storage::names(storage, &log).await?;
    let (mut whole, mut torn) = (BTreeSet::new(), Vec::new());
    for checkpoint in checkpoints(&names) {
        let damaged = checkpoint.damaged(table).await?;
        if damaged.is_empty() {
            whole.insert(checkpoint.version);
        }
        torn.extend(damaged.into_iter().map(|name| (checkpoint.version, name)));
    }
    let pointed = pointed(table, &names).await?;
    if torn.is_empty() && matches!(pointed, Pointed::Nothing | Pointed::There) {
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
    if torn.is_empty() && !reaches {
        return Ok(false);
    }
    let newest = latest.max(whole.last().copied());
    for (version, name) in &torn {
        let key = child(&log, name);
        let address = storage.address(&key);
        if !reaches || newest.is_none_or(|newest| newest < *version) {
            return Err(LakeError::Torn {
                table: table.name.to_string(),
                address,
            });
        }
        let aside = child(&log, &format!("{name}{TORN}"));
        let objects = storage.objects();
        let renamed = objects.rename_opts(&key, &aside, RenameOptions::default());
        renamed.await.map_err(|source| LakeError::Storage {
            doing: "renaming",
            address: address.clone(),
            source,
        })?;
        tracing::warn!(table = %table.name, checkpoint = %address, "a checkpoint was damaged and has been renamed; nothing is lost");
    }
    if torn.is_empty() {
        let pointer = storage.address(&child(&log, POINTER));
        tracing::warn!(table = %table.name, %pointer, "the checkpoint that it names is missing; the entries of the log were read instead, and nothing is lost");
    }
    // Only a hint for readers; it may point to what is gone.
    remove(storage, &child(&log, POINTER)).await?;
    Ok(true)
}

/// What the pointer to the newest checkpoint names.
enum Pointed {
    /// There is no pointer.
    Nothing,
    /// A checkpoint that is there.
    There,
    /// A checkpoint that is not there, or the pointer is damaged.
    Missing,
}

async fn pointed(table: &Table, names: &[String]) -> LakeResult<Pointed> {
    let key = child(&table.log_prefix(), POINTER);
    let Some(pointer) = storage::get(&*table.storage, &key).await? else {
        return Ok(Pointed::Nothing);
    };
    let Some(version) = pointed_version(&pointer) else {
        return Ok(Pointed::Missing);
    };
    let mut there = checkpoints(names).into_iter();
    Ok(
        match there.any(|checkpoint| checkpoint.version == version) {
            true => Pointed::There,
            false => Pointed::Missing,
        },
    )
}

/// A checkpoint that has all its files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint<'a> {
    pub(crate) version: u64,
    files: Vec<&'a str>,
}

impl<'a> Checkpoint<'a> {
    /// Those of its files that cannot be decoded. One of JSON is not looked into.
    async fn damaged(&self, table: &Table) -> LakeResult<Vec<&'a str>> {
        let mut damaged = Vec::new();
        for name in self.files.iter().filter(|name| name.ends_with(".parquet")) {
            let key = child(&table.log_prefix(), name);
            let bytes = storage::get(&*table.storage, &key).await?;
            if bytes.is_some_and(|bytes| !is_whole(bytes)) {
                damaged.push(*name);
            }
        }
        Ok(damaged)
    }

    /// True when a table can be opened from it.
    pub(crate) async fn is_usable(&self, table: &Table) -> LakeResult<bool> {
        Ok(self.damaged(table).await?.is_empty())
    }
}

/// The checkpoints among the files of a log, the oldest first. One in parts counts when all its parts
/// are there; what was renamed is none.
pub(crate) fn checkpoints(names: &[String]) -> Vec<Checkpoint<'_>> {
    let (mut found, mut parts) = (Vec::new(), BTreeMap::<_, BTreeMap<u32, &str>>::new());
    for name in names {
        let Some(version) = version_of(name, ".checkpoint.") else {
            continue;
        };
        let rest: Vec<&str> = name.split('.').skip(2).collect();
        match rest.as_slice() {
            ["parquet"] => found.push(Checkpoint {
                version,
                files: vec![name],
            }),
            [unique, "parquet" | "json"] if unique.len() == UNIQUE => found.push(Checkpoint {
                version,
                files: vec![name],
            }),
            [part, of, "parquet"] => {
                let number = |text: &str| text.parse::<u32>().ok().filter(|_| text.len() == PART);
                if let (Some(part), Some(of)) = (number(part), number(of))
                    && (1..=of).contains(&part)
                {
                    parts.entry((version, of)).or_default().insert(part, name);
                }
            }
            _ => {}
        }
    }
    let complete = parts
        .into_iter()
        .filter(|((_, of), parts)| u32::try_from(parts.len()).is_ok_and(|there| there == *of));
    found.extend(complete.map(|((version, _), parts)| Checkpoint {
        version,
        files: parts.into_values().collect(),
    }));
    found.sort_by_key(|checkpoint| checkpoint.version);
    found
}

/// The version that the pointer to the newest checkpoint names.
pub(crate) fn pointed_version(pointer: &[u8]) -> Option<u64> {
    let pointer: serde_json::Value = serde_json::from_slice(pointer).ok()?;
    pointer.get("version")?.as_u64()
}

/// The version a name of the log begins with, when this follows.
pub(crate) fn version_of(name: &str, then: &str) -> Option<u64> {
    let (digits, rest) = name.split_at_checked(20)?;
    rest.starts_with(then).then(|| digits.parse().ok())?
}

/// True when every row of a checkpoint can be decoded.
fn is_whole(checkpoint: Bytes) -> bool {
    // A decoder may panic over damage.
    let decoded = std::panic::catch_unwind(move || {
        let opened = ParquetRecordBatchReaderBuilder::try_new(checkpoint);
        let batches = opened.and_then(ParquetRecordBatchReaderBuilder::build);
        batches.is_ok_and(|mut batches| batches.all(|batch| batch.is_ok()))
    });
    decoded.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_has_a_name_of_its_own_and_all_its_parts() {
        let name = |version: u64, rest: &str| format!("{version:020}.checkpoint.{rest}");
        let unique = "01234567-89ab-cdef-0123-456789abcdef";
        let names = [
            format!("{:020}.json", 3),
            name(8, "parquet.torn"),
            name(7, "parquet"),
            name(6, &format!("{unique}.json")),
            name(5, &format!("{unique}.parquet")),
            name(5, &format!("{unique}.json.torn")),
            name(4, "0000000001.0000000002.parquet"),
            name(4, "0000000002.0000000002.parquet"),
            name(3, "0000000001.0000000002.parquet"),
            name(3, "0000000002.0000000002.parquet.torn"),
            name(2, "0000000003.0000000002.parquet"),
            name(2, "1.1.parquet"),
            name(1, "short.json"),
            name(1, "parquet.tmp"),
            "_last_checkpoint".to_owned(),
        ];
        let found: Vec<(u64, usize)> = checkpoints(&names)
            .iter()
            .map(|checkpoint| (checkpoint.version, checkpoint.files.len()))
            .collect();
        assert_eq!(found, [(4, 2), (5, 1), (6, 1), (7, 1)]);
    }
}
