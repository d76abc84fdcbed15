//! The `sqlite` connector: its spec as data, and how to open its source, destination and discovery.
//!
//! Promise: to open one reads options and touches no file. Read next: `source.rs`, `destination.rs`.

use std::sync::Arc;

use towpath_ports::{
    Connector, ConnectorContext, Destination, Discover, Result, Source, Statements,
};
use towpath_vocab::{
    Capability, ConnectionPlan, ConnectorSpec, Guarantee, ObjectKind, OptionKind, OptionSpec,
    OptionUse, Proof, ProvenSystem, ReadMode, WriteMode,
};

use super::destination::SqliteTables;
use super::discover::SqliteDiscover;
use super::session::Settings;
use super::source::SqliteSource;
use super::statements::SqliteStatements;
use crate::relational::destination::TableDestination;

/// How files are named that are SQLite databases.
const ENDINGS: [&str; 4] = [".db", ".sqlite", ".sqlite3", ".db3"];

/// A SQLite database file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sqlite;

impl Connector for Sqlite {
    fn spec(&self) -> ConnectorSpec {
        let option = |name: &str, kind, required, doc: &str| OptionSpec {
            name: name.to_owned(),
            kind,
            required,
            per_table: false,
            table_only: false,
            used_by: OptionUse::Always,
            doc: doc.to_owned(),
        };
        ConnectorSpec {
            kind: "sqlite".to_owned(),
            doc: "A SQLite database file.".to_owned(),
            objects: ObjectKind::Tables,
            capabilities: vec![
                Capability::Source,
                Capability::Destination,
                Capability::Discover,
                Capability::Sql,
            ],
            options: vec![
                option(
                    "path",
                    OptionKind::Path,
                    true,
                    "The database file, relative to the project folder.",
                ),
                option(
                    "busy_timeout_ms",
                    OptionKind::Integer,
                    false,
                    "How long to wait for other processes; default 5000.",
                ),
            ],
            limits: Vec::new(),
            reads: vec![ReadMode::Full, ReadMode::Incremental],
            needs_cursor: true,
            tells_version: false,
            keeps_text: false,
            writes: vec![
                WriteMode::Replace,
                WriteMode::Append,
                WriteMode::Merge,
                WriteMode::DeleteInsert,
                WriteMode::InsertOnly,
            ],
            guarantee: Guarantee::ExactlyOnce,
            proven: ProvenSystem::all(Proof::RealSystem, ["SQLite 3"]),
            schemes: vec!["sqlite".to_owned()],
            endings: ENDINGS.map(str::to_owned).to_vec(),
        }
    }

    fn source(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Source>> {
        let settings = Settings::read(connection, context)?;
        Ok(Arc::new(SqliteSource {
            settings,
            memory: Arc::clone(&context.memory),
        }))
    }

    fn destination(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Destination>> {
        let settings = Settings::read(connection, context)?;
        Ok(Arc::new(TableDestination(SqliteTables {
            settings,
            memory: Arc::clone(&context.memory),
        })))
    }

    fn discover(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Discover>> {
        Ok(Arc::new(SqliteDiscover {
            settings: Settings::read(connection, context)?,
        }))
    }

    fn statements(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Statements>> {
        Ok(Arc::new(SqliteStatements {
            settings: Settings::read(connection, context)?,
        }))
    }
}
