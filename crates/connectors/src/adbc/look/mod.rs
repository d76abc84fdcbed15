//! How the columns of a table, view or query are asked for, so that their driver gives each value exactly.
//!
//! Promise: what a driver is known to say wrongly is not asked for in that way: it comes as text of the database, with
//! a note. A column that has no exact form is refused by name. Each file is one database, `standard.rs` any other one.
//! Read next: `postgres.rs`, where most is to be known.

mod duckdb;
mod postgres;
mod sqlite;
mod standard;

use arrow_schema::extension::EXTENSION_TYPE_NAME_KEY as EXTENSION;
use arrow_schema::{DataType, Field, SchemaRef};

use super::error::{AdbcError, Result};
use super::session::Work;
use super::types::{Asked, Column, Raw, select};
use super::vendor::Vendor;

/// Metadata of a field whose values have no type of Arrow.
const OPAQUE: &str = "arrow.opaque";

/// Types of the columns in the words of the database, where they are needed.
pub(super) fn declared(
    work: &mut Work<'_>,
    from: &str,
    table: Option<&str>,
) -> Result<Vec<(String, String)>> {
    match (work.vendor(), table) {
        (Vendor::DuckDb, _) => duckdb::declared(work, from),
        (Vendor::Sqlite, Some(table)) => sqlite::declared(work, table),
        _ => Ok(Vec::new()),
    }
}

/// These columns, as they are read, of what can stand after FROM and a person names `object`.
pub(super) fn columns(
    work: &mut Work<'_>,
    (object, from): (&str, &str),
    raws: &[&Raw],
    declared: &dyn Fn(&Raw) -> Option<DataType>,
) -> Result<Vec<Column>> {
    let vendor = work.vendor();
    let asked = match vendor {
        Vendor::DuckDb => raws.iter().map(|raw| duckdb::ask(raw)).collect(),
        Vendor::Postgres => raws.iter().map(|raw| postgres::ask(raw)).collect(),
        Vendor::Sqlite => sqlite::ask(work, (object, from), raws)?,
        Vendor::Other => {
            let asked = raws.iter().map(|raw| standard::ask(raw, object));
            asked.collect::<Result<Vec<Asked>>>()?
        }
    };
    let fields = fields(work, &asked, (object, from), raws)?;
    let columns = asked.into_iter().zip(fields).zip(raws);
    let columns = columns
        .map(|((asked, field), raw)| Column::of(vendor, asked, &field, declared(raw)))
        .collect();
    Ok(columns)
}

/// What the driver gives for each of them.
fn fields(
    work: &mut Work<'_>,
    asked: &[Asked],
    (object, from): (&str, &str),
    raws: &[&Raw],
) -> Result<Vec<Field>> {
    let vendor = work.vendor();
    if !asked.iter().any(|asked| asked.is_expression(vendor)) {
        return Ok(raws.iter().map(|raw| raw.field.clone()).collect());
    }
    // The forms do not matter yet: only the list.
    let list: Vec<Column> = asked
        .iter()
        .map(|asked| {
            Column::of(
                vendor,
                asked.clone(),
                &Field::new(&asked.name, DataType::Utf8, true),
                None,
            )
        })
        .collect();
    let sql = select(&list, vendor, &format!("{from} WHERE 1 = 0"));
    let doing = format!("looking at the columns of `{object}`");
    let schema = schema(work, &sql, &doing)?;
    if schema.fields().len() != asked.len() {
        return Err(AdbcError::Passing {
            doing,
            reason: "the driver gives another number of columns than it was asked for".to_owned(),
        });
    }
    Ok(schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .collect())
}

/// The columns of a query that gives no rows.
pub(super) fn schema(work: &mut Work<'_>, sql: &str, doing: &str) -> Result<SchemaRef> {
    let mut answer = work.query(sql, doing)?;
    let schema = answer.schema();
    // To the end: a driver may keep its connection busy until then.
    while answer
        .next()
        .map_err(|error| work.failed(&error, doing))?
        .is_some()
    {}
    Ok(schema)
}

/// Whether a field, or a member of it, holds bytes of a type of the driver's own.
fn is_opaque(field: &Field) -> bool {
    use DataType as T;
    let name = field.metadata().get(EXTENSION);
    let is_text = matches!(field.data_type(), T::Utf8 | T::LargeUtf8 | T::Utf8View);
    if name.is_some_and(|name| name == OPAQUE) && !is_text {
        return true;
    }
    match field.data_type() {
        T::List(item)
        | T::LargeList(item)
        | T::FixedSizeList(item, _)
        | T::ListView(item)
        | T::LargeListView(item)
        | T::Map(item, _) => is_opaque(item),
        T::Struct(members) => members.iter().any(|member| is_opaque(member)),
        T::Union(branches, _) => branches.iter().any(|(_, branch)| is_opaque(branch)),
        _ => false,
    }
}
