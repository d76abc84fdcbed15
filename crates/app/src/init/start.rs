//! `init`: names the project, drafts its files, and writes all of them or none.
//!
//! Promise: nothing that exists is overwritten, and nothing is written into a dbt project unless `--from`
//! names it. The contents of the files are in `example_project.rs` and `from.rs`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use towpath_vocab::{Failure, Naming, Remedy};

use super::{example_project, from};
use crate::Result;
use crate::check::{CheckReport, CheckRequest, check};
use crate::editor::{EDITOR_SCHEMAS, write_editor_schemas};
use crate::folder::{DBT_PROJECT, refuse_links_out};

const GITIGNORE: &str = ".towpath/\nlake/\n";

/// The request of `init`.
#[derive(Clone, Debug)]
pub struct InitRequest {
    /// The folder; it is created if it does not exist.
    pub dir: PathBuf,
    /// The URL of a database or a folder of files; `None` makes the example project.
    pub from: Option<String>,
}

/// An environment variable with a secret.
#[derive(Clone, Debug, Serialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Whether it is set now.
    pub is_set: bool,
}

/// The report of `init`.
#[derive(Debug)]
pub struct InitReport {
    /// The folder.
    pub dir: PathBuf,
    /// The project's name.
    pub name: String,
    /// Files, relative to the folder.
    pub files: Vec<String>,
    /// Tables that the pipeline loads; none for the example project.
    pub tables: usize,
    /// Notes about them.
    pub notes: Vec<String>,
    /// The variable that the connection's URL is read from.
    pub variable: Option<Variable>,
    /// The new project, checked.
    pub check: CheckReport,
}

/// A project that is not written yet.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) files: Vec<(String, String)>,
    pub(super) tables: usize,
    pub(super) notes: Vec<String>,
    pub(super) variable: Option<Variable>,
}

/// Creates a project.
///
/// # Errors
/// `Refused` if one of its files exists; otherwise why the external system cannot be read.
pub async fn init(request: &InitRequest) -> Result<InitReport> {
    let dir = std::path::absolute(&request.dir).map_err(|error| failed(&request.dir, &error))?;
    refuse(&dir, &[("towpath.yml".to_owned(), String::new())])?;
    if request.from.is_none() && dir.join(DBT_PROJECT).exists() {
        let message = format!("{} is a dbt project: nothing was written", dir.display());
        return Err(Failure::new("R0934", Remedy::Refused, message)
            .help("for a project in this folder, with a pipeline that builds all models: towpath init --from .")
            .help("for an example in another folder: towpath init DIR"));
    }
    let existed = dir.exists();
    std::fs::create_dir_all(&dir).map_err(|error| failed(&dir, &error))?;
    let made = make(&dir, request.from.as_deref()).await;
    if made.is_err() && !existed {
        // It was created above and is empty; a folder that is not empty is not removed.
        let _ = std::fs::remove_dir(&dir);
    }
    made
}

async fn make(dir: &Path, source: Option<&str>) -> Result<InitReport> {
    let dir = dir.canonicalize().map_err(|error| failed(dir, &error))?;
    let name = project_name(&dir);
    let id = uuid::Uuid::new_v4().to_string();
    let draft = match source {
        Some(source) if is_dbt(&dir, source) => from::around_dbt(&name, &id),
        Some(source) => from::draft(&dir, &name, &id, source).await?,
        None => example_project::draft(&name, &id),
    };
    refuse(&dir, &draft.files)?;
    let written = draft.files.iter().map(|(path, _)| path.as_str());
    for path in written.chain([".gitignore", EDITOR_SCHEMAS]) {
        refuse_links_out(&dir, &dir.join(path))?;
    }
    for (path, text) in &draft.files {
        write_new(&dir.join(path), text)?;
    }
    let mut notes = draft.notes;
    match dir.join(".gitignore").exists() {
        false => write_new(&dir.join(".gitignore"), GITIGNORE)?,
        true => notes.push("add .towpath/ and lake/ to .gitignore".to_owned()),
    }
    write_editor_schemas(&dir)?;
    let check = check(&CheckRequest {
        dir: dir.clone(),
        ..CheckRequest::default()
    })
    .await?;
    Ok(InitReport {
        dir,
        name,
        files: draft.files.into_iter().map(|(path, _)| path).collect(),
        tables: draft.tables,
        notes,
        variable: draft.variable,
        check,
    })
}

/// Whether `--from` names the dbt project for which the new project is created.
fn is_dbt(dir: &Path, source: &str) -> bool {
    let source = Path::new(source).canonicalize();
    source.is_ok_and(|source| source == dir && dir.join(DBT_PROJECT).is_file())
}

/// A project name from the name of the folder.
fn project_name(dir: &Path) -> String {
    let folder = dir.file_name().map(|name| name.to_string_lossy());
    let name = folder.map(|folder| Naming::Snake.apply(&folder));
    match name {
        Some(name) if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => name,
        _ => "project".to_owned(),
    }
}

fn refuse(dir: &Path, files: &[(String, String)]) -> Result<()> {
    let there: Vec<&str> = files
        .iter()
        .map(|(path, _)| path.as_str())
        .filter(|path| dir.join(path).exists())
        .collect();
    if there.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{} already has {}: nothing was written",
        dir.display(),
        there.join(", ")
    );
    Err(Failure::new("R0935", Remedy::Refused, message)
        .help("choose another folder: towpath init DIR"))
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        "R0936",
        Remedy::FixConfig,
        format!("{} cannot be written: {error}", path.display()),
    )
    .help("check the folder's permissions and free space, or choose another one: towpath init DIR")
}
