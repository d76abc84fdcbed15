//! What rows hold, as hashes: two rows with equal values in all columns have one hash.
//!
//! Promise: values are compared in the table's types, NULL equals NULL, every NaN is the same and `-0.0` is
//! `0.0`. A hash has 128 bits under keys that are drawn anew for each write, so nobody can prepare two
//! contents with one hash. It does not know versions. Read next: `probe.rs`.

use std::hash::{BuildHasher as _, RandomState};

use arrow_array::ArrayRef;
use arrow_row::{RowConverter, SortField};
use arrow_schema::{ArrowError, Schema};
use towpath_vocab::types::one_form;

use crate::lake::error::{LakeError, LakeResult};

/// Hashes rows of some columns.
pub(super) struct Contents {
    converter: RowConverter,
    keys: [RandomState; 2],
}

impl Contents {
    /// For rows of these columns.
    pub(super) fn new(schema: &Schema) -> LakeResult<Self> {
        let fields = schema.fields().iter();
        let fields = fields.map(|field| SortField::new(field.data_type().clone()));
        Ok(Self {
            converter: RowConverter::new(fields.collect()).map_err(comparing)?,
            keys: [RandomState::new(), RandomState::new()],
        })
    }

    /// One hash per row. Rows without columns have none to tell them apart.
    pub(super) fn prints(&self, columns: &[ArrayRef]) -> LakeResult<Vec<u128>> {
        let columns: Vec<ArrayRef> = columns.iter().map(one_form).collect();
        let rows = self
            .converter
            .convert_columns(&columns)
            .map_err(comparing)?;
        let [high, low] = &self.keys;
        let print =
            |bytes: &[u8]| u128::from(high.hash_one(bytes)) << 64 | u128::from(low.hash_one(bytes));
        Ok(rows.iter().map(|row| print(row.as_ref())).collect())
    }
}

fn comparing(source: ArrowError) -> LakeError {
    LakeError::Arrow {
        doing: "comparing versions",
        source,
    }
}
