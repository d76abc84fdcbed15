//! What SQL databases share: algorithms that know neither a wire nor a dialect.
//!
//! Promise: a database adds a dialect, a wire and a type table; what is here is written once. It names no
//! database. Read next: `columns.rs`.

pub(crate) mod columns;
