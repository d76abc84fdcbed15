//! The submitted runs of a server: begins them, and goes on with those whose process has died.
//!
//! Promise: a submitted run is in the state store with its key when the client hears of it. A server that is
//! started again goes on with the ones that have not ended and were not asked to stop, also with those of other
//! servers; what cannot go on is tried less and less often, and fails in the end. Submitted and scheduled runs share
//! the slots of `--runs`. It does not know HTTP, and no schedule. Read next: `serve.rs`, `live_project.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use towpath_flow::Progress;
use towpath_orchestrator::{DriveObserver, panicked_run};
use towpath_ports::{Clock, MOST_LOST_PROCESSES, RunRecord, Submission};
use towpath_project::TaskSelection;
use towpath_vocab::{Diagnostic, Failure, PipelineName, PlannedPipeline, Remedy, RunName};

use crate::Result;
use crate::check::CheckReport;
use crate::live_project::{Asked, Begun, LiveProject, SubmittedRequest};
use crate::opening::{is_begun_elsewhere, other_request};
use crate::rerun::{RerunRequest, RerunScope, rerun};
use crate::run::{RunObserver, RunRequest, RunResult, Wait, run};
use crate::serve::ServeObserver;

/// How often the server looks for submitted runs whose process has died.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How long a run that could not go on waits for the next try: so long after the first, twice as long after each
/// other, and at most so long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// After so many tries a run that cannot go on fails: about half an hour.
const MOST_TRIES: u32 = 12;

/// The mistakes of a project that a failure names.
const NAMED: usize = 3;

/// A key of a token.
type Key = (String, String);

/// A submitted run that has ended.
pub(crate) struct Ended {
    key: Key,
    pipeline: PipelineName,
    /// True if it was begun by another process.
    goes_on: bool,
    ended: Result<RunResult>,
}

/// What happens to the submitted runs.
pub(crate) enum Happens {
    /// A client asks for one.
    Asked(Asked),
    /// One has ended.
    Ended(Ended),
}

/// The submitted runs of a server.
pub(crate) struct Submissions {
    live: Arc<LiveProject>,
    asked: mpsc::Receiver<Asked>,
    going: JoinSet<Ended>,
    /// The keys of those that go on.
    keys: BTreeSet<Key>,
    /// The one that has this process alone.
    alone: Option<Key>,
    /// True while one waits until nothing else runs.
    waits_alone: bool,
    looked_us: Option<u64>,
    /// What could not go on.
    troubles: BTreeMap<Key, Trouble>,
    beginning: Beginning,
}

/// Why a run could not go on, how often, and when it is tried again.
#[derive(Default)]
struct Trouble {
    reason: String,
    tries: u32,
    again_us: u64,
}

/// By its key what has not begun yet: the request, and the clients that wait for it.
type Beginning = Arc<Mutex<BTreeMap<Key, (Value, Vec<Begun>)>>>;

/// What a submitted run needs of its server.
pub(crate) struct Begin<'a> {
    pub(crate) request: &'a RunRequest,
    pub(crate) observer: &'a Arc<dyn ServeObserver>,
    pub(crate) cancel: &'a CancellationToken,
}

impl Submissions {
    pub(crate) fn new(live: Arc<LiveProject>, asked: mpsc::Receiver<Asked>) -> Self {
        Self {
            live,
            asked,
            going: JoinSet::new(),
            keys: BTreeSet::new(),
            alone: None,
            waits_alone: false,
            looked_us: None,
            troubles: BTreeMap::new(),
            beginning: Beginning::default(),
        }
    }

    /// How many of them go on.
    pub(crate) fn going(&self) -> usize {
        self.going.len()
    }

