//! Pages about tables: the lakehouse, the versions of a table, results of checks, rejected rows.
//!
//! Promise: a page looks only at the tables that it shows. Read next: `pages.rs` (what a page is), `lake.rs`,
//! `quarantine/mod.rs`.

use serde::Serialize;
use towpath_flow::QUARANTINE_SCHEMA;
use towpath_vocab::{CheckOutcome, Plan, TableName};

use crate::Result;
use crate::lake::existing;
use crate::lists::{QuarantineReport, RejectedRows, TableVersions, rejected_rows};
use crate::names::known_table;
use crate::pages::PageRequest;
use crate::quarantine::{quarantine_count, quarantine_tables};
use crate::run_history::QualityLine;
use crate::services::ProjectServices;

/// The results of checks that are read at once.
const CHECKS: u64 = 50;

/// A page of the tables with rejected rows.
///
/// # Errors
/// Those of the lakehouse.
pub async fn quarantine_page(
    services: &ProjectServices,
    plan: &Plan,
    page: &PageRequest,
) -> Result<QuarantineReport> {
    let mut all = quarantine_tables(services).await?;
    all.sort_by(|a, b| a.table().cmp(b.table()));
    let (chosen, next) = page.of(
        all,
        |one, cursor| one.table() > cursor,
        |one| one.table().to_owned(),
    );
    let mut tables = Vec::with_capacity(chosen.len());
    for quarantine in &chosen {
        tables.push(quarantine_count(services, plan, quarantine).await?);
    }
    Ok(QuarantineReport {
        version: 1,
        tables,
        next,
    })
}

/// A page of the rejected rows of a table, newest first.
///
/// # Errors
/// Those of `rejected_rows`, R1131 for a wrong cursor.
pub async fn rejected_rows_page(
    services: &ProjectServices,
    plan: &Plan,
    table: &str,
    page: &PageRequest,
) -> Result<RejectedRows> {
    let skip = page.number()?.unwrap_or(0);
    rejected_rows(services, plan, table, (skip, page.limit)).await
}

/// A page of the versions of a table, newest first.
///
/// # Errors
/// R0928 when there is no such table, R1131 for a wrong cursor.
pub async fn table_versions_page(
    services: &ProjectServices,
    table: &str,
    page: &PageRequest,
) -> Result<TableVersions> {
    let name = existing(services, table).await?;
    let below = page.number()?.unwrap_or(u64::MAX);
    let most = page.most().saturating_add(1);
    let mut history = services.lake.history_below(&name, below, most).await?;
    let has_more = history.len() > page.most();
    history.truncate(page.most());
    let next = history.last().filter(|_| has_more);
    Ok(TableVersions {
        version: 1,
        table: table.to_owned(),
        next: next.map(|last| last.version.to_string()),
        history,
    })
}

/// The tables of the lakehouse.
#[derive(Debug, Serialize)]
pub struct LakeTables {
    /// Version of this form; 1.
    pub version: u32,
    /// The tables, by name.
    pub tables: Vec<LakeTableLine>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A table or a view of the lakehouse.
#[derive(Debug, Serialize)]
pub struct LakeTableLine {
    /// Its name.
    pub table: String,
    /// True for a view, which has no rows of its own.
    pub is_view: bool,
    /// The version that readers see.
    pub table_version: u64,
    /// When that was committed, in milliseconds since 1970 UTC.
    pub at_ms: Option<i64>,
    /// The run that committed it.
    pub run: Option<String>,
    /// The number of columns.
    pub columns: Option<usize>,
    /// The number of rows, if the files have it.
    pub rows: Option<u64>,
    /// Files.
    pub files: Option<u64>,
    /// Their size.
    pub bytes: Option<u64>,
    /// The results of its checks in the newest run that had any, counted.
    pub checks: CheckCounts,
}

/// Results of checks, counted.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct CheckCounts {
    /// Checks that passed.
    pub passed: u64,
    /// Checks that only warn, and do.
    pub warned: u64,
    /// Checks that failed.
    pub failed: u64,
}

