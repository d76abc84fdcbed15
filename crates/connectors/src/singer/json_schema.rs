//! The columns of a stream: its JSON Schema as types of a table.
//!
//! Promise: a type that is chosen here holds every value that the schema allows and that fits it exactly; a
//! value that does not fit is rejected, never rounded. Where a schema allows several kinds of values, the
//! column is their JSON text. Whether times have an offset no schema says: that is left open here
//! (`ColumnType::Time`). Read next: `columns.rs`, which settles it.

use arrow_schema::DataType;
use serde_json::{Map, Value};

/// The most digits of a decimal.
const MOST_DIGITS: usize = 38;
/// Digits before the point of a decimal whose schema has no bounds, at least.
const LEAST_WHOLE: usize = 18;
/// How deep `$ref`, `anyOf` and such are followed.
const DEEPEST: usize = 16;

/// A column of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StreamColumn {
    pub(super) name: String,
    pub(super) of: ColumnType,
}

/// The type of a column, as far as a schema says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ColumnType {
    Is(DataType),
    /// A point in time: with or without an offset.
    Time,
}

/// A kind of value that a schema allows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    Boolean,
    Integer(Box<IntegerRange>),
    /// A number with so many digits, and so many of them behind the point; `None` for any number.
    Number(Option<(u8, i8)>),
    Date,
    Time,
    /// Text, lists and objects, and what a schema does not say.
    Text,
}

/// The least and the greatest value, if they are said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct IntegerRange {
    least: Option<i128>,
    greatest: Option<i128>,
}

/// The columns of a schema, in its order. An error says what the schema lacks.
pub(super) fn columns(schema: &Value) -> Result<Vec<StreamColumn>, String> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Err("has no `properties`, which name the columns".to_owned());
    };
    let column = |(name, property): (&String, &Value)| StreamColumn {
        name: name.clone(),
        of: type_of(property, schema),
    };
    Ok(properties.iter().map(column).collect())
}

fn type_of(property: &Value, root: &Value) -> ColumnType {
    let mut kinds = Vec::new();
    kinds_of(property, root, 0, &mut kinds);
    kinds.retain(|kind| *kind != Kind::Null);
    kinds.dedup();
    let text = ColumnType::Is(DataType::Utf8);
    match kinds.as_slice() {
        [Kind::Boolean] => ColumnType::Is(DataType::Boolean),
        [Kind::Integer(range)] => ColumnType::Is(range.data_type()),
        [Kind::Number(None)] => ColumnType::Is(DataType::Float64),
        [Kind::Number(Some((digits, scale)))] => {
            ColumnType::Is(DataType::Decimal128(*digits, *scale))
        }
        [Kind::Date] => ColumnType::Is(DataType::Date32),
        [Kind::Time] => ColumnType::Time,
        // Whole numbers are numbers too: a column of both is one of numbers.
        [Kind::Integer(_), Kind::Number(None)] | [Kind::Number(None), Kind::Integer(_)] => {
            ColumnType::Is(DataType::Float64)
        }
        _ => text,
    }
}

/// Adds what a schema of a value allows.
fn kinds_of(schema: &Value, root: &Value, depth: usize, kinds: &mut Vec<Kind>) {
    let Some(schema) = schema.as_object().filter(|_| depth < DEEPEST) else {
        kinds.push(Kind::Text);
        return;
    };
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        match reference
            .strip_prefix('#')
            .and_then(|path| root.pointer(path))
        {
            Some(found) => kinds_of(found, root, depth + 1, kinds),
            None => kinds.push(Kind::Text),
        }
        return;
    }
    let choices = ["anyOf", "oneOf"].iter();
    let choices: Vec<&Value> = choices
        .filter_map(|word| schema.get(*word)?.as_array())
        .flatten()
        .collect();
    if !choices.is_empty() && !schema.contains_key("type") {
        for choice in choices {
            kinds_of(choice, root, depth + 1, kinds);
        }
        return;
    }
    let words: Vec<&str> = match schema.get("type") {
        Some(Value::String(word)) => vec![word],
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if words.is_empty() {
        kinds.push(Kind::Text);
    }
    for word in words {
        kinds.push(match word {
            "null" => Kind::Null,
            "boolean" => Kind::Boolean,
            "integer" => Kind::Integer(Box::new(IntegerRange::of(schema))),
            "number" => number(schema),
            "string" => string(schema),
            _ => Kind::Text,
        });
    }
}

