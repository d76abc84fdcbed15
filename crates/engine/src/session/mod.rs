//! The SQL session over the lakehouse: limited memory, pinned tables, views, candidates, messages.
//!
//! Promise: everything that runs SQL in this crate gets its catalog from `Engine`, so limits, functions and
//! pinned versions are the same everywhere. Read next: `engine.rs`, `catalog.rs`, `settings.rs`.

pub(crate) mod border;
mod bounds;
pub(crate) mod catalog;
mod engine;
pub(crate) mod exact;
pub(crate) mod failure;
mod files;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod holdings;
pub(crate) mod information;
#[cfg(test)]
mod meaning;
mod names;
pub(crate) mod permits;
mod pool;
mod pushdown;
pub(crate) mod recursion;
mod scan;
pub(crate) mod settings;
mod spill;
pub(crate) mod stand_in;
pub(crate) mod statement;
mod sum;
#[cfg(test)]
mod tests;
pub(crate) mod watchdog;

pub use engine::{Engine, EngineOptions};
pub use settings::EngineLimits;
