//! Proves while rows are written that a key does not repeat: with a hash of eight bytes per row.
//!
//! Promise: equal keys have equal hashes, so different hashes prove that a key is unique. Equal hashes
//! prove nothing: then `repeats.rs` reads the rows again. The number of rows is not limited: above a memory
//! limit, hashes are sorted on disk (`sorted_runs.rs`). Keys with a NULL part are not compared.

use std::hash::{BuildHasher, Hash, Hasher};

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::BooleanBuffer;
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use hashbrown::DefaultHashBuilder;
use towpath_ports::Result;
use towpath_vocab::types::one_form;

use crate::predicate::{column_index, kernel};
use crate::services::MemoryShare;
use crate::sorted_runs::HashSortedRuns;

/// The hashes of one key, over all rows.
pub(crate) struct Unique {
    hasher: KeyHasher,
    hashes: HashSortedRuns,
}

impl Unique {
    /// For this key, with this much memory.
    pub(crate) fn new(columns: &[String], schema: &SchemaRef, share: MemoryShare) -> Result<Self> {
        Ok(Self {
            hasher: KeyHasher::new(columns, schema)?,
            hashes: HashSortedRuns::new(share.bytes, share.spill),
        })
    }

    /// Adds one batch, or only the rows of it that a filter keeps.
    pub(crate) fn observe(
        &mut self,
        batch: &RecordBatch,
        kept: Option<&BooleanBuffer>,
    ) -> Result<()> {
        let hashed = self.hasher.hash(batch)?;
        let counted = match (hashed.whole, kept) {
            (None, None) => return self.hashes.extend(hashed.hashes.into_iter()),
            (Some(whole), None) => whole,
            (None, Some(kept)) => kept.clone(),
            (Some(whole), Some(kept)) => &whole & kept,
        };
        let hashes = counted.set_indices();
        let hashes = hashes.filter_map(|row| hashed.hashes.get(row).copied());
        self.hashes.extend(hashes)
    }

    /// Rows whose key has no NULL part.
    pub(crate) fn seen(&self) -> u64 {
        self.hashes.count()
    }

    /// True if no key repeats; false if the rows must be read again.
    pub(crate) fn proves(self) -> Result<bool> {
        let mut repeated = false;
        self.hashes.repeats(|_| repeated = true)?;
        Ok(!repeated)
    }

    /// Calls `found` with each hash that repeats, once, in order; returns the hasher.
    pub(crate) fn repeats(self, found: impl FnMut(u64)) -> Result<KeyHasher> {
        self.hashes.repeats(found)?;
        Ok(self.hasher)
    }
}

/// Computes the hash of a key.
pub(crate) struct KeyHasher {
    columns: Vec<usize>,
    build: DefaultHashBuilder,
    /// For types that cannot be hashed directly: their comparable row form.
    rows: Option<RowConverter>,
}

/// The hashes of a batch.
pub(crate) struct Hashed {
    pub(crate) hashes: Vec<u64>,
    /// Rows whose key has no NULL part; `None` for all.
    pub(crate) whole: Option<BooleanBuffer>,
}

impl KeyHasher {
    fn new(columns: &[String], schema: &SchemaRef) -> Result<Self> {
        let columns = columns
            .iter()
            .map(|c| column_index(schema, c))
            .collect::<Result<Vec<_>>>()?;
        let types: Vec<&DataType> = columns
            .iter()
            .map(|&i| schema.field(i).data_type())
            .collect();
        let rows = if types.iter().all(|t| is_direct(t)) {
            None
        } else {
            let fields = types
                .into_iter()
                .map(|t| SortField::new(t.clone()))
                .collect();
            Some(RowConverter::new(fields).map_err(kernel)?)
        };
        Ok(Self {
            columns,
            build: DefaultHashBuilder::default(),
            rows,
        })
    }

