//! What an incremental read reads, so that no row is repeated or lost, whatever others write meanwhile.
//!
//! Promise: a read ends at the largest value that its cursor had when it began. The rows at this value are counted by
//! their digests first (`relational/boundary.rs`), and of them only those are given that were counted, so that the next
//! read knows which it still has to give: this needs no snapshot, which many databases do not have. A row that comes
//! late with a value below the last one is not found, which a note says; with a `lookback` all rows from that far back
//! on are read again, and a write by key keeps each once. Rows whose cursor is NULL are read by the first load only.

use std::collections::BTreeMap;

use towpath_ports::ReadSpec;
use towpath_vocab::{CursorPlan, Position};

use super::answer::text;
use super::error::{AdbcError, Result};
use super::literal::{Class, class, literal, lower};
use super::progress::{ReadProgress, VERSION, digests};
use super::session::Work;
use super::subject::Subject;
use super::types::Column;
use crate::exact::write::Values;
use crate::files::read_as;
use crate::relational::boundary::{Boundary, Given, MOST_ROWS, Resume, again_note, resume};
use crate::relational::columns::{ColumnChanges, NewColumns, SeenColumn};
use crate::relational::cursor::{last_position, next_order, position};

const LOOKING: &str = "looking at the cursor";

/// An incremental read, decided.
pub(super) struct Cursor {
    /// The column in SQL.
    name: String,
    /// True for rows below the end; `None` if every row is read.
    below: Option<String>,
    /// True for the rows at the end of the last read, and which of them were given.
    pub(super) last: Option<(String, Given)>,
    /// True for the rows at the end of this read, and which of them are given or not.
    pub(super) end: Option<AtEnd>,
    present: ReadProgress,
    order: u64,
    pub(super) notes: Vec<String>,
}

/// The rows at the end of a read.
pub(super) struct AtEnd {
    /// The largest value in SQL.
    upper: String,
    pub(super) condition: String,
    /// Those that were counted; `None` if they were too many.
    pub(super) counted: Option<Given>,
    /// Those that an earlier read gave.
    pub(super) given: Option<Given>,
}

/// What is read, as a cursor needs to know it.
pub(super) struct CursorRead<'a> {
    pub(super) plan: &'a CursorPlan,
    pub(super) subject: &'a Subject,
    /// The columns that are read.
    pub(super) wanted: &'a [Column],
    pub(super) spec: &'a ReadSpec,
}

/// A column that rows are told apart by.
struct By<'a> {
    /// As it is read.
    column: &'a Column,
    class: Class,
    /// In SQL.
    name: String,
}

impl CursorRead<'_> {
    fn names(&self) -> Vec<String> {
        self.wanted
            .iter()
            .map(|column| column.name.clone())
            .collect()
    }

    fn literal(&self, by: &By<'_>, value: &str) -> Result<String> {
        literal(self.subject.vendor, by.class, value).ok_or_else(|| AdbcError::Position {
            object: self.subject.object.clone(),
            reason: format!(
                "a value of `{}` has no form in SQL that this database surely reads as the same value",
                by.column.name
            ),
        })
    }
}

impl Cursor {
    /// Decides what to read.
    pub(super) fn decide(
        work: &mut Work<'_>,
        read: &CursorRead<'_>,
        from: Option<&Position>,
    ) -> Result<Self> {
        let subject = read.subject;
        let found = subject.columns().find(&read.plan.column);
        let raw = found.map_err(|unknown| subject.no_column(unknown))?;
        let columns = subject.plain(work, std::slice::from_ref(&raw.name))?;
        let column = columns.first().ok_or(AdbcError::Misused {
            reason: "lost the column of a cursor",
        })?;
        let by = By {
            class: check(subject, column, read.plan.lookback)?,
            name: subject.vendor.quoted(&column.name),
            column,
        };
        let previous = last_position(from);
        let before = previous
            .map(|last| ReadProgress::stored(last, &column.name, by.class, &subject.object))
            .transpose()?;
        let last = before.as_ref().and_then(|before| before.upper.as_deref());
        let upper = upper(work, read, &by, last)?;
        let mut cursor = Self {
            name: by.name.clone(),
            below: None,
            last: None,
            end: None,
            present: ReadProgress {
                version: VERSION,
                column: column.name.clone(),
                class: by.class,
                upper,
                boundary: None,
                columns: subject.names().into_iter().map(seen).collect(),
            },
            order: next_order(previous),
            notes: vec![format!(
                "nothing tells in which order rows were committed: a row that comes late with a `{}` below the last one is found only within `lookback`",
                column.name
            )],
        };
        cursor.end_at_upper(work, read, &by)?;
        match &before {
            None => cursor.read_from_the_start(),
            Some(before) => {
                cursor.go_on(before, read, &by)?;
                cursor.compare_columns(work, before, read)?;
                cursor.count_nulls(work, read)?;
            }
        }
        Ok(cursor)
    }