    /// True while one of them has this process alone, or waits for that: nothing else begins.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone.is_some() || self.waits_alone
    }

    /// What happens next: a client asks for a run, or a run ends. It stops nothing to give up waiting for it.
    pub(crate) async fn next(&mut self) -> Happens {
        loop {
            tokio::select! {
                Some(asked) = self.asked.recv() => return Happens::Asked(asked),
                Some(ended) = self.going.join_next() => {
                    // One without a result was aborted; its panic is a result.
                    if let Ok(ended) = ended {
                        return Happens::Ended(ended);
                    }
                }
                else => std::future::pending().await,
            }
        }
    }

    /// Takes no more. What waits hears that the server stops.
    pub(crate) fn close(&mut self) {
        self.asked.close();
        while self.asked.try_recv().is_ok() {}
    }

    /// Begins one that a client asked for.
    pub(crate) fn begin(&mut self, begin: &Begin<'_>, asked: Asked, has_room: bool) {
        let Asked {
            submission,
            request,
            begun,
        } = asked;
        let key = key_of(&submission);
        let mut beginning = lock(&self.beginning);
        // Nobody hears an answer when the client has gone.
        match beginning.get_mut(&key) {
            Some((same, waiting)) if *same == submission.request => waiting.push(begun),
            Some(_) => drop(begun.send(Err(other_request()))),
            None if !has_room => drop(begun.send(Err(no_room()))),
            None => {
                let waits = (submission.request.clone(), vec![begun]);
                beginning.insert(key, waits);
                drop(beginning);
                self.spawn(begin, submission, request, false);
            }
        }
    }

    /// Goes on with those whose process has died, as far as there is room. One that may be what killed its processes
    /// gets its last try alone, so `is_idle` says whether nothing else runs.
    ///
    /// # Errors
    /// Those of the state store.
    pub(crate) async fn go_on(
        &mut self,
        begin: &Begin<'_>,
        clock: &dyn Clock,
        mut room: usize,
        is_idle: bool,
    ) -> Result<()> {
        let now_us = clock.monotonic_us();
        let since_us = self
            .looked_us
            .map(|looked_us| now_us.saturating_sub(looked_us));
        if since_us.is_some_and(|since_us| u128::from(since_us) < LOOK_INTERVAL.as_micros()) {
            return Ok(());
        }
        self.looked_us = Some(now_us);
        let environment = self.live.plan().environment.clone();
        let store = Arc::clone(&self.live.services().store);
        let unfinished = store.api().unfinished_submissions(&environment).await?;
        let keys: BTreeSet<Key> = unfinished.iter().map(|(one, _)| key_of(one)).collect();
        self.troubles.retain(|key, _| keys.contains(key));
        self.waits_alone = false;
        for (submission, record) in unfinished {
            let key = key_of(&submission);
            let trouble = self.troubles.get(&key);
            if self.keys.contains(&key) || trouble.is_some_and(|one| one.again_us > now_us) {
                continue;
            }
            if store.is_live(&record).await? {
                continue;
            }
            let request = serde_json::from_value(submission.request.clone());
            let request = match (request, trouble) {
                (Err(error), _) => Err(unable(&record.name, &error.to_string())),
                (_, Some(trouble)) if trouble.tries >= MOST_TRIES => {
                    Err(unable(&record.name, &trouble.reason))
                }
                (Ok(request), _) => Ok(request),
            };
            match request {
                Ok(request) => {
                    let lost = store.lost_processes(&record.name, &environment).await?;
                    if lost + 1 == MOST_LOST_PROCESSES {
                        if self.alone.is_none() && is_idle && self.going() == 0 {
                            begin.observer.submitted_alone(&record.name, lost);
                            self.alone = Some(key);
                            self.spawn(begin, submission, request, true);
                        } else {
                            self.waits_alone = true;
                        }
                        room = 0;
                    } else if room > 0 {
                        room -= 1;
                        self.spawn(begin, submission, request, true);
                    }
                }
                Err(failure) => {
                    let api = store.api();
                    if api.fail_run(&record.name, &environment, &failure).await? {
                        let pipeline = &record.name.pipeline;
                        begin.observer.submitted_ended(pipeline, &Err(failure));
                    }
                }
            }
        }
        Ok(())
    }

    fn spawn(
        &mut self,
        begin: &Begin<'_>,
        submission: Submission,
        asked: SubmittedRequest,
        goes_on: bool,
    ) {
        let pipeline = PipelineName::new(asked.pipeline.as_str());
        let key = key_of(&submission);
        if goes_on {
            // A client that asks with this key meanwhile waits for it.
            let waits = (submission.request.clone(), Vec::new());
            lock(&self.beginning).entry(key.clone()).or_insert(waits);
        }
        self.keys.insert(key.clone());
        let work = Work::new(begin.request, submission, asked);
        let cancel = begin.cancel.child_token();
        let observer = Announces {
            inner: begin.observer.submitted(&pipeline),
            key: key.clone(),
            beginning: Arc::clone(&self.beginning),
            is_new: !goes_on,
        };
        self.going.spawn(async move {
            let running = AssertUnwindSafe(Box::pin(work.run(&observer, cancel))).catch_unwind();
            let ended = running.await;
            let ended = ended.unwrap_or_else(|panic| Err(panicked_run(&pipeline, &*panic)));
            observer.end(&ended);
            Ended {
                key,
                pipeline,
                goes_on,
                ended,
            }
        });
    }

    /// One has ended. What could not go on is reported once for each reason.
    pub(crate) fn end(
        &mut self,
        observer: &Arc<dyn ServeObserver>,
        clock: &dyn Clock,
        ended: &Ended,
    ) {
        self.keys.remove(&ended.key);
        if self.alone.as_ref() == Some(&ended.key) {
            self.alone = None;
        }
        let reason = match &ended.ended {
            Ok(RunResult::Report(_)) => None,
            Ok(RunResult::InvalidProject(_)) => Some("the project has mistakes".to_owned()),
            Ok(RunResult::NothingToRun(why)) => Some(why.clone()),
            Err(failure) => Some(failure.to_string()),
        };
        let Some(reason) = reason.filter(|_| ended.goes_on) else {
            self.troubles.remove(&ended.key);
            observer.submitted_ended(&ended.pipeline, &ended.ended);
            return;
        };
        let trouble = self.troubles.entry(ended.key.clone()).or_default();
        let pause = FIRST_PAUSE.saturating_mul(1 << trouble.tries.min(10));
        let pause = pause.min(LONGEST_PAUSE).as_micros();
        let pause = u64::try_from(pause).unwrap_or(u64::MAX);
        trouble.again_us = clock.monotonic_us().saturating_add(pause);
        if is_lasting(&ended.ended) {
            trouble.tries += 1;
        }
        if trouble.reason != reason {
            trouble.reason = reason;
            observer.submitted_ended(&ended.pipeline, &ended.ended);
        }
    }
}

