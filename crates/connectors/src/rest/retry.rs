//! Which answers are tried again, and after how long.
//!
//! Promise: waits double from half a second to half a minute, and no two clients keep in step. A wait that
//! the server asks for is no failed try, but all of them together have a bound. Read next: `budget.rs`
//! for what servers ask for.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// A shorter wait that the server asks for counts as a failed try.
const ASKED: Duration = Duration::from_secs(1);

/// The tries of one request.
#[derive(Debug)]
pub(super) struct Tries {
    most: u32,
    longest_wait: Duration,
    made: u32,
    failed: u32,
    /// How long the server asked to wait, all together.
    pub(super) waited: Duration,
}

impl Tries {
    pub(super) fn new(most: u32, longest_wait: Duration) -> Self {
        Self {
            most,
            longest_wait,
            made: 0,
            failed: 0,
            waited: Duration::ZERO,
        }
    }

    /// The number of the try that begins.
    pub(super) fn begin(&mut self) -> u32 {
        self.made = self.made.saturating_add(1);
        self.made
    }

    /// The pause before the next try; `None` when there is none. `asked` is what the server asks for.
    pub(super) fn after(&mut self, asked: Option<Duration>) -> Option<Duration> {
        if let Some(asked) = asked.filter(|asked| *asked >= ASKED) {
            self.waited = self.waited.saturating_add(asked);
            return (!self.waited_too_long()).then_some(asked);
        }
        self.failed = self.failed.saturating_add(1);
        (self.failed <= self.most).then(|| asked.unwrap_or_else(|| backoff(self.failed)))
    }

    /// True when the server asked for more time than is allowed.
    pub(super) fn waited_too_long(&self) -> bool {
        self.waited > self.longest_wait
    }
}

/// True for a status that may pass by itself.
pub(super) fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599) && !matches!(status, 501 | 505)
}

/// The wait before the next try, when so many were made.
fn backoff(tries: u32) -> Duration {
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
    fn tries_and_waits_have_a_bound() {
        let seconds = Duration::from_secs;
        let mut tries = Tries::new(1, seconds(5));
        assert_eq!(tries.after(Some(seconds(3))), Some(seconds(3)));
        assert!(tries.after(None).is_some());
        assert_eq!(tries.after(None), None);
        assert_eq!(tries.after(Some(Duration::ZERO)), None);
        assert!(!tries.waited_too_long());
        assert_eq!(tries.after(Some(seconds(3))), None);
        assert!(tries.waited_too_long());
    }

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
