//! Every connector, one line each.

use std::sync::Arc;

use towpath_ports::Connector;

use crate::files::FilesConnector;
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;

/// All connectors, in the order of their kinds.
pub fn connectors() -> Vec<Arc<dyn Connector>> {
    vec![
        Arc::new(FilesConnector),
        Arc::new(Postgres),
        Arc::new(Sqlite),
    ]
}
