//! What an incremental read reads, so that no row is repeated: rows whose cursor lies above the last value,
//! and of those at it the ones that were not given yet (`boundary.rs`).
//!
//! Promise: no row is repeated, and what may be missed is in a note. SQLite has one writer at a time, but the
//! value of a cursor is made before its row is committed: a row that comes with a value below the last one is
//! not found, which a note says. With a `lookback` all rows from that far back on are read again: a write by
//! key keeps each once. Rows whose cursor is NULL are read by the first load only. Read next: `boundary.rs`.

use rusqlite::Connection;
use rusqlite::types::Value;
use serde::{Deserialize, Serialize};
use towpath_vocab::{CursorPlan, Position, SplitPosition};

use super::boundary;
use super::error::{ErrorContext as _, Result, SqliteError};
use super::names::{quoted, same};
use crate::relational::boundary::{Boundary, Given, Resume, again_note, resume};
use crate::relational::columns::{ColumnChanges, NewColumns, SeenColumn};
use crate::relational::cursor::{last_position, next_order, position};

const VERSION: u32 = 2;

/// How far a table has been read. Version 2 of its stored form; version 1 had no boundary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ReadProgress {
    version: u32,
    column: String,
    upper: Option<Stored>,
    /// The rows at the largest value; `None` when they were too many.
    #[serde(default)]
    boundary: Option<Boundary>,
    /// The columns there were; empty when an older Towpath stored it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    columns: Vec<SeenColumn>,
}

/// A cursor's value in its own storage class, as exact text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "class", content = "value")]
enum Stored {
    Integer(String),
    Real(String),
    Text(String),
}

impl Stored {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(value) => Some(Self::Integer(value.to_string())),
            Value::Real(value) => Some(Self::Real(format!("{value:?}"))),
            Value::Text(value) => Some(Self::Text(value.clone())),
            Value::Null | Value::Blob(_) => None,
        }
    }

    fn value(&self) -> Option<Value> {
        Some(match self {
            Self::Integer(text) => Value::Integer(text.parse().ok()?),
            Self::Real(text) => Value::Real(text.parse().ok()?),
            Self::Text(text) => Value::Text(text.clone()),
        })
    }
}

/// What is read, as a cursor needs to know it.
pub(super) struct Subject<'a> {
    /// SQL that can stand after FROM.
    pub(super) sql: &'a str,
    /// As a person names it.
    pub(super) object: &'a str,
    /// The columns that are read.
    pub(super) wanted: &'a [String],
    /// The columns there are.
    pub(super) all: &'a [String],
    /// Rows that were given may come again: they are written by a key.
    pub(super) may_repeat: bool,
}

fn seen_column(name: &str) -> SeenColumn {
    SeenColumn {
        name: name.to_owned(),
        number: None,
    }
}

/// An incremental read, decided.
pub(super) struct Cursor {
    column: String,
    /// What new rows are told by; `None` before the first load.
    condition: Option<(String, Option<Value>)>,
    others: Option<(Value, Given)>,
    present: ReadProgress,
    order: u64,
    pub(super) notes: Vec<String>,
}

/// Smallest and largest value, and the rows without one.
struct CursorRange {
    least: Value,
    most: Value,
    nulls: i64,
}

impl Cursor {
    /// Decides what to read.
    pub(super) fn decide(
        connection: &Connection,
        plan: &CursorPlan,
        column: &str,
        subject: &Subject<'_>,
        from: Option<&Position>,
        shown: &str,
    ) -> Result<Self> {
        let previous = last_position(from);
        let before = previous
            .map(|last| seen(last, column, subject.object))
            .transpose()?;
        let extent = extent(connection, column, subject, shown)?;
        let upper = upper(connection, column, subject, &extent, before.as_ref(), shown)?;
        let boundary = match upper.as_ref().and_then(Stored::value) {
            Some(value) => boundary::read(
                connection,
                subject.sql,
                (column, &value),
                subject.wanted,
                shown,
            )?,
            None => None,
        };
        let mut cursor = Self {
            column: column.to_owned(),
            condition: None,
            others: None,
            present: ReadProgress {
                version: VERSION,
                column: column.to_owned(),
                upper,
                boundary,
                columns: subject.all.iter().map(|name| seen_column(name)).collect(),
            },
            order: next_order(previous),
            notes: Vec::new(),
        };
        cursor.notes.push(format!(
            "rows of SQLite have no transaction number: a row that comes late with a `{column}` below the last one is found only within `lookback`"
        ));
        if let Some(before) = &before {
            cursor.go_on(connection, plan.lookback, before, subject, shown)?;
            cursor.compare_columns(connection, before, subject, shown)?;
            if extent.nulls > 0 {
                cursor.notes.push(format!(
                    "{} rows of `{}` have no `{column}`: only the first load reads them",
                    extent.nulls, subject.object
                ));
            }
        }
        Ok(cursor)
    }

