//! `serve`: scheduler and workers in one process.
//!
//! Promise: each interval of each scheduled pipeline gets one run, also when the process is killed and
//! started again, and when several processes serve one project; runs of one pipeline follow each other. The
//! same holds for the intervals of backfills, which come after what the schedules have due. At
//! the first sign to stop it begins nothing more and waits for what runs. It listens on no network: the crate
//! `server` does, and asks the project that is served (`live_project.rs`).
//! A change of the project's files changes the schedules; each run reads the project anew. Read next:
//! `orchestrator::Scheduler`, `run.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::FutureExt as _;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use towpath_orchestrator::{FairOrder, ScheduledPipeline, Scheduler, panicked_run};
use towpath_ports::{Clock, IntervalState, MOST_LOST_PROCESSES, ScheduledInterval, StateStore};
use towpath_vocab::{Environment, Failure, PipelineName, Plan, Remedy, RunName};

use crate::Result;
use crate::alerts::ServedAlerts;
use crate::check::CheckReport;
use crate::folder::stamp;
use crate::live_project::LiveProject;
use crate::run::{RunObserver, RunRequest, RunResult, checked, run, valid_part};
use crate::schedule::scheduled;
use crate::services::ProjectServices;
use crate::submissions::{Begin, Happens, Submissions};

/// How often a scheduler looks what others decided, at least.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How often the project's files are looked at.
const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

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
    /// Whether clients can submit runs: then there need not be a schedule.
    pub has_api: bool,
}

/// The two signs to stop.
#[derive(Clone, Debug, Default)]
pub struct StopSignals {
    /// Begin nothing more, and end when nothing runs.
    pub drain: CancellationToken,
    /// Stop what runs.
    pub cancel: CancellationToken,
}

/// Observes a server.
pub trait ServeObserver: Send + Sync {
    /// It begins to serve these pipelines.
    fn begins(&self, pipelines: &[ScheduledPipeline]);

    /// The project has changed, and these are its schedules now.
    fn changed(&self, pipelines: &[ScheduledPipeline]);

    /// The project has changed and has mistakes: the pipelines that have them wait.
    fn invalid(&self, report: &CheckReport);

    /// A run begins: its observer.
    fn run(&self, interval: &ScheduledInterval) -> Arc<dyn RunObserver>;

    /// The run of an interval begins alone, because so many processes in a row have died while they had it.
    fn alone(&self, interval: &ScheduledInterval, processes: u64);

    /// A run has ended, or could not begin; the same reason comes once, however often it is tried again.
    fn ended(&self, interval: &ScheduledInterval, ended: &Result<RunResult>);

    /// A submitted run begins: its observer.
    fn submitted(&self, pipeline: &PipelineName) -> Arc<dyn RunObserver>;

    /// A submitted run goes on alone, because so many processes in a row have died while they had it.
    fn submitted_alone(&self, run: &RunName, processes: u64);

    /// A submitted run has ended, or could not begin; the same reason comes once.
    fn submitted_ended(&self, pipeline: &PipelineName, ended: &Result<RunResult>);

    /// Something failed that is tried again; it comes once.
    fn fails(&self, failure: &Failure);
}

/// A server that can begin, or why there is none.
pub enum ServerOpening {
    /// It can begin.
    Ready(Box<ProjectServer>),
    /// The project has mistakes.
    InvalidProject(Box<CheckReport>),
}

/// A server that has decided nothing yet.
pub struct ProjectServer {
    request: ServeRequest,
    asked: RunRequest,
    plan: Plan,
    pipelines: Vec<ScheduledPipeline>,
    stamp: BTreeMap<PathBuf, (u64, Option<SystemTime>)>,
    live: Arc<LiveProject>,
    submissions: Submissions,
}

