//! Judges a candidate before its commit: measured on the way where possible, asked of the candidate
//! where not. A failed check of severity `error` stops the commit; nothing of it was ever visible.

use std::collections::BTreeMap;

use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use futures::TryStreamExt;
use towpath_ports::{Candidate, Clock, Query, Result};
use towpath_vocab::{
    Check, CheckKind, CheckResult, Failure, Outcome, Remedy, Severity, TableName, Tolerance,
};

use crate::metrics::{Measured, SAMPLES};
use crate::shape::value_text;

/// Failed checks a failure names.
const TOLD: usize = 5;

/// The age of a table without any value, in seconds.
const NEVER: f64 = 9e15;

/// Judges every check of one table, in order.
pub(crate) async fn audit(
    table: &TableName,
    checks: &[Check],
    measured: Vec<Option<Measured>>,
    candidate: &Candidate,
    query: &dyn Query,
    clock: &dyn Clock,
) -> Result<Vec<CheckResult>> {
    let candidates = BTreeMap::from([(table.clone(), candidate.clone())]);
    let mut results = Vec::with_capacity(checks.len());
    for (check, known) in checks.iter().zip(measured) {
        let began = clock.monotonic_us();
        let measured = match known {
            Some(measured) => measured,
            None => ask(table, check, &candidates, query, clock).await?,
        };
        let elapsed_ms = clock.monotonic_us().saturating_sub(began) / 1000;
        results.push(judge(table, check, measured, elapsed_ms));
    }
    Ok(results)
}

/// The failure of a stopped commit.
pub(crate) fn stopped(table: &TableName, results: &[CheckResult]) -> Option<Failure> {
    let failed: Vec<&CheckResult> = results
        .iter()
        .filter(|r| r.outcome == Outcome::Fail)
        .collect();
    let first = failed.first()?;
    let message = match failed.len() {
        1 => format!("`{table}` was not committed: {}", first.message),
        n => format!(
            "`{table}` was not committed: {n} checks failed, first: {}",
            first.message
        ),
    };
    let mut failure = Failure::new("R0620", Remedy::FixData, message)
        .help("nothing of this load is visible; the version before still is");
    for check in failed.iter().take(TOLD) {
        let found = group_thousands(check.value);
        failure = failure.help(format!(
            "check `{}` found {found}, its limit: {}",
            check.name, check.threshold
        ));
    }
    Some(
        failure.help(format!("look: towpath quality {table}")).help(
            "go on: mend the data and run again, or accept it: `severity: warn` on the check",
        ),
    )
}

fn judge(table: &TableName, check: &Check, measured: Measured, elapsed_ms: u64) -> CheckResult {
    let (held, threshold) = match &check.kind {
        CheckKind::RowCount { min, max } => within(measured.value, *min, *max),
        CheckKind::Freshness { max_age_s, .. } => (
            measured.value <= *max_age_s as f64,
            format!("at most {} old", exact_time(*max_age_s)),
        ),
        _ => tolerated(&measured, check.tolerance),
    };
    let outcome = match (held, check.severity) {
        (true, _) => Outcome::Pass,
        (false, Severity::Warn) => Outcome::Warn,
        (false, Severity::Error) => Outcome::Fail,
    };
    let message = if held {
        String::new()
    } else {
        tell(check, &measured)
    };
    CheckResult {
        table: table.clone(),
        name: check.name.clone(),
        kind: check.kind.code().to_owned(),
        outcome,
        value: measured.value,
        threshold,
        message,
        samples: measured.samples,
        elapsed_ms,
    }
}

fn within(value: f64, min: Option<u64>, max: Option<u64>) -> (bool, String) {
    let held =
        min.is_none_or(|min| value >= min as f64) && max.is_none_or(|max| value <= max as f64);
    let threshold = match (min, max) {
        (Some(min), Some(max)) => format!("{min} to {max} rows"),
        (Some(min), None) => format!("at least {min} rows"),
        (None, Some(max)) => format!("at most {max} rows"),
        (None, None) => "any number of rows".to_owned(),
    };
    (held, threshold)
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
        // As with `fail_above`: only what passes both limits is too much.
        (Some(rows), Some(most)) => (
            measured.value <= rows as f64 || percent <= most,
            format!("at most {rows} rows or {most} % of the rows"),
        ),
    }
}