/// A page of the tables and views of the lakehouse.
///
/// # Errors
/// Those of the lakehouse and the state store.
pub async fn lake_tables_page(
    services: &ProjectServices,
    plan: &Plan,
    page: &PageRequest,
) -> Result<LakeTables> {
    let all = services.lake.tables().await?;
    // Rejected rows have a list of their own.
    let mut all: Vec<(String, TableName)> = all
        .into_iter()
        .filter(|name| name.schema() != QUARANTINE_SCHEMA)
        .map(|name| (name.to_string(), name))
        .collect();
    all.sort();
    let (chosen, next) = page.of(
        all,
        |(name, _), cursor| name.as_str() > cursor,
        |(name, _)| name.clone(),
    );
    let mut tables = Vec::with_capacity(chosen.len());
    for (_, name) in chosen {
        tables.extend(table_line(services, plan, &name).await?);
    }
    Ok(LakeTables {
        version: 1,
        tables,
        next,
    })
}

/// Nothing for a table that was dropped meanwhile.
async fn table_line(
    services: &ProjectServices,
    plan: &Plan,
    name: &TableName,
) -> Result<Option<LakeTableLine>> {
    let checks = check_counts(services, plan, name).await?;
    if services.lake.version(name).await?.is_some() {
        let found = services.lake.describe(name).await?;
        let newest = services.lake.history(name, 1).await?.into_iter().next();
        return Ok(Some(LakeTableLine {
            table: name.to_string(),
            is_view: false,
            table_version: found.version,
            at_ms: newest.as_ref().and_then(|newest| newest.at_ms),
            run: newest.and_then(|newest| newest.run),
            columns: Some(found.schema.fields().len()),
            rows: found.rows,
            files: Some(found.files),
            bytes: Some(found.bytes),
            checks,
        }));
    }
    let view = services.lake.view(name).await?;
    Ok(view.map(|view| LakeTableLine {
        table: name.to_string(),
        is_view: true,
        table_version: view.version,
        at_ms: None,
        run: None,
        columns: None,
        rows: None,
        files: None,
        bytes: None,
        checks,
    }))
}

async fn check_counts(
    services: &ProjectServices,
    plan: &Plan,
    table: &TableName,
) -> Result<CheckCounts> {
    let api = services.store.api();
    let (mut counts, mut before, mut newest) = (CheckCounts::default(), None, None);
    loop {
        let found = api.checks_page(&plan.environment, Some(table), before, CHECKS);
        let found = found.await?;
        let is_last = (found.len() as u64) < CHECKS;
        for one in found {
            before = Some(one.id);
            if *newest.get_or_insert_with(|| one.run.clone()) != one.run {
                return Ok(counts);
            }
            match one.result.outcome {
                CheckOutcome::Pass => counts.passed += 1,
                CheckOutcome::Warn => counts.warned += 1,
                CheckOutcome::Fail => counts.failed += 1,
            }
        }
        if is_last {
            return Ok(counts);
        }
    }
}

/// Results of checks.
#[derive(Debug, Serialize)]
pub struct ChecksPage {
    /// Version of this form; 1.
    pub version: u32,
    /// The results, newest first.
    pub checks: Vec<QualityLine>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A page of the results of checks, newest first.
///
/// # Errors
/// R0982 and R0927 if there is no such table, R1131 for a wrong cursor.
pub async fn checks_page(
    services: &ProjectServices,
    plan: &Plan,
    table: Option<&str>,
    page: &PageRequest,
) -> Result<ChecksPage> {
    let before = page.number()?;
    let table = match table {
        None => None,
        Some(text) => Some(known_table(services, plan, text).await?),
    };
    let most = page.limit.saturating_add(1);
    let api = services.store.api();
    let found = api.checks_page(&plan.environment, table.as_ref(), before, most);
    let mut found = found.await?;
    let has_more = found.len() > page.most();
    found.truncate(page.most());
    let next = found.last().filter(|_| has_more);
    let next = next.map(|last| last.id.to_string());
    let checks = found.into_iter().map(|one| QualityLine {
        run: one.run.to_string(),
        at_us: one.at_us,
        result: one.result,
    });
    Ok(ChecksPage {
        version: 1,
        checks: checks.collect(),
        next,
    })
}
