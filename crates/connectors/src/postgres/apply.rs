//! From stage to table: what each write mode means in SQL.
//!
//! Promise: everything happens inside the writer's transaction, so nobody sees it before the commit;
//! no unique index is needed; duplicate or missing keys are refused before a row is touched, and a
//! write of which a trigger, rule or policy swallows rows before its commit. Replace
//! deletes and inserts (readers are never blocked, grants, views and foreign keys stay) unless
//! `replace: truncate` asks for the faster way, which waits for the commit. Read next: `align.rs`.

use tokio_postgres::Client;
use towpath_ports::PreparedStats;
use towpath_vocab::WriteMode;

use super::align::{Aligned, Alignment};
use super::catalog::CatalogRelation;
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
        let watch = Watch {
            apply: self,
            on: self.interferes().await?,
        };
        match self.mode {
            WriteMode::Replace => {
                let sql = format!("DELETE FROM {}", self.own_rows());
                stats.deleted = self.change(&sql).await?;
                watch.left("t", "true", stats.deleted).await?;
                stats.inserted = self.insert_all().await?;
                watch.all_stand().await?;
                stats.rows_after = Some(stats.inserted);
            }
            WriteMode::Append => stats.inserted = self.insert_all().await?,
            WriteMode::DeleteInsert => {
                let known = format!("EXISTS (SELECT FROM {STAGE} s WHERE {})", self.same_key()?);
                let table = self.own_rows();
                let sql = format!("DELETE FROM {table} t WHERE {known}");
                stats.deleted = self.change(&sql).await?;
                watch.left("t", &known, stats.deleted).await?;
                stats.inserted = self.insert_all().await?;
                watch.none_are(&self.unknown_key()?).await?;
            }
            WriteMode::InsertOnly => {
                stats.inserted = self.insert_unknown(&watch, &self.unknown_key()?).await?;
            }
            WriteMode::Merge => self.merge(&watch, &mut stats).await?,
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

    async fn merge(&self, watch: &Watch<'_>, stats: &mut PreparedStats) -> Result<()> {
        let (table, same) = (self.own_rows(), self.same_key()?);
        let (deleted, kept) = (
            format!("{same} AND s.{OP} = {DELETE}"),
            format!("{same} AND s.{OP} <> {DELETE}"),
        );
        let sql = format!("DELETE FROM {table} t USING {STAGE} s WHERE {deleted}");
        stats.deleted = self.change(&sql).await?;
        let pairs = format!("t, {STAGE} s");
        watch.left(&pairs, &deleted, stats.deleted).await?;
        let others: Vec<_> = self
            .alignment
            .columns
            .iter()
            .filter(|column| !self.key.contains(&column.incoming))
            .collect();
        stats.updated = if others.is_empty() {
            let known = format!(
                "SELECT count(*) FROM {STAGE} s WHERE s.{OP} <> {DELETE} AND EXISTS (SELECT FROM {table} t WHERE {same})"
            );
            self.count(&known).await?.unsigned_abs()
        } else {
            let sets: Vec<String> = others
                .iter()
                .map(|column| format!("{} = {}", column.target, column.value))
                .collect();
            let sets = sets.join(", ");
            self.change(&format!(
                "UPDATE {table} t SET {sets} FROM {STAGE} s WHERE {kept}"
            ))
            .await?
        };
        watch.updated(&kept, &others, stats.updated).await?;
        let unknown = format!("{} AND s.{OP} <> {DELETE}", self.unknown_key()?);
        stats.inserted = self.insert_unknown(watch, &unknown).await?;
        Ok(())
    }

    /// The table in SQL that changes rows: those of tables that inherit from it are not its own,
    /// those of its partitions are.
    fn own_rows(&self) -> String {
        let only = if self.alignment.partitioned {
            ""
        } else {
            "ONLY "
        };
        format!("{only}{}", self.relation.sql())
    }

    /// Whether something in the database decides row by row what a write comes to.
    async fn interferes(&self) -> Result<bool> {
        let sql = "WITH RECURSIVE member(oid) AS (SELECT c.oid FROM pg_catalog.pg_class c \
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 \
                   UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN member m ON m.oid = i.inhparent) \
                   SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger t JOIN member ON member.oid = t.tgrelid WHERE NOT t.tgisinternal AND t.tgenabled <> 'D') \
                   OR EXISTS (SELECT FROM pg_catalog.pg_rewrite r JOIN member ON member.oid = r.ev_class WHERE r.ev_type <> '1' AND r.ev_enabled <> 'D') \
                   OR EXISTS (SELECT FROM pg_catalog.pg_class c JOIN member ON member.oid = c.oid WHERE c.relrowsecurity AND row_security_active(c.oid))";
        let (schema, name) = (&self.relation.schema, &self.relation.name);
        let row = self
            .client
            .query_one(sql, &[schema, name])
            .await
            .doing("looking for triggers and rules")?;
        Ok(row.get(0))
    }

    /// Inserts every row of the stage, or none.
    async fn insert_all(&self) -> Result<u64> {
        let done = self.insert("").await?;
        self.took("insert", self.rows, done)?;
        Ok(done)
    }

    /// Inserts the rows of the stage that are not in the table.
    async fn insert_unknown(&self, watch: &Watch<'_>, unknown: &str) -> Result<u64> {
        let asked = watch.staged(unknown).await?;
        let done = self.insert(unknown).await?;
        self.took("insert", asked.unwrap_or(done), done)?;
        watch.none_are(unknown).await?;
        Ok(done)
    }

    /// Rows that vanish on their way would be told as copied.
    fn took(&self, doing: &'static str, asked: u64, done: u64) -> Result<()> {
        if done >= asked {
            return Ok(());
        }
        Err(PgError::Swallowed {
            table: self.relation.to_string(),
            doing,
            asked,
            done,
        })
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
            self.own_rows(),
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

/// Asks, where something in the database may swallow rows, whether each was taken.
struct Watch<'a> {
    apply: &'a Apply<'a>,
    on: bool,
}

impl Watch<'_> {
    /// Refuses when rows that were to be deleted are still there. `rows` names them beside `t`.
    async fn left(&self, rows: &str, condition: &str, done: u64) -> Result<()> {
        if !self.on {
            return Ok(());
        }
        let from = format!("{} {rows}", self.apply.own_rows());
        let sql = format!("SELECT count(*) FROM {from} WHERE {condition}");
        let left = self.apply.count(&sql).await?.unsigned_abs();
        self.apply.took("delete", done + left, done)
    }

    /// Refuses when rows that were to be updated are not what they should be. One that was equal
    /// before may be passed over.
    async fn updated(&self, kept: &str, columns: &[&Aligned], done: u64) -> Result<()> {
        if !self.on || columns.is_empty() {
            return Ok(());
        }
        let from = format!("{} t, {STAGE} s WHERE {kept}", self.apply.own_rows());
        let asked = format!("SELECT count(*) FROM {from}");
        let asked = self.apply.count(&asked).await?.unsigned_abs();
        if done >= asked {
            return Ok(());
        }
        let list = |side: fn(&Aligned) -> String| {
            let values: Vec<String> = columns.iter().map(|column| side(column)).collect();
            format!("ROW({})::text", values.join(", "))
        };
        let (there, wanted) = (
            list(|column| format!("t.{}", column.target)),
            list(|column| column.value.clone()),
        );
        let sql = format!("SELECT count(*) FROM {from} AND {there} IS DISTINCT FROM {wanted}");
        let other = self.apply.count(&sql).await?.unsigned_abs();
        self.apply
            .took("update", asked, asked.saturating_sub(other))
    }

    /// Refuses when rows of a replacement went elsewhere (a rule led them into another table): the next
    /// one would not find them.
    async fn all_stand(&self) -> Result<()> {
        if !self.on {
            return Ok(());
        }
        let sql = format!("SELECT count(*) FROM {}", self.apply.own_rows());
        let stand = self.apply.count(&sql).await?.unsigned_abs();
        self.apply.took("insert", self.apply.rows, stand)
    }

    /// Refuses when a condition that was true for rows of the stage before they were inserted still is:
    /// they went elsewhere, and would again.
    async fn none_are(&self, unknown: &str) -> Result<()> {
        let missing = self.staged(unknown).await?.unwrap_or(0);
        let rows = self.apply.rows;
        self.apply
            .took("insert", rows, rows.saturating_sub(missing))
    }

    /// How many rows of the stage a condition is true for.
    async fn staged(&self, condition: &str) -> Result<Option<u64>> {
        if !self.on {
            return Ok(None);
        }
        let sql = format!("SELECT count(*) FROM {STAGE} s WHERE {condition}");
        Ok(Some(self.apply.count(&sql).await?.unsigned_abs()))
    }
}

/// Empties the table the fast way and fills it from the stage.
pub(super) async fn truncate_and_insert(apply: &Apply<'_>) -> Result<()> {
    apply
        .change(&format!("TRUNCATE {}", apply.own_rows()))
        .await?;
    apply.insert_all().await?;
    let watch = Watch {
        apply,
        on: apply.interferes().await?,
    };
    watch.all_stand().await
}

/// Deleting rows must not delete rows of other tables behind the user's back. `deletes` says that a
/// merge brings deletions.
pub(super) async fn refuse_cascades(
    client: &Client,
    found: &CatalogRelation,
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