fn tell(check: &Check, measured: &Measured) -> String {
    let count = group_thousands(measured.value);
    let named = match measured.samples.is_empty() {
        true => String::new(),
        false => format!(": {}", measured.samples.join(" ")),
    };
    let is_one = measured.value == 1.0;
    let rows = if is_one { "row" } else { "rows" };
    match &check.kind {
        CheckKind::NotNull { column } => format!("{count} {rows} without `{column}`"),
        CheckKind::Unique { columns } => {
            let keys = if is_one { "key" } else { "keys" };
            let occurs = if is_one { "occurs" } else { "occur" };
            format!(
                "{count} {keys} ({}) {occurs} more than once{named}",
                columns.join(", ")
            )
        }
        CheckKind::AcceptedValues { column, .. } => {
            format!("{count} {rows} with another value in `{column}`{named}")
        }
        CheckKind::Pattern { column, pattern } => {
            format!("{count} {rows} whose `{column}` does not match `{pattern}`{named}")
        }
        CheckKind::Range { column, .. } => {
            format!("{count} {rows} with `{column}` out of range{named}")
        }
        CheckKind::Relationships { column, to, .. } => {
            format!("{count} {rows} whose `{column}` `{to}` lacks{named}")
        }
        CheckKind::RowCount { .. } => format!("the table would hold {count} {rows}"),
        CheckKind::Freshness { column, .. } if measured.value >= NEVER => {
            format!("`{column}` holds no value")
        }
        CheckKind::Freshness { column, .. } => {
            let age = rough_time(measured.value);
            format!("the newest `{column}` is {age} old")
        }
        CheckKind::Expression { expression } => {
            format!("{count} {rows} for which `{expression}` is false")
        }
        CheckKind::Sql { .. } => format!("the query gives {count} {rows}{named}"),
    }
}

/// Units of time, longest first, in seconds.
const TIMES: [(&str, u64); 4] = [
    ("day", 86_400),
    ("hour", 3_600),
    ("minute", 60),
    ("second", 1),
];

/// A time in the longest unit that says it exactly.
fn exact_time(seconds: u64) -> String {
    let exact = |(_, size): &&(&str, u64)| seconds >= *size && seconds.is_multiple_of(*size);
    let (unit, size) = TIMES.iter().find(exact).unwrap_or(&("second", 1));
    in_units((seconds / size) as f64, unit)
}

/// A time in the longest unit of which it holds two or more, rounded down.
fn rough_time(seconds: f64) -> String {
    let fits = |(_, size): &&(&str, u64)| seconds >= 2.0 * *size as f64;
    let (unit, size) = TIMES.iter().find(fits).unwrap_or(&("second", 1));
    in_units((seconds / *size as f64).floor(), unit)
}

fn in_units(count: f64, unit: &str) -> String {
    let many = if count == 1.0 { "" } else { "s" };
    format!("{} {unit}{many}", group_thousands(count))
}

fn group_thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Measures one check by SQL over the candidate.
async fn ask(
    table: &TableName,
    check: &Check,
    candidates: &BTreeMap<TableName, Candidate>,
    query: &dyn Query,
    clock: &dyn Clock,
) -> Result<Measured> {
    let schema = candidates
        .get(table)
        .map_or_else(no_columns, |c| SchemaRef::clone(&c.schema));
    let asked = Asked {
        table: quote_table(table),
        schema: &schema,
        filter: check.filter.as_deref(),
    };
    let question = question(&asked, &check.kind, clock.now_us());
    let mut measured = Measured::default();
    let counted = fetch(query, &question.count, candidates).await?;
    measured.value = number(&counted, 0, check)?.unwrap_or(0.0);
    measured.rows = number(&counted, 1, check)?.unwrap_or(0.0) as u64;
    if let Some(samples) = question.samples.filter(|_| measured.value > 0.0) {
        for batch in fetch(query, &samples, candidates).await? {
            for row in 0..batch.num_rows() {
                let values: Vec<String> = batch
                    .columns()
                    .iter()
                    .map(|column| value_text(column, row))
                    .collect();
                measured.samples.push(match values.len() {
                    1 => values.concat(),
                    _ => format!("({})", values.join(", ")),
                });
            }
        }
    }
    Ok(measured)
}

