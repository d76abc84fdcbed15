//! A predicate about each row of a batch, evaluated by column; rules and checks share it.
//!
//! Promise: a predicate is compiled once for a schema and returns, for each batch, the rows that break it.
//! NULL breaks only `Required`. This file is all that this crate knows of a single rule. It does not know
//! what happens to the rows that break it. Read next: `validator.rs`,
//! `metrics.rs`.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, Scalar, StringArray};
use arrow_buffer::{BooleanBuffer, MutableBuffer, bit_util};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, SchemaRef};
use hashbrown::HashSet;
use regex_automata::Input;
use regex_automata::meta;
use towpath_ports::{ExpressionCompiler, Result, RowExpression};
use towpath_vocab::{Failure, Remedy, RuleKind};

/// A compiled predicate.
pub(crate) enum Predicate {
    Required(usize),
    AtLeast(usize, Scalar<ArrayRef>),
    AtMost(usize, Scalar<ArrayRef>),
    OneOf(usize, HashSet<Box<str>>),
    OneOfScalars(usize, Vec<Scalar<ArrayRef>>),
    Matches(usize, Box<Pattern>),
    Length(usize, Option<u64>, Option<u64>),
    Holds(Arc<dyn RowExpression>),
}

/// A regular expression with its own scratch space, because the pool in `Regex` costs time at every value
/// if the task moves between threads.
pub(crate) struct Pattern {
    regex: meta::Regex,
    scratch: Mutex<meta::Cache>,
}

impl Pattern {
    fn new(text: &str) -> Result<Self> {
        // Its errors contain the position of the mistake in the pattern.
        let refused = |error: regex::Error| {
            let message = format!("`{text}` is not a valid regular expression: {error}");
            Failure::new("R0613", Remedy::FixConfig, message)
        };
        regex::Regex::new(text).map_err(refused)?;
        let regex = meta::Regex::new(text)
            .map_err(|error| refused(regex::Error::Syntax(error.to_string())))?;
        let scratch = Mutex::new(regex.create_cache());
        Ok(Self { regex, scratch })
    }

    /// Texts without a match.
    fn broken(&self, column: &StringArray) -> Broken {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        text_breaks(column, |text| {
            let input = Input::new(text).earliest(true);
            self.regex.search_half_with(&mut scratch, &input).is_none()
        })
    }
}

/// The rows that break a predicate: a bit for each row, and their number.
pub(crate) struct Broken {
    pub(crate) bits: BooleanBuffer,
    pub(crate) count: usize,
}

impl Broken {
    fn none(rows: usize) -> Self {
        Self {
            bits: BooleanBuffer::new_unset(rows),
            count: 0,
        }
    }

    fn of(bits: BooleanBuffer) -> Self {
        let count = bits.count_set_bits();
        Self { bits, count }
    }
}

impl Predicate {
    /// Compiles the kind of a rule for one column.
    ///
    /// # Errors
    /// `FixConfig` if the column is missing, or if a limit does not parse as the column's type.
    pub(crate) fn compile(
        column: &str,
        kind: &RuleKind,
        schema: &SchemaRef,
        expressions: &dyn ExpressionCompiler,
    ) -> Result<Self> {
        if let RuleKind::Expression(text) = kind {
            return Self::holding(text, schema, expressions);
        }
        let index = column_index(schema, column)?;
        let data_type = schema.field(index).data_type();
        Ok(match kind {
            RuleKind::Required => Predicate::Required(index),
            RuleKind::Min(bound) => Predicate::AtLeast(
                index,
                scalar(column, zero_as(bound, "-0", data_type), data_type)?,
            ),
            RuleKind::Max(bound) => Predicate::AtMost(
                index,
                scalar(column, zero_as(bound, "0", data_type), data_type)?,
            ),
            RuleKind::In(values) if *data_type == DataType::Utf8 => {
                Predicate::OneOf(index, values.iter().map(|v| v.as_str().into()).collect())
            }
            RuleKind::In(values) => {
                let mut all: Vec<&str> = values
                    .iter()
                    .flat_map(|value| ["0", "-0"].map(|zero| zero_as(value, zero, data_type)))
                    .collect();
                all.sort_unstable();
                all.dedup();
                let scalars = all.into_iter().map(|v| scalar(column, v, data_type));
                Predicate::OneOfScalars(index, scalars.collect::<Result<_>>()?)
            }
            RuleKind::Pattern(pattern) => {
                need_text(column, "pattern", data_type)?;
                Predicate::Matches(index, Box::new(Pattern::new(pattern)?))
            }
            RuleKind::Length { min, max } => {
                need_text(column, "length", data_type)?;
                Predicate::Length(index, *min, *max)
            }
            RuleKind::Expression(text) => return Self::holding(text, schema, expressions),
        })
    }

    /// A predicate that an SQL expression is not false.
    pub(crate) fn holding(
        text: &str,
        schema: &SchemaRef,
        expressions: &dyn ExpressionCompiler,
    ) -> Result<Self> {
        let expression = expressions.compile(text, schema)?;
        if *expression.data_type() != DataType::Boolean {
            return Err(Failure::new(
                "R0612",
                Remedy::FixConfig,
                format!(
                    "`{text}` gives {}, but a rule must give true or false",
                    expression.data_type()
                ),
            ));
        }
        Ok(Predicate::Holds(expression))
    }

