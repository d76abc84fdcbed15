//! `lake`: history, description, verification, restore, compaction, vacuum and drop of lakehouse tables.
//!
//! Promise: each subcommand calls one use case (`app/src/lake.rs`, `app/src/lake_maintenance.rs`) and prints
//! its answer as text or JSON. It does not open tables itself. Read next: `args/outside.rs`.

use std::sync::Arc;
use std::time::Duration;

use towpath_app::{
    LakeTable, LakeVerified, LakeVerifiedTable, ProjectServices, VacuumRequest, lake_compact,
    lake_describe, lake_drop, lake_restore, lake_vacuum, lake_verify, table_versions, time_text,
};
use towpath_ports::PreparedStats;

use super::project_args::{CommandResult, ProjectArgs};
use crate::args::{Format, LakeCommand};
use crate::draw;
use crate::exit::Exit;

pub(super) async fn lake(place: &ProjectArgs, command: LakeCommand) -> CommandResult {
    let only_reads = matches!(
        command,
        LakeCommand::History { .. } | LakeCommand::Describe { .. } | LakeCommand::Verify { .. }
    );
    let (services, _) = match only_reads {
        true => place.open_to_read().await?,
        false => place.open().await?,
    };
    match command {
        LakeCommand::History {
            table,
            last,
            format,
        } => history(&services, &table, last, format).await,
        LakeCommand::Describe { table, format } => {
            let found = lake_describe(&services, &table).await?;
            show(format, &found, describe)
        }
        LakeCommand::Verify {
            tables,
            all_versions,
            format,
        } => {
            let found = lake_verify(&services, &tables, all_versions).await?;
            show(format, &found, verified)?;
            Ok(match found.whole {
                true => Exit::Done,
                false => Exit::StoppedByData,
            })
        }
        LakeCommand::Restore { table, to, format } => restore(&services, &table, &to, format).await,
        LakeCommand::Compact { table, format } => compact(&services, &table, format).await,
        LakeCommand::Vacuum {
            table,
            older_than,
            dry_run,
            force,
            format,
        } => {
            let request = VacuumRequest {
                older_than,
                force,
                dry_run,
            };
            vacuum(&services, &table, request, format).await
        }
        LakeCommand::Drop { table, yes, format } => {
            drop_table(&services, &table, yes, format).await
        }
    }
}

fn show<T: serde::Serialize>(format: Format, found: &T, text: impl FnOnce(&T)) -> CommandResult {
    match format {
        Format::Json => draw::json(found)?,
        Format::Text => text(found),
    }
    Ok(Exit::Done)
}

async fn history(
    services: &Arc<ProjectServices>,
    table: &str,
    last: usize,
    format: Format,
) -> CommandResult {
    let found = table_versions(services, table, last).await?;
    if format == Format::Json {
        draw::json(&found)?;
        return Ok(Exit::Done);
    }
    let entries = found.history;
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
    out!("{}", draw::text_table(&names, &rows, &right));
    Ok(Exit::Done)
}

async fn restore(
    services: &Arc<ProjectServices>,
    table: &str,
    to: &str,
    format: Format,
) -> CommandResult {
    let done = lake_restore(services, table, to).await?;
    show(format, &done, |done| {
        let rows = done.rows.map_or_else(String::new, |rows| {
            format!(": {}", draw::plural(rows, "row"))
        });
        outln!(
            "{} is restored to version {}{rows}; the new version is {}.",
            done.table,
            done.restored,
            done.table_version
        );
        for task in &done.tasks {
            outln!("The next run of {task} continues from there.");
        }
        if done.held_again > 0 {
            outln!(
                "{} back in the quarantine, because the restore undid their replay: towpath quarantine show {}",
                draw::plural(done.held_again, "quarantined row"),
                done.table
            );
        }
    })
}

async fn compact(services: &Arc<ProjectServices>, table: &str, format: Format) -> CommandResult {
    let done = lake_compact(services, table).await?;
    show(format, &done, |done| match done.table_version {
        None => outln!("{} has no small files to combine.", done.table),
        Some(version) => outln!(
            "{} became {}, {} became {}; this is version {version} of {}.",
            draw::plural(done.files_before, "file"),
            done.files_after,
            draw::bytes(done.bytes_before),
            draw::bytes(done.bytes_after),
            done.table
        ),
    })
}

