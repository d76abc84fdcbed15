//! Files in a local folder: CSV, JSON lines, JSON, Parquet.
//!
//! Promise: a bad record never fails a file. It becomes a reject with file, line, text and every
//! reason; all other rows are read, typed exactly, in the order of the file. Memory is bounded by
//! the budget, work is shared by all cores.
//!
//! The way of a read: `options.rs` and `find.rs` (which files, how written) -> `settle.rs` (columns
//! and types, with `survey.rs` and `infer.rs` where nobody declared them) -> `reader.rs` (one split
//! per file) -> `chunk.rs` (bytes) -> `csv/` or `json/` (cells) -> `rows.rs` and `column.rs` (rows).

mod cells;
mod chunk;
mod column;
mod columns;
mod connector;
mod csv;
mod discover;
mod error;
mod find;
mod fingerprint;
mod infer;
mod json;
mod options;
mod parquet;
mod reader;
mod replay;
mod rows;
mod settle;
mod source;
mod spec;
mod survey;
mod value;
mod write;

#[cfg(test)]
mod tests;

pub use connector::FilesConnector;
