//! Fits the rows' columns to the table's: create it, evolve it, or refuse by name.
//!
//! Promise: a value is only ever stored in a type that holds it exactly; text that stands for another
//! type (`towpath.type`) is cast back to it; widening and new columns need `schema_change: evolve`.
//! It writes no rows; it gives SQL for `apply.rs`.

use arrow_schema::{Field, SchemaRef};
use tokio_postgres::Client;
use towpath_vocab::SchemaChange;
use towpath_vocab::types::SOURCE_TYPE;

use super::catalog::{CatalogRelation, RawColumn, table_columns};
use super::error::{Doing as _, PgError, Result};
use super::names::{Relation, quoted};
use super::types::{short, stored_as};

/// The longest name PostgreSQL keeps, in bytes.
pub(super) const LONGEST_NAME: usize = 63;
/// Types that text may be cast to, each value after `changed` found nothing lost in it.
const READ_FROM_TEXT: &[&str] = &[
    "uuid",
    "json",
    "jsonb",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "interval",
    "numeric",
    "xml",
    "date",
    "time without time zone",
    "time with time zone",
    "tsvector",
    "ltree",
    "bit varying",
    "name",
];

/// One column of the rows and where it goes.
#[derive(Clone, Debug)]
pub(super) struct Aligned {
    /// Its name in the rows.
    pub(super) incoming: String,
    /// Its quoted name in the table.
    pub(super) target: String,
    /// Its value, from the stage as `s`.
    pub(super) value: String,
    /// SQL that is true for rows of `s` whose value would not stay what it is, and the type it
    /// would become.
    pub(super) changed: Option<(String, String)>,
}

/// What is to be done to the table before rows come, and how they come.
#[derive(Clone, Debug, Default)]
pub(super) struct Alignment {
    /// SQL that creates or evolves the table.
    pub(super) statements: Vec<String>,
    /// The columns that are written.
    pub(super) columns: Vec<Aligned>,
    /// True when the table is new.
    pub(super) created: bool,
    /// True when rows of the table stand in its partitions.
    pub(super) partitioned: bool,
}

/// What fits how.
#[derive(Debug, PartialEq, Eq)]
enum Fit {
    Plain,
    Cast,
    Widen(String),
    No,
}

/// The types the stage has, in the order of the schema.
pub(super) fn stage_types(schema: &SchemaRef) -> Result<Vec<String>> {
    schema
        .fields()
        .iter()
        .map(|field| {
            if field.name().len() > LONGEST_NAME {
                return Err(PgError::Value {
                    column: field.name().clone(),
                    reason: "PostgreSQL keeps 63 bytes of a name, this one is longer",
                    row: None,
                });
            }
            stored_as(field.data_type()).ok_or_else(|| PgError::NoType {
                column: field.name().clone(),
                data_type: field.data_type().to_string(),
            })
        })
        .collect()
}

/// Decides for a table that may or may not be there. `primary` makes the key a primary key of a new table.
pub(super) async fn align(
    client: &Client,
    relation: &Relation,
    found: Option<&CatalogRelation>,
    schema: &SchemaRef,
    change: SchemaChange,
    primary: &[String],
) -> Result<Alignment> {
    let stage = stage_types(schema)?;
    match found {
        None => create(client, relation, schema, &stage, primary).await,
        Some(found) => {
            let present = table_columns(client, found.oid).await?;
            let mut alignment = evolve(client, relation, schema, &stage, &present, change).await?;
            alignment.partitioned = found.kind != "r";
            Ok(alignment)
        }
    }
}

async fn create(
    client: &Client,
    relation: &Relation,
    schema: &SchemaRef,
    stage: &[String],
    primary: &[String],
) -> Result<Alignment> {
    let mut alignment = Alignment {
        created: true,
        ..Alignment::default()
    };
    let mut lines = Vec::new();
    for (index, (field, stored)) in schema.fields().iter().zip(stage).enumerate() {
        let (target, cast) = own_type(client, field, stored).await?;
        lines.push(format!("{} {target}", quoted(field.name())));
        alignment.columns.push(aligned(
            field,
            index,
            quoted(field.name()),
            cast.then_some(target.as_str()),
        ));
    }
    if !primary.is_empty() {
        let names: Vec<String> = primary.iter().map(|name| quoted(name)).collect();
        lines.push(format!("PRIMARY KEY ({})", names.join(", ")));
    }
    alignment.statements.push(format!(
        "CREATE TABLE {} ({})",
        relation.sql(),
        lines.join(", ")
    ));
    Ok(alignment)
}