fn key_of(submission: &Submission) -> Key {
    (submission.token.clone(), submission.key.clone())
}

/// True for a reason that does not go away by waiting.
fn is_lasting(ended: &Result<RunResult>) -> bool {
    match ended {
        Ok(_) => true,
        Err(failure) if is_submitted_elsewhere(failure) => false,
        Err(failure) => !matches!(failure.remedy, Remedy::Retry | Remedy::Unreachable),
    }
}

/// A submitted run before it begins.
enum Work {
    Run(Box<RunRequest>),
    Rerun(Box<RerunRequest>),
}

impl Work {
    fn new(base: &RunRequest, submission: Submission, asked: SubmittedRequest) -> Self {
        let SubmittedRequest {
            pipeline,
            options,
            rerun,
        } = asked;
        if let Some(past) = rerun {
            return Self::Rerun(Box::new(RerunRequest {
                dir: base.dir.clone(),
                environment: base.environment.clone(),
                run: Some(past.run),
                part: match (past.options.from, past.options.failed) {
                    (Some(step), _) => RerunScope::From(step),
                    (None, true) => RerunScope::Failed,
                    (None, false) => RerunScope::All,
                },
                wait: Wait::No,
                memory_bytes: base.memory_bytes,
                submission: Some(submission),
            }));
        }
        Self::Run(Box::new(RunRequest {
            pipeline_or_step: Some(match &options.step {
                Some(step) => format!("{pipeline}.{step}"),
                None => pipeline,
            }),
            choice: TaskSelection {
                select: options.select,
                exclude: options.exclude,
            },
            full_refresh: options.full_refresh,
            params: options.params,
            submission: Some(submission),
            ..base.clone()
        }))
    }

