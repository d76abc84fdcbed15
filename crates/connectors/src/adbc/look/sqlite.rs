//! Columns of SQLite, where each value has a type of its own, and whose driver takes a column's from its first rows.
//!
//! Promise: all values of a column are looked at first. Whole numbers beside fractions are read as doubles only if each
//! is one; other mixtures are read as text; one with blobs is refused. A first row that is no row of the table tells
//! the driver the type, because it guesses from the first values, and makes 9007199254740993 beside 1.5 another number.

use arrow_schema::DataType;

use crate::adbc::error::{AdbcError, Result};
use crate::adbc::session::Work;
use crate::adbc::types::{Asked, Raw};
use crate::adbc::vendor::Vendor;

/// Columns that one statement looks at: SQLite gives at most 2,000.
const AT_ONCE: usize = 100;

/// The declared types of a table's columns.
pub(super) fn declared(work: &mut Work<'_>, table: &str) -> Result<Vec<(String, String)>> {
    let Some(table) = Vendor::Sqlite.text(table) else {
        return Ok(Vec::new());
    };
    let sql = format!("SELECT name, type FROM pragma_table_xinfo({table}) WHERE hidden <> 1");
    let rows = work.rows(&sql, "looking at the columns")?;
    let pair = |row: Vec<Option<String>>| {
        let mut texts = row.into_iter();
        Some((texts.next()??, texts.next()??))
    };
    Ok(rows.into_iter().filter_map(pair).collect())
}

/// Which kinds of values a column has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Kinds {
    integers: bool,
    /// Whole numbers that are not each a double.
    large: bool,
    reals: bool,
    texts: bool,
    blobs: bool,
}

/// How these columns are asked for.
pub(super) fn ask(
    work: &mut Work<'_>,
    (object, from): (&str, &str),
    raws: &[&Raw],
) -> Result<Vec<Asked>> {
    let mut asked = Vec::with_capacity(raws.len());
    for some in raws.chunks(AT_ONCE) {
        let questions: Vec<String> = some.iter().map(|raw| question(&raw.name)).collect();
        let sql = format!("SELECT {} FROM {from}", questions.join(", "));
        let doing = format!("looking at the values of `{object}`");
        let rows = work.rows(&sql, &doing)?;
        let flags: Vec<bool> = rows
            .into_iter()
            .flatten()
            .map(|flag| flag.as_deref() == Some("1"))
            .collect();
        for (raw, flags) in some.iter().zip(flags.chunks(5)) {
            let [integers, large, reals, texts, blobs] = flags else {
                continue;
            };
            let kinds = Kinds {
                integers: *integers,
                large: *large,
                reals: *reals,
                texts: *texts,
                blobs: *blobs,
            };
            asked.push(of_kinds(raw, kinds, object)?);
        }
    }
    match asked.len() == raws.len() {
        true => Ok(asked),
        false => Err(AdbcError::Misused {
            reason: "lost a column of SQLite",
        }),
    }
}

fn question(name: &str) -> String {
    let c = Vendor::Sqlite.quoted(name);
    let is = |word: &str| format!("max(typeof({c}) = '{word}')");
    format!(
        "{}, max(typeof({c}) = 'integer' AND {c} NOT BETWEEN -9007199254740992 AND 9007199254740992), {}, {}, {}",
        is("integer"),
        is("real"),
        is("text"),
        is("blob")
    )
}

fn of_kinds(raw: &Raw, kinds: Kinds, object: &str) -> Result<Asked> {
    let plain = Asked::plain(Vendor::Sqlite, raw);
    let read = |sample, wanted| Asked {
        sample: Some(sample),
        wanted,
        ..plain.clone()
    };
    let words = "CASE typeof({}) WHEN 'real' THEN printf('%!.17g', {}) ELSE CAST({} AS TEXT) END";
    Ok(match kinds {
        Kinds {
            integers: false,
            reals: false,
            texts: false,
            blobs: false,
            ..
        } => empty(raw, &plain),
        Kinds {
            blobs: true,
            integers: false,
            reals: false,
            texts: false,
            ..
        } => read("x''", None),
        Kinds { blobs: true, .. } => {
            return Err(AdbcError::NoType {
                object: object.to_owned(),
                column: raw.name.clone(),
                reason: "it holds blobs beside other values".to_owned(),
            });
        }
        Kinds {
            texts: false,
            reals: false,
            ..
        } => read("0", None),
        Kinds {
            texts: false,
            large: false,
            ..
        } => Asked {
            selected: format!("CAST({} AS REAL)", plain.selected),
            ..read("0.0", None)
        },
        Kinds {
            texts: true,
            integers: false,
            reals: false,
            ..
        } => read("''", None),
        _ => Asked {
            selected: words.replace("{}", &plain.selected),
            ..read("''", None)
        }
        .note(format!(
            "`{}` holds values of several types and is read as text",
            raw.name
        )),
    })
}

/// Nothing but NULL: the declared type says what would be there.
fn empty(raw: &Raw, plain: &Asked) -> Asked {
    let declared = raw.declared.as_deref().unwrap_or_default();
    let declared = declared.to_ascii_uppercase();
    let has = |part: &str| declared.contains(part);
    let (sample, wanted) = match () {
        () if has("INT") => ("0", DataType::Int64),
        () if has("REAL") || has("FLOA") || has("DOUB") => ("0.0", DataType::Float64),
        () if has("BLOB") => ("x''", DataType::Binary),
        () => ("''", DataType::Utf8),
    };
    Asked {
        sample: Some(sample),
        wanted: Some(wanted),
        ..plain.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use arrow_schema::Field;

    use super::*;

    fn raw(declared: &str) -> Raw {
        Raw {
            name: "c".to_owned(),
            field: Field::new("c", DataType::Int64, true),
            declared: Some(declared.to_owned()),
        }
    }

    #[test]
    fn mixtures_are_doubles_only_if_each_number_is_one() {
        let numbers = Kinds {
            integers: true,
            reals: true,
            ..Kinds::default()
        };
        let of = |kinds| of_kinds(&raw(""), kinds, "t");
        assert_eq!(of(numbers).unwrap().selected, "CAST(\"c\" AS REAL)");
        let large = Kinds {
            large: true,
            ..numbers
        };
        assert!(of(large).unwrap().selected.starts_with("CASE typeof"));
        let mixed = Kinds {
            blobs: true,
            ..numbers
        };
        assert!(of(mixed).is_err());
        let whole = Kinds {
            integers: true,
            large: true,
            ..Kinds::default()
        };
        assert_eq!(of(whole).unwrap().sample, Some("0"));
    }

    #[test]
    fn a_column_without_values_has_its_declared_type() {
        let of = |declared| {
            let asked = of_kinds(&raw(declared), Kinds::default(), "t");
            asked.unwrap().wanted.unwrap()
        };
        assert_eq!(of("BIGINT"), DataType::Int64);
        assert_eq!(of("double"), DataType::Float64);
        assert_eq!(of("VARCHAR(10)"), DataType::Utf8);
    }
}
