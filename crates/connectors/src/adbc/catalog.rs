//! What a database holds: its tables and their keys, as the driver lists them.
//!
//! Promise: a table is one that the driver lists; a name that fits several is refused with all of them, one that fits
//! none with the nearest. A driver that lists nothing is believed when a statement names a table. Names are compared
//! as the database does. It reads no rows.

use adbc_core::Connection as _;
use adbc_core::Optionable as _;
use adbc_core::error::{Error, Status};
use adbc_core::options::{ObjectDepth, OptionConnection};
use arrow_array::cast::AsArray as _;
use arrow_array::{Array, ArrayRef, RecordBatch, StructArray};
use arrow_schema::DataType;

use super::answer::string;
use super::error::{AdbcError, Result};
use super::session::Work;
use super::vendor::Vendor;
use crate::relational::commits;
use crate::relational::names::nearest;

const LISTING: &str = "listing tables";
/// So many names are shown when one is not found.
const SHOWN: usize = 8;

/// A table or view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) catalog: String,
    pub(super) schema: String,
    pub(super) name: String,
    /// Its type in the driver's words: `BASE TABLE`, `view`.
    pub(super) kind: String,
}

/// Where names without a schema are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Current {
    catalog: Option<String>,
    schema: Option<String>,
}

impl Current {
    pub(super) fn of(work: &mut Work<'_>) -> Result<Self> {
        let vendor = work.vendor();
        let connection = work.connection()?;
        // A driver that does not say is no error: names with several places are refused.
        let ask = |option| {
            let text = connection.get_option_string(option).ok();
            text.filter(|text| !text.is_empty())
        };
        let default = match vendor {
            Vendor::DuckDb => Some("main"),
            Vendor::Postgres => Some("public"),
            Vendor::Sqlite | Vendor::Other => None,
        };
        Ok(Self {
            catalog: ask(OptionConnection::CurrentCatalog),
            schema: ask(OptionConnection::CurrentSchema).or(default.map(str::to_owned)),
        })
    }

    fn has(&self, table: &Table) -> bool {
        let is = |own: &Option<String>, other: &str| own.as_ref().is_none_or(|own| own == other);
        is(&self.catalog, &table.catalog) && is(&self.schema, &table.schema)
    }

    /// As a person names it.
    pub(super) fn shown(&self, table: &Table) -> String {
        match table.schema.is_empty() || self.has(table) {
            true => table.name.clone(),
            false => format!("{}.{}", table.schema, table.name),
        }
    }
}

impl Table {
    /// As SQL.
    pub(super) fn sql(&self, vendor: Vendor, current: &Current) -> String {
        let is_own_catalog = current
            .catalog
            .as_ref()
            .is_none_or(|own| *own == self.catalog);
        let parts = [
            (self.catalog.as_str(), !is_own_catalog),
            (self.schema.as_str(), true),
            (self.name.as_str(), true),
        ];
        let parts = parts
            .iter()
            .filter(|(part, is_needed)| *is_needed && !part.is_empty());
        let parts: Vec<String> = parts.map(|(part, _)| vendor.quoted(part)).collect();
        parts.join(".")
    }

    pub(super) fn is_view(&self) -> bool {
        self.kind.to_ascii_lowercase().contains("view")
    }
}

/// Schemas of databases themselves.
fn is_of_system(table: &Table) -> bool {
    let schema = table.schema.to_ascii_lowercase();
    let own = ["information_schema", "pg_catalog", "pg_toast"];
    own.contains(&schema.as_str())
        || schema.starts_with("pg_temp")
        || table.name == commits::TABLE
        || (schema.is_empty() && table.name.starts_with("sqlite_"))
}

/// The tables that a pattern of the driver fits, `None` for all; none at all if the driver lists nothing.
pub(super) fn list(work: &mut Work<'_>, pattern: Option<&str>) -> Result<Option<Vec<Table>>> {
    let Some(batches) = objects(work, ObjectDepth::Tables, pattern)? else {
        return Ok(None);
    };
    let mut tables = Vec::new();
    each(&batches, |catalog, schema, table| {
        tables.push(Table {
            catalog: catalog.to_owned(),
            schema: schema.to_owned(),
            name: member_text(table, "table_name"),
            kind: member_text(table, "table_type"),
        });
    });
    tables.retain(|table| !is_of_system(table));
    tables.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    Ok(Some(tables))
}

