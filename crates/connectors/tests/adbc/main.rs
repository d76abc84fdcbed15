//! The `adbc` connector against DuckDB files, PostgreSQL and SQLite, beyond what every connector must do: values that
//! drivers say wrongly, options, incremental reads while others write, memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod incremental;
mod look;
mod options;
mod outside;
mod support;
mod values;
mod write;
