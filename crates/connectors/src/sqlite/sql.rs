//! SQLite for what SQL databases share (`relational/`): its dialect, its type table, and its wire for a
//! session in the middle of a transaction.
//!
//! Promise: pure text and plain statements; which write comes to what is decided there. Keys are compared
//! by columns of the stage that `keys.rs` makes. Read next: `relational/session.rs`.

use arrow_schema::Field;
use async_trait::async_trait;
use rusqlite::types::{ToSqlOutput, ValueRef};
use towpath_vocab::types;

use super::error::{ErrorContext as _, Result, SqliteError};
use super::keys::KeyColumns;
use super::names::same;
use super::session;
use super::stage::{STAGE, declared, keeps};
use super::types::Raw;
use crate::relational::align::{Aligned, Fit, NewColumn, PresentColumn, TableTypes};
use crate::relational::commits;
use crate::relational::dialect::{CommitTypes, Dialect};
use crate::relational::session::{Session, Value};
use crate::relational::statements::Pairs;

/// How SQLite writes SQL.
pub(super) struct SqliteDialect;

impl Dialect for SqliteDialect {
    fn placeholder(&self, at: usize) -> String {
        format!("?{at}")
    }

    fn stage(&self) -> &'static str {
        STAGE
    }

    fn commit_types(&self) -> CommitTypes {
        CommitTypes {
            key: "TEXT",
            text: "TEXT",
            bigint: "INTEGER",
            integer: "INTEGER",
            moment: "TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))",
            options: " WITHOUT ROWID",
        }
    }

    fn key_value(&self, place: usize, _: &Aligned) -> String {
        format!("s.k{place}")
    }

    fn exact(&self, value: &str) -> String {
        format!("({value} COLLATE BINARY)")
    }

    fn place(&self) -> &'static str {
        "rowid"
    }

    fn delete_matching(&self, rows: &str, pairs: &Pairs, filter: &str) -> String {
        let filter = match filter {
            "" => String::new(),
            filter => format!(" WHERE {filter}"),
        };
        let targets: Vec<String> = pairs.targets.iter().map(|t| format!("t.{t}")).collect();
        let among = format!(
            "({}) IN (SELECT {} FROM {STAGE} s{filter})",
            targets.join(", "),
            pairs.values.join(", ")
        );
        self.delete_where(rows, &among)
    }

    fn update_matching(&self, rows: &str, sets: &str, condition: &str) -> String {
        format!("UPDATE {rows} AS t SET {sets} FROM {STAGE} s WHERE {condition}")
    }

    /// By the stage's row numbers: `NOT IN` of several columns that may be NULL goes through the whole
    /// list for each row that is not in it.
    fn is_present(&self, rows: &str, pairs: &Pairs) -> String {
        let equal = pairs.equal().replace("s.k", "p.k");
        format!("s.rowid IN (SELECT p.rowid FROM {STAGE} p, {rows} t WHERE {equal})")
    }

    fn differs(&self, pairs: &[(String, String)]) -> String {
        let each = pairs
            .iter()
            .map(|(one, other)| format!("{one} IS NOT {other}"));
        format!("({})", each.collect::<Vec<_>>().join(" OR "))
    }

    fn counts_rows(&self) -> bool {
        true
    }
}

/// SQLite's type table.
pub(super) struct SqliteTypes;

impl PresentColumn for Raw {
    fn name(&self) -> &str {
        &self.name
    }

    fn type_name(&self) -> &str {
        &self.declared
    }
}

#[async_trait]
impl TableTypes for SqliteTypes {
    type Error = SqliteError;
    type Present = Raw;

    fn same(&self, one: &str, other: &str) -> bool {
        same(one, other)
    }

    fn fit(&self, field: &Field, present: &Raw) -> Result<Fit> {
        declared(field)?;
        Ok(match keeps(&present.declared, field.data_type()) {
            true => Fit::Plain,
            false => Fit::No(types::name(field.data_type())),
        })
    }

