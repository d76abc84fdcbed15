//! Adds the audit columns that a table asks for: when, by which run and from where a row was loaded, and a hash of it.
//!
//! Promise: all rows of one write have one time. Rows with equal values have equal hashes, in every run and
//! whatever the order of the columns is; a column that is NULL does not change the hash, so a new column
//! changes only the hashes of rows with a value in it. Values are hashed after masks. It does not know who
//! asked. Read next: `vocab/src/audit_columns.rs`, `checksum.rs` (the form of a value).

use std::sync::Arc;

use arrow_array::{
    ArrayRef, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use towpath_ports::{Operator, OperatorOutput, Result, Rows};
use towpath_vocab::{AuditColumn, AuditColumns, Failure, Remedy, WritePlan, previous_column};

use crate::checksum::ComparedColumn;
use crate::mask::hex;
use crate::predicate::kernel;
use crate::surrogate_key::SurrogateKey;

/// The operator that adds audit columns.
pub(crate) struct AuditStamp {
    audit: AuditColumns,
    now_us: i64,
    run: String,
    /// The columns that the hash is of, by name.
    hashed: Vec<(usize, String)>,
    surrogate: Option<SurrogateKey>,
    schema: SchemaRef,
}

impl AuditStamp {
    /// For rows with these columns; `None` if the write has no audit columns.
    ///
    /// # Errors
    /// `FixConfig` if the rows have a column of such a name.
    pub(crate) fn of(
        write: &WritePlan,
        rows: &SchemaRef,
        run: &str,
        now_us: i64,
    ) -> Result<Option<Self>> {
        let Some(audit) = AuditColumns::of(write) else {
            return Ok(None);
        };
        let mut fields = rows.fields().iter();
        if let Some(field) = fields.find(|field| audit.has(field.name())) {
            return Err(taken(field.name(), &audit));
        }
        let names = rows.fields().iter().map(|field| field.name());
        let mut hashed: Vec<(usize, String)> =
            names.map(|name| name.to_lowercase()).enumerate().collect();
        hashed.sort_by(|one, other| one.1.cmp(&other.1));
        Ok(Some(Self {
            surrogate: SurrogateKey::of(write, rows, now_us)
                .filter(|_| audit.surrogate_key.is_some()),
            schema: Arc::new(audit.added_to(rows)),
            audit,
            now_us,
            run: run.to_owned(),
            hashed,
        }))
    }

    fn column(&self, column: AuditColumn, batch: &RecordBatch) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        let text = |text: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
                text, rows,
            )))
        };
        Ok(match column {
            AuditColumn::LoadedAt => {
                let times = TimestampMicrosecondArray::from_value(self.now_us, rows);
                Arc::new(times.with_timezone("UTC"))
            }
            AuditColumn::Run => text(&self.run),
            AuditColumn::Source => text(&self.audit.source),
            AuditColumn::RowHash => self.hashes(batch)?,
            AuditColumn::DeletedAt => new_null_array(column.field().data_type(), rows),
        })
    }

    /// NULL for every row, in the type of the column whose value before it is to be.
    fn previous(&self, column: &str, rows: usize) -> Result<ArrayRef> {
        let name = previous_column(column);
        let mut fields = self.schema.fields().iter();
        let field = fields.find(|field| field.name().eq_ignore_ascii_case(&name));
        let field = field.ok_or_else(|| untracked(column))?;
        Ok(new_null_array(field.data_type(), rows))
    }

    fn hashes(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let mut hashes = vec![Sha256::new(); batch.num_rows()];
        let schema = batch.schema();
        let mut value = Vec::new();
        for (at, name) in &self.hashed {
            let column = ComparedColumn::of(schema.field(*at), batch.column(*at));
            let column = column.map_err(kernel)?;
            for (row, hash) in hashes.iter_mut().enumerate() {
                if !column.value(row, &mut value).map_err(kernel)? {
                    continue;
                }
                for part in [name.as_bytes(), value.as_slice()] {
                    hash.update((part.len() as u64).to_le_bytes());
                    hash.update(part);
                }
            }
        }
        let texts = hashes.into_iter().map(|hash| hex(&hash.finalize()));
        Ok(Arc::new(StringArray::from_iter_values(texts)))
    }
}

fn untracked(column: &str) -> Failure {
    let message = format!("`track` names `{column}`, which is not a column of the rows");
    Failure::new("R0663", Remedy::FixConfig, message)
        .help("track: the columns whose value before is kept")
}

