//! Columns of elements, and what their values are.
//!
//! Promise: a name is a column if any record has it, in the order of the first one; what is empty, or `xsi:nil`, says
//! nothing about a type. Read next: `table.rs`, `../infer.rs`, `../json/shape.rs`.

use std::collections::HashMap;

use arrow_schema::DataType;

use super::table::{Cell, LONGEST, each, write};
use super::walk::{Reading, Take};
use crate::exact::xml::Element;
use crate::files::cells::Nulls;
use crate::files::infer::InferOptions;
use crate::files::json::{AsText, MOST_NAMES, Shape};

/// Columns of a chunk, at most one more than allowed.
pub(crate) struct XmlSurvey<'a> {
    pub(crate) columns: Vec<(String, Shape)>,
    pub(crate) rows: u64,
    places: HashMap<String, usize>,
    infer: InferOptions<'a>,
    as_text: &'a AsText,
    nulls: &'a Nulls,
    most: usize,
    trims: bool,
    /// Names of members that may still be kept.
    room: usize,
    text: Vec<u8>,
}

impl<'a> XmlSurvey<'a> {
    /// For so many columns.
    pub(crate) fn new(
        infer: InferOptions<'a>,
        most: usize,
        (as_text, nulls): (&'a AsText, &'a Nulls),
        reading: Reading,
    ) -> Self {
        Self {
            columns: Vec::new(),
            rows: 0,
            places: HashMap::new(),
            infer,
            as_text,
            nulls,
            most,
            trims: reading.trims,
            room: MOST_NAMES,
            text: Vec::new(),
        }
    }

    fn see(&mut self, name: &str, cell: Cell<'_>) {
        let at = match self.places.get(name) {
            Some(at) => *at,
            None if self.columns.len() > self.most => return,
            None => {
                let shape = match self.as_text.has(name) {
                    true => Shape::text(),
                    false => Shape::default(),
                };
                self.columns.push((name.to_owned(), shape));
                self.places.insert(name.to_owned(), self.columns.len() - 1);
                self.columns.len() - 1
            }
        };
        self.text.clear();
        let is_one = matches!(cell, Cell::Text(_) | Cell::Parts(&[_]));
        let span = write(cell, &DataType::Utf8, self.trims, &mut self.text);
        let says_nothing =
            is_one && (span.is_null() || self.nulls.holds(span.text(&self.text), span.is_quoted()));
        if let Some((_, shape)) = self.columns.get_mut(at)
            && !says_nothing
            && self.text.len() <= LONGEST
        {
            shape.see(&self.text, span, &self.infer, &mut self.room);
        }
    }
}

impl Take for XmlSurvey<'_> {
    fn record(&mut self, element: &Element, _: usize) -> bool {
        self.rows += 1;
        let trims = self.trims;
        each(element, trims, |name, cell| self.see(name, cell));
        true
    }
}
