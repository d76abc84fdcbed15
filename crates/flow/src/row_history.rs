//! What a table that keeps its history (`write: scd2`, `write: snapshot`), or deletes rows that are gone, needs of the loop:
//! the time of the load, and whether all rows of the source came.
//!
//! Promise: any other write stays as it is. How versions are made is the destination's part. Read
//! next: `vocab/src/row_history.rs`, `output.rs`.

use towpath_vocab::{AbsentRows, RowHistoryPlan, WriteMode, WritePlan};

/// How rows are written; `emptied` says that what comes is all the table holds.
pub(crate) fn mode(write: &WritePlan, emptied: bool) -> WriteMode {
    match (write.mode, emptied) {
        // Versions that were valid before the source was emptied stay, closed.
        (WriteMode::Scd2, _) | (_, false) => write.mode,
        (_, true) => WriteMode::Replace,
    }
}

/// Says when the load began to write, and that an emptied source has no other rows.
pub(crate) fn begin(write: &mut WritePlan, now_us: i64, emptied: bool) {
    AbsentRows::begin(write, now_us);
    RowHistoryPlan::change(write, |history| {
        history.at_us = Some(now_us);
        history.closes_absent |= emptied;
    });
}

/// The note of a load that was to close or delete what is gone, and cannot tell it from what was rejected.
pub(crate) fn note(write: &WritePlan, is_whole: bool) -> Option<String> {
    let closes = RowHistoryPlan::of(write).is_some_and(|history| history.closes_absent);
    let done = match AbsentRows::of(write) {
        Some(AbsentRows::Delete) => "deleted",
        Some(AbsentRows::Mark { .. }) => "marked as deleted",
        None if closes => "closed",
        None => return None,
    };
    (!is_whole).then(|| {
        format!("no row was {done} because its key is gone: rows were rejected, and their keys may be the missing ones")
    })
}
