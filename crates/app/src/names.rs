//! Resolves names that a user typed: tables and pipelines.
//!
//! Promise: an unknown name is an error with the nearest known name, or with all of them. It knows the
//! plan, the lakehouse and the state store, but not the selection grammar (`select.rs`).

use towpath_project::nearest;
use towpath_vocab::{Action, Failure, Plan, Remedy, TableName};

use crate::Result;
use crate::services::ProjectServices;

/// A table of the project, or one of `others`, which a lakehouse or a state store knows.
///
/// # Errors
/// R0982 if the text is not the name of a table, R0927 if there is no such table.
fn table_called(plan: &Plan, text: &str, others: &[TableName]) -> Result<TableName> {
    let named: TableName = text
        .parse()
        .map_err(|error| Failure::new("R0982", Remedy::FixConfig, format!("{error}")))?;
    let mut known: Vec<TableName> = tables(plan).cloned().collect();
    known.extend(others.iter().cloned());
    match known.contains(&named) {
        true => Ok(named),
        false => Err(unknown(
            text,
            known.iter().map(ToString::to_string).collect(),
        )),
    }
}

/// A table of the project or of its lakehouse.
///
/// # Errors
/// R0982 if the text is not the name of a table, R0927 if there is no such table.
pub(crate) async fn known_table(
    services: &ProjectServices,
    plan: &Plan,
    text: &str,
) -> Result<TableName> {
    table_called(plan, text, &services.lake.tables().await?)
}

/// The failure for an unknown table, with the known ones.
pub(crate) fn unknown(text: &str, mut known: Vec<String>) -> Failure {
    known.sort();
    known.dedup();
    let message = format!("there is no table `{text}`");
    let failure = Failure::new("R0927", Remedy::FixConfig, message);
    match nearest(text, known.iter().map(String::as_str)) {
        Some(near) => failure.help(format!("did you mean `{near}`?")),
        None => failure.help("look: towpath plan"),
    }
}

/// All tables that tasks write, in the lakehouse and in external systems.
pub(crate) fn tables(plan: &Plan) -> impl Iterator<Item = &TableName> {
    let tasks = plan.pipelines.iter().flat_map(|pipeline| &pipeline.tasks);
    tasks.flat_map(|task| match &task.action {
        Action::Load(load) => vec![&load.table.target],
        Action::Model(model) => vec![&model.table.target],
        Action::Command(command) => command.writes.iter().map(|plan| &plan.target).collect(),
        Action::Publish(publish) => vec![&publish.table.target, &publish.from],
        Action::Sql(_) | Action::Http(_) => Vec::new(),
    })
}

/// Checks that a pipeline is in the project.
///
/// # Errors
/// R0920 if there is none with that name.
pub(crate) fn pipeline_called(plan: &Plan, text: &str) -> Result<()> {
    let mut known = plan.pipelines.iter().map(|pipeline| pipeline.name.as_str());
    match known.any(|name| name == text) {
        true => Ok(()),
        false => Err(no_pipeline(plan, text)),
    }
}

/// The failure for an unknown pipeline, with the known ones.
pub(crate) fn no_pipeline(plan: &Plan, text: &str) -> Failure {
    let known = || plan.pipelines.iter().map(|pipeline| pipeline.name.as_str());
    let message = format!("there is no pipeline `{text}`, and no run of a pipeline of that name");
    let failure = Failure::new("R0920", Remedy::FixConfig, message);
    match nearest(text, known()) {
        Some(near) => failure.help(format!("did you mean `{near}`?")),
        None => failure.help(format!(
            "there are: {}",
            known().collect::<Vec<_>>().join(", ")
        )),
    }
}