/// The primary key of a table.
pub(super) fn key(work: &mut Work<'_>, table: &Table) -> Result<Vec<String>> {
    let Some(batches) = objects(work, ObjectDepth::All, Some(&table.name))? else {
        return Ok(Vec::new());
    };
    let mut key = Vec::new();
    each(&batches, |catalog, schema, found| {
        let is_it = catalog == table.catalog
            && schema == table.schema
            && member_text(found, "table_name") == table.name;
        for constraint in items(found, "table_constraints").filter(|_| is_it) {
            if member_text(&constraint, "constraint_type") == "PRIMARY KEY" {
                key = texts(&constraint, "constraint_column_names");
            }
        }
    });
    Ok(key)
}

/// What the driver lists; `None` if it does not list.
fn objects(
    work: &mut Work<'_>,
    depth: ObjectDepth,
    pattern: Option<&str>,
) -> Result<Option<Vec<RecordBatch>>> {
    let list = |work: &mut Work<'_>| -> Result<std::result::Result<Vec<RecordBatch>, Error>> {
        let listed = work
            .connection()?
            .get_objects(depth, None, None, pattern, None, None);
        let read = |stream: Box<dyn arrow_array::RecordBatchReader + Send>| {
            stream.collect::<std::result::Result<Vec<_>, _>>()
        };
        Ok(listed.and_then(|stream| Ok(read(stream)?)))
    };
    match list(work)? {
        Ok(batches) => Ok(Some(batches)),
        Err(error) if error.status == Status::NotImplemented => Ok(None),
        Err(error) => Err(work.failed(&error, LISTING)),
    }
}

/// Calls `see` with the catalogue, schema and struct of each table.
fn each(batches: &[RecordBatch], mut see: impl FnMut(&str, &str, &StructArray)) {
    for batch in batches {
        let catalogs = StructArray::from(batch.clone());
        for row in 0..catalogs.len() {
            let catalog = catalogs.slice(row, 1);
            let name = member_text(&catalog, "catalog_name");
            for schema in items(&catalog, "catalog_db_schemas") {
                let schema_name = member_text(&schema, "db_schema_name");
                for table in items(&schema, "db_schema_tables") {
                    see(&name, &schema_name, &table);
                }
            }
        }
    }
}

/// The text of a member of the first row; empty for NULL.
fn member_text(of: &StructArray, member: &str) -> String {
    of.column_by_name(member)
        .and_then(string)
        .unwrap_or_default()
}

/// The list in a member of the first row.
fn listed(of: &StructArray, member: &str) -> Option<ArrayRef> {
    let list = of.column_by_name(member)?;
    if list.is_empty() || list.is_null(0) {
        return None;
    }
    match list.data_type() {
        DataType::List(_) => Some(list.as_list::<i32>().value(0)),
        DataType::LargeList(_) => Some(list.as_list::<i64>().value(0)),
        _ => None,
    }
}

/// The structs in a list, one row each.
fn items(of: &StructArray, member: &str) -> impl Iterator<Item = StructArray> {
    let list = listed(of, member);
    let structs = list.and_then(|list| list.as_struct_opt().cloned());
    let rows = structs.as_ref().map_or(0, Array::len);
    (0..rows).filter_map(move |row| Some(structs.as_ref()?.slice(row, 1)))
}

/// The texts in a list.
fn texts(of: &StructArray, member: &str) -> Vec<String> {
    let Some(list) = listed(of, member) else {
        return Vec::new();
    };
    (0..list.len())
        .filter_map(|row| string(&list.slice(row, 1)))
        .collect()
}

/// The table that a person means, or what stands for it in SQL if the driver lists nothing.
pub(super) enum Found {
    Table(Table),
    Unlisted(String),
}