fn string(schema: &Map<String, Value>) -> Kind {
    match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => Kind::Time,
        Some("date") => Kind::Date,
        // Numbers that were written as texts, so that no program rounds them.
        Some("singer.decimal" | "x-singer.decimal") => {
            let size = |name: &str| schema.get(name).and_then(Value::as_u64);
            let digits = size("precision").and_then(|digits| u8::try_from(digits).ok());
            let scale = size("scale").and_then(|scale| i8::try_from(scale).ok());
            match digits.zip(scale) {
                Some((digits, scale))
                    if (1..=38).contains(&digits) && scale.unsigned_abs() <= digits =>
                {
                    Kind::Number(Some((digits, scale)))
                }
                _ => Kind::Text,
            }
        }
        _ => Kind::Text,
    }
}

/// A number is a double, unless `multipleOf` says how many digits are behind its point.
fn number(schema: &Map<String, Value>) -> Kind {
    let Some(scale) = schema.get("multipleOf").and_then(scale_of) else {
        return Kind::Number(None);
    };
    let bounds = [
        ("minimum", "exclusiveMinimum"),
        ("maximum", "exclusiveMaximum"),
    ];
    let bounds = bounds.iter().filter_map(|(bound, excluded)| {
        let is_excluded = schema.get(*excluded).and_then(Value::as_bool) == Some(true);
        let own = schema.get(*bound);
        own.map(|bound| (bound, is_excluded))
            .or_else(|| Some((schema.get(*excluded)?, true)))
    });
    let digits = bounds.filter_map(|(bound, is_excluded)| digits_before_point(bound, is_excluded));
    let digits: Vec<usize> = digits.collect();
    // A bound of one side only says nothing of the other.
    let bounded = digits.iter().max().filter(|_| digits.len() > 1);
    let digits = match bounded {
        Some(most) => most.saturating_add(scale),
        None => MOST_DIGITS,
    };
    // Without bounds there must be room before the point.
    let is_narrow = digits.saturating_sub(scale) < LEAST_WHOLE && bounded.is_none();
    if scale > MOST_DIGITS || digits > MOST_DIGITS || is_narrow {
        // More digits than a decimal has: the text of the number.
        return Kind::Text;
    }
    let size = u8::try_from(digits.max(1))
        .ok()
        .zip(i8::try_from(scale).ok());
    size.map_or(Kind::Text, |size| Kind::Number(Some(size)))
}

/// The digits behind the point that a `multipleOf` leaves: 2 for `0.01`.
fn scale_of(multiple: &Value) -> Option<usize> {
    let (digits, exponent) = scientific(&multiple.as_number()?.to_string())?;
    let behind = exponent.checked_neg()?;
    (digits > 0).then_some(usize::try_from(behind.max(0)).ok()?)
}

/// The digits before the point of the numbers within a bound: 3 for `999`, and for `1000` if that is excluded.
fn digits_before_point(bound: &Value, is_excluded: bool) -> Option<usize> {
    let text = bound.as_number()?.to_string();
    let (digits, exponent) = scientific(&text)?;
    let length = i64::try_from(digits.to_string().len()).ok()?;
    let length = length.checked_add(exponent)?;
    let is_power = is_excluded && digits == 1;
    usize::try_from((length - i64::from(is_power)).max(0)).ok()
}

