//! The columns of Avro and Arrow files: each type in the one form that the format has for it.
//!
//! Promise: a value is the same after the file was written and read, or its type or its name is refused before a row
//! comes. Encodings and widths of containers are undone, as they are when files are read: text is `Utf8`, bytes
//! `Binary`, lists `List`. It opens no file. Read next: `columnar_file.rs`.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use towpath_vocab::types;

use super::error::WriteError;
use crate::files::options::Format;

/// What a format has no form for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoForm {
    /// Of a column of this type.
    Type {
        column: String,
        data_type: String,
        why: &'static str,
    },
    /// Of a name in this column.
    Name { column: String, name: String },
}

impl NoForm {
    /// The refusal to write to this place.
    pub(super) fn refused(self, shown: &str) -> WriteError {
        let (why, way_out) = match self {
            Self::Type {
                column,
                data_type,
                why,
            } => (
                format!("column `{column}` is `{data_type}`, and {why}"),
                "give the column a different type, such as `text`, or write `format: parquet`",
            ),
            Self::Name { column, name } => {
                let member = match column == name {
                    true => String::new(),
                    false => format!("member `{name}` of "),
                };
                let why = format!(
                    "{member}column `{column}` has a name that Avro does not have: letters of ASCII, digits and `_`, a digit not first"
                );
                (why, "rename it, or write another format")
            }
        };
        WriteError::Target {
            object: shown.to_owned(),
            why,
            way_out,
        }
    }
}

/// The columns as they are written.
pub(super) fn written(format: Format, schema: &Schema) -> Result<SchemaRef, NoForm> {
    let field = |field: &FieldRef| -> Result<Field, NoForm> {
        let name = field.name();
        if format == Format::Avro && !is_avro_name(name) {
            return Err(NoForm::Name {
                column: name.clone(),
                name: name.clone(),
            });
        }
        let to = Column { format, name }.of(field.data_type(), true)?;
        Ok(Field::new(name, to, true))
    };
    let fields = schema.fields().iter().map(field);
    Ok(Arc::new(Schema::new(
        fields.collect::<Result<Vec<_>, _>>()?,
    )))
}

/// Refuses columns of which none has a value: Avro has no such records.
pub(super) fn check_values(format: Format, schema: &Schema, shown: &str) -> Result<(), WriteError> {
    let mut fields = schema.fields().iter();
    if format != Format::Avro || fields.any(|field| *field.data_type() != DataType::Null) {
        return Ok(());
    }
    Err(WriteError::Target {
        object: shown.to_owned(),
        why: "no column has a value, and Avro has no such records".to_owned(),
        way_out: "give a column a type, or write another format",
    })
}

/// Names of Avro: letters, digits and `_`, a digit not first.
fn is_avro_name(name: &str) -> bool {
    let is_of_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    name.chars().all(is_of_name)
        && !name.starts_with(|char: char| char.is_ascii_digit())
        && !name.is_empty()
}

struct Column<'a> {
    format: Format,
    name: &'a str,
}

