//! The one table of types from Arrow to Delta. A type that is not in it is refused, never guessed.
//!
//! Promise: unsigned integers get the next larger type, `u64` becomes `decimal(20,0)`. What Delta has no type for
//! (times, nanoseconds, intervals, durations, decimals beyond 38 digits) is stored as canonical text, with its
//! type in the field's metadata (`vocab::types::SOURCE_TYPE`). Read next: `convert.rs` (values), `text.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use towpath_vocab::types::{AUDIT, BLANKS, MASKED, SOURCE_NAME, SOURCE_TYPE};

use super::error::{LakeError, LakeResult};
use super::text;

/// The columns a table gets for incoming columns. Every column is nullable, as Delta's readers expect.
pub(crate) fn lake_schema(table: &str, incoming: &Schema) -> LakeResult<SchemaRef> {
    let fields = incoming
        .fields()
        .iter()
        .map(|field| lake_field(field))
        .collect::<LakeResult<Vec<_>>>()?;
    check_names(table, fields.iter().map(|field| field.name().as_str()))?;
    Ok(Arc::new(Schema::new(fields)))
}

fn lake_field(field: &Field) -> LakeResult<Field> {
    let (data_type, word) = lake_type(field.data_type(), field.name())?;
    let mut metadata = HashMap::new();
    for key in [SOURCE_NAME, SOURCE_TYPE, BLANKS, MASKED, AUDIT] {
        if let Some(value) = field.metadata().get(key) {
            metadata.insert(key.to_owned(), value.clone());
        }
    }
    if let Some(word) = word {
        metadata.insert(SOURCE_TYPE.to_owned(), word);
    }
    Ok(Field::new(field.name(), data_type, true).with_metadata(metadata))
}

/// The type in the table, and the word for the own type when values travel as text.
fn lake_type(from: &DataType, column: &str) -> LakeResult<(DataType, Option<String>)> {
    use DataType as T;
    let native = |data_type: DataType| Ok((data_type, None));
    match from {
        T::Boolean
        | T::Int8
        | T::Int16
        | T::Int32
        | T::Int64
        | T::Float32
        | T::Float64
        | T::Date32 => native(from.clone()),
        T::UInt8 => native(T::Int16),
        T::UInt16 => native(T::Int32),
        T::UInt32 => native(T::Int64),
        T::UInt64 => native(T::Decimal128(20, 0)),
        T::Float16 => native(T::Float32),
        T::Date64 => native(T::Date32),
        T::Utf8 | T::LargeUtf8 | T::Utf8View => native(T::Utf8),
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => native(T::Binary),
        T::Timestamp(TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond, zone) => {
            native(T::Timestamp(
                TimeUnit::Microsecond,
                zone.as_ref().map(|_| "UTC".into()),
            ))
        }
        T::Decimal32(precision, scale)
        | T::Decimal64(precision, scale)
        | T::Decimal128(precision, scale)
        | T::Decimal256(precision, scale) => Ok(decimal(*precision, *scale).map_or_else(
            || (T::Utf8, Some(format!("decimal({precision},{scale})"))),
            |t| (t, None),
        )),
        T::Dictionary(_, values) => lake_type(values, column),
        T::List(item)
        | T::LargeList(item)
        | T::FixedSizeList(item, _)
        | T::ListView(item)
        | T::LargeListView(item) => native(list_of(unmarked(item.data_type(), column)?)),
        T::Struct(fields) => native(T::Struct(
            fields
                .iter()
                .map(|field| lake_field(field).map(Arc::new))
                .collect::<LakeResult<Fields>>()?,
        )),
        T::Map(entries, _) => match entries.data_type() {
            T::Struct(pair) if pair.len() == 2 => native(map_of(
                unmarked(pair[0].data_type(), column)?,
                unmarked(pair[1].data_type(), column)?,
            )),
            _ => Err(unknown(from, column)),
        },
        other => match text::word(other) {
            Some(word) => Ok((T::Utf8, Some(word))),
            None => Err(unknown(other, column)),
        },
    }
}

/// Elements of lists and maps have no metadata in Delta: a type that needs it is refused there.
fn unmarked(from: &DataType, column: &str) -> LakeResult<DataType> {
    match lake_type(from, column)? {
        (data_type, None) => Ok(data_type),
        (_, Some(_)) => Err(unknown(from, column)),
    }
}

fn unknown(found: &DataType, column: &str) -> LakeError {
    LakeError::UnknownType {
        column: column.to_owned(),
        found: found.to_string(),
    }
}

/// The Delta decimal that holds every value of this one, if 38 digits are enough.
fn decimal(precision: u8, scale: i8) -> Option<DataType> {
    let scale_digits = u8::try_from(scale).unwrap_or(0);
    let above_point = i16::from(precision) - i16::from(scale);
    let digits = above_point.max(0) + i16::from(scale_digits);
    let digits = u8::try_from(digits.max(1)).ok()?;
    let scale = i8::try_from(scale_digits).ok()?;
    (digits <= 38).then_some(DataType::Decimal128(digits, scale))
}

/// A list as Delta's Arrow form names its parts.
pub(crate) fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", item, true)))
}

/// A map as Delta's Arrow form names its parts.
pub(crate) fn map_of(key: DataType, value: DataType) -> DataType {
    let pair = vec![
        Field::new("key", key, false),
        Field::new("value", value, true),
    ];
    DataType::Map(
        Arc::new(Field::new(
            "key_value",
            DataType::Struct(pair.into()),
            false,
        )),
        false,
    )
}

/// Delta compares names without case, so two that differ only in case cannot stand in one table.
/// Every other name, with spaces or any sign, is stored exactly as it is: Delta only forbids some of
/// them to writers that check; DuckDB, Polars and delta-rs read them, and no reader sees a bent one.
fn check_names<'a>(table: &str, names: impl Iterator<Item = &'a str>) -> LakeResult<()> {
    let mut seen: HashMap<String, &str> = HashMap::new();
    let mut names = names.peekable();
    if names.peek().is_none() {
        return Err(LakeError::ColumnNames {
            table: table.to_owned(),
            names: "(none)".to_owned(),
            why: "a table needs a column".to_owned(),
        });
    }
    for name in names {
        if name.is_empty() {
            return Err(LakeError::ColumnNames {
                table: table.to_owned(),
                names: "``".to_owned(),
                why: "a column needs a name".to_owned(),
            });
        }
        if let Some(other) = seen.insert(name.to_lowercase(), name) {
            return Err(LakeError::ColumnNames {
                table: table.to_owned(),
                names: format!("`{other}` and `{name}`"),
                why: "names that differ only in case are one name in a lakehouse table".to_owned(),
            });
        }
    }
    Ok(())
}

/// True when a timestamp without zone stands anywhere in the columns: such tables need a Delta feature.
pub(crate) fn has_local_timestamps(schema: &Schema) -> bool {
    fn within(data_type: &DataType) -> bool {
        match data_type {
            DataType::Timestamp(_, None) => true,
            DataType::List(item) | DataType::Map(item, _) => within(item.data_type()),
            DataType::Struct(fields) => fields.iter().any(|field| within(field.data_type())),
            _ => false,
        }
    }
    schema
        .fields()
        .iter()
        .any(|field| within(field.data_type()))
}

/// The type of a column in words, its own type when it travels as text.
pub(crate) fn describe(field: &Field) -> String {
    match field.metadata().get(SOURCE_TYPE) {
        Some(word) => word.clone(),
        None => towpath_vocab::types::name(field.data_type()),
    }
}
