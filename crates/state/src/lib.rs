//! The durable state store on SQLite: runs, tasks, events, facts, check results, lineage.
//!
//! Promise: every change of a task commits with its event row, or not at all; deleting the file
//! costs history and nothing else, because what makes a load exactly-once lives in the destination.
//! It knows no graph and no trigger rule: it compares and sets. The only clock is the one its
//! callers pass. Read next: `schema.rs` (the tables), `runs.rs` (the operations), `writer.rs` (how
//! they reach the disk), then `ports::StateStore`.

mod codec;
mod error;
mod findings;
mod history;
mod liveness;
mod runs;
mod schema;
mod store;
mod writer;

pub use schema::FORMAT;
pub use store::SqliteStateStore;

#[cfg(test)]
mod tests;
