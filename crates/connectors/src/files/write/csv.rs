//! Rows as CSV: RFC 4180 with `\n` line ends, in UTF-8.
//!
//! Promise: what our own source reads back with the same options and types is the same: NULL is an
//! empty field, an empty text is `""`, a text is quoted whenever anything in it could be taken for
//! something else. Lists, structs and maps are JSON in a field.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use memchr::{memchr, memchr3};
use towpath_ports::exact_json;

use super::error::{Result, WriteError};
use super::location::FileTarget;
use super::values::{Kind, Values, write_formatted};
use crate::files::value::TimeFormats;

const FORMAT: &str = "CSV";

/// How fields are written.
#[derive(Clone, Debug)]
pub(super) struct CsvStyle {
    delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
    comment: Option<u8>,
    trim: bool,
    /// Texts that would be read as NULL without quotes.
    nulls: Vec<Vec<u8>>,
    times: TimeFormats,
    /// Before the fraction of a number.
    decimal: u8,
    /// Numbers and dates can hold the delimiter.
    mistrusts_bare: bool,
    pub(super) header: bool,
    shown: String,
}

impl CsvStyle {
    /// The style a target's options ask for.
    pub(super) fn of(target: &FileTarget) -> Self {
        let options = &target.options;
        let decimal = options.numbers.map_or(b'.', |numbers| numbers.decimal);
        let in_bare = |byte: u8| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'+' | b'-' | b'.' | b':')
                || byte == decimal
        };
        Self {
            delimiter: target.delimiter,
            quote: options.quote,
            escape: options
                .escape
                .filter(|escape| Some(*escape) != options.quote),
            comment: options.comment,
            trim: options.trim,
            nulls: options
                .nulls
                .iter()
                .filter(|word| !word.is_empty())
                .map(|word| word.clone().into_bytes())
                .collect(),
            times: options.times.clone(),
            decimal,
            mistrusts_bare: in_bare(target.delimiter)
                || options.quote.is_some_and(in_bare)
                || options.comment.is_some_and(in_bare)
                || !options.nulls.is_empty(),
            header: options.header,
            shown: target.location.shown.clone(),
        }
    }

    /// The first line.
    pub(super) fn head(&self, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<()> {
        for (at, field) in schema.fields().iter().enumerate() {
            if at > 0 {
                out.push(self.delimiter);
            }
            self.text(field.name().as_bytes(), field.name(), out)?;
        }
        out.push(b'\n');
        Ok(())
    }

    /// Adds all rows of a batch.
    pub(super) fn rows(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let encode = |error: arrow_schema::ArrowError| WriteError::Encode {
            path: self.shown.clone(),
            why: error.to_string(),
        };
        let columns = batch
            .columns()
            .iter()
            .map(Values::of)
            .collect::<std::result::Result<Vec<_>, _>>();
        let columns = columns.map_err(encode)?;
        let schema = batch.schema();
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        let mut scratch = Vec::new();
        for row in 0..batch.num_rows() {
            for (at, values) in columns.iter().enumerate() {
                if at > 0 {
                    out.push(self.delimiter);
                }
                if !values.is_null(row) {
                    let name = names.get(at).copied().unwrap_or_default();
                    self.field(values, row, name, &mut scratch, out)
                        .map_err(|problem| match problem {
                            Problem::Arrow(error) => encode(error),
                            Problem::Write(error) => error,
                        })?;
                }
            }
            out.push(b'\n');
        }
        Ok(())
    }

    #[inline]
    fn field(
        &self,
        values: &Values,
        row: usize,
        name: &str,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let formatted = match &values.kind {
            Kind::Text(texts) => return Ok(self.text(texts.value(row).as_bytes(), name, out)?),
            Kind::List(..) | Kind::Struct(_) | Kind::Map(..) | Kind::Bytes(_) | Kind::Shown(_) => {
                scratch.clear();
                if matches!(
                    values.kind,
                    Kind::List(..) | Kind::Struct(_) | Kind::Map(..)
                ) {
                    exact_json(values, row, scratch)?;
                } else {
                    values.write(row, scratch)?;
                    self.localize(&values.kind, scratch);
                }
                return Ok(self.text(scratch, name, out)?);
            }
            Kind::Date(_) => self.times.date.is_some(),
            Kind::Micros(..) | Kind::Nanos(..) => self.times.timestamp.is_some(),
            _ => false,
        };
        if !formatted && !self.mistrusts_bare {
            let start = out.len();
            values.write(row, out)?;
            self.localize(&values.kind, out.get_mut(start..).unwrap_or_default());
            return Ok(());
        }
        scratch.clear();
        if formatted {
            if !write_formatted(values, row, &self.times, scratch) {
                let why = "`date_format` or `timestamp_format` would lose a part of it";
                return Err(WriteError::Value {
                    column: name.to_owned(),
                    format: FORMAT,
                    why,
                }
                .into());
            }
        } else {
            values.write(row, scratch)?;
            self.localize(&values.kind, scratch);
        }
        Ok(self.text(scratch, name, out)?)
    }

    /// Gives a number the sign that the target's options put before a fraction.
    #[inline]
    fn localize(&self, kind: &Kind, text: &mut [u8]) {
        let is_number = match kind {
            Kind::Single(_) | Kind::Double(_) | Kind::Decimal(..) => true,
            Kind::Shown(array) => array.data_type().is_decimal(),
            _ => false,
        };
        if self.decimal == b'.' || !is_number {
            return;
        }
        let point = text.iter_mut().find(|byte| **byte == b'.');
        point.into_iter().for_each(|byte| *byte = self.decimal);
    }

    /// Whether a field must stand between quotes to be read as this text.
    #[inline]
    fn needs_quotes(&self, text: &[u8]) -> bool {
        let quote = self.quote.unwrap_or(b'\n');
        let (Some(first), Some(last)) = (text.first(), text.last()) else {
            return true;
        };
        memchr3(self.delimiter, quote, b'\n', text).is_some()
            || memchr(b'\r', text).is_some()
            || self
                .escape
                .is_some_and(|escape| memchr(escape, text).is_some())
            || self.comment == Some(*first)
            || (self.trim && (matches!(first, b' ' | b'\t') || matches!(last, b' ' | b'\t')))
            || (*first == 0xEF && text.starts_with(b"\xEF\xBB\xBF"))
            || self.nulls.iter().any(|word| word == text)
    }

    #[inline]
    fn text(&self, text: &[u8], name: &str, out: &mut Vec<u8>) -> Result<()> {
        if !self.needs_quotes(text) {
            out.extend_from_slice(text);
            return Ok(());
        }
        let Some(quote) = self.quote else {
            let why = "it needs quotes, and `quote` is empty";
            return Err(WriteError::Value {
                column: name.to_owned(),
                format: FORMAT,
                why,
            });
        };
        out.push(quote);
        let guard = self.escape.unwrap_or(quote);
        for &byte in text {
            if byte == quote || byte == guard {
                out.push(guard);
            }
            out.push(byte);
        }
        out.push(quote);
        Ok(())
    }
}

enum Problem {
    Arrow(arrow_schema::ArrowError),
    Write(WriteError),
}

impl From<arrow_schema::ArrowError> for Problem {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::Arrow(error)
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}
