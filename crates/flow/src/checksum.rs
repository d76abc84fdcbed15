//! Sums over the values of a table, by which two copies of it are compared without bringing them together.
//!
//! Promise: equal tables have equal sums, in whatever order, batches and splits their rows come, and also where a
//! system stores a type as another one that has all of its values (an integer as a larger one, a decimal or a
//! date as text, a list as JSON). A value is compared exactly: a decimal by its number, a double by its bits.
//! A changed, lost, doubled or exchanged value changes a sum of 128 bits, but for chance. The sums are no defence
//! against somebody who makes two tables with equal sums. It reads nothing.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher as _};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use towpath_ports::{ExactKind, ExactValues, exact_json};
use towpath_vocab::types::SOURCE_TYPE;

/// An odd number with about as many ones as zeros, to mix bits.
const MIX: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;
/// What stands for no value.
const NULL: u128 = 0x6A09_E667_F3BC_C908_BB67_AE85_84CA_A73B;

/// By which rule values of a column are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Number,
    Single,
    Double,
    Moment,
    Json,
    /// The exact text.
    Text,
}

impl Rule {
    fn of(field: &Field) -> Self {
        let data_type = match field.data_type() {
            DataType::Dictionary(_, values) => values.as_ref(),
            other => other,
        };
        let source = field.metadata().get(SOURCE_TYPE);
        match data_type {
            _ if source.is_some_and(|name| name == "json" || name == "jsonb") => Self::Json,
            DataType::Boolean => Self::Number,
            DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => Self::Number,
            whole if whole.is_integer() => Self::Number,
            DataType::Float64 => Self::Double,
            float if float.is_floating() => Self::Single,
            DataType::Timestamp(..)
            | DataType::Date32
            | DataType::Date64
            | DataType::Time32(_)
            | DataType::Time64(_) => Self::Moment,
            _ => Self::Text,
        }
    }
}

/// A column whose values are compared by the rule of its type.
pub(crate) struct ComparedColumn {
    values: ExactValues,
    rule: Rule,
}

impl ComparedColumn {
    /// # Errors
    /// If its values have no exact text.
    pub(crate) fn of(field: &Field, column: &ArrayRef) -> Result<Self, ArrowError> {
        Ok(Self {
            values: ExactValues::of(column)?,
            rule: Rule::of(field),
        })
    }

    /// Writes the value of a row in the form in which it is compared; false for NULL.
    pub(crate) fn value(&self, row: usize, out: &mut Vec<u8>) -> Result<bool, ArrowError> {
        out.clear();
        if self.values.is_null(row) {
            return Ok(false);
        }
        canonical(&self.values, row, self.rule, out)?;
        Ok(true)
    }
}

/// The sum of one column.
#[derive(Clone, Debug)]
struct Column {
    name: String,
    rule: Rule,
    sum: u128,
}

/// The sums of a table.
#[derive(Clone, Debug)]
pub struct Checksums {
    columns: Vec<Column>,
    /// How many rows were added.
    pub rows: u64,
    /// Of whole rows, so that values which changed places are noticed.
    together: u128,
}

/// What two tables differ in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SumDifference {
    /// In the number of rows: expected, and found.
    Rows(u64, u64),
    /// In the values of a column.
    Column(String),
    /// Every column has the same values, but not in the same rows.
    Together,
}

impl Checksums {
    /// Of no rows, with the columns and by the types of this schema.
    pub fn of(schema: &Schema) -> Self {
        let columns = schema.fields().iter().map(|field| Column {
            name: field.name().clone(),
            rule: Rule::of(field),
            sum: 0,
        });
        Self {
            columns: columns.collect(),
            rows: 0,
            together: 0,
        }
    }

    /// Of no rows, with the same columns by the same rules.
    #[must_use]
    pub fn empty(&self) -> Self {
        let mut empty = self.clone();
        empty.rows = 0;
        empty.together = 0;
        for column in &mut empty.columns {
            column.sum = 0;
        }
        empty
    }

