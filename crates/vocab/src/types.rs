//! The words for types in the config: to Arrow types and back, and the metadata keys of fields.
//!
//! Promise: this is the only such table in the program. A word that is not in it is refused, never guessed.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Float64Type};
use arrow_array::{ArrayRef, ArrowPrimitiveType};
use arrow_schema::{DataType, Field, TimeUnit};

/// Field metadata: the name of a column in the source, if `names: snake` changed it.
pub const SOURCE_NAME: &str = "towpath.source_name";
/// Field metadata: the type in the source, if the values are passed as canonical text.
pub const SOURCE_TYPE: &str = "towpath.type";
/// Field metadata: the project declares the type of this column, so a destination may convert the values
/// that it has to this type. It is never stored.
pub const DECLARED: &str = "towpath.declared";

/// Field metadata: the source fills the values of the column with blanks up to a length (`char(n)`), and the
/// blanks were removed when the values were read. It is `BLANKS_CUT` or `BLANKS_MASKED`. A lakehouse table
/// stores it if it is true of all its rows.
pub const BLANKS: &str = "towpath.blanks";
/// The values are the text without the blanks.
pub const BLANKS_CUT: &str = "cut";
/// The values are hashes of the text without the blanks.
pub const BLANKS_MASKED: &str = "masked";

/// Field metadata: the values are hashes (`mask: hash`), and with which key. A lakehouse table stores it if it
/// is true of all its rows; tables that an earlier version wrote do not have it.
pub const MASKED: &str = "towpath.masked";

/// Field metadata: the load itself writes the column (`audit_columns`), and which one it is.
pub const AUDIT: &str = "towpath.audit";

/// Field metadata: the column had no value, so its type is not known.
pub const NO_VALUES: &str = "towpath.no_values";

/// Field metadata: the format of numbers or dates in a text file, if it was inferred from all values of the
/// column: `comma`, `grouped`, `day_first`, `month_first`.
pub const WRITTEN_AS: &str = "towpath.written_as";

/// A text that is not a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not a type")]
pub struct UnknownType {
    /// The text.
    pub word: String,
}

/// The words for types without parameters, with their types.
pub const WORDS: &[(&str, DataType)] = &[
    ("text", DataType::Utf8),
    ("bool", DataType::Boolean),
    ("tinyint", DataType::Int8),
    ("smallint", DataType::Int16),
    ("int", DataType::Int32),
    ("bigint", DataType::Int64),
    ("utinyint", DataType::UInt8),
    ("usmallint", DataType::UInt16),
    ("uint", DataType::UInt32),
    ("ubigint", DataType::UInt64),
    ("float", DataType::Float32),
    ("double", DataType::Float64),
    ("date", DataType::Date32),
    (
        "timestamp",
        DataType::Timestamp(TimeUnit::Microsecond, None),
    ),
    ("binary", DataType::Binary),
];

/// Other common words, each with its word in `WORDS`.
pub const SYNONYMS: &[(&str, &str)] = &[
    ("string", "text"),
    ("varchar", "text"),
    ("utf8", "text"),
    ("boolean", "bool"),
    ("int2", "smallint"),
    ("integer", "int"),
    ("int4", "int"),
    ("long", "bigint"),
    ("int8", "bigint"),
    ("int64", "bigint"),
    ("real", "float"),
    ("float4", "float"),
    ("float8", "double"),
    ("float64", "double"),
    ("double precision", "double"),
    ("datetime", "timestamp"),
    ("bytes", "binary"),
    ("bytea", "binary"),
    ("blob", "binary"),
];

/// Parses a type: a word, `decimal(P,S)` with P at most 38, `timestamptz` (instants, stored in UTC),
/// `list(TYPE)`, or `struct(NAME TYPE, "other name" TYPE)`.
pub fn parse(text: &str) -> Result<DataType, UnknownType> {
    let word = text.trim().to_ascii_lowercase();
    let unknown = || UnknownType {
        word: text.trim().to_owned(),
    };
    // Names of members keep their case.
    let inside = |of: &str| text.trim().get(of.len()..).filter(|_| word.starts_with(of));
    if let Some(members) = inside("struct") {
        let members = parameters(members, "").and_then(|inner| parts(inner, ','));
        return struct_of(&members.ok_or_else(unknown)?).ok_or_else(unknown);
    }
    if let Some(inner) = inside("list(").and_then(|rest| rest.strip_suffix(')')) {
        return Ok(DataType::List(Arc::new(Field::new(
            "item",
            parse(inner)?,
            true,
        ))));
    }
    if let Some(arguments) = parameters(&word, "decimal").or_else(|| parameters(&word, "numeric")) {
        let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
        let precision: u8 = precision.trim().parse().map_err(|_| unknown())?;
        let scale: i8 = scale.trim().parse().map_err(|_| unknown())?;
        let fits = (1..=38).contains(&precision) && (0..=precision).contains(&scale.unsigned_abs());
        return if fits && scale >= 0 {
            Ok(DataType::Decimal128(precision, scale))
        } else {
            Err(unknown())
        };
    }
    if word == "timestamptz" || word == "timestamp with time zone" {
        return Ok(instant());
    }
    let canonical = SYNONYMS
        .iter()
        .find(|(other, _)| *other == word)
        .map_or(word.as_str(), |(_, w)| w);
    WORDS
        .iter()
        .find(|(w, _)| *w == canonical)
        .map(|(_, t)| t.clone())
        .ok_or_else(unknown)
}

