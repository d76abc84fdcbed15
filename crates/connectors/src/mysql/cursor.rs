//! What an incremental read reads, so that no row is repeated: rows whose cursor lies above the last value,
//! and of those at it the ones that were not given yet (`relational/boundary.rs`).
//!
//! Promise: all questions see the snapshot of the read, and the server compares values by the rules of the
//! column. MySQL tells nothing about the order of commits: a row that comes with a value below the last one is not
//! found, which a note says. With a `lookback` all rows from that far back on are read again: a write by key
//! keeps each once. Rows whose cursor is NULL are read by the first load only.

use std::collections::BTreeMap;

use chrono::{NaiveDateTime, TimeDelta};
use serde::{Deserialize, Serialize};
use towpath_ports::ReadSpec;
use towpath_vocab::{CursorPlan, Position, SplitPosition};

use super::cells::{Value, digest, values};
use super::error::{MysqlError, Result};
use super::literal::{quoted, text};
use super::session::Session;
use super::subject::Subject;
use super::types::{Column, Definition, Wire};
use crate::relational::boundary::{Boundary, Given, MOST_ROWS, Resume, again_note, resume};
use crate::relational::columns::{ColumnChanges, NewColumns, SeenColumn};
use crate::relational::cursor::{last_position, next_order, position};

const VERSION: u32 = 1;
const LOOKING: &str = "looking at the cursor";

/// By which rules values of a cursor are written and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Class {
    Number,
    /// Dates and times, in UTC where they are moments.
    Moment,
    Text,
}

/// How far a table has been read. Version 1 of its stored form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ReadProgress {
    version: u32,
    column: String,
    class: Class,
    /// The largest value, as exact text.
    upper: Option<String>,
    /// The rows at the largest value; `None` when they were too many.
    boundary: Option<Boundary>,
    /// The columns there were.
    columns: Vec<SeenColumn>,
}

/// An incremental read, decided.
pub(super) struct Cursor {
    column: Definition,
    /// True for new rows; `None` before the first load.
    condition: Option<String>,
    /// True for the rows at the end of the last read, and which of them were given.
    others: Option<(String, Given)>,
    present: ReadProgress,
    order: u64,
    pub(super) notes: Vec<String>,
}

/// What is read, as a cursor needs to know it.
pub(super) struct CursorRead<'a> {
    pub(super) plan: &'a CursorPlan,
    pub(super) subject: &'a Subject,
    /// The columns that are read.
    pub(super) wanted: &'a [Column],
    pub(super) spec: &'a ReadSpec,
}

impl CursorRead<'_> {
    fn names(&self) -> Vec<String> {
        let names = self.wanted.iter().map(|column| &column.definition.name);
        names.cloned().collect()
    }
}

impl Cursor {
    /// Decides what to read.
    pub(super) async fn decide(
        session: &mut Session,
        read: &CursorRead<'_>,
        from: Option<&Position>,
    ) -> Result<Self> {
        let subject = read.subject;
        let column = subject.find(&read.plan.column)?;
        let class = class(column, read.plan.lookback, &subject.object)?;
        check_snapshots(read)?;
        let previous = last_position(from);
        let before = previous.map(|last| seen(last, column, class, &subject.object));
        let before = before.transpose()?;
        let last = before.as_ref().and_then(|before| before.upper.as_deref());
        let upper = upper(session, subject, column, class, last).await?;
        let boundary = match &upper {
            Some(upper) => {
                let at = at(column, class, upper, &subject.object)?;
                read_boundary(session, subject, &read.names(), &at).await?
            }
            None => None,
        };
        let seen = |column: &Definition| SeenColumn {
            name: column.name.clone(),
            number: None,
        };
        let mut cursor = Self {
            column: column.clone(),
            condition: None,
            others: None,
            present: ReadProgress {
                version: VERSION,
                column: column.name.clone(),
                class,
                upper,
                boundary,
                columns: subject.columns.iter().map(seen).collect(),
            },
            order: next_order(previous),
            notes: Vec::new(),
        };
        cursor.notes.push(format!(
            "MySQL does not tell in which order rows were committed: a row that comes late with a `{}` below the last one is found only within `lookback`",
            column.name
        ));
        if let Some(before) = &before {
            cursor.go_on(before, read)?;
            cursor.compare_columns(session, before, read).await?;
            cursor.count_nulls(session, subject).await?;
        }
        Ok(cursor)
    }