async fn evolve(
    client: &Client,
    relation: &Relation,
    schema: &SchemaRef,
    stage: &[String],
    present: &[RawColumn],
    change: SchemaChange,
) -> Result<Alignment> {
    let mut alignment = Alignment::default();
    let alter = format!("ALTER TABLE {}", relation.sql());
    let changed = |what: String| PgError::Changed {
        table: relation.to_string(),
        change: what,
    };
    for (index, (field, stored)) in schema.fields().iter().zip(stage).enumerate() {
        let Some(column) = present.iter().find(|column| column.name == *field.name()) else {
            match change {
                SchemaChange::Ignore => continue,
                SchemaChange::Fail => return Err(changed(format!("`{}` is new", field.name()))),
                SchemaChange::Evolve => {}
            }
            let (target, cast) = own_type(client, field, stored).await?;
            alignment.statements.push(format!(
                "{alter} ADD COLUMN {} {target}",
                quoted(field.name())
            ));
            alignment.columns.push(aligned(
                field,
                index,
                quoted(field.name()),
                cast.then_some(target.as_str()),
            ));
            continue;
        };
        let present_type = &column.described.full_name;
        let cast = match fit(stored, field.metadata().get(SOURCE_TYPE), column) {
            // Blanks behind the last letter that has room are cut without a word.
            Fit::Plain if stored == "text" && present_type.starts_with("character varying(") => {
                Some(present_type.as_str())
            }
            Fit::Plain => None,
            Fit::Cast => Some(present_type.as_str()),
            Fit::Widen(wider) if change == SchemaChange::Evolve => {
                alignment.statements.push(format!(
                    "{alter} ALTER COLUMN {} TYPE {wider}",
                    quoted(&column.name)
                ));
                None
            }
            Fit::Widen(wider) if change == SchemaChange::Fail => {
                return Err(changed(format!(
                    "`{}` is `{present_type}` and would become `{wider}`",
                    column.name
                )));
            }
            Fit::Widen(_) | Fit::No => {
                return Err(PgError::Incompatible {
                    table: relation.to_string(),
                    column: column.name.clone(),
                    present: present_type.clone(),
                    incoming: field.metadata().get(SOURCE_TYPE).unwrap_or(stored).clone(),
                });
            }
        };
        alignment
            .columns
            .push(aligned(field, index, quoted(&column.name), cast));
    }
    Ok(alignment)
}

fn aligned(field: &Field, index: usize, target: String, cast: Option<&str>) -> Aligned {
    let value = cast.map_or_else(
        || format!("s.c{index}"),
        |cast| format!("s.c{index}::{cast}"),
    );
    let changed =
        cast.and_then(|cast| Some((changed(&format!("s.c{index}"), cast)?, cast.to_owned())));
    Aligned {
        incoming: field.name().clone(),
        target,
        value,
        changed,
    }
}

/// SQL that is true when text would not stay what it is by becoming a type; `None` when it always
/// does. The rule is that the type prints what was read; exceptions print one value in many ways.
fn changed(text: &str, cast: &str) -> Option<String> {
    let base = cast.split('(').next().unwrap_or(cast);
    Some(match base {
        "uuid" | "json" | "inet" | "cidr" | "macaddr" | "macaddr8" => return None,
        // More digits behind the point than a numeric can have would be rounded.
        "numeric" if cast == "numeric" => format!("{text} ~* 'e-[0-9]{{4}}'"),
        "numeric" => format!("{text}::{cast} IS DISTINCT FROM {text}::numeric"),
        "money" => format!("{text}::money::numeric IS DISTINCT FROM {text}::numeric"),
        "money[]" => format!("{text}::money[]::numeric[] IS DISTINCT FROM {text}::numeric[]"),
        // Of a name that is twice in an object, jsonb keeps the last value.
        "jsonb" => format!(
            "{text}::jsonb::text IS DISTINCT FROM {text} AND EXISTS (WITH RECURSIVE part(v) AS (SELECT {text}::json \
             UNION ALL SELECT n.v FROM part p CROSS JOIN LATERAL (\
             SELECT e.value AS v FROM json_each(CASE json_typeof(p.v) WHEN 'object' THEN p.v ELSE '{{}}' END) e \
             UNION ALL SELECT a.value FROM json_array_elements(CASE json_typeof(p.v) WHEN 'array' THEN p.v ELSE '[]' END) a) n) \
             SELECT FROM part q WHERE json_typeof(q.v) = 'object' \
             AND (SELECT count(*) <> count(DISTINCT k) FROM json_object_keys(q.v) k))"
        ),
        _ if cast.ends_with("[]") => format!("{text}::{cast}::text[] IS DISTINCT FROM {text}"),
        _ => format!("{text}::{cast}::text IS DISTINCT FROM {text}"),
    })
}

/// The type a new column gets, and whether values are cast to it: the one its text stands for, when
/// this server knows it.
async fn own_type(client: &Client, field: &Field, stored: &str) -> Result<(String, bool)> {
    let plain = (stored.to_owned(), false);
    let Some(wanted) = field
        .metadata()
        .get(SOURCE_TYPE)
        .filter(|_| matches!(stored, "text" | "text[]"))
    else {
        return Ok(plain);
    };
    let doing = "checking a type";
    let odd = |c: char| !(c.is_alphanumeric() || " _.,()[]\"".contains(c));
    if wanted.is_empty() || wanted.contains(odd) {
        return Ok(plain);
    }
    // Text that is no type at all is an error there, which must not end the transaction.
    client
        .batch_execute("SAVEPOINT towpath_type")
        .await
        .doing(doing)?;
    let known = client
        .query_one("SELECT to_regtype($1) IS NOT NULL", &[wanted])
        .await;
    client
        .batch_execute("ROLLBACK TO SAVEPOINT towpath_type; RELEASE SAVEPOINT towpath_type")
        .await
        .doing(doing)?;
    match known {
        Ok(row) if row.get(0) => Ok((wanted.clone(), true)),
        Ok(_) => Ok(plain),
        Err(error) if error.as_db_error().is_some() => Ok(plain),
        Err(error) => Err(PgError::from_driver(&error, doing)),
    }
}

