//! The fingerprint of a task: one hash of its compiled node and the versions of its inputs.
//!
//! Promise: equal fingerprints mean that there is nothing to do; a comment or a moved line does not
//! change one. It does not decide whether to skip (`write_table.rs`). Read next: `nondeterministic.rs` (results
//! that depend on the time).

use sha2::{Digest, Sha256};
use towpath_vocab::{
    Action, FactSource, Failure, PlannedPipeline, PlannedTask, Remedy, TableLineage, TablePlan,
    WriteMode,
};

use super::generation::GenerationClaim;
use crate::Result;

/// The version of the fingerprint: changes if the meaning of a node, or its serialised form, changes.
const FORM: &str = "2";

/// The fingerprint of a task with the versions of its inputs.
pub(crate) fn fingerprint(task: &PlannedTask, inputs: &[String]) -> Result<String> {
    let node = serde_json::to_string(&bare(&task.action)).map_err(|error| {
        Failure::new(
            "R0930",
            Remedy::Bug,
            format!("task `{}` cannot be hashed: {error}", task.id),
        )
    })?;
    let mut hash = Sha256::new();
    for part in [FORM.to_owned(), node].iter().chain(inputs) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// The fingerprint, or the one that an earlier version of Towpath stored with the last commit, in which the
/// inputs had no commit ids. So rows that were appended then are not appended again.
pub(crate) fn held_form(
    task: &PlannedTask,
    (print, inputs): (String, &[String]),
    claim: &GenerationClaim,
    write: WriteMode,
) -> Result<String> {
    if write != WriteMode::Append {
        return Ok(print);
    }
    let older = |input: &String| {
        let version = input.split_once(", commit ");
        version.map_or(input.clone(), |(version, _)| version.to_owned())
    };
    let older = fingerprint(task, &inputs.iter().map(older).collect::<Vec<_>>())?;
    Ok(
        match claim.committed_fingerprint() == Some(older.as_str()) {
            true => older,
            false => print,
        },
    )
}

/// A graph without the parts that do not change what it does.
pub(crate) fn stable_parts(pipeline: &PlannedPipeline) -> PlannedPipeline {
    let mut pipeline = pipeline.clone();
    pipeline.schedule = None;
    for task in &mut pipeline.tasks {
        task.span = None;
        task.action = bare(&task.action);
    }
    pipeline
}

/// The contents of a node, without its position in a file and without what earlier runs observed. Values
/// that a user wrote are not changed.
fn bare(action: &Action) -> Action {
    let mut action = action.clone();
    match &mut action {
        Action::Load(load) => {
            bare_table(&mut load.table);
            load.known = load
                .known
                .take()
                .filter(|known| known.source != FactSource::Observed);
            if let Some(known) = &mut load.known {
                known.seen_at.clear();
            }
        }
        Action::Model(model) => {
            bare_table(&mut model.table);
            model.deferred = false;
        }
        Action::Command(command) => command.writes.iter_mut().for_each(bare_table),
        Action::Publish(publish) => bare_table(&mut publish.table),
        Action::Sql(_) | Action::Http(_) => {}
    }
    action
}

fn bare_table(table: &mut TablePlan) {
    table.lineage = TableLineage::default();
    table
        .columns
        .iter_mut()
        .for_each(|column| column.span = None);
    table.rules.iter_mut().for_each(|rule| rule.span = None);
    table.checks.iter_mut().for_each(|check| check.span = None);
}

#[cfg(test)]
mod tests;
