//! Writing to an API: rows become requests, and what the API took is remembered.
//!
//! Promise: a row is sent at least once, and a request that is sent again, also by another process, has the
//! idempotency key that it had. A row that was taken is not sent again; a row that is refused is given to the
//! quarantine and waits for the next run. What was sent is known from files of the project, never from the API.
//!
//! The way of a write: `options.rs` (what a table says) -> `writer.rs` (which change each row is: `sent_keys.rs`,
//! `record.rs`) -> `delivery.rs` (what is sent, in which pieces: `requests.rs`, `row_path.rs`) -> `outbox.rs`
//! and `journal.rs` (what is remembered).

mod delivery;
mod destination;
mod journal;
mod options;
mod outbox;
mod record;
mod requests;
mod results;
mod row_path;
mod sent_keys;
mod spec;
mod writer;

pub(super) use destination::RestDestination;
pub(super) use options::SEND;
pub(super) use spec::send;
