//! Arrow batches to rows of the stage: lines of a `LOAD DATA`, or the values of an `INSERT`.
//!
//! Promise: every value is written exactly, or refused by the name of its column and its row: MySQL has no NaN, no
//! nanoseconds and no year 0. One buffer is reused. It knows Arrow and MySQL's text, not tables. Read next:
//! `present.rs` (what is stored as what), `stage.rs`. Source: MySQL's manual, "LOAD DATA Statement".

use std::io::Write as _;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Date64Type, Time64NanosecondType};
use arrow_array::{Array as _, ArrayRef, PrimitiveArray, RecordBatch, UInt8Array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use towpath_ports::{ExactKind, ExactValues};

use super::error::{MysqlError, Result};

const NANOSECONDS: &str = "MySQL stores microseconds, and this value has nanoseconds";
const NOT_FINITE: &str = "MySQL has no NaN and no infinite numbers";
const OUTSIDE: &str = "MySQL stores dates of the years 1 to 9999 only";
const TIME_OF_DAY: &str = "a date in MySQL has no time of day, and this value has one";
const LONG_KEY: &str = "it is longer than a key of MySQL can be";
const OTHER: &str = "it has no text that MySQL reads as the same value";

const DAY_MILLIS: i64 = 86_400_000;
/// 0001-01-01 and 9999-12-31, in days since 1970.
pub(super) const DAYS: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;
const MICROS: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Lines of fields between tabs.
    Lines,
    /// Values in parentheses, between commas.
    Values,
}

/// A column that is ready to be written.
struct Cells {
    name: String,
    kind: Kind,
    /// Most characters, or bytes, of a value in a key.
    most: Option<usize>,
}

enum Kind {
    Exact(ExactValues),
    /// Nanoseconds since midnight.
    Time(PrimitiveArray<Time64NanosecondType>),
}

/// A batch that is ready to be written row by row.
pub(super) struct Encoded {
    columns: Vec<Cells>,
    ops: Option<UInt8Array>,
    rows: usize,
    /// Rows before these.
    first: u64,
}

impl Encoded {
    /// `most` says of a column how long its values may be.
    pub(super) fn of(
        batch: &RecordBatch,
        ops: Option<UInt8Array>,
        first: u64,
        most: impl Fn(&str) -> Option<usize>,
    ) -> Result<Self> {
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, array)| {
            let name = field.name();
            let kind = kind(name, array, first)?;
            Ok(Cells {
                most: most(name),
                name: name.clone(),
                kind,
            })
        });
        Ok(Self {
            columns: columns.collect::<Result<_>>()?,
            ops,
            rows: batch.num_rows(),
            first,
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Appends one row.
    pub(super) fn write_row(&self, row: usize, form: Form, out: &mut Vec<u8>) -> Result<()> {
        let between: &[u8] = if form == Form::Lines { b"\t" } else { b"," };
        if form == Form::Values {
            out.push(b'(');
        }
        let place = self.first + row as u64;
        // Writing to a vector cannot fail.
        let _ = write!(out, "{place}");
        for cells in &self.columns {
            out.extend_from_slice(between);
            cells
                .write(row, form, out)
                .map_err(|reason| MysqlError::Value {
                    column: cells.name.clone(),
                    reason,
                    row: Some(place + 1),
                })?;
        }
        if let Some(ops) = &self.ops {
            out.extend_from_slice(between);
            let _ = write!(out, "{}", ops.value(row));
        }
        out.push(if form == Form::Lines { b'\n' } else { b')' });
        Ok(())
    }
}

fn kind(name: &str, array: &ArrayRef, first: u64) -> Result<Kind> {
    let wrong = |reason, row: Option<u64>| MysqlError::Value {
        column: name.to_owned(),
        reason,
        row: row.map(|row| first + row + 1),
    };
    let to = |wanted: &DataType| {
        let strict = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        cast_with_options(array, wanted, &strict).map_err(|_| wrong(OTHER, None))
    };
    let exact = |array: &ArrayRef| {
        let values = ExactValues::of(array).map_err(|_| wrong(OTHER, None))?;
        Ok(Kind::Exact(values))
    };
    match array.data_type() {
        DataType::Time32(_) | DataType::Time64(_) => Ok(Kind::Time(
            to(&DataType::Time64(TimeUnit::Nanosecond))?
                .as_primitive()
                .clone(),
        )),
        DataType::Date64 => {
            let millis = array.as_primitive::<Date64Type>();
            let is_wrong =
                |at: &usize| !millis.is_null(*at) && millis.value(*at).rem_euclid(DAY_MILLIS) != 0;
            if let Some(at) = (0..millis.len()).find(is_wrong) {
                return Err(wrong(TIME_OF_DAY, Some(at as u64)));
            }
            exact(&to(&DataType::Date32)?)
        }
        DataType::Dictionary(_, values) => kind(name, &to(values)?, first),
        _ => exact(array),
    }
}

impl Cells {
    fn write(&self, row: usize, form: Form, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let values = match &self.kind {
            Kind::Time(times) if times.is_null(row) => return none(form, out),
            Kind::Time(times) => return time(times.value(row), form, out),
            Kind::Exact(values) if values.is_null(row) => return none(form, out),
            Kind::Exact(values) => values,
        };
        match &values.kind {
            ExactKind::Bool(flags) => out.push(if flags.value(row) { b'1' } else { b'0' }),
            ExactKind::Single(numbers) => double(f64::from(numbers.value(row)), out)?,
            ExactKind::Double(numbers) => double(numbers.value(row), out)?,
            ExactKind::Date(days) => {
                if !DAYS.contains(&days.value(row)) {
                    return Err(OUTSIDE);
                }
                quoted(form, out, |out| shown(values, row, out))?;
            }
            ExactKind::Micros(micros, _) => {
                if !MICROS.contains(&micros.value(row)) {
                    return Err(OUTSIDE);
                }
                quoted(form, out, |out| moment(values, row, out))?;
            }
            ExactKind::Nanos(nanos, _) => {
                if nanos.value(row).rem_euclid(1_000) != 0 {
                    return Err(NANOSECONDS);
                }
                quoted(form, out, |out| moment(values, row, out))?;
            }
            ExactKind::Text(texts) => {
                let text = texts.value(row);
                if self
                    .most
                    .is_some_and(|most| text.len() > most && text.chars().count() > most)
                {
                    return Err(LONG_KEY);
                }
                bytes(text.as_bytes(), b"_utf8mb4 0x", form, out);
            }
            ExactKind::Bytes(values) => {
                let value = values.value(row);
                if self.most.is_some_and(|most| value.len() > most) {
                    return Err(LONG_KEY);
                }
                bytes(value, b"0x", form, out);
            }
            ExactKind::Signed(_) | ExactKind::Unsigned(_) | ExactKind::Decimal(..) => {
                shown(values, row, out)?;
            }
            ExactKind::Shown(array) if matches!(array.data_type(), DataType::Decimal256(..)) => {
                shown(values, row, out)?;
            }
            _ => return Err(OTHER),
        }
        Ok(())
    }
}

fn shown(values: &ExactValues, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
    values.write(row, out).map_err(|_: ArrowError| OTHER)
}

/// A date and a time of day; of an instant, in UTC.
fn moment(values: &ExactValues, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
    shown(values, row, out)?;
    if out.last() == Some(&b'Z') {
        out.pop();
    }
    Ok(())
}

fn none(form: Form, out: &mut Vec<u8>) -> Result<(), &'static str> {
    out.extend_from_slice(if form == Form::Lines { b"\\N" } else { b"NULL" });
    Ok(())
}

