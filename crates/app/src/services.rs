//! The ports of one project in one environment: lakehouse, engine, state store, connectors, memory budget.
//!
//! Promise: opening them touches only the project folder and the places that `state:` and `lakehouse:` name. It knows every adapter and no use case. Read
//! next: `run.rs`, which uses them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use towpath_connectors::QueriedFiles;
use towpath_engine::{Engine, EngineLimits, EngineOptions, Lake};
use towpath_flow::{Budget, Progress, QUARANTINE_SCHEMA, SpillFolder, TransferServices};
use towpath_ports::{
    AlertChannel, Connector, ConnectorContext, Destination, Discover, NamedFiles, Result, Source,
    StateStore, Statements, System,
};
use towpath_quarantine::QuarantinePorts;
use towpath_state::Location;
use towpath_vocab::{
    ConnectionPlan, ConnectorSpec, Environment, Failure, ObjectKind, ProjectId, Remedy,
    SecretTemplate,
};

use crate::memory::default_budget_bytes;
use crate::private_files;
use crate::system::LocalSystem;

/// The folder of local state inside a project.
const STATE_DIR: &str = ".towpath";
/// The folder in it for data that does not fit in memory.
const SPILL_DIR: &str = "spill";
/// The share of the budget for `flow` and the connectors, in percent; the engine has the rest.
const FLOW_SHARE: u64 = 40;
/// The most disk space for spill files.
const SPILL_BYTES: u64 = 100 << 30;

/// The time limit of a statement if the project sets none.
const STATEMENT_TIMEOUT_MS: u64 = 60 * 60 * 1000;

/// `None` for no limit.
fn statement_timeout(ms: Option<u64>) -> Option<Duration> {
    match ms.unwrap_or(STATEMENT_TIMEOUT_MS) {
        0 => None,
        ms => Some(Duration::from_millis(ms)),
    }
}

/// The ports and settings that a use case needs.
pub struct ProjectServices {
    /// The project folder.
    pub dir: PathBuf,
    /// Clock, random numbers, environment, secrets.
    pub system: Arc<LocalSystem>,
    /// The lakehouse.
    pub lake: Arc<Lake>,
    /// SQL.
    pub engine: Arc<Engine>,
    /// Runs, facts, results.
    pub store: Arc<dyn StateStore>,
    /// The memory budget.
    pub budget_bytes: u64,
    budget: Arc<Budget>,
    quarantine_folder: Option<PathBuf>,
    connectors: Vec<Arc<dyn Connector>>,
}

/// What is needed to open the services.
pub struct ServiceOptions<'a> {
    /// The project folder.
    pub dir: &'a Path,
    /// The lakehouse: a path relative to the folder; without it, an empty lakehouse in memory.
    pub lakehouse: Option<&'a str>,
    /// The environment of the runs and facts.
    pub environment: &'a Environment,
    /// The project's id, if there is a project.
    pub project: Option<&'a ProjectId>,
    /// The value of `state:`.
    pub state: Option<&'a SecretTemplate>,
    /// The value of `target.name` in models.
    pub model_environment: &'a Environment,
    /// `memory:`, if set.
    pub memory_bytes: Option<u64>,
    /// `statement_timeout:`, if set.
    pub statement_timeout_ms: Option<u64>,
    /// Files that queries may read; `None` for none.
    pub files: Option<FilesOfQueries<'a>>,
}

