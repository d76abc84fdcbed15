//! From stage to table: what each write mode means in SQL.
//!
//! Promise: everything happens inside the writer's transaction; keys that are missing or come twice are
//! refused before a row is touched; a merge changes rows in place, so columns that do not come stay.

use rusqlite::Connection;
use towpath_ports::PreparedStats;
use towpath_vocab::WriteMode;

use super::align::Alignment;
use super::error::{Doing as _, Result, SqliteError};
use super::names::quoted;
use super::stage::{OP, STAGE};

/// A write that is to be carried out.
pub(super) struct Apply<'a> {
    pub(super) connection: &'a Connection,
    pub(super) table: &'a str,
    pub(super) alignment: &'a Alignment,
    pub(super) key: &'a [String],
    pub(super) mode: WriteMode,
    pub(super) rows: u64,
    pub(super) shown: &'a str,
}

/// The word of a mode in the project.
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

/// Whether a mode looks for rows by key.
pub(super) fn is_keyed(mode: WriteMode) -> bool {
    matches!(
        mode,
        WriteMode::Merge | WriteMode::DeleteInsert | WriteMode::InsertOnly
    )
}

impl Apply<'_> {
    fn execute(&self, sql: &str) -> Result<u64> {
        let changed = self
            .connection
            .execute(sql, [])
            .doing(self.shown, format!("writing `{}`", self.table))?;
        Ok(changed as u64)
    }

    fn count(&self, sql: &str) -> Result<i64> {
        self.connection
            .query_row(sql, [], |row| row.get(0))
            .doing(self.shown, format!("writing `{}`", self.table))
    }

    /// Quoted target and stage value of each key column.
    fn key(&self) -> Result<Vec<(&str, &str)>> {
        let column = |name: &String| {
            let found = self
                .alignment
                .columns
                .iter()
                .find(|column| column.incoming == *name);
            found
                .map(|column| (column.target.as_str(), column.value.as_str()))
                .ok_or_else(|| SqliteError::KeyMissing {
                    table: self.table.to_owned(),
                    column: name.clone(),
                })
        };
        self.key.iter().map(column).collect()
    }

    /// Refuses keys that would make the result depend on chance.
    pub(super) fn check_keys(&self) -> Result<()> {
        if !is_keyed(self.mode) {
            return Ok(());
        }
        let key = self.key()?;
        let values: Vec<&str> = key.iter().map(|(_, value)| *value).collect();
        let (list, named) = (values.join(", "), self.key.join(", "));
        let missing: Vec<String> = values
            .iter()
            .map(|value| format!("{value} IS NULL"))
            .collect();
        let rows = self.count(&format!(
            "SELECT count(*) FROM {STAGE} s WHERE {}",
            missing.join(" OR ")
        ))?;
        if rows > 0 {
            return Err(SqliteError::NullKeys {
                table: self.table.to_owned(),
                key: named,
                rows,
            });
        }
        if self.mode != WriteMode::DeleteInsert {
            let sql = format!(
                "SELECT count(*) FROM (SELECT 1 FROM {STAGE} s GROUP BY {list} HAVING count(*) > 1)"
            );
            let keys = self.count(&sql)?;
            if keys > 0 {
                return Err(SqliteError::DuplicateKeys {
                    table: self.table.to_owned(),
                    key: named,
                    keys,
                });
            }
        }
        let columns: Vec<&str> = values
            .iter()
            .map(|value| value.trim_start_matches("s."))
            .collect();
        self.execute(&format!(
            "CREATE INDEX temp.\"_towpath_stage_key\" ON \"_towpath_stage\" ({})",
            columns.join(", ")
        ))?;
        Ok(())
    }

    /// Carries it out.
    pub(super) fn run(&self) -> Result<PreparedStats> {
        let table = quoted(self.table);
        let columns = &self.alignment.columns;
        let targets: Vec<&str> = columns
            .iter()
            .map(|column| column.target.as_str())
            .collect();
        let values: Vec<&str> = columns.iter().map(|column| column.value.as_str()).collect();
        let insert = format!(
            "INSERT INTO {table} ({}) SELECT {} FROM {STAGE} s",
            targets.join(", "),
            values.join(", ")
        );
        let mut stats = PreparedStats {
            rows_in: self.rows,
            ..PreparedStats::default()
        };
        match self.mode {
            WriteMode::Replace => {
                stats.deleted = self.execute(&format!("DELETE FROM {table}"))?;
                stats.inserted = self.execute(&insert)?;
            }
            WriteMode::DeleteInsert => {
                stats.deleted = self.execute(&format!(
                    "DELETE FROM {table} AS t WHERE EXISTS ({})",
                    self.twin("")?
                ))?;
                stats.inserted = self.execute(&insert)?;
            }
            WriteMode::InsertOnly => {
                stats.inserted =
                    self.execute(&format!("{insert} WHERE NOT {}", self.is_present()?))?;
            }
            WriteMode::Merge => {
                let gone = format!(
                    "DELETE FROM {table} AS t WHERE EXISTS ({})",
                    self.twin(&format!(" AND s.{OP} = 2"))?
                );
                stats.deleted = self.execute(&gone)?;
                stats.updated = self.update(&table)?;
                stats.inserted = self.execute(&format!(
                    "{insert} WHERE s.{OP} <> 2 AND NOT {}",
                    self.is_present()?
                ))?;
            }
            _ => stats.inserted = self.execute(&insert)?,
        }
        let after = self.count(&format!("SELECT count(*) FROM {table}"))?;
        stats.rows_after = u64::try_from(after).ok();
        Ok(stats)
    }

    fn update(&self, table: &str) -> Result<u64> {
        let key = self.key()?;
        let is_key = |target: &str| key.iter().any(|(name, _)| *name == target);
        let sets: Vec<String> = self
            .alignment
            .columns
            .iter()
            .filter(|column| !is_key(&column.target))
            .map(|column| format!("{} = {}", column.target, column.value))
            .collect();
        let matches = self.matches()?;
        if sets.is_empty() {
            let known = self.count(&format!(
                "SELECT count(*) FROM {STAGE} s WHERE s.{OP} <> 2 AND {}",
                self.is_present()?
            ))?;
            return Ok(u64::try_from(known).unwrap_or(0));
        }
        self.execute(&format!(
            "UPDATE {table} AS t SET {} FROM {STAGE} s WHERE {matches} AND s.{OP} <> 2",
            sets.join(", ")
        ))
    }

    fn matches(&self) -> Result<String> {
        let pairs: Vec<String> = self
            .key()?
            .iter()
            .map(|(target, value)| format!("t.{target} = {value}"))
            .collect();
        Ok(pairs.join(" AND "))
    }

    /// The stage's rows with the key of `t`.
    fn twin(&self, more: &str) -> Result<String> {
        Ok(format!(
            "SELECT 1 FROM {STAGE} s WHERE {}{more}",
            self.matches()?
        ))
    }

    /// The condition that the table has the key of `s`. As a list, so that SQLite sorts the table's keys
    /// once where they have no index, instead of reading the table for every row.
    fn is_present(&self) -> Result<String> {
        let key = self.key()?;
        let values: Vec<&str> = key.iter().map(|(_, value)| *value).collect();
        let targets: Vec<String> = key
            .iter()
            .map(|(target, _)| format!("t.{target}"))
            .collect();
        let known: Vec<String> = targets.iter().map(|t| format!("{t} IS NOT NULL")).collect();
        Ok(format!(
            "({}) IN (SELECT {} FROM {} t WHERE {})",
            values.join(", "),
            targets.join(", "),
            quoted(self.table),
            known.join(" AND ")
        ))
    }
}
