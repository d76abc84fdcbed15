//! What is in a database: tables, views, their columns and keys.
//!
//! Promise: a name is found as it is spelled, else ignoring case when that is unambiguous, else refused with
//! the nearest name; invisible and generated columns are columns like others. It knows no types: the
//! server says them with an answer (`types.rs`). A table or column that this user may not see is not there.

use std::time::Duration;

use super::error::{MysqlError, Result};
use super::literal::{qualified, text};
use super::session::Session;
use super::target::{Facts, Target};
use crate::relational::commits;
use crate::relational::names::nearest;

const LOOKING: &str = "reading the catalogue";
/// How often a table is looked at that is being created, and the time between: five seconds.
const LOOKS: u32 = 100;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
const TABLES: &str = "table_type IN ('BASE TABLE', 'VIEW', 'SYSTEM VIEW', 'SYSTEM VERSIONED')";

/// A table or view.
#[derive(Clone, Debug)]
pub(super) struct CatalogTable {
    pub(super) database: String,
    pub(super) name: String,
    pub(super) is_view: bool,
    /// It holds rows of the past too, which the index does not leave out.
    pub(super) is_versioned: bool,
    /// Where rows are stored; `None` for a view.
    pub(super) engine: Option<String>,
    /// When it was created, as the server says it.
    pub(super) created: Option<String>,
    /// Whether its rows can be read as they were at one moment.
    pub(super) has_snapshots: bool,
    pub(super) rows: Option<u64>,
}

impl CatalogTable {
    /// What can stand after FROM.
    pub(super) fn sql(&self) -> String {
        qualified(&self.database, &self.name)
    }

    /// Refuses a table that cannot be written together with a token. Of the engines with transactions only
    /// InnoDB locks what is between rows.
    pub(super) fn must_have_transactions(&self) -> Result<()> {
        match &self.engine {
            Some(engine) if engine.eq_ignore_ascii_case("InnoDB") => Ok(()),
            engine => Err(MysqlError::Engine {
                table: self.name.clone(),
                engine: engine.clone().unwrap_or_else(|| "a view".to_owned()),
            }),
        }
    }
}

