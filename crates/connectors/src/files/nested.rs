//! Lists and structs from the JSON text of a cell.
//!
//! Promise: a value fits its whole type or not at all, and the reason says where it does not: a member that
//! the type does not have is never dropped, a member that is missing is NULL. It chooses no type; leaves
//! are read as cells of that type are (`column.rs`).

use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray, StructArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, FieldRef, Fields};
use towpath_vocab::types;

use super::cells::{Cells, Nulls, Span};
use super::column::{Column, ColumnFormat, misfit, readable_type};
use super::json::{Member, Skim, unescape};
use super::value;

/// How leaves are read.
#[derive(Clone, Copy)]
pub(super) struct Leaves<'a> {
    pub(super) format: &'a ColumnFormat,
    /// As in `Column::exactly`.
    pub(super) exact: bool,
}

/// A value on its way to a nested column.
pub(super) enum Nested {
    Leaf(Box<Column>),
    List {
        field: FieldRef,
        item: Box<Nested>,
        ends: Vec<i32>,
        nulls: NullBufferBuilder,
    },
    Struct {
        fields: Fields,
        members: Vec<Nested>,
        nulls: NullBufferBuilder,
    },
}

/// Whether a type is one of these, with leaves that text can be read as.
pub(super) fn is_readable(data_type: &DataType) -> bool {
    let readable = |field: &FieldRef| readable_type(field.data_type());
    match data_type {
        DataType::List(item) => readable(item),
        DataType::Struct(fields) => !fields.is_empty() && fields.iter().all(readable),
        _ => false,
    }
}

/// A value inside text.
#[derive(Clone, Copy)]
struct Cell<'a> {
    bytes: &'a [u8],
    span: Span,
}

impl<'a> Cell<'a> {
    fn whole(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            span: Span::plain(0, bytes.len()),
        }
    }

    /// The text of a list or an object.
    fn inner(self) -> Option<&'a [u8]> {
        (!self.span.is_quoted()).then(|| self.span.text(self.bytes))
    }

    fn is_null(self) -> bool {
        self.span.is_null()
    }

    fn fill(self, column: &mut Column) -> bool {
        let nulls = Nulls::default();
        let cells = Cells {
            bytes: self.bytes,
            spans: &[self.span],
            width: 1,
            column: 0,
            nulls: &nulls,
            unescape: &unescape,
        };
        let mut bad = Vec::new();
        column.fill(&cells, 0, &mut bad);
        bad.is_empty()
    }

    fn text(self) -> Vec<u8> {
        let text = self.span.text(self.bytes);
        if !self.span.is_escaped() {
            return text.to_vec();
        }
        let mut plain = Vec::new();
        unescape(text, &mut plain);
        plain
    }

    fn is(self, name: &str) -> bool {
        match self.span.is_escaped() {
            true => self.text() == name.as_bytes(),
            false => self.span.text(self.bytes) == name.as_bytes(),
        }
    }

    /// Whether a column of this type takes the value.
    fn fits(self, leaf: &DataType, leaves: Leaves<'_>) -> bool {
        let (text, numbers) = (self.span.text(self.bytes), leaves.format.numbers);
        let double = match leaves.exact {
            true => value::exact_double,
            false => value::double,
        };
        match leaf {
            DataType::Utf8 => true,
            // Other words for it are for declared types: a later 0 is not false.
            DataType::Boolean if leaves.exact => matches!(text, b"true" | b"false"),
            DataType::Int64 if !self.span.is_escaped() => {
                numbers.read(text, value::integer).is_some()
            }
            DataType::Float64 if !self.span.is_escaped() => numbers.read(text, double).is_some(),
            _ => {
                let mut probe = Column::new(leaf, 1, leaves.format).exactly(leaves.exact);
                self.fill(&mut probe)
            }
        }
    }
}

fn items(bytes: &[u8]) -> Option<Vec<Span>> {
    let mut items = Vec::new();
    Skim::new(bytes, 0).items(&mut items).ok()?;
    Some(items)
}

fn members(bytes: &[u8]) -> Option<Vec<Member>> {
    let mut members = Vec::new();
    Skim::new(bytes, 0).object(&mut members).ok()?;
    Some(members)
}

/// The member of a struct with this name; objects mostly have them in the order of the struct.
fn find(fields: &Fields, key: Cell<'_>, expected: usize) -> Option<usize> {
    match fields.get(expected) {
        Some(field) if key.is(field.name()) => Some(expected),
        _ => fields.iter().position(|field| key.is(field.name())),
    }
}