/// Files that queries may read by name.
#[derive(Clone, Copy)]
pub enum FilesOfQueries<'a> {
    /// Files in a folder.
    Below(&'a Path),
    /// All files; relative names are relative to this folder.
    Anywhere(&'a Path),
}

impl ProjectServices {
    /// Opens them.
    ///
    /// # Errors
    /// `FixConfig` if folders cannot be created, or if the state store cannot be used.
    pub fn open(options: ServiceOptions<'_>) -> Result<Self> {
        let ServiceOptions {
            dir,
            lakehouse,
            environment,
            project,
            state,
            model_environment,
            memory_bytes,
            statement_timeout_ms,
            files,
        } = options;
        let state_dir = dir.join(STATE_DIR);
        let spill_folder = state_dir.join(SPILL_DIR);
        for folder in [&state_dir, &spill_folder] {
            private_files::make_folder(folder).map_err(|error| not_made(folder, &error))?;
        }
        private_files::close(&state_dir);
        let budget_bytes = memory_bytes.unwrap_or_else(default_budget_bytes);
        let flow_bytes = budget_bytes / 100 * FLOW_SHARE;
        let budget = Arc::new(Budget::new(flow_bytes));
        let system = Arc::new(LocalSystem::new(dir.to_path_buf()));
        let context = ConnectorContext {
            project_dir: dir.to_path_buf(),
            secrets: Arc::clone(&system) as _,
            memory: Arc::clone(&budget) as _,
        };
        let files = files.map(|files| -> Arc<dyn NamedFiles> {
            Arc::new(match files {
                FilesOfQueries::Below(folder) => QueriedFiles::below(folder, context),
                FilesOfQueries::Anywhere(folder) => QueriedFiles::anywhere(folder, context),
            })
        });
        let (lake, quarantine_folder) = match lakehouse {
            Some(path) => open_lake(&lake_root(dir, path), system.environment(), budget_bytes)?,
            None => (Lake::in_memory(budget_bytes)?, None),
        };
        let engine = Engine::open(EngineOptions {
            lake: lake.clone(),
            limits: EngineLimits {
                memory_bytes: usize::try_from(budget_bytes - flow_bytes).unwrap_or(usize::MAX),
                spill_folder,
                spill_bytes: SPILL_BYTES,
                partitions: parallelism(),
                statement_timeout: statement_timeout(statement_timeout_ms),
            },
            files,
            variables: system.environment().clone(),
            environment: model_environment.clone(),
        })?;
        let store = towpath_state::open(Location {
            project: project.map(ToString::to_string),
            url: state.cloned(),
            ..Location::local(dir, environment, Arc::clone(&system) as _)
        })?;
        Ok(Self {
            dir: dir.to_path_buf(),
            system,
            lake: Arc::new(lake),
            engine: Arc::new(engine),
            store,
            budget_bytes,
            budget,
            quarantine_folder,
            connectors: towpath_connectors::connectors(),
        })
    }

    /// The services of a checked plan.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn of_plan(
        dir: &Path,
        plan: &towpath_vocab::Plan,
        memory_bytes: Option<u64>,
    ) -> Result<Self> {
        Self::of_limited_plan(dir, plan, &plan.environment, memory_bytes)
    }

    /// The services of a plan that may be limited (`--limit`): it runs in an environment of its own, and models
    /// see `model_environment` as theirs.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn of_limited_plan(
        dir: &Path,
        plan: &towpath_vocab::Plan,
        model_environment: &Environment,
        memory_bytes: Option<u64>,
    ) -> Result<Self> {
        Self::open(ServiceOptions {
            dir,
            lakehouse: Some(&plan.lakehouse),
            environment: &plan.environment,
            project: Some(&plan.project),
            state: plan.state.as_ref(),
            model_environment,
            memory_bytes,
            statement_timeout_ms: plan.statement_timeout_ms,
            files: Some(FilesOfQueries::Below(dir)),
        })
    }

    /// Services without a project: an empty lakehouse in memory, and all files; relative names are relative
    /// to `folder`.
    ///
    /// # Errors
    /// Those of `open`; R0913 if there is no temporary folder.
    pub fn of_files(folder: &Path) -> Result<(Self, TempDir)> {
        let scratch = scratch()?;
        let environment = Environment::new("files");
        let services = Self::open(ServiceOptions {
            dir: scratch.path(),
            lakehouse: None,
            project: None,
            state: None,
            environment: &environment,
            model_environment: &environment,
            memory_bytes: None,
            statement_timeout_ms: None,
            files: Some(FilesOfQueries::Anywhere(folder)),
        })?;
        Ok((services, scratch))
    }

    /// What `flow` needs; counters are the caller's.
    pub fn transfer_services(&self, progress: Arc<Progress>) -> TransferServices {
        TransferServices {
            expressions: Arc::clone(&self.engine) as _,
            query: Arc::clone(&self.engine) as _,
            clock: Arc::clone(&self.system) as _,
            secrets: Arc::clone(&self.system) as _,
            memory: Arc::clone(&self.budget) as _,
            spill: SpillFolder::new(self.dir.join(STATE_DIR).join(SPILL_DIR)),
            progress,
        }
    }

    /// What the quarantine works with.
    pub(crate) fn quarantine_ports(&self) -> QuarantinePorts {
        QuarantinePorts {
            lake: Arc::clone(&self.lake) as _,
            log: Arc::clone(&self.lake) as _,
            query: Arc::clone(&self.engine) as _,
            secrets: Arc::clone(&self.system) as _,
        }
    }

    /// Closes the files of rejected records, after some were written: only their owner may look at them.
    pub(crate) fn close_quarantine(&self) {
        if let Some(folder) = &self.quarantine_folder {
            private_files::close_all(folder);
        }
    }

    /// A connection as a source.
    pub fn source(&self, connection: &ConnectionPlan) -> Result<Arc<dyn Source>> {
        self.connector(&connection.kind)?
            .source(connection, &self.context())
    }

    /// A connection as a destination.
    pub fn destination(&self, connection: &ConnectionPlan) -> Result<Arc<dyn Destination>> {
        self.connector(&connection.kind)?
            .destination(connection, &self.context())
    }

    /// A connection that takes alerts.
    pub fn alerts(&self, connection: &ConnectionPlan) -> Result<Arc<dyn AlertChannel>> {
        self.connector(&connection.kind)?
            .alerts(connection, &self.context())
    }

    /// A connection in which SQL of the project runs.
    pub fn statements(&self, connection: &ConnectionPlan) -> Result<Arc<dyn Statements>> {
        self.connector(&connection.kind)?
            .statements(connection, &self.context())
    }

    /// A connection to look around in.
    pub fn discover(&self, connection: &ConnectionPlan) -> Result<Arc<dyn Discover>> {
        self.connector(&connection.kind)?
            .discover(connection, &self.context())
    }

    fn context(&self) -> ConnectorContext {
        ConnectorContext {
            project_dir: self.dir.clone(),
            secrets: Arc::clone(&self.system) as _,
            memory: Arc::clone(&self.budget) as _,
        }
    }

    fn connector(&self, kind: &str) -> Result<&Arc<dyn Connector>> {
        self.connectors
            .iter()
            .find(|connector| connector.spec().kind == kind)
            .ok_or_else(|| {
                let kinds: Vec<String> = self.connectors.iter().map(|c| c.spec().kind).collect();
                Failure::new(
                    "R0910",
                    Remedy::FixConfig,
                    format!("there is no connector of type `{kind}`"),
                )
                .help(format!("there are: {}", kinds.join(", ")))
            })
    }
}

