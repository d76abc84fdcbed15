//! Systems that take alerts over HTTP: Slack, Teams, PagerDuty, Opsgenie, and any program by a webhook.
//!
//! Promise: an alert has arrived when the system has answered so; no secret is in a message or a failure.
//! It does not know when an alert is due, and does not try again: that is `app/src/alerts/`. Read next:
//! `message.rs` (what is sent), `channel.rs` (how).

mod channel;
mod codes;
mod connector;
mod error;
mod message;
#[cfg(test)]
mod tests;

pub(crate) use codes::CODES;
pub(crate) use connector::{AlertConnector, AlertForm};
