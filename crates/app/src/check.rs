//! `check`: every mistake of a project at once, without contact to the outside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use towpath_ports::{StateStore, System};
use towpath_project::{Checked, EXPLANATIONS, Inputs, Setting};
use towpath_state::SqliteBook;
use towpath_vocab::{Diagnostic, Environment, Plan};

use crate::Result;
use crate::facts::gather;
use crate::folder::ProjectFolder;
use crate::house::connector_specs;
use crate::system::LocalSystem;

/// What is to be checked.
#[derive(Clone, Debug, Default)]
pub struct CheckRequest {
    /// The project folder.
    pub dir: PathBuf,
    /// `--env`.
    pub environment: Option<String>,
    /// `--param k=v`.
    pub params: BTreeMap<String, String>,
}

/// What was found.
#[derive(Debug)]
pub struct CheckReport {
    /// Mistakes and notes, by file and place.
    pub diagnostics: Vec<Diagnostic>,
    /// The files, for drawing.
    pub files: BTreeMap<String, String>,
    /// The plan, when there is no error.
    pub plan: Option<Plan>,
    /// `memory:`, if set.
    pub memory_bytes: Option<u64>,
    /// Where each setting of each table comes from.
    pub explain: Vec<Setting>,
    /// Time it took, in microseconds.
    pub elapsed_us: u64,
}

/// Checks a project.
///
/// # Errors
/// Only when the folder or the book cannot be read; mistakes of the project are diagnostics.
pub async fn check(request: &CheckRequest) -> Result<CheckReport> {
    let system = LocalSystem::new(request.dir.clone());
    let folder = ProjectFolder::read(&request.dir)?;
    let specs = connector_specs();
    let once = |facts: &towpath_vocab::Facts| -> Checked {
        towpath_project::check(&Inputs {
            files: &folder.files,
            specs: &specs,
            facts,
            environment: request.environment.as_deref(),
            variables: system.environment(),
            params: &request.params,
        })
    };
    let environment = environment(request, &folder);
    let book = open_book(&request.dir, &environment)?;
    let facts = gather(
        book.as_ref().map(|b| b as &dyn StateStore),
        &environment,
        &system,
    )
    .await?;
    let checked = once(&facts);
    use towpath_ports::Clock as _;
    Ok(CheckReport {
        diagnostics: checked.diagnostics,
        plan: checked.plan,
        memory_bytes: checked.memory_bytes,
        explain: checked.explain,
        files: folder.files,
        elapsed_us: system.monotonic_us(),
    })
}

/// The environment facts are looked up for: `--env`, else what the root file says, else `dev`.
fn environment(request: &CheckRequest, folder: &ProjectFolder) -> Environment {
    let said = folder.files.get("towpath.yml").and_then(|text| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("default_environment:"))?;
        Some(line.trim().trim_matches(['"', '\'']).to_owned())
    });
    Environment::new(
        request
            .environment
            .clone()
            .or(said)
            .unwrap_or_else(|| "dev".to_owned()),
    )
}

fn open_book(dir: &Path, environment: &Environment) -> Result<Option<SqliteBook>> {
    let path = dir.join(".towpath").join(format!("{environment}.db"));
    if !path.is_file() {
        return Ok(None);
    }
    SqliteBook::open(&path).map(Some)
}

/// What a diagnostic's code means: an example and the way out.
pub fn explanation(code: &str) -> Option<&'static str> {
    EXPLANATIONS
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, text)| *text)
}
