//! Rules and checks as data, and their results.
//!
//! Promise: a rule decides about a row, a check about a commit. `project` reads them from YAML, `flow`
//! measures and judges them; nothing here evaluates anything. Read next: `flow/src/validator.rs` (rules)
//! and `flow/src/audit.rs` (checks).

use serde::{Deserialize, Serialize};

use crate::{Span, TableName};

/// What a broken rule or failed check does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Say so and go on.
    Warn,
    /// A rule rejects the row; a check stops the commit.
    Error,
}

/// A rule about one row, hung on a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The column (after transforms).
    pub column: String,
    /// What must hold. NULL passes every kind but `Required`.
    pub kind: RuleKind,
    /// What a break does.
    pub severity: Severity,
    /// Where it was written.
    pub span: Option<Span>,
}

/// What a rule demands of a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// Not null.
    Required,
    /// At least this; text that reads as the column's type.
    Min(String),
    /// At most this; text that reads as the column's type.
    Max(String),
    /// One of these; text that reads as the column's type.
    In(Vec<String>),
    /// Text that matches this regular expression somewhere.
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

/// How many breaking rows are still fine: `warn_if`/`error_if` of dbt are two checks here.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, Default)]
pub struct Tolerance {
    /// At most this many rows may break.
    pub rows: Option<u64>,
    /// At most this share of the rows may break, in percent.
    pub percent: Option<f64>,
}

/// The limit for rejected rows. With both numbers, both must be passed to stop a load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// More rows than this; judged at once when it stands alone.
    pub rows: Option<u64>,
    /// A larger share of the rows read than this, in percent; judged at the end of the table.
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

/// A check about a commit, hung on a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Its name in reports; unique per table.
    pub name: String,
    /// What must hold.
    pub kind: CheckKind,
    /// What a failure does.
    pub severity: Severity,
    /// Only rows for which this SQL expression is true are looked at.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// How much may break.
    pub tolerance: Tolerance,
    /// Where it was written.
    pub span: Option<Span>,
}

/// What a check demands of the table as readers would see it after the commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// No NULL in the column.
    NotNull {
        /// The column.
        column: String,
    },
    /// No value (or combination) twice; NULLs are not compared.
    Unique {
        /// One or more columns.
        columns: Vec<String>,
    },
    /// Every non-NULL value is one of these.
    AcceptedValues {
        /// The column.
        column: String,
        /// Text that reads as the column's type.
        values: Vec<String>,
    },
    /// Every non-NULL value matches the regular expression.
    Pattern {
        /// The column.
        column: String,
        /// The expression.
        pattern: String,
    },
    /// Every non-NULL value lies between the bounds, inclusive.
    Range {
        /// The column.
        column: String,
        /// At least.
        min: Option<String>,
        /// At most.
        max: Option<String>,
    },
    /// Every non-NULL value stands in another table's column.
    Relationships {
        /// The column here.
        column: String,
        /// The other table.
        to: TableName,
        /// Its column.
        field: String,
    },
    /// The number of rows lies between the bounds, inclusive.
    RowCount {
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
    /// A query returns no row. `{table}` stands for the table as it would be after the commit.
    Sql {
        /// The query.
        query: String,
    },
}

impl CheckKind {
    /// The columns of the table that it names.
    pub fn columns_mut(&mut self) -> Vec<&mut String> {
        match self {
            CheckKind::Unique { columns } => columns.iter_mut().collect(),
            CheckKind::NotNull { column }
            | CheckKind::AcceptedValues { column, .. }
            | CheckKind::Pattern { column, .. }
            | CheckKind::Range { column, .. }
            | CheckKind::Relationships { column, .. }
            | CheckKind::Freshness { column, .. } => vec![column],
            CheckKind::RowCount { .. } | CheckKind::Expression { .. } | CheckKind::Sql { .. } => {
                Vec::new()
            }
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
            CheckKind::Freshness { .. } => "freshness",
            CheckKind::Expression { .. } => "expression",
            CheckKind::Sql { .. } => "sql",
        }
    }
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckOutcome {
    /// It held.
    Pass,
    /// It did not hold; the commit went on.
    Warn,
    /// It did not hold; the commit was stopped.
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
    /// How it came out.
    pub outcome: CheckOutcome,
    /// What was measured: breaking rows, a count, an age in seconds.
    pub value: f64,
    /// The limit in words: `at most 0 rows`.
    pub threshold: String,
    /// One line for people; empty when it passed.
    pub message: String,
    /// A few breaking values, as text.
    pub samples: Vec<String>,
    /// Time it took, in milliseconds.
    pub elapsed_ms: u64,
}