fn fit(stored: &str, stands_for: Option<&String>, column: &RawColumn) -> Fit {
    let present = column.described.full_name.as_str();
    if stored == present {
        return Fit::Plain;
    }
    if stored.starts_with("text")
        && stands_for.is_some_and(|wanted| wanted == present || *wanted == short(present))
    {
        return Fit::Cast;
    }
    if stored == "text" {
        return fit_text(present, &column.described.class);
    }
    if let (Some(have), Some(want)) = (integer_digits(present), integer_digits(stored)) {
        return if want <= have {
            Fit::Plain
        } else {
            Fit::Widen(stored.to_owned())
        };
    }
    match (stored, present) {
        ("real", "double precision")
        | ("smallint" | "integer", "double precision")
        | ("smallint", "real") => return Fit::Plain,
        ("double precision", "real") => return Fit::Widen(stored.to_owned()),
        _ => {}
    }
    match (digits(stored), digits(present)) {
        (Some(_), Some(None)) => Fit::Plain,
        (Some(Some((whole, fraction))), Some(Some((room, places)))) => {
            if whole <= room && fraction <= places {
                Fit::Plain
            } else if integer_digits(stored).is_some() || present.starts_with("numeric") {
                let (whole, fraction) = (whole.max(room), fraction.max(places));
                Fit::Widen(format!("numeric({},{fraction})", whole + fraction))
            } else {
                Fit::No
            }
        }
        _ => Fit::No,
    }
}

fn fit_text(present: &str, class: &str) -> Fit {
    let base = present.split('(').next().unwrap_or(present);
    match base {
        "character varying" | "character" | "citext" => Fit::Plain,
        _ if base.ends_with(".citext") => Fit::Plain,
        // A scale would round; only a numeric without one takes any text exactly.
        "numeric" if present != "numeric" => Fit::No,
        _ if READ_FROM_TEXT.contains(&base) || matches!(class, "e" | "r" | "m") => Fit::Cast,
        _ => Fit::No,
    }
}

fn integer_digits(type_name: &str) -> Option<i32> {
    Some(match type_name {
        "smallint" => 5,
        "integer" => 10,
        "bigint" => 19,
        _ => return None,
    })
}

/// Digits before and after the point; the inner `None` means as many as one likes.
fn digits(type_name: &str) -> Option<Option<(i32, i32)>> {
    if let Some(whole) = integer_digits(type_name) {
        return Some(Some((whole, 0)));
    }
    if type_name == "numeric" {
        return Some(None);
    }
    let (precision, scale) = type_name
        .strip_prefix("numeric(")?
        .strip_suffix(')')?
        .split_once(',')?;
    let (precision, scale): (i32, i32) = (precision.parse().ok()?, scale.parse().ok()?);
    Some(Some((precision - scale, scale)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::types::CatalogType;

    fn fits(stored: &str, present: &str) -> Fit {
        let described = CatalogType {
            declared: present.to_owned(),
            full_name: present.to_owned(),
            name: String::new(),
            class: "b".to_owned(),
            element: None,
            modifier: -1,
        };
        fit(
            stored,
            None,
            &RawColumn {
                name: "c".to_owned(),
                number: 1,
                not_null: false,
                readable: true,
                described,
            },
        )
    }

    #[test]
    fn only_what_stays_exact_fits() {
        assert_eq!(fits("integer", "bigint"), Fit::Plain);
        assert_eq!(fits("bigint", "integer"), Fit::Widen("bigint".into()));
        assert_eq!(fits("bigint", "double precision"), Fit::No);
        assert_eq!(fits("numeric(10,2)", "numeric(12,2)"), Fit::Plain);
        assert_eq!(
            fits("numeric(10,4)", "numeric(10,2)"),
            Fit::Widen("numeric(12,4)".into())
        );
        assert_eq!(fits("numeric(10,2)", "integer"), Fit::No);
        assert_eq!(fits("numeric(10,2)", "numeric"), Fit::Plain);
        assert_eq!(fits("integer", "numeric(12,2)"), Fit::Plain);
        assert_eq!(
            fits("bigint", "numeric(12,2)"),
            Fit::Widen("numeric(21,2)".into())
        );
        assert_eq!(fits("text", "uuid"), Fit::Cast);
        assert_eq!(fits("text", "integer"), Fit::No);
        assert_eq!(fits("text", "numeric(10,2)"), Fit::No);
        assert_eq!(fits("text", "character varying(5)"), Fit::Plain);
        assert_eq!(fits("text", "name"), Fit::Cast);
        assert_eq!(
            fits("timestamp without time zone", "timestamp with time zone"),
            Fit::No
        );
        assert_eq!(fits("boolean", "text"), Fit::No);
    }
}
