//! The durable state store, on SQLite or PostgreSQL: graphs, runs, tasks, workers, events, findings.
//!
//! Promise: every change of a task commits with its event row, or not at all; deleting the store
//! costs history and nothing else, because what makes a load exactly-once lives in the destination.
//! It knows no graph and no trigger rule: it compares and sets. Leases are judged by its own clock.
//! Nobody outside names the database or its file: `open` gives `ports::StateStore`.
//! Read next: `open.rs`, `state_store.rs`, then `runs.rs` and `tasks.rs` (the operations).

mod api_store;
mod api_tokens;
mod backfill_runs;
mod backfills;
mod clock;
mod codec;
mod codes;
mod error;
mod feed;
mod findings;
mod interval_runs;
mod journal;
mod lost_runs;
mod open;
mod outbox;
mod postgres;
mod run_history;
mod run_stops;
mod runs;
mod schedules;
mod sqlite;
mod state_store;
mod stop_requests;
mod store;
mod submissions;
mod tasks;
mod tx;
mod workers;

pub use codes::CODES;
pub use open::{Location, exists, local_environments, open, open_existing};