    /// Counts the rows at the end.
    fn end_at_upper(
        &mut self,
        work: &mut Work<'_>,
        read: &CursorRead<'_>,
        by: &By<'_>,
    ) -> Result<()> {
        let Some(upper) = &self.present.upper else {
            return Ok(());
        };
        let upper = read.literal(by, upper)?;
        let condition = format!("{} = {upper}", self.name);
        let boundary = count(work, read, &condition)?;
        let names = read.names();
        let same = |one: &str, other: &str| read.subject.vendor.same(one, other);
        self.end = Some(AtEnd {
            upper,
            condition,
            counted: boundary
                .as_ref()
                .map(|boundary| Given::of(boundary, &names, same)),
            given: None,
        });
        self.present.boundary = boundary;
        Ok(())
    }

    /// Every row below the end, those without a value among them.
    fn read_from_the_start(&mut self) {
        let name = &self.name;
        self.last = None;
        self.below = Some(match &self.end {
            Some(end) => format!("({name} < {} OR {name} IS NULL)", end.upper),
            None => format!("{name} IS NULL"),
        });
        if let Some(end) = &mut self.end {
            end.given = None;
        }
    }

    /// Goes on behind the last read.
    fn go_on(&mut self, before: &ReadProgress, read: &CursorRead<'_>, by: &By<'_>) -> Result<()> {
        let (name, subject) = (self.name.clone(), read.subject);
        let Some(upper) = self.present.upper.clone() else {
            // Nothing has a value.
            self.below = Some("1 = 0".to_owned());
            return Ok(());
        };
        let to = format!("{name} < {}", read.literal(by, &upper)?);
        let Some(last) = &before.upper else {
            self.below = Some(to);
            return Ok(());
        };
        let value = read.literal(by, last)?;
        let is_there = |name: &str| {
            let mut raws = subject.raws.iter();
            raws.any(|raw| subject.vendor.same(&raw.name, name))
        };
        let cursor = (by.column.name.as_str(), read.plan.lookback);
        let may_repeat = read.spec.may_repeat;
        match resume(before.boundary.as_ref(), cursor, may_repeat, is_there) {
            Resume::LookBack => {
                let lower = lower(by.class, last, read.plan.lookback);
                self.below = Some(match lower {
                    Some(lower) => format!("{name} >= {} AND {to}", read.literal(by, &lower)?),
                    None => to,
                });
            }
            Resume::Behind(boundary) => {
                let same = |one: &str, other: &str| subject.vendor.same(one, other);
                let given = Given::of(boundary, &read.names(), same);
                self.below = Some(format!("{name} > {value} AND {to}"));
                match (*last == upper, &mut self.end) {
                    (true, Some(end)) => end.given = Some(given),
                    _ => self.last = Some((format!("{name} = {value}"), given)),
                }
            }
            Resume::Again(reason) => {
                self.notes.push(again_note(&by.column.name, &reason));
                self.below = Some(format!("{name} >= {value} AND {to}"));
            }
            Resume::Lost(reason) => {
                return Err(AdbcError::Boundary {
                    object: subject.object.clone(),
                    reason,
                });
            }
        }
        Ok(())
    }

    /// Finds out which columns are new since the last read: `ADD COLUMN … DEFAULT` gives rows a value that were read
    /// before.
    fn compare_columns(
        &mut self,
        work: &mut Work<'_>,
        before: &ReadProgress,
        read: &CursorRead<'_>,
    ) -> Result<()> {
        let subject = read.subject;
        let changes = ColumnChanges::between(&before.columns, &self.present.columns);
        let names = read.names();
        let is_read = |name: &str| names.iter().any(|wanted| wanted == name);
        let quoted = |name: &str| subject.vendor.quoted(name);
        let coming = match (&self.below, &self.end) {
            (Some(below), Some(end)) => format!("({below}) OR {}", end.condition),
            (Some(below), None) => below.clone(),
            (None, _) => "1 = 1".to_owned(),
        };
        let mut filled = Vec::new();
        let of = (subject.from.as_str(), coming.as_str());
        if let Some(new) = NewColumns::of(&changes, is_read, quoted, of) {
            let rows = work.rows(&new.question, "looking at new columns")?;
            let flags = rows.into_iter().flatten();
            let flags: Vec<bool> = flags
                .map(|flag| matches!(flag.as_deref(), Some("true" | "1")))
                .collect();
            filled = new.filled(&flags);
        }
        let again = read.spec.may_repeat && !filled.is_empty();
        self.notes
            .extend(changes.notes(&subject.object, &filled, again));
        if again {
            self.read_from_the_start();
        }
        Ok(())
    }

