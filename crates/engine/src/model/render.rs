//! A model's final SQL: what the plan holds.
//!
//! Promise: a model whose text depends on what the warehouse holds is never run from a guess. It
//! knows no Jinja: that is `towpath_template`'s. Read next: `run.rs`.

use towpath_ports::{ModelRequest, Result};
use towpath_vocab::{Failure, Remedy};

use crate::session::Engine;

/// The SQL to plan.
pub(super) async fn sql(_engine: &Engine, request: &ModelRequest) -> Result<String> {
    match &request.model.sql {
        Some(sql) if !request.model.deferred => Ok(sql.clone()),
        _ => Err(Failure::new(
            "R0513",
            Remedy::FixConfig,
            format!("model `{}` asks the warehouse while it is rendered, which this version cannot do", request.model.name),
        )),
    }
}
