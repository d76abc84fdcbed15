//! Prints the report of a run: steps, tables, notes about the data, failures, the balance of rows.
//!
//! Promise: it only formats; every number comes from `app::RunReport`. Tests compare its lines, and so do
//! the pages in `docs/`. Read next: `app/src/report.rs`.

use towpath_app::{RunReport, TableReport, UpToDateTasks};
use towpath_flow::OutputSummary;
use towpath_ports::RunState;
use towpath_vocab::{CheckOutcome, Reason};

use super::numbers::{bytes, count, plural, seconds};
use super::rows::text_table;
use crate::terminal;

/// Prints the report.
pub(crate) fn run_report(report: &RunReport) {
    if terminal::is_quiet() {
        out!("{}", failures(report).trim_start());
        return;
    }
    if report.nothing_to_do() {
        outln!("{}", nothing(report));
        return;
    }
    out!("{}", head(report));
    out!("{}", steps(report));
    outln!("{}", closing(report));
    if !report.tables.is_empty() {
        outln!("\n{}", tables(report));
    }
    out!("{}", things(report));
    for note in &report.notes {
        outln!(" ⓘ {note}");
    }
    if report.known_notes() > 0 {
        let known = plural(report.known_notes() as u64, "note");
        outln!(" ⓘ {known} as before: towpath logs {}", report.run);
    }
    out!("{}", failures(report));
    if report.rows_read > 0 {
        outln!("{}", balance(report));
    }
    if !report.recovered.is_empty() {
        let tasks: Vec<String> = report.recovered.iter().map(ToString::to_string).collect();
        outln!(
            "Not counted: {}, committed before its process died; the number of rows read is not known.",
            tasks.join(", ")
        );
    }
}

fn nothing(report: &RunReport) -> String {
    let UpToDateTasks {
        loads,
        models,
        publishes,
    } = report.unchanged;
    let parts: Vec<String> = [(loads, "table"), (models, "model"), (publishes, "publish")]
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, noun)| match noun {
            "publish" if n > 1 => format!("{} publishes", count(n as u64)),
            noun => plural(n as u64, noun),
        })
        .collect();
    let list = match parts.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => parts.concat(),
    };
    let verb = if loads + models + publishes == 1 {
        "is"
    } else {
        "are"
    };
    format!(
        "{} · Nothing to do ({}): {list} {verb} unchanged. To build all of it again: --full-refresh",
        report.run,
        seconds(report.elapsed_us)
    )
}

fn head(report: &RunReport) -> String {
    let again = if report.resumed { " · resumed" } else { "" };
    let part = report.limit.map_or_else(String::new, |limit| {
        format!(
            " · partial: at most about {} per load",
            plural(limit, "row")
        )
    });
    let of = report
        .rerun_of
        .as_ref()
        .map_or_else(String::new, |run| format!(" · {run} again"));
    format!(
        "{} · {} · {}{of}{again}{part}\n",
        report.run, report.project, report.environment
    )
}

fn steps(report: &RunReport) -> String {
    let name_width = report
        .steps
        .iter()
        .map(|step| step.name.chars().count())
        .max()
        .unwrap_or(0);
    let detail_width = report
        .steps
        .iter()
        .map(|step| step.detail.chars().count())
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for step in &report.steps {
        let sign = match (step.ok, step.skipped == step.tasks) {
            (false, _) => "✗",
            (true, true) => "–",
            (true, false) => "✓",
        };
        let noun = step.unit.strip_suffix('s').unwrap_or(step.unit);
        out.push_str(&format!(
            " {sign} {:name_width$}   {:detail_width$}   {:>12} {:>17} {:>9}\n",
            step.name,
            step.detail,
            plural(step.tasks as u64, noun),
            plural(step.rows, "row"),
            seconds(step.elapsed_us),
        ));
    }
    out
}

fn closing(report: &RunReport) -> String {
    let word = match report.state {
        RunState::Succeeded => "Done",
        RunState::Cancelled => "Stopped by you",
        RunState::Failed | RunState::Running | RunState::Superseded => "Failed",
    };
    let peak = report.peak_rss_bytes.map_or_else(String::new, |peak| {
        format!(
            " Peak memory {} of {} allowed.",
            bytes(peak),
            bytes(report.budget_bytes)
        )
    });
    let slowest = report
        .slowest
        .as_ref()
        .map_or_else(String::new, |(task, took)| {
            format!(" Slowest: {task}, {}.", seconds(*took))
        });
    format!("{word} in {}.{peak}{slowest}", seconds(report.elapsed_us))
}

fn tables(report: &RunReport) -> String {
    let names = ["TABLE", "ROWS", "CHECKS", "NOW AT", ""].map(str::to_owned);
    let rows: Vec<Vec<String>> = report.tables.iter().map(table_line).collect();
    let drawn = text_table(&names, &rows, &[false, true, false, false, false]);
    drawn.lines().map(|line| format!(" {line}\n")).collect()
}

