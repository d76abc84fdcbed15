//! The lakehouse: Delta tables in a storage, written so that nothing half-done is ever visible.
//!
//! Promise: a write is made of uncommitted files until one log entry makes it visible together with
//! its token; values are exact or refused (`types.rs`); merges are our own (`merge.rs`) and bounded
//! in memory. It knows no SQL: the session half turns `LakeCandidate` into something it can plan.
//! Read next: `open.rs` (how it is opened), `storage/mod.rs`, `writer.rs`, `commit.rs`, then `merge.rs`.

mod absent;
mod attempt_files;
mod attempt_marker;
mod bitmap;
mod blanks;
mod block_sums;
mod candidate;
mod cause;
mod checkpoint;
mod commit;
mod commit_log;
mod convert;
mod damage;
mod data_file_error;
mod data_files;
mod drop;
mod entry;
mod error;
mod error_help;
mod evolve;
mod file_stats;
mod files;
mod keys;
mod lenient;
mod log;
mod maintenance;
mod mask_change;
mod masks;
mod merge;
mod names;
mod object_file;
mod open;
mod position;
mod previous;
mod read;
mod row_history_refusal;
mod scd2;
mod sealed;
mod storage;
mod sweep;
mod table;
mod table_history;
mod text;
mod types;
mod verified;
mod verify;
mod view;
mod views;
mod writer;

#[cfg(test)]
mod tests;

pub use candidate::{LakeCandidate, LakeFile};
pub(crate) use cause::brief;
pub(crate) use data_file_error::FileName;
pub use error::LakeError;
pub use maintenance::{CommitsAtVersion, Compacted, Restored};
pub(crate) use object_file::ObjectFile;
pub use open::{Lake, TableDescription};
pub use sweep::DeletedFiles;
pub use table_history::TableHistoryEntry;
pub use text::from_text;
pub use verify::{DamagedFile, VerifiedTable};
pub use view::View;
