//! What commands print with `--format json` as lists, and the HTTP API answers: one form for both.
//!
//! Promise: each has the version of its form. It only puts together what other use cases return. Read next:
//! `pages.rs` (what only the HTTP API answers), `run_history.rs`, `schedule.rs`, `quarantine/mod.rs`.

use serde::Serialize;
use towpath_engine::lake::TableHistoryEntry;
use towpath_ports::{BackfillRecord, RunEvent, RunRecord};
use towpath_vocab::{Plan, TableName};

use crate::Result;
use crate::backfill::backfills;
use crate::lake::lake_history;
use crate::logs::{LogPiece, ProgramOutput};
use crate::names::known_table;
use crate::quarantine::{
    QuarantineLine, ReasonCount, RejectedRecord, quarantine_count, quarantine_list,
    quarantine_reasons, quarantine_show, quarantine_tables,
};
use crate::run_history::{RunLine, runs};
use crate::schedule::{ScheduleLine, WaitingInterval, schedules, waiting_intervals};
use crate::services::ProjectServices;

/// Runs, and what waits for a run.
#[derive(Debug, Serialize)]
pub struct RunsReport {
    /// Version of this form; 1.
    pub version: u32,
    /// Runs, newest first.
    pub runs: Vec<RunLine>,
    /// The intervals that wait for their run.
    pub waiting: Vec<WaitingInterval>,
    /// The cursor of the next page, if there may be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `towpath runs`.
///
/// # Errors
/// R0920 if there is no such pipeline and never was one.
pub async fn runs_report(
    services: &ProjectServices,
    plan: &Plan,
    pipeline: Option<&str>,
    limit: u64,
) -> Result<RunsReport> {
    Ok(RunsReport {
        version: 1,
        runs: runs(services, plan, pipeline, limit).await?,
        waiting: waiting_intervals(services, plan, pipeline).await?,
        next: None,
    })
}

/// The lines of a run.
#[derive(Debug, Serialize)]
pub struct LogsReport {
    /// Version of this form; 1.
    pub version: u32,
    /// The run in its present state.
    pub run: RunRecord,
    /// Its events.
    pub events: Vec<RunEvent>,
    /// What its programs printed.
    pub printed: Vec<ProgramOutput>,
}

impl From<LogPiece> for LogsReport {
    fn from(piece: LogPiece) -> Self {
        Self {
            version: 1,
            run: piece.run,
            events: piece.events,
            printed: piece.printed,
        }
    }
}

/// All schedules.
#[derive(Debug, Serialize)]
pub struct SchedulesReport {
    /// Version of this form; 1.
    pub version: u32,
    /// The schedules, by pipeline.
    pub schedules: Vec<ScheduleLine>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `towpath schedule ls`.
///
/// # Errors
/// Those of the state store.
pub async fn schedules_report(services: &ProjectServices, plan: &Plan) -> Result<SchedulesReport> {
    Ok(SchedulesReport {
        version: 1,
        schedules: schedules(services, plan).await?,
        next: None,
    })
}

/// All backfills.
#[derive(Debug, Serialize)]
pub struct BackfillsReport {
    /// Version of this form; 1.
    pub version: u32,
    /// The backfills, newest first.
    pub backfills: Vec<BackfillRecord>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `towpath backfill ls`.
///
/// # Errors
/// Those of the state store.
pub async fn backfills_report(services: &ProjectServices, plan: &Plan) -> Result<BackfillsReport> {
    Ok(BackfillsReport {
        version: 1,
        backfills: backfills(services, plan).await?,
        next: None,
    })
}

/// The tables with rejected rows.
#[derive(Debug, Serialize)]
pub struct QuarantineReport {
    /// Version of this form; 1.
    pub version: u32,
    /// The tables.
    pub tables: Vec<QuarantineLine>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `towpath quarantine ls`.
///
/// # Errors
/// Those of the lakehouse.
pub async fn quarantine_report(
    services: &ProjectServices,
    plan: &Plan,
) -> Result<QuarantineReport> {
    Ok(QuarantineReport {
        version: 1,
        tables: quarantine_list(services, plan).await?,
        next: None,
    })
}

/// The rejected rows of a table.
#[derive(Debug, Serialize)]
pub struct RejectedRows {
    /// Version of this form; 1.
    pub version: u32,
    /// The table.
    pub table: TableName,
    /// The rows, newest first.
    pub rows: Vec<RejectedRecord>,
    /// What the first page has.
    #[serde(flatten)]
    pub reasons: Option<RejectedReasons>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How many rows of it are in the quarantine, in any state; nothing when none was ever rejected, and on later
    /// pages.
    #[serde(skip_serializing)]
    pub all: Option<u64>,
}

/// The reasons of the rows that wait.
#[derive(Debug, Serialize)]
pub struct RejectedReasons {
    /// The reasons, most frequent first.
    pub reasons: Vec<ReasonCount>,
    /// False when only a part of the rows was looked at.
    pub reasons_are_complete: bool,
}

/// `towpath quarantine show`, without the first `skip` rows.
///
/// # Errors
/// R0982 and R0927 if there is no such table, and those of the lakehouse.
pub async fn rejected_rows(
    services: &ProjectServices,
    plan: &Plan,
    table: &str,
    (skip, limit): (u64, u64),
) -> Result<RejectedRows> {
    let table = known_table(services, plan, table).await?;
    let known = quarantine_tables(services).await?;
    let wanted = table.to_string();
    let (mut rows, mut reasons, mut all) = (Vec::new(), None, None);
    if let Some(quarantine) = known.iter().find(|one| one.table() == wanted) {
        // One more shows whether there is another page.
        let most = (skip, limit.saturating_add(1));
        rows = quarantine_show(services, plan, &table, most).await?;
        if skip == 0 {
            let line = quarantine_count(services, plan, quarantine).await?;
            all = Some(line.held + line.replayed + line.discarded + line.outdated);
            let (counted, is_complete) = quarantine_reasons(services, plan, &table).await?;
            reasons = Some((counted, is_complete));
        }
    } else if skip == 0 {
        reasons = Some((Vec::new(), true));
    }
    let has_more = rows.len() as u64 > limit;
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(RejectedRows {
        version: 1,
        table,
        rows,
        reasons: reasons.map(|(reasons, reasons_are_complete)| RejectedReasons {
            reasons,
            reasons_are_complete,
        }),
        next: has_more.then(|| skip.saturating_add(limit).to_string()),
        all,
    })
}

/// The versions of a table.
#[derive(Debug, Serialize)]
pub struct TableVersions {
    /// Version of this form; 1.
    pub version: u32,
    /// The table.
    pub table: String,
    /// The versions, newest first.
    pub history: Vec<TableHistoryEntry>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `towpath lake history`.
///
/// # Errors
/// R0928 when there is no such table.
pub async fn table_versions(
    services: &ProjectServices,
    table: &str,
    limit: usize,
) -> Result<TableVersions> {
    Ok(TableVersions {
        version: 1,
        table: table.to_owned(),
        history: lake_history(services, table, limit).await?,
        next: None,
    })
}