/// Where in a value something does not fit, and why.
struct NestedError {
    place: String,
    why: String,
}

impl NestedError {
    fn here(why: String) -> Self {
        Self {
            place: String::new(),
            why,
        }
    }

    fn inside(mut self, outer: &str) -> Self {
        let dot = match self.place.is_empty() || self.place.starts_with('[') {
            true => "",
            false => ".",
        };
        self.place = format!("{outer}{dot}{}", self.place);
        self
    }
}

/// Why the text of a cell does not fit a type; `Ok` when it does.
pub(super) fn check(text: &[u8], data_type: &DataType, leaves: Leaves<'_>) -> Result<(), String> {
    let checked = check_cell(Cell::whole(text), data_type, leaves);
    checked.map_err(|NestedError { place, why }| match place.as_str() {
        "" => why,
        place => format!("`{place}` {why}"),
    })
}

fn check_cell(cell: Cell<'_>, data_type: &DataType, leaves: Leaves<'_>) -> Result<(), NestedError> {
    let wrong = || NestedError::here(format!("is not a valid `{}`", types::name(data_type)));
    if cell.is_null() {
        return Ok(());
    }
    match data_type {
        DataType::List(item) => {
            let text = cell.inner().ok_or_else(wrong)?;
            for (at, span) in items(text).ok_or_else(wrong)?.into_iter().enumerate() {
                let item = check_cell(Cell { bytes: text, span }, item.data_type(), leaves);
                item.map_err(|misfit| misfit.inside(&format!("[{at}]")))?;
            }
            Ok(())
        }
        DataType::Struct(fields) => {
            let text = cell.inner().ok_or_else(wrong)?;
            let members = members(text).ok_or_else(wrong)?;
            check_members(text, &members, fields, leaves)
        }
        leaf if cell.fits(leaf, leaves) => Ok(()),
        leaf => Err(NestedError::here(misfit(&cell.text(), leaf, leaves.format))),
    }
}

fn check_members(
    bytes: &[u8],
    members: &[Member],
    fields: &Fields,
    leaves: Leaves<'_>,
) -> Result<(), NestedError> {
    let mut seen = vec![false; fields.len()];
    let mut expected = 0;
    for (key, span) in members {
        let key = Cell { bytes, span: *key };
        let name = || String::from_utf8_lossy(&key.text()).into_owned();
        let at = find(fields, key, expected).ok_or_else(|| {
            let name = name();
            NestedError::here(format!(
                "has a member `{name}`, which its type does not have"
            ))
        })?;
        expected = at + 1;
        if seen.get(at).copied().unwrap_or(false) {
            return Err(NestedError::here(format!(
                "has the member `{}` twice",
                name()
            )));
        }
        if let (Some(seen), Some(field)) = (seen.get_mut(at), fields.get(at)) {
            *seen = true;
            let value = Cell { bytes, span: *span };
            let checked = check_cell(value, field.data_type(), leaves);
            checked.map_err(|misfit| misfit.inside(field.name()))?;
        }
    }
    Ok(())
}

impl Nested {
    /// An empty column of a type that is readable.
    pub(super) fn new(data_type: &DataType, rows: usize, leaves: Leaves<'_>) -> Self {
        match data_type {
            DataType::List(field) => Self::List {
                field: Arc::clone(field),
                item: Box::new(Self::new(field.data_type(), rows, leaves)),
                ends: vec![0],
                nulls: NullBufferBuilder::new(rows),
            },
            DataType::Struct(fields) => {
                let member = |field: &FieldRef| Self::new(field.data_type(), rows, leaves);
                Self::Struct {
                    fields: fields.clone(),
                    members: fields.iter().map(member).collect(),
                    nulls: NullBufferBuilder::new(rows),
                }
            }
            leaf => {
                let column = Column::new(leaf, rows, leaves.format).exactly(leaves.exact);
                Self::Leaf(Box::new(column))
            }
        }
    }

    /// Adds the value of a cell that was checked, or NULL.
    pub(super) fn push(&mut self, text: Option<&[u8]>) {
        self.push_cell(text.map_or(NULL, Cell::whole));
    }