    /// Goes on behind the last read.
    fn go_on(
        &mut self,
        connection: &Connection,
        lookback: u64,
        before: &ReadProgress,
        subject: &Subject<'_>,
        shown: &str,
    ) -> Result<()> {
        let name = quoted(&self.column);
        let Some(last) = &before.upper else {
            self.condition = Some((format!("{name} IS NOT NULL"), None));
            return Ok(());
        };
        let value = last.value().ok_or_else(|| SqliteError::Position {
            object: subject.object.to_owned(),
            why: "its value is not a value of SQLite".to_owned(),
        })?;
        if lookback == 0 && before.version < VERSION {
            self.notes.push(format!(
                "an older version of Towpath read `{}` last: the rows at its last `{}` are read once again",
                subject.object, self.column
            ));
            self.condition = Some((format!("{name} >= ?"), Some(value)));
            return Ok(());
        }
        let is_there = |name: &str| subject.all.iter().any(|other| same(other, name));
        let cursor = (self.column.as_str(), lookback);
        let may_repeat = subject.may_repeat;
        match resume(before.boundary.as_ref(), cursor, may_repeat, is_there) {
            Resume::LookBack => {
                let lower = lower(connection, value, lookback, shown)?;
                self.condition = Some((format!("{name} >= ?"), Some(lower)));
            }
            Resume::Behind(boundary) => {
                let given = Given::of(boundary, subject.wanted, same);
                self.others = Some((value.clone(), given));
                self.condition = Some((format!("{name} > ?"), Some(value)));
            }
            Resume::Again(reason) => {
                self.notes.push(again_note(&self.column, &reason));
                self.condition = Some((format!("{name} >= ?"), Some(value)));
            }
            Resume::Lost(why) => {
                return Err(SqliteError::Boundary {
                    object: subject.object.to_owned(),
                    why,
                });
            }
        }
        Ok(())
    }

    /// Finds out which columns are new since the last read: `ADD COLUMN … DEFAULT` gives rows a value
    /// that were read before.
    fn compare_columns(
        &mut self,
        connection: &Connection,
        before: &ReadProgress,
        subject: &Subject<'_>,
        shown: &str,
    ) -> Result<()> {
        let changes = ColumnChanges::between(&before.columns, &self.present.columns);
        let is_read = |name: &str| subject.wanted.iter().any(|wanted| wanted == name);
        let mut filled = Vec::new();
        if let Some((coming, value)) = &self.condition {
            let rows = (subject.sql, coming.as_str());
            if let Some(new) = NewColumns::of(&changes, is_read, quoted, rows) {
                let params = rusqlite::params_from_iter(value);
                let flags = connection.query_row(&new.question, params, |row| {
                    (0..new.count()).map(|at| row.get::<_, bool>(at)).collect()
                });
                let flags: Vec<bool> = flags.doing(shown, "looking at new columns")?;
                filled = new.filled(&flags);
            }
        }
        let again = subject.may_repeat && !filled.is_empty();
        self.notes
            .extend(changes.notes(subject.object, &filled, again));
        if again {
            self.condition = None;
            self.others = None;
        }
        Ok(())
    }

    /// What must hold for a row to be read, with its parameter.
    pub(super) fn condition(&self) -> Option<(&str, Option<&Value>)> {
        let (text, value) = self.condition.as_ref()?;
        Some((text, value.as_ref()))
    }

    /// The rows at the end of the last read, some of which were given then: the condition for all of
    /// them, its parameter, and which to leave out. To be taken once.
    pub(super) fn others(&mut self) -> Option<(String, Value, Given)> {
        let (value, given) = self.others.take()?;
        Some((format!("{} = ?", quoted(&self.column)), value, given))
    }