/// Opens a project to serve it.
///
/// # Errors
/// R0922 when there is nothing to do, and what kept the state store from being opened.
pub async fn open_server(request: &ServeRequest) -> Result<ServerOpening> {
    let asked = RunRequest {
        dir: request.dir.clone(),
        environment: request.environment.clone(),
        ..RunRequest::default()
    };
    let stamp = stamp(&request.dir);
    let report = checked(&asked).await?;
    let Some(plan) = &report.plan else {
        return Ok(ServerOpening::InvalidProject(Box::new(report)));
    };
    let pipelines = pipelines(plan)?;
    let services = ProjectServices::of_plan(&request.dir, plan, report.memory_bytes)?;
    let has_work = request.has_api || !pipelines.is_empty();
    if !has_work && !has_backfill(&services, plan).await? {
        let message = "no pipeline has a schedule, and no backfill waits";
        return Err(Failure::new("R0922", Remedy::FixConfig, message)
            .help("add one to a pipeline: schedule: { cron: 0 2 * * * }")
            .help(
                "or create a backfill: towpath backfill PIPELINE --from 2026-01-01 --to 2026-01-31",
            ));
    }
    let (live, submitted) = LiveProject::new(Arc::new(services), plan.clone());
    Ok(ServerOpening::Ready(Box::new(ProjectServer {
        request: request.clone(),
        asked,
        plan: plan.clone(),
        pipelines,
        stamp,
        submissions: Submissions::new(Arc::clone(&live), submitted),
        live,
    })))
}

impl ProjectServer {
    /// The project, for those who ask while it is served.
    pub fn project(&self) -> &Arc<LiveProject> {
        &self.live
    }

    /// Serves the project until it is asked to stop and nothing runs any more.
    pub async fn serve(self, observer: Arc<dyn ServeObserver>, stop: StopSignals) {
        let (services, plan) = (Arc::clone(self.live.services()), self.plan);
        let alerts = ServedAlerts::begin(Arc::clone(&services), &plan, Arc::clone(&observer)).await;
        observer.begins(&self.pipelines);
        let runs = self.request.runs.max(1);
        let share = services.budget_bytes / runs as u64;
        let scheduler = Scheduler::new(
            Arc::clone(&services.store) as _,
            plan.environment.clone(),
            self.pipelines,
        );
        let mut server = Server {
            system: Arc::clone(&services.system) as _,
            store: Arc::clone(&services.store) as _,
            environment: plan.environment.clone(),
            scheduler,
            observer,
            stop,
            asked: RunRequest {
                // A project that gets another default environment meanwhile does not move the runs.
                environment: Some(plan.environment.to_string()),
                memory_bytes: Some(share),
                ..self.asked
            },
            runs,
            alerts,
            going: JoinSet::new(),
            live: self.live,
            submissions: self.submissions,
            busy: BTreeMap::new(),
            known: plan.pipelines.iter().map(|one| one.name.clone()).collect(),
            backfilled: BTreeSet::new(),
            order: FairOrder::default(),
            alone: None,
            waits_alone: false,
            reported: BTreeMap::new(),
            unreachable: None,
            looked_us: services.system.monotonic_us(),
            stamp: self.stamp,
        };
        server.serve().await;
        server.alerts.end().await;
    }
}

fn pipelines(plan: &Plan) -> Result<Vec<ScheduledPipeline>> {
    let mut found = Vec::new();
    for pipeline in &plan.pipelines {
        found.extend(scheduled(plan, pipeline)?);
    }
    Ok(found)
}

/// True when a backfill has something left to do.
async fn has_backfill(services: &ProjectServices, plan: &Plan) -> Result<bool> {
    let found = services.store.backfills(&plan.environment).await?;
    Ok(found.iter().any(|one| !one.has_ended()))
}

struct Server {
    system: Arc<dyn Clock>,
    store: Arc<dyn StateStore>,
    environment: Environment,
    scheduler: Scheduler,
    observer: Arc<dyn ServeObserver>,
    stop: StopSignals,
    asked: RunRequest,
    runs: usize,
    alerts: ServedAlerts,
    going: JoinSet<(ScheduledInterval, Result<RunResult>)>,
    live: Arc<LiveProject>,
    /// The runs that clients have submitted.
    submissions: Submissions,
    /// Pipelines with a run of this process, and those that failed to begin, with the time of the next try.
    busy: BTreeMap<PipelineName, u64>,
    /// The pipelines of the project: backfills of others wait.
    known: BTreeSet<PipelineName>,
    /// Pipelines with a run of a backfill in this process.
    backfilled: BTreeSet<PipelineName>,
    order: FairOrder,
    /// The pipeline whose run has this process alone.
    alone: Option<PipelineName>,
    /// True while the run of an interval waits until nothing else runs.
    waits_alone: bool,
    /// Why the run of a pipeline could not begin, as it was reported.
    reported: BTreeMap<PipelineName, String>,
    /// Why nothing can be decided, as it was reported.
    unreachable: Option<String>,
    /// The project's files as they were read last, and when they were looked at.
    stamp: BTreeMap<PathBuf, (u64, Option<SystemTime>)>,
    looked_us: u64,
}

