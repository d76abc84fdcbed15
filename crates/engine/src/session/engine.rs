//! The engine: one lakehouse, one memory pool, many statements.
//!
//! Promise: opening does no I/O except creating the spill folder. Each statement gets a new catalog of the
//! lakehouse. Read next: `query.rs`, `expression.rs` and `model/run.rs` for what it does with statements.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::catalog::TableProvider;
use datafusion::execution::session_state::SessionState;
use towpath_ports::{Candidate, NamedFiles};
use towpath_vocab::{Environment, Failure, Remedy, TableName};

use super::catalog::StatementCatalog;
use super::failure::failure;
use super::permits::{ComputePermit, ComputePermits};
use super::spill::SpillFolder;
use super::{EngineLimits, settings, stand_in};
use crate::lake::Lake;

/// The options of an engine.
pub struct EngineOptions {
    /// The lakehouse.
    pub lake: Lake,
    /// Limits of memory, disk and threads.
    pub limits: EngineLimits,
    /// The files that may be queried; `None` for none.
    pub files: Option<Arc<dyn NamedFiles>>,
    /// The variables that `env_var()` can read in templates.
    pub variables: BTreeMap<String, String>,
    /// The environment of models: `target.name` in templates.
    pub environment: Environment,
}

/// Embedded SQL over a lakehouse: queries, expressions, models. Cloning it is cheap.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    lake: Lake,
    session: SessionState,
    files: Option<Arc<dyn NamedFiles>>,
    variables: BTreeMap<String, String>,
    environment: Environment,
    tight: Mutex<BTreeSet<TableName>>,
    permits: ComputePermits,
    // The last field: it is deleted after everything that may still spill.
    _spill: SpillFolder,
}

fn no_spill(limits: &EngineLimits, error: &std::io::Error) -> Failure {
    let folder = limits.spill_folder.display();
    Failure::new(
        "R0522",
        Remedy::FixConfig,
        format!("the spill folder `{folder}` cannot be created: {error}"),
    )
}

impl Engine {
    /// Opens an engine.
    ///
    /// # Errors
    /// R0522 if the spill folder cannot be created.
    pub fn open(options: EngineOptions) -> Result<Self, Failure> {
        let EngineOptions {
            lake,
            limits,
            files,
            variables,
            environment,
        } = options;
        let spill =
            SpillFolder::make(&limits.spill_folder).map_err(|error| no_spill(&limits, &error))?;
        let runtime = settings::runtime(&limits, &spill)
            .map_err(|error| failure("the spill folder", &error))?;
        let session =
            settings::session(&limits, runtime).map_err(|error| failure("the session", &error))?;
        let inner = Inner {
            lake,
            session,
            files,
            variables,
            environment,
            tight: Mutex::default(),
            permits: ComputePermits::default(),
            _spill: spill,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// A session without tables.
    pub(crate) fn bare_session(&self) -> SessionState {
        self.inner.session.clone()
    }

    /// The lakehouse.
    pub fn lake(&self) -> &Lake {
        &self.inner.lake
    }

    pub(crate) fn variables(&self) -> &BTreeMap<String, String> {
        &self.inner.variables
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.inner.environment
    }

    /// A new catalog of the lakehouse for one statement.
    pub(crate) fn statement_catalog(
        &self,
        candidates: &BTreeMap<TableName, Candidate>,
    ) -> Result<Arc<StatementCatalog>, Failure> {
        self.statement_catalog_with(candidates, None)
    }

    /// A new catalog for a query of a user: with files too, unless a candidate is checked.
    pub(crate) fn query_catalog(
        &self,
        candidates: &BTreeMap<TableName, Candidate>,
    ) -> Result<Arc<StatementCatalog>, Failure> {
        let files = self.inner.files.clone();
        self.statement_catalog_with(candidates, files.filter(|_| candidates.is_empty()))
    }

    fn statement_catalog_with(
        &self,
        candidates: &BTreeMap<TableName, Candidate>,
        files: Option<Arc<dyn NamedFiles>>,
    ) -> Result<Arc<StatementCatalog>, Failure> {
        let stand_ins = candidates
            .iter()
            .map(|(name, candidate)| Ok((name.clone(), stand_in::provider(name, candidate)?)))
            .collect::<Result<BTreeMap<TableName, Arc<dyn TableProvider>>, Failure>>()?;
        let session = self.inner.session.clone();
        Ok(StatementCatalog::new(
            self.inner.lake.clone(),
            session,
            stand_ins,
            files,
        ))
    }

    /// Waits for a permit to compute a model; a model that needs all memory computes alone.
    pub(crate) async fn permit(&self, tight: bool) -> ComputePermit {
        match tight {
            true => self.inner.permits.alone().await,
            false => self.inner.permits.shared().await,
        }
    }

    /// True if this model ran out of memory before: it then runs alone, in a form that needs less.
    pub(crate) fn is_tight(&self, model: &TableName) -> bool {
        self.inner
            .tight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(model)
    }

    /// Remembers that a model ran out of memory.
    pub(crate) fn remember_tight(&self, model: &TableName) {
        self.inner
            .tight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(model.clone());
    }
}
