//! Damaged checkpoints: renamed where the log can do without them.
//!
//! Our own are durable before they have a name; a disk, a copy or another program may
//! still leave a torn one, and one torn checkpoint makes a table unreadable for every program. The log's
//! entries hold the same, as long as they reach back to an older whole checkpoint or to the first
//! version: then the torn one gets another name and nothing is lost. It is asked only after an opening
//! has failed, and touches nothing but torn checkpoints and the pointer to them: one that names a
//! checkpoint that is gone is removed, as it is only a hint.

use std::collections::BTreeSet;

use bytes::Bytes;
use object_store::RenameOptions;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::error::{LakeError, LakeResult};
use super::storage::{self, child, remove};
use super::table::Table;

/// What a torn checkpoint's name ends with from then on.
const TORN: &str = ".torn";
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
    for name in names.iter().filter(|name| name.ends_with(".parquet")) {
        let Some(version) = version_of(name, ".checkpoint.") else {
            continue;
        };
        match storage::get(storage, &child(&log, name)).await? {
            None => {}
            Some(bytes) => match is_whole(bytes) {
                true => {
                    whole.insert(version);
                }
                false => torn.push((version, name)),
            },
        }
    }
    for (version, _) in &torn {
        whole.remove(version);
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
    for (version, name) in &torn {
        let key = child(&log, name);
        let address = storage.address(&key);
        if !reaches || latest.is_none_or(|latest| latest < *version) {
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
    let mut checkpoints = names
        .iter()
        .filter_map(|name| version_of(name, ".checkpoint."));
    Ok(match checkpoints.any(|found| found == version) {
        true => Pointed::There,
        false => Pointed::Missing,
    })
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
pub(crate) fn is_whole(checkpoint: Bytes) -> bool {
    // A decoder may panic over damage.
    let decoded = std::panic::catch_unwind(move || {
        let opened = ParquetRecordBatchReaderBuilder::try_new(checkpoint);
        let batches = opened.and_then(ParquetRecordBatchReaderBuilder::build);
        batches.is_ok_and(|mut batches| batches.all(|batch| batch.is_ok()))
    });
    decoded.unwrap_or(false)
}
