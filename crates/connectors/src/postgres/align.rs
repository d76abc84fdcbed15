//! Fits the rows' columns to the table's: create it, evolve it, or refuse by name.
//!
//! Promise: a value is only ever stored in a type that holds it exactly; text that stands for another
//! type (`towpath.type`) is cast back to it; a column keeps its type while it holds every value that comes
//! (`narrow.rs`); widening and new columns need `schema_change: evolve`. What it comes to for a table is in
//! `relational/align.rs`.

use arrow_schema::{Field, SchemaRef};
use async_trait::async_trait;
use tokio_postgres::Client;
use towpath_vocab::SchemaChange;
use towpath_vocab::types::SOURCE_TYPE;

use super::catalog::{CatalogRelation, RawColumn, table_columns};
use super::error::{ErrorContext as _, PgError, Result};
use super::names::Relation;
use super::narrow::{digits, integer_digits, lost};
use super::sql::PostgresDialect;
use super::types::{short, stored_as};
use crate::relational::align::{
    self, Alignment, Fit, NewColumn, PresentColumn, Request, TableTypes,
};
use crate::relational::fault::Fault;

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
    "character",
    "bpchar",
    "\"char\"",
];

/// The types the stage has, in the order of the schema.
pub(super) fn stage_types(schema: &SchemaRef) -> Result<Vec<String>> {
    schema
        .fields()
        .iter()
        .map(|field| stage_type(field))
        .collect()
}

fn stage_type(field: &Field) -> Result<String> {
    if field.name().len() > LONGEST_NAME {
        return Err(PgError::Value {
            column: field.name().clone(),
            reason: "a name in PostgreSQL has at most 63 bytes, and this one is longer",
            row: None,
        });
    }
    stored_as(field.data_type()).ok_or_else(|| PgError::NoType {
        column: field.name().clone(),
        data_type: field.data_type().to_string(),
    })
}

/// Decides for a table that may or may not exist. `primary` makes the key a primary key of a new table;
/// `wide` are the columns of the rows with values that the column of the table does not hold.
pub(super) async fn align(
    client: &Client,
    relation: &Relation,
    found: Option<&CatalogRelation>,
    schema: &SchemaRef,
    (change, wide): (SchemaChange, &[String]),
    primary: &[String],
) -> Result<Alignment> {
    stage_types(schema)?;
    let present = match found {
        None => None,
        Some(found) => Some(table_columns(client, found.oid).await?),
    };
    let (table, shown) = (relation.sql(), relation.to_string());
    let request = Request {
        dialect: &PostgresDialect,
        table: &table,
        shown: &shown,
        schema,
        change,
        primary,
    };
    let types = PostgresTypes { client, wide };
    let mut alignment = align::align(&types, &request, present.as_deref()).await?;
    let is_view = found.is_some_and(|found| matches!(found.kind.as_str(), "v" | "m"));
    if is_view && !alignment.statements.is_empty() {
        let change = "it is a view, whose columns stay as they are".to_owned();
        return Err(Fault::Changed {
            table: shown,
            change,
        }
        .into());
    }
    alignment.partitioned = found.is_some_and(|found| found.kind != "r");
    types.judge_values(&mut alignment, schema, present.as_deref())?;
    Ok(alignment)
}

/// PostgreSQL's type table, and the server that knows types of its own.
struct PostgresTypes<'a> {
    client: &'a Client,
    /// Columns of the rows with values that the column of the table does not hold.
    wide: &'a [String],
}

impl PostgresTypes<'_> {
    /// SQL that is true for a value `s` of the stage that a column of a narrower type does not hold; `None`
    /// where its type is not narrower, or where such values are known to come.
    fn narrow(&self, field: &Field, present: &RawColumn, value: &str) -> Result<Option<String>> {
        if self.wide.contains(field.name()) {
            return Ok(None);
        }
        let stored = stage_type(field)?;
        Ok(lost(&stored, &present.described.full_name, value))
    }

    /// Values of columns that keep a narrower type are looked at one by one.
    fn judge_values(
        &self,
        alignment: &mut Alignment,
        schema: &SchemaRef,
        present: Option<&[RawColumn]>,
    ) -> Result<()> {
        for aligned in &mut alignment.columns {
            let mut columns = present.unwrap_or_default().iter();
            let column = columns.find(|column| column.name == aligned.name);
            let Some((column, field)) = column.zip(schema.field_with_name(&aligned.incoming).ok())
            else {
                continue;
            };
            if let Some(lost) = self.narrow(field, column, &aligned.staged)? {
                aligned.changed = Some((lost, column.described.full_name.clone()));
                aligned.narrow = true;
            }
        }
        Ok(())
    }
}

impl PresentColumn for RawColumn {
    fn name(&self) -> &str {
        &self.name
    }

    fn type_name(&self) -> &str {
        &self.described.full_name
    }

    fn ignores_blanks(&self) -> bool {
        let name = self.type_name();
        name == "bpchar" || (name.starts_with("character(") && name.ends_with(')'))
    }
}