fn table_line(table: &TableReport) -> Vec<String> {
    let checks: Vec<String> = [
        (table.passed, "ok"),
        (table.warned, "warn"),
        (table.failed, "failed"),
    ]
    .into_iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, word)| format!("{n} {word}"))
    .collect();
    let summary = &table.summary;
    let rows = table.rows_now.unwrap_or(summary.rows_loaded);
    let aside = match (summary.rows_rejected, summary.rows_dropped) {
        (0, 0) => String::new(),
        (held, 0) => format!("{} quarantined", plural(held, "row")),
        (_, dropped) => format!("{} dropped", plural(dropped, "bad row")),
    };
    vec![
        summary.table.to_string(),
        match (table.view, table.changes) {
            (true, _) => "–".to_owned(),
            (false, Some(sent)) => format!(
                "+{} ~{} -{}{}",
                count(sent.inserted),
                count(sent.updated),
                count(sent.deleted),
                sent.unchanged
                    .map_or_else(String::new, |same| format!(" ={}", count(same)))
            ),
            (false, None) => count(rows),
        },
        if checks.is_empty() {
            "–".to_owned()
        } else {
            checks.join(", ")
        },
        table
            .now_at
            .clone()
            .unwrap_or_else(|| "not committed".to_owned()),
        aside,
    ]
}

/// The notes about the data, each with its location and the next command.
fn things(report: &RunReport) -> String {
    let mut lines = Vec::new();
    for table in &report.tables {
        rejected_rows(&table.summary, &mut lines);
        for check in table
            .summary
            .checks
            .iter()
            .filter(|check| check.outcome != CheckOutcome::Pass)
        {
            lines.push(format!(" ⚠ {}  {}", check.table, check.message));
        }
        for rule in table.summary.rules.iter().filter(|rule| rule.warns) {
            let example = rule
                .example
                .as_ref()
                .map_or_else(String::new, |e| format!(", first: {e}"));
            lines.push(format!(
                " ⚠ {}  {} with `{}` where {}{example}",
                table.summary.table,
                plural(rule.rows, "row"),
                rule.column,
                rule.message
            ));
        }
        for note in &table.new_notes {
            lines.push(format!(" ⓘ {}  {note}", table.summary.table));
        }
    }
    let count = lines.iter().filter(|line| !line.starts_with("   ")).count() as u64;
    match count {
        0 => String::new(),
        _ => format!(
            "{} to know about this data\n{}\n",
            plural(count, "thing"),
            lines.join("\n")
        ),
    }
}

fn rejected_rows(summary: &OutputSummary, lines: &mut Vec<String>) {
    let Some(first) = summary
        .samples
        .first()
        .filter(|_| summary.rows_rejected > 0)
    else {
        return;
    };
    let rows = plural(summary.rows_rejected, "row");
    let which = match have_one_reason(summary) {
        true => "",
        false => ", the first because",
    };
    lines.push(format!(
        " ⚠ {}  {rows} rejected{which}: {}",
        summary.table,
        first.reasons.first().map(Reason::text).unwrap_or_default()
    ));
    lines.push(format!(
        "                {}       towpath quarantine show {}",
        first.place, summary.table
    ));
}

/// True if every rejected row has the reason that the first one has: its rule has so many rows, or all of
/// them are there to be looked at.
fn have_one_reason(summary: &OutputSummary) -> bool {
    let mut reasons = summary.samples.iter().map(|reject| reject.reasons.first());
    let Some(Some(first)) = reasons.next() else {
        return true;
    };
    let is_first =
        |column: Option<&str>, code: &str| first.column.as_deref() == column && first.code == code;
    let by_rule = summary.rules.iter().any(|rule| {
        let is_first = is_first(Some(&rule.column), &rule.code) && !rule.warns;
        is_first && rule.rows == summary.rows_rejected
    });
    let is_whole = summary.samples.len() as u64 == summary.rows_rejected;
    by_rule
        || is_whole
            && reasons.all(|other| {
                other.is_some_and(|other| is_first(other.column.as_deref(), &other.code))
            })
}

fn failures(report: &RunReport) -> String {
    let mut out = String::new();
    for (tasks, failure) in report.failures_apart() {
        let (first, more) = (tasks.first().copied(), tasks.len().saturating_sub(1));
        let more = match more {
            0 => String::new(),
            more => format!(" and {}", plural(more as u64, "more task")),
        };
        out.push_str(&format!(
            "\n✗ {}{more}  error[{}]: {}\n",
            first.map_or("", |task| task.as_str()),
            failure.code,
            failure.message
        ));
        if let Some(place) = &failure.place {
            out.push_str(&format!("    --> {place}\n"));
        }
        for help in &failure.help {
            out.push_str(&format!("    = {help}\n"));
        }
        if terminal::is_verbose() {
            for cause in &failure.causes {
                out.push_str(&format!("    cause: {cause}\n"));
            }
        }
    }
    if !report.skipped.is_empty() {
        let names: Vec<String> = report.skipped.iter().map(ToString::to_string).collect();
        out.push_str(&format!("Skipped because of this: {}\n", names.join(", ")));
    }
    out
}

fn balance(report: &RunReport) -> String {
    let mut parts = vec![format!("{} loaded", count(report.rows_loaded))];
    for (rows, word) in [
        (report.rows_rejected, "rejected"),
        (report.rows_left_out, "left out by where or dedup"),
        (report.rows_dropped, "dropped as bad"),
        (
            report.rows_not_committed,
            "of stopped tables, not committed",
        ),
    ] {
        if rows > 0 {
            parts.push(format!("{} {word}", count(rows)));
        }
    }
    let accounted = report.rows_loaded
        + report.rows_rejected
        + report.rows_left_out
        + report.rows_dropped
        + report.rows_not_committed;
    let sentence = match (accounted == report.rows_read, report.rows_dropped) {
        (true, 0) => "No row was lost",
        (true, _) => "Every row that was read is counted",
        (false, _) => "ROWS DO NOT BALANCE",
    };
    format!(
        "{sentence}: {} read = {}.",
        count(report.rows_read),
        parts.join(" + ")
    )
}
