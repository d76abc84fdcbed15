//! Embedded SQL and lakehouse: Delta tables on a folder, DataFusion over them.
//!
//! Promise: the heaviest dependencies are fenced here. The lake half writes and commits tables exactly
//! once; the SQL half answers queries, compiles expressions and runs models, always within bounds of
//! memory and disk. It knows no project file, no run and no other connector.
//! Read next: `lake/open.rs`, then `session/engine.rs`, `query.rs` and `model/run.rs`.

mod codes;
mod expression;
pub mod lake;
mod model;
mod query;
mod session;

pub use codes::CODES;
pub use lake::Lake;
pub use session::{Engine, EngineLimits, EngineOptions};
