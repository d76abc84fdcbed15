//! One suite per port that every implementation passes, case by plainly named case.
//!
//! Promise: an implementation says what it is (`DestinationUnderTest`, `SourceUnderTest`) and one macro
//! (`destination_conformance!`, `source_conformance!`) makes one test per case of it. What it does not
//! declare it must refuse by name: no case is passed over silently. The suites know no system and look
//! at its contents only through the implementation's own, independent `look`.
//! Read next: `destination.rs`, `source.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "cases of tests: what is wrong is told by a panic"
)]

mod ample;
pub mod destination;
mod lines;
mod read;
pub mod source;
mod types;

pub use ample::Ample;
pub use destination::{DestinationUnderTest, Limits};
pub use lines::{line, line_of_json, lines_of_batch};
pub use read::{read_spec, write_plan};
pub use source::SourceUnderTest;
