//! Renews the lease of this process, and detects the loss of the lease before another process can use it.
//!
//! Promise: the future ends only if the lease is lost: the state store says so, or four fifths of the lease
//! have passed on the monotonic clock without a renewal. Only later may another process take over the run.

use std::sync::Arc;
use std::time::Duration;

use towpath_ports::{StateStore, System};
use towpath_vocab::{Failure, RunName};

use crate::error::RunError;

/// Renews the lease until it is lost; returns the failure with which the run stops.
pub async fn keep(
    store: Arc<dyn StateStore>,
    system: Arc<dyn System>,
    run: RunName,
    worker: String,
    lease: Duration,
) -> Failure {
    let lost = |detail: String| {
        Failure::from(RunError::Lost {
            run: run.clone(),
            detail,
        })
    };
    let patience_us = u64::try_from((lease * 4 / 5).as_micros()).unwrap_or(u64::MAX);
    let mut renewed_us = system.monotonic_us();
    let mut last_failure: Option<Failure> = None;
    loop {
        system.sleep(lease / 3).await;
        let asked_us = system.monotonic_us();
        let left_us = renewed_us
            .saturating_add(patience_us)
            .saturating_sub(asked_us);
        let answer = tokio::select! {
            biased;
            answer = store.renew(&worker) => Some(answer),
            () = system.sleep(Duration::from_micros(left_us)) => None,
        };
        match answer {
            Some(Ok(true)) => {
                renewed_us = asked_us;
                last_failure = None;
            }
            Some(Ok(false)) => return lost("another process took it over".to_owned()),
            Some(Err(failure))
                if system.monotonic_us().saturating_sub(renewed_us) < patience_us =>
            {
                tracing::warn!(%failure, "the lease could not be renewed; trying again");
                last_failure = Some(failure);
            }
            Some(Err(failure)) => {
                return lost(format!("the lease could not be renewed: {failure}"));
            }
            None => {
                let why = last_failure.map_or_else(
                    || "the state store did not answer".to_owned(),
                    |f| f.message,
                );
                return lost(format!("the lease could not be renewed: {why}"));
            }
        }
    }
}