    /// The names of the columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// Adds rows. Columns are found by name; others are left out.
    ///
    /// # Errors
    /// If a column is missing, or its values have no exact text.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let mut together = vec![0_u128; batch.num_rows()];
        let mut buffer = Vec::new();
        for (place, column) in self.columns.iter_mut().enumerate() {
            let values = named(batch, &column.name)?;
            let seed = MIX.rotate_left(u32::try_from(place * 11 % 128).unwrap_or(0)) | 1;
            for (row, all) in together.iter_mut().enumerate() {
                let hash = if values.is_null(row) {
                    NULL
                } else {
                    buffer.clear();
                    canonical(&values, row, column.rule, &mut buffer)?;
                    hash(&buffer)
                };
                column.sum = column.sum.wrapping_add(hash);
                *all = all.wrapping_add(mixed(hash ^ seed));
            }
        }
        for row in together {
            self.together = self.together.wrapping_add(mixed(row));
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// What differs in `found`, as far as it has the same columns by the same rules.
    pub fn differences(&self, found: &Self) -> Vec<SumDifference> {
        if self.rows != found.rows {
            // All that follows from it is not said.
            return vec![SumDifference::Rows(self.rows, found.rows)];
        }
        let mut all = Vec::new();
        let other = self.columns.iter().filter(|one| {
            let mut others = found.columns.iter();
            others.any(|other| {
                other.name == one.name && other.rule == one.rule && other.sum != one.sum
            })
        });
        all.extend(other.map(|column| SumDifference::Column(column.name.clone())));
        let rules = |sums: &Self| -> Vec<(String, Rule)> {
            let columns = sums.columns.iter();
            columns
                .map(|column| (column.name.clone(), column.rule))
                .collect()
        };
        let comparable = rules(self) == rules(found);
        if all.is_empty() && comparable && self.together != found.together {
            all.push(SumDifference::Together);
        }
        all
    }
}

/// The column with this name, else the only one with it in another case.
fn named(batch: &RecordBatch, name: &str) -> Result<ExactValues, ArrowError> {
    let schema = batch.schema_ref();
    let exact = schema.index_of(name);
    let at = exact.or_else(|missing| {
        let fields = schema.fields().iter().enumerate();
        let alike = fields.filter(|(_, field)| field.name().eq_ignore_ascii_case(name));
        let alike: Vec<usize> = alike.map(|(at, _)| at).collect();
        match alike.as_slice() {
            [only] => Ok(*only),
            _ => Err(missing),
        }
    })?;
    ExactValues::of(batch.column(at))
}

/// The value in the form in which it is compared.
fn canonical(
    values: &ExactValues,
    row: usize,
    rule: Rule,
    out: &mut Vec<u8>,
) -> Result<(), ArrowError> {
    let double = match &values.kind {
        ExactKind::Single(singles) => Some(f64::from(singles.value(row))),
        ExactKind::Double(doubles) => Some(doubles.value(row)),
        _ => None,
    };
    if let (Rule::Single | Rule::Double, Some(double)) = (rule, double) {
        bits(double, out);
        return Ok(());
    }
    match &values.kind {
        ExactKind::List(..) | ExactKind::Struct(_) | ExactKind::Map(..) => {
            exact_json(values, row, out)?;
        }
        _ => values.write(row, out)?,
    }
    match rule {
        Rule::Number => number(out),
        Rule::Moment => moment(out),
        Rule::Single | Rule::Double => {
            let text = std::str::from_utf8(out).unwrap_or_default();
            let value = match rule {
                Rule::Single => text.parse::<f32>().ok().map(f64::from),
                _ => text.parse().ok(),
            };
            if let Some(value) = value {
                out.clear();
                bits(value, out);
            }
        }
        // Blanks and the order of members are not kept by every database.
        Rule::Json => {
            if let Ok(value) = serde_json::from_slice::<serde_json::Value>(out) {
                *out = sorted(value).to_string().into_bytes();
            }
        }
        Rule::Text => {}
    }
    Ok(())
}

fn bits(value: f64, out: &mut Vec<u8>) {
    let value = if value.is_nan() { f64::NAN } else { value };
    out.extend_from_slice(&value.to_bits().to_be_bytes());
}

/// Without zeros that do not count: `-01.50` is `-1.5`, `0.00` is `0`. A truth value is 0 or 1.
fn number(out: &mut Vec<u8>) {
    let plain = match out.as_slice() {
        b"true" => b"1".to_vec(),
        b"false" => b"0".to_vec(),
        text => {
            let (sign, digits): (&[u8], &[u8]) = match text {
                [b'-', digits @ ..] => (b"-", digits),
                digits => (b"", digits),
            };
            let is_number = !digits.is_empty()
                && digits
                    .iter()
                    .all(|byte| byte.is_ascii_digit() || *byte == b'.');
            if !is_number {
                return;
            }
            let from = digits.iter().position(|byte| *byte != b'0');
            let mut digits = digits
                .get(from.unwrap_or(digits.len())..)
                .unwrap_or_default();
            if digits.contains(&b'.') {
                while let [rest @ .., b'0'] = digits {
                    digits = rest;
                }
                digits = digits.strip_suffix(b".").unwrap_or(digits);
            }
            match digits {
                [] => b"0".to_vec(),
                digits => [sign, digits].concat(),
            }
        }
    };
    *out = plain;
}

/// With the members of objects in the order of their names.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(members) => {
            let members: BTreeMap<String, Value> = members.into_iter().collect();
            let members = members.into_iter().map(|(name, one)| (name, sorted(one)));
            Value::Object(members.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// Without a zone, which all of them have or none, without zeros at the end of a second, and without midnight.
fn moment(out: &mut Vec<u8>) {
    if let Some(between) = out.get_mut(10).filter(|between| **between == b' ') {
        *between = b'T';
    }
    if out.last() == Some(&b'Z') {
        out.pop();
    }
    if out.contains(&b'.') {
        while out.last() == Some(&b'0') {
            out.pop();
        }
        if out.last() == Some(&b'.') {
            out.pop();
        }
    }
    if out.ends_with(b"T00:00:00") {
        out.truncate(out.len() - 9);
    }
}

/// 128 bits of a value: two hashes of 64 bits, of which one sees a byte more.
fn hash(bytes: &[u8]) -> u128 {
    let half = |first: Option<u8>| {
        let mut hasher = DefaultHasher::new();
        if let Some(first) = first {
            hasher.write_u8(first);
        }
        hasher.write(bytes);
        u128::from(hasher.finish())
    };
    (half(None) << 64) | half(Some(1))
}

fn mixed(value: u128) -> u128 {
    let value = (value ^ (value >> 67)).wrapping_mul(MIX | 1);
    (value ^ (value >> 59)).wrapping_mul(MIX.rotate_left(64) | 1)
}

/// Columns that a table does not have.
pub fn missing_columns(sums: &Checksums, schema: &Schema) -> Vec<String> {
    let mut present: HashMap<String, usize> = HashMap::new();
    for field in schema.fields() {
        *present
            .entry(field.name().to_ascii_lowercase())
            .or_default() += 1;
    }
    let is_there = |name: &str| {
        schema.index_of(name).is_ok() || present.get(&name.to_ascii_lowercase()) == Some(&1)
    };
    let missing = sums.names().filter(|name| !is_there(name));
    missing.map(str::to_owned).collect()
}

#[cfg(test)]
#[path = "checksum_tests.rs"]
mod tests;
