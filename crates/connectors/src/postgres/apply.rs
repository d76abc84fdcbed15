//! From stage to table: what each write mode means in SQL.
//!
//! Promise: everything happens inside the writer's transaction, so nobody sees it before the commit;
//! no unique index is needed; duplicate or missing keys are refused before a row is touched. Replace
//! deletes and inserts (readers are never blocked, grants, views and foreign keys stay) unless
//! `replace: truncate` asks for the faster way, which waits for the commit. Read next: `align.rs`.

use tokio_postgres::Client;
use towpath_ports::PreparedStats;
use towpath_vocab::WriteMode;

use super::align::Alignment;
use super::catalog::Found;
use super::error::{Doing as _, PgError, Result};
use super::names::Relation;

/// The stage every write goes through.
pub(super) const STAGE: &str = "pg_temp.\"_towpath_stage\"";
/// The stage's column of operations, in merges.
pub(super) const OP: &str = "op";
/// The stage's column of places, in merges: which of two operations came later.
pub(super) const ORDINAL: &str = "ordinal";
const DELETE: i16 = 2;

/// A write that is to be carried out.
pub(super) struct Apply<'a> {
    pub(super) client: &'a Client,
    pub(super) relation: &'a Relation,
    pub(super) alignment: &'a Alignment,
    pub(super) key: &'a [String],
    pub(super) mode: WriteMode,
    pub(super) rows: u64,
    /// The rows came with operations: of several of one key the last one counts.
    pub(super) operations: bool,
}

