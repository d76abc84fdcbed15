//! Cells of elements, one for each column that is read.
//!
//! Promise: an attribute, and an element with text alone, is a cell with that text; an element with more in it, and
//! elements that repeat, are JSON. A cell of a list or a struct is the JSON of that type, also where the document
//! has one element for a list of one, or text alone for a struct. What is not there, or is `xsi:nil`, is NULL;
//! an empty one is an empty text. It converts nothing: see `../cells.rs`.

use arrow_schema::{DataType, SchemaRef};
use serde_json::{Map, Value};
use std::collections::HashMap;
use towpath_vocab::Reason;

use super::walk::{Reading, Take, element};
use crate::exact::xml::{Element, Part, TEXT, value_of};
use crate::files::cells::Span;
use crate::files::column::Readings;
use crate::files::csv::{cell_reasons, typed_columns};

/// So much text of cells is made at once.
const MOST_TEXT: usize = 16 << 20;
/// Places of cells are 31 bits wide.
pub(super) const LONGEST: usize = 1 << 30;

/// Cells of some records, with a text of their own.
pub(crate) struct XmlTable {
    places: HashMap<String, usize>,
    types: Vec<DataType>,
    trims: bool,
    pub(crate) text: Vec<u8>,
    pub(crate) spans: Vec<Span>,
    /// Where each record starts in the chunk.
    pub(crate) starts: Vec<usize>,
}

impl XmlTable {
    /// With these columns.
    pub(crate) fn new(schema: &SchemaRef, reading: Reading) -> Self {
        let fields = schema.fields().iter();
        Self {
            places: fields
                .clone()
                .enumerate()
                .map(|(at, field)| (field.name().clone(), at))
                .collect(),
            types: fields.map(|field| field.data_type().clone()).collect(),
            trims: reading.trims,
            text: Vec::new(),
            spans: Vec::new(),
            starts: Vec::new(),
        }
    }

    /// Without rows again.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
        self.starts.clear();
    }
}

impl Take for XmlTable {
    fn record(&mut self, element: &Element, start: usize) -> bool {
        let (first, text) = (self.spans.len(), self.text.len());
        self.spans.resize(first + self.types.len(), Span::NULL);
        let trims = self.trims;
        each(element, trims, |name, value| {
            let Some(at) = self.places.get(name).copied() else {
                return;
            };
            let data_type = self.types.get(at).unwrap_or(&DataType::Utf8);
            let span = write(value, data_type, trims, &mut self.text);
            if let Some(cell) = self.spans.get_mut(first + at) {
                *cell = span;
            }
        });
        // JSON may be longer than the element.
        if self.text.len() > LONGEST {
            self.spans.truncate(first);
            self.text.truncate(text);
            return false;
        }
        self.starts.push(start);
        true
    }

    fn is_full(&self) -> bool {
        self.text.len() > MOST_TEXT
    }
}

/// A value of a record.
pub(super) enum Cell<'a> {
    Parts(&'a [Part<'a>]),
    /// Its own text, beside others.
    Text(&'a str),
}

/// Calls `take` with each name in a record and what is under it.
pub(super) fn each(element: &Element, trims: bool, mut take: impl FnMut(&str, Cell<'_>)) {
    if element.is_plain() && element.is_nil {
        return;
    }
    for (name, parts) in element.parts() {
        take(&name, Cell::Parts(&parts));
    }
    let text = element.own_text(trims);
    if !text.is_empty() {
        take(TEXT, Cell::Text(text));
    }
}

/// Writes a cell; the span of a text is quoted, that of JSON is not.
pub(super) fn write(cell: Cell<'_>, data_type: &DataType, trims: bool, to: &mut Vec<u8>) -> Span {
    let start = to.len();
    if data_type.is_nested() {
        let value = match cell {
            Cell::Parts(parts) => value_of(parts, trims),
            Cell::Text(text) => Value::from(text),
        };
        let value = fitted(value, data_type);
        if value.is_null() {
            return Span::NULL;
        }
        to.extend_from_slice(value.to_string().as_bytes());
        return Span::plain(start, to.len());
    }
    let text = match cell {
        Cell::Text(text) | Cell::Parts(&[Part::Attribute(text)]) => text,
        Cell::Parts(&[Part::Element(one)]) if one.is_plain() && one.is_nil => return Span::NULL,
        Cell::Parts(&[Part::Element(one)]) if one.is_plain() => one.own_text(trims),
        Cell::Parts(parts) => {
            let json = value_of(parts, trims).to_string();
            to.extend_from_slice(json.as_bytes());
            return Span::plain(start, to.len());
        }
    };
    to.extend_from_slice(text.as_bytes());
    Span::quoted(start, to.len(), false)
}

/// JSON of a type: one element is a list of one, and text alone the text of a struct.
fn fitted(value: Value, data_type: &DataType) -> Value {
    match (data_type, value) {
        (_, Value::Null) => Value::Null,
        (DataType::List(item), Value::Array(values)) => {
            let items = values.into_iter();
            Value::Array(items.map(|value| fitted(value, item.data_type())).collect())
        }
        (DataType::List(item), value) => Value::Array(vec![fitted(value, item.data_type())]),
        (DataType::Struct(fields), Value::Object(members)) => {
            let member = |(name, value): (String, Value)| match fields.find(&name) {
                Some((_, field)) => {
                    let value = fitted(value, field.data_type());
                    (name, value)
                }
                None => (name, value),
            };
            Value::Object(members.into_iter().map(member).collect())
        }
        (
            DataType::Struct(fields),
            value @ (Value::String(_) | Value::Number(_) | Value::Bool(_)),
        ) if fields.find(TEXT).is_some() => {
            let mut members = Map::new();
            members.insert(TEXT.to_owned(), value);
            Value::Object(members)
        }
        (_, value) => value,
    }
}

/// Every value of a record that does not fit its column.
pub(crate) fn reasons(
    record: &[u8],
    reading: Reading,
    schema: &SchemaRef,
    how: &Readings<'_>,
) -> Vec<Reason> {
    let mut table = XmlTable::new(schema, reading);
    let taken = element(record, reading).map(|element| table.record(&element, 0));
    if taken != Some(true) {
        return Vec::new();
    }
    let plain = |text: &[u8], to: &mut Vec<u8>| to.extend_from_slice(text);
    cell_reasons(
        (&table.text, &table.spans),
        &typed_columns(schema),
        &plain,
        how,
    )
}