    /// The position that holds when everything was read.
    pub(super) fn position(&self) -> Result<Position> {
        position(self.order, &self.present).map_err(|why| SqliteError::Position {
            object: self.column.clone(),
            why,
        })
    }
}

fn extent(
    connection: &Connection,
    column: &str,
    subject: &Subject<'_>,
    shown: &str,
) -> Result<CursorRange> {
    let name = quoted(column);
    let sql = format!(
        "SELECT min({name}), max({name}), count(*) - count({name}) FROM {}",
        subject.sql
    );
    let extent = connection.query_row(&sql, [], |row| {
        Ok(CursorRange {
            least: row.get(0)?,
            most: row.get(1)?,
            nulls: row.get(2)?,
        })
    });
    let extent = extent.doing(
        shown,
        format!("looking at the cursor of `{}`", subject.object),
    )?;
    let wrong = |why| SqliteError::Cursor {
        object: subject.object.to_owned(),
        column: column.to_owned(),
        why,
    };
    if class(&extent.least) != class(&extent.most) {
        return Err(wrong(
            "it contains numbers and texts, which have no common order",
        ));
    }
    if matches!(extent.most, Value::Blob(_)) {
        return Err(wrong("it contains blobs"));
    }
    Ok(extent)
}

/// The largest value there is or was: what is read next lies above it, whatever was deleted.
fn upper(
    connection: &Connection,
    column: &str,
    subject: &Subject<'_>,
    extent: &CursorRange,
    before: Option<&ReadProgress>,
    shown: &str,
) -> Result<Option<Stored>> {
    let Some(last) = before.and_then(|before| before.upper.as_ref()) else {
        return Ok(Stored::of(&extent.most));
    };
    let Some(value) = last.value().filter(|_| extent.most != Value::Null) else {
        return Ok(Some(last.clone()));
    };
    if class(&value) != class(&extent.most) {
        return Err(SqliteError::Cursor {
            object: subject.object.to_owned(),
            column: column.to_owned(),
            why: "it contained numbers at the last read and contains texts now, or the reverse",
        });
    }
    // The column says by which rules, as it does when rows are read.
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM {} WHERE {} > ?1)",
        subject.sql,
        quoted(column)
    );
    let grew: bool = connection
        .query_row(&sql, [&value], |row| row.get(0))
        .doing(
            shown,
            format!("looking at the cursor of `{}`", subject.object),
        )?;
    Ok(if grew {
        Stored::of(&extent.most)
    } else {
        Some(last.clone())
    })
}

fn class(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Integer(_) | Value::Real(_) => 1,
        Value::Text(_) => 2,
        Value::Blob(_) => 3,
    }
}

fn seen(last: &SplitPosition, column: &str, object: &str) -> Result<ReadProgress> {
    let wrong = |why: String| SqliteError::Position {
        object: object.to_owned(),
        why,
    };
    let seen: ReadProgress =
        serde_json::from_value(last.resume.clone()).map_err(|error| wrong(error.to_string()))?;
    if seen.version > VERSION {
        return Err(wrong("a newer version of Towpath wrote it".to_owned()));
    }
    if !seen.column.eq_ignore_ascii_case(column) {
        return Err(wrong(format!(
            "it belongs to cursor `{}`, and this read has `{column}`",
            seen.column
        )));
    }
    Ok(seen)
}

/// The last value less the lookback: units of a number, seconds of a timestamp.
fn lower(connection: &Connection, last: Value, lookback: u64, shown: &str) -> Result<Value> {
    let back = i64::try_from(lookback).unwrap_or(i64::MAX);
    Ok(match last {
        Value::Integer(value) => Value::Integer(value.saturating_sub(back)),
        #[allow(clippy::cast_precision_loss, reason = "a lookback need not be exact")]
        Value::Real(value) => Value::Real(value - back as f64),
        Value::Text(text) => {
            let form = if text.contains('T') {
                "%Y-%m-%dT%H:%M:%S"
            } else {
                "%Y-%m-%d %H:%M:%S"
            };
            let form = if text.len() <= 10 { "%Y-%m-%d" } else { form };
            let sql = "SELECT strftime(?1, substr(?2, 1, 19), ?3)";
            let earlier: Option<String> = connection
                .query_row(sql, (form, &text, format!("-{back} seconds")), |row| {
                    row.get(0)
                })
                .doing(shown, "looking back")?;
            Value::Text(earlier.unwrap_or(text))
        }
        other => other,
    })
}
