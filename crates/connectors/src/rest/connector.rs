//! The `rest` connector: opens the source, the destination and the discovery of a connection.
//!
//! Promise: to open one reads options and contacts nobody. Its options are in `spec.rs`. Read next:
//! `source.rs`.

use std::sync::Arc;

use towpath_ports::{Connector, ConnectorContext, Destination, Discover, Result, Source};
use towpath_vocab::{ConnectionPlan, ConnectorSpec};

use super::connection::ConnectionOptions;
use super::discover::RestDiscover;
use super::source::RestSource;
use super::spec::spec;
use super::write::RestDestination;

/// An API over HTTP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rest;

fn open(connection: &ConnectionPlan, context: &ConnectorContext) -> Result<RestSource> {
    Ok(RestSource {
        plan: connection.clone(),
        options: ConnectionOptions::read(connection)?,
        context: context.clone(),
    })
}

impl Connector for Rest {
    fn spec(&self) -> ConnectorSpec {
        spec()
    }

    fn source(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(open(connection, context)?))
    }

    fn destination(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Destination>> {
        Ok(Arc::new(RestDestination {
            plan: connection.clone(),
            options: ConnectionOptions::read(connection)?,
            context: context.clone(),
        }))
    }

    fn discover(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Discover>> {
        Ok(Arc::new(RestDiscover {
            source: open(connection, context)?,
        }))
    }
}
