//! The limits for bad rows of a table, and the messages when a limit is exceeded.
//!
//! Promise: a message shows no text of a record and no value of a masked column. It counts nothing:
//! `summary.rs` does. Read next: `output.rs`.

use towpath_ports::PreparedStats;
use towpath_vocab::{
    AbsentRows, Failure, RawRecord, Reason, Reject, Remedy, TableName, TablePlan, WriteMode,
    delete_limit,
};

use crate::output_spec::OutputSpec;
use crate::summary::OutputSummary;

/// A reject for reports and the state store: without the record itself, and without values of masked
/// columns.
pub(crate) fn shown(plan: &TablePlan, reject: &Reject) -> Reject {
    Reject {
        raw: RawRecord::Text(String::new()),
        reasons: shown_reasons(plan, &reject.reasons),
        ..reject.clone()
    }
}

/// Reasons without values of masked columns; a reason without a column may contain a value of any column.
pub(crate) fn shown_reasons(plan: &TablePlan, reasons: &[Reason]) -> Vec<Reason> {
    let masked = || plan.columns.iter().filter(|c| c.mask.is_some());
    if masked().next().is_none() {
        return reasons.to_vec();
    }
    let hides = |name: &String| {
        masked().any(|c| {
            let from = c.from.as_ref().unwrap_or(&c.name);
            c.name == *name || plan.names.is_same(from, name)
        })
    };
    let shown = reasons.iter().cloned().map(|mut reason| {
        if reason.column.as_ref().is_none_or(hides)
            && let Some(value) = reason.value.take()
            && !value.is_empty()
        {
            reason.message = reason.message.replace(&value, "…");
        }
        reason
    });
    shown.collect()
}

pub(crate) fn first_bad_row(table: &TableName, reject: &Reject) -> Failure {
    let why: Vec<String> = reject
        .reasons
        .iter()
        .map(|reason| match (&reason.column, &reason.value) {
            (Some(column), Some(value)) => format!("`{column}` is {value}, {}", reason.message),
            (Some(column), None) => format!("`{column}`: {}", reason.message),
            _ => reason.message.clone(),
        })
        .collect();
    Failure::new(
        "R0622",
        Remedy::FixData,
        format!(
            "`{table}` was stopped by its first bad row: {}",
            why.join("; ")
        ),
    )
    .at(reject.place.clone())
    .help("quarantine such rows instead: `bad_rows: quarantine`")
}

/// The failure for a delivery that its first refused row stops.
pub(crate) fn first_refused(table: &TableName, reject: &Reject) -> Failure {
    stopped_delivery(first_bad_row(table, reject), table)
}

/// The same failure of a table whose rows are taken one by one: those before it are taken already.
pub(crate) fn stopped_delivery(failure: Failure, table: &TableName) -> Failure {
    let stopped = Failure::new(&failure.code, failure.remedy, failure.message);
    let stopped = match failure.place {
        Some(place) => stopped.at(place),
        None => stopped,
    };
    stopped
        .help("rows that were taken before stay taken; the next run sends the others, and the refused ones again")
        .help(format!("look: towpath quarantine show {table}"))
        .help(format!(
            "accept, so that the rest is sent and the refused rows wait: towpath run --fail-above {table}=…%"
        ))
}

pub(crate) fn too_many(
    summary: &OutputSummary,
    table: &TableName,
    most: u64,
    unit: &str,
) -> Failure {
    let bad = summary.rows_rejected + summary.rows_dropped;
    stop_line(
        table,
        format!(
            "{bad} of {} rows are bad, the limit is {most} {unit}",
            summary.rows_read
        ),
    )
}

/// Checks the limits at the end of the table, when the share is known. Each limit stops the load by itself.
pub(crate) fn over_share(summary: &OutputSummary, plan: &TablePlan) -> Option<Failure> {
    let bad = summary.rows_rejected + summary.rows_dropped;
    if let Some(most) = plan.fail_above.rows.filter(|rows| bad > *rows) {
        return Some(too_many(summary, &plan.target, most, "rows"));
    }
    let percent = plan.fail_above.percent?;
    let share = if summary.rows_read == 0 {
        0.0
    } else {
        bad as f64 * 100.0 / summary.rows_read as f64
    };
    if share <= percent {
        return None;
    }
    let line = format!(
        "{bad} of {} rows are bad ({share:.1} %), the limit is {percent} %",
        summary.rows_read
    );
    Some(stop_line(&plan.target, line))
}

