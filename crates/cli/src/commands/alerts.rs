//! `alerts`: who gets alerts about runs, a test message, and what waits without a server.
//!
//! Promise: it calls `app/src/alerts/uses.rs` and prints what it returns as text or JSON. Read next:
//! `serve.rs`, which sends alerts by itself.

use towpath_app::{alert_test, alerts, send_alerts};
use towpath_vocab::AlertCondition;

use super::project_args::{CommandResult, ProjectArgs};
use crate::args::{AlertsCommand, Format};
use crate::exit::Exit;
use crate::{draw, terminal};

pub(super) async fn run(place: &ProjectArgs, command: AlertsCommand) -> CommandResult {
    match command {
        AlertsCommand::Ls(format) => list(place, format.format).await,
        AlertsCommand::Test { connection, format } => test(place, &connection, format).await,
        AlertsCommand::Send(format) => send(place, format.format).await,
    }
}

async fn list(place: &ProjectArgs, format: Format) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let report = alerts(&services, &plan).await?;
    if format == Format::Json {
        draw::json(&report)?;
        return Ok(Exit::Done);
    }
    if report.channels.is_empty() {
        outln!(
            "No pipeline sends alerts. Add to one, or to `defaults`: alerts: {{ failed: CONNECTION }}"
        );
        return Ok(Exit::Done);
    }
    let rows = report.channels.iter().map(|line| {
        let conditions: Vec<&str> = line
            .conditions
            .iter()
            .map(|one| AlertCondition::word(*one))
            .collect();
        vec![
            line.channel.clone(),
            line.kind.clone(),
            line.pipeline.clone(),
            conditions.join(", "),
            line.waiting.to_string(),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let names = ["CHANNEL", "TYPE", "PIPELINE", "ALERTS", "WAITING"].map(str::to_owned);
    let right = [false, false, false, false, true];
    out!("{}", draw::text_table(&names, &rows, &right));
    Ok(Exit::Done)
}

async fn test(place: &ProjectArgs, connection: &str, format: Format) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let alert = alert_test(&services, &plan, connection).await?;
    if format == Format::Json {
        draw::json(&serde_json::json!({ "version": 1, "alert": alert }))?;
    } else {
        outln!("✓ {connection} took the message: {}", alert.title);
    }
    Ok(Exit::Done)
}

async fn send(place: &ProjectArgs, format: Format) -> CommandResult {
    let (services, plan) = place.open().await?;
    let report = send_alerts(&services, &plan).await?;
    let exit = report.failed.first().map_or(Exit::Done, Exit::of);
    if format == Format::Json {
        draw::json(&report)?;
        return Ok(exit);
    }
    for one in &report.sent {
        outln!("✓ {}: {}", one.channel, one.alert.title);
    }
    if report.another_sends {
        outln!("Another process sends the alerts of this environment.");
    } else if report.sent.is_empty() && report.failed.is_empty() && !terminal::is_quiet() {
        outln!("No alert waits.");
    }
    report.failed.iter().for_each(draw::failure);
    Ok(exit)
}
