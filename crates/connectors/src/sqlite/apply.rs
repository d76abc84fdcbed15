//! From stage to table: what each write mode means in SQL.
//!
//! Promise: everything happens inside the writer's transaction; keys that are missing or come twice are
//! refused before a row is touched, but of several changes of one key the last counts; a merge changes
//! rows in place, so columns that do not come stay.

use rusqlite::Connection;
use towpath_ports::PreparedStats;
use towpath_vocab::WriteMode;

use super::align::{Aligned, Alignment};
use super::error::{Doing as _, Result, SqliteError};
use super::keys::KeyColumns;
use super::names::quoted;
use super::stage::{OP, STAGE};

/// A write that is to be carried out.
pub(super) struct Apply<'a> {
    pub(super) connection: &'a Connection,
    pub(super) table: &'a str,
    pub(super) alignment: &'a Alignment,
    pub(super) key: &'a [String],
    pub(super) mode: WriteMode,
    /// The rows are changes, in order.
    pub(super) changes: bool,
    pub(super) rows: u64,
    pub(super) shown: &'a str,
}

/// One statement of a write, by what its number of rows says.
#[derive(Debug)]
pub(super) enum Step {
    Delete(String),
    Update(String),
    /// Asks how many rows are there already, with nothing to change in them.
    Known(String),
    Insert(String),
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

    /// The key's columns.
    fn key(&self) -> Result<Vec<&Aligned>> {
        let column = |name: &String| {
            let mut columns = self.alignment.columns.iter();
            columns
                .find(|column| column.incoming == *name)
                .ok_or_else(|| SqliteError::KeyMissing {
                    table: self.table.to_owned(),
                    column: name.clone(),
                })
        };
        self.key.iter().map(column).collect()
    }

    /// The table's key columns and, as `stage`'s, those they are compared with.
    fn pairs(&self, stage: &str) -> Result<Vec<(String, String)>> {
        let pair = |(at, column): (usize, &&Aligned)| {
            (format!("t.{}", column.target), format!("{stage}.k{at}"))
        };
        Ok(self.key()?.iter().enumerate().map(pair).collect())
    }

    /// Refuses keys that would make the result depend on chance, and makes the others quick to find.
    pub(super) fn check_keys(&self) -> Result<()> {
        if !is_keyed(self.mode) {
            return Ok(());
        }
        let key = self.key()?;
        let place = KeyColumns {
            connection: self.connection,
            table: self.table,
            shown: self.shown,
        };
        place.add(&key)?;
        let values: Vec<String> = (0..key.len()).map(|at| format!("s.k{at}")).collect();
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
        let unique = self.mode != WriteMode::DeleteInsert;
        if self.changes {
            self.execute(&format!(
                "DELETE FROM {STAGE} WHERE rowid NOT IN (SELECT max(s.rowid) FROM {STAGE} s GROUP BY {list})"
            ))?;
        } else if unique {
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
        place.index(key.len(), unique)
    }

    /// Carries it out.
    pub(super) fn run(&self) -> Result<PreparedStats> {
        let mut stats = PreparedStats {
            rows_in: self.rows,
            ..PreparedStats::default()
        };
        for step in self.steps()? {
            match step {
                Step::Delete(sql) => stats.deleted = self.execute(&sql)?,
                Step::Update(sql) => stats.updated = self.execute(&sql)?,
                Step::Known(sql) => {
                    stats.updated = u64::try_from(self.count(&sql)?).unwrap_or(0);
                }
                Step::Insert(sql) => stats.inserted = self.execute(&sql)?,
            }
        }
        let after = self.count(&format!("SELECT count(*) FROM {}", quoted(self.table)))?;
        stats.rows_after = u64::try_from(after).ok();
        Ok(stats)
    }

    /// The statements of this mode, in their order. Each reads stage and table once, or searches one for
    /// the rows of the other by an index of the key.
    pub(super) fn steps(&self) -> Result<Vec<Step>> {
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
        Ok(match self.mode {
            WriteMode::Replace => vec![
                Step::Delete(format!("DELETE FROM {table}")),
                Step::Insert(insert),
            ],
            WriteMode::DeleteInsert => vec![Step::Delete(self.delete("")?), Step::Insert(insert)],
            WriteMode::InsertOnly => vec![Step::Insert(format!(
                "{insert} WHERE NOT {}",
                self.is_present()?
            ))],
            WriteMode::Merge => vec![
                Step::Delete(self.delete(&format!(" WHERE s.{OP} = 2"))?),
                self.update()?,
                Step::Insert(format!(
                    "{insert} WHERE s.{OP} <> 2 AND NOT {}",
                    self.is_present()?
                )),
            ],
            _ => vec![Step::Insert(insert)],
        })
    }

    fn update(&self) -> Result<Step> {
        let key = self.key()?;
        let is_key = |target: &str| key.iter().any(|column| column.target == target);
        let sets: Vec<String> = self
            .alignment
            .columns
            .iter()
            .filter(|column| !is_key(&column.target))
            .map(|column| format!("{} = {}", column.target, column.value))
            .collect();
        if sets.is_empty() {
            return Ok(Step::Known(format!(
                "SELECT count(*) FROM {STAGE} s WHERE s.{OP} <> 2 AND {}",
                self.is_present()?
            )));
        }
        Ok(Step::Update(format!(
            "UPDATE {} AS t SET {} FROM {STAGE} s WHERE {} AND s.{OP} <> 2",
            quoted(self.table),
            sets.join(", "),
            self.matches("s")?
        )))
    }

    /// Deletes the table's rows whose key is among these of the stage.
    fn delete(&self, filter: &str) -> Result<String> {
        let (targets, values): (Vec<String>, Vec<String>) = self.pairs("s")?.into_iter().unzip();
        Ok(format!(
            "DELETE FROM {} AS t WHERE ({}) IN (SELECT {} FROM {STAGE} s{filter})",
            quoted(self.table),
            targets.join(", "),
            values.join(", ")
        ))
    }

    fn matches(&self, stage: &str) -> Result<String> {
        let pairs = self.pairs(stage)?.into_iter();
        let equal: Vec<String> = pairs
            .map(|(target, value)| format!("{target} = {value}"))
            .collect();
        Ok(equal.join(" AND "))
    }

    /// The condition that the table has the key of `s`. By the stage's row numbers: `NOT IN` of several
    /// columns that may be NULL goes through the whole list for each row that is not in it.
    fn is_present(&self) -> Result<String> {
        Ok(format!(
            "s.rowid IN (SELECT p.rowid FROM {STAGE} p, {} t WHERE {})",
            quoted(self.table),
            self.matches("p")?
        ))
    }
}