    /// Goes on behind the last read.
    fn go_on(&mut self, before: &ReadProgress, read: &CursorRead<'_>) -> Result<()> {
        let (name, object) = (quoted(&self.column.name), &read.subject.object);
        let class = before.class;
        let Some(last) = &before.upper else {
            self.condition = Some(format!("{name} IS NOT NULL"));
            return Ok(());
        };
        let value = literal(class, last, object)?;
        let is_there = |name: &str| {
            let mut columns = read.subject.columns.iter();
            columns.any(|column| column.name == name)
        };
        let cursor = (self.column.name.as_str(), read.plan.lookback);
        match resume(
            before.boundary.as_ref(),
            cursor,
            read.spec.may_repeat,
            is_there,
        ) {
            Resume::LookBack => {
                let lower = lower(&self.column, class, last, read.plan.lookback);
                self.condition = Some(match lower {
                    Some(lower) => format!("{name} >= {}", literal(class, &lower, object)?),
                    None => format!("{name} IS NOT NULL"),
                });
            }
            Resume::Behind(boundary) => {
                let given = Given::of(boundary, &read.names(), |one, other| one == other);
                self.others = Some((format!("{name} = {value}"), given));
                self.condition = Some(format!("{name} > {value}"));
            }
            Resume::Again(reason) => {
                self.notes.push(again_note(&self.column.name, &reason));
                self.condition = Some(format!("{name} >= {value}"));
            }
            Resume::Lost(reason) => {
                return Err(MysqlError::Boundary {
                    object: object.clone(),
                    reason,
                });
            }
        }
        Ok(())
    }

    /// Finds out which columns are new since the last read: `ADD COLUMN … DEFAULT` gives rows a value that
    /// were read before.
    async fn compare_columns(
        &mut self,
        session: &mut Session,
        before: &ReadProgress,
        read: &CursorRead<'_>,
    ) -> Result<()> {
        let subject = read.subject;
        let changes = ColumnChanges::between(&before.columns, &self.present.columns);
        let names = read.names();
        let is_read = |name: &str| names.iter().any(|wanted| wanted == name);
        let mut filled = Vec::new();
        if let Some(coming) = &self.condition
            && let Some(new) =
                NewColumns::of(&changes, is_read, quoted, (&subject.from, coming.as_str()))
        {
            let rows = session
                .rows(&new.question, "looking at new columns")
                .await?;
            let flags = rows
                .first()
                .map(|row| row.iter().map(|flag| flag.as_deref() == Some("1")));
            let flags: Vec<bool> = flags.into_iter().flatten().collect();
            filled = new.filled(&flags);
        }
        let again = read.spec.may_repeat && !filled.is_empty();
        self.notes
            .extend(changes.notes(&subject.object, &filled, again));
        if again {
            self.condition = None;
            self.others = None;
        }
        Ok(())
    }

    async fn count_nulls(&mut self, session: &mut Session, subject: &Subject) -> Result<()> {
        let name = quoted(&self.column.name);
        let sql = format!("SELECT count(*) FROM {} WHERE {name} IS NULL", subject.from);
        let nulls = first(session.rows(&sql, LOOKING).await?);
        if let Some(nulls) = nulls.filter(|nulls| nulls != "0") {
            self.notes.push(format!(
                "{nulls} rows of `{}` have no `{}`: only the first load reads them",
                subject.object, self.column.name
            ));
        }
        Ok(())
    }

    /// What must be true of a row to be read.
    pub(super) fn condition(&self) -> Option<&str> {
        self.condition.as_deref()
    }

