//! CSV: from bytes to cells, with every broken record at its place.
//!
//! `header.rs` settles a file's dialect and names by its first records (`first_records.rs`), `scan.rs` says where records end, `cutter.rs`
//! cuts a file into chunks by it, `index.rs` finds the cells of a chunk, `explain.rs` says what is
//! wrong with a record, `whole.rs` reads a text that is in memory. Types and columns are none of its business: see `../rows.rs`.

mod cutter;
mod explain;
mod first_records;
mod header;
mod index;
mod scan;
mod titles;
mod whole;

pub(crate) use cutter::CsvCutter;
pub(crate) use explain::{cell_reasons, encoding, foreign, reasons, shown, typed_columns};
pub(crate) use header::{Head, read_head};
pub(crate) use index::{
    Broken, Flaw, Index, Walk, record_at, unescape, without_foreign_bytes, without_line_end,
};
pub(crate) use scan::Dialect;
pub(crate) use whole::Whole;
