//! The one data path: reader -> operators -> gates -> writer, for batch, incremental, CDC and streams.
//!
//! Promise: every row that is read is loaded, filtered by the user, or set aside with a reason, and
//! nothing is visible before its audit passed. It knows no connector, no SQL engine and no project
//! file; it meets them through `ports`. Read next: `carry.rs` (the loop), `output.rs` (one table),
//! `audit.rs` (checks before the commit).

mod ask;
mod audit;
mod budget;
mod carry;
mod dedup;
mod guard;
mod intake;
mod mask;
mod metrics;
mod output;
mod quarantine;
mod shape;
mod summary;
mod test;
mod text;
mod unique;
mod values;
mod view;
mod writing;

pub use budget::Budget;
pub use carry::{Cadence, Carry, Services, carry};

pub use output::{OutputSpec, Sieve};
pub use quarantine::{QUARANTINE_SCHEMA, quarantine_columns, quarantine_table};
pub use summary::{CarrySummary, OutputSummary, Progress, RuleCount};
pub use view::judge_view;
