//! The conformance suite of sources, in cases: `whole` (one read), `again` (the reads after it).
//!
//! Promise: a case gets a source with `expected` rows that have at least the column `id`. An endless source
//! ends in these tests and resumes at any boundary; a bounded full read starts again. Read next:
//! `whole.rs`, `again.rs`.

mod again;
mod drain;
mod whole;

use std::sync::Arc;

use async_trait::async_trait;
use towpath_ports::{ReadSpec, Source};
use towpath_vocab::ReadMode;

pub use again::{
    a_reader_dropped_half_way_loses_and_doubles_nothing,
    a_version_is_equal_until_something_changes, reading_again_gives_only_what_is_new,
};
pub use whole::{
    a_limit_stops_early, a_projection_gives_what_is_asked, a_read_gives_each_row_once,
    boundaries_only_move_forward_and_survive_being_stored,
    ordinals_are_unique_and_find_their_record,
};

/// A source of external data that the test controls.
#[async_trait]
pub trait SourceUnderTest: Send + Sync {
    /// The modes that it declares.
    fn reads(&self) -> Vec<ReadMode>;

    /// Opens it again, as another process would.
    fn source(&self) -> Arc<dyn Source>;

    /// A read in this mode, with batches of 100 rows or less.
    fn spec(&self, mode: ReadMode) -> ReadSpec;

    /// The rows that a read from the start returns now, as lines in any order.
    fn expected(&self) -> Vec<String>;

    /// Whether it reports that it is endless.
    fn is_endless(&self) -> bool {
        false
    }

    /// Whether an incremental read returns this row if it was added after the first read. A reader that
    /// misses one has a note about it.
    fn is_found_later(&self, _line: &str) -> bool {
        true
    }

    /// Adds rows to the external data and returns their lines; `None` if that data never changes.
    async fn grow(&self) -> Option<Vec<String>>;
}

/// One test per case of `towpath_testkit::conformance::source`, in a module with this name. The expression
/// makes a `SourceUnderTest`.
#[macro_export]
macro_rules! source_conformance {
    ($suite:ident, $make:expr) => {
        mod $suite {
            use super::*;

            $crate::source_conformance!(@cases $make;
                a_read_gives_each_row_once
                ordinals_are_unique_and_find_their_record
                boundaries_only_move_forward_and_survive_being_stored
                a_projection_gives_what_is_asked
                a_limit_stops_early
                reading_again_gives_only_what_is_new
                a_reader_dropped_half_way_loses_and_doubles_nothing
                a_version_is_equal_until_something_changes
            );
        }
    };
    (@cases $make:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let under = $make;
                $crate::conformance::source::$case(&under).await;
            }
        )*
    };
}
