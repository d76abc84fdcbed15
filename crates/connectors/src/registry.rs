//! The list of all connectors, one line each.
//!
//! Nothing else in the program names them: a connection finds its connector by the `type` in its spec.
//! Read next: `ports/src/connector.rs`; CONTRIBUTING.md has a walk for a new one.

use std::sync::Arc;

use towpath_ports::Connector;

use crate::adbc::Adbc;
use crate::alerts::{AlertConnector, AlertForm};
use crate::files::FilesConnector;
use crate::mysql::Mysql;
use crate::postgres::Postgres;
use crate::program::Program;
use crate::rest::Rest;
use crate::singer::Singer;
use crate::sqlite::Sqlite;

/// All connectors, in the order of their kinds.
pub fn connectors() -> Vec<Arc<dyn Connector>> {
    vec![
        Arc::new(Adbc),
        Arc::new(FilesConnector),
        Arc::new(Mysql),
        Arc::new(AlertConnector(AlertForm::Opsgenie)),
        Arc::new(AlertConnector(AlertForm::PagerDuty)),
        Arc::new(Postgres),
        Arc::new(Program),
        Arc::new(Rest),
        Arc::new(Singer),
        Arc::new(AlertConnector(AlertForm::Slack)),
        Arc::new(Sqlite),
        Arc::new(AlertConnector(AlertForm::Teams)),
        Arc::new(AlertConnector(AlertForm::Webhook)),
    ]
}
