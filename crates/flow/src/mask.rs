//! Masks columns: replaces each value by an HMAC-SHA-256 with the project's key, as hex, or by NULL.
//!
//! Promise: equal values with one key give equal text, NULL stays NULL, and the key is never shown.
//! Rejected records of masked columns are encrypted in `seal.rs`. Read next: `projection.rs`, which applies
//! the mask.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, StringArray, new_null_array};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use towpath_ports::Result;
use towpath_vocab::{Failure, Mask, Remedy, TablePlan};

use crate::predicate::kernel;
use crate::seal::no_key;
use crate::services::TransferServices;

/// Few digits: two keys differ, and a key cannot be searched for with them alone.
const KEY_ID_DIGITS: usize = 6;

/// A mask with its resolved key, which is never shown.
#[derive(Clone)]
pub(crate) enum Masking {
    /// HMAC-SHA-256 with this key.
    Hash(Vec<u8>),
    /// Always NULL.
    Null,
}

impl Masking {
    /// The type of a masked column.
    pub(crate) fn data_type(&self, given: &DataType) -> DataType {
        match self {
            Masking::Hash(_) => DataType::Utf8,
            Masking::Null => given.clone(),
        }
    }

    /// Which key made the hashes: a part of the hash of a fixed text, from which the key cannot be found.
    pub(crate) fn key_id(&self) -> Option<String> {
        let Masking::Hash(key) = self else {
            return None;
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        mac.update(b"towpath: which key is this");
        let mut id = hex(&mac.finalize().into_bytes());
        id.truncate(KEY_ID_DIGITS);
        Some(id)
    }

    /// The masked column; NULL stays NULL.
    pub(crate) fn apply(&self, column: &ArrayRef) -> Result<ArrayRef> {
        let key = match self {
            Masking::Null => return Ok(new_null_array(column.data_type(), column.len())),
            Masking::Hash(key) => key,
        };
        let mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| {
            Failure::new(
                "R0615",
                Remedy::FixConfig,
                "the key of `mask: hash` cannot be used",
            )
        })?;
        let options = FormatOptions::default();
        let text = ArrayFormatter::try_new(column.as_ref(), &options).map_err(kernel)?;
        let hidden: StringArray = (0..column.len())
            .map(|row| {
                column.is_valid(row).then(|| {
                    let mut mac = mac.clone();
                    mac.update(text.value(row).to_string().as_bytes());
                    hex(&mac.finalize().into_bytes())
                })
            })
            .collect();
        Ok(Arc::new(hidden))
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from(
                DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'?'),
            ));
        }
    }
    out
}

/// The masks of a table by column, their keys resolved.
pub(crate) async fn resolve_masks(
    plan: &TablePlan,
    services: &TransferServices,
) -> Result<Vec<(String, Masking)>> {
    let mut masks = Vec::new();
    for column in &plan.columns {
        let masking = match &column.mask {
            None => continue,
            Some(Mask::Null | Mask::NullSealed(_)) => Masking::Null,
            Some(Mask::Hash(key)) => {
                let key = services.secrets.resolve(key).await?;
                if key.is_empty() {
                    return Err(no_key());
                }
                Masking::Hash(key.into_bytes())
            }
        };
        masks.push((column.name.clone(), masking));
    }
    Ok(masks)
}

/// With which key each column of a table is hashed now, as the metadata of its columns say it.
///
/// # Errors
/// Those of the key: it is not set, or empty.
pub async fn mask_words(
    plan: &TablePlan,
    services: &TransferServices,
) -> Result<Vec<(String, String)>> {
    let masks = resolve_masks(plan, services).await?.into_iter();
    let words = masks.filter_map(|(column, mask)| Some((column, mask_word(&mask.key_id()?))));
    Ok(words.collect())
}

/// The metadata of a column that is hashed with a key.
pub(crate) fn mask_word(key_id: &str) -> String {
    format!("hash {key_id}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use arrow_array::cast::AsArray;

    use super::*;

    #[test]
    fn equal_values_give_equal_hashes_and_null_stays_null() {
        let column: ArrayRef = Arc::new(StringArray::from(vec![
            Some("a"),
            None,
            Some("a"),
            Some("b"),
        ]));
        let masked = Masking::Hash(b"key".to_vec()).apply(&column).unwrap();
        let masked = masked.as_string::<i32>();
        assert_eq!(masked.value(0), masked.value(2));
        assert_ne!(masked.value(0), masked.value(3));
        assert!(masked.is_null(1));
        assert_eq!(masked.value(0).len(), 64);
        let other = Masking::Hash(b"other".to_vec()).apply(&column).unwrap();
        assert_ne!(other.as_string::<i32>().value(0), masked.value(0));
    }
}