#[async_trait]
impl TableTypes for PostgresTypes<'_> {
    type Error = PgError;
    type Present = RawColumn;

    fn same(&self, one: &str, other: &str) -> bool {
        one == other
    }

    fn fit(&self, field: &Field, present: &RawColumn) -> Result<Fit> {
        let stored = stage_type(field)?;
        let held = &present.described.full_name;
        let fit = fit(&stored, field.metadata().get(SOURCE_TYPE), present);
        Ok(match fit {
            Fit::Widen(_) if self.narrow(field, present, "s.c")?.is_some() => {
                Fit::Cast(held.clone())
            }
            // Blanks behind the last letter that has room are cut without a word.
            Fit::Plain if stored == "text" && held.starts_with("character varying(") => {
                Fit::Cast(held.clone())
            }
            Fit::No(incoming) => {
                let wanted = field.metadata().get(SOURCE_TYPE);
                Fit::No(wanted.cloned().unwrap_or(incoming))
            }
            fit => fit,
        })
    }

    async fn new_column(&self, field: &Field) -> Result<NewColumn> {
        let stored = stage_type(field)?;
        let (data_type, cast) = own_type(self.client, field, &stored).await?;
        Ok(NewColumn { data_type, cast })
    }

    fn changed(&self, value: &str, cast: &str) -> Option<String> {
        changed(value, cast)
    }

    fn widen(&self, table: &str, column: &str, _: &RawColumn, wider: &str) -> String {
        format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE {wider}")
    }
}

/// SQL that is true when text would not stay what it is by becoming a type; `None` when it always
/// does. The rule is that the type prints what was read; exceptions print one value in many ways.
fn changed(text: &str, cast: &str) -> Option<String> {
    let base = cast.split('(').next().unwrap_or(cast);
    Some(match base {
        "uuid" | "json" | "inet" | "cidr" | "macaddr" | "macaddr8" => return None,
        // More digits behind the point than a numeric can have would be rounded.
        // Blanks at the end of a `char(n)` are no part of its value: PostgreSQL compares without them.
        "character" | "bpchar[]" if cast.ends_with("[]") => {
            format!("{text}::{cast}::bpchar[] IS DISTINCT FROM {text}::bpchar[]")
        }
        "character" | "bpchar" => {
            format!("{text}::{cast}::bpchar IS DISTINCT FROM {text}::bpchar")
        }
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
        return Fit::Cast(present.to_owned());
    }
    if stored == "text" {
        return fit_text(present, &column.described.class);
    }
    if let ("text[]", Some(item)) = (stored, present.strip_suffix("[]")) {
        return match item.split('(').next().unwrap_or(item) {
            "character varying" | "character" | "bpchar" => Fit::Cast(present.to_owned()),
            _ => Fit::No(stored.to_owned()),
        };
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
                Fit::No(stored.to_owned())
            }
        }
        _ => Fit::No(stored.to_owned()),
    }
}

fn fit_text(present: &str, class: &str) -> Fit {
    let stored = "text";
    let base = present.split('(').next().unwrap_or(present);
    match base {
        "character varying" | "citext" => Fit::Plain,
        _ if base.ends_with(".citext") => Fit::Plain,
        // A scale would round; only a numeric without one takes any text exactly.
        "numeric" if present != "numeric" => Fit::No(stored.to_owned()),
        _ if READ_FROM_TEXT.contains(&base) || matches!(class, "e" | "r" | "m") => {
            Fit::Cast(present.to_owned())
        }
        _ => Fit::No(stored.to_owned()),
    }
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
        assert_eq!(fits("bigint", "double precision"), Fit::No("bigint".into()));
        assert_eq!(fits("numeric(10,2)", "numeric(12,2)"), Fit::Plain);
        assert_eq!(
            fits("numeric(10,4)", "numeric(10,2)"),
            Fit::Widen("numeric(12,4)".into())
        );
        assert_eq!(
            fits("numeric(10,2)", "integer"),
            Fit::No("numeric(10,2)".into())
        );
        assert_eq!(fits("numeric(10,2)", "numeric"), Fit::Plain);
        assert_eq!(fits("integer", "numeric(12,2)"), Fit::Plain);
        assert_eq!(
            fits("bigint", "numeric(12,2)"),
            Fit::Widen("numeric(21,2)".into())
        );
        assert_eq!(fits("text", "uuid"), Fit::Cast("uuid".into()));
        assert_eq!(fits("text", "integer"), Fit::No("text".into()));
        assert_eq!(fits("text", "numeric(10,2)"), Fit::No("text".into()));
        assert_eq!(fits("text", "character varying(5)"), Fit::Plain);
        assert_eq!(fits("text", "name"), Fit::Cast("name".into()));
        for char_type in ["character(4)", "bpchar", "\"char\""] {
            assert_eq!(fits("text", char_type), Fit::Cast(char_type.into()));
        }
        assert_eq!(
            fits("text[]", "character(4)[]"),
            Fit::Cast("character(4)[]".into())
        );
        assert_eq!(fits("text[]", "uuid[]"), Fit::No("text[]".into()));
        assert_eq!(
            fits("timestamp without time zone", "timestamp with time zone"),
            Fit::No("timestamp without time zone".into())
        );
        assert_eq!(fits("boolean", "text"), Fit::No("boolean".into()));
    }
}