impl Apply<'_> {
    /// Refuses keys that would make the result depend on chance.
    pub(super) async fn check_keys(&self) -> Result<()> {
        if !matches!(
            self.mode,
            WriteMode::Merge | WriteMode::InsertOnly | WriteMode::DeleteInsert
        ) {
            return Ok(());
        }
        let (values, columns) = (self.key_values()?, self.key.join(", "));
        let missing: Vec<String> = values
            .iter()
            .map(|value| format!("{value} IS NULL"))
            .collect();
        let rows = self
            .count(&format!(
                "SELECT count(*) FROM {STAGE} s WHERE {}",
                missing.join(" OR ")
            ))
            .await?;
        if rows > 0 {
            return Err(PgError::NullKeys {
                table: self.relation.to_string(),
                columns,
                rows,
            });
        }
        if self.mode == WriteMode::DeleteInsert {
            return Ok(());
        }
        let list = values.join(", ");
        let keys = self
            .count(&format!(
                "SELECT count(*) FROM (SELECT FROM {STAGE} s GROUP BY {list} HAVING count(*) > 1) d"
            ))
            .await?;
        if keys > 0 && self.operations {
            let superseded = format!(
                "DELETE FROM {STAGE} WHERE {ORDINAL} IN (SELECT d.{ORDINAL} FROM (SELECT s.{ORDINAL}, \
                 row_number() OVER (PARTITION BY {list} ORDER BY s.{ORDINAL} DESC) AS place FROM {STAGE} s) d WHERE d.place > 1)"
            );
            self.change(&superseded).await?;
        } else if keys > 0 {
            return Err(PgError::DuplicateKeys {
                table: self.relation.to_string(),
                columns,
                keys,
            });
        }
        Ok(())
    }

    /// Refuses values that a cast would change. One look at the stage for all columns.
    pub(super) async fn check_values(&self) -> Result<()> {
        let columns = self.alignment.columns.iter();
        let cast: Vec<_> = columns
            .filter_map(|column| Some((column, column.changed.as_ref()?)))
            .collect();
        if cast.is_empty() {
            return Ok(());
        }
        let counts: Vec<String> = cast
            .iter()
            .map(|(_, (changed, _))| format!("count(*) FILTER (WHERE {changed})"))
            .collect();
        let sql = format!("SELECT {} FROM {STAGE} s", counts.join(", "));
        let row = self
            .client
            .query_one(&sql, &[])
            .await
            .doing(&format!("checking values for `{}`", self.relation))?;
        for (index, (column, (_, present))) in cast.into_iter().enumerate() {
            let rows: i64 = row.get(index);
            if rows > 0 {
                return Err(PgError::Inexact {
                    table: self.relation.to_string(),
                    column: column.incoming.clone(),
                    present: present.clone(),
                    rows,
                });
            }
        }
        Ok(())
    }

    /// Keeps other writers of the table away until the transaction's end; readers go on. False when
    /// this user has no right to.
    pub(super) async fn lock_table(&self) -> Result<bool> {
        let sql = "SELECT c.relkind IN ('r', 'p') AND has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') \
                   FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = $1 AND c.relname = $2";
        let (schema, name) = (&self.relation.schema, &self.relation.name);
        let row = self
            .client
            .query_opt(sql, &[schema, name])
            .await
            .doing("checking rights")?;
        if !row.is_some_and(|row| row.get(0)) {
            return Ok(false);
        }
        let sql = format!(
            "LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE",
            self.relation.sql()
        );
        self.client
            .batch_execute(&sql)
            .await
            .doing(&format!("locking `{}`", self.relation))?;
        Ok(true)
    }

    /// Carries it out.
    pub(super) async fn run(&self) -> Result<PreparedStats> {
        let mut stats = PreparedStats {
            rows_in: self.rows,
            ..PreparedStats::default()
        };
        match self.mode {
            WriteMode::Replace => {
                stats.deleted = self
                    .change(&format!("DELETE FROM {}", self.relation.sql()))
                    .await?;
                stats.inserted = self.insert("").await?;
                stats.rows_after = Some(stats.inserted);
            }
            WriteMode::Append => stats.inserted = self.insert("").await?,
            WriteMode::DeleteInsert => {
                stats.deleted = self
                    .change(&format!(
                        "DELETE FROM {} t WHERE EXISTS (SELECT FROM {STAGE} s WHERE {})",
                        self.relation.sql(),
                        self.same_key()?
                    ))
                    .await?;
                stats.inserted = self.insert("").await?;
            }
            WriteMode::InsertOnly => stats.inserted = self.insert(&self.unknown_key()?).await?,
            WriteMode::Merge => self.merge(&mut stats).await?,
            other => {
                return Err(PgError::Mode {
                    mode: mode_word(other),
                });
            }
        }
        if self.alignment.created {
            stats.rows_after = Some(stats.inserted);
        }
        Ok(stats)
    }

    async fn merge(&self, stats: &mut PreparedStats) -> Result<()> {
        let (table, same) = (self.relation.sql(), self.same_key()?);
        stats.deleted = self
            .change(&format!(
                "DELETE FROM {table} t USING {STAGE} s WHERE {same} AND s.{OP} = {DELETE}"
            ))
            .await?;
        let sets: Vec<String> = self
            .alignment
            .columns
            .iter()
            .filter(|column| !self.key.contains(&column.incoming))
            .map(|column| format!("{} = {}", column.target, column.value))
            .collect();
        stats.updated = if sets.is_empty() {
            let known = format!(
                "SELECT count(*) FROM {STAGE} s WHERE s.{OP} <> {DELETE} AND EXISTS (SELECT FROM {table} t WHERE {same})"
            );
            self.count(&known).await?.unsigned_abs()
        } else {
            let sets = sets.join(", ");
            self.change(&format!(
                "UPDATE {table} t SET {sets} FROM {STAGE} s WHERE {same} AND s.{OP} <> {DELETE}"
            ))
            .await?
        };
        stats.inserted = self
            .insert(&format!("{} AND s.{OP} <> {DELETE}", self.unknown_key()?))
            .await?;
        Ok(())
    }

    async fn insert(&self, condition: &str) -> Result<u64> {
        let targets: Vec<&str> = self
            .alignment
            .columns
            .iter()
            .map(|column| column.target.as_str())
            .collect();
        let values: Vec<&str> = self
            .alignment
            .columns
            .iter()
            .map(|column| column.value.as_str())
            .collect();
        let filter = if condition.is_empty() {
            String::new()
        } else {
            format!(" WHERE {condition}")
        };
        let sql = format!(
            "INSERT INTO {} ({}) SELECT {} FROM {STAGE} s{filter}",
            self.relation.sql(),
            targets.join(", "),
            values.join(", ")
        );
        self.change(&sql).await
    }

    fn key_values(&self) -> Result<Vec<&str>> {
        self.key
            .iter()
            .map(|name| self.key_column(name).map(|column| column.value.as_str()))
            .collect()
    }

    fn key_column(&self, name: &str) -> Result<&super::align::Aligned> {
        self.alignment
            .columns
            .iter()
            .find(|column| column.incoming == name)
            .ok_or_else(|| PgError::KeyMissing {
                table: self.relation.to_string(),
                column: name.to_owned(),
            })
    }

    /// The row `t` of the table has the key of the row `s` of the stage.
    fn same_key(&self) -> Result<String> {
        let equal: Vec<String> = self
            .key
            .iter()
            .map(|name| {
                self.key_column(name)
                    .map(|column| format!("t.{} = {}", column.target, column.value))
            })
            .collect::<Result<_>>()?;
        Ok(equal.join(" AND "))
    }

    fn unknown_key(&self) -> Result<String> {
        Ok(format!(
            "NOT EXISTS (SELECT FROM {} t WHERE {})",
            self.relation.sql(),
            self.same_key()?
        ))
    }

    async fn change(&self, sql: &str) -> Result<u64> {
        self.client
            .execute(sql, &[])
            .await
            .doing(&format!("writing `{}`", self.relation))
    }

    async fn count(&self, sql: &str) -> Result<i64> {
        let row = self
            .client
            .query_one(sql, &[])
            .await
            .doing(&format!("checking keys for `{}`", self.relation))?;
        Ok(row.get(0))
    }
}

