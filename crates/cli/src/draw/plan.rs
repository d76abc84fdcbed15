//! Prints a plan: one line per task, with what a run would do and why.
//!
//! Promise: it only formats; the forecast comes from `app/src/plan.rs`. `plan --explain TABLE` prints
//! each setting with its file and line.

use std::collections::BTreeMap;

use towpath_app::{CheckReport, Forecast, PlannedEffect, TaskSelection};
use towpath_vocab::passwords::without_passwords;
use towpath_vocab::{
    AbsentRows, Action, AuditColumns, LoadPlan, Materialized, PipelineName, Plan, PlannedTask,
    ReadMode, RowHistoryPlan, Selection, SqlPlan, TablePlan, TaskId, WriteMode,
};

use super::numbers::plural;
use super::rows::text_table;

/// So much of a statement is shown, in characters.
const SHOWN_SQL: usize = 60;

/// The forecasts, by pipeline and task.
type Forecasts = BTreeMap<PipelineName, BTreeMap<TaskId, Forecast>>;

/// Prints what the pipelines would do.
pub(crate) fn plan(plan: &Plan, choice: &TaskSelection, forecasts: &Forecasts) {
    for pipeline in &plan.pipelines {
        outln!("{} · {} · {}\n", pipeline.name, plan.name, plan.environment);
        let names = ["TASK", "WILL", "BECAUSE"].map(str::to_owned);
        let rows: Vec<Vec<String>> = pipeline
            .tasks
            .iter()
            .map(|task| {
                let forecast = forecasts
                    .get(&pipeline.name)
                    .and_then(|of| of.get(&task.id));
                let will = match forecast.map(|forecast| forecast.effect) {
                    Some(PlannedEffect::Nothing) if is_done(&task.action) => "nothing".to_owned(),
                    _ => will(&task.action),
                };
                vec![task.id.to_string(), will, because(task, forecast)]
            })
            .collect();
        out!("{}", text_table(&names, &rows, &[]));
        outln!(
            "\n{}. Nothing was changed.",
            plural(pipeline.tasks.len() as u64, "task")
        );
        outln!("To run it: towpath run {}{}", pipeline.name, words(choice));
    }
}

/// The selection, as it is typed.
fn words(choice: &TaskSelection) -> String {
    let mut typed = String::new();
    for (option, all) in [("--select", &choice.select), ("--exclude", &choice.exclude)] {
        if !all.is_empty() {
            typed.push_str(&format!(" {option} '{}'", all.join(" ")));
        }
    }
    typed
}

/// `plan --explain TABLE`: each setting with its file and line.
pub(crate) fn settings(report: &CheckReport, table: &str) {
    let rows: Vec<Vec<String>> = report
        .explain
        .iter()
        .filter(|setting| setting.table == table)
        .map(|setting| {
            vec![
                setting.key.clone(),
                setting.value.to_string(),
                format!("{}:{}", setting.file, setting.line),
            ]
        })
        .collect();
    match rows.is_empty() {
        true => outln!("`{table}` has no settings of its own: all are defaults."),
        false => out!(
            "{}",
            text_table(&["SETTING", "VALUE", "FROM"].map(str::to_owned), &rows, &[])
        ),
    }
}

fn will(action: &Action) -> String {
    match action {
        Action::Load(load) => {
            let what = match &load.selection {
                Selection::Object(object) => object.clone(),
                Selection::Query(_) => "a query".to_owned(),
            };
            let read = match load.read {
                ReadMode::Full => "read all of",
                ReadMode::Incremental => "read what is new in",
                ReadMode::Cdc => "follow changes of",
            };
            format!(
                "{read} {}:{what}, {}",
                load.connection.name,
                write(&load.table)
            ) + repeats(load)
        }
        Action::Model(model) => match model.materialized {
            Materialized::View => format!("store {} as a view", model.file),
            _ => format!("build {}, {}", model.file, write(&model.table)),
        },
        Action::Command(command) => format!("run {}", command.argv.join(" ")),
        Action::Sql(sql) if !sql.connection.writable => {
            format!("skip: {} is read-only", sql.connection.name)
        }
        Action::Sql(sql) => statements(sql),
        Action::Http(http) => format!("send {} {}", http.method, without_passwords(&http.url)),
        Action::Publish(publish) if !publish.connection.writable => {
            format!("skip: {} is read-only", publish.connection.name)
        }
        Action::Publish(publish) => {
            let how = match publish.table.write.mode {
                WriteMode::Merge => "; sends only what changed",
                _ => "",
            };
            format!(
                "send {} to {}:{}, {}{how}",
                publish.from,
                publish.connection.name,
                publish.object,
                write(&publish.table)
            )
        }
    }
}

/// A note about rows that an append may write twice.
fn repeats(load: &LoadPlan) -> &'static str {
    match (load.table.write.mode, load.read) {
        (WriteMode::Append, ReadMode::Full) => " (all of it again whenever the source changes)",
        (WriteMode::Append, _) => " (late rows may repeat)",
        _ => "",
    }
}

fn write(table: &TablePlan) -> String {
    let key = table.write.key.join(", ");
    match table.write.mode {
        WriteMode::Replace => format!("replace {}", table.target),
        WriteMode::Append => format!("append to {}", table.target),
        WriteMode::Merge => {
            let gone = match AbsentRows::of(&table.write) {
                Some(AbsentRows::Delete) => ", delete rows that are gone",
                Some(AbsentRows::Mark { .. }) => ", mark rows that are gone",
                None => "",
            };
            let before = match AuditColumns::of(&table.write).map(|own| own.previous) {
                Some(tracked) if !tracked.is_empty() => {
                    format!(", keep the values before of {}", tracked.join(", "))
                }
                _ => String::new(),
            };
            format!("merge into {} by {key}{before}{gone}", table.target)
        }
        WriteMode::DeleteInsert => format!("delete and insert in {} by {key}", table.target),
        WriteMode::InsertOnly => format!("insert new keys ({key}) into {}", table.target),
        WriteMode::Scd2 => {
            let closes = RowHistoryPlan::of(&table.write).is_some_and(|plan| plan.closes_absent);
            let gone = if closes {
                ", close rows that are gone"
            } else {
                ""
            };
            format!("keep versions by {key} in {}{gone}", table.target)
        }
        WriteMode::Snapshot => format!("add a snapshot of all rows to {}", table.target),
        WriteMode::Scd1 | WriteMode::Scd3 => {
            format!(
                "keep history in {}: not supported in this version",
                table.target
            )
        }
    }
}

/// False for an action that is skipped anyway.
fn is_done(action: &Action) -> bool {
    match action {
        Action::Publish(publish) => publish.connection.writable,
        Action::Sql(sql) => sql.connection.writable,
        _ => true,
    }
}

/// The reason of a forecast, and the position of the task in the project.
fn because(task: &PlannedTask, forecast: Option<&Forecast>) -> String {
    let place = task
        .span
        .as_ref()
        .map_or_else(String::new, |span| format!("{}:{}", span.file, span.line));
    match forecast {
        Some(forecast) => format!("{} · {place}", forecast.because),
        None => place,
    }
}

/// The first statement in one line, and how many follow.
fn statements(sql: &SqlPlan) -> String {
    let first = sql.statements.first().map_or("", String::as_str);
    let line = first.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = without_passwords(&line);
    let mut shown: String = line.chars().take(SHOWN_SQL).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    let more = match sql.statements.len() {
        0 | 1 => String::new(),
        all => format!("; and {} more", all - 1),
    };
    format!("run in {}: {shown}{more}", sql.connection.name)
}