/// A number without its sign as digits that do not end in zero, and an exponent of ten.
fn scientific(text: &str) -> Option<(u128, i64)> {
    let text = text.trim_start_matches(['-', '+']).to_ascii_lowercase();
    let (number, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mut exponent: i64 = exponent.parse().ok()?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let all = format!("{whole}{fraction}");
    let kept = all.trim_end_matches('0');
    exponent = exponent.checked_add(i64::try_from(all.len() - kept.len()).ok()?)?;
    let digits = kept.trim_start_matches('0');
    if digits.is_empty() {
        return Some((0, 0));
    }
    Some((digits.parse().ok()?, exponent))
}

impl IntegerRange {
    fn of(schema: &Map<String, Value>) -> Self {
        let bound = |name: &str| schema.get(name)?.as_number()?.to_string().parse().ok();
        Self {
            least: bound("minimum"),
            greatest: bound("maximum"),
        }
    }

    /// A bigint, unless the schema allows more.
    fn data_type(&self) -> DataType {
        let (least, greatest) = (i128::from(i64::MIN), i128::from(i64::MAX));
        let is_within = self.least.is_none_or(|value| value >= least)
            && self.greatest.is_none_or(|value| value <= greatest);
        if is_within {
            return DataType::Int64;
        }
        let is_unsigned = self.least.is_some_and(|value| value >= 0)
            && self
                .greatest
                .is_some_and(|value| value <= i128::from(u64::MAX));
        match is_unsigned {
            true => DataType::UInt64,
            false => DataType::Decimal128(38, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use towpath_vocab::types;

    use super::*;

    fn word(property: &str) -> String {
        let text = format!(
            r##"{{"properties": {{"a": {property}}}, "definitions": {{"money": {{"type": ["null", "number"], "multipleOf": 0.01}}}}}}"##
        );
        let schema: Value = serde_json::from_str(&text).unwrap();
        match columns(&schema).unwrap().pop().unwrap().of {
            ColumnType::Time => "time".to_owned(),
            ColumnType::Is(data_type) => types::name(&data_type),
        }
    }

    #[test]
    fn types_hold_what_schemas_allow() {
        for (property, wanted) in [
            (r#"{"type": ["null", "integer"]}"#, "bigint"),
            (
                r#"{"type": "integer", "minimum": -2147483648, "maximum": 2147483647}"#,
                "bigint",
            ),
            (
                r#"{"type": "integer", "minimum": 0, "maximum": 18446744073709551615}"#,
                "ubigint",
            ),
            (
                r#"{"type": "integer", "maximum": 99999999999999999999}"#,
                "decimal(38,0)",
            ),
            (r#"{"type": ["number"]}"#, "double"),
            (
                r#"{"type": ["null", "number"], "multipleOf": 0.01}"#,
                "decimal(38,2)",
            ),
            (
                r#"{"type": ["null", "number"], "multipleOf": 1e-2, "minimum": -1000, "maximum": 1000, "exclusiveMinimum": true, "exclusiveMaximum": true}"#,
                "decimal(5,2)",
            ),
            (
                r#"{"type": "number", "multipleOf": 0.001, "minimum": -999.999, "maximum": 999.999}"#,
                "decimal(6,3)",
            ),
            (
                r#"{"type": "number", "multipleOf": 1, "minimum": 0, "maximum": 1000}"#,
                "decimal(4,0)",
            ),
            (
                r#"{"type": "number", "multipleOf": 1, "exclusiveMinimum": 0, "exclusiveMaximum": 1000}"#,
                "decimal(3,0)",
            ),
            (r#"{"type": "number", "multipleOf": 1}"#, "decimal(38,0)"),
            (
                r#"{"type": "number", "multipleOf": 0.5, "minimum": 0}"#,
                "decimal(38,1)",
            ),
            (
                r#"{"type": "number", "multipleOf": 1e-38, "minimum": -1e62, "maximum": 1e62}"#,
                "text",
            ),
            (r#"{"type": "number", "multipleOf": 1e-38}"#, "text"),
            (
                r#"{"type": "number", "multipleOf": 1.5e-9223372036854775808}"#,
                "double",
            ),
            (r#"{"type": ["null", "boolean"]}"#, "bool"),
            (r#"{"type": ["null", "string"]}"#, "text"),
            (r#"{"type": "string", "format": "date"}"#, "date"),
            (
                r#"{"type": ["null", "string"], "format": "date-time"}"#,
                "time",
            ),
            (r#"{"type": "string", "format": "time"}"#, "text"),
            (
                r#"{"type": "string", "format": "singer.decimal", "precision": 12, "scale": 4}"#,
                "decimal(12,4)",
            ),
            (r#"{"type": "string", "format": "singer.decimal"}"#, "text"),
            (
                r#"{"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}"#,
                "time",
            ),
            (
                r#"{"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string"}]}"#,
                "text",
            ),
            (r#"{"type": ["integer", "number", "null"]}"#, "double"),
            (r#"{"type": ["integer", "string"]}"#, "text"),
            (r#"{"type": "object", "properties": {"b": {}}}"#, "text"),
            (
                r#"{"type": ["null", "array"], "items": {"type": "integer"}}"#,
                "text",
            ),
            (r##"{"$ref": "#/definitions/money"}"##, "decimal(38,2)"),
            (r#"{"$ref": "elsewhere.json"}"#, "text"),
            (r##"{"$ref": "#/properties/a"}"##, "text"),
            ("{}", "text"),
            ("true", "text"),
        ] {
            assert_eq!(word(property), wanted, "{property}");
        }
    }

    #[test]
    fn a_schema_without_properties_names_no_columns() {
        let schema = serde_json::json!({"type": "object", "additionalProperties": true});
        assert!(columns(&schema).unwrap_err().contains("properties"));
    }
}
