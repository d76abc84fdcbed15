//! Converts types between DataFusion and the other crates.
//!
//! Promise: schemas and batches that leave this crate have types that every destination knows: no view
//! types, no dictionaries, no untyped NULL column, instants in UTC, timestamps in microseconds (the unit of
//! the lakehouse). If nothing has to change, the conversion costs nothing. It knows no plan and no table.

use std::sync::Arc;

use datafusion::arrow::array::cast::AsArray;
use datafusion::arrow::array::types::TimestampNanosecondType;
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::error::ArrowError;

/// The type of a column outside this crate.
pub(crate) fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::Null => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => towpath_vocab::types::instant(),
        DataType::List(item) => DataType::List(plain_field(item)),
        DataType::LargeList(item) => DataType::LargeList(plain_field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(plain_field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries), *sorted),
        other => other.clone(),
    }
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let plain = plain_type(field.data_type());
    if plain == *field.data_type() {
        return Arc::clone(field);
    }
    let nullable = field.is_nullable() || *field.data_type() == DataType::Null;
    Arc::new(Field::new(field.name(), plain, nullable).with_metadata(field.metadata().clone()))
}

/// The columns outside this crate.
pub(crate) fn plain_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().map(plain_field).collect();
    Arc::new(Schema::new(fields))
}

/// Casts a batch to the columns of `schema`, by position. A value that does not fit is an error, never
/// NULL.
pub(crate) fn plain_batch(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| plain_column(field.name(), column, field.data_type()))
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

/// Casts an array to a type outside this crate.
pub(crate) fn plain_array(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    plain_column("the value", array, data_type)
}

fn plain_column(
    name: &str,
    array: &ArrayRef,
    data_type: &DataType,
) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == data_type {
        return Ok(Arc::clone(array));
    }
    // A cast would silently cut digits below a microsecond.
    if !whole_micros(array.as_ref()) {
        return Err(ArrowError::CastError(format!(
            "column `{name}` holds a time finer than a microsecond; cut it with `date_trunc('microsecond', ...)`"
        )));
    }
    cast_with_options(
        array,
        data_type,
        &CastOptions {
            safe: false,
            ..CastOptions::default()
        },
    )
}

/// True if no time in it would lose digits as microseconds.
fn whole_micros(array: &dyn Array) -> bool {
    let all = |arrays: &[ArrayRef]| arrays.iter().all(|array| whole_micros(array.as_ref()));
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => array
            .as_primitive::<TimestampNanosecondType>()
            .iter()
            .flatten()
            .all(|at| at % 1_000 == 0),
        DataType::List(_) => all(&[Arc::clone(array.as_list::<i32>().values())]),
        DataType::LargeList(_) => all(&[Arc::clone(array.as_list::<i64>().values())]),
        DataType::FixedSizeList(..) => all(&[Arc::clone(array.as_fixed_size_list().values())]),
        DataType::Struct(_) => all(array.as_struct().columns()),
        DataType::Map(..) => all(array.as_map().entries().columns()),
        DataType::Dictionary(..) => all(&[Arc::clone(array.as_any_dictionary().values())]),
        _ => true,
    }
}

/// Casts a batch to the columns of `schema`, by name.
pub(crate) fn by_name(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) => plain_column(field.name(), column, field.data_type()),
            None => Err(ArrowError::SchemaError(format!(
                "a batch without the column `{}`",
                field.name()
            ))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]
    use datafusion::arrow::array::{
        NullArray, StringArray, StringViewArray, TimestampNanosecondArray,
    };

    use super::*;

    #[test]
    fn inner_types_do_not_leave() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("name", DataType::Utf8View, false),
            Field::new("nothing", DataType::Null, true),
            Field::new(
                "at",
                DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into())),
                true,
            ),
        ]));
        let at = TimestampNanosecondArray::from(vec![Some(1_000), None]).with_timezone("+00:00");
        let batch = RecordBatch::try_new(
            Arc::clone(&schema),
            vec![
                Arc::new(StringViewArray::from(vec!["a", "b"])),
                Arc::new(NullArray::new(2)),
                Arc::new(at),
            ],
        )
        .unwrap();
        let outside = plain_schema(&schema);
        let plain = plain_batch(&batch, &outside).unwrap();
        assert_eq!(plain.column(0).as_ref(), &StringArray::from(vec!["a", "b"]));
        assert_eq!(plain.column(1).null_count(), 2);
        assert_eq!(
            plain.schema().field(2).data_type(),
            &towpath_vocab::types::instant()
        );
        assert!(!outside.field(0).is_nullable());
        let finer: ArrayRef = Arc::new(
            TimestampNanosecondArray::from(vec![None, Some(1_500)]).with_timezone("+00:00"),
        );
        let mut columns = batch.columns().to_vec();
        columns[2] = finer;
        let finer = RecordBatch::try_new(schema, columns).unwrap();
        let error = plain_batch(&finer, &outside).unwrap_err();
        assert!(error.to_string().contains("`at`"), "{error}");
    }

    #[test]
    fn columns_are_found_by_name() {
        let batch = RecordBatch::try_from_iter(vec![
            ("b", Arc::new(StringArray::from(vec!["y"])) as ArrayRef),
            ("a", Arc::new(StringArray::from(vec!["x"])) as ArrayRef),
        ])
        .unwrap();
        let wanted = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true)]));
        assert_eq!(
            by_name(&batch, &wanted).unwrap().column(0).as_ref(),
            &StringArray::from(vec!["x"])
        );
        let missing = Arc::new(Schema::new(vec![Field::new("c", DataType::Utf8, true)]));
        assert!(by_name(&batch, &missing).is_err());
    }
}
