//! JSON objects that come one after the other from a program, as rows of a table.
//!
//! Promise: they become the rows and rejects that they would be in a file of JSON lines; their text is kept
//! for rejects and replays. It knows neither who prints them nor which columns they should have: those are
//! handed in. Read next: `rows.rs`, `replay.rs`, and `../singer/source.rs`, which uses this.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use towpath_ports::{Event, Reader, RejectedRecord, ReservedMemory};
use towpath_vocab::TableName;

use super::cells::{Nulls, Span};
use super::chunk::Chunk;
use super::column::{Formats, readable_type};
use super::error::FilesError;
use super::json::{self, AsText, Skim, Table, Walk};
use super::replay;
use super::rows::{Layout, RecordFormat, parse};
use super::value;

/// The columns that objects are read as.
#[derive(Clone, Debug)]
pub(crate) struct ObjectColumns {
    /// The table of the rows.
    pub(crate) table: TableName,
    /// Their columns, by the names of the objects' members.
    pub(crate) schema: SchemaRef,
    /// Columns whose doubles must keep every digit, because nobody declared the type.
    pub(crate) exact: BTreeSet<String>,
    /// The rows that a batch should have.
    pub(crate) batch_rows: usize,
    /// The largest object.
    pub(crate) max_record_bytes: usize,
}

/// Reads objects as rows.
#[derive(Clone, Debug)]
pub(crate) struct ObjectRows {
    layout: Arc<Layout>,
}

/// Objects, one in each line.
pub(crate) struct ObjectLines {
    /// Who gave them, as a person names it.
    pub(crate) object: Arc<str>,
    pub(crate) bytes: Vec<u8>,
    /// The bytes of all objects before them.
    pub(crate) offset: u64,
    /// The number of the first one, from 1.
    pub(crate) first: u64,
    /// Memory that is held for them.
    pub(crate) lease: ReservedMemory,
}

impl ObjectRows {
    pub(crate) fn new(columns: ObjectColumns) -> Self {
        let fields = columns.schema.fields().len();
        Self {
            layout: Arc::new(Layout {
                table: columns.table,
                schema: columns.schema,
                places: (0..fields).map(Some).collect(),
                width: fields,
                shape: RecordFormat::Json {
                    lines: true,
                    max_record_bytes: columns.max_record_bytes,
                    as_text: AsText::All,
                },
                nulls: Nulls::default(),
                formats: Formats::default(),
                numbers: None,
                exact: columns.exact,
                from_path: Vec::new(),
                batch_rows: columns.batch_rows.max(1),
            }),
        }
    }

    /// The columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.layout.schema
    }

    /// The rows and rejects of some objects.
    pub(crate) fn read(
        &self,
        lines: ObjectLines,
    ) -> Result<impl Iterator<Item = Event> + Send + use<>, FilesError> {
        let source = (&*lines.object, lines.offset, lines.first);
        parse(
            Chunk::of_source(source, lines.bytes, lines.lease),
            &self.layout,
        )
    }

    /// Rejected objects, read again.
    pub(crate) fn replay(
        &self,
        records: Vec<RejectedRecord>,
    ) -> Result<Box<dyn Reader>, FilesError> {
        replay::of_objects(Arc::clone(&self.layout), records)
    }
}

/// Whether values of a member can be read as this type.
pub(crate) fn is_readable_type(data_type: &arrow_schema::DataType) -> bool {
    readable_type(data_type)
}

/// The value of a member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemberValue<'t> {
    bytes: &'t [u8],
    span: Span,
}

