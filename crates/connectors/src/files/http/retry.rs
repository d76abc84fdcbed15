//! Which answers are tried again, and after how long.
//!
//! Promise: waits double from a quarter of a second, and a server that asks to wait is obeyed up to a minute. A
//! refusal that stays is not tried again.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_mins(1);
const MOST_TRIES: u32 = 5;

/// True for a status that may pass by itself.
pub(super) fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599) && !matches!(status, 501 | 505)
}

/// The wait before the try behind this one, from 1; `None` when there is none.
pub(super) fn wait(tries: u32, headers: Option<&HeaderMap>) -> Option<Duration> {
    let asked = headers.and_then(|headers| headers.get(RETRY_AFTER));
    let asked = asked.and_then(|asked| asked.to_str().ok()?.trim().parse().ok());
    let asked = asked.map(Duration::from_secs).unwrap_or_default();
    let own = FIRST.saturating_mul(1 << tries.saturating_sub(1).min(8));
    (tries < MOST_TRIES).then(|| own.max(asked).min(LONGEST))
}
