//! PostgreSQL's types beside Arrow's: how a column is asked for, decoded and named.
//!
//! Promise: one table, both ways. A type with a decoder travels in binary; any other is asked for as
//! `::text`, keeps its name in the field's `towpath.type`, and says so in a note. Domains are read as
//! what they stand for. `char(n)` is its value without the blanks that fill it up, as PostgreSQL compares
//! it. It reads no bytes: `decode.rs` and `encode.rs` do.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, TimeUnit};
use towpath_vocab::types::{BLANKS, BLANKS_CUT, SOURCE_TYPE, instant};

use super::names::quoted;

/// How the bytes of one value are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Decimal { precision: u8, scale: i8 },
    NumericText,
    Text,
    Bytes,
    Date,
    Time,
    Timestamp,
    Instant,
    Uuid,
    Jsonb,
    List(Box<Kind>),
}

/// A column as a read will give it.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Its name in the source.
    pub(super) name: String,
    /// How SQL asks for it.
    pub(super) expression: String,
    /// How its values are decoded.
    pub(super) kind: Kind,
    /// Its Arrow field.
    pub(super) field: Field,
    /// Its type in PostgreSQL's words.
    pub(super) type_name: String,
    /// What a person should know about the mapping.
    pub(super) note: Option<String>,
}

/// A type as the catalogue describes it, domains already resolved.
#[derive(Clone, Debug)]
pub(super) struct CatalogType {
    /// `format_type` of what the column was declared with.
    pub(super) declared: String,
    /// `format_type` of the base type.
    pub(super) full_name: String,
    /// `typname` of the base type, prefixed with its schema unless that is `pg_catalog`.
    pub(super) name: String,
    /// `e` for enums, `c` for composites, `r` for ranges, `b` for the rest.
    pub(super) class: String,
    /// For arrays: the element's `name` and `class`.
    pub(super) element: Option<(String, String)>,
    /// Its modifier, -1 for none.
    pub(super) modifier: i32,
}

/// How values of a type travel.
struct Travel {
    kind: Kind,
    cast: &'static str,
    /// Set when the values travel as text that stands for something else.
    stands_for: bool,
    note: Option<&'static str>,
}

impl Travel {
    fn plain(kind: Kind) -> Self {
        Self {
            kind,
            cast: "",
            stands_for: false,
            note: None,
        }
    }

    fn text(kind: Kind, cast: &'static str, note: Option<&'static str>) -> Self {
        Self {
            kind,
            cast,
            stands_for: true,
            note,
        }
    }
}

/// The column for a catalogue entry; `declared` is what the user wants it to be.
pub(super) fn column(
    name: &str,
    described: &CatalogType,
    not_null: bool,
    declared: Option<&DataType>,
) -> Column {
    let travel = match declared {
        Some(DataType::Utf8) if !matches!(described.name.as_str(), "text" | "varchar") => Travel {
            kind: Kind::Text,
            cast: "::text",
            stands_for: false,
            note: None,
        },
        Some(DataType::Decimal128(precision, scale)) if described.name == "numeric" => {
            Travel::plain(Kind::Decimal {
                precision: *precision,
                scale: *scale,
            })
        }
        _ => travel(described),
    };
    let mut field = Field::new(name, travel.kind.data_type(), !not_null);
    if travel.stands_for {
        let type_name = short(&described.full_name);
        field.set_metadata(HashMap::from([(SOURCE_TYPE.to_owned(), type_name)]));
    }
    if described.element.is_none() && described.name == "bpchar" {
        let cut = (BLANKS.to_owned(), BLANKS_CUT.to_owned());
        field.set_metadata(HashMap::from([cut]));
    }
    Column {
        name: name.to_owned(),
        expression: format!("{}{}", quoted(name), travel.cast),
        kind: travel.kind,
        field,
        type_name: described.declared.clone(),
        note: travel
            .note
            .map(|note| format!("`{name}` ({}) {note}", described.declared)),
    }
}

fn travel(described: &CatalogType) -> Travel {
    if let Some((element, class)) = &described.element {
        let inner = scalar(element, class, described.modifier);
        let cast = match inner.cast {
            "" => "",
            "::bigint" => "::bigint[]",
            "::numeric::text" => "::numeric[]::text[]",
            _ => "::text[]",
        };
        return Travel {
            kind: Kind::List(Box::new(inner.kind)),
            cast,
            stands_for: inner.stands_for,
            note: inner.note,
        };
    }
    scalar(&described.name, &described.class, described.modifier)
}