impl Server {
    async fn serve(&mut self) {
        while !self.stop.drain.is_cancelled() {
            self.reload().await;
            self.go_on().await;
            let idle = match self.scheduler.tick().await {
                Ok(mut tick) => {
                    self.unreachable = None;
                    for failure in &tick.failures {
                        self.observer.fails(failure);
                    }
                    self.order.sort(&mut tick.next);
                    self.begin_all(tick.next).await;
                    let idle_us = tick.idle_us.and_then(|us| u64::try_from(us).ok());
                    idle_us.map_or(POLL_INTERVAL, |us| {
                        Duration::from_micros(us).min(POLL_INTERVAL)
                    })
                }
                Err(failure) => {
                    let said = Some(failure.to_string());
                    if self.unreachable != said {
                        self.observer.fails(&failure);
                    }
                    self.unreachable = said;
                    RETRY_INTERVAL
                }
            };
            // A moment that is just over is due at the next look.
            let idle = idle.max(Duration::from_millis(20));
            tokio::select! {
                () = self.stop.drain.cancelled() => {}
                () = self.system.sleep(idle) => {}
                Some(ended) = self.going.join_next() => self.ended(ended),
                happens = self.submissions.next() => self.submitted(happens),
            }
        }
        self.submissions.close();
        while !self.going.is_empty() || self.submissions.going() > 0 {
            tokio::select! {
                Some(ended) = self.going.join_next() => self.ended(ended),
                happens = self.submissions.next() => self.submitted(happens),
            }
        }
    }

    /// How many runs may begin now.
    fn room(&self) -> usize {
        let going = self.going.len() + self.submissions.going();
        if self.alone.is_some() || self.waits_alone || self.submissions.is_alone() {
            return 0;
        }
        self.runs.saturating_sub(going)
    }

    fn submitted(&mut self, happens: Happens) {
        let asked = match happens {
            Happens::Asked(asked) => asked,
            Happens::Ended(ended) => {
                let clock = self.system.as_ref();
                return self.submissions.end(&self.observer, clock, &ended);
            }
        };
        if self.stop.drain.is_cancelled() {
            // The client hears that the server stops, because nobody answers it.
            return;
        }
        let has_room = self.room() > 0;
        let begin = Begin {
            request: &self.asked,
            observer: &self.observer,
            cancel: &self.stop.cancel,
        };
        self.submissions.begin(&begin, asked, has_room);
    }

    /// Goes on with submitted runs whose process has died.
    async fn go_on(&mut self) {
        let (room, is_idle) = (self.room(), self.going.is_empty());
        let begin = Begin {
            request: &self.asked,
            observer: &self.observer,
            cancel: &self.stop.cancel,
        };
        // The look at the schedules says what is wrong with the store.
        let _ = self
            .submissions
            .go_on(&begin, self.system.as_ref(), room, is_idle)
            .await;
    }

    /// Reads the project again if its files have changed. With mistakes, the pipelines that have none go on,
    /// and the schedules of the others stay as they are.
    async fn reload(&mut self) {
        let now_us = self.system.monotonic_us();
        if u128::from(now_us.saturating_sub(self.looked_us)) < RELOAD_INTERVAL.as_micros() {
            return;
        }
        self.looked_us = now_us;
        let stamp = stamp(&self.asked.dir);
        if stamp == self.stamp {
            return;
        }
        self.stamp = stamp;
        if let Err(failure) = self.read_again().await {
            self.observer.fails(&failure);
        }
    }

    async fn read_again(&mut self) -> Result<()> {
        let mut report = checked(&self.asked).await?;
        let mut unread = BTreeSet::new();
        if report.plan.is_none() {
            self.observer.invalid(&report);
            unread = with_mistakes(&report);
            report = valid_part(&self.asked, report).await?;
        }
        let Some(plan) = &report.plan else {
            return Ok(());
        };
        let pipelines = pipelines(plan)?;
        self.live.replace(plan.clone(), &unread);
        self.observer.changed(&pipelines);
        // Of a pipeline with mistakes it is not known who gets its alerts.
        if unread.is_empty() {
            self.alerts.replace(plan);
        }
        let known = plan.pipelines.iter().map(|one| one.name.clone());
        self.known = known.chain(unread.iter().cloned()).collect();
        self.scheduler.replace(pipelines, unread);
        Ok(())
    }

