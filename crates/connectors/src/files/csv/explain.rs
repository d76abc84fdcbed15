//! Says everything that is wrong with one rejected record.
//!
//! Promise: all reasons, each with its column and value. It is slow and thorough, and runs only for
//! rejected records; the fast path is in `index.rs` and `../column.rs`.

use arrow_schema::{DataType, Schema};
use towpath_vocab::Reason;

use super::index::{Index, Walk, unescape};
use super::scan::Dialect;
use crate::files::cells::{Cells, Span, Unescape};
use crate::files::chunk::Suspicion;
use crate::files::column::{Column, Readings};

/// The reason for a record of a broken shape that is no text either.
pub(crate) fn foreign(record: &[u8]) -> Option<Reason> {
    std::str::from_utf8(record).is_err().then(|| encoding(None))
}

/// Reasons for a record: bytes that are no text, values that do not fit. `columns` names each cell
/// with its type (`None`: not read). Flaws of shape are known to the caller.
pub(crate) fn reasons(
    record: &[u8],
    dialect: &Dialect,
    columns: &[(String, Option<DataType>)],
    how: &Readings<'_>,
) -> Vec<Reason> {
    let mut index = Index::new(columns.len());
    Walk::new(record, dialect, Suspicion::NONE).rows(1, &mut index, &mut Vec::new());
    if index.starts.is_empty() {
        return foreign(record).into_iter().collect();
    }
    let undo = |text: &[u8], to: &mut Vec<u8>| unescape(text, dialect, to);
    cell_reasons((record, &index.spans), columns, &undo, how)
}

/// The columns of a schema, as `cell_reasons` takes them.
pub(crate) fn typed_columns(schema: &Schema) -> Vec<(String, Option<DataType>)> {
    let fields = schema.fields().iter();
    fields
        .map(|field| (field.name().clone(), Some(field.data_type().clone())))
        .collect()
}

/// Reasons for the cells of one row.
pub(crate) fn cell_reasons(
    (bytes, spans): (&[u8], &[Span]),
    columns: &[(String, Option<DataType>)],
    unescape: Unescape<'_>,
    how: &Readings<'_>,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    for (column, (name, data_type)) in columns.iter().enumerate() {
        let cells = Cells {
            bytes,
            spans,
            width: columns.len(),
            column,
            nulls: how.nulls,
            unescape,
        };
        let mut value = None;
        cells.each(|_, text, _| value = text.map(<[u8]>::to_vec));
        let Some(value) = value else { continue };
        if std::str::from_utf8(&value).is_err() {
            reasons.push(encoding(Some((name, &value))));
        } else if let Some(data_type) = data_type {
            reasons.extend(of_value(name, &cells, &value, data_type, how));
        }
    }
    reasons
}

fn of_value(
    name: &str,
    cells: &Cells<'_>,
    value: &[u8],
    data_type: &DataType,
    how: &Readings<'_>,
) -> Option<Reason> {
    let mut bad = Vec::new();
    Column::new(data_type, 1, how.formats.of(name))
        .exactly(how.exact.contains(name))
        .fill(cells, 0, &mut bad);
    (!bad.is_empty()).then(|| Reason {
        code: "type".to_owned(),
        column: Some(name.to_owned()),
        value: Some(shown(value)),
        message: how.misfit(name, value, data_type),
    })
}

/// The reason for bytes that are no text, in a cell or anywhere in a record.
pub(crate) fn encoding(cell: Option<(&str, &[u8])>) -> Reason {
    Reason {
        code: "encoding".to_owned(),
        column: cell.map(|(name, _)| name.to_owned()),
        value: cell.map(|(_, value)| shown(value)),
        message:
            "contains bytes that are not valid in this encoding; `encoding` sets a different one"
                .to_owned(),
    }
}

/// A value for people, at most 200 characters.
pub(crate) fn shown(value: &[u8]) -> String {
    crate::files::readable::readable(value.get(..value.len().min(800)).unwrap_or_default())
        .chars()
        .take(200)
        .collect()
}