fn taken(name: &str, audit: &AuditColumns) -> Failure {
    let is_audit = AuditColumn::of_name(&name.to_lowercase()).is_some();
    let mut surrogate = audit.surrogate_key.iter();
    let (why, way) = if surrogate.any(|own| own.eq_ignore_ascii_case(name)) {
        ("`surrogate_key` would add one", "change `surrogate_key`")
    } else if is_audit {
        (
            "it is an audit column too",
            "remove it from `audit_columns`",
        )
    } else {
        ("`write: scd3` adds it itself", "do not `track` its column")
    };
    let message = format!("the source has a column `{name}`, and {why}");
    Failure::new("R0618", Remedy::FixConfig, message).help(format!(
        "leave it out (`drop: [{name}]`), give it another name (`columns: {{ source_{}: {{ from: {name} }} }}`), or {way}",
        name.trim_start_matches('_')
    ))
}

#[async_trait]
impl Operator for AuditStamp {
    fn name(&self) -> &'static str {
        "audit_columns"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn process(&mut self, rows: Rows) -> Result<OperatorOutput> {
        let mut columns = rows.batch.columns().to_vec();
        if let Some(surrogate) = &self.surrogate {
            columns.push(surrogate.values(&rows.batch)?);
        }
        for column in &self.audit.previous {
            columns.push(self.previous(column, rows.len())?);
        }
        for column in &self.audit.columns {
            columns.push(self.column(*column, &rows.batch)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let schema: &Arc<Schema> = &self.schema;
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
            .map_err(kernel)?;
        Ok(OperatorOutput::of(Rows { batch, ..rows }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeMap;

    use arrow_array::cast::AsArray as _;
    use arrow_array::{Array as _, Decimal128Array, Float64Array, Int32Array, Int64Array};
    use arrow_schema::Field;
    use towpath_vocab::{SchemaChange, WriteMode};

    use super::*;

    fn hashes(columns: Vec<(&str, ArrayRef)>) -> Vec<String> {
        let fields = columns
            .iter()
            .map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let mut write = WritePlan {
            mode: WriteMode::Append,
            key: Vec::new(),
            schema_change: SchemaChange::Evolve,
            options: BTreeMap::new(),
        };
        let audit = AuditColumns {
            columns: vec![AuditColumn::RowHash],
            source: String::new(),
            surrogate_key: None,
            previous: Vec::new(),
        };
        audit.put(&mut write);
        let stamp = AuditStamp::of(&write, &schema, "p#1", 0).unwrap().unwrap();
        let columns = columns.into_iter().map(|(_, column)| column).collect();
        let batch = RecordBatch::try_new(schema, columns).unwrap();
        let hashes = stamp.hashes(&batch).unwrap();
        let hashes = hashes.as_string::<i32>().iter();
        hashes.map(|hash| hash.unwrap().to_owned()).collect()
    }

    fn ids(values: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn equal_values_have_equal_hashes() {
        let of =
            |ids: ArrayRef, names: &[Option<&str>]| hashes(vec![("id", ids), ("n", texts(names))]);
        let one = of(ids(&[1, 1, 2, 1]), &[Some("a"), None, Some("a"), Some("b")]);
        let mut distinct = one.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 4);
        assert!(one.iter().all(|hash| hash.len() == 64));
        // Neither the order of the columns, nor a wider type, nor a new column without a value counts.
        let turned = hashes(vec![("n", texts(&[Some("a")])), ("ID", ids(&[1]))]);
        assert_eq!(turned[0], one[0]);
        let small: ArrayRef = Arc::new(Int32Array::from(vec![1]));
        assert_eq!(of(small, &[Some("a")])[0], one[0]);
        let decimal = Decimal128Array::from(vec![100]);
        let decimal = decimal.with_precision_and_scale(10, 2).unwrap();
        assert_eq!(of(Arc::new(decimal), &[Some("a")])[0], one[0]);
        let wider = hashes(vec![
            ("id", ids(&[1, 1])),
            ("n", texts(&[Some("a"), Some("a")])),
            ("x", texts(&[None, Some("")])),
        ]);
        assert_eq!(wider[0], one[0]);
        assert_ne!(wider[1], one[0]);
        // Values do not run into each other, and a value belongs to its column.
        let pair =
            |a: &str, b: &str| hashes(vec![("a", texts(&[Some(a)])), ("b", texts(&[Some(b)]))]);
        assert_ne!(pair("xy", "z"), pair("x", "yz"));
        assert_ne!(pair("x", "y"), pair("y", "x"));
        let double =
            |value: f64| hashes(vec![("d", Arc::new(Float64Array::from(vec![value])) as _)]);
        assert_ne!(double(0.1), double(0.1 + f64::EPSILON));
    }

    /// The hash is stored, so it must be the same in every version of the program.
    #[test]
    fn the_hash_of_a_row_is_a_stored_form() {
        let mut expected = Sha256::new();
        for part in [b"id".as_slice(), b"7", b"n", b"a"] {
            expected.update((part.len() as u64).to_le_bytes());
            expected.update(part);
        }
        let of = hashes(vec![("n", texts(&[Some("a")])), ("id", ids(&[7]))]);
        assert_eq!(of, [hex(&expected.finalize())]);
    }
}
