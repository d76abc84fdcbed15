//! The stage: a temporary table of DuckDB that the rows of a write are ingested into, batch by batch.
//!
//! Promise: each column has the type of a new column of the table, so that nothing is converted twice. The
//! last column says which of two rows came later; it is named so that no column of a write can have its name.

use std::sync::Arc;

use adbc_core::options::{IngestMode, OptionStatement, OptionValue};
use adbc_core::{Connection as _, Optionable as _, Statement as _};
use adbc_driver_manager::ManagedConnection;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, UInt8Array, new_null_array};
use arrow_cast::cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef, TimeUnit};
use towpath_vocab::types;

use super::error::{AdbcError, Result};
use super::session::Work;
use crate::relational::statements::OP;

/// Its name, and that in SQL.
const NAME: &str = "_towpath_stage";
pub(super) const STAGE: &str = "temp.\"_towpath_stage\"";
/// The column of places.
pub(super) const PLACE: &str = "place";

/// The type of a new column, and the type in which its values are given to DuckDB; `None` if it cannot keep them.
fn stored_as(data_type: &DataType) -> Option<(String, DataType)> {
    use DataType as T;
    let word = match data_type {
        T::Boolean => "BOOLEAN",
        T::Int8 => "TINYINT",
        T::Int16 => "SMALLINT",
        T::Int32 => "INTEGER",
        T::Int64 => "BIGINT",
        T::UInt8 => "UTINYINT",
        T::UInt16 => "USMALLINT",
        T::UInt32 => "UINTEGER",
        T::UInt64 => "UBIGINT",
        T::Float32 => "FLOAT",
        T::Float64 => "DOUBLE",
        T::Date32 => "DATE",
        T::Timestamp(TimeUnit::Microsecond, None) => "TIMESTAMP",
        T::Timestamp(TimeUnit::Nanosecond, None) => "TIMESTAMP_NS",
        T::Time64(TimeUnit::Microsecond) => "TIME",
        T::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            return Some(("TIMESTAMP WITH TIME ZONE".to_owned(), types::instant()));
        }
        T::Float16 => return Some(("FLOAT".to_owned(), T::Float32)),
        T::Decimal32(precision, scale)
        | T::Decimal64(precision, scale)
        | T::Decimal128(precision, scale) => {
            let fits = (0..=38).contains(scale) && scale.unsigned_abs() <= *precision;
            let word = format!("DECIMAL({precision},{scale})");
            return fits.then_some((word, T::Decimal128(*precision, *scale)));
        }
        T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Null => {
            return Some(("VARCHAR".to_owned(), T::Utf8));
        }
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => {
            return Some(("BLOB".to_owned(), T::Binary));
        }
        T::Dictionary(_, values) => return stored_as(values),
        _ => return None,
    };
    Some((word.to_owned(), data_type.clone()))
}

/// The same for a field, or a failure that names it.
pub(super) fn stored(field: &Field) -> Result<(String, DataType)> {
    stored_as(field.data_type()).ok_or_else(|| AdbcError::NotStored {
        column: field.name().clone(),
        data_type: field.data_type().to_string(),
    })
}

/// Makes the stage for these columns.
pub(super) fn create(work: &mut Work<'_>, schema: &SchemaRef, with_ops: bool) -> Result<()> {
    let mut columns = Vec::new();
    for (at, field) in schema.fields().iter().enumerate() {
        columns.push(format!("c{at} {}", stored(field)?.0));
    }
    if with_ops {
        columns.push(format!("{OP} UTINYINT"));
    }
    columns.push(format!("{PLACE} BIGINT"));
    let sql = format!("CREATE TEMPORARY TABLE \"{NAME}\" ({})", columns.join(", "));
    work.execute(&sql, "creating the stage").map(drop)
}

/// Rows as the stage holds them; `before` rows are there already.
pub(super) fn rows(
    batch: &RecordBatch,
    ops: Option<&UInt8Array>,
    before: u64,
) -> Result<RecordBatch> {
    let mut columns: Vec<(String, ArrayRef)> = Vec::with_capacity(batch.num_columns() + 2);
    let schema = batch.schema();
    for (at, (field, array)) in schema.fields().iter().zip(batch.columns()).enumerate() {
        let (_, wanted) = stored(field)?;
        let array = as_stored(array, &wanted).map_err(|error| wrong(&error))?;
        columns.push((format!("c{at}"), array));
    }
    if let Some(ops) = ops {
        columns.push((OP.to_owned(), Arc::new(ops.clone())));
    }
    let first = i64::try_from(before).unwrap_or(i64::MAX);
    let count = i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
    let places = Int64Array::from_iter_values(first..first.saturating_add(count));
    columns.push((PLACE.to_owned(), Arc::new(places)));
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).map_err(|error| wrong(&error))
}

fn as_stored(array: &ArrayRef, wanted: &DataType) -> std::result::Result<ArrayRef, ArrowError> {
    if array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    if *array.data_type() == DataType::Null {
        return Ok(new_null_array(wanted, array.len()));
    }
    let exact = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, wanted, &exact)
}

/// Adds rows to the stage.
pub(super) fn insert(work: &mut Work<'_>, rows: RecordBatch) -> Result<()> {
    let ingest = |connection: &mut ManagedConnection| {
        let mut statement = connection.new_statement()?;
        statement.set_option(OptionStatement::TargetTable, OptionValue::from(NAME))?;
        statement.set_option(OptionStatement::Temporary, OptionValue::from(true))?;
        statement.set_option(OptionStatement::IngestMode, IngestMode::Append.into())?;
        statement.bind(rows)?;
        statement.execute_update()
    };
    let done = ingest(work.connection()?);
    done.map(drop)
        .map_err(|error| work.failed(&error, "filling the stage"))
}

fn wrong(error: &ArrowError) -> AdbcError {
    AdbcError::Columns {
        object: "the stage".to_owned(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_duckdb_does_not_have_is_none() {
        let word = |data_type: DataType| stored_as(&data_type).map(|(word, _)| word);
        assert_eq!(word(DataType::Decimal128(5, -2)), None);
        assert_eq!(
            word(DataType::Decimal128(5, 5)).as_deref(),
            Some("DECIMAL(5,5)")
        );
        assert_eq!(word(DataType::Decimal256(50, 2)), None);
        assert_eq!(word(DataType::UInt64).as_deref(), Some("UBIGINT"));
    }
}
