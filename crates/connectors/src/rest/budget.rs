//! How fast requests may follow each other: the project's limits and what the server's headers say.
//!
//! Promise: never more requests at once or per time than the project allows, and none before the time
//! that the server named. Requests of a limit are spread evenly. It sends nothing. Read next: `shared.rs`,
//! which gives all tables of a connection the same budget.

use std::sync::Mutex;
use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// How names of headers about limits begin.
const PREFIXES: [&str; 3] = ["ratelimit-", "x-ratelimit-", "x-rate-limit-"];

/// Requests per time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// The time between two requests.
    pub(super) every: Duration,
}

impl Rate {
    /// `10/s`, `600/m`, `5000/h`, `10000/d`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (count, unit) = text.split_once('/')?;
        let count: u32 = count.trim().parse().ok().filter(|count| *count > 0)?;
        let unit = match unit.trim() {
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        Some(Self {
            every: Duration::from_secs(unit) / count,
        })
    }
}

/// The requests of one connection.
#[derive(Debug)]
pub(super) struct Budget {
    at_once: Semaphore,
    rate: Option<Rate>,
    /// Before this no request is sent.
    next: Mutex<Option<Instant>>,
}

impl Budget {
    pub(super) fn new(at_once: usize, rate: Option<Rate>) -> Self {
        Self {
            at_once: Semaphore::new(at_once.max(1)),
            rate,
            next: Mutex::new(None),
        }
    }

    /// Waits until a request may be sent; it ends when what is returned is dropped.
    pub(super) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        let permit = self.at_once.acquire().await.ok();
        tokio::time::sleep_until(self.slot(Instant::now())).await;
        permit
    }

    fn slot(&self, now: Instant) -> Instant {
        let mut next = match self.next.lock() {
            Ok(next) => next,
            Err(poisoned) => poisoned.into_inner(),
        };
        let slot = next.map_or(now, |next| next.max(now));
        if let Some(rate) = self.rate {
            *next = Some(slot + rate.every);
        }
        slot
    }

    /// Lets no request begin before this time has passed.
    pub(super) fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut next = match self.next.lock() {
            Ok(next) => next,
            Err(poisoned) => poisoned.into_inner(),
        };
        *next = Some(next.map_or(until, |next| next.max(until)));
    }
}

/// How long the server asks to wait before the next request, if it does.
pub(super) fn asked_wait(headers: &HeaderMap, status: u16, now_s: i64) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(wait) = text("retry-after").and_then(|text| retry_after(text, now_s)) {
        return Some(wait);
    }
    if let Some(wait) = text("ratelimit").and_then(|text| structured(text, status)) {
        return Some(wait);
    }
    for prefix in PREFIXES {
        let remaining =
            text(&format!("{prefix}remaining")).and_then(|text| text.parse::<f64>().ok());
        let reset = text(&format!("{prefix}reset"));
        let is_used_up = remaining.is_some_and(|left| left < 1.0) || status == 429;
        if let (true, Some(reset)) = (is_used_up, reset) {
            return reset
                .parse::<f64>()
                .ok()
                .and_then(|reset| until(reset, now_s));
        }
    }
    None
}

/// True for a refusal (403) that only means that the limit of requests is used up.
pub(super) fn is_over_limit(headers: &HeaderMap, status: u16) -> bool {
    let is_used_up = |prefix: &&str| {
        let left = headers.get(format!("{prefix}remaining"));
        let left = left.and_then(|left| left.to_str().ok()?.trim().parse::<f64>().ok());
        left.is_some_and(|left| left < 1.0)
    };
    status == 403 && (headers.contains_key("retry-after") || PREFIXES.iter().any(is_used_up))
}

fn retry_after(text: &str, now_s: i64) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    let wait = u64::try_from(date.timestamp() - now_s).unwrap_or(0);
    Some(Duration::from_secs(wait))
}

/// `"default";r=0;t=30`: what is left, and when that changes.
fn structured(text: &str, status: u16) -> Option<Duration> {
    let number = |name: &str| {
        let mut parts = text.split(';').map(str::trim);
        parts.find_map(|part| part.strip_prefix(name)?.parse::<u64>().ok())
    };
    let is_used_up = number("r=") == Some(0) || status == 429;
    is_used_up.then(|| number("t=").map(Duration::from_secs))?
}

/// A number of seconds from now, or since 1970 in seconds or milliseconds.
fn until(reset: f64, now_s: i64) -> Option<Duration> {
    #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
    let now = now_s as f64;
    let wait = match reset {
        ms if ms > 1e11 => ms / 1e3 - now,
        seconds if seconds > 1e8 => seconds - now,
        wait => wait,
    };
    Duration::try_from_secs_f64(wait.max(0.0)).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn wait(pairs: &[(&'static str, &str)], status: u16) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        asked_wait(&headers, status, 1_700_000_000).map(|wait| wait.as_secs())
    }

    #[test]
    fn servers_say_when_to_come_back_in_many_ways() {
        assert_eq!(wait(&[("retry-after", "7")], 429), Some(7));
        let date = [("retry-after", "Tue, 14 Nov 2023 22:13:30 GMT")];
        assert_eq!(wait(&date, 503), Some(10));
        let used_up = |reset| [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", reset)];
        assert_eq!(wait(&used_up("30"), 200), Some(30));
        assert_eq!(wait(&used_up("1700000012"), 200), Some(12));
        assert_eq!(wait(&used_up("1700000012000"), 200), Some(12));
        let left = [("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", "30")];
        assert_eq!(wait(&left, 200), None);
        assert_eq!(wait(&left, 429), Some(30));
        assert_eq!(wait(&[("ratelimit", "\"default\";r=0;t=9")], 200), Some(9));
        assert_eq!(wait(&[("ratelimit", "\"default\";r=5;t=9")], 200), None);
        assert_eq!(wait(&[], 429), None);
    }

    #[test]
    fn a_refusal_can_be_a_limit() {
        let is_limit = |name: &'static str, value: &'static str, status| {
            let headers = HeaderMap::from_iter([(
                name.parse().unwrap(),
                value.parse::<reqwest::header::HeaderValue>().unwrap(),
            )]);
            is_over_limit(&headers, status)
        };
        assert!(is_limit("x-ratelimit-remaining", "0", 403));
        assert!(is_limit("retry-after", "1", 403));
        assert!(!is_limit("x-ratelimit-remaining", "7", 403));
        assert!(!is_limit("x-ratelimit-remaining", "0", 401));
        assert!(!is_limit("x-other", "0", 403));
    }

    #[tokio::test]
    async fn requests_are_spread_and_wait_for_the_server() {
        let budget = Budget::new(8, Rate::read("10/s"));
        let start = Instant::now();
        let slots: Vec<_> = (0..3).map(|_| budget.slot(start)).collect();
        let every = Duration::from_millis(100);
        assert_eq!(slots, [start, start + every, start + every * 2]);
        budget.pause(Duration::from_secs(5));
        assert!(budget.slot(start) >= start + Duration::from_secs(5));
    }

    #[test]
    fn rates_are_counts_per_unit() {
        let every = |text: &str| Rate::read(text).map(|rate| rate.every.as_millis());
        assert_eq!(every("10/s"), Some(100));
        assert_eq!(every("600/m"), Some(100));
        assert_eq!(every("3600 / h"), Some(1_000));
        for wrong in ["", "10", "0/s", "-1/s", "10/y", "x/s"] {
            assert_eq!(every(wrong), None, "{wrong}");
        }
    }
}