    pub(crate) fn hash(&mut self, batch: &RecordBatch) -> Result<Hashed> {
        let arrays: Vec<ArrayRef> = self
            .columns
            .iter()
            .map(|&i| ArrayRef::clone(batch.column(i)))
            .collect();
        let mut hashes = vec![0_u64; batch.num_rows()];
        match &mut self.rows {
            Some(converter) => {
                let arrays: Vec<ArrayRef> = arrays.iter().map(one_form).collect();
                let rows = converter.convert_columns(&arrays).map_err(kernel)?;
                for (hash, row) in hashes.iter_mut().zip(rows.iter()) {
                    *hash = self.build.hash_one(row.as_ref());
                }
            }
            None => match arrays.as_slice() {
                [number] if *number.data_type() == DataType::Int64 => {
                    // A number is its own hash. Most keys come in order, so sorting them costs nothing.
                    let numbers = number.as_primitive::<Int64Type>().values();
                    hashes = numbers
                        .iter()
                        .map(|number| number.cast_unsigned())
                        .collect();
                }
                _ => arrays.iter().for_each(|a| mix(a, &self.build, &mut hashes)),
            },
        }
        let mut whole: Option<BooleanBuffer> = None;
        for nulls in arrays.iter().filter_map(|array| array.logical_nulls()) {
            whole = Some(match whole {
                None => nulls.inner().clone(),
                Some(others) => &others & nulls.inner(),
            });
        }
        Ok(Hashed { hashes, whole })
    }
}

fn is_direct(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::Int32
            | DataType::Int64
            | DataType::Date32
            | DataType::Timestamp(TimeUnit::Microsecond, _)
    )
}

/// Mixes one column into the hashes. Only types of `is_direct`.
fn mix(array: &ArrayRef, build: &DefaultHashBuilder, hashes: &mut [u64]) {
    match array.data_type() {
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            for (row, hash) in hashes.iter_mut().enumerate() {
                *hash = mixed(build, *hash, texts.value(row));
            }
        }
        DataType::Int32 => mix_values(array.as_primitive::<Int32Type>().values(), build, hashes),
        DataType::Date32 => mix_values(array.as_primitive::<Date32Type>().values(), build, hashes),
        DataType::Int64 => mix_values(array.as_primitive::<Int64Type>().values(), build, hashes),
        _ => {
            let times = array.as_primitive::<TimestampMicrosecondType>();
            mix_values(times.values(), build, hashes);
        }
    }
}

fn mix_values<T: Hash>(values: &[T], build: &DefaultHashBuilder, hashes: &mut [u64]) {
    for (hash, value) in hashes.iter_mut().zip(values) {
        *hash = mixed(build, *hash, value);
    }
}

fn mixed<T: Hash + ?Sized>(build: &DefaultHashBuilder, so_far: u64, value: &T) -> u64 {
    let mut hasher = build.build_hasher();
    so_far.hash(&mut hasher);
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use arrow_array::{Int64Array, StringArray};
    use arrow_schema::{Field, Schema};

    use super::*;

    fn share(folder: &tempfile::TempDir) -> MemoryShare {
        MemoryShare {
            bytes: 1 << 20,
            spill: crate::spill::SpillFolder::new(folder.path()),
        }
    }

    fn proven(n: Vec<Option<i64>>, t: Vec<Option<&str>>, columns: &[&str]) -> bool {
        let schema = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("t", DataType::Utf8, true),
        ]));
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(n)),
            Arc::new(StringArray::from(t)),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
        let columns: Vec<String> = columns.iter().map(|c| (*c).to_owned()).collect();
        let folder = tempfile::tempdir().unwrap();
        let mut unique = Unique::new(&columns, &schema, share(&folder)).unwrap();
        unique.observe(&batch, None).unwrap();
        unique.proves().unwrap()
    }

    #[test]
    fn repeats_are_never_proven_unique() {
        assert!(proven(
            vec![Some(1), Some(2)],
            vec![Some("a"), Some("a")],
            &["n"]
        ));
        assert!(!proven(
            vec![Some(1), Some(2)],
            vec![Some("a"), Some("a")],
            &["t"]
        ));
        assert!(proven(
            vec![Some(1), Some(1)],
            vec![Some("a"), Some("b")],
            &["n", "t"]
        ));
        assert!(proven(vec![None, None], vec![Some("a"), Some("a")], &["n"]));
        assert!(proven(
            vec![None, None],
            vec![Some("a"), Some("a")],
            &["n", "t"]
        ));
    }

    #[test]
    fn both_zeros_are_one_key() {
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Float64, true)]));
        let values: ArrayRef = Arc::new(arrow_array::Float64Array::from(vec![0.0, -0.0]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![values]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut unique = Unique::new(&["x".to_owned()], &schema, share(&folder)).unwrap();
        unique.observe(&batch, None).unwrap();
        assert!(!unique.proves().unwrap());
    }
}
