//! The one data path: reader -> operators -> gates -> writer, for batch, incremental, CDC and streams.
//!
//! Promise: every row that is read is loaded, filtered by the user, or set aside with a reason, and
//! nothing is visible before its audit passed. It knows no connector, no SQL engine and no project
//! file; it meets them through `ports`. Read next: `transfer.rs` (the loop), `output.rs` (one table),
//! `audit.rs` (checks before the commit).

mod ask;
mod audit;
mod budget;
mod dedup;
mod intake;
mod mask;
mod metrics;
mod output;
mod predicate;
mod projection;
mod quarantine;
mod summary;
mod text;
mod transfer;
mod unique;
mod validator;
mod values;
mod view;
mod writing;

pub use budget::Budget;
pub use transfer::{Cadence, Services, Transfer, run_transfer};

pub use output::{OutputSpec, RowFilter};
pub use quarantine::{QUARANTINE_SCHEMA, quarantine_columns, quarantine_table};
pub use summary::{OutputSummary, Progress, RuleCount, TransferSummary};
pub use view::judge_view;
