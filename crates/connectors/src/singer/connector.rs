//! The `singer` connector: opens the source, the destination and the discovery of a connection.
//!
//! Promise: to open one reads options and starts nothing. Its options are in `spec.rs`. Read next:
//! `source.rs`.

use std::sync::Arc;

use towpath_ports::{Connector, ConnectorContext, Destination, Discover, Result, Source};
use towpath_vocab::{ConnectionPlan, ConnectorSpec};

use super::discover::SingerDiscover;
use super::settings::Settings;
use super::source::SingerSource;
use super::spec::spec;
use super::tap::Tap;
use super::target::SingerTarget;

/// Singer taps and targets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Singer;

fn open(connection: &ConnectionPlan, context: &ConnectorContext) -> Result<SingerSource> {
    let settings = Settings::read(connection, &context.project_dir)?;
    Ok(SingerSource {
        tap: Tap {
            settings: Arc::new(settings),
            context: context.clone(),
        },
    })
}

impl Connector for Singer {
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
        let settings = Settings::read(connection, &context.project_dir)?;
        Ok(Arc::new(SingerTarget {
            settings: Arc::new(settings),
            context: context.clone(),
        }))
    }

    fn discover(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Discover>> {
        Ok(Arc::new(SingerDiscover {
            source: open(connection, context)?,
        }))
    }
}
