//! The kinds of checks: how each is measured, when it passes, what its failure says.
//!
//! Promise: `kinds.rs` is all that this crate knows of a single kind. `definition.rs` says what a kind must
//! answer, `words.rs` how numbers are written. No data is read here. Read next: `../metrics.rs` (measures
//! while rows are written), `../check_query.rs` (measures with queries), `../audit.rs` (judges).

mod definition;
mod kinds;
mod words;

pub(crate) use definition::{CheckedTable, Count, Found, Known, Measured, SAMPLES, Watch};
pub(crate) use kinds::definition;
pub(crate) use words::group_thousands;