    /// The rows at the end of the last read, some of which were given then: the condition for all of them,
    /// and which to leave out. To be taken once.
    pub(super) fn others(&mut self) -> Option<(String, Given)> {
        self.others.take()
    }

    /// The position that holds when everything was read.
    pub(super) fn position(&self) -> Result<Position> {
        position(self.order, &self.present).map_err(|reason| MysqlError::Position {
            object: self.column.name.clone(),
            reason,
        })
    }
}

/// Whether a column can be a cursor, and of which class it is.
fn class(column: &Definition, lookback: u64, object: &str) -> Result<Class> {
    let refuse = |reason| {
        Err(MysqlError::Cursor {
            object: object.to_owned(),
            column: column.name.clone(),
            data_type: column.type_name(),
            reason,
        })
    };
    match column.wire {
        Wire::Tiny | Wire::Short | Wire::Year | Wire::Long | Wire::LongLong | Wire::Decimal => {
            Ok(Class::Number)
        }
        Wire::Date | Wire::DateTime | Wire::Timestamp => Ok(Class::Moment),
        Wire::Bytes if !column.binary && lookback == 0 => Ok(Class::Text),
        Wire::Bytes if !column.binary => refuse("text has no distance for a lookback"),
        Wire::Float | Wire::Double => {
            refuse("two of its values can be equal for the server and differ in their last digits")
        }
        _ => refuse("its type has no order that only grows"),
    }
}

/// Storage engines without snapshots show rows that come during the read: those would be lost or repeated.
fn check_snapshots(read: &CursorRead<'_>) -> Result<()> {
    let repeats = read.plan.lookback > 0 && read.spec.may_repeat;
    match &read.subject.table {
        Some(table) if !table.has_snapshots && !repeats => Err(MysqlError::NoSnapshot {
            object: read.subject.object.clone(),
            engine: table
                .engine
                .clone()
                .unwrap_or_else(|| "an unknown engine".to_owned()),
        }),
        _ => Ok(()),
    }
}

/// A value of a cursor in SQL.
fn literal(class: Class, value: &str, object: &str) -> Result<String> {
    let allowed = match class {
        Class::Text => return Ok(text(value)),
        Class::Number => "0123456789.-",
        Class::Moment => "0123456789.-: ",
    };
    let fits = !value.is_empty() && value.chars().all(|letter| allowed.contains(letter));
    match (fits, class) {
        (true, Class::Number) => Ok(value.to_owned()),
        (true, _) => Ok(format!("'{value}'")),
        (false, _) => Err(MysqlError::Position {
            object: object.to_owned(),
            reason: "its value is not one of its cursor".to_owned(),
        }),
    }
}

fn at(column: &Definition, class: Class, value: &str, object: &str) -> Result<String> {
    let value = literal(class, value, object)?;
    Ok(format!("{} = {value}", quoted(&column.name)))
}

/// The largest value there is or was: what is read next lies above it, whatever was deleted.
async fn upper(
    session: &mut Session,
    subject: &Subject,
    column: &Definition,
    class: Class,
    last: Option<&str>,
) -> Result<Option<String>> {
    let name = quoted(&column.name);
    let sql = format!("SELECT max({name}) FROM {}", subject.from);
    let most = first(session.rows(&sql, LOOKING).await?);
    let (Some(last), Some(most)) = (last, &most) else {
        return Ok(last.map(str::to_owned).or(most));
    };
    let value = literal(class, last, &subject.object)?;
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM {} WHERE {name} > {value} LIMIT 1) q",
        subject.from
    );
    let grew = first(session.rows(&sql, LOOKING).await?);
    Ok(Some(match grew.as_deref() {
        Some("0") | None => last.to_owned(),
        Some(_) => most.clone(),
    }))
}

fn first(rows: Vec<Vec<Option<String>>>) -> Option<String> {
    rows.into_iter().next()?.into_iter().next()?
}

