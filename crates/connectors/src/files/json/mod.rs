//! JSON objects, one per line or one after the other in an array: from bytes to cells.
//!
//! `skim.rs` checks a record and finds its members without building a tree; `walk.rs` goes from
//! record to record and keeps going behind a broken one. `records.rs` finds rows inside an object.
//! `shape.rs` finds the types of lists and objects; they are read in `../nested.rs`.

mod records;
mod shape;
mod skim;
mod walk;

pub(crate) use records::{KnownRows, RecordArray, find_records};
pub(crate) use shape::{MOST_NAMES, Shape, new_members};
pub(crate) use skim::{Member, Skim, unescape};
pub(crate) use walk::{
    AsText, Broken, Flaw, JsonCutter, LineCutter, Survey, Table, UNNAMED, Walk, reasons, record_at,
};