/// Splits a text at a character outside parentheses and quotes; `None` if these are not closed.
fn parts(text: &str, at: char) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut depth, mut is_quoted) = (Vec::new(), 0, 0_usize, false);
    for (place, sign) in text.char_indices() {
        match sign {
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            _ if sign == at && depth == 0 => {
                parts.push(text.get(start..place)?.trim());
                start = place + sign.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?.trim());
    (depth == 0 && !is_quoted).then_some(parts)
}

/// A struct from `NAME TYPE` of each member; `None` if a member is not valid or occurs twice.
fn struct_of(members: &[&str]) -> Option<DataType> {
    let mut fields: Vec<Field> = Vec::with_capacity(members.len());
    for member in members {
        let named = parts(member, ' ')?;
        let written = *named.first()?;
        let data_type = parse(member.get(written.len()..)?).ok()?;
        let inner = written
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let name = inner.map_or_else(|| written.to_owned(), |inner| inner.replace("\"\"", "\""));
        if name.is_empty() || fields.iter().any(|field| *field.name() == name) {
            return None;
        }
        fields.push(Field::new(name, data_type, true));
    }
    Some(DataType::Struct(fields.into()))
}

fn member_word(field: &Field) -> String {
    let own = field.name();
    let is_plain = |c: char| c.is_alphanumeric() || c == '_';
    match !own.is_empty() && own.chars().all(is_plain) {
        true => format!("{own} {}", name(field.data_type())),
        false => format!(
            "\"{}\" {}",
            own.replace('"', "\"\""),
            name(field.data_type())
        ),
    }
}

/// An instant: microseconds in UTC.
pub fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

type Half = <Float16Type as ArrowPrimitiveType>::Native;

/// Normalises the values of a key column, so that keys can be compared by their bytes: `-0.0` becomes
/// `0.0`, and all NaN are equal. Values of other types have one form already.
pub fn one_form(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float16 => {
            let one = |v: Half| match (v.to_bits() << 1 == 0, v.is_nan()) {
                (true, _) => Half::default(),
                (_, true) => Half::NAN,
                _ => v,
            };
            Arc::new(
                array
                    .as_primitive::<Float16Type>()
                    .unary::<_, Float16Type>(one),
            )
        }
        DataType::Float32 => {
            let one = |v: f32| if v.is_nan() { f32::NAN } else { v + 0.0 };
            Arc::new(
                array
                    .as_primitive::<Float32Type>()
                    .unary::<_, Float32Type>(one),
            )
        }
        DataType::Float64 => {
            let one = |v: f64| if v.is_nan() { f64::NAN } else { v + 0.0 };
            Arc::new(
                array
                    .as_primitive::<Float64Type>()
                    .unary::<_, Float64Type>(one),
            )
        }
        _ => Arc::clone(array),
    }
}

/// The word for a type, which `parse` accepts; Arrow's name for types that `parse` does not return.
pub fn name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Timestamp(_, Some(_)) => "timestamptz".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::List(item) => format!("list({})", name(item.data_type())),
        DataType::Struct(fields) if !fields.is_empty() => {
            let members: Vec<String> = fields.iter().map(|field| member_word(field)).collect();
            format!("struct({})", members.join(", "))
        }
        DataType::Map(entries, _) if let DataType::Struct(pair) = entries.data_type() => {
            let parts: Vec<String> = pair.iter().map(|field| name(field.data_type())).collect();
            format!("map({})", parts.join(", "))
        }
        DataType::Dictionary(_, values) => name(values),
        other => match WORDS.iter().find(|(_, t)| t == other) {
            Some((word, _)) => (*word).to_owned(),
            None => other.to_string(),
        },
    }
}

fn parameters<'a>(word: &'a str, of: &str) -> Option<&'a str> {
    word.strip_prefix(of)?
        .trim_start()
        .strip_prefix('(')?
        .strip_suffix(')')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn structs_are_written_with_their_members() {
        for word in [
            "struct(a bigint)",
            "struct(Id bigint, \"a b, (c)\" list(struct(\"say \"\"x\"\"\" decimal(9,2))), z timestamptz)",
            "list(struct(größe text))",
        ] {
            assert_eq!(name(&parse(word).unwrap()), word);
        }
        let loose = parse(" STRUCT ( Id  INTEGER ,b List( varchar ) ) ").unwrap();
        assert_eq!(name(&loose), "struct(Id int, b list(text))");
        for wrong in [
            "struct()",
            "struct(a)",
            "struct(a bigint, a text)",
            "struct(a nothing)",
            "struct(a bigint",
            "struct(\"a bigint)",
            "struct(a bigint,)",
            "structs",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_word_reads_back() {
        for (word, data_type) in WORDS {
            assert_eq!(parse(word).as_ref(), Ok(data_type));
            assert_eq!(&name(data_type), word);
        }
        for text in [
            "decimal(18,2)",
            "timestamptz",
            "list(bigint)",
            "decimal(38,38)",
        ] {
            assert_eq!(name(&parse(text).unwrap()), text);
        }
    }

    #[test]
    fn maps_are_named_by_their_keys_and_values() {
        let field = |name: &str, of: DataType| Arc::new(Field::new(name, of, true));
        let pair = [
            field("key", DataType::Utf8),
            field("value", DataType::List(field("item", DataType::Int64))),
        ];
        let entries = field("entries", DataType::Struct(pair.into_iter().collect()));
        assert_eq!(
            name(&DataType::Map(entries, false)),
            "map(text, list(bigint))"
        );
    }

    #[test]
    fn synonyms_lead_to_words() {
        for (synonym, word) in SYNONYMS {
            assert_eq!(parse(synonym), parse(word));
        }
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for text in [
            "",
            "decimal(39,2)",
            "decimal(5,6)",
            "decimal(5,-1)",
            "decimal",
            "intt",
            "list(x)",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
