//! `lake`: tables of the lakehouse.

use towpath_app::{LakeTable, lake_describe, lake_history, time_text};
use towpath_ports::PreparedStats;

use super::houses::{Ended, Place};
use crate::args::{Format, LakeCommand};
use crate::draw;
use crate::exit::Exit;

pub(super) async fn lake(place: &Place, command: LakeCommand) -> Ended {
    let (house, _) = place.open().await?;
    match command {
        LakeCommand::History {
            table,
            last,
            format,
        } => {
            let entries = lake_history(&house, &table, last).await?;
            if format == Format::Json {
                draw::json(
                    &serde_json::json!({ "version": 1, "table": table, "history": entries }),
                )?;
                return Ok(Exit::Done);
            }
            let names = [
                "VERSION", "WHEN", "WRITE", "RUN", "INSERTED", "UPDATED", "DELETED", "FILES",
            ]
            .map(str::to_owned);
            let rows: Vec<Vec<String>> = entries
                .iter()
                .map(|entry| {
                    let at = entry.at_ms.map(|ms| time_text(ms.saturating_mul(1000)));
                    let count = |of: fn(&PreparedStats) -> u64| {
                        let rows = entry.stats.as_ref().map(of);
                        rows.map(draw::count).unwrap_or_default()
                    };
                    vec![
                        entry.version.to_string(),
                        at.unwrap_or_default(),
                        entry
                            .write
                            .clone()
                            .unwrap_or_else(|| entry.operation.to_lowercase()),
                        entry.run.clone().unwrap_or_default(),
                        count(|stats| stats.inserted),
                        count(|stats| stats.updated),
                        count(|stats| stats.deleted),
                        format!("+{} -{}", entry.files_added, entry.files_removed),
                    ]
                })
                .collect();
            let right = [true, false, false, false, true, true, true, false];
            print!("{}", draw::text_table(&names, &rows, &right));
        }
        LakeCommand::Describe { table, format } => {
            let found = lake_describe(&house, &table).await?;
            match format {
                Format::Json => draw::json(&found)?,
                Format::Text => describe(&found),
            }
        }
    }
    Ok(Exit::Done)
}

fn describe(table: &LakeTable) {
    let rows = table.rows.map_or_else(String::new, |rows| {
        format!("{}, ", draw::plural(rows, "row"))
    });
    println!(
        "{}  version {}: {rows}{}, {}",
        table.table,
        table.table_version,
        draw::plural(table.files, "file"),
        draw::bytes(table.bytes)
    );
    println!("{}\n", table.location);
    let names = ["COLUMN", "TYPE", "AT THE SOURCE"].map(str::to_owned);
    let rows: Vec<Vec<String>> = table
        .columns
        .iter()
        .map(|column| {
            let source = [&column.source_name, &column.source_type];
            let source: Vec<&str> = source.into_iter().flatten().map(String::as_str).collect();
            vec![
                column.name.clone(),
                column.data_type.clone(),
                source.join(" "),
            ]
        })
        .collect();
    print!("{}", draw::text_table(&names, &rows, &[false; 3]));
}
