//! Parses the text of limits and lists of values as the type of a column.
//!
//! Promise: what is accepted here, the run can parse too. Types that cannot be checked are accepted. It
//! knows no positions. Read next: `rules.rs`.

use std::cmp::Ordering;

use arrow_schema::DataType;

/// A value that can be compared with others of its type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Integer(i128),
    Number(f64),
    Text(String),
    /// A value that is not checked here.
    Opaque,
}

/// A text that does not parse as a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// Parses a text as a type.
pub(crate) fn read(text: &str, data_type: &DataType) -> Result<Literal, Unreadable> {
    let text = text.trim();
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => number(text),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => number(text),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => number(text),
        DataType::Decimal128(..) | DataType::Decimal256(..) => number(text),
        DataType::Boolean => match text {
            "true" | "false" => Ok(Literal::Text(text.to_owned())),
            _ => Err(Unreadable),
        },
        DataType::Date32 | DataType::Date64 => {
            let date: jiff::civil::Date = text.parse().map_err(|_| Unreadable)?;
            Ok(Literal::Text(date.to_string()))
        }
        DataType::Timestamp(_, None) => moment(text),
        DataType::Timestamp(_, Some(_)) => match text.parse::<jiff::Timestamp>() {
            Ok(instant) => Ok(Literal::Integer(instant.as_nanosecond())),
            Err(_) => moment(text),
        },
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Ok(Literal::Text(text.to_owned()))
        }
        _ => Ok(Literal::Opaque),
    }
}

/// Parses integers exactly, and other numbers with the precision of `f64`.
fn number(text: &str) -> Result<Literal, Unreadable> {
    if let Ok(integer) = text.parse::<i128>() {
        return Ok(Literal::Integer(integer));
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Literal::Number(number)),
        _ => Err(Unreadable),
    }
}

fn moment(text: &str) -> Result<Literal, Unreadable> {
    let text = text.trim_end_matches('Z');
    let moment: jiff::civil::DateTime = text
        .parse()
        .or_else(|_| {
            text.parse::<jiff::civil::Date>()
                .map(|date| date.at(0, 0, 0, 0))
        })
        .map_err(|_| Unreadable)?;
    Ok(Literal::Text(moment.to_string()))
}

/// The order of two values, if both can be compared.
pub(crate) fn compare(a: &Literal, b: &Literal) -> Option<Ordering> {
    match (a, b) {
        (Literal::Integer(a), Literal::Integer(b)) => Some(a.cmp(b)),
        (Literal::Text(a), Literal::Text(b)) => Some(a.cmp(b)),
        (Literal::Number(_) | Literal::Integer(_), Literal::Number(_) | Literal::Integer(_)) => {
            float(a)?.partial_cmp(&float(b)?)
        }
        _ => None,
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "only the order of a fraction and an integer is asked"
)]
fn float(literal: &Literal) -> Option<f64> {
    match literal {
        Literal::Integer(integer) => Some(*integer as f64),
        Literal::Number(number) => Some(*number),
        _ => None,
    }
}

/// The order of two texts of unknown type: as numbers if both are numbers, otherwise `None`.
pub(crate) fn compare_untyped(a: &str, b: &str) -> Option<Ordering> {
    compare(&number(a.trim()).ok()?, &number(b.trim()).ok()?)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::disallowed_methods,
        reason = "tests"
    )]
    use super::*;

    #[test]
    fn texts_read_as_types() {
        assert_eq!(read("200", &DataType::Int64), Ok(Literal::Integer(200)));
        assert_eq!(read("abc", &DataType::Int64), Err(Unreadable));
        assert_eq!(read("2013-02-30", &DataType::Date32), Err(Unreadable));
        assert!(read("2013-02-28", &towpath_vocab::types::instant()).is_ok());
        assert_eq!(read("yes", &DataType::Boolean), Err(Unreadable));
    }

    #[test]
    fn order() {
        let n = |text| read(text, &DataType::Float64).unwrap();
        assert_eq!(compare(&n("1.5"), &n("2")), Some(Ordering::Less));
        assert_eq!(compare_untyped("10", "9"), Some(Ordering::Greater));
        assert_eq!(compare_untyped("b", "a"), None);
    }
}