async fn vacuum(
    services: &Arc<ProjectServices>,
    table: &str,
    request: VacuumRequest,
    format: Format,
) -> CommandResult {
    let done = lake_vacuum(services, table, request).await?;
    show(format, &done, |done| {
        let files = draw::plural(done.files.len() as u64, "file");
        let age = age(request.older_than);
        if done.files.is_empty() {
            outln!(
                "{} has no unneeded files that are older than {age}.",
                done.table
            );
        } else if done.dry_run {
            for file in &done.files {
                outln!("{file}");
            }
            outln!("{files}, {}, would be deleted.", draw::bytes(done.bytes));
        } else {
            outln!("{files}, {}, deleted.", draw::bytes(done.bytes));
        }
    })
}

async fn drop_table(
    services: &Arc<ProjectServices>,
    table: &str,
    yes: bool,
    format: Format,
) -> CommandResult {
    let done = lake_drop(services, table, yes).await?;
    show(format, &done, |done| {
        outln!(
            "{} was deleted, with {}.",
            done.table,
            draw::plural(done.versions, "version")
        );
    })
}

/// Formats an age in the largest unit that gives an integer.
fn age(of: Duration) -> String {
    let seconds = of.as_secs();
    match seconds {
        0 => "0 s".to_owned(),
        days if days.is_multiple_of(86_400) => draw::plural(days / 86_400, "day"),
        hours if hours.is_multiple_of(3600) => draw::plural(hours / 3600, "hour"),
        minutes if minutes.is_multiple_of(60) => draw::plural(minutes / 60, "minute"),
        _ => format!("{seconds} s"),
    }
}

fn describe(table: &LakeTable) {
    let rows = table.rows.map_or_else(String::new, |rows| {
        format!("{}, ", draw::plural(rows, "row"))
    });
    outln!(
        "{}  version {}: {rows}{}, {}",
        table.table,
        table.table_version,
        draw::plural(table.files, "file"),
        draw::bytes(table.bytes)
    );
    outln!("{}\n", table.location);
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
    out!("{}", draw::text_table(&names, &rows, &[false; 3]));
}

fn verified(found: &LakeVerified) {
    if found.tables.is_empty() {
        outln!("The lakehouse has no tables.");
    }
    for table in &found.tables {
        outln!("{}", verified_table(table));
        for damage in &table.damaged {
            if let Some(file) = &damage.file {
                outln!("  {file}");
            }
            outln!("    {}{}", damage.why, versions(&damage.versions));
        }
        for help in &table.help {
            outln!("  help: {help}");
        }
    }
}

fn verified_table(table: &LakeVerifiedTable) -> String {
    let Some(version) = table.table_version else {
        return format!("{}  cannot be read", table.table);
    };
    let versions = match table.oldest_version {
        Some(oldest) if oldest < version => format!("versions {oldest} to {version}"),
        _ => format!("version {version}"),
    };
    let mut parts = vec![draw::plural(table.files, "file"), draw::bytes(table.bytes)];
    if table.without_checksums > 0 {
        parts.push(format!(
            "{} without checksums (decoded)",
            draw::count(table.without_checksums)
        ));
    }
    if table.deleted > 0 {
        parts.push(format!(
            "{} of older versions deleted by `lake vacuum`",
            draw::count(table.deleted)
        ));
    }
    let result = match table.damaged.len() as u64 {
        0 => "no damage".to_owned(),
        damaged => format!("{} damaged or missing", draw::plural(damaged, "file")),
    };
    format!(
        "{}  {versions}: {}: {result}",
        table.table,
        parts.join(", ")
    )
}

fn versions(series: &[(u64, u64)]) -> String {
    if series.is_empty() {
        return String::new();
    }
    let named: Vec<String> = series
        .iter()
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first} to {last}"),
        })
        .collect();
    let word = match series {
        [(first, last)] if first == last => "version",
        _ => "versions",
    };
    format!("; in {word} {}", named.join(", "))
}
