//! What the `postgres` connector is, as data, and the way to its capabilities.
//!
//! Promise: opening a capability reads options and contacts nobody; the URL stays a secret until a capability
//! connects. Read next: `source.rs`, `destination.rs`, `discover.rs`.

use std::sync::Arc;

use towpath_ports::{
    Connector, ConnectorContext, Destination, Discover, Result, Source, Statements,
};
use towpath_vocab::{
    Capability, ConnectionPlan, ConnectorSpec, Guarantee, ObjectKind, OptionKind, OptionSpec,
    OptionUse, Proof, ProvenSystem, ReadMode, WriteMode,
};

use super::destination::PostgresTables;
use super::discover::PostgresDiscover;
use super::settings::Settings;
use super::source::PostgresSource;
use super::statements::PostgresStatements;
use crate::relational::destination::TableDestination;

/// PostgreSQL, and what speaks its protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct Postgres;

impl Connector for Postgres {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            kind: "postgres".to_owned(),
            doc: "PostgreSQL 10 or later.".to_owned(),
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
            writes: vec![
                WriteMode::Replace,
                WriteMode::Append,
                WriteMode::Merge,
                WriteMode::DeleteInsert,
                WriteMode::InsertOnly,
            ],
            guarantee: Guarantee::ExactlyOnce,
            proven: ProvenSystem::all(Proof::RealSystem, ["PostgreSQL 15"]),
            schemes: vec!["postgres".to_owned(), "postgresql".to_owned()],
            endings: Vec::new(),
        }
    }

    fn source(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Source>> {
        let settings = Settings::read(connection, context)?;
        Ok(Arc::new(PostgresSource {
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
        Ok(Arc::new(TableDestination(PostgresTables {
            settings,
            memory: Arc::clone(&context.memory),
        })))
    }

    fn discover(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Discover>> {
        Ok(Arc::new(PostgresDiscover {
            settings: Settings::read(connection, context)?,
        }))
    }

    fn statements(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Statements>> {
        Ok(Arc::new(PostgresStatements {
            settings: Settings::read(connection, context)?,
        }))
    }
}

fn options() -> Vec<OptionSpec> {
    let option = |name: &str, kind, required, per_table, doc: &str| OptionSpec {
        name: name.to_owned(),
        kind,
        required,
        per_table,
        table_only: false,
        used_by: match name {
            "late_rows" => OptionUse::Reads,
            "replace" => OptionUse::Writes,
            _ => OptionUse::Always,
        },
        doc: doc.to_owned(),
    };
    let words =
        |words: &[&str]| OptionKind::OneOf(words.iter().map(|word| (*word).to_owned()).collect());
    vec![
        option(
            "url",
            OptionKind::Secret,
            true,
            false,
            "postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full",
        ),
        option(
            "schema",
            OptionKind::Text,
            false,
            false,
            "The schema of tables that are named without a schema; default public.",
        ),
        option(
            "commits_schema",
            OptionKind::Text,
            false,
            false,
            "The schema of `_towpath_commits`; default the target's schema.",
        ),
        option(
            "late_rows",
            words(&["exact", "hold", "lookback"]),
            false,
            true,
            "How incremental reads find rows that commit late: by their transaction (`exact`, `hold`), or only within the `lookback`.",
        ),
        option(
            "replace",
            words(&["delete", "truncate"]),
            false,
            true,
            "How a replace empties the table: `delete` never blocks readers; `truncate` is faster, but blocks readers.",
        ),
    ]
}
