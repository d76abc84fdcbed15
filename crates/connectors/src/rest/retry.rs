//! Which answers are tried again, and after how long.
//!
//! Promise: waits double from half a second to half a minute, and no two clients keep in step. What the
//! server asks for comes first: `budget.rs`.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// True for a status that may pass by itself.
pub(super) fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599) && !matches!(status, 501 | 505)
}

/// The wait before the next try, when so many were made.
pub(super) fn backoff(tries: u32) -> Duration {
    let whole = FIRST
        .saturating_mul(1 << tries.saturating_sub(1).min(8))
        .min(LONGEST);
    // Between half of it and all of it. `RandomState` is seeded anew for each state.
    let chance = RandomState::new().hash_one(tries) % 1_000;
    whole / 2 + whole / 2 * u32::try_from(chance).unwrap_or(0) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound() {
        for tries in 1..40 {
            let wait = backoff(tries);
            assert!(wait >= FIRST / 2 && wait <= LONGEST, "{tries}: {wait:?}");
        }
        assert!(backoff(9) >= Duration::from_secs(15));
        assert!(may_pass(429) && may_pass(503) && !may_pass(404) && !may_pass(501));
    }
}