/// The specs of every connector of this binary.
pub(crate) fn connector_specs() -> Vec<ConnectorSpec> {
    towpath_connectors::connectors()
        .iter()
        .map(|connector| connector.spec())
        .collect()
}

/// What the connector of a connection is.
pub(crate) fn spec_of(kind: &str) -> Option<ConnectorSpec> {
    connector_specs().into_iter().find(|spec| spec.kind == kind)
}

/// True when the objects of a connection are files.
pub(crate) fn holds_files(kind: &str) -> bool {
    spec_of(kind).is_some_and(|spec| spec.objects == ObjectKind::Files)
}

/// The kind of connection that reads and writes paths; a binary without one has none of its uses.
pub(crate) fn files_kind() -> String {
    let specs = connector_specs().into_iter();
    let mut of_files = specs.filter(|spec| spec.objects == ObjectKind::Files);
    of_files.next().map(|spec| spec.kind).unwrap_or_default()
}

/// The connector that URLs of a scheme mean.
pub(crate) fn of_scheme<'s>(specs: &'s [ConnectorSpec], scheme: &str) -> Result<&'s ConnectorSpec> {
    let databases = || {
        specs
            .iter()
            .filter(|spec| spec.objects == ObjectKind::Tables)
    };
    let found = databases().find(|spec| spec.schemes.iter().any(|known| known == scheme));
    found.ok_or_else(|| {
        let known: Vec<&str> = databases()
            .flat_map(|spec| &spec.schemes)
            .map(String::as_str)
            .collect();
        Failure::new(
            "R0915",
            Remedy::FixConfig,
            format!("there is no connector for `{scheme}://`"),
        )
        .help(format!("there are: {}", known.join(", ")))
    })
}

/// A folder that goes when it is dropped.
pub(crate) fn scratch() -> Result<TempDir> {
    tempfile::tempdir().map_err(|error| {
        Failure::new(
            "R0913",
            Remedy::FixConfig,
            format!("a temporary folder cannot be created: {error}"),
        )
    })
}

/// Splits and threads to use at once.
pub(crate) fn parallelism() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// The lakehouse, and the folder of its rejected rows, which is closed to other users. Who may read objects
/// of a bucket is decided there.
fn open_lake(
    root: &str,
    variables: &BTreeMap<String, String>,
    budget_bytes: u64,
) -> Result<(Lake, Option<PathBuf>)> {
    let lake = Lake::open_with(root, variables, budget_bytes)?;
    let folder = (!root.contains("://")).then(|| Path::new(root).join(QUARANTINE_SCHEMA));
    if let Some(folder) = &folder {
        private_files::close_one(folder);
    }
    Ok((lake, folder))
}

/// Where the lakehouse is: a URL as it is, a path below the project's folder.
fn lake_root(dir: &Path, lakehouse: &str) -> String {
    match lakehouse.contains("://") {
        true => lakehouse.to_owned(),
        false => dir.join(lakehouse).display().to_string(),
    }
}

fn not_made(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        "R0912",
        Remedy::FixConfig,
        format!("{} cannot be created: {error}", path.display()),
    )
    .help("check the folder's permissions and free space")
}