/// Two statements: one row `(breaking, looked at)`, and a few breaking values.
struct Question {
    count: String,
    samples: Option<String>,
}

struct Asked<'a> {
    table: String,
    schema: &'a SchemaRef,
    filter: Option<&'a str>,
}

impl Asked<'_> {
    /// A text of the project as a value of the column's type: `1` and `1.0` are one double.
    fn value(&self, column: &str, text: &str) -> String {
        let field = self.schema.field_with_name(column);
        match field.ok().and_then(|field| sql_type(field.data_type())) {
            Some(sql_type) => format!("cast({} as {sql_type})", literal(text)),
            None => literal(text),
        }
    }

    fn where_clause(&self) -> String {
        self.filter
            .map_or_else(String::new, |filter| format!(" where ({filter})"))
    }

    fn rows_breaking(&self, column: Option<&str>, breaks: &str) -> Question {
        let Asked { table, .. } = self;
        let filter = self.where_clause();
        let count = format!(
            "select count(*) filter (where {breaks}) as broken, count(*) as seen from {table} as t{filter}"
        );
        let samples = column.map(|column| {
            let also = self.filter.map_or_else(String::new, |f| format!(" and ({f})"));
            format!("select distinct {column} from {table} as t where {breaks}{also} order by 1 limit {SAMPLES}")
        });
        Question { count, samples }
    }
}

fn question(asked: &Asked<'_>, kind: &CheckKind, now_us: i64) -> Question {
    let table = &asked.table;
    let filter = asked.where_clause();
    match kind {
        CheckKind::NotNull { column } => {
            asked.rows_breaking(None, &format!("{} is null", quote(column)))
        }
        CheckKind::AcceptedValues {
            column: name,
            values,
        } => {
            let column = quote(name);
            let list: Vec<String> = values.iter().map(|v| asked.value(name, v)).collect();
            let breaks = format!(
                "{column} is not null and {column} not in ({})",
                list.join(", ")
            );
            asked.rows_breaking(Some(&column), &breaks)
        }
        CheckKind::Pattern { column, pattern } => {
            let column = quote(column);
            let breaks = format!("not regexp_like({column}, {})", literal(pattern));
            asked.rows_breaking(Some(&column), &breaks)
        }
        CheckKind::Range {
            column: name,
            min,
            max,
        } => {
            let column = quote(name);
            let below = min
                .as_deref()
                .map(|min| format!("{column} < {}", asked.value(name, min)));
            let above = max
                .as_deref()
                .map(|max| format!("{column} > {}", asked.value(name, max)));
            let breaks: Vec<String> = below.into_iter().chain(above).collect();
            asked.rows_breaking(Some(&column), &format!("({})", breaks.join(" or ")))
        }
        CheckKind::Expression { expression } => {
            asked.rows_breaking(None, &format!("not coalesce(({expression}), true)"))
        }
        CheckKind::RowCount { .. } => {
            let count =
                format!("select count(*) as broken, count(*) as seen from {table} as t{filter}");
            Question {
                count,
                samples: None,
            }
        }
        CheckKind::Freshness { column, .. } => {
            let now = now_us / 1_000_000;
            let newest = format!("extract(epoch from max({}))", quote(column));
            let age = format!("coalesce({now} - {newest}, {NEVER})");
            Question {
                count: format!(
                    "select {age} as broken, count(*) as seen from {table} as t{filter}"
                ),
                samples: None,
            }
        }
        CheckKind::Unique { columns } => unique(asked, columns),
        CheckKind::Relationships { column, to, field } => {
            let (column, field) = (quote(column), quote(field));
            let to = quote_table(to);
            let breaks = format!(
                "{column} is not null and {column} not in (select {field} from {to} where {field} is not null)"
            );
            let also = asked
                .filter
                .map_or_else(String::new, |f| format!(" and ({f})"));
            Question {
                count: format!(
                    "select (select count(*) from {table} as t where {breaks}{also}) as broken, (select count(*) from {table} as t{filter}) as seen"
                ),
                samples: Some(format!(
                    "select distinct {column} from {table} as t where {breaks}{also} order by 1 limit {SAMPLES}"
                )),
            }
        }
        CheckKind::Sql { query } => {
            // As in dbt, the condition narrows the table that the query asks.
            let asked_table = match asked.filter {
                Some(filter) => format!("(select * from {table} as t where ({filter}))"),
                None => table.clone(),
            };
            let query = query.replace("{table}", &asked_table);
            let query = query.trim().trim_end_matches(';');
            Question {
                count: format!("select count(*) as broken, count(*) as seen from ({query}\n) as q"),
                samples: Some(format!("select * from ({query}\n) as q limit {SAMPLES}")),
            }
        }
    }
}

