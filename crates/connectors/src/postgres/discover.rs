//! The discover capability: what tables there are, what they look like, whether we can get in.
//!
//! Promise: it changes nothing and reads no rows; types are those a read would give. A cursor is only
//! a guess: a column named like a time of change, a timestamp or date, better when indexed.

use std::sync::Arc;

use arrow_schema::{DataType, Schema};
use async_trait::async_trait;
use towpath_ports::{Discover, Discovered, TestReport};
use towpath_vocab::Failure;

use super::catalog;
use super::error::{ErrorContext as _, Result};
use super::session::Session;
use super::settings::Settings;
use super::types::Column;
use crate::relational::names::guessed_cursor;

/// Looks around in a PostgreSQL database.
pub(super) struct PostgresDiscover {
    pub(super) settings: Settings,
}

#[async_trait]
impl Discover for PostgresDiscover {
    async fn tables(&self, pattern: &str) -> std::result::Result<Vec<String>, Failure> {
        let session = Session::open(&self.settings).await?;
        session.begin_read(None, &self.settings.schema).await?;
        Ok(self.matching(&session, pattern).await?)
    }

    async fn describe(&self, object: &str) -> std::result::Result<Discovered, Failure> {
        let session = Session::open(&self.settings).await?;
        session.begin_read(None, &self.settings.schema).await?;
        Ok(self.look_at(&session, object).await?)
    }

    async fn test(&self) -> std::result::Result<TestReport, Failure> {
        let address = self.settings.address().await?;
        let session = Session::open_at(&self.settings, &address).await?;
        session.begin_read(None, &self.settings.schema).await?;
        Ok(self.report(&session, address.port).await?)
    }
}

impl PostgresDiscover {
    async fn matching(&self, session: &Session, pattern: &str) -> Result<Vec<String>> {
        let rows = session
            .client()
            .query(
                "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't' \
                 AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND c.relname <> '_towpath_commits' \
                 ORDER BY 1, 2",
                &[],
            )
            .await
            .doing("listing tables")?;
        let glob = glob::Pattern::new(pattern).ok();
        let matches = |name: &str| {
            glob.as_ref()
                .map_or(name == pattern, |glob| glob.matches(name))
        };
        Ok(rows
            .iter()
            .map(|row| (row.get::<_, String>(0), row.get::<_, String>(1)))
            .filter_map(|(schema, table)| {
                let full = format!("{schema}.{table}");
                if schema == self.settings.schema && (matches(&table) || matches(&full)) {
                    return Some(table);
                }
                (schema != self.settings.schema && pattern.contains('.') && matches(&full))
                    .then_some(full)
            })
            .collect())
    }

    async fn look_at(&self, session: &Session, object: &str) -> Result<Discovered> {
        let client = session.client();
        let found = catalog::find(client, object, &self.settings.schema).await?;
        let raw = catalog::readable_columns(client, found.oid).await?;
        let columns: Vec<Column> = raw.iter().map(|column| column.column(None)).collect();
        let key = catalog::primary_key(client, found.oid).await?;
        let indexed = catalog::indexed_columns(client, found.oid).await?;
        let mut notes: Vec<String> = columns
            .iter()
            .filter_map(|column| column.note.clone())
            .collect();
        if found.kind != "r" {
            notes.push(format!("`{}` is a {}", found.relation, found.kind_word()));
        }
        if !found.can_read {
            notes.push(if found.can_read_some {
                "only some columns may be read".to_owned()
            } else {
                format!(
                    "no permission to read it: GRANT SELECT ON {} TO …",
                    found.relation.sql()
                )
            });
        }
        if found.row_security {
            notes.push("row security hides rows this user may not see".to_owned());
        }
        let cursor = guess_cursor(&columns, &indexed);
        if let Some(cursor) = &cursor
            && !indexed.contains(cursor)
        {
            notes.push(format!(
                "`{cursor}` has no index: asking for its largest value reads the table"
            ));
        }
        Ok(Discovered {
            object: object.to_owned(),
            schema: Arc::new(Schema::new(
                columns
                    .into_iter()
                    .map(|column| column.field)
                    .collect::<Vec<_>>(),
            )),
            key,
            cursor,
            rows: rows(found.rows_guess),
            notes,
        })
    }

    async fn report(&self, session: &Session, port: u16) -> Result<TestReport> {
        let row = session
            .client()
            .query_one(
                "SELECT current_setting('server_version'), pg_is_in_recovery(), inet_server_port(), \
                 has_database_privilege(current_database(), 'CREATE'), has_database_privilege(current_database(), 'TEMP'), \
                 coalesce(has_schema_privilege(to_regnamespace(quote_ident($1)), 'USAGE'), false), \
                 to_regnamespace(quote_ident($1)) IS NOT NULL, \
                 current_setting('server_encoding')",
                &[&self.settings.schema],
            )
            .await
            .doing("asking the server about itself")?;
        let mut notes = Vec::new();
        let version: String = row.get(0);
        if row.get::<_, bool>(1) {
            notes.push("it is a replica: it can be read, but not written".to_owned());
        }
        if row
            .get::<_, Option<i32>>(2)
            .is_some_and(|own| own != i32::from(port))
        {
            notes.push(format!(
                "the server itself listens on a port other than {port}: there is a pooler, tunnel or port mapping in between"
            ));
        }
        if self.settings.writable && !(row.get::<_, bool>(3) && row.get::<_, bool>(4)) {
            notes.push(
                "this user may not create schemas or temporary tables in the database".to_owned(),
            );
        }
        match (row.get::<_, bool>(6), row.get::<_, bool>(5)) {
            (false, _) => notes.push(format!("there is no schema `{}`", self.settings.schema)),
            (true, false) => notes.push(format!(
                "no permission to use schema `{}`",
                self.settings.schema
            )),
            (true, true) => {}
        }
        let encoding: String = row.get(7);
        if encoding == "SQL_ASCII" {
            notes.push(
                "the database has no encoding: rows with text that is not UTF-8 are rejected"
                    .to_owned(),
            );
        }
        let short = version.split_whitespace().next().unwrap_or_default();
        Ok(TestReport {
            system: format!("PostgreSQL {short}"),
            notes,
        })
    }
}

fn guess_cursor(columns: &[Column], indexed: &[String]) -> Option<String> {
    let times = columns.iter().filter(|column| {
        matches!(
            column.field.data_type(),
            DataType::Timestamp(_, _) | DataType::Date32
        )
    });
    guessed_cursor(times.map(|column| column.name.as_str()), indexed)
}

fn rows(guess: f64) -> Option<u64> {
    // -1 means never analysed; a guess has few digits that count.
    (guess >= 0.0)
        .then(|| format!("{guess:.0}").parse().ok())
        .flatten()
}