fn scalar(name: &str, class: &str, modifier: i32) -> Travel {
    if class == "e" {
        return Travel::text(Kind::Text, "", None);
    }
    Travel::plain(match name {
        "bool" => Kind::Bool,
        "int2" => Kind::Int2,
        "int4" => Kind::Int4,
        "int8" => Kind::Int8,
        "float4" => Kind::Float4,
        "float8" => Kind::Float8,
        "numeric" => return numeric(modifier),
        "text" | "varchar" | "name" => Kind::Text,
        // The cast takes away the blanks that fill a value up.
        "bpchar" | "char" => {
            return Travel {
                kind: Kind::Text,
                cast: "::text",
                stands_for: false,
                note: None,
            };
        }
        "bytea" => Kind::Bytes,
        "date" => Kind::Date,
        "timestamp" => Kind::Timestamp,
        "timestamptz" => Kind::Instant,
        "oid" => {
            return Travel {
                kind: Kind::Int8,
                cast: "::bigint",
                stands_for: false,
                note: None,
            };
        }
        "time" => return Travel::text(Kind::Time, "", None),
        "uuid" => return Travel::text(Kind::Uuid, "", None),
        "json" => return Travel::text(Kind::Text, "", None),
        "jsonb" => return Travel::text(Kind::Jsonb, "", None),
        "money" => {
            return Travel::text(
                Kind::Text,
                "::numeric::text",
                Some("is read as exact decimal text"),
            );
        }
        "timetz" | "interval" | "inet" | "cidr" | "macaddr" | "macaddr8" => {
            return Travel::text(Kind::Text, "::text", None);
        }
        other if other == "citext" || other.ends_with(".citext") => Kind::Text,
        _ => {
            return Travel::text(
                Kind::Text,
                "::text",
                Some("has a type of PostgreSQL's own and is read as text"),
            );
        }
    })
}

fn numeric(modifier: i32) -> Travel {
    let Some((precision, scale)) = precision_and_scale(modifier) else {
        return Travel::text(
            Kind::NumericText,
            "",
            Some("has no fixed scale and is read as exact text"),
        );
    };
    // numeric(3,5) holds 0.00ddd, numeric(2,-3) holds dd000: Arrow wants 0 <= scale <= precision.
    let (digits, shown) = (precision.max(scale) - scale.min(0), scale.max(0));
    match (u8::try_from(digits), i8::try_from(shown)) {
        (Ok(precision @ 1..=38), Ok(scale)) => Travel::plain(Kind::Decimal { precision, scale }),
        _ => Travel::text(
            Kind::NumericText,
            "",
            Some("has more than 38 digits and is read as exact text"),
        ),
    }
}

/// What the modifier of a numeric says.
pub(super) fn precision_and_scale(modifier: i32) -> Option<(i32, i32)> {
    let bits = modifier.checked_sub(4).filter(|bits| *bits >= 0)?;
    Some(((bits >> 16) & 0xFFFF, ((bits & 0x7FF) ^ 1024) - 1024))
}

/// A type's name as `towpath.type` holds it.
pub(super) fn short(full_name: &str) -> String {
    full_name
        .replace("time without time zone", "time")
        .replace("time with time zone", "timetz")
}

impl Kind {
    /// What a cell takes in a batch, without the text or the items of its value.
    pub(super) fn cell_bytes(&self) -> usize {
        match self {
            Kind::Bool => 1,
            Kind::Int2 => 2,
            Kind::Int8 | Kind::Float8 | Kind::Timestamp | Kind::Instant => 8,
            Kind::Decimal { .. } => 16,
            Kind::List(item) => 4 + item.cell_bytes(),
            _ => 4,
        }
    }

    /// The Arrow type its values become.
    pub(super) fn data_type(&self) -> DataType {
        match self {
            Kind::Bool => DataType::Boolean,
            Kind::Int2 => DataType::Int16,
            Kind::Int4 => DataType::Int32,
            Kind::Int8 => DataType::Int64,
            Kind::Float4 => DataType::Float32,
            Kind::Float8 => DataType::Float64,
            Kind::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
            Kind::NumericText | Kind::Text | Kind::Time | Kind::Uuid | Kind::Jsonb => {
                DataType::Utf8
            }
            Kind::Bytes => DataType::Binary,
            Kind::Date => DataType::Date32,
            Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Kind::Instant => instant(),
            Kind::List(item) => {
                DataType::List(Arc::new(Field::new("item", item.data_type(), true)))
            }
        }
    }
}

/// The PostgreSQL type a column of rows is stored in, before any cast; `None` when there is none
/// that holds every value exactly.
pub(super) fn stored_as(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            "text".to_owned()
        }
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => "smallint".to_owned(),
        DataType::UInt16 | DataType::Int32 => "integer".to_owned(),
        DataType::UInt32 | DataType::Int64 => "bigint".to_owned(),
        DataType::UInt64 => "numeric(20,0)".to_owned(),
        DataType::Float16 | DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double precision".to_owned(),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s)
            if *s >= 0 =>
        {
            format!("numeric({p},{s})")
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "bytea".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time without time zone".to_owned(),
        DataType::Timestamp(_, None) => "timestamp without time zone".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".to_owned(),
        DataType::Dictionary(_, values) => stored_as(values)?,
        DataType::List(item) | DataType::LargeList(item) => match item.data_type() {
            DataType::List(_) | DataType::LargeList(_) => return None,
            scalar => format!("{}[]", stored_as(scalar)?),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_of_numeric_are_read_as_the_server_does() {
        assert_eq!(precision_and_scale(-1), None);
        assert_eq!(precision_and_scale(((10 << 16) | 2) + 4), Some((10, 2)));
        assert_eq!(
            precision_and_scale(((2 << 16) | (-3_i32 & 0x7FF)) + 4),
            Some((2, -3))
        );
        assert!(matches!(
            numeric(((3 << 16) | 5) + 4).kind,
            Kind::Decimal {
                precision: 5,
                scale: 5
            }
        ));
        assert!(matches!(
            numeric(((2 << 16) | (-3_i32 & 0x7FF)) + 4).kind,
            Kind::Decimal {
                precision: 5,
                scale: 0
            }
        ));
        assert!(matches!(
            numeric(((60 << 16) | 30) + 4).kind,
            Kind::NumericText
        ));
    }
}
