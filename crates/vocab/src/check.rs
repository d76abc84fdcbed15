//! Rules and checks as data, and their results.
//!
//! Promise: a rule decides about a row, a check about a commit. `project` reads them from YAML, `flow`
//! measures and judges them; nothing here evaluates anything. Read next: `flow/src/predicate.rs` (rules)
//! and `flow/src/checks/kinds.rs` (checks).

use serde::{Deserialize, Serialize};

use crate::{Span, TableName};

/// What a broken rule or failed check does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Report it and continue.
    Warn,
    /// A rule rejects the row; a check stops the commit.
    Error,
}

/// A rule about one row; it belongs to a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The column of the target.
    pub column: String,
    /// What must hold. NULL breaks only `Required`.
    pub kind: RuleKind,
    /// What happens if a row breaks it.
    pub severity: Severity,
    /// Its position in the project files.
    pub span: Option<Span>,
}

/// What a rule requires of a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// Not null.
    Required,
    /// At least this; the text parses as the column's type.
    Min(String),
    /// At most this; the text parses as the column's type.
    Max(String),
    /// One of these; the texts parse as the column's type.
    In(Vec<String>),
    /// A text in which this regular expression matches somewhere.
    Pattern(String),
    /// Number of characters, inclusive bounds.
    Length {
        /// At least.
        min: Option<u64>,
        /// At most.
        max: Option<u64>,
    },
    /// A boolean SQL expression over the row.
    Expression(String),
}

impl RuleKind {
    /// The stable code, which is also the config key.
    pub fn code(&self) -> &'static str {
        match self {
            RuleKind::Required => "required",
            RuleKind::Min(_) => "min",
            RuleKind::Max(_) => "max",
            RuleKind::In(_) => "in",
            RuleKind::Pattern(_) => "pattern",
            RuleKind::Length { .. } => "length",
            RuleKind::Expression(_) => "expression",
        }
    }
}

/// How many rows may break a check. `warn_if` and `error_if` of dbt become two checks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, Default)]
pub struct Tolerance {
    /// At most this many rows may break.
    pub rows: Option<u64>,
    /// At most this share of the rows may break, in percent.
    pub percent: Option<f64>,
}

/// The limit for rejected rows. If both numbers are set, a load stops only if both are exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The most rows; without `percent` it is checked at once.
    pub rows: Option<u64>,
    /// The most rows in percent of the rows read; it is checked at the end of the table.
    pub percent: Option<f64>,
}

impl Default for Threshold {
    fn default() -> Self {
        Self {
            rows: None,
            percent: Some(10.0),
        }
    }
}

/// A check about a commit; it belongs to a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Its name in reports; unique per table.
    pub name: String,
    /// What must hold.
    pub kind: CheckKind,
    /// What happens if it fails.
    pub severity: Severity,
    /// If set, only rows for which this SQL expression is true are checked.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// How many rows may break it.
    pub tolerance: Tolerance,
    /// Its position in the project files.
    pub span: Option<Span>,
}

/// What a check requires of the table as readers would see it after the commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// No NULL in the column.
    NotNull {
        /// The column.
        column: String,
    },
    /// No value (or combination of values) occurs twice; NULLs are not compared.
    Unique {
        /// One or more columns.
        columns: Vec<String>,
    },
    /// Every non-NULL value is one of these.
    AcceptedValues {
        /// The column.
        column: String,
        /// The values; the texts parse as the column's type.
        values: Vec<String>,
    },
    /// Every non-NULL value matches the regular expression.
    Pattern {
        /// The column.
        column: String,
        /// The expression.
        pattern: String,
    },
    /// Every non-NULL value is between the limits, inclusive.
    Range {
        /// The column.
        column: String,
        /// At least.
        min: Option<String>,
        /// At most.
        max: Option<String>,
    },
    /// Every non-NULL value is in a column of another table.
    Relationships {
        /// The column here.
        column: String,
        /// The other table.
        to: TableName,
        /// Its column.
        field: String,
    },
    /// The number of rows is between the limits, inclusive.
    RowCount {
        /// At least.
        min: Option<u64>,
        /// At most.
        max: Option<u64>,
    },
    /// The number of different values of the column is between the limits, inclusive; NULL is not a value.
    DistinctCount {
        /// The column.
        column: String,
        /// At least.
        min: Option<u64>,
        /// At most.
        max: Option<u64>,
    },
    /// The newest value of a timestamp column is at most this old.
    Freshness {
        /// The column.
        column: String,
        /// Seconds.
        max_age_s: u64,
    },
    /// A boolean SQL expression is true (or NULL) for every row.
    Expression {
        /// The expression.
        expression: String,
    },
    /// A query returns no row. `{table}` is the table as it would be after the commit.
    Sql {
        /// The query.
        query: String,
    },
}