/// Finds a table by its name, by `schema.name` or by `catalog.schema.name`.
pub(super) fn find(work: &mut Work<'_>, current: &Current, wanted: &str) -> Result<Found> {
    let vendor = work.vendor();
    let last = wanted.rsplit('.').next().unwrap_or(wanted);
    let mut listed = list(work, Some(last))?;
    if last != wanted {
        let whole = list(work, Some(wanted))?;
        if let (Some(listed), Some(whole)) = (&mut listed, whole) {
            listed.extend(whole.into_iter().filter(|table| table.name == wanted));
        }
    }
    let Some(listed) = listed else {
        let parts: Vec<String> = wanted.split('.').map(|part| vendor.quoted(part)).collect();
        return Ok(Found::Unlisted(parts.join(".")));
    };
    match choose(vendor, current, wanted, &listed)? {
        Some(table) => Ok(Found::Table(table)),
        // The driver's pattern may know upper and lower case where the database does not.
        None => {
            let all = list(work, None)?.unwrap_or_default();
            let found = choose(vendor, current, wanted, &all)?;
            found
                .map(Found::Table)
                .ok_or_else(|| missing(current, wanted, &all))
        }
    }
}

/// The one that is meant, of those that are listed.
fn choose(
    vendor: Vendor,
    current: &Current,
    wanted: &str,
    listed: &[Table],
) -> Result<Option<Table>> {
    let exact: fn(&str, &str) -> bool = |one, other| one == other;
    let folded: fn(&str, &str) -> bool = |one, other| one.eq_ignore_ascii_case(other);
    let ways: &[fn(&str, &str) -> bool] = match vendor {
        Vendor::DuckDb | Vendor::Sqlite => &[exact, folded],
        Vendor::Postgres | Vendor::Other => &[exact],
    };
    for same in ways {
        let fitting = |table: &&Table| {
            let full = format!("{}.{}", table.schema, table.name);
            same(wanted, &table.name)
                || same(wanted, &full)
                || same(wanted, &format!("{}.{full}", table.catalog))
        };
        let fitting: Vec<&Table> = listed.iter().filter(fitting).collect();
        let own: Vec<&&Table> = fitting.iter().filter(|table| current.has(table)).collect();
        match (own.as_slice(), fitting.as_slice()) {
            ([one], _) => return Ok(Some((**one).clone())),
            ([], [one]) => return Ok(Some((*one).clone())),
            ([], []) => {}
            _ => {
                let place =
                    |table: &&Table| format!("`{}.{}.{}`", table.catalog, table.schema, table.name);
                return Err(AdbcError::Ambiguous {
                    object: wanted.to_owned(),
                    places: fitting.iter().map(place).collect(),
                });
            }
        }
    }
    Ok(None)
}

fn missing(current: &Current, wanted: &str, all: &[Table]) -> AdbcError {
    let names: Vec<String> = all.iter().map(|table| current.shown(table)).collect();
    AdbcError::NoTable {
        object: wanted.to_owned(),
        nearest: nearest(wanted, names.iter().map(String::as_str)),
        present: names.into_iter().take(SHOWN).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn table(schema: &str, name: &str) -> Table {
        Table {
            catalog: "db".to_owned(),
            schema: schema.to_owned(),
            name: name.to_owned(),
            kind: "table".to_owned(),
        }
    }

    #[test]
    fn a_name_means_one_table_or_is_refused() {
        let all = [
            table("public", "t"),
            table("other", "t"),
            table("x", "a.b"),
            table("x", "T2"),
        ];
        let current = Current {
            catalog: Some("db".to_owned()),
            schema: Some("public".to_owned()),
        };
        let find = |vendor, wanted| choose(vendor, &current, wanted, &all);
        assert_eq!(find(Vendor::Postgres, "t").unwrap().unwrap(), all[0]);
        assert_eq!(find(Vendor::Postgres, "other.t").unwrap().unwrap(), all[1]);
        assert_eq!(
            find(Vendor::Postgres, "db.other.t").unwrap().unwrap(),
            all[1]
        );
        assert_eq!(find(Vendor::Postgres, "a.b").unwrap().unwrap(), all[2]);
        assert_eq!(find(Vendor::Postgres, "t2").unwrap(), None);
        assert_eq!(find(Vendor::DuckDb, "t2").unwrap().unwrap(), all[3]);
        let nowhere = Current::default();
        let two = choose(Vendor::Other, &nowhere, "t", &all).unwrap_err();
        assert!(two.to_string().contains("`db.other.t`"), "{two}");
        assert_eq!(all[1].sql(Vendor::Other, &current), "\"other\".\"t\"");
        assert_eq!(current.shown(&all[0]), "t");
    }
}
