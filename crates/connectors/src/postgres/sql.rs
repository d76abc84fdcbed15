//! PostgreSQL for what SQL databases share (`relational/`): its dialect, and its wire for a session in
//! the middle of a transaction.
//!
//! Promise: pure text and plain statements; which write comes to what is decided there. Read next:
//! `relational/session.rs`, `relational/dialect.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::BytesMut;
use postgres_types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::Client;

use super::definition;
use super::error::{ErrorContext as _, PgError, Result};
use super::names::Relation;
use super::session;
use crate::relational::align::Aligned;
use crate::relational::dialect::{CommitTypes, Dialect};
use crate::relational::session::{Session, Value};
use crate::relational::statements::Pairs;

/// The stage every write goes through.
pub(super) const STAGE: &str = "pg_temp.\"_towpath_stage\"";
/// The stage's column of places, in merges: which of two operations came later.
pub(super) const ORDINAL: &str = "ordinal";

/// How PostgreSQL writes SQL.
pub(super) struct PostgresDialect;

impl Dialect for PostgresDialect {
    fn placeholder(&self, at: usize) -> String {
        format!("${at}")
    }

    fn stage(&self) -> &'static str {
        STAGE
    }

    fn commit_types(&self) -> CommitTypes {
        CommitTypes {
            key: "text",
            text: "text",
            bigint: "bigint",
            integer: "integer",
            moment: "timestamptz NOT NULL DEFAULT now()",
            options: "",
        }
    }

    fn key_value(&self, _: usize, column: &Aligned) -> String {
        column.value.clone()
    }

    fn place(&self) -> &'static str {
        ORDINAL
    }

    fn delete_matching(&self, rows: &str, pairs: &Pairs, filter: &str) -> String {
        let same = pairs.equal();
        if filter.is_empty() {
            return format!(
                "DELETE FROM {rows} t WHERE EXISTS (SELECT FROM {STAGE} s WHERE {same})"
            );
        }
        format!("DELETE FROM {rows} t USING {STAGE} s WHERE {same} AND {filter}")
    }

    fn update_matching(&self, rows: &str, sets: &str, condition: &str) -> String {
        format!("UPDATE {rows} t SET {sets} FROM {STAGE} s WHERE {condition}")
    }

    fn is_present(&self, rows: &str, pairs: &Pairs) -> String {
        format!("EXISTS (SELECT FROM {rows} t WHERE {})", pairs.equal())
    }

    fn differs(&self, pairs: &[(String, String)]) -> String {
        let (one, other): (Vec<&str>, Vec<&str>) = pairs
            .iter()
            .map(|(one, other)| (one.as_str(), other.as_str()))
            .unzip();
        format!(
            "ROW({})::text IS DISTINCT FROM ROW({})::text",
            one.join(", "),
            other.join(", ")
        )
    }

    fn counts_rows(&self) -> bool {
        false
    }
}

/// A session that writes one table.
pub(super) struct Writing {
    pub(super) session: Arc<session::Session>,
    pub(super) relation: Relation,
    pub(super) commits: Relation,
}

impl Writing {
    pub(super) fn client(&self) -> &Client {
        self.session.client()
    }
}

#[async_trait]
impl Session for Writing {
    type Error = PgError;

    fn dialect(&self) -> &dyn Dialect {
        &PostgresDialect
    }

    async fn execute(&self, sql: &str, params: &[Value], doing: &str) -> Result<u64> {
        let done = self.client().execute(sql, &borrowed(params)).await;
        done.map_err(|error| PgError::about_table(&error, doing, &self.relation))
    }

    async fn rows(&self, sql: &str, params: &[Value], doing: &str) -> Result<Vec<Vec<Value>>> {
        let rows = self
            .client()
            .query(sql, &borrowed(params))
            .await
            .doing(doing)?;
        let values = |row: &tokio_postgres::Row| {
            (0..row.len())
                .map(|at| row.try_get(at))
                .collect::<std::result::Result<Vec<Value>, _>>()
        };
        rows.iter()
            .map(values)
            .collect::<std::result::Result<_, _>>()
            .doing(doing)
    }