    fn push_cell(&mut self, cell: Cell<'_>) {
        let text = match (cell.is_null(), cell.inner()) {
            (false, Some(text)) => text,
            _ => &[],
        };
        match self {
            Self::Leaf(column) => {
                cell.fill(column);
            }
            Self::List {
                item, ends, nulls, ..
            } => {
                let items = items(text).filter(|_| !cell.is_null());
                nulls.append(items.is_some());
                let mut end = ends.last().copied().unwrap_or(0);
                for span in items.into_iter().flatten() {
                    item.push_cell(Cell { bytes: text, span });
                    // A chunk is shorter than 2^31 bytes, and each item takes at least one.
                    end = end.saturating_add(1);
                }
                ends.push(end);
            }
            Self::Struct {
                fields,
                members: columns,
                nulls,
            } => {
                let found = members(text).filter(|_| !cell.is_null());
                nulls.append(found.is_some());
                let mut values = vec![NULL; columns.len()];
                let mut expected = 0;
                for (key, span) in found.into_iter().flatten() {
                    let key = Cell {
                        bytes: text,
                        span: key,
                    };
                    // Each member was checked to be one of the type's.
                    let at = find(fields, key, expected).unwrap_or(usize::MAX - 1);
                    expected = at + 1;
                    if let Some(value) = values.get_mut(at) {
                        *value = Cell { bytes: text, span };
                    }
                }
                for (column, value) in columns.iter_mut().zip(values) {
                    column.push_cell(value);
                }
            }
        }
    }

    /// The column so far.
    pub(super) fn finish(self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Leaf(column) => column.finish()?,
            Self::List {
                field,
                item,
                ends,
                mut nulls,
            } => {
                let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
                Arc::new(ListArray::try_new(
                    field,
                    ends,
                    item.finish()?,
                    nulls.finish(),
                )?)
            }
            Self::Struct {
                fields,
                members,
                mut nulls,
            } => {
                let arrays = members.into_iter().map(Self::finish);
                let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
                Arc::new(StructArray::try_new(fields, arrays, nulls.finish())?)
            }
        })
    }
}

const NULL: Cell<'static> = Cell {
    bytes: &[],
    span: Span::NULL,
};

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const WORD: &str = "struct(a list(bigint), \"B c\" struct(d decimal(9,2), e text))";

    #[test]
    fn values_are_read_whole_or_not_at_all() {
        let data_type = types::parse(WORD).unwrap();
        let format = ColumnFormat::default();
        let leaves = Leaves {
            format: &format,
            exact: true,
        };
        let mut column = Nested::new(&data_type, 4, leaves);
        let texts: [&[u8]; 3] = [
            br#"{"a": [1, null, 2], "B c": {"e": "x\"y", "d": 1.50}}"#,
            br#" { "B c" : null } "#,
            br#"{"a": [], "B c": {"e": {"any": [1]}}}"#,
        ];
        for text in texts {
            assert_eq!(check(text, &data_type, leaves), Ok(()));
            column.push(Some(text));
        }
        column.push(None);
        let array = column.finish().unwrap();
        assert_eq!((array.len(), array.data_type()), (4, &data_type));
        let shown = towpath_ports::ExactValues::of(&array).unwrap();
        let row = |row: usize| {
            let mut out = Vec::new();
            towpath_ports::exact_json(&shown, row, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(row(0), r#"{"a":[1,null,2],"B c":{"d":"1.50","e":"x\"y"}}"#);
        assert_eq!(row(1), r#"{"a":null,"B c":null}"#);
        assert_eq!(row(2), r#"{"a":[],"B c":{"d":null,"e":"{\"any\": [1]}"}}"#);
        assert!(array.is_null(3));
        for (text, why) in [
            (r#"{"a": [1, "x"]}"#, "`a[1]` is not a valid `bigint`"),
            (
                r#"{"B c": {"d": 1.505}}"#,
                "`B c.d` does not fit `decimal(9,2)` exactly",
            ),
            (
                r#"{"z": 1}"#,
                "has a member `z`, which its type does not have",
            ),
            (r#"{"a": [], "a": []}"#, "has the member `a` twice"),
            (r#"{"a": "[1]"}"#, "`a` is not a valid `list(bigint)`"),
        ] {
            assert_eq!(
                check(text.as_bytes(), &data_type, leaves),
                Err(why.to_owned())
            );
        }
        let whole = format!("is not a valid `{WORD}`");
        for text in ["[1]", "7", "", "{", "text"] {
            assert_eq!(
                check(text.as_bytes(), &data_type, leaves),
                Err(whole.clone())
            );
        }
    }
}
