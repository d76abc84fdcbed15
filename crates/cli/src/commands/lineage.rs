//! `lineage`: prints column lineage as text, as a Mermaid flow chart, or as JSON.
//!
//! It only formats; the edges come from `app/src/lineage.rs`.

use std::collections::BTreeSet;

use towpath_app::{Direction, LineageReport, influence_word, lineage as follow};
use towpath_vocab::{ColumnEdge, ColumnRef};

use super::project_args::{CommandResult, ProjectArgs};
use crate::args::{LineageArguments, LineageFormat};
use crate::draw;
use crate::exit::Exit;

pub(super) async fn lineage(place: &ProjectArgs, arguments: LineageArguments) -> CommandResult {
    let (services, plan) = place.open_to_read().await?;
    let direction = if arguments.down {
        Direction::Down
    } else {
        Direction::Up
    };
    let report = follow(&services, &plan, &arguments.subject, direction).await?;
    match arguments.format {
        LineageFormat::Json => draw::json(&report)?,
        LineageFormat::Mermaid => mermaid(&report),
        LineageFormat::Text => text(&report, direction),
    }
    Ok(Exit::Done)
}

const DECIDES: &str = "\nNot in the value, but deciding which rows or which value:";

fn text(report: &LineageReport, direction: Direction) {
    outln!("{}", report.subject);
    let others = match direction {
        Direction::Up => {
            for (column, origins) in &report.origins {
                outln!("  {column} ← {}", origins.join(", "));
            }
            if !report.influences.is_empty() {
                outln!("{DECIDES}");
            }
            for (column, causes) in &report.influences {
                let name = if column.is_empty() { "rows" } else { column };
                outln!("  {name} ← {}", causes.join(", "));
            }
            "Tables in between"
        }
        Direction::Down => {
            let passes: BTreeSet<String> = report.passes.iter().map(arrow).collect();
            passes.iter().for_each(|line| outln!("{line}"));
            if !report.decides.is_empty() {
                outln!("{DECIDES}");
            }
            let decides: BTreeSet<String> = report
                .decides
                .iter()
                .map(|edge| format!("{} ({})", arrow(edge), influence_word(edge.influence)))
                .collect();
            decides.iter().for_each(|line| outln!("{line}"));
            "Tables that depend on it"
        }
    };
    let listed = match report.others.is_empty() {
        true => "none".to_owned(),
        false => report.others.join(", "),
    };
    outln!("\n{others}: {listed}");
    if report.partial {
        outln!("A statement could not be analysed completely: there may be more columns.");
    }
}

fn arrow(edge: &ColumnEdge) -> String {
    format!("  {} → {}", named(&edge.from), named(&edge.to))
}

/// A column with its table; only the table name if its rows are meant.
fn named(column: &ColumnRef) -> String {
    match column.column.is_empty() {
        true => format!("{} (rows)", column.table),
        false => format!("{}.{}", column.table, column.column),
    }
}

/// Tables as nodes, one arrow per pair of tables.
fn mermaid(report: &LineageReport) {
    let pairs: BTreeSet<(&str, &str)> = report
        .edges
        .iter()
        .map(|edge| (edge.from.table.as_str(), edge.to.table.as_str()))
        .collect();
    outln!("flowchart LR");
    for (index, table) in report.tables.iter().enumerate() {
        outln!("  t{index}[\"{}\"]", table.replace('"', "#quot;"));
    }
    let id = |table: &str| {
        report
            .tables
            .iter()
            .position(|t| t == table)
            .unwrap_or_default()
    };
    for (from, to) in pairs {
        outln!("  t{} --> t{}", id(from), id(to));
    }
}
