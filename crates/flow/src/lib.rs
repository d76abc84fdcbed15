//! The one data path: reader -> operators -> audit -> writer, for batch, incremental, CDC and streams.
//!
//! Promise: every row that is read is loaded, filtered by the user, or rejected with a reason, and no row
//! is visible before its checks have passed. It knows no connector, no SQL engine and no project file; it
//! uses them through `ports`. Read next: `transfer.rs` (the loop), `tables.rs` and `output.rs` (the
//! tables), `chain.rs` (the operators), `audit.rs` and `checks/` (checks before the commit).

mod audit;
mod audit_columns;
mod budget;
mod chain;
mod check_query;
mod checks;
mod checksum;
mod codes;
mod commit_observer;
mod compare;
mod date_bounds;
mod dedup;
mod limits;
mod mask;
mod metrics;
mod ops;
mod output;
mod output_spec;
mod predicate;
mod projection;
mod quarantine;
mod refusals;
mod repeats;
mod row_history;
mod schema_policy;
mod seal;
mod services;
mod sorted_runs;
mod spill;
mod split_merger;
mod summary;
mod surrogate_key;
mod tables;
mod text;
mod transfer;
mod unique;
mod validator;
mod values;
mod view;
mod watermarks;
mod writing;

pub use budget::Budget;
pub use checksum::{Checksums, SumDifference, missing_columns};
pub use codes::CODES;
pub use commit_observer::CommitObserver;
pub use compare::{Differences, TableVersions, can_compare, differences};
pub use services::TransferServices;
pub use transfer::{CommitCadence, Transfer, run_transfer};

pub use mask::mask_words;
pub use output_spec::{OperatorFactory, OutputSpec, SkipCommit};
pub use projection::refuse_unknown_columns;
pub use quarantine::{QUARANTINE_SCHEMA, quarantine_columns, quarantine_table};
pub use repeats::key_repeats;
pub use seal::{RecordSeal, SealKeys, StoredRecord, WITHHELD};
pub use spill::SpillFolder;
pub use summary::{OutputSummary, Progress, RuleCount, TransferSummary};
pub use view::judge_view;
