//! Writes Parquet files whose columns are encoded by several threads.
//!
//! Promise: rows are held in memory encoded, until their row group ends at its limit of bytes or rows. The file is the same as one thread would write. It does not know where the bytes go, nor what the rows
//! mean. Read next: `writer.rs`.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod share;
mod writer;

pub use writer::{Finished, Limits, ParquetWriter, row_bytes};
