//! `quarantine ls`, `show`, `replay` and `discard`.
//!
//! Each subcommand calls one use case (`app/src/quarantine/mod.rs`) and prints its answer. Values that are
//! masked never reach this file.

use std::borrow::Cow;

use towpath_app::{
    RejectedRecord, quarantine_discard, quarantine_replay, quarantine_report, rejected_rows,
};
use towpath_vocab::{Failure, Remedy, TableName};

use super::project_args::{CommandResult, ProjectArgs};
use crate::args::{Format, QuarantineCommand, QuarantineShow};
use crate::draw;
use crate::exit::Exit;

pub(super) async fn quarantine(place: &ProjectArgs, command: QuarantineCommand) -> CommandResult {
    match command {
        QuarantineCommand::Ls(arguments) => list(place, arguments.format).await,
        QuarantineCommand::Show(arguments) => show(place, arguments).await,
        QuarantineCommand::Replay(arguments) => Box::pin(replay(place, &arguments.table)).await,
        QuarantineCommand::Discard(arguments) => discard(place, &arguments.table).await,
    }
}

async fn list(place: &ProjectArgs, format: Format) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let report = quarantine_report(&services, &plan).await?;
    if format == Format::Json {
        draw::json(&report)?;
        return Ok(Exit::Done);
    }
    let lines = report.tables;
    if lines.is_empty() {
        outln!("No row was ever rejected.");
    } else {
        let names = ["TABLE", "HELD", "REPLAYED", "DISCARDED", "OUTDATED"].map(str::to_owned);
        let numbers = |line: &towpath_app::QuarantineLine| {
            [line.held, line.replayed, line.discarded, line.outdated].map(draw::count)
        };
        let rows: Vec<Vec<String>> = lines
            .iter()
            .map(|line| [vec![line.table.clone()], numbers(line).to_vec()].concat())
            .collect();
        out!(
            "{}",
            draw::text_table(&names, &rows, &[false, true, true, true, true])
        );
    }
    Ok(Exit::Done)
}

async fn show(place: &ProjectArgs, arguments: QuarantineShow) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let found = rejected_rows(&services, &plan, &arguments.table, (0, arguments.limit)).await?;
    if arguments.format == Format::Json {
        draw::json(&found)?;
        return Ok(Exit::Done);
    }
    let (table, records) = (found.table, found.rows);
    let Some(all) = found.all else {
        outln!("No row of {table} was ever rejected.");
        return Ok(Exit::Done);
    };
    outln!(
        "{} of {table}, {} shown",
        draw::plural(all, "rejected record"),
        draw::count(records.len() as u64)
    );
    records.iter().for_each(one);
    Ok(Exit::Done)
}

/// The text of a value; between quotes where it could be taken for NULL or for another text.
fn shown(text: &str) -> Cow<'_, str> {
    let is_plain = text != "NULL" && !text.is_empty() && text.trim() == text;
    match is_plain && !text.starts_with('"') {
        true => text.into(),
        false => format!("\"{text}\"").into(),
    }
}

/// Prints one record: its location, its cells by name, and the reasons.
fn one(record: &RejectedRecord) {
    let line = record
        .line
        .map_or_else(String::new, |line| format!(":{line}"));
    outln!(
        "\n{}{line} · {} · {} · {}",
        record.object,
        record.status,
        record.run,
        record.rejected_at
    );
    let width = record.cells.iter().map(|cell| cell.column.chars().count());
    let width = width.max().unwrap_or(0);
    for cell in &record.cells {
        let sign = if cell.reasons.is_empty() { " " } else { "✗" };
        let value = cell.value.as_deref().map_or("NULL".into(), shown);
        let reasons = match cell.reasons.is_empty() {
            true => String::new(),
            false => format!("    {}", cell.reasons.join("; ")),
        };
        outln!("  {sign} {:width$}  {value}{reasons}", cell.column);
    }
    match (&record.record, record.cells.is_empty()) {
        (Some(text), true) => outln!("    {text}"),
        (None, true) => outln!("    (its text is encrypted or was not stored)"),
        (_, false) => {}
    }
    let about_cells: Vec<&String> = record.cells.iter().flat_map(|c| &c.reasons).collect();
    for reason in &record.reasons {
        if !about_cells.contains(&&reason.message) {
            outln!("  ✗ {}", reason.text());
        }
    }
}

async fn replay(place: &ProjectArgs, table_name: &str) -> CommandResult {
    let (services, plan) = place.open().await?;
    let table = table(table_name)?;
    let report = Box::pin(quarantine_replay(&services, &plan, &table)).await?;
    if let Some(failure) = report.stopped {
        draw::failure(&failure);
        return Ok(Exit::of(&failure));
    }
    let version = report.now_at.map_or_else(String::new, |version| {
        format!(" {table} is now at {version}.")
    });
    outln!(
        "{} replayed, {} still in the quarantine.{version}",
        draw::plural(report.replayed, "row"),
        draw::count(report.still_held)
    );
    if report.withheld > 0 {
        outln!(
            "{} not stored, because {table} has a masked column and the project has no `mask_key`: load {} again to replay them.",
            draw::plural(report.withheld, "record")
                + if report.withheld == 1 {
                    " was"
                } else {
                    " were"
                },
            table
        );
    }
    if report.outdated > 0 {
        outln!(
            "{} left out: {table} has a newer row with the same key.",
            draw::plural(report.outdated, "record")
        );
    }
    Ok(Exit::Done)
}

async fn discard(place: &ProjectArgs, table_name: &str) -> CommandResult {
    let (services, plan) = place.open().await?;
    let table = table(table_name)?;
    let given_up = quarantine_discard(&services, &plan, &table).await?;
    outln!(
        "{} of {table} discarded. They stay in the quarantine table, but are never replayed.",
        draw::plural(given_up, "row")
    );
    Ok(Exit::Done)
}

fn table(text: &str) -> Result<TableName, Failure> {
    text.parse()
        .map_err(|error| Failure::new("R0996", Remedy::FixConfig, format!("{error}")))
}
