//! The surrogate key of a row: a hash of its key, and in a history of the time at which its version begins.
//!
//! Promise: it is `md5` over the texts of the key columns, in the order of `key`, joined by `-`, with the time of
//! the version behind them: what `dbt_utils.generate_surrogate_key` makes of the same texts. It is stored, so it
//! is the same in every version of the program. Read next: `audit_columns.rs`, which adds the column.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::SchemaRef;
use md5::{Digest as _, Md5};
use towpath_ports::{ExactValues, Result};
use towpath_vocab::{RowHistoryPlan, WriteMode, WritePlan};

use crate::mask::hex;
use crate::predicate::kernel;

/// What stands for NULL, as dbt has it.
const NULL: &[u8] = b"_dbt_utils_surrogate_key_null_";

/// How the surrogate key of a table is made.
pub(crate) struct SurrogateKey {
    /// Places of the columns whose texts are hashed.
    columns: Vec<usize>,
    /// The time behind them, if all rows have one.
    at_us: Option<i64>,
}

impl SurrogateKey {
    /// For rows with these columns.
    pub(crate) fn of(write: &WritePlan, rows: &SchemaRef, now_us: i64) -> Option<Self> {
        let place = |name: &String| {
            let mut fields = rows.fields().iter();
            fields.position(|field| field.name().eq_ignore_ascii_case(name))
        };
        let mut columns = write
            .key
            .iter()
            .map(place)
            .collect::<Option<Vec<usize>>>()?;
        let is_history = matches!(write.mode, WriteMode::Scd2 | WriteMode::Snapshot);
        let said = RowHistoryPlan::of(write).and_then(|history| history.valid_from);
        let said = said.as_ref().and_then(place).filter(|_| is_history);
        columns.extend(said);
        Some(Self {
            columns,
            at_us: Some(now_us).filter(|_| is_history && said.is_none()),
        })
    }

    /// The keys of rows.
    pub(crate) fn values(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let values = self
            .columns
            .iter()
            .map(|at| ExactValues::of(batch.column(*at)));
        let values = values.collect::<std::result::Result<Vec<_>, _>>();
        let values = values.map_err(kernel)?;
        let mut at = Vec::new();
        if let Some(at_us) = self.at_us {
            let time: ArrayRef =
                Arc::new(TimestampMicrosecondArray::from(vec![at_us]).with_timezone("UTC"));
            let time = ExactValues::of(&time).map_err(kernel)?;
            time.write(0, &mut at).map_err(kernel)?;
        }
        let (mut keys, mut text) = (Vec::with_capacity(batch.num_rows()), Vec::new());
        for row in 0..batch.num_rows() {
            text.clear();
            for (place, value) in values.iter().enumerate() {
                if place > 0 {
                    text.push(b'-');
                }
                match value.is_null(row) {
                    true => text.extend_from_slice(NULL),
                    false => value.write(row, &mut text).map_err(kernel)?,
                }
            }
            if !at.is_empty() {
                text.push(b'-');
                text.extend_from_slice(&at);
            }
            keys.push(hex(&Md5::digest(&text)));
        }
        Ok(Arc::new(StringArray::from(keys)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeMap;

    use arrow_array::cast::AsArray as _;
    use arrow_array::{Array as _, Int64Array};
    use arrow_schema::{DataType, Field, Schema};
    use towpath_vocab::SchemaChange;

    use super::*;

    fn keys(mode: WriteMode, valid_from: Option<&str>) -> Vec<String> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("name", DataType::Utf8, true),
            Field::new("id", DataType::Int64, true),
        ]));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![Some("a-b"), None])),
            Arc::new(Int64Array::from(vec![7, 7])),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let mut write = WritePlan {
            mode,
            key: vec!["ID".to_owned()],
            schema_change: SchemaChange::Evolve,
            options: BTreeMap::new(),
        };
        RowHistoryPlan {
            valid_from: valid_from.map(str::to_owned),
            ..RowHistoryPlan::default()
        }
        .put(&mut write);
        let made = SurrogateKey::of(&write, &schema, 1_000_000).unwrap();
        let values = made.values(&batch).unwrap();
        let values = values.as_string::<i32>();
        (0..values.len())
            .map(|row| values.value(row).to_owned())
            .collect()
    }

    fn md5(text: &str) -> String {
        hex(&Md5::digest(text.as_bytes()))
    }

    /// The hash is stored, so it must be the same in every version of the program.
    #[test]
    fn the_key_is_a_stored_form() {
        assert_eq!(md5("7"), "8f14e45fceea167a5a36dedd4bea2543");
        assert_eq!(keys(WriteMode::Merge, Some("name")), [md5("7"), md5("7")]);
        assert_eq!(
            keys(WriteMode::Scd2, Some("name")),
            [md5("7-a-b"), md5("7-_dbt_utils_surrogate_key_null_")]
        );
        let at = md5("7-1970-01-01T00:00:01Z");
        assert_eq!(keys(WriteMode::Scd2, None), [at.clone(), at.clone()]);
        assert_eq!(keys(WriteMode::Snapshot, None), [at.clone(), at]);
    }
}
