//! The conformance suite of destinations, in cases: `commits`, `modes`, `columns`, `values`.
//!
//! Promise: a case gets an empty destination and looks at it from outside between its steps. Each case is a
//! function `async fn(&dyn DestinationUnderTest)` that panics with a message. Read next: `commits.rs`.

mod columns;
mod commits;
mod modes;
mod values;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use towpath_ports::{Destination, ReadSpec, Source};
use towpath_vocab::{TableName, WriteMode};

pub use columns::{
    a_new_column_is_added_left_out_or_refused, another_type_is_refused_and_changes_nothing,
    any_column_name_is_kept, any_table_name_is_kept,
};
pub use commits::{
    a_discard_or_an_abort_leaves_the_version_before, a_retry_adopts_the_first_commit,
    a_write_read_after_another_commit_is_refused, an_older_generation_is_refused,
    last_tells_token_and_position_when_reopened, nothing_shows_before_the_commit,
    of_two_tasks_at_once_none_is_lost, of_two_writers_of_one_generation_one_is_visible,
    state_is_kept_with_its_commit_or_refused, tables_do_not_disturb_each_other,
    tasks_are_remembered_apart, the_candidate_is_what_readers_would_see,
};
pub use modes::{
    a_null_or_repeated_key_is_refused_and_changes_nothing, append_adds,
    changes_apply_in_order_and_deletes_delete, delete_insert_takes_repeated_keys,
    insert_only_leaves_known_keys, merge_updates_and_inserts, modes_not_declared_are_refused,
    no_rows_are_a_table_too, replace_replaces,
};
pub use values::{
    every_type_reads_back_exactly, odd_texts_read_back_exactly, text_with_nul_is_kept_or_refused,
};

/// What a system cannot store in any way. Everything is required unless it is declared here.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A text may contain U+0000. Otherwise it must be refused with a message that names it.
    pub nul: bool,
    /// A floating point zero keeps its sign. Otherwise it reads back as 0.
    pub negative_zero: bool,
    /// A floating point number may be NaN or infinite. Otherwise it must be refused with a message that names
    /// its column.
    pub not_finite: bool,
    /// A table can get a new column. Otherwise it must be refused with a message that names it.
    pub new_columns: bool,
    /// Columns have types. Otherwise a table takes rows of any type.
    pub types: bool,
    /// New rows are matched with the columns of existing rows. Otherwise each write has its own columns,
    /// whatever `schema_change` says.
    pub columns: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nul: true,
            negative_zero: true,
            not_finite: true,
            new_columns: true,
            types: true,
            columns: true,
        }
    }
}

/// An empty destination, and ways to look at it from outside.
#[async_trait]
pub trait DestinationUnderTest: Send + Sync {
    /// The modes it declares.
    fn modes(&self) -> Vec<WriteMode>;

    /// True when it can keep the history of a table (`write: scd2`), which has a suite of its own.
    fn keeps_history(&self) -> bool {
        false
    }

    /// What its system cannot store.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Opens it again, as another process would.
    fn destination(&self) -> Arc<dyn Destination>;

    /// The full name of a table with this name.
    fn table(&self, name: &str) -> TableName;

    /// The options with which its tables are written.
    fn options(&self) -> BTreeMap<String, serde_json::Value> {
        BTreeMap::new()
    }

    /// The rows of a table as another program sees them, as sorted lines (`line`); `None` if there is no
    /// such table. It is only called for tables with integers and simple texts.
    async fn look(&self, table: &TableName) -> Option<Vec<String>>;

    /// A source for a table with all of its types; `known` are the types if the system has none.
    fn reading(&self, table: &TableName, known: &SchemaRef) -> (Arc<dyn Source>, ReadSpec);
}

/// One test per case of `towpath_testkit::conformance::destination`, in a module with this name. The
/// expression makes an empty `DestinationUnderTest`.
#[macro_export]
macro_rules! destination_conformance {
    ($suite:ident, $make:expr) => {
        mod $suite {
            use super::*;

            $crate::destination_conformance!(@cases $make;
                nothing_shows_before_the_commit
                a_discard_or_an_abort_leaves_the_version_before
                a_retry_adopts_the_first_commit
                of_two_writers_of_one_generation_one_is_visible
                of_two_tasks_at_once_none_is_lost
                a_write_read_after_another_commit_is_refused
                an_older_generation_is_refused
                last_tells_token_and_position_when_reopened
                tasks_are_remembered_apart
                tables_do_not_disturb_each_other
                state_is_kept_with_its_commit_or_refused
                the_candidate_is_what_readers_would_see
                replace_replaces
                append_adds
                merge_updates_and_inserts
                changes_apply_in_order_and_deletes_delete
                delete_insert_takes_repeated_keys
                insert_only_leaves_known_keys
                a_null_or_repeated_key_is_refused_and_changes_nothing
                modes_not_declared_are_refused
                no_rows_are_a_table_too
                a_new_column_is_added_left_out_or_refused
                another_type_is_refused_and_changes_nothing
                any_column_name_is_kept
                any_table_name_is_kept
                every_type_reads_back_exactly
                odd_texts_read_back_exactly
                text_with_nul_is_kept_or_refused
            );
        }
    };
    (@cases $make:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let under = $make;
                $crate::conformance::destination::$case(&under).await;
            }
        )*
    };
}