fn no_columns() -> SchemaRef {
    SchemaRef::new(arrow_schema::Schema::empty())
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

fn unique(asked: &Asked<'_>, columns: &[String]) -> Question {
    let table = &asked.table;
    let key: Vec<String> = columns.iter().map(|c| quote(c)).collect();
    let whole: Vec<String> = key.iter().map(|c| format!("{c} is not null")).collect();
    let also = asked
        .filter
        .map_or_else(String::new, |f| format!(" and ({f})"));
    let key = key.join(", ");
    let groups = format!(
        "select {key}, count(*) as towpath_count from {table} as t where {}{also} group by {key}",
        whole.join(" and ")
    );
    Question {
        count: format!(
            "select count(*) filter (where towpath_count > 1) as broken, sum(towpath_count) as seen from ({groups}) as g"
        ),
        samples: Some(format!(
            "select {key} from ({groups}) as g where towpath_count > 1 order by {key} limit {SAMPLES}"
        )),
    }
}

async fn fetch(
    query: &dyn Query,
    sql: &str,
    candidates: &BTreeMap<TableName, Candidate>,
) -> Result<Vec<RecordBatch>> {
    query
        .query(sql, candidates)
        .await?
        .batches
        .try_collect()
        .await
}

/// The number in the first row of a column; NULL (a sum over nothing) is `None`.
fn number(batches: &[RecordBatch], column: usize, check: &Check) -> Result<Option<f64>> {
    let found = batches
        .iter()
        .find(|batch| batch.num_rows() > 0)
        .and_then(|batch| batch.columns().get(column));
    let unreadable = || {
        Failure::new(
            "R0621",
            Remedy::Bug,
            format!("check `{}` gave no number", check.name),
        )
        .help("nothing was committed; please report this")
    };
    let array = found.ok_or_else(unreadable)?;
    if array.is_null(0) {
        return Ok(None);
    }
    value_text(array, 0)
        .parse()
        .map(Some)
        .map_err(|_| unreadable())
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn quote_table(table: &TableName) -> String {
    format!("{}.{}", quote(table.schema()), quote(table.table()))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(group_thousands(7602.0), "7,602");
        assert_eq!(group_thousands(336_776.0), "336,776");
        assert_eq!(group_thousands(999.0), "999");
    }

    #[test]
    fn times_have_a_unit_a_person_can_weigh() {
        let exact = [86_400, 90_000, 3_600, 90, 0].map(exact_time);
        assert_eq!(
            exact,
            ["1 day", "25 hours", "1 hour", "90 seconds", "0 seconds"]
        );
        let rough = [91_009_869.0, 86_401.0, 100.0, 0.4].map(rough_time);
        assert_eq!(
            rough,
            ["1,053 days", "24 hours", "100 seconds", "0 seconds"]
        );
    }

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(quote(r#"a"b"#), r#""a""b""#);
        assert_eq!(literal("it's"), "'it''s'");
    }
}
