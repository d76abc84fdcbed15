//! Excel workbooks: one sheet, read as the text of a CSV file.
//!
//! Promise: each row of the sheet is one record and one line, so that places name rows of the sheet; a
//! workbook that cannot be read is an error that says why, never a panic and never a shorter table. Types,
//! rejects and replays are those of CSV: this module knows none of them. A sheet is read row by row; only
//! the table of its texts is in memory, up to a limit.
//!
//! The way of a read: `choice.rs` (which sheet and cells) -> `open.rs` (open, with `weigh.rs` and `relationships.rs`; look over) ->
//! `stream.rs` (rows as text, from a thread) with `cell.rs` (one value as text).

mod cell;
mod choice;
mod open;
mod relationships;
mod stream;
mod weigh;

pub(crate) use cell::ROW_END;
pub(crate) use choice::{Area, SheetChoice};
pub(crate) use stream::open;
