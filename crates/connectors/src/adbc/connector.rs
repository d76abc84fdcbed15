//! The `adbc` connector: its spec as data, and how to open its source, destination and discovery.
//!
//! Promise: opening one reads options and loads no driver. Read next: `settings.rs`, `source.rs`.

use std::sync::Arc;

use towpath_ports::{Connector, ConnectorContext, Destination, Discover, Result, Source};
use towpath_vocab::{
    Capability, ConnectionPlan, ConnectorSpec, Guarantee, ObjectKind, OptionKind, OptionSpec,
    OptionUse, Proof, ProvenSystem, ReadMode,
};

use super::destination::AdbcTables;
use super::discover::AdbcDiscover;
use super::settings::Settings;
use super::source::AdbcSource;
use crate::relational::destination::TableDestination;
use crate::relational::modes::MODES;

/// Any database that has an ADBC driver.
#[derive(Clone, Copy, Debug, Default)]
pub struct Adbc;

impl Connector for Adbc {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            kind: "adbc".to_owned(),
            doc: "Any database with an ADBC driver, a shared library that is loaded at run time. DuckDB can be written.".to_owned(),
            objects: ObjectKind::Tables,
            capabilities: vec![
                Capability::Source,
                Capability::Destination,
                Capability::Discover,
            ],
            options: options(),
            limits: Vec::new(),
            reads: vec![ReadMode::Full, ReadMode::Incremental],
            needs_cursor: true,
            tells_version: false,
            keeps_text: false,
            writes: MODES.to_vec(),
            guarantee: Guarantee::ExactlyOnce,
            proven: ProvenSystem::all(Proof::RealSystem, ["DuckDB 1.5 and its driver", "PostgreSQL 15 by driver 1.13", "SQLite 3 by driver 1.13"]),
            schemes: Vec::new(),
            endings: Vec::new(),
        }
    }

    fn source(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(AdbcSource {
            settings: Settings::read(connection, context)?,
            memory: Arc::clone(&context.memory),
        }))
    }

    fn destination(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Destination>> {
        Ok(Arc::new(TableDestination(AdbcTables {
            settings: Settings::read(connection, context)?,
            memory: Arc::clone(&context.memory),
        })))
    }

    fn discover(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Discover>> {
        Ok(Arc::new(AdbcDiscover {
            settings: Settings::read(connection, context)?,
        }))
    }
}

fn options() -> Vec<OptionSpec> {
    use OptionKind::{Path, Secret, Text, TextMap};
    let option = |name: &str, kind, doc: &str| OptionSpec {
        name: name.to_owned(),
        kind,
        required: name == "driver",
        per_table: false,
        table_only: false,
        used_by: OptionUse::Always,
        doc: doc.to_owned(),
    };
    vec![
        option(
            "driver",
            Text,
            "The driver: the name of one that is installed (`snowflake`), or the absolute path of its library outside of the project.",
        ),
        option(
            "entrypoint",
            Text,
            "The function that the library starts with; default: by its name. For DuckDB `duckdb_adbc_init`.",
        ),
        option(
            "uri",
            Secret,
            "The address of the database, as the driver wants it: postgresql://USER:PASSWORD@HOST:PORT/DATABASE.",
        ),
        option(
            "path",
            Path,
            "Instead of `uri`: the database file, relative to the project folder.",
        ),
        option(
            "username",
            Text,
            "The user, if the address does not name one.",
        ),
        option("password", Secret, "The password, if the address has none."),
        option(
            "options",
            TextMap,
            "Other options of the driver that are no secrets.",
        ),
        option(
            "secret_options",
            Secret,
            "Other options of the driver that are secrets: a JSON object of texts, {\"OPTION\": \"VALUE\"}.",
        ),
    ]
}
