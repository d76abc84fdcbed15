//! `cancel`: asks a run to stop, whichever process carries it out, and waits until it has ended.
//!
//! Promise: what the run has committed stays, and no task of it begins any more. A run whose process
//! cannot be reached, because it has died or has lost its lease, ends at once. It signals no process itself: the process of the run reads the request in the state store. Read next:
//! `orchestrator/src/stopping.rs`.

use std::time::Duration;

use serde::Serialize;
use towpath_orchestrator::{not_running, still_running};
use towpath_ports::{Clock, RunRecord, RunState, RunStop, StopReason, StopResult};
use towpath_vocab::{Failure, Plan, Remedy, RunName};

use crate::Result;
use crate::pause::user;
use crate::rerun::parse;
use crate::services::ProjectServices;

/// How often it is looked whether the run has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// How often it is asked again: its process may have died meanwhile.
const ASK_INTERVAL_US: u64 = 5_000_000;

/// How long it is waited for the end: longer than tasks have to stop, and than a dead process is taken for alive.
const LONGEST_US: u64 = 60_000_000;

/// What to stop.
#[derive(Clone, Debug, Default)]
pub struct CancelRequest {
    /// The run: `shop#212`.
    pub run: String,
    /// `--now`: its tasks get no time to stop cleanly.
    pub at_once: bool,
}

impl CancelRequest {
    /// Asks the run to stop, and does not wait for its end. True when it has ended.
    ///
    /// # Errors
    /// R0980, R0981 if there is no such run, R0968 if it runs no pipeline.
    pub async fn ask(&self, services: &ProjectServices, plan: &Plan, by: &str) -> Result<bool> {
        let name = parse(&self.run)?;
        let record = found(services, plan, &name).await?;
        runs_pipeline(&record)?;
        let stop = self.stop(by.to_owned());
        let asked = services.store.request_stop(&name, &plan.environment, &stop);
        Ok(asked.await? != StopResult::Requested)
    }

    fn stop(&self, by: String) -> RunStop {
        RunStop {
            why: StopReason::User,
            at_once: self.at_once,
            by: Some(by),
        }
    }
}

/// # Errors
/// R0968 for a copy, a replay, a lock.
fn runs_pipeline(record: &RunRecord) -> Result<()> {
    if record.kind.is_run() {
        return Ok(());
    }
    let what = record.tasks.first().map_or("", |task| task.id.as_str());
    let message = format!("`{}` is not a pipeline run: {what}", record.name);
    Err(Failure::new("R0968", Remedy::FixConfig, message)
        .help("stop it in the terminal in which it runs: Ctrl-C"))
}

/// A run that has been stopped, or that ended before it could be.
#[derive(Clone, Debug, Serialize)]
pub struct CancelReport {
    /// Version of this form; 1.
    pub version: u32,
    /// The run.
    pub run: String,
    /// How it ended.
    pub state: RunState,
    /// True if its process could not be reached: it has died, or has not renewed its lease. The run was ended without
    /// it.
    pub process_unreachable: bool,
}

/// Stops a run. `asked` is called when its process was asked, before its end.
///
/// # Errors
/// R0980, R0981 if there is no such run, R0968 if it runs no pipeline, R0718 if it is not running, R0719 if it has not
/// ended after a minute.
pub async fn cancel(
    services: &ProjectServices,
    plan: &Plan,
    request: &CancelRequest,
    asked: &(dyn Fn(&RunName) + Sync),
) -> Result<CancelReport> {
    let name = parse(&request.run)?;
    let record = found(services, plan, &name).await?;
    runs_pipeline(&record)?;
    let stop = request.stop(user(services));
    let ask = || services.store.request_stop(&name, &plan.environment, &stop);
    let report = |state, process_unreachable| CancelReport {
        version: 1,
        run: name.to_string(),
        state,
        process_unreachable,
    };
    match ask().await? {
        StopResult::NotRunning => return Err(not_running(&found(services, plan, &name).await?)),
        StopResult::Ended => {
            let ended = found(services, plan, &name).await?;
            return Ok(report(ended.state, true));
        }
        StopResult::Requested => asked(&name),
    }
    let system = &services.system;
    let (began_us, mut asked_us) = (system.monotonic_us(), system.monotonic_us());
    loop {
        system.sleep(POLL_INTERVAL).await;
        let now_us = system.monotonic_us();
        if now_us.saturating_sub(asked_us) >= ASK_INTERVAL_US {
            asked_us = now_us;
            if ask().await? == StopResult::Ended {
                let ended = found(services, plan, &name).await?;
                return Ok(report(ended.state, true));
            }
        }
        let state = found(services, plan, &name).await?.state;
        if state != RunState::Running {
            return Ok(report(state, false));
        }
        if now_us.saturating_sub(began_us) >= LONGEST_US {
            return Err(still_running(&name));
        }
    }
}

async fn found(services: &ProjectServices, plan: &Plan, name: &RunName) -> Result<RunRecord> {
    let environment = &plan.environment;
    let record = services.store.run(name, environment).await?;
    record.ok_or_else(|| {
        let message = format!("there is no run `{name}` in `{environment}`");
        Failure::new("R0981", Remedy::FixConfig, message).help("to list them: towpath runs")
    })
}
