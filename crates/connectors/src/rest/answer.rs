//! An answer of an API, whole.
//!
//! Promise: its body is complete, and its memory is held as long as it is there. It does not know where it
//! came from: `client.rs` asks for it. Read next: `page.rs`, which reads it.

use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use reqwest::header::{DATE, HeaderMap};
use towpath_ports::ReservedMemory;
use url::Url;

/// What was answered, whole.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Where it came from after redirects.
    pub(super) url: Url,
    /// There is no content (204), and the server says so.
    pub(super) is_nothing: bool,
    /// The server's time when it was asked, or a little before.
    pub(super) server_time: Option<DateTime<Utc>>,
    /// The memory of the body.
    _lease: Option<ReservedMemory>,
}

impl Answer {
    /// An answer with this status, and the memory of its body.
    pub(super) fn new(
        status: u16,
        headers: HeaderMap,
        body: Vec<u8>,
        url: Url,
        lease: ReservedMemory,
    ) -> Self {
        Self {
            status,
            is_nothing: matches!(status, 204 | 205),
            headers,
            body,
            url,
            server_time: None,
            _lease: Some(lease),
        }
    }

    /// Holds this memory instead of the one before.
    pub(super) fn hold(&mut self, lease: Option<ReservedMemory>) {
        self._lease = lease;
    }
}

/// The server's time when it was asked: its `Date`, a whole second that may have begun earlier, is of
/// the end of its work.
pub(super) fn server_time(headers: &HeaderMap, took: Duration) -> Option<DateTime<Utc>> {
    let text = headers.get(DATE)?.to_str().ok()?;
    let date = DateTime::parse_from_rfc2822(text).ok()?.to_utc();
    let took = TimeDelta::from_std(took).ok()? + TimeDelta::seconds(1);
    Some(date.checked_sub_signed(took)?.trunc_subsecs(0))
}
