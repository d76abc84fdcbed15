//! Runs the checks of a table on a candidate, before its commit.
//!
//! Promise: a check that was measured while the rows were written is judged without another read; the
//! others are measured with a query (`check_query.rs`). A failed check of severity `error` stops the
//! commit, and none of its rows were ever visible. It does not write anything. Read next: `metrics.rs`.

use arrow_schema::SchemaRef;
use towpath_ports::{ExpressionCompiler, Result};
use towpath_vocab::{
    Check, CheckKind, CheckOutcome, CheckResult, Failure, Remedy, Severity, TableName, Tolerance,
};

use crate::check_query::{CheckRunner, NEVER};
use crate::metrics::{Known, Measured};

/// The most failed checks that a failure names.
const MOST_NAMED: usize = 5;

/// Runs all checks of one table, in order.
pub(crate) async fn audit(
    checks: &[Check],
    known: Vec<Known>,
    asking: &CheckRunner<'_>,
) -> Result<Vec<CheckResult>> {
    let answers = asking.complete(checks, known).await?;
    let judged = checks.iter().zip(answers);
    Ok(judged
        .map(|(check, answer)| judge(asking.table, check, answer.measured, answer.elapsed_ms))
        .collect())
}

/// Replaces the names of columns in the expressions of checks by those of the table, because the
/// expressions become parts of SQL statements.
pub(crate) fn in_own_names(
    checks: &[Check],
    schema: &SchemaRef,
    expressions: &dyn ExpressionCompiler,
) -> Result<Vec<Check>> {
    let own = |text: &mut String| -> Result<()> {
        *text = expressions.in_own_names(text, schema)?;
        Ok(())
    };
    let mut checks = checks.to_vec();
    for check in &mut checks {
        check.filter.as_mut().map_or(Ok(()), own)?;
        if let CheckKind::Expression { expression } = &mut check.kind {
            own(expression)?;
        }
    }
    Ok(checks)
}

/// The failure of a stopped commit.
pub(crate) fn stopped(table: &TableName, results: &[CheckResult]) -> Option<Failure> {
    let visible = "nothing of this load is visible; readers still see the previous version";
    stopped_as(table, "committed", Some(visible), results)
}

/// The failure of a view that must not be stored. What readers see, the caller knows.
pub(crate) fn stopped_view(table: &TableName, results: &[CheckResult]) -> Option<Failure> {
    stopped_as(table, "stored", None, results)
}

fn stopped_as(
    table: &TableName,
    was_not: &str,
    visible: Option<&str>,
    results: &[CheckResult],
) -> Option<Failure> {
    let failed: Vec<&CheckResult> = results
        .iter()
        .filter(|r| r.outcome == CheckOutcome::Fail)
        .collect();
    let first = failed.first()?;
    let message = match failed.len() {
        1 => format!("`{table}` was not {was_not}: {}", first.message),
        n => format!(
            "`{table}` was not {was_not}: {n} checks failed, first: {}",
            first.message
        ),
    };
    let mut failure = Failure::new("R0620", Remedy::FixData, message);
    if let Some(visible) = visible {
        failure = failure.help(visible);
    }
    for check in failed.iter().take(MOST_NAMED) {
        let found = group_thousands(check.value);
        failure = failure.help(format!(
            "check `{}` found {found}, its limit: {}",
            check.name, check.threshold
        ));
    }
    Some(
        failure.help(format!("look: towpath quality {table}")).help(
            "to continue: correct the data and run again, or accept it with `severity: warn` on the check",
        ),
    )
}

fn judge(table: &TableName, check: &Check, measured: Measured, elapsed_ms: u64) -> CheckResult {
    let (passed, threshold) = match &check.kind {
        CheckKind::RowCount { min, max } => within(measured.value, *min, *max),
        CheckKind::Freshness { max_age_s, .. } => (
            measured.value <= *max_age_s as f64,
            format!("at most {} old", exact_time(*max_age_s)),
        ),
        _ => tolerated(&measured, check.tolerance),
    };
    let outcome = match (passed, check.severity) {
        (true, _) => CheckOutcome::Pass,
        (false, Severity::Warn) => CheckOutcome::Warn,
        (false, Severity::Error) => CheckOutcome::Fail,
    };
    let message = if passed {
        String::new()
    } else {
        failure_message(check, &measured)
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
    let passed =
        min.is_none_or(|min| value >= min as f64) && max.is_none_or(|max| value <= max as f64);
    let threshold = match (min, max) {
        (Some(min), Some(max)) => format!("{min} to {max} rows"),
        (Some(min), None) => format!("at least {min} rows"),
        (None, Some(max)) => format!("at most {max} rows"),
        (None, None) => "any number of rows".to_owned(),
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
        // As with `fail_above`: the check fails only if both limits are exceeded.
        (Some(rows), Some(most)) => (
            measured.value <= rows as f64 || percent <= most,
            format!("at most {rows} rows or {most} % of the rows"),
        ),
    }
}

fn failure_message(check: &Check, measured: &Measured) -> String {
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
            format!("{count} {rows} with a `{column}` that is not accepted{named}")
        }
        CheckKind::Pattern { column, pattern } => {
            format!("{count} {rows} with a `{column}` that does not match `{pattern}`{named}")
        }
        CheckKind::Range { column, .. } => {
            format!("{count} {rows} with `{column}` out of range{named}")
        }
        CheckKind::Relationships { column, to, .. } => {
            format!("{count} {rows} with a `{column}` that is not in `{to}`{named}")
        }
        CheckKind::RowCount { .. } => format!("the table would hold {count} {rows}"),
        CheckKind::Freshness { column, .. } if measured.value >= NEVER => {
            format!("`{column}` has no value")
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

/// Formats a time in the longest unit that is exact.
fn exact_time(seconds: u64) -> String {
    let exact = |(_, size): &&(&str, u64)| seconds >= *size && seconds.is_multiple_of(*size);
    let (unit, size) = TIMES.iter().find(exact).unwrap_or(&("second", 1));
    in_units((seconds / size) as f64, unit)
}

/// Formats a time in the longest unit of which it has two or more, rounded down.
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
}
