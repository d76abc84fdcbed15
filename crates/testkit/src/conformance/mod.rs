//! One suite for each port, which every implementation passes; each case has a plain name.
//!
//! Promise: an implementation describes itself (`DestinationUnderTest`, `SourceUnderTest`), and one macro
//! (`destination_conformance!`, `source_conformance!`) makes one test of each case. What it does not
//! declare, it must refuse with its name: no case is skipped silently. The suites know no system, and read
//! its contents only through the implementation's own, independent `look`. Read next: `destination/mod.rs`,
//! `source/mod.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "cases of tests: a failure is a panic"
)]

mod ample;
pub mod destination;
mod lines;
mod read;
pub mod source;
mod types;

pub use ample::Ample;
pub use destination::{DestinationUnderTest, Limits};
pub use lines::{line, line_of_json, lines_of_batch, texts_of_batch};
pub use read::{read_spec, write_plan};
pub use source::SourceUnderTest;
