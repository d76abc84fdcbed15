//! Values into the types of a table, exactly: a value either keeps its meaning to the last digit or
//! the conversion fails naming the column.
//!
//! Which type a column gets is decided in `types.rs` and `evolve.rs`; this file only does it.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::Date64Type;
use arrow_array::{
    Array, ArrayRef, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray,
    new_null_array,
};
use arrow_schema::{DataType, Field, SchemaRef, TimeUnit};
use towpath_ports::{ExactValues, exact_json};

use super::error::{LakeError, LakeResult};
use super::text::{exact_cast, to_text};

/// One column in the type a table has for it.
pub(crate) fn to_lake(array: &ArrayRef, target: &DataType, column: &str) -> LakeResult<ArrayRef> {
    use DataType as T;
    let from = array.data_type();
    if from == target {
        return Ok(Arc::clone(array));
    }
    if array.logical_null_count() == array.len() {
        return Ok(new_null_array(target, array.len()));
    }
    match (from, target) {
        (T::Dictionary(_, values), _) => {
            to_lake(&exact_cast(array, values, column)?, target, column)
        }
        (T::Utf8 | T::LargeUtf8 | T::Utf8View, T::Utf8) => exact_cast(array, target, column),
        // A column that the project restates as text (`evolve.rs`): each of these prints exactly.
        (plain, T::Utf8)
            if plain.is_integer()
                || plain.is_floating()
                || matches!(
                    plain,
                    T::Boolean
                        | T::Decimal128(..)
                        | T::Date32
                        | T::Timestamp(TimeUnit::Microsecond, _)
                ) =>
        {
            exact_cast(array, target, column)
        }
        (nested, T::Utf8) if nested.is_nested() => json_text(array),
        (_, T::Utf8) => to_text(array, column),
        (T::Date64, T::Date32) => whole_days(array, column),
        (T::Int32 | T::Int64 | T::UInt32 | T::UInt64, T::Float32 | T::Float64) => {
            exact_double(array, target, column)
        }
        (T::List(_), T::List(item)) => list(array.as_list::<i32>(), item, column),
        (
            T::LargeList(item)
            | T::FixedSizeList(item, _)
            | T::ListView(item)
            | T::LargeListView(item),
            T::List(_),
        ) => to_lake(
            &exact_cast(array, &T::List(Arc::clone(item)), column)?,
            target,
            column,
        ),
        (T::Struct(_), T::Struct(fields)) => structure(array.as_struct(), fields, column),
        (T::Map(..), T::Map(entries, _)) => map(array.as_map(), entries, column),
        _ => exact_cast(array, target, column),
    }
}

/// Lists and structs as JSON with every digit.
fn json_text(array: &ArrayRef) -> LakeResult<ArrayRef> {
    let values = ExactValues::of(array).map_err(shape)?;
    let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 16);
    let mut out = Vec::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            texts.append_null();
            continue;
        }
        out.clear();
        exact_json(&values, row, &mut out).map_err(shape)?;
        texts.append_value(String::from_utf8_lossy(&out));
    }
    Ok(Arc::new(texts.finish()))
}

fn whole_days(array: &ArrayRef, column: &str) -> LakeResult<ArrayRef> {
    const DAY_MS: i64 = 86_400_000;
    if array
        .as_primitive::<Date64Type>()
        .iter()
        .flatten()
        .any(|value| value % DAY_MS != 0)
    {
        return Err(LakeError::NotExact {
            column: column.to_owned(),
            target: "date".to_owned(),
            why: "a date carries a time of day".to_owned(),
        });
    }
    exact_cast(array, &DataType::Date32, column)
}

/// Integers as doubles. Beyond 2^53 not every integer is one: the way back shows it.
fn exact_double(array: &ArrayRef, target: &DataType, column: &str) -> LakeResult<ArrayRef> {
    let doubles = exact_cast(array, target, column)?;
    let back = exact_cast(&doubles, array.data_type(), column)?;
    if back.to_data() != array.to_data() {
        return Err(LakeError::NotExact {
            column: column.to_owned(),
            target: towpath_vocab::types::name(target),
            why: "an integer has more digits than a double keeps".to_owned(),
        });
    }
    Ok(doubles)
}

fn list(array: &ListArray, item: &Arc<Field>, column: &str) -> LakeResult<ArrayRef> {
    let values = to_lake(array.values(), item.data_type(), column)?;
    let made = ListArray::try_new(
        Arc::clone(item),
        array.offsets().clone(),
        values,
        array.nulls().cloned(),
    );
    Ok(Arc::new(made.map_err(shape)?))
}

fn structure(
    array: &StructArray,
    fields: &arrow_schema::Fields,
    column: &str,
) -> LakeResult<ArrayRef> {
    let columns = fields
        .iter()
        .map(|field| match array.column_by_name(field.name()) {
            Some(child) => to_lake(child, field.data_type(), column),
            None => Ok(new_null_array(field.data_type(), array.len())),
        })
        .collect::<LakeResult<Vec<_>>>()?;
    let made = StructArray::try_new_with_length(
        fields.clone(),
        columns,
        array.nulls().cloned(),
        array.len(),
    );
    Ok(Arc::new(made.map_err(shape)?))
}

fn map(array: &MapArray, entries: &Arc<Field>, column: &str) -> LakeResult<ArrayRef> {
    let DataType::Struct(pair) = entries.data_type() else {
        return Err(LakeError::Misuse("a map's entries are a structure"));
    };
    let keys = to_lake(array.keys(), pair[0].data_type(), column)?;
    let values = to_lake(array.values(), pair[1].data_type(), column)?;
    let inner = StructArray::try_new(pair.clone(), vec![keys, values], None).map_err(shape)?;
    let made = MapArray::try_new(
        Arc::clone(entries),
        array.offsets().clone(),
        inner,
        array.nulls().cloned(),
        false,
    );
    Ok(Arc::new(made.map_err(shape)?))
}

fn shape(source: arrow_schema::ArrowError) -> LakeError {
    LakeError::Arrow {
        doing: "shaping a column",
        source,
    }
}

/// A batch with the columns of `target`: `from[i]` is the incoming column of column `i`, a column
/// without one is NULL.
pub(crate) fn batch_to_lake(
    batch: &RecordBatch,
    target: &SchemaRef,
    from: &[Option<usize>],
) -> LakeResult<RecordBatch> {
    let columns = target
        .fields()
        .iter()
        .zip(from)
        .map(
            |(field, index)| match index.and_then(|index| batch.columns().get(index)) {
                Some(column) => to_lake(column, field.data_type(), field.name()),
                None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            },
        )
        .collect::<LakeResult<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(target), columns, &options).map_err(shape)
}
