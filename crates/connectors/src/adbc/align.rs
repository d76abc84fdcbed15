//! DuckDB's type table for writing: which types of columns hold which values exactly (`stage.rs` has the types of new
//! ones).
//!
//! Promise: pure; a value is only stored where DuckDB keeps it as it is. Numbers get a wider type of their kind where
//! `schema_change: evolve` allows it. What it comes to is in `relational/align.rs`.

use arrow_schema::{DataType, Field};
use async_trait::async_trait;
use towpath_ports::WriteRequest;

use super::error::{AdbcError, Result};
use super::sql::DuckDialect;
use super::stage::stored;
use super::target::{Present, PresentColumn, Target};
use super::vendor::Vendor;
use crate::relational::align::{
    self, Alignment, Fit, NewColumn, PresentColumn as _, Request, TableTypes,
};
use crate::relational::fault::Fault;
use crate::relational::modes::{is_keyed, mode_word};

/// Integers of each sign, the narrowest first.
const SIGNED: [&str; 5] = ["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"];
const UNSIGNED: [&str; 4] = ["UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"];

/// How values of one type of DuckDB fit a column of another.
fn fit(stored: &str, present: &str) -> Fit {
    if stored == present {
        return Fit::Plain;
    }
    let no = || Fit::No(stored.to_owned());
    for kind in [SIGNED.as_slice(), UNSIGNED.as_slice()] {
        let place = |word: &str| kind.iter().position(|other| *other == word);
        if let (Some(own), Some(room)) = (place(stored), place(present)) {
            return match own <= room {
                true => Fit::Plain,
                false => Fit::Widen(stored.to_owned()),
            };
        }
    }
    // The next larger integer with a sign holds every unsigned one.
    if let (Some(own), Some(room)) = (
        UNSIGNED.iter().position(|word| *word == stored),
        SIGNED.iter().position(|word| *word == present),
    ) {
        return match own < room {
            true => Fit::Plain,
            false => no(),
        };
    }
    match (stored, present) {
        ("FLOAT", "DOUBLE") => return Fit::Plain,
        ("DOUBLE", "FLOAT") => return Fit::Widen("DOUBLE".to_owned()),
        _ => {}
    }
    let (Some((precision, scale)), Some((room, places))) = (digits(stored), digits(present)) else {
        return no();
    };
    let (whole, fraction) = ((precision - scale).max(room - places), scale.max(places));
    match whole + fraction {
        both if (both, fraction) == (room, places) => Fit::Plain,
        both if both <= 38 => Fit::Widen(format!("DECIMAL({both},{fraction})")),
        _ => no(),
    }
}

/// Precision and scale of `DECIMAL(P,S)`.
fn digits(word: &str) -> Option<(i16, i16)> {
    let inside = word.strip_prefix("DECIMAL(")?.strip_suffix(')')?;
    let (precision, scale) = inside.split_once(',')?;
    Some((precision.trim().parse().ok()?, scale.trim().parse().ok()?))
}

impl align::PresentColumn for PresentColumn {
    fn name(&self) -> &str {
        &self.name
    }

    fn type_name(&self) -> &str {
        &self.data_type
    }
}

/// DuckDB's types.
struct DuckTypes;

#[async_trait]
impl TableTypes for DuckTypes {
    type Error = AdbcError;
    type Present = PresentColumn;

    fn same(&self, one: &str, other: &str) -> bool {
        Vendor::DuckDb.same(one, other)
    }

    fn fit(&self, field: &Field, present: &PresentColumn) -> Result<Fit> {
        let (own, _) = stored(field)?;
        Ok(match (field.data_type(), fit(&own, present.type_name())) {
            // Nothing but NULL fits anything.
            (DataType::Null, _) => Fit::Cast(present.data_type.clone()),
            (_, fit) => fit,
        })
    }

    async fn new_column(&self, field: &Field) -> Result<NewColumn> {
        Ok(NewColumn {
            data_type: stored(field)?.0,
            cast: false,
        })
    }

    fn changed(&self, _: &str, _: &str) -> Option<String> {
        None
    }

    fn widen(&self, table: &str, column: &str, _: &PresentColumn, wider: &str) -> String {
        format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE {wider}")
    }
}

/// Decides for a table that may or may not exist. `primary` becomes the primary key of a new one.
pub(super) async fn align(
    target: &Target,
    present: Option<&Present>,
    intent: &WriteRequest,
    primary: &[String],
) -> Result<Alignment> {
    let (table, shown) = (target.sql(), target.shown());
    if present.is_some_and(|present| present.is_view) {
        let change = "it is a view".to_owned();
        return Err(Fault::Changed {
            table: shown,
            change,
        }
        .into());
    }
    let mode = intent.write.mode;
    let has_collation =
        |present: &Present| present.definition.to_ascii_uppercase().contains("COLLATE");
    if is_keyed(mode) && present.is_some_and(has_collation) {
        return Err(AdbcError::Collation {
            table: shown,
            mode: mode_word(mode),
        });
    }
    let request = Request {
        dialect: &DuckDialect,
        table: &table,
        shown: &shown,
        schema: &intent.schema,
        change: intent.write.schema_change,
        primary,
    };
    let columns = present.map(|present| present.columns.as_slice());
    align::align(&DuckTypes, &request, columns).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_goes_only_where_it_stays_what_it_is() {
        let widen = |wider: &str| Fit::Widen(wider.to_owned());
        let no = |own: &str| Fit::No(own.to_owned());
        for (stored, present, expected) in [
            ("INTEGER", "BIGINT", Fit::Plain),
            ("BIGINT", "INTEGER", widen("BIGINT")),
            ("UINTEGER", "BIGINT", Fit::Plain),
            ("UINTEGER", "INTEGER", no("UINTEGER")),
            ("UBIGINT", "HUGEINT", Fit::Plain),
            ("BIGINT", "UBIGINT", no("BIGINT")),
            ("FLOAT", "DOUBLE", Fit::Plain),
            ("DOUBLE", "FLOAT", widen("DOUBLE")),
            ("DECIMAL(10,2)", "DECIMAL(12,2)", Fit::Plain),
            ("DECIMAL(10,4)", "DECIMAL(12,2)", widen("DECIMAL(14,4)")),
            ("DECIMAL(38,0)", "DECIMAL(38,10)", no("DECIMAL(38,0)")),
            ("VARCHAR", "INTEGER", no("VARCHAR")),
            ("BIGINT", "DOUBLE", no("BIGINT")),
            ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", no("TIMESTAMP")),
        ] {
            assert_eq!(fit(stored, present), expected, "{stored} into {present}");
        }
    }
}