    async fn new_column(&self, field: &Field) -> Result<NewColumn> {
        Ok(NewColumn {
            data_type: declared(field)?,
            cast: false,
        })
    }

    fn changed(&self, _: &str, _: &str) -> Option<String> {
        None
    }

    /// SQLite changes no column's type: `fit` never asks for it.
    fn widen(&self, table: &str, column: &str, _: &Raw, wider: &str) -> String {
        format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE {wider}")
    }
}

/// A session that writes one table.
pub(super) struct Writing {
    pub(super) session: session::Session,
    pub(super) table: String,
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Self::Int(value) => ToSqlOutput::Borrowed(ValueRef::Integer(*value)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

#[async_trait]
impl Session for Writing {
    type Error = SqliteError;

    fn dialect(&self) -> &dyn Dialect {
        &SqliteDialect
    }

    async fn execute(&self, sql: &str, params: &[Value], doing: &str) -> Result<u64> {
        let (sql, params, doing) = (sql.to_owned(), params.to_vec(), doing.to_owned());
        let shown = self.session.shown.clone();
        let changed = self.session.run(move |connection| {
            connection
                .execute(&sql, rusqlite::params_from_iter(&params))
                .doing(&shown, doing)
        });
        Ok(changed.await? as u64)
    }

    async fn rows(&self, sql: &str, params: &[Value], doing: &str) -> Result<Vec<Vec<Value>>> {
        let (sql, params, doing) = (sql.to_owned(), params.to_vec(), doing.to_owned());
        let shown = self.session.shown.clone();
        let answer = move |connection: &rusqlite::Connection| {
            let ask = || -> rusqlite::Result<Vec<Vec<Value>>> {
                let mut statement = connection.prepare(&sql)?;
                let columns = statement.column_count();
                let rows = statement.query_map(rusqlite::params_from_iter(&params), |row| {
                    (0..columns).map(|at| Ok(value(row.get_ref(at)?))).collect()
                })?;
                rows.collect()
            };
            ask().doing(&shown, doing)
        };
        self.session.run(answer).await
    }

    fn commits(&self) -> String {
        commits::TABLE.to_owned()
    }

    async fn has_commits(&self) -> Result<bool> {
        let sql = "SELECT count(*) FROM main.sqlite_master WHERE type = 'table' AND name = ?1";
        let params = [Value::Text(commits::TABLE.to_owned())];
        let rows = self.rows(sql, &params, "asking for the last commit");
        Ok(rows
            .await?
            .first()
            .and_then(|row| row.first())
            .is_some_and(|count| count.int() > 0))
    }

    async fn create_commits(&self, sql: &str) -> Result<()> {
        self.execute(sql, &[], "creating `_towpath_commits`")
            .await?;
        Ok(())
    }

    async fn may_prune(&self) -> Result<bool> {
        Ok(true)
    }

    async fn prepare_keys(&self, keys: &[Aligned]) -> Result<()> {
        let (keys, table, shown) = (
            keys.to_vec(),
            self.table.clone(),
            self.session.shown.clone(),
        );
        self.session
            .run(move |connection| {
                let columns = KeyColumns {
                    connection,
                    table: &table,
                    shown: &shown,
                };
                columns.add(&keys)
            })
            .await
    }

    async fn index_keys(&self, keys: usize, unique: bool) -> Result<()> {
        let (table, shown) = (self.table.clone(), self.session.shown.clone());
        self.session
            .run(move |connection| {
                let columns = KeyColumns {
                    connection,
                    table: &table,
                    shown: &shown,
                };
                columns.index(keys, unique)
            })
            .await
    }

    async fn interferes(&self) -> Result<bool> {
        let sql = "SELECT count(*) FROM main.sqlite_master WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE";
        let params = [Value::Text(self.table.clone())];
        let rows = self.rows(sql, &params, "looking for triggers").await?;
        Ok(rows
            .first()
            .and_then(|row| row.first())
            .is_some_and(|count| count.int() > 0))
    }
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Value::Null,
    }
}
