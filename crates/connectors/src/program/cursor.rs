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

    /// The position behind the read.
    pub(super) fn position(&self) -> Result<SplitPosition> {
        let cursor = match &self.largest {
            None => self.stored.cursor.clone(),
            Some(value) => match value_as_json(value, 0) {
                Value::String(text) => Some(text),
                other => Some(other.to_string()),
            },
        };
        Ok(SplitPosition {
            order: self.stored.order + 1,
            resume: json!({ "version": VERSION, "cursor": cursor }),
        })
    }
}
