//! Values of a file's path as columns of its rows.
//!
//! Promise: a value of a path is typed, known and rejected as a value of a file is, always in its plain form (ISO
//! 8601, a decimal point). A column that the file has too must have the value of the path, or its record is
//! rejected. It takes no path apart: see `path_rules.rs`.

use arrow_array::{Array, ArrayRef, StringArray, UInt32Array, new_null_array};
use arrow_cast::cast::cast;
use arrow_schema::{ArrowError, DataType, Field};
use serde_json::Value;
use towpath_vocab::Reason;

use super::cells::{Cells, Nulls, Span};
use super::column::{Column, ColumnFormat, Formats, Readings};
use super::csv::shown;
use super::path_values::PathValues;
use super::record::record_value;

/// A value as the cells of so many rows.
pub(crate) fn each(value: Option<&str>, rows: usize, take: impl FnOnce(&Cells<'_>)) {
    let bytes = value.unwrap_or_default().as_bytes();
    let span = match value {
        None => Span::NULL,
        Some(_) => Span::plain(0, bytes.len()),
    };
    take(&Cells {
        bytes,
        spans: &vec![span; rows],
        width: 1,
        column: 0,
        nulls: &Nulls::default(),
        unescape: &|text, to| to.extend_from_slice(text),
    });
}

/// A column of the path in the schema of a read.
#[derive(Clone, Debug)]
pub(crate) struct PathColumn {
    /// Its place in the schema.
    pub(crate) at: usize,
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    pub(crate) data_type: DataType,
    /// A number that its type does not keep as it is written does not fit.
    pub(crate) exact: bool,
}

impl PathColumn {
    /// The column at this place of a schema, if the path has it.
    pub(crate) fn of(at: usize, field: &Field, values: &PathValues) -> Option<Self> {
        let value = values.get(field.name())?.map(str::to_owned);
        Some(Self {
            at,
            name: field.name().clone(),
            value,
            data_type: field.data_type().clone(),
            exact: values.exact().contains(field.name()),
        })
    }

    /// The column of another file.
    pub(crate) fn with(self, values: &PathValues) -> Self {
        let value = values.get(&self.name).flatten().map(str::to_owned);
        Self { value, ..self }
    }

    /// An empty column for its values.
    pub(crate) fn column(&self, rows: usize) -> Column {
        Column::new(&self.data_type, rows, &ColumnFormat::default()).exactly(self.exact)
    }

    /// Adds the value so many times; rows go to `bad` if it does not fit.
    pub(crate) fn fill(
        &self,
        column: &mut Column,
        first: usize,
        rows: usize,
        bad: &mut Vec<usize>,
    ) {
        each(self.value.as_deref(), rows, |cells| {
            column.fill(cells, first, bad)
        });
    }

    /// Why its value does not fit its type.
    pub(crate) fn misfit(&self) -> Option<Reason> {
        let mut bad = Vec::new();
        self.fill(&mut self.column(1), 0, 1, &mut bad);
        let value = self.value.as_deref().filter(|_| !bad.is_empty())?;
        let exact = self.exact.then(|| self.name.clone());
        let how = Readings {
            nulls: &Nulls::default(),
            formats: &Formats::default(),
            exact: &exact.into_iter().collect(),
        };
        Some(Reason {
            code: "type".to_owned(),
            column: Some(self.name.clone()),
            value: Some(shown(value.as_bytes())),
            message: how.misfit(&self.name, value.as_bytes(), &self.data_type),
        })
    }

    /// What is said where the file has another value.
    pub(crate) fn disagreement(&self) -> Reason {
        reason(&self.name, self.value.as_deref())
    }
}

fn reason(name: &str, value: Option<&str>) -> Reason {
    Reason {
        code: "path".to_owned(),
        column: Some(name.to_owned()),
        value: None,
        message: disagreement(value),
    }
}

/// Words for a value of a file that is not the one of its path.
pub(crate) fn disagreement(value: Option<&str>) -> String {
    let value = value.map_or("NULL".to_owned(), |value| {
        format!("`{}`", shown(value.as_bytes()))
    });
    format!("is not {value}, which the path of the file says")
}

/// The rows whose value in the file is not the one of the path. With `null_agrees`, a file without the value
/// says nothing.
pub(crate) fn disagreeing(
    of_file: &ArrayRef,
    of_path: &ArrayRef,
    null_agrees: bool,
) -> Result<Vec<usize>, ArrowError> {
    let differs = arrow_ord::cmp::distinct(of_file, of_path)?;
    let rows = 0..differs.len();
    Ok(rows
        .filter(|row| differs.value(*row) && !(null_agrees && of_file.is_null(*row)))
        .collect())
}

/// The value of a path as a column of so many rows, or why it is none.
pub(crate) fn repeated(
    path: &PathColumn,
    rows: usize,
) -> Result<Result<ArrayRef, String>, ArrowError> {
    let data_type = &path.data_type;
    let Some(value) = path.value.as_deref() else {
        return Ok(Ok(new_null_array(data_type, rows)));
    };
    let unkept = path.exact.then(|| path.misfit()).flatten();
    if let Some(why) = unkept {
        return Ok(Err(format!(
            "the path of the file says `{value}`, which {}",
            why.message
        )));
    }
    let text = Value::String(value.to_owned());
    let one = match *data_type {
        // Bytes of a record are hexadecimal digits, those of a path are text.
        DataType::Binary => Ok(cast(&StringArray::from(vec![value]), data_type)?),
        _ => record_value(Some(&text), data_type)?,
    };
    Ok(match one {
        Err(why) => Err(format!("the path of the file says `{value}`, which {why}")),
        Ok(one) => {
            let first = UInt32Array::from(vec![0; rows]);
            Ok(arrow_select::take::take(one.as_ref(), &first, None)?)
        }
    })
}

/// What a replayed row says about a column that the path of its file has too.
pub(crate) fn compared(
    of_file: &ArrayRef,
    path: &PathColumn,
) -> Result<Option<String>, ArrowError> {
    Ok(match repeated(path, of_file.len())? {
        Err(why) => Some(why),
        Ok(of_path) => {
            let differs = disagreeing(of_file, &of_path, false)?;
            (!differs.is_empty()).then(|| disagreement(path.value.as_deref()))
        }
    })
}