impl Column<'_> {
    fn refused(&self, of: &DataType, why: &'static str) -> NoForm {
        NoForm::Type {
            column: self.name.to_owned(),
            data_type: types::name(of),
            why,
        }
    }

    /// The form of a type; `is_root` for a column itself.
    fn of(&self, from: &DataType, is_root: bool) -> Result<DataType, NoForm> {
        use DataType as T;
        Ok(match from {
            T::Dictionary(_, values) => self.of(values, is_root)?,
            T::RunEndEncoded(_, values) => self.of(values.data_type(), is_root)?,
            T::Utf8 | T::LargeUtf8 | T::Utf8View => T::Utf8,
            T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => T::Binary,
            T::Decimal32(precision, scale) | T::Decimal64(precision, scale) => {
                self.leaf(&T::Decimal128(*precision, *scale), is_root)?
            }
            T::List(item)
            | T::LargeList(item)
            | T::FixedSizeList(item, _)
            | T::ListView(item)
            | T::LargeListView(item) => T::List(self.inner(item)?),
            T::Struct(fields) => self.members(from, fields)?,
            T::Map(entries, _) => self.map(from, entries)?,
            T::Union(..) => {
                return Err(self.refused(from, "such values have no form that is read back"));
            }
            other => self.leaf(other, is_root)?,
        })
    }

    fn inner(&self, field: &FieldRef) -> Result<FieldRef, NoForm> {
        let to = self.of(field.data_type(), false)?;
        Ok(Arc::new(Field::new(field.name(), to, field.is_nullable())))
    }

    fn members(&self, from: &DataType, fields: &arrow_schema::Fields) -> Result<DataType, NoForm> {
        let mut names = HashSet::with_capacity(fields.len());
        for field in fields {
            let name = field.name();
            if self.format == Format::Avro && !is_avro_name(name) {
                return Err(NoForm::Name {
                    column: self.name.to_owned(),
                    name: name.clone(),
                });
            }
            if !names.insert(name) {
                return Err(self.refused(from, "two members have one name"));
            }
        }
        if fields.is_empty() && self.format == Format::Avro {
            return Err(self.refused(from, "Avro has no records without members"));
        }
        let fields = fields.iter().map(|field| self.inner(field));
        Ok(DataType::Struct(fields.collect::<Result<_, _>>()?))
    }

    fn map(&self, from: &DataType, entries: &FieldRef) -> Result<DataType, NoForm> {
        let wrong = || self.refused(from, "its entries are not pairs");
        let DataType::Struct(pair) = entries.data_type() else {
            return Err(wrong());
        };
        let [key, value] = pair.as_ref() else {
            return Err(wrong());
        };
        let key = self.inner(key)?;
        if self.format == Format::Avro && *key.data_type() != DataType::Utf8 {
            return Err(self.refused(from, "keys of Avro are text"));
        }
        let pair = DataType::Struct([key, self.inner(value)?].into_iter().collect());
        let entries = Field::new(entries.name(), pair, entries.is_nullable());
        Ok(DataType::Map(Arc::new(entries), false))
    }

    fn leaf(&self, from: &DataType, is_root: bool) -> Result<DataType, NoForm> {
        match self.format {
            Format::Avro => self.avro(from, is_root),
            _ => Ok(from.clone()),
        }
    }

    fn avro(&self, from: &DataType, is_root: bool) -> Result<DataType, NoForm> {
        use DataType as T;
        Ok(match from {
            T::Null if is_root => T::Null,
            T::Boolean | T::Int32 | T::Int64 | T::Float32 | T::Float64 | T::Date32 => from.clone(),
            T::Int8 | T::Int16 | T::UInt8 | T::UInt16 => T::Int32,
            T::UInt32 => T::Int64,
            T::UInt64 => T::Decimal128(20, 0),
            T::Float16 => T::Float32,
            T::Decimal128(precision, scale) | T::Decimal256(precision, scale) => {
                match u8::try_from(*scale) {
                    Ok(scale) if scale <= *precision => from.clone(),
                    _ => return Err(self.refused(from, "Avro has no such scale")),
                }
            }
            T::Timestamp(TimeUnit::Second, zone) => {
                T::Timestamp(TimeUnit::Millisecond, zone.clone())
            }
            T::Timestamp(..)
            | T::Time32(TimeUnit::Millisecond)
            | T::Time64(TimeUnit::Microsecond) => from.clone(),
            T::Time32(TimeUnit::Second) => T::Time32(TimeUnit::Millisecond),
            T::Null => {
                return Err(self.refused(from, "Avro has no lists and records without values"));
            }
            _ => return Err(self.refused(from, "Avro has no form for it that keeps every value")),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use arrow_schema::IntervalUnit;

    use super::*;

    fn avro(data_type: DataType) -> Result<DataType, NoForm> {
        let schema = Schema::new(vec![Field::new("c", data_type, true)]);
        let written = written(Format::Avro, &schema)?;
        Ok(written.field(0).data_type().clone())
    }

    #[test]
    fn what_avro_has_no_form_for_is_refused() {
        use DataType as T;
        let member = |name: &str, of: T| T::Struct(vec![Field::new(name, of, true)].into());
        let pair = |key: T| {
            let pair = vec![
                Field::new("key", key, false),
                Field::new("value", T::Utf8, true),
            ];
            T::Map(
                Arc::new(Field::new("entries", T::Struct(pair.into()), false)),
                false,
            )
        };
        for refused in [
            T::Interval(IntervalUnit::MonthDayNano),
            T::Duration(TimeUnit::Second),
            T::Time64(TimeUnit::Nanosecond),
            T::Date64,
            T::Decimal128(5, -2),
            T::new_list(T::Null, true),
            T::Struct(arrow_schema::Fields::empty()),
            member("a b", T::Int32),
            pair(T::Int32),
        ] {
            assert!(avro(refused.clone()).is_err(), "{refused}");
        }
        assert_eq!(avro(pair(T::LargeUtf8)), Ok(pair(T::Utf8)));
        assert_eq!(avro(T::UInt64), Ok(T::Decimal128(20, 0)));
        assert_eq!(avro(member("a", T::Int8)), Ok(member("a", T::Int32)));
    }

    #[test]
    fn names_of_avro_are_plain() {
        for (name, is_name) in [
            ("a", true),
            ("_1", true),
            ("1", false),
            ("ä", false),
            ("", false),
        ] {
            assert_eq!(is_avro_name(name), is_name, "{name}");
        }
    }
}
