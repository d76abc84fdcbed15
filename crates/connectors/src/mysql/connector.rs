//! The `mysql` connector: its spec as data, and how to open its source and discovery.
//!
//! Promise: opening one reads options and contacts nobody; the URL stays a secret until a capability
//! connects. Read next: `source.rs`, `destination.rs`, `discover.rs`.

use std::sync::Arc;

use towpath_ports::{
    Connector, ConnectorContext, Destination, Discover, Result, Source, Statements,
};
use towpath_vocab::{
    Capability, ConnectionPlan, ConnectorSpec, Guarantee, ObjectKind, OptionKind, OptionSpec,
    OptionUse, Proof, ProvenSystem, ReadMode,
};

use super::destination::MysqlTables;
use super::discover::MysqlDiscover;
use super::settings::Settings;
use super::source::MysqlSource;
use super::statements::MysqlStatements;
use crate::relational::destination::TableDestination;
use crate::relational::modes::MODES;

/// MySQL, MariaDB, and what speaks their protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mysql;

impl Connector for Mysql {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            kind: "mysql".to_owned(),
            doc: "MySQL 5.7 or later, or MariaDB 10.3 or later; MySQL can be written from 8.0 on."
                .to_owned(),
            objects: ObjectKind::Tables,
            capabilities: vec![
                Capability::Source,
                Capability::Destination,
                Capability::Discover,
                Capability::Sql,
            ],
            options: options(),
            limits: vec!["connections".to_owned()],
            reads: vec![ReadMode::Full, ReadMode::Incremental],
            needs_cursor: true,
            tells_version: false,
            keeps_text: false,
            writes: MODES.to_vec(),
            guarantee: Guarantee::ExactlyOnce,
            proven: ProvenSystem::all(Proof::RealSystem, ["MariaDB 10.11", "MySQL 8.0"]),
            schemes: vec!["mysql".to_owned(), "mariadb".to_owned()],
            endings: Vec::new(),
        }
    }

    fn source(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(MysqlSource {
            settings: Settings::read(connection, context)?,
            memory: Arc::clone(&context.memory),
        }))
    }

    fn destination(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Destination>> {
        Ok(Arc::new(TableDestination(MysqlTables {
            settings: Settings::read(connection, context)?,
            memory: Arc::clone(&context.memory),
        })))
    }

    fn discover(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Discover>> {
        Ok(Arc::new(MysqlDiscover {
            settings: Settings::read(connection, context)?,
        }))
    }

    fn statements(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Statements>> {
        Ok(Arc::new(MysqlStatements {
            settings: Settings::read(connection, context)?,
        }))
    }
}

fn options() -> Vec<OptionSpec> {
    let rules = ["reject", "to_null"].map(str::to_owned).to_vec();
    vec![
        OptionSpec {
            name: "url".to_owned(),
            kind: OptionKind::Secret,
            required: true,
            per_table: false,
            table_only: false,
            used_by: OptionUse::Always,
            doc: "mysql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full".to_owned(),
        },
        OptionSpec {
            name: "zero_dates".to_owned(),
            kind: OptionKind::OneOf(rules),
            required: false,
            per_table: true,
            table_only: false,
            used_by: OptionUse::Reads,
            doc: "What becomes of the date 0000-00-00: its row is rejected (`reject`, the default), or it is read as NULL (`to_null`).".to_owned(),
        },
    ]
}
