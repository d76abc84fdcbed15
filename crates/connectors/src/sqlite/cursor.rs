//! What an incremental read reads: rows whose cursor lies between the last position and the largest
//! value of now, both ends included.
//!
//! SQLite has one writer at a time, so what commits later has a later snapshot; only rows that share
//! the last value can come behind it. The closed lower bound reads those (and, again, their equals):
//! a merge by key keeps each once. Rows whose cursor is NULL are read by the first load only.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};
use towpath_vocab::{CursorPlan, Mark, Position, SplitId};

use super::error::{Doing as _, Result, SqliteError};
use super::names::quoted;

const SPLIT: &str = "cursor";
const VERSION: u32 = 1;

/// How far a table has been read. Version 1 of its stored form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    version: u32,
    column: String,
    upper: Option<Stored>,
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
    fn of(value: Value) -> Option<Self> {
        match value {
            Value::Integer(value) => Some(Self::Integer(value.to_string())),
            Value::Real(value) => Some(Self::Real(format!("{value:?}"))),
            Value::Text(value) => Some(Self::Text(value)),
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

/// An incremental read, decided.
pub(super) struct Cursor {
    column: String,
    lower: Option<Value>,
    present: Seen,
    order: u64,
    pub(super) notes: Vec<String>,
}

impl Cursor {
    /// Decides what to read of `from_sql` (what can stand after FROM).
    pub(super) fn decide(
        connection: &Connection,
        plan: &CursorPlan,
        column: &str,
        (from_sql, object): (&str, &str),
        from: Option<&Position>,
        shown: &str,
    ) -> Result<Self> {
        let mark = from.and_then(|position| position.mark(&SplitId(SPLIT.to_owned())));
        let before = mark
            .map(|mark| seen(mark, column, object))
            .transpose()?
            .and_then(|seen| seen.upper);
        let name = quoted(column);
        let doing = || format!("looking at the cursor of `{object}`");
        let sql =
            format!("SELECT min({name}), max({name}), count(*) - count({name}) FROM {from_sql}");
        let (least, most, nulls) = connection
            .query_row(&sql, [], |row| {
                Ok((
                    row.get::<_, Value>(0)?,
                    row.get::<_, Value>(1)?,
                    row.get::<_, i64>(2)?,
                ))
            })
            .doing(shown, doing())?;
        let wrong = |why| SqliteError::Cursor {
            object: object.to_owned(),
            column: column.to_owned(),
            why,
        };
        if class(&least) != class(&most) {
            return Err(wrong(
                "it holds numbers and texts, which have no common order",
            ));
        }
        if matches!(most, Value::Blob(_)) {
            return Err(wrong("it holds blobs"));
        }
        let upper = Stored::of(most).or_else(|| before.clone());
        let lower = before
            .as_ref()
            .map(|before| lower(connection, before, plan.lookback, shown))
            .transpose()?
            .flatten();
        let mut notes = Vec::new();
        if nulls > 0 && mark.is_some() {
            notes.push(format!(
                "{nulls} rows of `{object}` have no `{column}`: only the first load reads them"
            ));
        }
        Ok(Self {
            column: column.to_owned(),
            lower,
            present: Seen {
                version: VERSION,
                column: column.to_owned(),
                upper,
            },
            order: mark.map_or(1, |mark| mark.order.saturating_add(1)),
            notes,
        })
    }

    /// What must hold for a row to be read; its parameters are numbered from `first`.
    pub(super) fn condition(&self, first: usize) -> (Option<String>, Vec<Value>) {
        let upper = self.present.upper.as_ref().and_then(Stored::value);
        let name = quoted(&self.column);
        match (&self.lower, upper) {
            (Some(lower), Some(upper)) => {
                let text = format!("{name} BETWEEN ?{first} AND ?{}", first + 1);
                (Some(text), vec![lower.clone(), upper])
            }
            _ => (None, Vec::new()),
        }
    }

    /// The position that holds when everything was read.
    pub(super) fn position(&self) -> Result<Position> {
        let resume =
            serde_json::to_value(&self.present).map_err(|error| SqliteError::Position {
                object: self.column.clone(),
                why: error.to_string(),
            })?;
        Ok(Position::single(
            SPLIT,
            Mark {
                order: self.order,
                resume,
            },
        ))
    }
}

fn class(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Integer(_) | Value::Real(_) => 1,
        Value::Text(_) => 2,
        Value::Blob(_) => 3,
    }
}

fn seen(mark: &Mark, column: &str, object: &str) -> Result<Seen> {
    let wrong = |why: String| SqliteError::Position {
        object: object.to_owned(),
        why,
    };
    let seen: Seen =
        serde_json::from_value(mark.resume.clone()).map_err(|error| wrong(error.to_string()))?;
    if seen.version > VERSION {
        return Err(wrong("a newer Towpath wrote it".to_owned()));
    }
    if seen.column != column {
        return Err(wrong(format!(
            "it is of cursor `{}`, this read has `{column}`",
            seen.column
        )));
    }
    Ok(seen)
}

/// The last value less the lookback: units of a number, seconds of a timestamp.
fn lower(
    connection: &Connection,
    before: &Stored,
    lookback: u64,
    shown: &str,
) -> Result<Option<Value>> {
    let value = before.value();
    let back = i64::try_from(lookback).unwrap_or(i64::MAX);
    Ok(match value {
        _ if lookback == 0 => value,
        Some(Value::Integer(value)) => Some(Value::Integer(value.saturating_sub(back))),
        #[allow(clippy::cast_precision_loss, reason = "a lookback need not be exact")]
        Some(Value::Real(value)) => Some(Value::Real(value - back as f64)),
        Some(Value::Text(text)) => {
            let form = if text.contains('T') {
                "%Y-%m-%dT%H:%M:%S"
            } else {
                "%Y-%m-%d %H:%M:%S"
            };
            let form = if text.len() <= 10 { "%Y-%m-%d" } else { form };
            let sql = "SELECT strftime(?1, substr(?2, 1, 19), ?3)";
            let earlier = connection
                .query_row(sql, (form, &text, format!("-{back} seconds")), |row| {
                    row.get::<_, Option<String>>(0)
                })
                .optional()
                .doing(shown, "looking back")?;
            Some(Value::Text(earlier.flatten().unwrap_or(text)))
        }
        other => other,
    })
}
