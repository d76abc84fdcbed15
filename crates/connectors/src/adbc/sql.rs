//! DuckDB for what SQL databases share (`relational/`): its dialect, and its wire for a session in the middle of a
//! transaction.
//!
//! Promise: pure text and plain statements; which write comes to what is decided there. Read next:
//! `relational/session.rs`, `relational/dialect.rs`.

use std::sync::Arc;

use adbc_core::error::Error;
use adbc_core::{Connection as _, Statement as _};
use adbc_driver_manager::ManagedConnection;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;

use super::answer::Answer;
use super::error::{AdbcError, Result};
use super::session;
use super::stage::{PLACE, STAGE};
use super::target::Target;
use super::vendor::Vendor;
use crate::relational::align::Aligned;
use crate::relational::commits;
use crate::relational::dialect::{CommitTypes, Dialect};
use crate::relational::session::{Session, Value};
use crate::relational::statements::Pairs;

/// How DuckDB writes SQL.
pub(super) struct DuckDialect;

impl Dialect for DuckDialect {
    fn placeholder(&self, at: usize) -> String {
        format!("${at}")
    }

    fn stage(&self) -> &'static str {
        STAGE
    }

    fn commit_types(&self) -> CommitTypes {
        CommitTypes {
            key: "VARCHAR",
            text: "VARCHAR",
            bigint: "BIGINT",
            integer: "INTEGER",
            moment: "TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now()",
            options: "",
        }
    }

    fn key_value(&self, _: usize, column: &Aligned) -> String {
        column.value.clone()
    }

    fn place(&self) -> &'static str {
        PLACE
    }

    fn delete_matching(&self, rows: &str, pairs: &Pairs, filter: &str) -> String {
        let same = pairs.equal();
        let filter = match filter {
            "" => String::new(),
            filter => format!(" AND {filter}"),
        };
        format!("DELETE FROM {rows} AS t USING {STAGE} AS s WHERE {same}{filter}")
    }

    fn update_matching(&self, rows: &str, sets: &str, condition: &str) -> String {
        format!("UPDATE {rows} AS t SET {sets} FROM {STAGE} AS s WHERE {condition}")
    }

    fn is_present(&self, rows: &str, pairs: &Pairs) -> String {
        format!("EXISTS (SELECT 1 FROM {rows} t WHERE {})", pairs.equal())
    }

    fn differs(&self, pairs: &[(String, String)]) -> String {
        let each = pairs
            .iter()
            .map(|(one, other)| format!("{one} IS DISTINCT FROM {other}"));
        format!("({})", each.collect::<Vec<_>>().join(" OR "))
    }

    fn counts_rows(&self) -> bool {
        true
    }
}

/// A session that writes one table.
pub(super) struct Writing {
    pub(super) session: session::Session,
    pub(super) target: Target,
}

/// Parameters as the driver takes them: one row.
fn bound(params: &[Value]) -> std::result::Result<RecordBatch, arrow_schema::ArrowError> {
    let columns = params.iter().enumerate().map(|(at, value)| {
        let array: ArrayRef = match value {
            Value::Null => Arc::new(StringArray::from(vec![None::<&str>])),
            Value::Int(value) => Arc::new(Int64Array::from(vec![*value])),
            Value::Text(text) => Arc::new(StringArray::from(vec![text.as_str()])),
        };
        (at.to_string(), array, true)
    });
    RecordBatch::try_from_iter_with_nullable(columns)
}

#[async_trait]
impl Session for Writing {
    type Error = AdbcError;

    fn dialect(&self) -> &dyn Dialect {
        &DuckDialect
    }

    async fn execute(&self, sql: &str, params: &[Value], doing: &str) -> Result<u64> {
        let (sql, params, doing) = (sql.to_owned(), params.to_vec(), doing.to_owned());
        let done = self.session.run(move |work| {
            let run = |connection: &mut ManagedConnection| {
                let mut statement = connection.new_statement()?;
                statement.set_sql_query(&sql)?;
                if !params.is_empty() {
                    statement.prepare()?;
                    statement.bind(bound(&params)?)?;
                }
                statement.execute_update()
            };
            let done = run(work.connection()?);
            done.map_err(|error| work.failed(&error, &doing))
        });
        // DuckDB's driver gives no number where none was changed.
        let changed = done.await?.unwrap_or(0);
        Ok(changed.max(0).unsigned_abs())
    }

    async fn rows(&self, sql: &str, params: &[Value], doing: &str) -> Result<Vec<Vec<Value>>> {
        let (sql, params, doing) = (sql.to_owned(), params.to_vec(), doing.to_owned());
        let answer = self.session.run(move |work| {
            let run = |connection: &mut ManagedConnection| {
                let mut statement = connection.new_statement()?;
                statement.set_sql_query(&sql)?;
                if !params.is_empty() {
                    statement.prepare()?;
                    statement.bind(bound(&params)?)?;
                }
                let stream = statement.execute()?;
                let answer = Answer::new(stream, statement);
                let fields = answer.schema().fields().clone();
                let numbers: Vec<bool> = fields
                    .iter()
                    .map(|field| field.data_type().is_integer())
                    .collect();
                Ok((numbers, answer.texts()?))
            };
            let rows = run(work.connection()?);
            rows.map_err(|error: Error| work.failed(&error, &doing))
        });
        let (numbers, rows) = answer.await?;
        let value = |(is_number, text): (&bool, Option<String>)| match (is_number, text) {
            (_, None) => Value::Null,
            (true, Some(text)) => text.parse().map_or(Value::Null, Value::Int),
            (false, Some(text)) => Value::Text(text),
        };
        let row = |row: Vec<Option<String>>| numbers.iter().zip(row).map(value).collect();
        Ok(rows.into_iter().map(row).collect())
    }

    fn commits(&self) -> String {
        format!("\"main\".{}", Vendor::DuckDb.quoted(commits::TABLE))
    }

    async fn has_commits(&self) -> Result<bool> {
        let commits = Target {
            schema: "main".to_owned(),
            name: commits::TABLE.to_owned(),
        };
        let there = self
            .session
            .run(move |work| Ok(commits.look(work)?.is_some()));
        there.await
    }

    async fn create_commits(&self, sql: &str) -> Result<()> {
        self.execute(sql, &[], "creating `_towpath_commits`")
            .await?;
        Ok(())
    }

    async fn may_prune(&self) -> Result<bool> {
        Ok(true)
    }

    async fn prepare_keys(&self, _: &[Aligned]) -> Result<()> {
        Ok(())
    }

    async fn index_keys(&self, _: usize, _: bool) -> Result<()> {
        Ok(())
    }

    /// DuckDB has no triggers.
    async fn interferes(&self) -> Result<bool> {
        Ok(false)
    }
}
