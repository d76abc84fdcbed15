//! What a write does to rows that are there: what foreign keys of other tables would follow.
//!
//! Promise: it leaves out nothing that a write may do, and names the columns that get other values. Which other
//! tables follow, a database knows: `mysql/foreign.rs`, `postgres/apply.rs`, `sqlite/foreign.rs`.

use towpath_ports::WriteRequest;
use towpath_vocab::WriteMode;

use super::align::Alignment;
use super::modes::deletes_absent;

/// What a write does to rows of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    pub(crate) deletes: bool,
    /// Columns that get other values.
    pub(crate) updates: Vec<String>,
}

impl Effects {
    /// What a write does; `deletions` says that deletions came with its rows.
    pub(crate) fn of(intent: &WriteRequest, alignment: &Alignment, deletions: bool) -> Self {
        let write = &intent.write;
        let replaces = matches!(write.mode, WriteMode::Replace | WriteMode::DeleteInsert);
        let columns = alignment.columns.iter();
        let updated = columns
            .filter(|column| column.equates || !write.key.contains(&column.incoming))
            .map(|column| column.name.clone());
        Self {
            deletes: deletions || replaces || deletes_absent(write),
            updates: match write.mode {
                WriteMode::Merge => updated.collect(),
                _ => Vec::new(),
            },
        }
    }

    /// Whether rows that are there stay as they are.
    pub(crate) fn are_none(&self) -> bool {
        !self.deletes && self.updates.is_empty()
    }
}
