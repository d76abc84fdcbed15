//! Runs the checks of a table on a candidate, before its commit.
//!
//! Promise: a check that was measured while the rows were written is judged without another read; the
//! others are measured with a query (`check_query.rs`). A failed check of severity `error` stops the
//! commit, and none of its rows were ever visible. It does not write anything and does not know the kinds of
//! checks. Read next: `metrics.rs`, `checks/kinds.rs`.

use arrow_schema::SchemaRef;
use towpath_ports::{ExpressionCompiler, Result};
use towpath_vocab::{
    Check, CheckKind, CheckOutcome, CheckResult, Failure, Remedy, Severity, TableName, TablePlan,
};

use crate::check_query::CheckRunner;
use crate::checks::{Found, Known, Measured, definition, group_thousands};

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
pub(crate) fn stopped(
    plan: &TablePlan,
    checks: &[Check],
    results: &[CheckResult],
) -> Option<Failure> {
    let visible = "nothing of this load is visible; readers still see the previous version";
    let failed = |name: &str| {
        let mut results = results.iter();
        results.any(|result| result.name == name && result.outcome == CheckOutcome::Fail)
    };
    let mut of_key = checks
        .iter()
        .filter(|check| is_of_key(check, &plan.write.key));
    let way_out = match of_key.any(|check| failed(&check.name)) {
        true => WAY_OUT_OF_KEYS,
        false => WAY_OUT,
    };
    stopped_as(&plan.target, ("committed", way_out), Some(visible), results)
}

/// True for a check that the key of the table asks for: it is always an error.
fn is_of_key(check: &Check, key: &[String]) -> bool {
    match &check.kind {
        CheckKind::Unique { columns } => {
            !key.is_empty() && key.iter().all(|column| columns.contains(column))
        }
        CheckKind::NotNull { column } => key.contains(column),
        _ => false,
    }
}

const WAY_OUT: &str =
    "to continue: correct the data and run again, or accept it with `severity: warn` on the check";
const WAY_OUT_OF_KEYS: &str = "to continue: correct the data, or name another `key`; in a load, `dedup: { by: COLUMN }` keeps one row of each key, `required: true` on a column rejects rows without a value, and `write: delete+insert` takes keys that come more than once";

/// The failure of a view that must not be stored. What readers see, the caller knows.
pub(crate) fn stopped_view(table: &TableName, results: &[CheckResult]) -> Option<Failure> {
    stopped_as(table, ("stored", WAY_OUT), None, results)
}

fn stopped_as(
    table: &TableName,
    (was_not, way_out): (&str, &str),
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
        let unit = match check.kind.as_str() {
            "freshness" => " seconds",
            _ => "",
        };
        failure = failure.help(format!(
            "check `{}` found {found}{unit}, its limit: {}",
            check.name, check.threshold
        ));
    }
    Some(
        failure
            .help(format!("look: towpath quality {table}"))
            .help(way_out),
    )
}

fn judge(table: &TableName, check: &Check, measured: Measured, elapsed_ms: u64) -> CheckResult {
    let kind = definition(&check.kind);
    let (passed, threshold) = kind.judge(&measured, check.tolerance);
    let outcome = match (passed, check.severity) {
        (true, _) => CheckOutcome::Pass,
        (false, Severity::Warn) => CheckOutcome::Warn,
        (false, Severity::Error) => CheckOutcome::Fail,
    };
    let message = if passed {
        String::new()
    } else {
        kind.failure(&Found(&measured))
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
