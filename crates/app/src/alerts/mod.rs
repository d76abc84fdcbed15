//! Alerts: messages to the connections that a pipeline names, when a run fails, is late, recovers, or has
//! findings about its data.
//!
//! Promise: none is lost. The end of a run is put into the outbox of each channel in the transaction that
//! ends the run, and stays there until the channel has taken the alert or it is seven days old. One process
//! sends at a time. An alert may come twice, with the same id. Read next: `conditions.rs` (when), `sender.rs`
//! (how), `connectors/src/alerts/` (to whom).

mod conditions;
#[cfg(test)]
mod conditions_tests;
mod rules;
mod sender;
mod serving;
mod uses;

pub(crate) use sender::subscriber;
pub(crate) use serving::ServedAlerts;
pub use uses::{AlertChannelLine, AlertsReport, SentAlerts, alert_test, alerts, send_alerts};
