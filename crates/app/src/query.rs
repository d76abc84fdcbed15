//! `query`: runs one read-only SQL statement on the lakehouse and on files.
//!
//! Promise: a statement that changes data is refused. The dialect and the plan are in `engine::session`;
//! the rows are printed by `cli/src/draw/rows.rs`.

use std::collections::BTreeMap;

use towpath_ports::{Query, QueryResult};

use crate::Result;
use crate::services::ProjectServices;

/// The request of a query.
#[derive(Clone, Debug)]
pub struct QueryRequest {
    /// One SQL statement.
    pub sql: String,
}

/// Runs one read-only statement.
pub async fn query(services: &ProjectServices, request: &QueryRequest) -> Result<QueryResult> {
    services.engine.query(&request.sql, &BTreeMap::new()).await
}
