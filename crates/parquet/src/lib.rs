//! Writes Parquet files whose columns are encoded by several threads.
//!
//! Promise: of rows, only one row group is held in memory, encoded; it ends when it reaches its limit of bytes or
//! rows. The file is the same as one thread would write. It does not know where the bytes go, nor what the rows
//! mean. Read next: `writer.rs`.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod share;
mod writer;

pub use writer::{Finished, Limits, ParquetWriter};
