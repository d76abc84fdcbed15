//! Holds a pipeline while something other than a run writes its tables.
//!
//! A replay is a run with one task: it has a number, it is refused while another run goes on, and its
//! lease is renewed for as long as it takes. A run that was interrupted is laid aside meanwhile and goes
//! on afterwards. When the lease is lost, what was done under it stops at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use towpath_orchestrator::keep_lease;
use towpath_ports::{Clock, NewRun, Opened, RunState, StateStore, System};
use towpath_vocab::{Environment, Failure, PipelineName, Remedy, RunName, TaskId};

use crate::Result;
use crate::house::House;

/// A holder that has not renewed for this long is dead.
const LEASE_US: i64 = 20_000_000;

/// A pipeline held.
pub(crate) struct Held<'a> {
    house: &'a House,
    environment: Environment,
    /// The run that holds it.
    pub(crate) run: RunName,
    lost: watch::Receiver<Option<Failure>>,
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
    let kept = keep_lease(
        Arc::clone(&house.book) as _,
        Arc::clone(&house.system) as _,
        record.name.clone(),
        worker,
        Duration::from_micros(LEASE_US.unsigned_abs()),
    );
    let (tell, lost) = watch::channel(None);
    let renewal = tokio::spawn(async move {
        let failure = kept.await;
        // Whoever held it may have given it back.
        let _ = tell.send(Some(failure));
    });
    Ok(Held {
        house,
        environment: environment.clone(),
        run: record.name,
        lost,
        renewal,
    })
}

impl Held<'_> {
    /// Does the work the pipeline is held for, or stops it when the lease is lost: another process may
    /// then write the same tables.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut lost = self.lost.clone();
        let lost = async move {
            match lost.wait_for(Option::is_some).await.ok().and_then(|lost| lost.clone()) {
                Some(failure) => failure,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            failure = lost => Err(failure),
            done = work => done,
        }
    }

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
