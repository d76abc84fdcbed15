//! towpath-engine

mod expression;
pub mod lake;
mod model;
mod query;
mod session;

pub use lake::Lake;
pub use session::{Engine, EngineLimits, EngineOptions};
