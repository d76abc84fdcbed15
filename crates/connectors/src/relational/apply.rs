//! Runs a write: judges keys, runs the statements of its mode, counts what they did.
//!
//! Promise: everything happens inside the session's transaction; keys that are missing or repeat are
//! refused before a row is touched, but of several changes of one key the last counts; rows that a
//! trigger, rule or policy swallows are refused. Read next: `statements.rs`.

use towpath_ports::PreparedStats;
use towpath_vocab::WriteMode;

use super::fault::Fault;
use super::modes::is_keyed;
use super::session::{Session, count};
use super::statements::{Counted, Statements, Step};

/// A write and the session that carries it out.
pub(crate) struct Apply<'a, S: ?Sized> {
    pub(crate) session: &'a S,
    pub(crate) statements: Statements<'a>,
    /// Rows in the stage.
    pub(crate) rows: u64,
    /// The rows are changes, in order: of several of one key the last one counts.
    pub(crate) changes: bool,
    /// Key columns of which an earlier write of the same task found no value with blanks.
    pub(crate) plain_keys: Vec<String>,
}

impl<S: Session + ?Sized> Apply<'_, S> {
    fn doing(&self) -> String {
        format!("writing `{}`", self.statements.shown)
    }

    /// Runs a statement; how many rows it changed.
    pub(crate) async fn execute(&self, sql: &str) -> Result<u64, S::Error> {
        self.session.execute(sql, &[], &self.doing()).await
    }

    async fn count(&self, sql: &str) -> Result<u64, S::Error> {
        let counted = count(self.session, sql, &self.doing()).await?;
        Ok(counted.unsigned_abs())
    }

    /// Refuses keys that would make the result depend on chance.
    pub(crate) async fn check_keys(&self) -> Result<(), S::Error> {
        let statements = &self.statements;
        if !is_keyed(statements.mode) {
            return Ok(());
        }
        let key = statements.key_columns()?;
        self.session.prepare_keys(&key).await?;
        let (values, columns) = (statements.key_values()?, statements.key.join(", "));
        let stage = statements.dialect.stage();
        let missing: Vec<String> = values.iter().map(|v| format!("{v} IS NULL")).collect();
        let sql = format!(
            "SELECT count(*) FROM {stage} s WHERE {}",
            missing.join(" OR ")
        );
        let doing = format!("checking the keys of `{}`", statements.shown);
        let rows = count(self.session, &sql, &doing).await?;
        let table = || statements.shown.to_owned();
        if rows > 0 {
            return Err(Fault::NullKeys {
                table: table(),
                columns,
                rows,
            }
            .into());
        }
        let unique = statements.mode != WriteMode::DeleteInsert;
        if unique {
            let list = values.join(", ");
            let sql = format!(
                "SELECT count(*) FROM (SELECT 1 AS n FROM {stage} s GROUP BY {list} HAVING count(*) > 1) d"
            );
            let keys = count(self.session, &sql, &doing).await?;
            if keys > 0 && !self.changes {
                return Err(Fault::DuplicateKeys {
                    table: table(),
                    columns,
                    keys,
                }
                .into());
            }
            if keys > 0 {
                // First the last change of each key as it comes, then of keys that are one key in the table
                // a row that is there: `delete 'a '` does not take `'a'` away.
                let raw = key.iter().map(|column| column.staged.as_str());
                let raw: Vec<String> = raw.map(|raw| statements.dialect.exact(raw)).collect();
                self.keep_one(&raw.join(", "), Counted::Last).await?;
            }
            self.check_spelling().await?;
            if keys > 0 {
                self.keep_one(&list, Counted::LastPresent).await?;
            }
        } else {
            self.check_spelling().await?;
        }
        self.session.index_keys(values.len(), unique).await
    }

    async fn keep_one(&self, key: &str, counted: Counted) -> Result<(), S::Error> {
        for sql in self.statements.keep_one(key, counted) {
            self.execute(&sql).await?;
        }
        Ok(())
    }

    /// Refuses keys that the table takes for one although they differ: of two rows, one would be lost.
    async fn check_spelling(&self) -> Result<(), S::Error> {
        let statements = &self.statements;
        if !statements.equates_keys()? {
            return Ok(());
        }
        let mut keys = 0;
        if self.changes {
            keys = self.count(&statements.keys_of_several()?).await?;
        }
        // Where absent rows are deleted, a row with another spelling is absent.
        if keys == 0 && !statements.alignment.created && !statements.deletes_absent {
            keys = self
                .count(&statements.keys_spelled_otherwise(false)?)
                .await?;
            if keys > 0 && self.changes {
                keys = self
                    .count(&statements.keys_spelled_otherwise(true)?)
                    .await?;
            }
        }
        match keys {
            0 => Ok(()),
            keys => Err(Fault::EqualKeys {
                table: statements.shown.to_owned(),
                columns: statements.key.join(", "),
                keys,
            }
            .into()),
        }
    }

    /// Carries it out.
    pub(crate) async fn run(&self) -> Result<PreparedStats, S::Error> {
        let statements = &self.statements;
        let mut stats = PreparedStats {
            rows_in: self.rows,
            ..PreparedStats::default()
        };
        let watched = self.session.interferes().await?;
        for step in statements.steps()? {
            if matches!(step, Step::Insert { .. }) {
                self.check_blanks().await?;
            }
            match &step {
                Step::Delete { .. } => stats.deleted += self.step(&step, watched).await?,
                Step::Update { .. } | Step::Known { .. } => {
                    stats.updated = self.step(&step, watched).await?;
                }
                Step::Insert { .. } => stats.inserted = self.step(&step, watched).await?,
            }
        }
        if statements.mode == WriteMode::Replace {
            self.check_replaced(watched).await?;
        }
        if statements.mode == WriteMode::Replace || statements.alignment.created {
            stats.rows_after = Some(stats.inserted);
        } else if statements.dialect.counts_rows() {
            stats.rows_after = Some(self.count(&self.all_rows()).await?);
        }
        Ok(stats)
    }

    /// What a write comes to that the commit applies: its table is new, or loses all of its rows.
    pub(crate) async fn expected(&self) -> Result<PreparedStats, S::Error> {
        let rows = match self.statements.mode {
            WriteMode::Merge => self.count(&self.statements.count_kept()).await?,
            _ => self.rows,
        };
        Ok(PreparedStats {
            rows_in: self.rows,
            inserted: rows,
            rows_after: Some(rows),
            ..PreparedStats::default()
        })
    }

    /// Refuses to add rows beside others that have the same key with blanks at its end.
    async fn check_blanks(&self) -> Result<(), S::Error> {
        let statements = &self.statements;
        if !is_keyed(statements.mode) || statements.alignment.created {
            return Ok(());
        }
        let cut = statements.cut_columns()?;
        if cut.iter().all(|column| self.plain_keys.contains(column)) {
            return Ok(());
        }
        let Some(sql) = statements.keys_with_blanks()? else {
            return Ok(());
        };
        match self.count(&sql).await? {
            0 => Ok(()),
            rows => Err(Fault::KeyBlanks {
                table: statements.shown.to_owned(),
                columns: cut.join(", "),
                rows,
            }
            .into()),
        }
    }

    /// Runs one statement, and refuses when the table did not take all of its rows.
    pub(crate) async fn step(&self, step: &Step, watched: bool) -> Result<u64, S::Error> {
        match step {
            Step::Delete { sql, left } => {
                let done = self.execute(sql).await?;
                if watched {
                    let left = self.count(left).await?;
                    self.took("delete", done + left, done)?;
                }
                Ok(done)
            }
            Step::Update { sql, asked, other } => {
                let done = self.execute(sql).await?;
                if watched {
                    let asked = self.count(asked).await?;
                    // One that was equal before may be passed over.
                    if done < asked {
                        let other = self.count(other).await?;
                        self.took("update", asked, asked.saturating_sub(other))?;
                    }
                }
                Ok(done)
            }
            Step::Known { sql } => self.count(sql).await,
            Step::Insert {
                sql,
                asked,
                missing,
            } => {
                let expected = match asked {
                    None => Some(self.rows),
                    Some(asked) if watched => Some(self.count(asked).await?),
                    Some(_) => None,
                };
                let done = self.execute(sql).await?;
                self.took("insert", expected.unwrap_or(done), done)?;
                if let (Some(missing), true) = (missing, watched) {
                    // They went elsewhere, and would again.
                    let missing = self.count(missing).await?;
                    self.took("insert", self.rows, self.rows.saturating_sub(missing))?;
                }
                Ok(done)
            }
        }
    }

    /// Refuses when rows of a replacement went elsewhere (a rule led them into another table): the next
    /// one would not find them.
    pub(crate) async fn check_replaced(&self, watched: bool) -> Result<(), S::Error> {
        if !watched {
            return Ok(());
        }
        let stored = self.count(&self.all_rows()).await?;
        self.took("insert", self.rows, stored)
    }

    fn all_rows(&self) -> String {
        format!("SELECT count(*) FROM {}", self.statements.rows)
    }

    /// Rows that vanish on their way would be reported as written.
    fn took(&self, doing: &'static str, asked: u64, done: u64) -> Result<(), S::Error> {
        if done >= asked {
            return Ok(());
        }
        Err(Fault::Swallowed {
            table: self.statements.shown.to_owned(),
            doing,
            asked,
            done,
        }
        .into())
    }
}
