//! `serve`: scheduler and workers in one process.
//!
//! Promise: each interval of each scheduled pipeline gets one run, also when the process is killed and
//! started again, and when several processes serve one project; runs of one pipeline follow each other. At
//! the first sign to stop it begins nothing more and waits for what runs. It listens on no network.
//! The schedules are those of the project when it starts; each run reads the project anew. Read next:
//! `orchestrator::Scheduler`, `run.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use towpath_orchestrator::{ScheduledPipeline, Scheduler};
use towpath_ports::{Clock, ScheduledInterval};
use towpath_vocab::{Failure, PipelineName, Plan, Remedy};

use crate::Result;
use crate::check::CheckReport;
use crate::run::{RunObserver, RunRequest, RunResult, checked, run};
use crate::schedule::scheduled;
use crate::services::ProjectServices;

/// How often a scheduler looks what others decided, at least.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long after a run that could not begin the next try is.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// What is to be served.
#[derive(Clone, Debug)]
pub struct ServeRequest {
    /// The project folder.
    pub dir: PathBuf,
    /// `--env`.
    pub environment: Option<String>,
    /// `--runs`: the most runs at once; they share the memory budget.
    pub runs: usize,
}

/// The two signs to stop.
#[derive(Clone, Debug, Default)]
pub struct StopSignals {
    /// Begin nothing more, and end when nothing runs.
    pub drain: CancellationToken,
    /// Stop what runs.
    pub cancel: CancellationToken,
}

/// Who watches a server.
pub trait ServeObserver: Send + Sync {
    /// It begins to serve these pipelines.
    fn begins(&self, pipelines: &[ScheduledPipeline]);

    /// A run begins: who watches it.
    fn run(&self, interval: &ScheduledInterval) -> Arc<dyn RunObserver>;

    /// A run has ended, or could not begin.
    fn ended(&self, interval: &ScheduledInterval, ended: &Result<RunResult>);

    /// Something failed that is tried again.
    fn fails(&self, failure: &Failure);
}

/// Why serving ended.
pub enum ServeResult {
    /// It was asked to stop, and nothing runs any more.
    Stopped,
    /// The project has mistakes.
    InvalidProject(Box<CheckReport>),
}

/// Serves a project until it is asked to stop.
///
/// # Errors
/// R0922 when no pipeline has a schedule, and what kept the state store from being opened.
pub async fn serve(
    request: &ServeRequest,
    observer: Arc<dyn ServeObserver>,
    stop: StopSignals,
) -> Result<ServeResult> {
    let asked = RunRequest {
        dir: request.dir.clone(),
        environment: request.environment.clone(),
        ..RunRequest::default()
    };
    let report = checked(&asked).await?;
    let Some(plan) = &report.plan else {
        return Ok(ServeResult::InvalidProject(Box::new(report)));
    };
    let pipelines = pipelines(plan)?;
    let services = ProjectServices::of_plan(&request.dir, plan, report.memory_bytes)?;
    observer.begins(&pipelines);
    let runs = request.runs.max(1);
    let share = services.budget_bytes / runs as u64;
    let scheduler = Scheduler::new(
        Arc::clone(&services.store) as _,
        plan.environment.clone(),
        pipelines,
    );
    let mut server = Server {
        system: Arc::clone(&services.system) as _,
        scheduler,
        observer,
        stop,
        asked: RunRequest {
            memory_bytes: Some(share),
            ..asked
        },
        runs,
        going: JoinSet::new(),
        busy: BTreeMap::new(),
    };
    server.serve().await;
    Ok(ServeResult::Stopped)
}

fn pipelines(plan: &Plan) -> Result<Vec<ScheduledPipeline>> {
    let mut found = Vec::new();
    for pipeline in &plan.pipelines {
        found.extend(scheduled(plan, pipeline)?);
    }
    match found.is_empty() {
        false => Ok(found),
        true => Err(
            Failure::new("R0922", Remedy::FixConfig, "no pipeline has a schedule")
                .help("add one to a pipeline: schedule: { cron: 0 2 * * * }"),
        ),
    }
}

struct Server {
    system: Arc<dyn Clock>,
    scheduler: Scheduler,
    observer: Arc<dyn ServeObserver>,
    stop: StopSignals,
    asked: RunRequest,
    runs: usize,
    going: JoinSet<(PipelineName, bool)>,
    /// Pipelines with a run of this process, and those that failed to begin, with the time of the next try.
    busy: BTreeMap<PipelineName, u64>,
}

impl Server {
    async fn serve(&mut self) {
        while !self.stop.drain.is_cancelled() {
            let idle = match self.scheduler.tick().await {
                Ok(tick) => {
                    for next in tick.next {
                        self.begin(next);
                    }
                    let idle_us = tick.idle_us.and_then(|us| u64::try_from(us).ok());
                    idle_us.map_or(POLL_INTERVAL, |us| {
                        Duration::from_micros(us).min(POLL_INTERVAL)
                    })
                }
                Err(failure) => {
                    self.observer.fails(&failure);
                    RETRY_INTERVAL
                }
            };
            // A moment that is just over is due at the next look.
            let idle = idle.max(Duration::from_millis(20));
            tokio::select! {
                () = self.stop.drain.cancelled() => {}
                () = self.system.sleep(idle) => {}
                Some(ended) = self.going.join_next() => self.ended(ended.ok()),
            }
        }
        while let Some(ended) = self.going.join_next().await {
            self.ended(ended.ok());
        }
    }

    fn ended(&mut self, ended: Option<(PipelineName, bool)>) {
        let Some((pipeline, began)) = ended else {
            // Its task panicked: the interval waits until its lease is over, then it is begun again.
            self.busy.retain(|_, until| *until != u64::MAX);
            return;
        };
        match began {
            true => self.busy.remove(&pipeline),
            false => {
                let again = RETRY_INTERVAL.as_micros().try_into().unwrap_or(u64::MAX);
                let again = self.system.monotonic_us().saturating_add(again);
                self.busy.insert(pipeline, again)
            }
        };
    }

    /// Begins the run of an interval, if there is room.
    fn begin(&mut self, next: ScheduledInterval) {
        let now_us = self.system.monotonic_us();
        self.busy.retain(|_, until| *until > now_us);
        if self.going.len() >= self.runs || self.busy.contains_key(&next.pipeline) {
            return;
        }
        self.busy.insert(next.pipeline.clone(), u64::MAX);
        let request = RunRequest {
            target: Some(next.pipeline.to_string()),
            interval: Some(next.interval),
            scheduled: true,
            ..self.asked.clone()
        };
        let (observer, cancel) = (Arc::clone(&self.observer), self.stop.cancel.clone());
        self.going.spawn(async move {
            let watch = observer.run(&next);
            let ended = Box::pin(run(&request, watch.as_ref(), cancel)).await;
            let began = matches!(&ended, Ok(RunResult::Report(_)));
            observer.ended(&next, &ended);
            (next.pipeline, began)
        });
    }
}
