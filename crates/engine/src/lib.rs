//! Embedded SQL and the lakehouse: Delta tables in a folder, and DataFusion over them.
//!
//! Promise: only this crate uses Delta, and DataFusion's sessions and physical plans. The lake half writes and commits tables exactly
//! once. The SQL half runs queries, compiles expressions and runs models, always within limits of memory
//! and disk. It knows no project file, no run and no connector. Read next: `lake/open.rs`, then
//! `session/engine.rs`, `query.rs` and `model/run.rs`.

mod codes;
mod expression;
pub mod lake;
mod model;
mod query;
mod session;

pub use codes::CODES;
pub use expression::expression_failure;
pub use lake::Lake;
pub use session::{Engine, EngineLimits, EngineOptions};
