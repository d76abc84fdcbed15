//! The `program` connector: opens the source of a connection.
//!
//! Promise: to open it reads options and starts nothing. Its options are in `spec.rs`. Read next:
//! `source.rs`.

use std::sync::Arc;

use towpath_ports::{Connector, ConnectorContext, Destination, Discover, Result, Source};
use towpath_vocab::{ConnectionPlan, ConnectorSpec, Failure, Remedy};

use super::settings::Settings;
use super::source::ProgramSource;
use super::spec::spec;

/// Programs that print rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Program;

fn only_read(connection: &ConnectionPlan, what: &str) -> Failure {
    let message = format!(
        "connection `{}` starts a program, which is only read: {what}",
        connection.name
    );
    Failure::new("R1427", Remedy::Refused, message)
        .help("a `command` step runs a program that does something else")
}

impl Connector for Program {
    fn spec(&self) -> ConnectorSpec {
        spec()
    }

    fn source(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(ProgramSource {
            settings: Arc::new(Settings::read(connection)?),
            context: context.clone(),
        }))
    }

    fn destination(
        &self,
        connection: &ConnectionPlan,
        _: &ConnectorContext,
    ) -> Result<Arc<dyn Destination>> {
        Err(only_read(connection, "it takes no rows"))
    }

    fn discover(
        &self,
        connection: &ConnectionPlan,
        _: &ConnectorContext,
    ) -> Result<Arc<dyn Discover>> {
        Err(only_read(connection, "it does not list its tables"))
    }
}
