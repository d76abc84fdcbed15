//! Opens the state store of a project: the only entry point of this crate.
//!
//! Promise: callers pass the project, the environment and the value of `state:`, and get a
//! `ports::StateStore`. They see neither a file nor a database type. No connection is made before an
//! operation needs one. Read next: `state_store.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use towpath_ports::{Clock, Result, Secrets, StateStore};
use towpath_vocab::passwords::{has_password, is_key_value_address};
use towpath_vocab::{Environment, Failure, Remedy, SecretTemplate};

use crate::clock::StoreClock;
use crate::error::Place;
use crate::postgres::PostgresServer;
use crate::sqlite::SqliteFile;
use crate::store::Store;

/// The folder of local state inside a project.
const FOLDER: &str = ".towpath";

/// Where a project keeps its state.
pub struct Location {
    /// The project folder.
    pub project_dir: PathBuf,
    /// The environment.
    pub environment: Environment,
    /// The project's id: a store on a server belongs to one project.
    pub project: Option<String>,
    /// The value of `state:`: a `postgres://` URL or the path of a file. `None` means a file of the
    /// environment inside the project.
    pub url: Option<SecretTemplate>,
    /// Resolves the URL when the store is connected.
    pub secrets: Arc<dyn Secrets>,
    /// A clock for leases in place of the store's own, for simulations.
    pub clock: Option<Arc<dyn Clock>>,
}

/// The kind of store that `state:` names.
enum Kind {
    Server,
    File(PathBuf),
}

impl Location {
    /// The file of an environment inside a project.
    pub fn local(project_dir: &Path, environment: &Environment, secrets: Arc<dyn Secrets>) -> Self {
        Self {
            project_dir: project_dir.to_owned(),
            environment: environment.clone(),
            project: None,
            url: None,
            secrets,
            clock: None,
        }
    }

    /// The text with the values of its variables; `None` if it has no variable, or one that is not set.
    fn resolved(&self, template: &str) -> Option<String> {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("${") {
            let (placeholder, behind) = after.split_once('}')?;
            let (kind, name) = placeholder.split_once(':')?;
            let (name, default) = match name.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (name, None),
            };
            if !matches!(kind, "env" | "secret") {
                return None;
            }
            let variables = self.secrets.variables(name);
            let value = variables.get(name).map(String::as_str).or(default)?;
            text.push_str(before);
            text.push_str(value);
            rest = behind;
        }
        if rest.len() == template.len() {
            return None;
        }
        text.push_str(rest);
        Some(text)
    }

    fn kind(&self) -> Result<Kind> {
        let Some(url) = &self.url else {
            let name = format!("{}.db", self.environment);
            return Ok(Kind::File(self.project_dir.join(FOLDER).join(name)));
        };
        let text = url.template().trim();
        let is_server =
            |text: &str| text.starts_with("postgres://") || text.starts_with("postgresql://");
        // A secret that is in no variable is resolved when the server is connected.
        let resolved = self.resolved(text);
        if is_server(text)
            || resolved
                .as_deref()
                .map_or(text.starts_with("${"), is_server)
        {
            return Ok(Kind::Server);
        }
        let text = resolved.as_deref().unwrap_or(text).trim();
        let path = text.strip_prefix("sqlite:").unwrap_or(text);
        let is_address = has_password(path) || is_key_value_address(path);
        if path.is_empty() || path.contains("://") || path.contains("${") || is_address {
            let message = "`state` is neither a `postgres://` URL nor the path of a file";
            return Err(Failure::new("R0680", Remedy::FixConfig, message)
                .help("example: state: postgres://user:${secret:STATE_PASSWORD}@host/database")
                .help("example: state: ./state.db"));
        }
        Ok(Kind::File(self.project_dir.join(path)))
    }
}

/// Opens a state store. A file is opened or created now; a server is connected when it is needed.
///
/// # Errors
/// R0680 if `state:` cannot be read; for files R0801 (a newer version of Towpath wrote it; it is not
/// changed), R0802 (a file of another program), R0803 (damaged), R0804 (no such folder), R0805 (not
/// writable), R0806 (disk full).
pub fn open(location: Location) -> Result<Arc<dyn StateStore>> {
    let clock = match location.clock.clone() {
        Some(clock) => StoreClock::Given(clock),
        None => StoreClock::Own,
    };
    let store = match (location.kind()?, location.url) {
        (Kind::Server, Some(url)) => Store::Postgres(PostgresServer::new(
            url,
            location.secrets,
            &location.project_dir,
            location.project,
            clock,
        )),
        (Kind::File(path), url) => {
            if url.is_none() {
                make_folder(&location.project_dir.join(FOLDER))?;
            }
            let file = SqliteFile::open(&path, clock);
            Store::Sqlite(file.map_err(|error| error.into_failure(&Place::File(path)))?)
        }
        (Kind::Server, None) => return Err(no_url()),
    };
    Ok(Arc::new(store))
}

/// Opens an existing state store; a missing file is not created.
///
/// # Errors
/// Those of `open`.
pub fn open_existing(location: Location) -> Result<Option<Arc<dyn StateStore>>> {
    match exists(&location)? {
        true => open(location).map(Some),
        false => Ok(None),
    }
}

/// Whether the state store exists. A server is not contacted.
///
/// # Errors
/// R0680 if `state:` cannot be read.
pub fn exists(location: &Location) -> Result<bool> {
    Ok(match location.kind()? {
        Kind::Server => true,
        Kind::File(path) => path.is_file(),
    })
}

/// The environments whose state is inside the project.
pub fn local_environments(project_dir: &Path) -> Vec<Environment> {
    let Ok(entries) = std::fs::read_dir(project_dir.join(FOLDER)) else {
        return Vec::new();
    };
    let mut found: Vec<Environment> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            Some(Environment::new(name.strip_suffix(".db")?))
        })
        .collect();
    found.sort();
    found
}

fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| {
        let message = format!(
            "the folder `{}` cannot be created: {error}",
            folder.display()
        );
        Failure::new("R0804", Remedy::FixConfig, message)
            .help("allow this user to write in the project folder")
    })
}

fn no_url() -> Failure {
    Failure::new("R0680", Remedy::FixConfig, "`state` names no server")
}
