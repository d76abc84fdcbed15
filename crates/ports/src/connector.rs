//! The interface of a connector: its spec, and how to open its source, destination and discovery.
//!
//! Promise: opening reads options and contacts no system. If a connector has no source, destination or
//! discovery, opening it fails with `Refused`. Read next: `source.rs`, `destination.rs`, and
//! `connectors/src/registry.rs` for all connectors.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use towpath_vocab::{ConnectionPlan, ConnectorSpec, Failure, Remedy};

use crate::{AlertChannel, Destination, Memory, Result, Secrets, Source, Statements};

/// The services that a connector gets when a connection is opened.
#[derive(Clone)]
pub struct ConnectorContext {
    /// The project folder; relative paths are relative to it.
    pub project_dir: PathBuf,
    /// Resolves secret options.
    pub secrets: Arc<dyn Secrets>,
    /// The memory budget.
    pub memory: Arc<dyn Memory>,
}

/// The options of one table of a connection.
#[derive(Clone, Copy, Debug)]
pub struct TableOptions<'a> {
    /// The object, as the system names it; `None` for a query.
    pub object: Option<&'a str>,
    /// Its own options.
    pub options: &'a BTreeMap<String, serde_json::Value>,
    /// True if the table is written.
    pub is_written: bool,
}

/// One kind of external system. A method for a capability that it does not have fails with `Refused`.
pub trait Connector: Send + Sync {
    /// Its description, as data.
    fn spec(&self) -> ConnectorSpec;

    /// Refuses values of options that cannot be meant, without contacting the system: those of a connection,
    /// with those of one of its tables over them. A connector that judges them later accepts all.
    fn check_options(&self, _connection: &ConnectionPlan, _table: &TableOptions<'_>) -> Result<()> {
        Ok(())
    }

    /// Opens the source of a connection.
    fn source(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Source>>;

    /// Opens the destination of a connection.
    fn destination(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Destination>>;

    /// Opens the discovery of a connection.
    fn discover(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Discover>>;

    /// Opens the channel of a connection that takes alerts.
    fn alerts(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn AlertChannel>> {
        let _ = context;
        let ConnectionPlan { name, kind, .. } = connection;
        let message = format!("connection `{name}` of type `{kind}` takes no alerts");
        Err(Failure::new("R0730", Remedy::FixConfig, message)
            .help("to list the types that do: towpath connection types"))
    }

    /// Opens a connection in which statements of the user run.
    fn statements(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Statements>> {
        let _ = context;
        let ConnectionPlan { name, kind, .. } = connection;
        let message = format!("connection `{name}` of type `{kind}` runs no SQL");
        Err(Failure::new("R0349", Remedy::FixConfig, message)
            .help("to list the types that do: towpath connection types"))
    }
}

/// Lists and describes the tables of an external system.
#[async_trait]
pub trait Discover: Send + Sync {
    /// The tables (files, topics) whose names match a glob; `*` for all.
    async fn tables(&self, pattern: &str) -> Result<Vec<String>>;

    /// One table's columns and key.
    async fn describe(&self, object: &str) -> Result<Discovered>;

    /// Tries to connect.
    async fn test(&self) -> Result<TestReport>;

    /// Asks for an object that the connection does not declare, and proposes its table. `None` where a
    /// connection needs no declarations.
    async fn propose(&self, _path: &str) -> Result<Option<Proposal>> {
        Ok(None)
    }
}

/// How an object of a system could be declared.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// A name for the table.
    pub table: String,
    /// Options of the table at the connection.
    pub options: Vec<ProposedKey>,
    /// Keys of the table in a pipeline, if they differ from the defaults.
    pub load: Vec<ProposedKey>,
    /// What was not found, limits of the system, and other notes.
    pub notes: Vec<String>,
}

/// A key that is proposed.
#[derive(Clone, Debug)]
pub struct ProposedKey {
    /// Its name in the project's files.
    pub name: String,
    /// Its value.
    pub value: serde_json::Value,
    /// What shows it; may be empty.
    pub why: String,
    /// Whether the system has not shown it.
    pub is_guess: bool,
}

/// What the discovery found about a table.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// The object's name.
    pub object: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// Its primary key.
    pub key: Vec<String>,
    /// A column that looks like a cursor (`updated_at`), if there is one.
    pub cursor: Option<String>,
    /// The approximate number of rows.
    pub rows: Option<u64>,
    /// Type mappings that lose information, and other notes.
    pub notes: Vec<String>,
}

/// The result of a connection test.
#[derive(Clone, Debug)]
pub struct TestReport {
    /// Product and version: `PostgreSQL 15.18`.
    pub system: String,
    /// Notes about it: a replica, a pooler, missing permissions.
    pub notes: Vec<String>,
}
