//! JSON objects, one per line or one after the other in an array: from bytes to cells.
//!
//! `skim.rs` checks a record and finds its members without building a tree; `walk.rs` goes from
//! record to record and keeps going behind a broken one. `records.rs` finds rows inside an object.
//! Nested values stay the text they were.

mod records;
mod skim;
mod walk;

pub(crate) use records::{RecordArray, find_records};
pub(crate) use skim::{Skim, unescape};
pub(crate) use walk::{
    Broken, Flaw, JsonCutter, LineCutter, Survey, Table, Walk, reasons, record_at,
};
