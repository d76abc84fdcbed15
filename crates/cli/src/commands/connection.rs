//! `connection`: lists, tests and discovers the connections of a project.
//!
//! Each subcommand calls one use case (`app/src/external_systems.rs`) and prints its answer. Only `test` and
//! `discover` contact a system.

use towpath_app::{
    ConnectionTest, DiscoverReport, DiscoverRequest, ProposalReport, ProposeRequest, TableLine,
    connection_test, connection_types, connections, connector_facts, discover, propose,
};
use towpath_vocab::passwords::without_passwords;

use super::project_args::{CommandResult, ProjectArgs};
use crate::args::{ConnectionCommand, Format};
use crate::draw;
use crate::exit::Exit;

pub(super) async fn connection(place: &ProjectArgs, command: ConnectionCommand) -> CommandResult {
    match command {
        ConnectionCommand::Ls(of) => ls(place, of.format),
        ConnectionCommand::Types(of) => types(of.format),
        ConnectionCommand::Test { name, format } => {
            let report = connection_test(&place.dir()?, place.env.as_deref(), &name).await?;
            match format {
                Format::Json => draw::json(&report)?,
                Format::Text => say_test(&report),
            }
            Ok(Exit::Done)
        }
        ConnectionCommand::Discover {
            name,
            path: Some(path),
            format,
            ..
        } => {
            let request = ProposeRequest {
                dir: place.dir()?,
                environment: place.env.clone(),
                connection: name,
                path,
            };
            let report = propose(&request).await?;
            match format {
                Format::Json => draw::json(&report)?,
                Format::Text => say_proposed(&report),
            }
            Ok(Exit::Done)
        }
        ConnectionCommand::Discover {
            name,
            pattern,
            write,
            format,
            path: None,
        } => {
            let request = DiscoverRequest {
                dir: place.dir()?,
                environment: place.env.clone(),
                connection: name,
                pattern,
                write,
            };
            let report = discover(&request).await?;
            match format {
                Format::Json => draw::json(&report)?,
                Format::Text => say_discovered(&report),
            }
            Ok(Exit::Done)
        }
    }
}

fn ls(place: &ProjectArgs, format: Format) -> CommandResult {
    let lines = connections(&place.dir()?, place.env.as_deref())?;
    if format == Format::Json {
        draw::json(&serde_json::json!({ "version": 1, "connections": lines }))?;
        return Ok(Exit::Done);
    }
    if lines.is_empty() {
        outln!("The project has no connection. Declare one under `connections` in towpath.yml.");
        outln!("To list the connection types: towpath connection types");
        return Ok(Exit::Done);
    }
    let names = ["CONNECTION", "TYPE", "WRITABLE", "KNOWN", "DECLARED AT"].map(str::to_owned);
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            let known = match (line.known_tables, line.seen.get(..10)) {
                (0, _) => "-".to_owned(),
                (tables, Some(day)) => {
                    format!("{}, seen {day}", draw::plural(tables as u64, "table"))
                }
                (tables, None) => draw::plural(tables as u64, "table"),
            };
            vec![
                line.name.clone(),
                without_passwords(&line.kind).into_owned(),
                if line.writable { "yes" } else { "no" }.to_owned(),
                known,
                line.place.clone(),
            ]
        })
        .collect();
    out!("{}", draw::text_table(&names, &rows, &[false; 5]));
    Ok(Exit::Done)
}

fn types(format: Format) -> CommandResult {
    let specs = connection_types();
    if format == Format::Json {
        draw::json(&serde_json::json!({ "version": 1, "types": specs }))?;
        return Ok(Exit::Done);
    }
    for spec in &specs {
        outln!("{}\n  {}", spec.kind, spec.doc);
        for (name, fact) in connector_facts(spec) {
            outln!("  {name}: {}", fact.replace('`', ""));
        }
        outln!();
    }
    outln!("All options: towpath connection types --format json");
    Ok(Exit::Done)
}

fn say_test(report: &ConnectionTest) {
    outln!("✓ {}: {}", report.connection, report.system);
    for note in &report.notes {
        outln!("  {note}");
    }
}

fn say_proposed(report: &ProposalReport) {
    outln!("For `tables` of connection `{}`:\n", report.connection);
    outln!("{}", report.block);
    outln!("For `tables` of a pipeline:\n");
    outln!("{}", report.load);
    for note in &report.notes {
        outln!("ⓘ {note}");
    }
}

fn say_discovered(report: &DiscoverReport) {
    for table in &report.tables {
        say_table(table);
    }
    for (table, failure) in &report.failed {
        outln!("{table}\n  ⚠ not read: {}", failure.message);
        for help in &failure.help {
            outln!("    {help}");
        }
    }
    for table in &report.gone {
        outln!("{table}\n  no longer there");
    }
    let tables = draw::plural(report.tables.len() as u64, "table");
    match &report.written {
        Some(path) => {
            outln!(
                "\nWrote {path}: {tables}. Commit the file; `towpath check` now knows these columns."
            )
        }
        None => outln!(
            "\n{tables}. To make them known to `towpath check`: towpath connection discover {} --write",
            report.connection
        ),
    }
}

fn say_table(table: &TableLine) {
    let rows = table.rows.map_or_else(String::new, |rows| {
        format!(", about {} rows", draw::count(rows))
    });
    let columns = draw::plural(table.columns.len() as u64, "column");
    outln!("{}  ({columns}{rows})", table.table);
    let names: Vec<String> = table
        .columns
        .iter()
        .map(|column| match &column.source_type {
            Some(source) => format!("{} {} ({source})", column.name, column.data_type),
            None => format!("{} {}", column.name, column.data_type),
        })
        .collect();
    outln!("  {}", names.join(", "));
    match (table.key.is_empty(), &table.cursor) {
        (true, None) => {}
        (false, None) => outln!("  key: {}", table.key.join(", ")),
        (true, Some(cursor)) => outln!("  likely cursor: {cursor}"),
        (false, Some(cursor)) => {
            outln!("  key: {}   likely cursor: {cursor}", table.key.join(", "))
        }
    }
    for note in &table.notes {
        outln!("  ⓘ {note}");
    }
}