    fn ended(
        &mut self,
        ended: std::result::Result<(ScheduledInterval, Result<RunResult>), JoinError>,
    ) {
        // A task that ended without a result was aborted; its panic is a result.
        let Ok((interval, ended)) = ended else { return };
        let pipeline = &interval.pipeline;
        self.backfilled.remove(pipeline);
        if self.alone.as_ref() == Some(pipeline) {
            self.alone = None;
        }
        let problem = match &ended {
            Ok(RunResult::Report(_)) => None,
            Ok(RunResult::InvalidProject(report)) => Some(format!("{:?}", report.diagnostics)),
            Ok(RunResult::NothingToRun(why)) => Some(why.clone()),
            Err(failure) => Some(failure.to_string()),
        };
        match problem {
            None => {
                self.busy.remove(pipeline);
                self.reported.remove(pipeline);
                self.observer.ended(&interval, &ended);
            }
            Some(problem) => {
                let again = RETRY_INTERVAL.as_micros().try_into().unwrap_or(u64::MAX);
                let again = self.system.monotonic_us().saturating_add(again);
                self.busy.insert(pipeline.clone(), again);
                let known = self.reported.insert(pipeline.clone(), problem.clone());
                if known.as_ref() != Some(&problem) {
                    self.observer.ended(&interval, &ended);
                }
            }
        }
    }

    /// Begins what there is room for. A run that may be what killed the processes before this one gets its last
    /// try alone, so that no other run is lost with it.
    async fn begin_all(&mut self, next: Vec<ScheduledInterval>) {
        self.waits_alone = false;
        for one in &next {
            let (Some(run), IntervalState::Running) = (&one.run, one.state) else {
                continue;
            };
            if self.is_busy(&one.pipeline) || !self.known.contains(&one.pipeline) {
                continue;
            }
            let environment = &self.environment;
            match self.store.lost_processes(run, environment).await {
                Ok(lost) if lost + 1 == MOST_LOST_PROCESSES => {
                    let is_alone = self.going.is_empty() && self.submissions.going() == 0;
                    if is_alone && self.begin(one.clone()) {
                        self.observer.alone(one, lost);
                        self.alone = Some(one.pipeline.clone());
                    } else {
                        self.waits_alone = true;
                    }
                    return;
                }
                Ok(_) => {}
                // The next look at the schedules says what is wrong with the store.
                Err(_) => return,
            }
        }
        for one in next {
            self.begin(one);
        }
    }

    fn is_busy(&mut self, pipeline: &PipelineName) -> bool {
        let now_us = self.system.monotonic_us();
        self.busy.retain(|_, until| *until > now_us);
        self.busy.contains_key(pipeline)
    }

    /// Begins the run of an interval, if there is room; true then.
    fn begin(&mut self, next: ScheduledInterval) -> bool {
        if self.room() == 0 || self.is_busy(&next.pipeline) {
            return false;
        }
        if next.backfill.is_some() {
            // A slot is left to the schedules, if there are several.
            let most = self.runs.saturating_sub(1).max(1);
            if self.backfilled.len() >= most || !self.known.contains(&next.pipeline) {
                return false;
            }
            self.backfilled.insert(next.pipeline.clone());
        }
        self.busy.insert(next.pipeline.clone(), u64::MAX);
        self.order.begins(&next);
        let request = RunRequest {
            pipeline_or_step: Some(next.pipeline.to_string()),
            interval: Some(next.interval),
            scheduled: true,
            backfill: next.backfill,
            ..self.asked.clone()
        };
        let (observer, cancel) = (Arc::clone(&self.observer), self.stop.cancel.clone());
        self.going.spawn(async move {
            let work = async {
                let run_observer = observer.run(&next);
                Box::pin(run(&request, run_observer.as_ref(), cancel)).await
            };
            let ended = AssertUnwindSafe(work).catch_unwind().await;
            let ended = ended.unwrap_or_else(|panic| Err(panicked_run(&next.pipeline, &*panic)));
            (next, ended)
        });
        true
    }
}

/// The pipelines whose files have mistakes.
fn with_mistakes(report: &CheckReport) -> BTreeSet<PipelineName> {
    let errors = report.diagnostics.iter().filter(|one| one.is_error());
    let files = errors.filter_map(|one| one.span.as_ref()?.file.strip_prefix("pipelines/"));
    let names = files.filter_map(|file| Path::new(file).file_stem()?.to_str());
    names.map(PipelineName::new).collect()
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
