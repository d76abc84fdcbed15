//! The clock that leases are judged by: one for all who use a store.
//!
//! Promise: a file's clock is the machine's, a server's is the server's; a test may give its own. No
//! caller of an operation brings the time along. Read next: `workers.rs`.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use towpath_ports::Clock;

/// Whose clock tells the time.
#[derive(Clone, Default)]
pub(crate) enum StoreClock {
    /// That of the machine or server the store is on.
    #[default]
    Own,
    /// This one: for simulations.
    Given(Arc<dyn Clock>),
}

impl StoreClock {
    /// Microseconds since 1970 UTC, for a store on this machine.
    pub(crate) fn now_us(&self) -> i64 {
        match self {
            StoreClock::Own => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| {
                    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
                }),
            StoreClock::Given(clock) => clock.now_us(),
        }
    }

    /// The given time, if one was given.
    pub(crate) fn given_us(&self) -> Option<i64> {
        match self {
            StoreClock::Own => None,
            StoreClock::Given(clock) => Some(clock.now_us()),
        }
    }
}