    async fn run(self, observer: &Announces, cancel: CancellationToken) -> Result<RunResult> {
        match self {
            Self::Run(request) => run(&request, observer, cancel).await,
            Self::Rerun(request) => rerun(&request, observer, cancel).await,
        }
    }
}

/// Tells the clients that their run has begun.
struct Announces {
    inner: Arc<dyn RunObserver>,
    key: Key,
    beginning: Beginning,
    /// False for a run that another process had begun.
    is_new: bool,
}

impl Announces {
    /// Answers all clients that wait; a new run has begun for the first of them.
    fn answer(&self, answer: &Result<RunRecord>) {
        let waiting = lock(&self.beginning).remove(&self.key);
        let waiting = waiting.into_iter().flat_map(|(_, waiting)| waiting);
        for (number, begun) in waiting.enumerate() {
            let is_new = self.is_new && number == 0;
            let answer = answer.clone().map(|record| (record, is_new));
            // Nobody hears it when the client has gone.
            let _ = begun.send(answer);
        }
    }

    /// Says why the run has not begun, if it has not.
    fn end(&self, ended: &Result<RunResult>) {
        match ended {
            Ok(RunResult::Report(_)) => {}
            Ok(RunResult::InvalidProject(report)) => self.answer(&Err(mistakes(report))),
            Ok(RunResult::NothingToRun(why)) => self.answer(&Err(nothing(why))),
            Err(failure) => self.answer(&Err(failure.clone())),
        }
    }
}

impl RunObserver for Announces {
    fn waits(&self, running: &RunRecord) {
        self.inner.waits(running);
    }

    fn begins(&self, record: &RunRecord, pipeline: &PlannedPipeline, progress: Arc<Progress>) {
        self.inner.begins(record, pipeline, progress);
        self.answer(&Ok(record.clone()));
    }

    fn drive_observer(&self) -> Arc<dyn DriveObserver> {
        self.inner.drive_observer()
    }

    fn notes(&self, diagnostics: &[Diagnostic], files: &BTreeMap<String, String>) {
        self.inner.notes(diagnostics, files);
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True when a submitted run did not begin because another process has it.
pub fn is_submitted_elsewhere(failure: &Failure) -> bool {
    is_begun_elsewhere(failure) || failure.code == "R1130"
}

fn no_room() -> Failure {
    let message = "the server has as many runs as it may have at once";
    Failure::new("R1126", Remedy::Retry, message)
        .help("ask again with the same key when one has ended: towpath runs")
        .help("or let more run at once: towpath serve --runs 4")
}

fn mistakes(report: &CheckReport) -> Failure {
    let errors = report.diagnostics.iter().filter(|one| one.is_error());
    let failure = Failure::new("R1127", Remedy::FixConfig, "the project has mistakes");
    let named = errors.take(NAMED).map(|one| {
        let place = one.span.as_ref();
        let place = place.map_or_else(String::new, |at| format!("{}:{}: ", at.file, at.line));
        format!("{place}{} [{}]", one.message, one.code)
    });
    named
        .fold(failure, Failure::help)
        .help("look: towpath check")
}

fn nothing(why: &str) -> Failure {
    Failure::new(
        "R1128",
        Remedy::FixConfig,
        format!("there is nothing to run: {why}"),
    )
    .help("look at the tasks of the pipeline: towpath plan")
}

fn unable(run: &RunName, reason: &str) -> Failure {
    let message = format!("{run} was submitted to a server and could not go on: {reason}");
    Failure::new("R1129", Remedy::FixConfig, message)
        .help(format!(
            "correct the project, then begin a new run: towpath run {}",
            run.pipeline
        ))
        .help(format!(
            "or do the rest of this one: towpath rerun {run} --failed"
        ))
}
