//! Avro object container files: blocks of records, each with a mark behind it.
//!
//! Promise: each block gives as many rows as it says it has, made of its bytes and no others, or the read fails. What the
//! library's own reader of such files passes over (a file that is cut short, a mark that is missing, bytes that
//! belong to no record) is an error here: it gets only schemas and records. A file that ends between two blocks
//! cannot be told from a whole one: the format counts nothing. Read next: `container.rs`, `schema.rs`, `rows.rs`.

mod codec;
mod container;
mod rows;
mod schema;

pub(in crate::files) use rows::{open, put_bytes, put_long, summary};
