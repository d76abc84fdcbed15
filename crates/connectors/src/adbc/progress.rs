//! What is stored of an incremental read, and what tells its rows apart at the end.
//!
//! Promise: the stored form has a version, and a newer one is refused. A digest is made of exact values, so that equal
//! rows have equal digests. It decides nothing: `cursor.rs` does.

use arrow_array::{Array as _, RecordBatch};
use arrow_schema::ArrowError;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use towpath_ports::exact_json;
use towpath_vocab::SplitPosition;

use super::error::{AdbcError, Result};
use super::literal::Class;
use super::types::Column;
use crate::exact::write::Values;
use crate::files::exact_values;
use crate::relational::boundary::{Boundary, DIGEST_BYTES};
use crate::relational::columns::SeenColumn;

pub(super) const VERSION: u32 = 1;

/// How far a table has been read. Version 1 of its stored form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReadProgress {
    pub(super) version: u32,
    pub(super) column: String,
    pub(super) class: Class,
    /// The largest value, as exact text.
    pub(super) upper: Option<String>,
    /// The rows at the largest value; `None` when they were too many.
    pub(super) boundary: Option<Boundary>,
    /// The columns there were.
    pub(super) columns: Vec<SeenColumn>,
}

impl ReadProgress {
    /// What the last read of this column stored.
    pub(super) fn stored(
        last: &SplitPosition,
        column: &str,
        class: Class,
        object: &str,
    ) -> Result<Self> {
        let wrong = |reason: String| AdbcError::Position {
            object: object.to_owned(),
            reason,
        };
        let stored: Self = serde_json::from_value(last.resume.clone())
            .map_err(|error| wrong(error.to_string()))?;
        if stored.version > VERSION {
            return Err(wrong("a newer version of Towpath wrote it".to_owned()));
        }
        if stored.column != column {
            return Err(wrong(format!(
                "it belongs to cursor `{}`, and this read has `{column}`",
                stored.column
            )));
        }
        if stored.class != class {
            return Err(wrong(format!(
                "the type of `{column}` was of another kind when it was stored"
            )));
        }
        Ok(stored)
    }
}

/// A digest of each row, of the values at these places.
pub(super) fn digests(
    batch: &RecordBatch,
    columns: &[Column],
    places: &[usize],
) -> std::result::Result<Vec<String>, ArrowError> {
    let mut values = Vec::with_capacity(places.len());
    for place in places {
        let (Some(array), Some(column)) = (batch.columns().get(*place), columns.get(*place)) else {
            continue;
        };
        let exact = exact_values(array, &column.form);
        values.push((exact.data_type().is_nested(), Values::of(&exact)?));
    }
    (0..batch.num_rows())
        .map(|row| digest(&values, row))
        .collect()
}

fn digest(values: &[(bool, Values)], row: usize) -> std::result::Result<String, ArrowError> {
    let mut hash = Sha256::new();
    let mut text = Vec::new();
    for (is_nested, values) in values {
        text.clear();
        let class = u8::from(!values.is_null(row));
        match (class, is_nested) {
            (0, _) => {}
            (_, true) => exact_json(values, row, &mut text)?,
            (_, false) => values.write(row, &mut text)?,
        }
        hash.update([class]);
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(&text);
    }
    let bytes = hash.finalize();
    let digits = bytes.iter().take(DIGEST_BYTES);
    Ok(digits.map(|byte| format!("{byte:02x}")).collect())
}
