//! `quarantine ls/show/replay/discard`.

use futures::TryStreamExt;
use towpath_app::{
    QueryRequest, known_table, quarantine_discard, quarantine_list, quarantine_query,
    quarantine_replay, query as ask,
};
use towpath_vocab::{Failure, Remedy, TableName};

use super::project_args::{CommandResult, ProjectArgs};
use crate::args::{Format, QuarantineCommand, QuarantineShow, RowFormat};
use crate::draw::{self, RowPrinter, json_rows};
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
    let (services, plan) = place.open().await?;
    let lines = quarantine_list(&services, &plan).await?;
    if format == Format::Json {
        draw::json(&serde_json::json!({ "version": 1, "tables": lines }))?;
    } else if lines.is_empty() {
        say!("No row was ever set aside.");
    } else {
        let names = ["TABLE", "HELD", "REPLAYED", "DISCARDED", "OUTDATED"].map(str::to_owned);
        let numbers = |line: &towpath_app::QuarantineLine| {
            [line.held, line.replayed, line.discarded, line.outdated].map(draw::count)
        };
        let rows: Vec<Vec<String>> = lines
            .iter()
            .map(|line| [vec![line.table.clone()], numbers(line).to_vec()].concat())
            .collect();
        put!(
            "{}",
            draw::text_table(&names, &rows, &[false, true, true, true, true])
        );
    }
    Ok(Exit::Done)
}

async fn show(place: &ProjectArgs, arguments: QuarantineShow) -> CommandResult {
    let (services, plan) = place.open().await?;
    let table = known_table(&services, &plan, &arguments.table).await?;
    let known = quarantine_list(&services, &plan).await?;
    let is_known = known.iter().any(|line| line.table == table.to_string());
    if !is_known {
        return match arguments.format {
            Format::Json => shown(&table, Vec::new()),
            Format::Text => {
                say!("No row of {table} was ever set aside.");
                Ok(Exit::Done)
            }
        };
    }
    let mut result = ask(
        &services,
        &QueryRequest {
            sql: quarantine_query(&table, arguments.limit),
        },
    )
    .await?;
    if arguments.format == Format::Json {
        let mut rows = Vec::new();
        while let Some(batch) = result.batches.try_next().await? {
            rows.extend(json_rows(&batch)?);
        }
        return shown(&table, rows);
    }
    let mut printer = RowPrinter::new(RowFormat::Table, &result.schema);
    while let Some(batch) = result.batches.try_next().await? {
        printer.print(&batch)?;
    }
    printer.finish()?;
    Ok(Exit::Done)
}

/// The rows set aside as JSON, however many; reasons as what they are, not as text.
fn shown(table: &TableName, mut rows: Vec<serde_json::Value>) -> CommandResult {
    for row in &mut rows {
        let reasons = row["reasons"].as_str().map(serde_json::from_str);
        if let Some(Ok(reasons)) = reasons {
            row["reasons"] = reasons;
        }
    }
    draw::json(&serde_json::json!({ "version": 1, "table": table, "rows": rows }))?;
    Ok(Exit::Done)
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
    say!(
        "{} replayed, {} still held.{version}",
        draw::plural(report.replayed, "row"),
        draw::count(report.still_held)
    );
    if report.outdated > 0 {
        say!(
            "{} left out: {table} holds a newer row of the same key.",
            draw::plural(report.outdated, "record")
        );
    }
    Ok(Exit::Done)
}

async fn discard(place: &ProjectArgs, table_name: &str) -> CommandResult {
    let (services, plan) = place.open().await?;
    let table = table(table_name)?;
    let given_up = quarantine_discard(&services, &plan, &table).await?;
    say!(
        "{} of {table} discarded. They stay in the quarantine table for the record.",
        draw::plural(given_up, "row")
    );
    Ok(Exit::Done)
}

fn table(text: &str) -> Result<TableName, Failure> {
    text.parse()
        .map_err(|error| Failure::new("R0996", Remedy::FixConfig, format!("{error}")))
}