/// Empties the table the fast way and fills it from the stage.
pub(super) async fn truncate_and_insert(apply: &Apply<'_>) -> Result<()> {
    apply
        .change(&format!("TRUNCATE {}", apply.relation.sql()))
        .await?;
    apply.insert("").await?;
    Ok(())
}

/// Deleting rows must not delete rows of other tables behind the user's back. `deletes` says that a
/// merge brings deletions.
pub(super) async fn refuse_cascades(
    client: &Client,
    found: &Found,
    mode: WriteMode,
    deletes: bool,
) -> Result<()> {
    if !deletes && !matches!(mode, WriteMode::Replace | WriteMode::DeleteInsert) {
        return Ok(());
    }
    let sql = "SELECT conname::text, conrelid::regclass::text FROM pg_catalog.pg_constraint \
               WHERE confrelid = $1 AND contype = 'f' AND confdeltype IN ('c', 'n', 'd') LIMIT 1";
    let row = client
        .query_opt(sql, &[&found.oid])
        .await
        .doing("looking at foreign keys")?;
    row.map_or(Ok(()), |row| {
        let (constraint, other): (String, String) = (row.get(0), row.get(1));
        Err(PgError::Cascade {
            table: found.relation.to_string(),
            constraint,
            other,
        })
    })
}

/// A mode as the configuration says it.
pub(super) fn mode_word(mode: WriteMode) -> &'static str {
    match mode {
        WriteMode::Replace => "replace",
        WriteMode::Append => "append",
        WriteMode::Merge => "merge",
        WriteMode::DeleteInsert => "delete+insert",
        WriteMode::InsertOnly => "insert_only",
        WriteMode::Scd1 => "scd1",
        WriteMode::Scd2 => "scd2",
        WriteMode::Scd3 => "scd3",
        WriteMode::Snapshot => "snapshot",
    }
}
