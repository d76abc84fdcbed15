//! Columns of DuckDB, whose driver gives nearly all types as they are.
//!
//! Promise: types that come with another value than they have are read as text of DuckDB: unsigned integers of 128
//! bits (their highest bit becomes a sign), times with an offset (which gets lost), bit strings (DuckDB's own bytes),
//! unions and intervals. A HUGEINT of more than 38 digits is rejected by `batches.rs`. Seen with DuckDB 1.5.

use towpath_vocab::types::SOURCE_TYPE;

use crate::adbc::error::Result;
use crate::adbc::session::Work;
use crate::adbc::types::{Asked, Raw};
use crate::adbc::vendor::Vendor;

/// Words in the name of a type, or of a part of it, that is read as text.
const AS_TEXT: [&str; 8] = [
    "UHUGEINT", "TIMETZ", "BIT", "UNION", "INTERVAL", "BIGNUM", "VARINT", "VARIANT",
];

/// The columns' types in DuckDB's words.
pub(super) fn declared(work: &mut Work<'_>, from: &str) -> Result<Vec<(String, String)>> {
    let sql = format!("DESCRIBE SELECT * FROM {from}");
    let rows = work.rows(&sql, "looking at the columns")?;
    let pair = |row: Vec<Option<String>>| {
        let mut texts = row.into_iter();
        Some((texts.next()??, texts.next()??))
    };
    Ok(rows.into_iter().filter_map(pair).collect())
}

/// How a column is asked for.
pub(super) fn ask(raw: &Raw) -> Asked {
    let vendor = Vendor::DuckDb;
    let Some(declared) = &raw.declared else {
        return as_text(raw, "its type is not known");
    };
    if is_text(declared) {
        let asked = as_text(raw, declared);
        return match declared.as_str() {
            "INTERVAL" => asked.metadata(SOURCE_TYPE, "interval"),
            "TIME WITH TIME ZONE" => asked.metadata(SOURCE_TYPE, "timetz"),
            _ => asked,
        };
    }
    let asked = Asked::plain(vendor, raw);
    match declared.as_str() {
        "UUID" => asked.metadata(SOURCE_TYPE, "uuid"),
        "JSON" => asked.metadata(SOURCE_TYPE, "json"),
        "TIME" => asked.metadata(SOURCE_TYPE, "time"),
        _ => asked,
    }
}

fn as_text(raw: &Raw, why: &str) -> Asked {
    let cast = |column: &str| format!("CAST({column} AS VARCHAR)");
    let note = format!("`{}` ({why}) is read as text", raw.name);
    Asked::selecting(Vendor::DuckDb, raw, cast).note(note)
}

fn is_text(declared: &str) -> bool {
    let declared = declared.to_ascii_uppercase();
    let declared = declared.replace("TIME WITH TIME ZONE", "TIMETZ");
    let mut words = declared.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.any(|word| AS_TEXT.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_lose_something_are_found_in_others() {
        for own in [
            "UHUGEINT",
            "TIME WITH TIME ZONE",
            "BIT[]",
            "STRUCT(a INTERVAL)",
        ] {
            assert!(is_text(own), "{own}");
        }
        for own in [
            "HUGEINT",
            "TIMESTAMP WITH TIME ZONE",
            "BIGINT[]",
            "DECIMAL(18,3)",
        ] {
            assert!(!is_text(own), "{own}");
        }
    }
}
