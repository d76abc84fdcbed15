//! Keys with `mask: hash`, where the mask was added, removed, or made with another key.
//!
//! Promise: masked keys are never written beside the same keys without the mask, or masked with another
//! key. A table says with which key its columns are masked. A table of an earlier version does not: then the
//! values of the column decide, once. It does not know how a value is masked (`flow/mask.rs`). Read next:
//! `writer.rs`, `evolve.rs` (when the metadata are removed).

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_schema::Field;
use towpath_ports::WriteRequest;
use towpath_vocab::types::{BLANKS, BLANKS_CUT, BLANKS_MASKED, MASKED};

use super::blanks::{first_value, has_rows, set_metadata};
use super::error::{LakeError, LakeResult};
use super::evolve::EvolvedColumns;
use super::mask_change::MaskChange;
use super::table::{Snapshot, Table};

/// Refuses a write by `key` (positions in the target's columns) if the table has the keys in another form.
/// Returns the positions whose values must all be hashes: see `check_values`.
pub(crate) async fn check_keys(
    (table, base): (&Arc<Table>, &Snapshot),
    intent: &WriteRequest,
    key: &[usize],
    target: &mut EvolvedColumns,
) -> LakeResult<Vec<usize>> {
    let mut hashed = Vec::new();
    if !has_rows(table, base) {
        set_all_metadata(intent, key, target);
        return Ok(hashed);
    }
    for at in key {
        let now = word(intent, target, *at);
        let name = target.schema.field(*at).name().clone();
        let Ok(before) = base.schema.field_with_name(&name) else {
            continue;
        };
        let metadata = before.metadata();
        let was_masked = metadata
            .get(BLANKS)
            .is_some_and(|word| word == BLANKS_MASKED);
        let change = match (metadata.get(MASKED), &now) {
            (Some(before), Some(now)) => (before != now).then_some(MaskChange::OtherKey),
            (Some(word), None) => {
                hashed.push(*at);
                set_metadata(target, *at, MASKED, word);
                None
            }
            (None, None) => {
                // Only for `char(n)` is it known that an earlier version wrote the table.
                let is_old = metadata.get(BLANKS).is_none() && is_cut(intent, target, *at);
                if was_masked || is_old && all_hashes(table, base, before).await? {
                    hashed.push(*at);
                }
                None
            }
            (None, Some(_)) if was_masked => None,
            (None, Some(_)) => {
                let is_masked = all_hashes(table, base, before).await?;
                (!is_masked).then_some(MaskChange::Added)
            }
        };
        if let Some(change) = change {
            return Err(refused(intent, name, change));
        }
    }
    set_all_metadata(intent, key, target);
    Ok(hashed)
}

/// Refuses values without a mask in columns that are masked in the table. A model may pass hashes on without
/// the metadata of their column, so the values decide.
pub(crate) fn check_values(
    intent: &WriteRequest,
    target: &EvolvedColumns,
    hashed: &[usize],
    batch: &RecordBatch,
) -> LakeResult<()> {
    for at in hashed {
        let values = batch.column(*at).as_string_opt::<i32>();
        let mut values = values.iter().flat_map(|values| values.iter().flatten());
        if values.any(is_no_hash) {
            let name = target.schema.field(*at).name().clone();
            return Err(refused(intent, name, MaskChange::Removed));
        }
    }
    Ok(())
}

/// The mask with which the rows of a column come.
fn word(intent: &WriteRequest, target: &EvolvedColumns, at: usize) -> Option<String> {
    let metadata = incoming(intent, target, at)?.metadata();
    metadata.get(MASKED).cloned()
}

/// True if the rows of a column come from a `char(n)`, without a mask.
fn is_cut(intent: &WriteRequest, target: &EvolvedColumns, at: usize) -> bool {
    let field = incoming(intent, target, at);
    let word = field.and_then(|field| field.metadata().get(BLANKS));
    word.is_some_and(|word| word == BLANKS_CUT)
}

fn incoming<'i>(intent: &'i WriteRequest, target: &EvolvedColumns, at: usize) -> Option<&'i Field> {
    let from = target.from.get(at).copied().flatten()?;
    intent.schema.fields().get(from).map(|field| field.as_ref())
}

/// Reads a column until a value is not a hash. Rows that are there have a value in each column of the key.
async fn all_hashes(table: &Arc<Table>, base: &Snapshot, field: &Field) -> LakeResult<bool> {
    let other = first_value(table, base, field, is_no_hash).await?;
    Ok(other.is_none())
}

/// Stores with the table how its keys are masked.
fn set_all_metadata(intent: &WriteRequest, key: &[usize], target: &mut EvolvedColumns) {
    for at in key {
        let present = target.schema.field(*at).metadata().get(MASKED);
        if let Some(word) = word(intent, target, *at).filter(|word| present != Some(word)) {
            set_metadata(target, *at, MASKED, &word);
        }
    }
}

fn refused(intent: &WriteRequest, column: String, change: MaskChange) -> LakeError {
    LakeError::KeyMask {
        table: intent.table.to_string(),
        column,
        change,
    }
}

/// A hash is 64 hexadecimal digits.
fn is_no_hash(value: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    value.len() != 64 || !value.bytes().all(is_digit)
}