impl<'t> MemberValue<'t> {
    /// Its JSON text; of a text what stands between the quotes; `None` for null.
    pub(crate) fn raw(self) -> Option<&'t [u8]> {
        (!self.span.is_null()).then(|| self.span.text(self.bytes))
    }

    /// A text with its escapes undone; `None` if it is no text.
    pub(crate) fn string(self) -> Option<Cow<'t, str>> {
        if self.span.is_null() || !self.span.is_quoted() {
            return None;
        }
        let text = self.span.text(self.bytes);
        if !self.span.is_escaped() {
            return std::str::from_utf8(text).ok().map(Cow::Borrowed);
        }
        let mut out = Vec::with_capacity(text.len());
        json::unescape(text, &mut out);
        String::from_utf8(out).ok().map(Cow::Owned)
    }

    /// An object, as its text.
    pub(crate) fn object(self) -> Option<&'t [u8]> {
        let raw = self.raw().filter(|_| !self.span.is_quoted())?;
        raw.starts_with(b"{").then_some(raw)
    }
}

/// What is no JSON object: what was expected at which byte, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoObject {
    pub(crate) expected: &'static str,
    pub(crate) at: usize,
}

/// The members of one JSON object, in their order, without a tree.
pub(crate) fn members(
    text: &[u8],
) -> Result<impl Iterator<Item = (Cow<'_, str>, MemberValue<'_>)>, NoObject> {
    let mut members = Vec::new();
    Skim::new(text, 0)
        .object(&mut members)
        .map_err(|wrong| NoObject {
            expected: wrong.expected,
            at: wrong.at + 1,
        })?;
    Ok(members.into_iter().map(move |(key, span)| {
        let key = MemberValue {
            bytes: text,
            span: key,
        };
        let name = key.string().unwrap_or_default();
        (name, MemberValue { bytes: text, span })
    }))
}

/// How the times of a column are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimeForms {
    /// Some have an offset.
    pub(crate) has_zoned: bool,
    /// Some have none.
    pub(crate) has_plain: bool,
}

/// How the times of these columns are written in some objects.
pub(crate) fn time_forms(lines: &[u8], columns: &[&str]) -> Vec<TimeForms> {
    let mut table = Table::new(columns);
    let mut walk = Walk::new(lines, true, usize::MAX);
    while walk.rows(usize::MAX, &mut table, &mut Vec::new()) {}
    let mut forms = vec![TimeForms::default(); columns.len()];
    for row in table.spans.chunks(columns.len().max(1)) {
        for (form, span) in forms.iter_mut().zip(row) {
            if span.is_null() {
                continue;
            }
            let text = span.text(lines);
            match value::timestamp(text) {
                Some(moment) => {
                    form.has_zoned |= moment.zoned;
                    form.has_plain |= !moment.zoned;
                }
                // A date alone is midnight, of no zone.
                None => form.has_plain |= value::date(text).is_some(),
            }
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn members_are_found_without_a_tree() {
        let text = br#" {"a": "x\"y", "b": 1.50, "c": null, "d\u0065": {"e": []}, "f": "{}"} "#;
        let found: Vec<_> = members(text).unwrap().collect();
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_ref()).collect();
        assert_eq!(names, ["a", "b", "c", "de", "f"]);
        assert_eq!(found[0].1.string().unwrap(), "x\"y");
        assert_eq!(found[1].1.raw().unwrap(), b"1.50");
        assert!(found[1].1.string().is_none() && found[2].1.raw().is_none());
        assert_eq!(found[3].1.object().unwrap(), br#"{"e": []}"#);
        assert!(found[4].1.object().is_none());
        let wrong = members(b"{\"a\": NaN}").err().unwrap();
        assert_eq!((wrong.expected, wrong.at), ("a value", 7));
    }

    #[test]
    fn times_show_whether_they_have_an_offset() {
        let lines = b"{\"a\":\"2026-01-02T03:04:05Z\",\"b\":\"2026-01-02T03:04:05\"}\n{\"b\":null,\"a\":\"x\"}\n{\"b\":\"2026-01-02T03:04:05+01:00\"}\n";
        let forms = time_forms(lines, &["a", "b", "c"]);
        let found: Vec<_> = forms
            .iter()
            .map(|form| (form.has_zoned, form.has_plain))
            .collect();
        assert_eq!(found, [(true, false), (true, true), (false, false)]);
    }
}