    fn count_nulls(&mut self, work: &mut Work<'_>, read: &CursorRead<'_>) -> Result<()> {
        let subject = read.subject;
        let sql = format!(
            "SELECT count(*) FROM {} WHERE {} IS NULL",
            subject.from, self.name
        );
        let nulls = work
            .rows(&sql, LOOKING)?
            .into_iter()
            .flatten()
            .next()
            .flatten();
        if let Some(nulls) = nulls.filter(|nulls| nulls != "0") {
            self.notes.push(format!(
                "{nulls} rows of `{}` have no `{}`: only the first load reads them",
                subject.object, self.present.column
            ));
        }
        Ok(())
    }

    /// What must be true of a row to be read, besides those at an end.
    pub(super) fn below(&self) -> Option<&str> {
        self.below.as_deref()
    }

    /// The position that holds when everything was read.
    pub(super) fn position(&self) -> Result<Position> {
        position(self.order, &self.present).map_err(|reason| AdbcError::Position {
            object: self.present.column.clone(),
            reason,
        })
    }
}

fn seen(name: String) -> SeenColumn {
    SeenColumn { name, number: None }
}

/// Whether a column can be a cursor, and of which class it is.
fn check(subject: &Subject, column: &Column, lookback: u64) -> Result<Class> {
    let refuse = |reason: &str| AdbcError::Cursor {
        object: subject.object.clone(),
        column: column.name.clone(),
        reason: reason.to_owned(),
    };
    if column.selected != subject.vendor.quoted(&column.name) && column.sample.is_none() {
        return Err(refuse(
            "its values are read as text, which has another order",
        ));
    }
    let class = class(column.field.data_type()).map_err(refuse)?;
    match class == Class::Text && lookback > 0 {
        true => Err(refuse("text has no distance for a lookback")),
        false => Ok(class),
    }
}

/// The largest value there is or was: what is read next lies above it, whatever was deleted.
fn upper(
    work: &mut Work<'_>,
    read: &CursorRead<'_>,
    by: &By<'_>,
    last: Option<&str>,
) -> Result<Option<String>> {
    let (name, subject) = (&by.name, read.subject);
    let filter = match last {
        Some(last) => format!(" WHERE {name} > {}", read.literal(by, last)?),
        None => String::new(),
    };
    let rest = format!(
        "(SELECT max({name}) AS {name} FROM {}{filter}) towpath_upper",
        subject.from
    );
    let columns = std::slice::from_ref(by.column);
    let mut answer = work.select(columns, &rest, LOOKING)?;
    let mut most = None;
    while let Some(batch) = answer
        .next()
        .map_err(|error| work.failed(&error, LOOKING))?
    {
        let Some(array) = batch.columns().first() else {
            continue;
        };
        let wrong = |error: arrow_schema::ArrowError| AdbcError::Columns {
            object: subject.object.clone(),
            reason: error.to_string(),
        };
        let (values, bad) =
            read_as(array, &by.column.form, by.column.field.data_type()).map_err(wrong)?;
        let values = Values::of(&values).map_err(wrong)?;
        for row in 0..batch.num_rows() {
            if bad.iter().any(|(other, _)| *other == row) {
                return Err(AdbcError::Cursor {
                    object: subject.object.clone(),
                    column: by.column.name.clone(),
                    reason: "its largest value does not fit its type".to_owned(),
                });
            }
            most = text(&values, row).map_err(wrong)?.or(most);
        }
    }
    Ok(most.or_else(|| last.map(str::to_owned)))
}

/// Counts the rows that `condition` is true for; `None` when there are too many.
fn count(work: &mut Work<'_>, read: &CursorRead<'_>, condition: &str) -> Result<Option<Boundary>> {
    let doing = "looking at the rows at the last cursor value";
    let (subject, columns) = (read.subject, read.wanted);
    let rest = format!(
        "{} WHERE {condition}{}",
        subject.from,
        subject.vendor.limit(Some(MOST_ROWS + 1))
    );
    let places: Vec<usize> = (0..columns.len()).collect();
    let mut answer = work.select(columns, &rest, doing)?;
    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    let mut counted = 0;
    while let Some(batch) = answer.next().map_err(|error| work.failed(&error, doing))? {
        let digests = digests(&batch, columns, &places).map_err(|error| AdbcError::Columns {
            object: subject.object.clone(),
            reason: error.to_string(),
        })?;
        for digest in digests {
            *rows.entry(digest).or_default() += 1;
            counted += 1;
        }
        if counted > MOST_ROWS {
            return Ok(None);
        }
    }
    Ok(Boundary::of(None, &read.names(), rows))
}
