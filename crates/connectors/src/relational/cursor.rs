//! Where a read by a cursor starts and ends: its part of a position.
//!
//! Promise: a position has one split for the cursor, and its order grows with each read; a read that stops
//! early does not move the position. What it holds (how far a table has been read) and which rows come
//! are the database's: `postgres/cursor.rs`, `sqlite/cursor.rs`. Read next: `boundary.rs`, `columns.rs`.

use serde::Serialize;
use towpath_vocab::{Position, SplitId, SplitPosition};

const SPLIT: &str = "cursor";

/// Where the last read ended.
pub(crate) fn last_position(from: Option<&Position>) -> Option<&SplitPosition> {
    from.and_then(|position| position.get(&SplitId(SPLIT.to_owned())))
}

/// The order of the position that follows.
pub(crate) fn next_order(last: Option<&SplitPosition>) -> u64 {
    last.map_or(1, |last| last.order.saturating_add(1))
}

/// The position that holds when a table has been read so far.
pub(crate) fn position<P: Serialize>(order: u64, progress: &P) -> Result<Position, String> {
    let resume = serde_json::to_value(progress).map_err(|error| error.to_string())?;
    Ok(Position::single(SPLIT, SplitPosition { order, resume }))
}

/// Where a read ends that started at `from` and comes to `end`, if it has a cursor.
pub(crate) fn end_position(
    end: Option<Position>,
    from: Option<&Position>,
    limit: Option<u64>,
) -> Position {
    match (end, limit) {
        // A read that stops early may leave rows behind: it must not move the position.
        (Some(_), Some(_)) => from.cloned().unwrap_or_default(),
        (Some(end), None) => end,
        (None, _) => Position::default(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_position_moves_with_each_whole_read() {
        assert_eq!(next_order(last_position(None)), 1);
        let first = position(1, &"2024-01-01").unwrap();
        let last = last_position(Some(&first)).unwrap();
        assert_eq!(last.resume, "2024-01-01");
        assert_eq!(next_order(Some(last)), 2);
        let second = position(2, &"2024-01-02").unwrap();
        let end = |limit| end_position(Some(second.clone()), Some(&first), limit);
        assert_eq!((end(None), end(Some(3))), (second.clone(), first.clone()));
        assert_eq!(end_position(None, Some(&first), None), Position::default());
    }
}