    /// The rows of a batch that break it.
    pub(crate) fn broken(&self, batch: &RecordBatch) -> Result<Broken> {
        let rows = batch.num_rows();
        match self {
            Predicate::Required(index) => Ok(match batch.column(*index).logical_nulls() {
                None => Broken::none(rows),
                Some(nulls) if nulls.null_count() == 0 => Broken::none(rows),
                Some(nulls) => Broken::of(!nulls.inner()),
            }),
            Predicate::AtLeast(index, bound) => {
                let column = batch.column(*index);
                truths(&arrow_ord::cmp::lt(column, bound).map_err(kernel)?)
            }
            Predicate::AtMost(index, bound) => {
                let column = batch.column(*index);
                truths(&arrow_ord::cmp::gt(column, bound).map_err(kernel)?)
            }
            Predicate::OneOf(index, values) => {
                Ok(not_among(batch.column(*index).as_string(), values))
            }
            Predicate::OneOfScalars(index, values) => {
                not_equal_to_any(batch.column(*index), values)
            }
            Predicate::Matches(index, pattern) => {
                let column = batch.column(*index).as_string::<i32>();
                Ok(pattern.broken(column))
            }
            Predicate::Length(index, min, max) => {
                let column = batch.column(*index).as_string::<i32>();
                Ok(text_breaks(column, |text| {
                    let length = text.chars().count() as u64;
                    min.is_some_and(|min| length < min) || max.is_some_and(|max| length > max)
                }))
            }
            Predicate::Holds(expression) => {
                let truth = expression.evaluate(batch)?;
                let truth = truth.as_boolean();
                let valid = truth.nulls().map(|nulls| nulls.inner().clone());
                let falses = !truth.values();
                Ok(Broken::of(match valid {
                    None => falses,
                    Some(valid) => &falses & &valid,
                }))
            }
        }
    }
}

/// What a rule requires, in words.
pub(crate) fn says(kind: &RuleKind) -> String {
    match kind {
        RuleKind::Required => "the rule says a value is required".to_owned(),
        RuleKind::Min(bound) => format!("the rule says at least {bound}"),
        RuleKind::Max(bound) => format!("the rule says at most {bound}"),
        RuleKind::In(values) => format!("the rule says one of {}", values.join(", ")),
        RuleKind::Pattern(pattern) => format!("the rule says it matches `{pattern}`"),
        RuleKind::Length { min, max } => match (min, max) {
            (Some(min), Some(max)) => format!("the rule says {min} to {max} characters"),
            (Some(min), None) => format!("the rule says at least {min} characters"),
            (None, Some(max)) => format!("the rule says at most {max} characters"),
            (None, None) => "the rule does not limit its length".to_owned(),
        },
        RuleKind::Expression(text) => format!("the rule says `{text}`"),
    }
}

/// Arrow orders `-0.0` below `0.0`, but they are one number. A limit of zero is chosen so that both zeros
/// are within it.
fn zero_as<'a>(bound: &'a str, zero: &'a str, data_type: &DataType) -> &'a str {
    let is_zero = bound
        .trim()
        .parse::<f64>()
        .is_ok_and(|number| number == 0.0);
    if data_type.is_floating() && is_zero {
        zero
    } else {
        bound
    }
}

/// The index of a column.
pub(crate) fn column_index(schema: &SchemaRef, column: &str) -> Result<usize> {
    schema.index_of(column).map_err(|_| {
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        Failure::new(
            "R0610",
            Remedy::FixConfig,
            format!("there is no column `{column}`"),
        )
        .help(format!("the columns are: {}", names.join(", ")))
    })
}

/// Parses text as a value of the column's type, exactly.
pub(crate) fn scalar(column: &str, text: &str, data_type: &DataType) -> Result<Scalar<ArrayRef>> {
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let given: ArrayRef = Arc::new(StringArray::from(vec![text]));
    let value = cast_with_options(&given, data_type, &strict).map_err(|_| {
        Failure::new(
            "R0611",
            Remedy::FixConfig,
            format!(
                "`{text}` cannot be read as {}, the type of `{column}`",
                towpath_vocab::types::name(data_type)
            ),
        )
    })?;
    Ok(Scalar::new(value))
}

/// The failure for an error of an Arrow kernel on types that were checked before: a fault in Towpath.
pub(crate) fn kernel(error: arrow_schema::ArrowError) -> Failure {
    Failure::new(
        "R0602",
        Remedy::Bug,
        format!("a column kernel refused its input: {error}"),
    )
}

fn need_text(column: &str, key: &str, data_type: &DataType) -> Result<()> {
    if *data_type == DataType::Utf8 {
        return Ok(());
    }
    let name = towpath_vocab::types::name(data_type);
    Err(Failure::new(
        "R0614",
        Remedy::FixConfig,
        format!("`{key}` needs a text column, and `{column}` is {name}"),
    ))
}

