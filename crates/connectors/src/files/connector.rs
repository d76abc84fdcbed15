//! The `files` connector: opens the source, the destination and the discovery of a connection.
//!
//! Promise: to open one reads options and touches no file and no bucket. Its options are in `spec.rs`. Read next:
//! `source.rs`, `write/destination.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use towpath_ports::{
    Connector, ConnectorContext, Destination, Discover, Result, Source, TableOptions,
};
use towpath_vocab::{ConnectionPlan, ConnectorSpec};

use super::discover::FilesDiscover;
use super::error::FilesError;
use super::http::error::HttpError;
use super::http::url::is_http;
use super::http_folder::HttpFolder;
use super::names::name_parts;
use super::options::Options;
use super::root::Root;
use super::source::FilesSource;
use super::spec::spec;
use super::write::FilesDestination;

/// The variables that say how a bucket is reached.
pub(super) fn bucket_variables(context: &ConnectorContext) -> BTreeMap<String, String> {
    let begins = towpath_buckets::VARIABLES.into_iter();
    begins
        .flat_map(|begin| context.secrets.variables(begin))
        .collect()
}

/// CSV, JSON lines, JSON, XML, Parquet, Avro, Arrow and Excel files in a folder or a bucket.
#[derive(Clone, Copy, Debug, Default)]
pub struct FilesConnector;

fn open(
    connection: &ConnectionPlan,
    context: &ConnectorContext,
) -> Result<FilesSource, FilesError> {
    let Some(path) = connection.text("path") else {
        return Err(FilesError::NoPath {
            connection: connection.name.clone(),
        });
    };
    // Wrong options show when a connection is opened, not at the first table.
    Options::read(&connection.options, &BTreeMap::new())?;
    let variables = || bucket_variables(context);
    let root = match is_http(path) {
        true => Root::Server(HttpFolder::open(path, connection, context)?),
        false => {
            refuse_auth(connection)?;
            Root::of(&context.project_dir, path, variables)?
        }
    };
    Ok(FilesSource {
        connection: connection.clone(),
        root,
        context: context.clone(),
    })
}

/// Credentials of a folder or a bucket are not the project's.
fn refuse_auth(connection: &ConnectionPlan) -> Result<(), FilesError> {
    let mut options = connection.options.keys();
    match options.any(|option| option == "auth" || option.starts_with("auth.")) {
        false => Ok(()),
        true => Err(FilesError::Http(HttpError::Option {
            connection: connection.name.clone(),
            option: "auth".to_owned(),
            why: "is for a `path` that begins with `https://` or `http://`".to_owned(),
        })),
    }
}

impl Connector for FilesConnector {
    fn spec(&self) -> ConnectorSpec {
        spec()
    }

    fn check_options(&self, connection: &ConnectionPlan, table: &TableOptions<'_>) -> Result<()> {
        Options::refuse_unused(&connection.options)?;
        let options = Options::read(&connection.options, table.options)?;
        let ending = table.object.and_then(|object| {
            let name = object.rsplit('/').next().unwrap_or(object);
            name_parts(name).format
        });
        if let Some(format) = options.format.or(ending) {
            match table.is_written {
                true => options.written_as(format)?,
                false => options.of_format(format)?,
            };
        }
        Ok(())
    }

    fn source(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Source>> {
        Options::refuse_unused(&connection.options)?;
        Ok(Arc::new(open(connection, context)?))
    }

    fn destination(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Destination>> {
        Options::refuse_unused(&connection.options)?;
        Ok(Arc::new(FilesDestination::new(open(connection, context)?)))
    }

    fn discover(
        &self,
        connection: &ConnectionPlan,
        context: &ConnectorContext,
    ) -> Result<Arc<dyn Discover>> {
        Ok(Arc::new(FilesDiscover {
            source: open(connection, context)?,
        }))
    }
}
