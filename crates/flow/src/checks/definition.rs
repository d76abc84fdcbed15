//! What a kind of check says about itself: how it is measured, when it passes, what its failure says.
//!
//! Promise: a check has one value, a number, whichever way it is measured. Nothing is measured here. Read
//! next: `kinds.rs`, which has the definition of each kind.

use arrow_schema::{DataType, SchemaRef};
use towpath_vocab::{RuleKind, Tolerance, literal};

use super::words::counted;

/// The most values that are shown with a failed check.
pub(crate) const SAMPLES: usize = 5;

/// The measured value of one check.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Measured {
    /// Rows that break it, or the number that its kind judges.
    pub(crate) value: f64,
    /// Rows checked.
    pub(crate) rows: u64,
    /// A few breaking values.
    pub(crate) samples: Vec<String>,
}

/// What is known about one check when all rows are written.
#[derive(Debug, PartialEq)]
pub(crate) enum Known {
    /// The value of the check.
    Measured(Measured),
    /// How often each value of the check's column occurs, and the rows checked. There are few values, so
    /// they can be compared with another table.
    Values(Vec<(String, u64)>, u64),
    /// Nothing: the check needs a query on the candidate.
    Nothing,
}

/// One kind of check, with the settings of one check.
pub(crate) trait Definition: Send + Sync {
    /// How it is measured while rows are written. A watch that fails, or that a table does not allow, is
    /// replaced by `question`, which must give the same value.
    fn watch(&self) -> Watch<'_>;

    /// How it is measured on a candidate.
    fn question(&self, table: &CheckedTable<'_>) -> CheckSql;

    /// For a kind that leaves `Known::Values`: a query that returns the places, from 0, of the values that
    /// break it. `None` if these values tell nothing.
    fn breaking(&self, _values: &[(String, u64)], _table: &CheckedTable<'_>) -> Option<String> {
        None
    }

    /// True if it passes, and its limit in words.
    fn judge(&self, measured: &Measured, tolerance: Tolerance) -> (bool, String) {
        tolerated(measured, tolerance)
    }

    /// What is said if it fails.
    fn failure(&self, found: &Found<'_>) -> String;
}

/// How a check is measured while rows are written.
pub(crate) enum Watch<'a> {
    /// It cannot be.
    Nothing,
    /// The number of rows.
    RowCount,
    /// The rows that break one of these rules of a column; values of the column `shown` are shown.
    Broken {
        rules: Vec<(&'a str, RuleKind)>,
        shown: Option<&'a str>,
    },
    /// A proof that this key does not repeat.
    Unique(&'a [String]),
    /// The different values of a column with the rows of each, while there are few; `tell` gets them and
    /// the number of all rows.
    Values {
        column: &'a str,
        tell: fn(Vec<(String, u64)>, u64) -> Known,
    },
}

/// The SQL of one check: it returns a row `(value, rows checked)`, and a few breaking values.
pub(crate) struct CheckSql {
    pub(crate) count: Count,
    pub(crate) samples: Option<String>,
}

pub(crate) enum Count {
    /// Rows for which a condition holds: many of these are one statement.
    Rows { breaks: String },
    /// Keys that occur more than once: the keys are read and compared, or the statement counts those that
    /// only the engine can compare.
    Repeats {
        columns: Vec<String>,
        statement: String,
    },
    /// A statement of its own.
    Statement(String),
}

/// The table that a check is asked about, in SQL.
pub(crate) struct CheckedTable<'a> {
    /// Its quoted name.
    pub(crate) name: String,
    pub(crate) schema: SchemaRef,
    pub(crate) filter: Option<&'a str>,
    /// The present time, in microseconds since 1970 UTC.
    pub(crate) now_us: i64,
}

impl CheckedTable<'_> {
    /// A value from the project files as a SQL value of the column's type: `1` and `1.0` are one double.
    pub(crate) fn value(&self, column: &str, text: &str) -> String {
        let field = self.schema.field_with_name(column);
        match field.ok().and_then(|field| sql_type(field.data_type())) {
            Some(sql_type) => format!("cast({} as {sql_type})", literal(text)),
            None => literal(text),
        }
    }

    /// The rows that are checked.
    pub(crate) fn where_clause(&self) -> String {
        self.filter
            .map_or_else(String::new, |filter| format!(" where ({filter})"))
    }

    /// The rows that are checked and for which a condition holds.
    pub(crate) fn where_also(&self, condition: &str) -> String {
        let filter = self
            .filter
            .map_or_else(String::new, |f| format!(" and ({f})"));
        format!(" where {condition}{filter}")
    }

    /// Counts the rows for which a condition holds; values of the quoted column `shown` are shown.
    pub(crate) fn rows_breaking(&self, shown: Option<&str>, breaks: &str) -> CheckSql {
        CheckSql {
            count: Count::Rows {
                breaks: breaks.to_owned(),
            },
            samples: shown.map(|column| self.values_breaking(column, breaks)),
        }
    }

    /// A few values of a quoted column in the rows for which a condition holds.
    pub(crate) fn values_breaking(&self, column: &str, breaks: &str) -> String {
        let (table, rows) = (&self.name, self.where_also(breaks));
        format!("select distinct {column} from {table} as t{rows} order by 1 limit {SAMPLES}")
    }
}

/// The SQL word of a type; text and rare types need none.
fn sql_type(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".to_owned(),
        _ => return None,
    })
}

/// What a failed check found, in words.
pub(crate) struct Found<'a>(pub(crate) &'a Measured);

impl Found<'_> {
    /// The measured value.
    pub(super) fn value(&self) -> f64 {
        self.0.value
    }

    /// The value as a number of rows: `1 row`.
    pub(super) fn rows(&self) -> String {
        self.counted("row", "rows")
    }

    /// The value with its noun.
    pub(super) fn counted(&self, one: &str, many: &str) -> String {
        counted(self.0.value, one, many)
    }

    /// The breaking values, behind a colon.
    pub(super) fn samples(&self) -> String {
        match self.0.samples.is_empty() {
            true => String::new(),
            false => format!(": {}", self.0.samples.join(" ")),
        }
    }
}

/// A number of things between two limits.
pub(super) fn within(
    value: f64,
    (min, max): (Option<u64>, Option<u64>),
    things: &str,
) -> (bool, String) {
    let passed =
        min.is_none_or(|min| value >= min as f64) && max.is_none_or(|max| value <= max as f64);
    let threshold = match (min, max) {
        (Some(min), Some(max)) => format!("{min} to {max} {things}"),
        (Some(min), None) => format!("at least {min} {things}"),
        (None, Some(max)) => format!("at most {max} {things}"),
        (None, None) => format!("any number of {things}"),
    };
    (passed, threshold)
}

fn tolerated(measured: &Measured, tolerance: Tolerance) -> (bool, String) {
    let percent = if measured.rows == 0 {
        0.0
    } else {
        measured.value * 100.0 / measured.rows as f64
    };
    match (tolerance.rows, tolerance.percent) {
        (None, None) => (measured.value == 0.0, "at most 0 rows".to_owned()),
        (Some(rows), None) => (
            measured.value <= rows as f64,
            format!("at most {rows} rows"),
        ),
        (None, Some(most)) => (percent <= most, format!("at most {most} % of the rows")),
        // As with `fail_above`: the check fails if one of the limits is exceeded.
        (Some(rows), Some(most)) => (
            measured.value <= rows as f64 && percent <= most,
            format!("at most {rows} rows and {most} % of the rows"),
        ),
    }
}
