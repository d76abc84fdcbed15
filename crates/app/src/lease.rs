//! Holds a pipeline while something other than a run writes its tables.
//!
//! A replay is a run with one task: it has a number, it is refused while another run goes on, and its
//! lease is renewed for as long as it takes.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use towpath_ports::{Clock, NewRun, Opened, RunState, StateStore, System};
use towpath_vocab::{Environment, Failure, PipelineName, Remedy, RunName, TaskId};

use crate::Result;
use crate::house::House;

/// A holder that has not renewed for this long is dead.
const LEASE_US: i64 = 20_000_000;
/// How often it renews.
const RENEWAL: Duration = Duration::from_secs(5);

/// A pipeline held.
pub(crate) struct Held<'a> {
    house: &'a House,
    environment: Environment,
    /// The run that holds it.
    pub(crate) run: RunName,
    renewal: JoinHandle<()>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Takes a pipeline for `what`.
///
/// # Errors
/// `Refused` when a run of it goes on.
pub(crate) async fn hold<'a>(
    house: &'a House,
    environment: &Environment,
    pipeline: &PipelineName,
    what: &str,
) -> Result<Held<'a>> {
    let worker = format!("{}-{:x}", std::process::id(), house.system.random());
    let new = NewRun {
        pipeline: pipeline.clone(),
        environment: environment.clone(),
        graph_hash: what.to_owned(),
        tasks: vec![TaskId::new(what)],
        request: serde_json::json!({ "what": what }),
        worker: worker.clone(),
        now_us: house.system.now_us(),
        lease_us: LEASE_US,
    };
    let record = match house.book.open_run(new).await? {
        Opened::New(record) | Opened::Resumed(record) => record,
        Opened::Busy(record) => {
            let message = format!("`{pipeline}` is running: {}", record.name);
            return Err(Failure::new("R0962", Remedy::Refused, message)
                .help(format!("wait for it: towpath logs {}", record.name)));
        }
    };
    let (book, system) = (Arc::clone(&house.book), Arc::clone(&house.system));
    let renewal = tokio::spawn(async move {
        loop {
            system.sleep(RENEWAL).await;
            if let Err(failure) = book.renew(&worker, system.now_us()).await {
                tracing::warn!(code = failure.code, "renewing the lease: {failure}");
            }
        }
    });
    Ok(Held {
        house,
        environment: environment.clone(),
        run: record.name,
        renewal,
    })
}

impl Held<'_> {
    /// Gives the pipeline back.
    pub(crate) async fn release(self, ended_well: bool) -> Result<()> {
        let state = match ended_well {
            true => RunState::Succeeded,
            false => RunState::Failed,
        };
        let now_us = self.house.system.now_us();
        let book = self.house.book.as_ref();
        book.close_run(&self.run, &self.environment, state, now_us)
            .await
    }
}
