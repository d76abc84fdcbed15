//! Columns of PostgreSQL, whose driver is fast and says some values wrongly.
//!
//! Promise: only types whose values the driver gives exactly come from it in binary. It flattens arrays of several
//! dimensions, gives `oid` with a sign and `money` without its point, and most other types as PostgreSQL's own bytes:
//! these come as `CAST(… AS text)`. Infinite and very late moments come as moments long ago: `batches.rs` rejects such
//! values. Seen with version 1.13 of the driver.

use arrow_schema::DataType;
use towpath_vocab::types::{BLANKS, BLANKS_CUT, SOURCE_TYPE};

use crate::adbc::types::{Asked, Raw};
use crate::adbc::vendor::Vendor;

/// Metadata of the driver: the type, and its modifier.
const TYPE: &str = "POSTGRESQL:type";
const MODIFIER: &str = "POSTGRESQL:typmod";

/// How a column is asked for.
pub(super) fn ask(raw: &Raw) -> Asked {
    let vendor = Vendor::Postgres;
    let plain = || Asked::plain(vendor, raw);
    let as_text = || Asked::selecting(vendor, raw, |column| format!("CAST({column} AS text)"));
    let name = raw.field.metadata().get(TYPE).map(String::as_str);
    match name.unwrap_or_default() {
        "bool" | "int2" | "int4" | "int8" | "float4" | "float8" | "text" | "varchar" | "name"
        | "bytea" | "date" | "timestamp" | "timestamptz" => plain(),
        own @ ("time" | "uuid" | "json" | "jsonb") => plain().metadata(SOURCE_TYPE, own),
        "numeric" => numeric(raw),
        // The cast takes away the blanks that fill a value up.
        "bpchar" => as_text().metadata(BLANKS, BLANKS_CUT),
        "oid" => Asked::selecting(vendor, raw, |column| format!("CAST({column} AS bigint)")),
        "money" => Asked::selecting(vendor, raw, |column| {
            format!("CAST(CAST({column} AS numeric) AS text)")
        })
        .metadata(SOURCE_TYPE, "money")
        .note(format!(
            "`{}` (money) is read as exact decimal text",
            raw.name
        )),
        own @ ("timetz" | "interval" | "inet" | "cidr" | "macaddr" | "macaddr8" | "xml") => {
            as_text().metadata(SOURCE_TYPE, own)
        }
        array if array.starts_with('_') => as_text().note(format!(
            "`{}` (an array of {}) is read as text: the driver says nothing of dimensions",
            raw.name,
            array.trim_start_matches('_')
        )),
        _ => as_text().note(format!(
            "`{}` has no Arrow type and is read as text",
            raw.name
        )),
    }
}

/// The driver gives numbers as their exact text.
fn numeric(raw: &Raw) -> Asked {
    let modifier = raw.field.metadata().get(MODIFIER);
    let modifier = modifier.and_then(|text| text.parse().ok()).unwrap_or(-1);
    if let Some(decimal) = decimal(modifier) {
        return Asked {
            wanted: Some(decimal),
            ..Asked::plain(Vendor::Postgres, raw)
        };
    }
    // PostgreSQL's own words for NaN and infinity.
    Asked::selecting(Vendor::Postgres, raw, |column| {
        format!("CAST({column} AS text)")
    })
    .metadata(SOURCE_TYPE, "numeric")
    .note(format!(
        "`{}` (numeric) has no fixed scale of at most 38 digits and is read as exact text",
        raw.name
    ))
}

/// The type of `numeric(P,S)`, if Arrow has it.
fn decimal(modifier: i32) -> Option<DataType> {
    let bits = modifier.checked_sub(4).filter(|bits| *bits >= 0)?;
    let (precision, scale) = ((bits >> 16) & 0xFFFF, ((bits & 0x7FF) ^ 1024) - 1024);
    // numeric(3,5) holds 0.00ddd, numeric(2,-3) holds dd000: Arrow wants 0 <= scale <= precision.
    let digits = u8::try_from(precision.max(scale) - scale.min(0)).ok();
    let digits = digits.filter(|digits| (1..=38).contains(digits))?;
    Some(DataType::Decimal128(
        digits,
        i8::try_from(scale.max(0)).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use arrow_schema::Field;

    use super::*;

    fn asked(name: &str, modifier: &str) -> Asked {
        let metadata = [
            (TYPE.to_owned(), name.to_owned()),
            (MODIFIER.to_owned(), modifier.to_owned()),
        ];
        ask(&Raw {
            name: "c".to_owned(),
            field: Field::new("c", DataType::Binary, true).with_metadata(metadata.into()),
            declared: None,
        })
    }

    #[test]
    fn a_type_that_the_driver_says_wrongly_is_asked_for_as_text() {
        assert_eq!(asked("int8", "-1").selected, "\"c\"");
        for own in ["_int4", "point", "unnamed<oid:16385>", "bpchar", "timetz"] {
            assert_eq!(asked(own, "-1").selected, "CAST(\"c\" AS text)", "{own}");
        }
        assert_eq!(asked("oid", "-1").selected, "CAST(\"c\" AS bigint)");
        // A driver that does not say the type.
        assert_eq!(asked("", "-1").selected, "CAST(\"c\" AS text)");
    }

    #[test]
    fn numbers_of_a_fixed_scale_are_decimals() {
        let wanted = asked("numeric", "655366").wanted;
        assert_eq!(wanted, Some(DataType::Decimal128(10, 2)));
        assert_eq!(asked("numeric", "-1").wanted, None);
        assert_eq!(decimal(4 + (3 << 16) + 5), Some(DataType::Decimal128(5, 5)));
        assert_eq!(decimal(4 + (39 << 16)), None);
    }
}
