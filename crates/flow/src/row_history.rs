//! What a table that keeps its history (`write: scd2`, `write: snapshot`) needs of the loop: the time of the load, and whether
//! all rows of the source came.
//!
//! Promise: a write of any other mode stays as it is. How versions are made is the destination's part. Read
//! next: `vocab/src/row_history.rs`, `output.rs`.

use towpath_vocab::{RowHistoryPlan, WriteMode, WritePlan};

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
    RowHistoryPlan::change(write, |history| {
        history.at_us = Some(now_us);
        history.closes_absent |= emptied;
    });
}

/// The note of a load that was to close what is gone, and cannot tell it from what was rejected.
pub(crate) fn note(write: &WritePlan, is_whole: bool) -> Option<String> {
    let closes = RowHistoryPlan::of(write).is_some_and(|history| history.closes_absent);
    (closes && !is_whole).then(|| {
        "no row was closed because its key is gone: rows were rejected, and their keys may be the missing ones".to_owned()
    })
}