/// The digits with which a number is read back as itself. With an exponent it is never a decimal.
fn double(number: f64, out: &mut Vec<u8>) -> Result<(), &'static str> {
    if !number.is_finite() {
        return Err(NOT_FINITE);
    }
    let _ = write!(out, "{number:e}");
    Ok(())
}

fn time(nanos: i64, form: Form, out: &mut Vec<u8>) -> Result<(), &'static str> {
    if nanos.rem_euclid(1_000) != 0 {
        return Err(NANOSECONDS);
    }
    let (seconds, micros) = (nanos / 1_000_000_000, nanos % 1_000_000_000 / 1_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    quoted(form, out, |out| {
        let _ = write!(out, "{hours:02}:{minutes:02}:{seconds:02}.{micros:06}");
        Ok(())
    })
}

/// Text without any character that would have to be quoted.
fn quoted(
    form: Form,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    if form == Form::Lines {
        return write(out);
    }
    out.push(b'\'');
    write(out)?;
    out.push(b'\'');
    Ok(())
}

/// Any bytes: in a line with what has a meaning there escaped, else as hexadecimal digits.
fn bytes(value: &[u8], hexadecimal: &[u8], form: Form, out: &mut Vec<u8>) {
    if form == Form::Values {
        if value.is_empty() {
            out.extend_from_slice(b"''");
            return;
        }
        out.extend_from_slice(hexadecimal);
        for byte in value {
            let _ = write!(out, "{byte:02x}");
        }
        return;
    }
    let mut rest = value;
    let has_meaning = |byte: &u8| matches!(byte, b'\\' | b'\t' | b'\n' | 0);
    while let Some(at) = rest.iter().position(has_meaning) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        out.push(b'\\');
        out.push(match special.first() {
            Some(b'\t') => b't',
            Some(b'\n') => b'n',
            Some(0) => b'0',
            _ => b'\\',
        });
        rest = special.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use arrow_array::{BinaryArray, Date32Array, Float32Array, StringArray};

    use super::*;

    fn row(array: ArrayRef, form: Form) -> String {
        let batch = RecordBatch::try_from_iter_with_nullable([("v", array, true)]).unwrap();
        let encoded = Encoded::of(&batch, None, 4, |_| Some(5)).unwrap();
        let mut out = Vec::new();
        match encoded.write_row(0, form, &mut out) {
            Ok(()) => String::from_utf8(out).unwrap(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn values_are_text_that_only_means_themselves() {
        let text = |text: &str| Arc::new(StringArray::from(vec![text])) as ArrayRef;
        assert_eq!(row(text("a\tb\\"), Form::Lines), "4\ta\\tb\\\\\n");
        assert_eq!(row(text("\0\n'"), Form::Lines), "4\t\\0\\n'\n");
        assert_eq!(row(text("'\\"), Form::Values), "(4,_utf8mb4 0x275c)");
        assert_eq!(row(text(""), Form::Values), "(4,'')");
        let none: ArrayRef = Arc::new(BinaryArray::from(vec![None]));
        assert_eq!(row(Arc::clone(&none), Form::Lines), "4\t\\N\n");
        assert_eq!(row(none, Form::Values), "(4,NULL)");
        let single = |number| Arc::new(Float32Array::from(vec![number])) as ArrayRef;
        // The double that the single is, not the shortest text of the single.
        assert_eq!(row(single(0.1), Form::Lines), "4\t1.0000000149011612e-1\n");
        assert!(row(single(f32::NAN), Form::Lines).contains("`v` in row 5"));
        let day: ArrayRef = Arc::new(Date32Array::from(vec![-719_163]));
        assert!(row(day, Form::Lines).contains("years 1 to 9999"));
        assert!(row(text("äöüäöü"), Form::Lines).contains("longer than a key"));
        assert_eq!(row(text("äöüäö"), Form::Lines), "4\täöüäö\n");
    }
}