/// The failure for a table that a source without rows would empty, or a note if that is allowed. Its limit is
/// `delete_above` where rows that are gone are deleted, marked or closed, else that of bad rows.
pub(crate) fn no_rows_left(summary: &mut OutputSummary, spec: &OutputSpec) -> Option<Failure> {
    let before = spec.rows_before.filter(|rows| *rows > 0)?;
    let absent = AbsentRows::of(&spec.plan.write);
    let gone = delete_limit(&spec.plan.write);
    let came = match gone {
        // Rows that were read and left out are gone as well.
        Some(_) => summary.rows_loaded + summary.rows_rejected + summary.rows_dropped,
        None => summary.rows_read,
    };
    if came > 0 {
        return None;
    }
    let none = match summary.rows_read {
        0 => "its source has no rows".to_owned(),
        read => format!("none of the {read} rows of its source is written"),
    };
    // Who tolerates bad records has said nothing about rows that are gone.
    let limit = gone.unwrap_or(spec.plan.fail_above);
    let is_within = (limit.percent.is_some() || limit.rows.is_some())
        && limit.percent.is_none_or(|percent| percent >= 100.0)
        && limit.rows.is_none_or(|rows| before <= rows);
    if is_within {
        let done = match (spec.plan.write.mode, absent) {
            (WriteMode::Scd2, _) => "closed",
            (_, Some(AbsentRows::Mark { .. })) => "marked as deleted",
            _ => "removed",
        };
        let none = none.replace("its source", "the source");
        summary.notes.push(format!(
            "{none}: the {before} rows of the table were {done}"
        ));
        return None;
    }
    let table = &spec.plan.target;
    let line = format!("`{table}` was stopped: {none}, and the table has {before}");
    let failure = Failure::new("R0660", Remedy::FixData, line)
        .help("nothing of this load is visible; readers still see the previous version")
        .help(
            "a file with only a header has no rows: check the source, and the `where` of the table",
        );
    let option = match gone {
        Some(_) => "--delete-above",
        None => "--fail-above",
    };
    Some(failure.help(format!("accept: towpath run {option} {table}=100%")))
}

/// The failure for a table of which more rows are gone than it may lose in one load. A load without rows is judged
/// by `no_rows_left`.
pub(crate) fn too_many_gone(
    summary: &OutputSummary,
    plan: &TablePlan,
    stats: PreparedStats,
) -> Option<Failure> {
    let limit = delete_limit(&plan.write)?;
    if summary.rows_loaded == 0 || stats.deleted == 0 {
        return None;
    }
    // A present row is replaced, found unchanged, or gone.
    let present = stats.rows_in.saturating_sub(stats.inserted) + stats.deleted;
    let share = stats.deleted as f64 * 100.0 / present as f64;
    let is_above_share = limit.percent.is_some_and(|percent| share > percent);
    let is_above_rows = limit.rows.is_some_and(|rows| stats.deleted > rows);
    if !is_above_share && !is_above_rows {
        return None;
    }
    let allowed = match (limit.rows, limit.percent) {
        (Some(rows), Some(percent)) => format!("{percent} % or {rows} rows"),
        (Some(rows), None) => format!("{rows} rows"),
        (None, percent) => format!("{} %", percent.unwrap_or_default()),
    };
    let table = &plan.target;
    let line = format!(
        "`{table}` was stopped: {} of its {present} rows are not in the source any more ({share:.1} %), the limit is {allowed}",
        stats.deleted
    );
    Some(
        Failure::new("R0662", Remedy::FixData, line)
            .help("nothing of this load is visible; readers still see the previous version")
            .help("look whether the source gave all its rows, and at the `where` of the table")
            .help(format!("accept: towpath run --delete-above {table}=100%"))
            .help("or change the limit of the table: `delete_above`"),
    )
}

fn stop_line(table: &TableName, line: String) -> Failure {
    Failure::new(
        "R0623",
        Remedy::FixData,
        format!("`{table}` was stopped: {line}"),
    )
    .help("nothing of this load is visible; readers still see the previous version")
    .help(format!("look: towpath quarantine show {table}"))
    .help(format!("accept: towpath run --fail-above {table}=…%"))
}
