//! The interface of a connector: its spec, and how to open its source, destination and discovery.
//!
//! Promise: opening reads options and contacts no system. If a connector has no source, destination or
//! discovery, opening it fails with `Refused`. Read next: `source.rs`, `destination.rs`, and
//! `connectors/src/registry.rs` for all connectors.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use towpath_vocab::{ConnectionPlan, ConnectorSpec};

use crate::{Destination, Memory, Result, Secrets, Source};

/// What a connector is given when a connection is opened.
#[derive(Clone)]
pub struct ConnectorContext {
    /// The project folder: relative paths start here.
    pub project_dir: PathBuf,
    /// Resolves secret options.
    pub secrets: Arc<dyn Secrets>,
    /// The memory budget.
    pub memory: Arc<dyn Memory>,
}

/// One kind of outside system. Faces it does not have answer with a `Refused` failure.
pub trait Connector: Send + Sync {
    /// What it is, as data.
    fn spec(&self) -> ConnectorSpec;

    /// Reads from a connection.
    fn source(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Source>>;

    /// Writes to a connection.
    fn destination(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Destination>>;

    /// Looks around in a connection.
    fn discover(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Discover>>;
}

/// Looks around in an outside system.
#[async_trait]
pub trait Discover: Send + Sync {
    /// The tables (files, topics) whose names match a glob; `*` for all.
    async fn tables(&self, pattern: &str) -> Result<Vec<String>>;

    /// One table's columns and key.
    async fn describe(&self, object: &str) -> Result<Discovered>;

    /// Tries to connect.
    async fn test(&self) -> Result<TestReport>;
}

/// What was found out about a table.
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
    /// About how many rows.
    pub rows: Option<u64>,
    /// Mappings that lose something, and other notes.
    pub notes: Vec<String>,
}

/// What a connection test found.
#[derive(Clone, Debug)]
pub struct TestReport {
    /// Product and version: `PostgreSQL 15.18`.
    pub system: String,
    /// Notes: replica, pooler, missing rights.
    pub notes: Vec<String>,
}