/// Bits where the comparison is true; NULL counts as false.
fn truths(comparison: &BooleanArray) -> Result<Broken> {
    Ok(Broken::of(match comparison.nulls() {
        None => comparison.values().clone(),
        Some(nulls) => comparison.values() & nulls.inner(),
    }))
}

/// Values outside a set of texts. Adjacent values are often equal, so the last result is kept.
fn not_among(column: &StringArray, values: &HashSet<Box<str>>) -> Broken {
    let mut last: Option<(&str, bool)> = None;
    text_breaks(column, |text| match last {
        Some((seen, answer)) if seen == text => answer,
        _ => {
            let answer = !values.contains(text);
            last = Some((text, answer));
            answer
        }
    })
}

fn not_equal_to_any(column: &ArrayRef, values: &[Scalar<ArrayRef>]) -> Result<Broken> {
    let rows = column.len();
    let mut found = BooleanBuffer::new_unset(rows);
    for value in values {
        let equal = arrow_ord::cmp::eq(column, value).map_err(kernel)?;
        found = &found | &truths(&equal)?.bits;
    }
    let valid = match column.logical_nulls() {
        None => BooleanBuffer::new_set(rows),
        Some(nulls) => nulls.inner().clone(),
    };
    Ok(Broken::of(&!&found & &valid))
}

/// Bits of the texts that are not NULL and break a predicate.
fn text_breaks<'a>(column: &'a StringArray, mut breaks: impl FnMut(&'a str) -> bool) -> Broken {
    let rows = column.len();
    let mut bits = MutableBuffer::from_len_zeroed(bit_util::ceil(rows, 8));
    let mut count = 0;
    for (row, text) in column.iter().enumerate() {
        if text.is_some_and(&mut breaks) {
            bit_util::set_bit(bits.as_slice_mut(), row);
            count += 1;
        }
    }
    Broken {
        bits: BooleanBuffer::new(bits.into(), 0, rows),
        count,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use arrow_array::{Float64Array, Int64Array};
    use arrow_schema::{Field, Schema};

    use super::*;

    struct NoExpressions;

    impl ExpressionCompiler for NoExpressions {
        fn compile(&self, text: &str, _: &SchemaRef) -> Result<Arc<dyn RowExpression>> {
            Err(Failure::new("T", Remedy::Bug, text))
        }

        fn in_own_names(&self, text: &str, _: &SchemaRef) -> Result<String> {
            Ok(text.to_owned())
        }
    }

    fn batch() -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("t", DataType::Utf8, true),
            Field::new("f", DataType::Float64, true),
        ]));
        let n = Int64Array::from(vec![Some(1), None, Some(3), Some(4)]);
        let t = StringArray::from(vec![Some("a"), Some("bb"), None, Some("äö")]);
        let f = Float64Array::from(vec![Some(1.5), Some(f64::NAN), None, Some(-0.0)]);
        RecordBatch::try_new(schema, vec![Arc::new(n), Arc::new(t), Arc::new(f)]).unwrap()
    }

    fn broken(column: &str, kind: RuleKind) -> Vec<usize> {
        let batch = batch();
        let test = Predicate::compile(column, &kind, &batch.schema(), &NoExpressions).unwrap();
        let broken = test.broken(&batch).unwrap();
        assert_eq!(broken.bits.len(), 4);
        let rows: Vec<usize> = broken.bits.set_indices().collect();
        assert_eq!(rows.len(), broken.count);
        rows
    }

    #[test]
    fn null_breaks_only_required() {
        assert_eq!(broken("n", RuleKind::Required), [1]);
        assert_eq!(broken("n", RuleKind::Min("2".into())), [0]);
        assert_eq!(broken("n", RuleKind::Max("3".into())), [3]);
        assert_eq!(broken("n", RuleKind::In(vec!["1".into(), "3".into()])), [3]);
        assert_eq!(broken("t", RuleKind::In(vec!["a".into()])), [1, 3]);
        assert_eq!(broken("t", RuleKind::Pattern("^b+$".into())), [0, 3]);
        assert_eq!(
            broken(
                "t",
                RuleKind::Length {
                    min: Some(2),
                    max: Some(2)
                }
            ),
            [0]
        );
    }

    #[test]
    fn nan_is_above_every_bound_and_both_zeros_are_zero() {
        assert_eq!(broken("f", RuleKind::Max("1000".into())), [1]);
        assert_eq!(broken("f", RuleKind::Max("-1".into())), [0, 1, 3]);
        assert_eq!(broken("f", RuleKind::Min("0".into())), Vec::<usize>::new());
        assert_eq!(broken("f", RuleKind::Max("0".into())), [0, 1]);
        assert_eq!(
            broken("f", RuleKind::In(vec!["0".into(), "1.5".into()])),
            [1]
        );
    }

    #[test]
    fn bounds_must_read_as_the_type() {
        let batch = batch();
        let kind = RuleKind::Max("abc".into());
        let failure = Predicate::compile("n", &kind, &batch.schema(), &NoExpressions)
            .err()
            .unwrap();
        assert_eq!(failure.code, "R0611");
    }
}
