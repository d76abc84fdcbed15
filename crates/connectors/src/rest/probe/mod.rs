//! Asks an endpoint that no table declares, and proposes the table.
//!
//! Promise: only GET is sent to the endpoint, and a bounded number of them. What an answer has not shown is
//! marked as a guess. How pages follow each other is proposed only after a second page was read by the very
//! options of the proposal. It changes nothing.
//!
//! `propose.rs` puts a proposal together: `form.rs` (how the answer is written), `records.rs` (where its
//! records are), `signs.rs` and `pages.rs` (how pages follow each other, tried by `asker.rs`), `columns.rs` (key and
//! cursor), `limits.rs` (what headers say about limits).

mod asker;
mod columns;
mod form;
mod limits;
mod pages;
mod propose;
mod records;
mod signs;

pub(super) use propose::propose;
