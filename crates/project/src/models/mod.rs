//! SQL models: turns files and dbt's YAML into checked models with columns, lineage and tests.
//!
//! Promise: each model is scanned, resolved and analysed once, parents first. Only a proven mistake is an
//! error; if columns were only observed in the last run, it is a warning. It renders with `template`,
//! analyses with `sql`, and runs nothing. Read next: `check.rs`, then `analyze.rs`.

mod analyze;
mod check;
mod draft;
mod place;
mod plan;
mod properties;
mod read;
mod resolve;
mod select;
mod tests_of;

pub(crate) use check::{ModelCheckInput, check};
pub(crate) use draft::Model;
pub(crate) use properties::{Properties, read as properties};
pub(crate) use select::{select, unused};
pub(crate) use tests_of::source_tests;
