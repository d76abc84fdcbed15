//! `check`: all mistakes of a project at once.
//!
//! Promise: the files are read once and no system is contacted, unless `check_connected` is called. The
//! rules are in `project`; this file only collects their input (files, facts, specs) and returns a
//! report. Read next: `folder.rs` (the files), `facts.rs`, `connected_check.rs` (the live systems).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use towpath_ports::{Clock as _, StateStore, System};
use towpath_project::{CheckInputs, CheckedProject, Setting, environment_of, project_of, state_of};
use towpath_state::Location;
use towpath_vocab::{Diagnostic, Environment, Plan};

use crate::Result;
use crate::connected_check::compare_live;
use crate::facts::gather;
use crate::folder::ProjectFolder;
use crate::names::{tables, unknown};
use crate::option_values::refused_options;
use crate::services::connector_specs;
use crate::system::LocalSystem;

/// What to check.
#[derive(Clone, Debug, Default)]
pub struct CheckRequest {
    /// The project folder.
    pub dir: PathBuf,
    /// `--env`.
    pub environment: Option<String>,
    /// `--param k=v`.
    pub params: BTreeMap<String, String>,
    /// Project files that are left out, as if they did not exist.
    pub without: BTreeSet<String>,
}

/// The result of a check.
#[derive(Debug)]
pub struct CheckReport {
    /// Mistakes and notes, by file and place.
    pub diagnostics: Vec<Diagnostic>,
    /// The files, for drawing.
    pub files: BTreeMap<String, String>,
    /// The plan, if there is no error.
    pub plan: Option<Plan>,
    /// The part that could be planned although there are errors, for commands that only read.
    pub partial: Option<Plan>,
    /// `memory:`, if set.
    pub memory_bytes: Option<u64>,
    /// Where each setting of each table comes from.
    pub explain: Vec<Setting>,
    /// Connections that were contacted; empty without `--connect`.
    pub contacted: Vec<String>,
    /// Time it took, in microseconds.
    pub elapsed_us: u64,
}

/// Checks a project.
///
/// # Errors
/// Only if the folder or the state store cannot be read; mistakes of the project are diagnostics.
pub async fn check(request: &CheckRequest) -> Result<CheckReport> {
    checked(request, false).await
}

/// Checks a project, and compares the known columns of external tables with the present ones.
///
/// # Errors
/// Those of `check`; a difference is a diagnostic.
pub async fn check_connected(request: &CheckRequest) -> Result<CheckReport> {
    checked(request, true).await
}

async fn checked(request: &CheckRequest, connect: bool) -> Result<CheckReport> {
    let system = LocalSystem::new(request.dir.clone());
    let mut folder = ProjectFolder::read(&request.dir)?;
    folder
        .files
        .retain(|file, _| !request.without.contains(file));
    let specs = connector_specs();
    let once = |facts: &towpath_vocab::Facts| -> CheckedProject {
        towpath_project::check(&CheckInputs {
            files: &folder.files,
            specs: &specs,
            facts,
            environment: request.environment.as_deref(),
            variables: system.environment(),
            params: &request.params,
        })
    };
    let environment = environment_of(&folder.files, request.environment.as_deref());
    let store = open_store(&request.dir, &folder.files, &environment)?;
    let facts = gather(store.as_deref(), &environment, &system).await?;
    let checked = once(&facts);
    let mut diagnostics = checked.diagnostics;
    if let Some(plan) = checked.plan.as_ref().or(checked.partial.as_ref()) {
        diagnostics.extend(refused_options(plan, &checked.explain, &folder.files));
    }
    let mut contacted = Vec::new();
    if connect {
        let live = compare_live(
            &folder,
            request.environment.as_deref(),
            &facts,
            checked.plan.as_ref(),
        )
        .await?;
        diagnostics.extend(live.diagnostics);
        contacted = live.contacted;
    }
    Ok(CheckReport {
        diagnostics,
        contacted,
        plan: checked.plan,
        partial: checked.partial,
        memory_bytes: checked.memory_bytes,
        explain: checked.explain,
        files: folder.files,
        elapsed_us: system.monotonic_us(),
    })
}

/// Refuses a table that the project does not have.
///
/// # Errors
/// R0927, with the name that was probably meant.
pub fn explained(report: &CheckReport, plan: &Plan, table: &str) -> Result<()> {
    let set = report.explain.iter().map(|setting| setting.table.clone());
    let known: Vec<String> = tables(plan).map(ToString::to_string).chain(set).collect();
    match known.iter().any(|known| known == table) {
        true => Ok(()),
        false => Err(unknown(table, known)),
    }
}

/// Where the project keeps the state of an environment.
pub(crate) fn state_location(
    dir: &Path,
    files: &BTreeMap<String, String>,
    environment: &Environment,
) -> Location {
    let secrets = Arc::new(LocalSystem::new(dir.to_path_buf()));
    Location {
        project: project_of(files),
        url: state_of(files, environment),
        ..Location::local(dir, environment, secrets)
    }
}

/// The state store of an environment, if something has run in it.
pub(crate) fn open_store(
    dir: &Path,
    files: &BTreeMap<String, String>,
    environment: &Environment,
) -> Result<Option<Arc<dyn StateStore>>> {
    towpath_state::open_existing(state_location(dir, files, environment))
}
