//! What each write mode means in SQL: the statements that move rows from the stage into the table.
//!
//! Promise: a merge changes rows in place, so columns that do not come stay; each statement goes over
//! stage and table once, or finds the rows of one by a key of the other. Pure text: `apply.rs` runs it.

use towpath_vocab::WriteMode;

use super::align::{Aligned, Alignment};
use super::dialect::Dialect;
use super::fault::Fault;
use super::modes::mode_word;

/// The stage's column of operations, in merges.
pub(crate) const OP: &str = "op";
/// The operation that deletes.
const DELETE: i64 = 2;

/// The table's key columns and the values of the stage that they are compared with.
pub(crate) struct Pairs {
    pub(crate) targets: Vec<String>,
    pub(crate) values: Vec<String>,
}

impl Pairs {
    /// True for a row `t` of the table with the key of a row `s` of the stage.
    pub(crate) fn equal(&self) -> String {
        let pairs = self.targets.iter().zip(&self.values);
        let equal: Vec<String> = pairs
            .map(|(target, value)| format!("t.{target} = {value}"))
            .collect();
        equal.join(" AND ")
    }
}

/// One statement of a write, and how to find out whether the table took all of its rows. The questions
/// are asked only where something in the database may swallow rows.
#[derive(Debug)]
pub(crate) enum Step {
    /// Deletes; `left` counts rows that should be gone.
    Delete { sql: String, left: String },
    /// Updates; `asked` counts the rows, `other` those that are not what they should be.
    Update {
        sql: String,
        asked: String,
        other: String,
    },
    /// Counts rows that exist already, with nothing to change in them.
    Known { sql: String },
    /// Inserts rows of the stage; `asked` counts them, `None` means all, `missing` counts those that are
    /// not in the table afterwards.
    Insert {
        sql: String,
        asked: Option<String>,
        missing: Option<String>,
    },
}

/// Which of several changes of one key counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// The last one.
    Last,
    /// The last one that does not delete, where there is one.
    LastPresent,
}

/// A write that is to be carried out.
pub(crate) struct Statements<'a> {
    pub(crate) dialect: &'a dyn Dialect,
    /// The table in SQL, to insert into.
    pub(crate) table: &'a str,
    /// The table in SQL that changes and counts its own rows.
    pub(crate) rows: &'a str,
    /// As a person names it.
    pub(crate) shown: &'a str,
    pub(crate) alignment: &'a Alignment,
    pub(crate) key: &'a [String],
    pub(crate) mode: WriteMode,
    /// A merge deletes rows whose key does not come.
    pub(crate) deletes_absent: bool,
}

