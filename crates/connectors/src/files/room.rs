//! Room for small files that are kept between the looks at them.
//!
//! Promise: all reads of a connection together keep no more than a limit. It keeps nothing itself:
//! `bucket/object.rs` does.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of small files that are kept, of all reads of a connection.
const KEPT: u64 = 16 << 20;

/// What may still be kept.
#[derive(Debug)]
pub(super) struct Room(AtomicU64);

impl Default for Room {
    fn default() -> Self {
        Self(AtomicU64::new(KEPT))
    }
}

impl Room {
    /// Takes room for some bytes, if there is any.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let less = |room: u64| room.checked_sub(bytes);
        self.0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
            .is_ok()
    }

    /// Gives it back.
    pub(super) fn give(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::SeqCst);
    }
}