    fn commits(&self) -> String {
        self.commits.sql()
    }

    async fn has_commits(&self) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = $1 AND c.relname = $2)";
        let (schema, name) = (&self.commits.schema, &self.commits.name);
        let row = self.client().query_one(sql, &[schema, name]).await;
        Ok(row.doing("looking for `_towpath_commits`")?.get(0))
    }

    async fn create_commits(&self, sql: &str) -> Result<()> {
        // Two first commits at once would collide in the catalogue.
        definition::lock(self.client(), &self.commits()).await?;
        definition::ensure_schema(self.client(), &self.commits.schema).await?;
        self.client()
            .batch_execute(sql)
            .await
            .doing("creating `_towpath_commits`")
    }

    async fn may_prune(&self) -> Result<bool> {
        let sql = "SELECT has_table_privilege($1::text, 'DELETE')";
        let params = [Value::Text(self.commits())];
        let rows = self.rows(sql, &params, "checking permissions").await?;
        Ok(rows
            .first()
            .and_then(|row| row.first())
            .is_some_and(|may| may.int() == 1))
    }

    async fn prepare_keys(&self, _: &[Aligned]) -> Result<()> {
        Ok(())
    }

    async fn index_keys(&self, _: usize, _: bool) -> Result<()> {
        Ok(())
    }

    async fn storage(&self) -> Result<Option<String>> {
        let sql = "SELECT c.oid::text || '/' || c.relfilenode::text FROM pg_catalog.pg_class c \
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'r'";
        let (schema, name) = (&self.relation.schema, &self.relation.name);
        let row = self.client().query_opt(sql, &[schema, name]).await;
        let row = row.doing("looking at the table")?;
        Ok(row.map(|row| row.get(0)))
    }

    async fn interferes(&self) -> Result<bool> {
        let sql = "WITH RECURSIVE member(oid) AS (SELECT c.oid FROM pg_catalog.pg_class c \
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 \
                   UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN member m ON m.oid = i.inhparent) \
                   SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger t JOIN member ON member.oid = t.tgrelid WHERE NOT t.tgisinternal AND t.tgenabled <> 'D') \
                   OR EXISTS (SELECT FROM pg_catalog.pg_rewrite r JOIN member ON member.oid = r.ev_class WHERE r.ev_type <> '1' AND r.ev_enabled <> 'D') \
                   OR EXISTS (SELECT FROM pg_catalog.pg_class c JOIN member ON member.oid = c.oid WHERE c.relrowsecurity AND row_security_active(c.oid))";
        let (schema, name) = (&self.relation.schema, &self.relation.name);
        let row = self
            .client()
            .query_one(sql, &[schema, name])
            .await
            .doing("looking for triggers and rules")?;
        Ok(row.get(0))
    }
}

fn borrowed(params: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    params
        .iter()
        .map(|value| value as &(dyn ToSql + Sync))
        .collect()
}

type Odd = Box<dyn std::error::Error + Sync + Send>;

impl ToSql for Value {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> std::result::Result<IsNull, Odd> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) if *of == Type::INT4 => i32::try_from(*value)?.to_sql(of, out),
            Self::Int(value) => value.to_sql(of, out),
            Self::Text(text) => text.to_sql(of, out),
        }
    }

    fn accepts(of: &Type) -> bool {
        [
            Type::INT4,
            Type::INT8,
            Type::TEXT,
            Type::NAME,
            Type::VARCHAR,
        ]
        .contains(of)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(of: &Type, raw: &'a [u8]) -> std::result::Result<Self, Odd> {
        Ok(match *of {
            Type::BOOL => Self::Int(i64::from(bool::from_sql(of, raw)?)),
            Type::INT4 => Self::Int(i64::from(i32::from_sql(of, raw)?)),
            Type::INT8 => Self::Int(i64::from_sql(of, raw)?),
            _ => Self::Text(String::from_sql(of, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> std::result::Result<Self, Odd> {
        Ok(Self::Null)
    }

    fn accepts(of: &Type) -> bool {
        [Type::BOOL, Type::INT4, Type::INT8, Type::TEXT, Type::NAME].contains(of)
    }
}