impl Statements<'_> {
    /// The columns of the key.
    pub(crate) fn key_columns(&self) -> Result<Vec<Aligned>, Fault> {
        let column = |name: &String| {
            let mut columns = self.alignment.columns.iter();
            let found = columns.find(|column| column.incoming == *name);
            found.cloned().ok_or_else(|| Fault::KeyMissing {
                table: self.shown.to_owned(),
                column: name.clone(),
            })
        };
        self.key.iter().map(column).collect()
    }

    /// The key's values in a row `s` of the stage.
    pub(crate) fn key_values(&self) -> Result<Vec<String>, Fault> {
        let key = self.key_columns()?;
        let values = key.iter().enumerate();
        Ok(values
            .map(|(at, column)| self.dialect.key_value(at, column))
            .collect())
    }

    fn pairs(&self) -> Result<Pairs, Fault> {
        let key = self.key_columns()?;
        Ok(Pairs {
            targets: key.into_iter().map(|column| column.target).collect(),
            values: self.key_values()?,
        })
    }

    /// The statements of this mode, in their order.
    pub(crate) fn steps(&self) -> Result<Vec<Step>, Fault> {
        let rows = self.rows;
        Ok(match self.mode {
            WriteMode::Replace => vec![
                Step::Delete {
                    sql: format!("DELETE FROM {rows}"),
                    left: format!("SELECT count(*) FROM {rows}"),
                },
                self.insert_all(),
            ],
            WriteMode::Append => vec![self.insert_all()],
            WriteMode::DeleteInsert => {
                let pairs = self.pairs()?;
                let delete = Step::Delete {
                    sql: self.dialect.delete_matching(rows, &pairs, ""),
                    left: format!(
                        "SELECT count(*) FROM {rows} t WHERE EXISTS (SELECT 1 FROM {} s WHERE {})",
                        self.stage(),
                        pairs.equal()
                    ),
                };
                let unknown = self.unknown(&pairs);
                let insert = Step::Insert {
                    sql: self.insert(""),
                    asked: None,
                    missing: Some(self.staged(&unknown)),
                };
                vec![delete, insert]
            }
            WriteMode::InsertOnly => {
                let pairs = self.pairs()?;
                vec![self.insert_unknown(&self.unknown(&pairs))]
            }
            WriteMode::Merge => self.merge()?,
            other => {
                return Err(Fault::Mode {
                    mode: mode_word(other),
                });
            }
        })
    }

    fn merge(&self) -> Result<Vec<Step>, Fault> {
        let (rows, stage, pairs) = (self.rows, self.stage(), self.pairs()?);
        let same = pairs.equal();
        let gone = format!("s.{OP} = {DELETE}");
        let kept = format!("s.{OP} <> {DELETE}");
        let delete = Step::Delete {
            sql: self.dialect.delete_matching(rows, &pairs, &gone),
            left: format!("SELECT count(*) FROM {rows} t, {stage} s WHERE {same} AND {gone}"),
        };
        let key = self.key_columns()?;
        // A key that is equal and differs gets its new spelling.
        let is_set = |column: &&Aligned| {
            column.equates || !key.iter().any(|k| k.incoming == column.incoming)
        };
        let others: Vec<&Aligned> = self.alignment.columns.iter().filter(is_set).collect();
        let update = if others.is_empty() {
            let present = self.dialect.is_present(rows, &pairs);
            Step::Known {
                sql: self.staged(&format!("{kept} AND {present}")),
            }
        } else {
            let condition = format!("{same} AND {kept}");
            let sets = others
                .iter()
                .map(|c| format!("{} = {}", self.dialect.set_column(&c.target), c.value));
            let sets: Vec<String> = sets.collect();
            let both = others
                .iter()
                .map(|c| (format!("t.{}", c.target), c.value.clone()));
            let differs = self.dialect.differs(&both.collect::<Vec<_>>());
            let asked = format!("SELECT count(*) FROM {rows} t, {stage} s WHERE {condition}");
            Step::Update {
                sql: self
                    .dialect
                    .update_matching(rows, &sets.join(", "), &condition),
                other: format!("{asked} AND {differs}"),
                asked,
            }
        };
        let unknown = format!("{kept} AND {}", self.unknown(&pairs));
        let absent = self.deletes_absent.then(|| self.delete_absent(&same));
        let steps = [delete, update, self.insert_unknown(&unknown)];
        Ok(absent.into_iter().chain(steps).collect())
    }

    /// Deletes the rows `t` of the table whose key no row `s` of the stage has.
    fn delete_absent(&self, same: &str) -> Step {
        let (rows, stage) = (self.rows, self.stage());
        let absent = format!("NOT EXISTS (SELECT 1 FROM {stage} s WHERE {same})");
        Step::Delete {
            sql: self.dialect.delete_where(rows, &absent),
            left: format!("SELECT count(*) FROM {rows} AS t WHERE {absent}"),
        }
    }

    /// Deletes of several rows of the stage with one key (SQL of its values) all but the one that counts.
    pub(crate) fn keep_one(&self, key: &str, counted: Counted) -> Vec<String> {
        let (stage, place) = (self.stage(), self.dialect.place());
        let present = match counted {
            Counted::Last => String::new(),
            Counted::LastPresent => format!("s.{OP} = {DELETE}, "),
        };
        self.dialect.delete_places(&format!(
            "SELECT d.n FROM (SELECT s.{place} AS n, row_number() OVER \
             (PARTITION BY {key} ORDER BY {present}s.{place} DESC) AS later FROM {stage} s) d WHERE d.later > 1"
        ))
    }

    /// Whether the table takes keys for equal that differ.
    pub(crate) fn equates_keys(&self) -> Result<bool, Fault> {
        Ok(self.key_columns()?.iter().any(|column| column.equates))
    }

    /// Counts the keys of the stage that several of its rows have which stay.
    pub(crate) fn keys_of_several(&self) -> Result<String, Fault> {
        Ok(format!(
            "SELECT count(*) FROM (SELECT 1 AS n FROM {} s{} GROUP BY {} HAVING count(*) > 1) d",
            self.stage(),
            self.kept(" WHERE "),
            self.key_values()?.join(", ")
        ))
    }

    /// Counts the rows `t` of the table with the key of a row `s` of the stage that is not quite the same. Where
    /// `renames`, one whose own key is deleted by this write is none of them.
    pub(crate) fn keys_spelled_otherwise(&self, renames: bool) -> Result<String, Fault> {
        let (key, pairs) = (self.key_columns()?, self.pairs()?);
        let both = key.iter().zip(pairs.targets.iter().zip(&pairs.values));
        let equated = both.filter(|(column, _)| column.equates);
        let equated = equated.map(|(column, (target, value))| {
            let target = format!("t.{target}");
            let target = match column.padded {
                true => self.dialect.with_and_without_blanks(&target).1,
                false => target,
            };
            (self.dialect.exact(&target), self.dialect.exact(value))
        });
        let differs = self.dialect.differs(&equated.collect::<Vec<_>>());
        let (rows, stage, equal) = (self.rows, self.stage(), pairs.equal());
        if !renames {
            let kept = self.kept(" AND ");
            return Ok(format!(
                "SELECT count(*) FROM {rows} t, {stage} s WHERE {equal} AND {differs}{kept}"
            ));
        }
        let targets: Vec<String> = pairs.targets.iter().map(|t| format!("t.{t}")).collect();
        Ok(format!(
            "SELECT count(*) FROM (SELECT 1 AS n FROM {rows} t, {stage} s WHERE {equal} GROUP BY {} \
             HAVING sum(CASE WHEN s.{OP} <> {DELETE} AND {differs} THEN 1 ELSE 0 END) > 0 \
             AND sum(CASE WHEN s.{OP} = {DELETE} AND NOT {differs} THEN 1 ELSE 0 END) = 0) d",
            targets.join(", ")
        ))
    }

    /// True for rows of a merge that do not delete, behind a word; nothing in other modes.
    fn kept(&self, word: &str) -> String {
        match self.mode {
            WriteMode::Merge => format!("{word}s.{OP} <> {DELETE}"),
            _ => String::new(),
        }
    }

    /// Key columns that come without blanks that their source has.
    pub(crate) fn cut_columns(&self) -> Result<Vec<String>, Fault> {
        let key = self.key_columns()?.into_iter();
        let cut = key.filter(|column| column.cut);
        Ok(cut.map(|column| column.name).collect())
    }

    /// Counts the rows `t` of the table whose key would be that of a new row `s` of the stage without the blanks
    /// at its end; `None` when no column of the key comes without blanks that its source has.
    pub(crate) fn keys_with_blanks(&self) -> Result<Option<String>, Fault> {
        if self.cut_columns()?.is_empty() {
            return Ok(None);
        }
        let (key, pairs) = (self.key_columns()?, self.pairs()?);
        let (mut blanks, mut same) = (Vec::new(), Vec::new());
        for (column, value) in key.iter().zip(&pairs.values) {
            let target = format!("t.{}", column.target);
            if column.cut {
                let (text, without) = self.dialect.with_and_without_blanks(&target);
                blanks.push(format!("{text} <> {without}"));
                same.push(format!("{value} = {without}"));
            } else {
                same.push(format!("{target} = {value}"));
            }
        }
        if self.mode == WriteMode::Merge {
            same.push(format!("s.{OP} <> {DELETE}"));
        }
        same.push(self.unknown(&pairs));
        Ok(Some(format!(
            "SELECT count(*) FROM {} t WHERE ({}) AND EXISTS (SELECT 1 FROM {} s WHERE {})",
            self.rows,
            blanks.join(" OR "),
            self.stage(),
            same.join(" AND ")
        )))
    }

    /// Counts the rows of a merge's stage that are not deletions.
    pub(crate) fn count_kept(&self) -> String {
        self.staged(&format!("s.{OP} <> {DELETE}"))
    }

    fn insert_all(&self) -> Step {
        Step::Insert {
            sql: self.insert(""),
            asked: None,
            missing: None,
        }
    }

    fn insert_unknown(&self, unknown: &str) -> Step {
        Step::Insert {
            sql: self.insert(unknown),
            asked: Some(self.staged(unknown)),
            missing: Some(self.staged(unknown)),
        }
    }

    /// Inserts rows of the stage that a condition is true for.
    pub(crate) fn insert(&self, condition: &str) -> String {
        let columns = &self.alignment.columns;
        let targets: Vec<&str> = columns.iter().map(|c| c.target.as_str()).collect();
        let values: Vec<&str> = columns.iter().map(|c| c.value.as_str()).collect();
        let filter = match condition {
            "" => String::new(),
            condition => format!(" WHERE {condition}"),
        };
        format!(
            "INSERT INTO {} ({}) SELECT {} FROM {} s{filter}",
            self.table,
            targets.join(", "),
            values.join(", "),
            self.stage()
        )
    }

    fn stage(&self) -> &'static str {
        self.dialect.stage()
    }

    fn unknown(&self, pairs: &Pairs) -> String {
        format!("NOT {}", self.dialect.is_present(self.rows, pairs))
    }

    fn staged(&self, condition: &str) -> String {
        format!("SELECT count(*) FROM {} s WHERE {condition}", self.stage())
    }
}
