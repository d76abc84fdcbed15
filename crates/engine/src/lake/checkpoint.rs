//! Damaged checkpoints: renamed where the log can do without them.
//!
//! Our own are durable before they have a name; a disk, a copy or another program may
//! still leave a torn one, and one torn checkpoint makes a table unreadable for every program. The log's
//! entries hold the same, as long as they reach back to an older whole checkpoint or to the first
//! version: then the torn one gets another name and nothing is lost. It is asked only after an opening
//! has failed, and touches nothing but torn checkpoints and the pointer to them.

use std::collections::BTreeSet;

use bytes::Bytes;
use object_store::RenameOptions;
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use super::error::{LakeError, LakeResult};
use super::storage::{self, child, remove};
use super::table::Table;

/// What a torn checkpoint's name ends with from then on.
const TORN: &str = ".torn";
const POINTER: &str = "_last_checkpoint";

/// Sets torn checkpoints of a log aside; true when there was one, so that opening is worth another try.
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
    // Only a hint for readers; it may point to what is gone.
    remove(storage, &child(&log, POINTER)).await?;
    Ok(true)
}

/// The version a name of the log begins with, when this follows.
pub(crate) fn version_of(name: &str, then: &str) -> Option<u64> {
    let (digits, rest) = name.split_at_checked(20)?;
    rest.starts_with(then).then(|| digits.parse().ok())?
}

pub(crate) fn is_whole(checkpoint: Bytes) -> bool {
    SerializedFileReader::new(checkpoint).is_ok_and(|reader| {
        (0..reader.num_row_groups()).all(|group| reader.get_row_group(group).is_ok())
    })
}