/// A table that is written, by its own name.
pub(super) async fn exact(
    session: &mut Session,
    target: &Target,
    facts: &Facts,
) -> Result<Option<CatalogTable>> {
    let (schema, name) = (text(&target.database), text(&target.table));
    let condition = match facts.folds_names {
        true => format!(
            "lower(t.table_schema) = lower({schema}) AND lower(t.table_name) = lower({name})"
        ),
        false => format!("t.table_schema = {schema} AND t.table_name = {name}"),
    };
    let is_it = |found: &CatalogTable| {
        facts.folds_names || found.database == target.database && found.name == target.table
    };
    for _ in 0..LOOKS {
        let mut found = matching(session, &condition).await?.into_iter();
        let found = found.rfind(is_it);
        // While a table is created or altered, the catalogue has it without its engine.
        match &found {
            Some(table) if !table.is_view && table.engine.is_none() => {
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
            _ => return Ok(found),
        }
    }
    Err(being_changed(&target.table))
}

/// A table of which the catalogue does not have everything at the moment.
pub(super) fn being_changed(table: &str) -> MysqlError {
    MysqlError::Passing {
        doing: LOOKING.to_owned(),
        reason: format!(
            "`{table}` is being created or altered, or its storage engine cannot open it"
        ),
    }
}

/// Names of tables and views of all databases, sorted.
pub(super) async fn names(session: &mut Session) -> Result<Vec<(String, String)>> {
    let sql = format!(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE {TABLES} \
         AND table_schema NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys') \
         AND table_name <> {}",
        text(commits::TABLE)
    );
    let rows = session.rows(&sql, LOOKING).await?;
    let mut names: Vec<(String, String)> = rows.iter().filter_map(|row| pair(row)).collect();
    // The catalogue would sort them without their case.
    names.sort();
    Ok(names)
}

fn pair(row: &[Option<String>]) -> Option<(String, String)> {
    match row {
        [Some(one), Some(other), ..] => Some((one.clone(), other.clone())),
        _ => None,
    }
}

/// The table or view that a person's text means.
pub(super) async fn find(session: &mut Session, object: &str) -> Result<CatalogTable> {
    let own = session.database.clone();
    let mut readings = vec![(own.clone(), object.to_owned())];
    if let Some((database, table)) = object.split_once('.') {
        readings.push((database.to_owned(), table.to_owned()));
    }
    for (database, table) in readings {
        if let Some(found) = look_up(session, &database, &table).await? {
            return Ok(found);
        }
    }
    let present = names(session).await?;
    let shown = present
        .iter()
        .map(|(database, table)| match *database == own {
            true => table.clone(),
            false => format!("{database}.{table}"),
        });
    let shown: Vec<String> = shown.collect();
    Err(MysqlError::NoTable {
        object: object.to_owned(),
        similar: nearest(object, shown.iter().map(String::as_str)),
    })
}

async fn look_up(
    session: &mut Session,
    database: &str,
    table: &str,
) -> Result<Option<CatalogTable>> {
    let (schema, name) = (text(database), text(table));
    // The catalogue answers for one table at once; for a spelling that it does not have it opens them all.
    let exact = format!("t.table_schema = {schema} AND t.table_name = {name}");
    let found = matching(session, &exact).await?.into_iter();
    let mut found = found.filter(|other| other.database == database && other.name == table);
    if let Some(found) = found.next() {
        return Ok(Some(found));
    }
    let alike =
        format!("lower(t.table_schema) = lower({schema}) AND lower(t.table_name) = lower({name})");
    let mut found = matching(session, &alike).await?;
    Ok(match found.len() {
        1 => found.pop(),
        _ => None,
    })
}

async fn matching(session: &mut Session, condition: &str) -> Result<Vec<CatalogTable>> {
    let sql = format!(
        "SELECT t.table_schema, t.table_name, t.table_type, t.engine, e.transactions, t.table_rows, \
         CAST(t.create_time AS char) \
         FROM information_schema.tables t LEFT JOIN information_schema.engines e ON e.engine = t.engine \
         WHERE {TABLES} AND {condition}"
    );
    let rows = session.rows(&sql, LOOKING).await?;
    Ok(rows.iter().filter_map(|row| of(row)).collect())
}

fn of(row: &[Option<String>]) -> Option<CatalogTable> {
    let [
        Some(database),
        Some(name),
        kind,
        engine,
        transactions,
        rows,
        created,
    ] = row
    else {
        return None;
    };
    let is_view = kind.as_deref().is_some_and(|kind| kind.ends_with("VIEW"));
    Some(CatalogTable {
        database: database.clone(),
        name: name.clone(),
        is_view,
        is_versioned: kind.as_deref() == Some("SYSTEM VERSIONED"),
        engine: engine.clone().filter(|_| !is_view),
        has_snapshots: is_view || transactions.as_deref() == Some("YES"),
        rows: rows.as_ref().and_then(|rows| rows.parse().ok()),
        created: created.clone(),
    })
}

/// The columns of a table, in their order.
pub(super) async fn columns(session: &mut Session, table: &CatalogTable) -> Result<Vec<String>> {
    names_in(session, table, "columns", "ORDER BY ordinal_position").await
}

/// The primary key of a table, in its order.
pub(super) async fn key(session: &mut Session, table: &CatalogTable) -> Result<Vec<String>> {
    let rest = "AND index_name = 'PRIMARY' ORDER BY seq_in_index";
    names_in(session, table, "statistics", rest).await
}

/// The index that the rows of a table in InnoDB stand in, and its columns: the primary key, or the first unique
/// one without NULL, which the catalogue marks as if it were. `None` where it has parts of values, or none is there.
pub(super) async fn clustered(
    session: &mut Session,
    table: &CatalogTable,
) -> Result<Option<(String, Vec<String>)>> {
    let (database, name) = (text(&table.database), text(&table.name));
    let sql = format!(
        "SELECT s.index_name, s.column_name, s.sub_part, s.nullable, c.column_key \
         FROM information_schema.statistics s LEFT JOIN information_schema.columns c \
         ON c.table_schema = s.table_schema AND c.table_name = s.table_name AND c.column_name = s.column_name \
         WHERE s.table_schema = {database} AND s.table_name = {name} AND BINARY s.table_name = BINARY {name} \
         AND s.non_unique = 0 ORDER BY s.index_name = 'PRIMARY' DESC, s.index_name, s.seq_in_index"
    );
    let rows = session.rows(&sql, LOOKING).await?;
    let mut indexes: Vec<(String, Option<Vec<String>>)> = Vec::new();
    for row in rows {
        let [Some(index), column, part, nullable, key] = row.as_slice() else {
            continue;
        };
        let is_whole = part.is_none() && nullable.as_deref() != Some("YES");
        let is_marked = key.as_deref() == Some("PRI");
        let column = column.clone().filter(|_| is_whole && is_marked);
        match indexes.last_mut() {
            Some((last, columns)) if *last == *index => {
                if let (Some(columns), Some(column)) = (columns.as_mut(), &column) {
                    columns.push(column.clone());
                } else {
                    *columns = None;
                }
            }
            _ => indexes.push((index.clone(), column.map(|column| vec![column]))),
        }
    }
    let mut whole = indexes
        .into_iter()
        .filter_map(|(index, columns)| Some((index, columns?)));
    Ok(whole.next())
}

/// The columns that an index begins with.
pub(super) async fn indexed(session: &mut Session, table: &CatalogTable) -> Result<Vec<String>> {
    names_in(session, table, "statistics", "AND seq_in_index = 1").await
}

/// Names of columns in a view of the catalogue. It compares names without their case, and on most servers
/// two tables may differ in nothing else.
async fn names_in(
    session: &mut Session,
    table: &CatalogTable,
    view: &str,
    rest: &str,
) -> Result<Vec<String>> {
    let (database, name) = (text(&table.database), text(&table.name));
    let sql = format!(
        "SELECT column_name FROM information_schema.{view} WHERE table_schema = {database} \
         AND table_name = {name} AND BINARY table_name = BINARY {name} {rest}"
    );
    let rows = session.rows(&sql, LOOKING).await?;
    let first = |row: Vec<Option<String>>| row.into_iter().next().flatten();
    Ok(rows.into_iter().filter_map(first).collect())
}