/// The rows that `condition` is true for; `None` when there are too many.
async fn read_boundary(
    session: &mut Session,
    subject: &Subject,
    wanted: &[String],
    condition: &str,
) -> Result<Option<Boundary>> {
    let doing = "looking at the rows at the last cursor value";
    let list: Vec<String> = wanted.iter().map(|name| quoted(name)).collect();
    let sql = format!(
        "SELECT {} FROM {} WHERE {condition} LIMIT {}",
        list.join(", "),
        subject.from,
        MOST_ROWS + 1
    );
    let places: Vec<usize> = (0..wanted.len()).collect();
    let statement = session.prepare(&sql, doing).await?;
    let columns = session.execute(&statement, doing).await?;
    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    while let Some(row) = session.row(doing).await? {
        let values: Option<Vec<Value<'_>>> = values(&row, &columns);
        let values = values.ok_or_else(|| MysqlError::Protocol {
            doing: doing.to_owned(),
        })?;
        *rows.entry(digest(&values, &places)).or_default() += 1;
    }
    session.close(statement, doing).await?;
    Ok(Boundary::of(None, wanted, rows))
}

fn seen(
    last: &SplitPosition,
    column: &Definition,
    class: Class,
    object: &str,
) -> Result<ReadProgress> {
    let wrong = |reason: String| MysqlError::Position {
        object: object.to_owned(),
        reason,
    };
    let seen: ReadProgress =
        serde_json::from_value(last.resume.clone()).map_err(|error| wrong(error.to_string()))?;
    if seen.version > VERSION {
        return Err(wrong("a newer version of Towpath wrote it".to_owned()));
    }
    if !seen.column.eq_ignore_ascii_case(&column.name) {
        return Err(wrong(format!(
            "it belongs to cursor `{}`, and this read has `{}`",
            seen.column, column.name
        )));
    }
    if seen.class != class {
        return Err(wrong(format!(
            "the type of `{}` was of another kind when it was stored",
            column.name
        )));
    }
    Ok(seen)
}

/// The last value less the lookback: units of a number, seconds of a timestamp. `None` when all rows are
/// within it.
fn lower(column: &Definition, class: Class, last: &str, lookback: u64) -> Option<String> {
    match class {
        Class::Text => Some(last.to_owned()),
        Class::Number => {
            let (whole, fraction) = last.split_once('.').unwrap_or((last, ""));
            let lower = whole.parse::<i128>().ok()?.checked_sub(lookback.into())?;
            // Below zero a fraction leads away from it: one more is less than the exact value.
            match (
                fraction.bytes().all(|digit| digit == b'0'),
                whole.starts_with('-'),
            ) {
                (true, _) | (false, false) => Some(lower.to_string()),
                (false, true) => Some((lower - 1).to_string()),
            }
        }
        Class::Moment => {
            let full = match last.len() {
                10 => format!("{last} 00:00:00"),
                _ => last.to_owned(),
            };
            let moment = NaiveDateTime::parse_from_str(&full, "%Y-%m-%d %H:%M:%S%.f").ok()?;
            let back = TimeDelta::try_seconds(i64::try_from(lookback).ok()?)?;
            let lower = moment.checked_sub_signed(back)?;
            let is_date = column.wire == Wire::Date;
            let form = if is_date {
                "%Y-%m-%d"
            } else {
                "%Y-%m-%d %H:%M:%S%.6f"
            };
            let text = lower.format(form).to_string();
            // Before the year 0 there is nothing.
            (!text.starts_with('-')).then_some(text)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn values_of_a_position_cannot_be_anything_but_values() {
        let sql = |class, value| literal(class, value, "t").ok();
        assert_eq!(sql(Class::Number, "-1.50").unwrap(), "-1.50");
        assert_eq!(sql(Class::Number, "1 OR 1=1"), None);
        assert_eq!(sql(Class::Number, ""), None);
        assert_eq!(
            sql(Class::Moment, "2024-01-01 00:00:00").unwrap(),
            "'2024-01-01 00:00:00'"
        );
        assert_eq!(sql(Class::Moment, "2024' OR '1"), None);
        assert_eq!(sql(Class::Text, "'a").unwrap(), "_utf8mb4 0x2761");
    }
}
