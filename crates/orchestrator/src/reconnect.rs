//! Retries while an external system cannot be reached, so that a restart of a server fails no task.
//!
//! Promise: only a failure with remedy `Unreachable` is retried, with pauses that grow to five seconds, for
//! as long as `ReconnectLimit` allows, counted from the first such failure. The observer gets an event
//! before each pause. These retries do not count as retries of the task. Read next: `attempt.rs`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use towpath_ports::{Result, System};
use towpath_vocab::{Failure, Remedy};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The time limit for retries while systems cannot be reached; attempts that share it have one limit.
#[derive(Debug)]
pub struct ReconnectLimit {
    limit: Duration,
    /// The time of the first failure, plus one; 0 before it.
    since_us: AtomicU64,
}

impl ReconnectLimit {
    /// With this limit, counted from the first failure.
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            since_us: AtomicU64::new(0),
        }
    }

    /// The time that is left now.
    fn left(&self, now_us: u64) -> Duration {
        let began = self.since_us.compare_exchange(
            0,
            now_us.saturating_add(1),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        let since_us = match began {
            Ok(_) => now_us,
            Err(since) => since.saturating_sub(1),
        };
        self.limit
            .saturating_sub(Duration::from_micros(now_us.saturating_sub(since_us)))
    }
}

/// A pause before the next try.
#[derive(Clone, Copy, Debug)]
pub struct ReconnectPause<'a> {
    /// The failure.
    pub failure: &'a Failure,
    /// The length of the pause.
    pub pause: Duration,
    /// The time that is left, including this pause.
    pub left: Duration,
}

/// Repeats an action until it succeeds, fails for another reason, or the limit is reached.
///
/// # Errors
/// The last failure, with a help line if it was retried for some time.
pub async fn reach<T, F>(
    patience: &ReconnectLimit,
    system: &dyn System,
    cancel: &CancellationToken,
    notify: &(dyn Fn(ReconnectPause<'_>) + Send + Sync),
    mut make: impl FnMut() -> F,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut next = FIRST_PAUSE;
    let mut waited = false;
    loop {
        let failure = match make().await {
            Err(failure) if failure.remedy == Remedy::Unreachable => failure,
            end => return end,
        };
        let left = patience.left(system.monotonic_us());
        if left.is_zero() || cancel.is_cancelled() {
            return Err(match waited {
                true => failure.help(format!(
                    "Towpath tried again for {} s; `reconnect` sets this time",
                    patience.limit.as_secs()
                )),
                false => failure,
            });
        }
        let pause = next.min(left);
        notify(ReconnectPause {
            failure: &failure,
            pause,
            left,
        });
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(failure),
            () = system.sleep(pause) => {}
        }
        waited = true;
        next = (next * 2).min(LONGEST_PAUSE);
    }
}
