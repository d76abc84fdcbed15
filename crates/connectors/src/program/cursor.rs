//! The cursor of an incremental read: the largest value of a column, as the text that the program gets.
//!
//! Promise: it never goes back: a program that gives older rows again leaves it where it is. NULLs do not
//! count. Stored form, version 1: `{"version": 1, "cursor": TEXT}`. It does not know what the program does
//! with it. Read next: `source.rs`.

use std::sync::Arc;

use arrow_array::{Array as _, ArrayRef, RecordBatch, StringArray};
use arrow_cast::cast;
use arrow_ord::sort::sort_to_indices;
use arrow_schema::{DataType, SortOptions};
use arrow_select::concat::concat;
use serde_json::{Value, json};
use towpath_ports::value_as_json;
use towpath_vocab::{Position, SplitId, SplitPosition};

use super::error::{ProgramError, Result};

/// The one split of an incremental read.
pub(super) const SPLIT: &str = "program";
const VERSION: u64 = 1;

/// What the last read of a table left.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    pub(super) cursor: Option<String>,
    order: u64,
}

impl Stored {
    pub(super) fn read(table: &str, from: Option<&Position>) -> Result<Self> {
        let split = SplitId(SPLIT.to_owned());
        let Some(stored) = from.and_then(|from| from.get(&split)) else {
            return Ok(Self::default());
        };
        let resume = &stored.resume;
        let version = resume.get("version").and_then(Value::as_u64);
        let cursor = match resume.get("cursor") {
            Some(Value::Null) => Some(None),
            Some(Value::String(text)) => Some(Some(text.clone())),
            _ => None,
        };
        match (version, cursor) {
            (Some(VERSION), Some(cursor)) => Ok(Self {
                cursor,
                order: stored.order,
            }),
            _ => Err(ProgramError::Stored {
                table: table.to_owned(),
            }),
        }
    }
}

/// The largest value so far.
pub(super) struct LargestValue {
    table: String,
    column: String,
    stored: Stored,
    /// One value.
    largest: Option<ArrayRef>,
}

impl LargestValue {
    pub(super) fn new(table: String, column: String, stored: Stored) -> Self {
        Self {
            table,
            column,
            stored,
            largest: None,
        }
    }

    fn wrong(&self, why: impl Into<String>) -> ProgramError {
        ProgramError::Cursor {
            table: self.table.clone(),
            column: self.column.clone(),
            why: why.into(),
        }
    }

    /// Looks at rows.
    pub(super) fn see(&mut self, rows: &RecordBatch) -> Result<()> {
        let fields = rows.schema();
        let at = fields
            .fields()
            .iter()
            .position(|field| field.name().eq_ignore_ascii_case(&self.column));
        let Some(values) = at.map(|at| Arc::clone(rows.column(at))) else {
            return Err(self.wrong("is no column of its rows"));
        };
        if values.len() == values.logical_null_count() {
            return Ok(());
        }
        let before = match self.largest.take() {
            Some(largest) => Some(largest),
            None => self.known(values.data_type())?,
        };
        let unordered = |this: &Self| this.wrong("has a type without an order");
        let all = match before {
            Some(before) if before.data_type() == values.data_type() => {
                concat(&[before.as_ref(), values.as_ref()]).map_err(|_| unordered(self))?
            }
            Some(_) => return Err(self.wrong("changes its type")),
            None => values,
        };
        let descending = SortOptions {
            descending: true,
            nulls_first: false,
        };
        let first = sort_to_indices(&all, Some(descending), Some(1));
        let first = first.map_err(|_| unordered(self))?;
        let at = first.values().first().copied().unwrap_or_default();
        self.largest = Some(all.slice(at as usize, 1));
        Ok(())
    }

    /// The value of the last read, in the type of the column.
    fn known(&self, data_type: &DataType) -> Result<Option<ArrayRef>> {
        let Some(text) = &self.stored.cursor else {
            return Ok(None);
        };
        let text: ArrayRef = Arc::new(StringArray::from(vec![text.as_str()]));
        match cast(&text, data_type) {
            Ok(value) if value.null_count() == 0 => Ok(Some(value)),
            _ => Err(self.wrong("has another type than in the last read")),
        }
    }

    /// The position behind the read: where it began, if no row had a value.
    pub(super) fn position(&self) -> SplitPosition {
        let (cursor, order) = match &self.largest {
            None => (self.stored.cursor.clone(), self.stored.order),
            Some(value) => match value_as_json(value, 0) {
                Value::String(text) => (Some(text), self.stored.order + 1),
                other => (Some(other.to_string()), self.stored.order + 1),
            },
        };
        SplitPosition {
            order,
            resume: json!({ "version": VERSION, "cursor": cursor }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use arrow_array::{Int64Array, TimestampMicrosecondArray};
    use arrow_schema::{Field, Schema};

    use super::*;

    fn rows(values: ArrayRef) -> RecordBatch {
        let field = Field::new("At", values.data_type().clone(), true);
        RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![values]).unwrap()
    }

    fn ints(values: &[Option<i64>]) -> RecordBatch {
        rows(Arc::new(Int64Array::from(values.to_vec())))
    }

    fn after(stored: Stored, batches: &[RecordBatch]) -> Result<Stored> {
        let mut largest = LargestValue::new("t".to_owned(), "at".to_owned(), stored);
        for batch in batches {
            largest.see(batch)?;
        }
        let position = Position::single(SPLIT, largest.position());
        Stored::read("t", Some(&position))
    }

    #[test]
    fn the_cursor_is_the_largest_value_and_never_goes_back() {
        let first = after(
            Stored::default(),
            &[ints(&[Some(7), None]), ints(&[Some(10)])],
        );
        let first = first.unwrap();
        assert_eq!((first.cursor.as_deref(), first.order), (Some("10"), 1));
        // Numbers are compared as numbers, whatever their texts are.
        let older = after(first.clone(), &[ints(&[Some(9)])]).unwrap();
        assert_eq!(older.cursor.as_deref(), Some("10"));
        let none = after(first.clone(), &[ints(&[None]), ints(&[])]).unwrap();
        assert_eq!((none.cursor.as_deref(), none.order), (Some("10"), 1));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        assert!(after(first, &[ints(&[Some(11)]), rows(text)]).is_err());
        let times = TimestampMicrosecondArray::from(vec![1_000_000, 0]).with_timezone("UTC");
        let times = after(Stored::default(), &[rows(Arc::new(times))]).unwrap();
        assert_eq!(times.cursor.as_deref(), Some("1970-01-01T00:00:01Z"));
        let again = TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC");
        let again = after(times, &[rows(Arc::new(again))]).unwrap();
        assert_eq!(again.cursor.as_deref(), Some("1970-01-01T00:00:01Z"));
    }

    #[test]
    fn another_form_is_not_read() {
        let position = SplitPosition {
            order: 1,
            resume: json!({ "version": 2, "cursor": "x" }),
        };
        assert!(Stored::read("t", Some(&Position::single(SPLIT, position))).is_err());
    }
}