/// What decides a check. A mask keeps the equality of values, but not the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecidedBy<'a> {
    /// The values of its columns.
    Values,
    /// Which values of its columns are NULL.
    Presence,
    /// Which values of its columns are equal, here or in another table.
    Equality,
    /// A SQL expression over the row.
    Expression(&'a str),
    /// The number of rows, or a query of the user.
    Table,
}

impl CheckKind {
    /// The names of the table's columns in it.
    pub fn columns_mut(&mut self) -> Vec<&mut String> {
        match self {
            CheckKind::Unique { columns } => columns.iter_mut().collect(),
            CheckKind::NotNull { column }
            | CheckKind::AcceptedValues { column, .. }
            | CheckKind::Pattern { column, .. }
            | CheckKind::Range { column, .. }
            | CheckKind::Relationships { column, .. }
            | CheckKind::DistinctCount { column, .. }
            | CheckKind::Freshness { column, .. } => vec![column],
            CheckKind::RowCount { .. } | CheckKind::Expression { .. } | CheckKind::Sql { .. } => {
                Vec::new()
            }
        }
    }

    /// The columns of `columns_mut`, by value, so that they are listed once.
    pub fn columns(&self) -> Vec<String> {
        let mut copy = self.clone();
        copy.columns_mut().into_iter().map(std::mem::take).collect()
    }

    /// What decides whether it passes.
    pub fn decided_by(&self) -> DecidedBy<'_> {
        match self {
            CheckKind::AcceptedValues { .. }
            | CheckKind::Pattern { .. }
            | CheckKind::Range { .. }
            | CheckKind::Freshness { .. } => DecidedBy::Values,
            CheckKind::NotNull { .. } => DecidedBy::Presence,
            CheckKind::Unique { .. }
            | CheckKind::Relationships { .. }
            | CheckKind::DistinctCount { .. } => DecidedBy::Equality,
            CheckKind::Expression { expression } => DecidedBy::Expression(expression),
            CheckKind::RowCount { .. } | CheckKind::Sql { .. } => DecidedBy::Table,
        }
    }

    /// The stable code, which is also the config key.
    pub fn code(&self) -> &'static str {
        match self {
            CheckKind::NotNull { .. } => "not_null",
            CheckKind::Unique { .. } => "unique",
            CheckKind::AcceptedValues { .. } => "accepted_values",
            CheckKind::Pattern { .. } => "pattern",
            CheckKind::Range { .. } => "range",
            CheckKind::Relationships { .. } => "relationships",
            CheckKind::RowCount { .. } => "row_count",
            CheckKind::DistinctCount { .. } => "distinct_count",
            CheckKind::Freshness { .. } => "freshness",
            CheckKind::Expression { .. } => "expression",
            CheckKind::Sql { .. } => "sql",
        }
    }
}

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckOutcome {
    /// It passed.
    Pass,
    /// It failed; the commit was made.
    Warn,
    /// It failed; the commit was stopped.
    Fail,
}

/// The result of one check on one candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The table.
    pub table: TableName,
    /// The check's name.
    pub name: String,
    /// The check's code.
    pub kind: String,
    /// Its outcome.
    pub outcome: CheckOutcome,
    /// The measured value: rows that break it, a number of rows, an age in seconds.
    pub value: f64,
    /// The limit in words: `at most 0 rows`.
    pub threshold: String,
    /// One line for people; empty when it passed.
    pub message: String,
    /// A few values that break it, as text.
    pub samples: Vec<String>,
    /// Time it took, in milliseconds.
    pub elapsed_ms: u64,
}
