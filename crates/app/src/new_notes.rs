//! Decides which notes about a table are new: those that no earlier run of the environment has reported.
//!
//! Promise: the report contains every note; the terminal shows the new ones and the number of the others.
//! Only digests of reported notes are stored. If the state store does not have them, all notes are new.
//! Notes of a load that was stopped, or of a commit whose process died, are shown in that run and not
//! stored.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use towpath_vocab::{Environment, PipelineName};

use crate::report::{RunReport, TableReport};
use crate::services::ProjectServices;

/// Sets the new notes of each table in a report, and stores the digests of all notes.
pub(crate) async fn sort_notes(
    services: &ProjectServices,
    environment: &Environment,
    pipeline: &PipelineName,
    report: &mut RunReport,
) {
    let earlier = services.store.reported_notes(environment).await;
    let earlier: BTreeMap<_, _> = match earlier {
        Ok(earlier) => earlier.into_iter().collect(),
        Err(failure) => {
            tracing::warn!("earlier notes cannot be read: {failure}");
            BTreeMap::new()
        }
    };
    let is_whole = report.limit.is_none();
    for table in &mut report.tables {
        let about = format!("{pipeline}/{}/{}", table.task, table.summary.table);
        let before = earlier.get(&about);
        let now = sorted(table, before);
        // If nothing was read, there could be no notes.
        let is_silent = now.is_empty() && table.summary.rows_read == 0;
        if !is_whole || is_silent || !is_lasting(table) || before == Some(&now) {
            continue;
        }
        // Without it, the notes are only reported once more.
        if let Err(failure) = services
            .store
            .put_reported_notes(environment, &about, &now)
            .await
        {
            tracing::warn!("notes cannot be stored: {failure}");
        }
    }
}

/// Sets the new notes of a table; returns the digests of all of its notes.
fn sorted(table: &mut TableReport, before: Option<&BTreeSet<String>>) -> BTreeSet<String> {
    let notes = &table.summary.notes;
    let is_new = |note: &&String| before.is_none_or(|before| !before.contains(&digest(note)));
    table.new_notes = match is_lasting(table) {
        true => notes.iter().filter(is_new).cloned().collect(),
        false => notes.clone(),
    };
    notes.iter().map(|note| digest(note)).collect()
}

fn is_lasting(table: &TableReport) -> bool {
    table.summary.stopped.is_none() && !table.recovered
}

fn digest(note: &str) -> String {
    let hash = Sha256::digest(note);
    hash.iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
