//! The clock for leases: one for all users of a state store.
//!
//! Promise: a file uses the clock of its machine, a server its own clock; a test may set one. No caller
//! passes a time to an operation. Read next: `workers.rs`.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use towpath_ports::Clock;

/// The clock of a state store.
#[derive(Clone, Default)]
pub(crate) enum StoreClock {
    /// That of the machine or server of the store.
    #[default]
    Own,
    /// This clock, for simulations.
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

    /// The time of the given clock, if there is one.
    pub(crate) fn given_us(&self) -> Option<i64> {
        match self {
            StoreClock::Own => None,
            StoreClock::Given(clock) => Some(clock.now_us()),
        }
    }
}
