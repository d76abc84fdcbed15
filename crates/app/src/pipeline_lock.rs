//! Locks a pipeline while something other than a run writes its tables, such as a replay or a restore.
//!
//! Promise: the lock is a run with one task. It has a number, it is refused while another run of the
//! pipeline is active, and its lease is renewed until it ends. An interrupted run waits meanwhile and
//! continues afterwards. If the lease is lost, the work under the lock stops at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::select_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use towpath_orchestrator::keep_lease;
use towpath_ports::{Clock, CompiledGraph, GraphTask, NewRun, Opened, RunKind, RunState, System};
use towpath_vocab::{Environment, Failure, PipelineName, Remedy, RunName, TaskId};

use crate::Result;
use crate::opening::{decided, lost};
use crate::services::ProjectServices;

/// A holder that has not renewed its lease for this long is dead.
const LEASE_US: i64 = 20_000_000;

/// The lock of a pipeline, which is held until it is released or dropped.
pub(crate) struct PipelineLock<'a> {
    services: &'a ProjectServices,
    environment: Environment,
    /// The run that holds the lock.
    pub(crate) run: RunName,
    worker: String,
    lost: watch::Receiver<Option<Failure>>,
    renewal: JoinHandle<()>,
}

impl Drop for PipelineLock<'_> {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Locks a pipeline for `what`, which is a run of this kind.
///
/// # Errors
/// `Refused` while a run of the pipeline is active.
pub(crate) async fn lock_pipeline<'a>(
    services: &'a ProjectServices,
    environment: &Environment,
    pipeline: &PipelineName,
    kind: RunKind,
    what: &str,
) -> Result<PipelineLock<'a>> {
    let worker = format!("{}-{:x}", std::process::id(), services.system.random());
    let new = NewRun {
        pipeline: pipeline.clone(),
        environment: environment.clone(),
        kind,
        interval: None,
        scheduled: false,
        backfill: None,
        deadline_ms: None,
        params: BTreeMap::new(),
        graph: CompiledGraph {
            hash: what.to_owned(),
            body: serde_json::Value::Null,
            tasks: vec![GraphTask {
                id: TaskId::new(what),
                pool: None,
            }],
            parallel: 1,
        },
        request: serde_json::Value::Null,
        worker: worker.clone(),
        lease_us: LEASE_US,
    };
    let record = match services.store.open_run(new).await? {
        Opened::New(record) | Opened::Resumed(record) => record,
        Opened::Busy(record) => {
            let message = format!("`{pipeline}` is running: {}", record.name);
            return Err(Failure::new("R0962", Remedy::Refused, message)
                .help(format!("wait for it: towpath logs {}", record.name)));
        }
        Opened::Decided => return Err(decided(pipeline)),
        Opened::GivenUp(record) => return Err(lost(record)),
    };
    let kept = keep_lease(
        Arc::clone(&services.store) as _,
        Arc::clone(&services.system) as _,
        record.name.clone(),
        worker.clone(),
        Duration::from_micros(LEASE_US.unsigned_abs()),
    );
    let (tell, lost) = watch::channel(None);
    let renewal = tokio::spawn(async move {
        let failure = kept.await;
        // The holder may have released the lock.
        let _ = tell.send(Some(failure));
    });
    Ok(PipelineLock {
        services,
        environment: environment.clone(),
        run: record.name,
        worker,
        lost,
        renewal,
    })
}

impl PipelineLock<'_> {
    /// Does the work under the lock; stops it if the lease is lost, because another process may then write
    /// the same tables.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        during([self], work).await
    }

    /// Ends when the lease is lost.
    async fn lost(&self) -> Failure {
        let mut lost = self.lost.clone();
        let failure = lost.wait_for(Option::is_some).await;
        match failure.ok().and_then(|failure| failure.clone()) {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }

    /// Releases the pipeline.
    pub(crate) async fn release(self, ended_well: bool) -> Result<()> {
        let state = match ended_well {
            true => RunState::Succeeded,
            false => RunState::Failed,
        };
        let now_us = self.services.system.now_us();
        let (store, environment) = (self.services.store.as_ref(), &self.environment);
        store
            .close_run(&self.run, environment, state, &self.worker, now_us)
            .await
    }
}

/// Does work under several locks; stops it if one of the leases is lost.
pub(crate) async fn during<'a, 'h: 'a, T>(
    locks: impl IntoIterator<Item = &'a PipelineLock<'h>>,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let lost: Vec<_> = locks
        .into_iter()
        .map(|lock| Box::pin(lock.lost()))
        .collect();
    if lost.is_empty() {
        return work.await;
    }
    tokio::select! {
        biased;
        (failure, _, _) = select_all(lost) => Err(failure),
        done = work => done,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn what_is_done_under_a_lease_stops_when_it_is_lost() {
        let (services, _scratch) = ProjectServices::of_files(std::path::Path::new(".")).unwrap();
        let (tell, lost) = watch::channel(None);
        let lock = PipelineLock {
            services: &services,
            environment: Environment::new("dev"),
            run: "p#1".parse().unwrap(),
            worker: "w".to_owned(),
            lost,
            renewal: tokio::spawn(async {}),
        };
        assert_eq!(lock.during(async { Ok(1) }).await.unwrap(), 1);
        tell.send(Some(Failure::new("R0706", Remedy::Refused, "gone")))
            .unwrap();
        let never = std::future::pending::<Result<()>>();
        assert_eq!(lock.during(never).await.unwrap_err().code, "R0706");
    }
}
