//! The submitted runs of a server: begins them, and goes on with those whose process has died.
//!
//! Promise: a submitted run is in the state store with its key when the client hears of it. A server that is
//! started again goes on with the ones that have not ended, also with those of other servers. Submitted and
//! scheduled runs share the slots of `--runs`. It does not know HTTP, and no schedule. Read next: `serve.rs`,
//! `live_project.rs`.

use std::collections::BTreeMap;
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
use towpath_ports::{Clock, RunRecord, StateStore, Submission};
use towpath_project::TaskSelection;
use towpath_vocab::{Diagnostic, Failure, PipelineName, PlannedPipeline, Remedy, RunName};

use crate::Result;
use crate::check::CheckReport;
use crate::live_project::{Asked, Begun, LiveProject, SubmittedRequest};
use crate::opening::{is_begun_elsewhere, other_request};
use crate::run::{RunObserver, RunRequest, RunResult, run};
use crate::serve::ServeObserver;

/// How often the server looks for submitted runs whose process has died.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The mistakes of a project that a failure names.
const NAMED: usize = 3;

/// A submitted run that has ended.
pub(crate) struct Ended {
    key: String,
    pipeline: PipelineName,
    run: Option<RunName>,
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
    looked_us: Option<u64>,
    /// Why a run could not go on, by its key, as it was reported.
    reported: BTreeMap<String, String>,
    beginning: Beginning,
}

/// By its key what has not begun yet: the request, and the clients that wait for it.
type Beginning = Arc<Mutex<BTreeMap<String, (Value, Vec<Begun>)>>>;

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
            looked_us: None,
            reported: BTreeMap::new(),
            beginning: Beginning::default(),
        }
    }

    /// How many of them go on.
    pub(crate) fn going(&self) -> usize {
        self.going.len()
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
        let mut beginning = lock(&self.beginning);
        // Nobody hears an answer when the client has gone.
        match beginning.get_mut(&submission.key) {
            Some((same, waiting)) if *same == submission.request => waiting.push(begun),
            Some(_) => drop(begun.send(Err(other_request()))),
            None if !has_room => drop(begun.send(Err(no_room()))),
            None => {
                let waits = (submission.request.clone(), vec![begun]);
                beginning.insert(submission.key.clone(), waits);
                drop(beginning);
                self.spawn(begin, submission, &request);
            }
        }
    }

    /// Goes on with those whose process has died, as far as there is room.
    ///
    /// # Errors
    /// Those of the state store.
    pub(crate) async fn go_on(
        &mut self,
        begin: &Begin<'_>,
        clock: &dyn Clock,
        mut room: usize,
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
        for (submission, record) in store.api().unfinished_submissions(&environment).await? {
            if room == 0 {
                return Ok(());
            }
            if store.is_live(&record).await? {
                continue;
            }
            room -= 1;
            let request = serde_json::from_value(submission.request.clone());
            match request {
                Ok(request) => self.spawn(begin, submission, &request),
                Err(error) => {
                    let failure = unreadable(&record.name, &error);
                    self.report(
                        begin.observer,
                        &submission.key,
                        &record.name.pipeline,
                        &Err(failure),
                    );
                }
            }
        }
        Ok(())
    }

    fn spawn(&mut self, begin: &Begin<'_>, submission: Submission, asked: &SubmittedRequest) {
        let pipeline = PipelineName::new(asked.pipeline.as_str());
        let options = &asked.options;
        let key = submission.key.clone();
        let request = RunRequest {
            pipeline_or_step: Some(match &options.step {
                Some(step) => format!("{pipeline}.{step}"),
                None => pipeline.to_string(),
            }),
            choice: TaskSelection {
                select: options.select.clone(),
                exclude: options.exclude.clone(),
            },
            full_refresh: options.full_refresh,
            params: options.params.clone(),
            submission: Some(submission),
            ..begin.request.clone()
        };
        let cancel = begin.cancel.child_token();
        let observer = Announces {
            inner: begin.observer.submitted(&pipeline),
            live: Arc::clone(&self.live),
            cancel: cancel.clone(),
            key: key.clone(),
            beginning: Arc::clone(&self.beginning),
            run: Mutex::default(),
        };
        self.going.spawn(async move {
            let work = AssertUnwindSafe(Box::pin(run(&request, &observer, cancel))).catch_unwind();
            let ended = work.await;
            let ended = ended.unwrap_or_else(|panic| Err(panicked_run(&pipeline, &*panic)));
            let run = observer.end(&ended);
            Ended {
                key,
                pipeline,
                run,
                ended,
            }
        });
    }

    pub(crate) fn end(&mut self, observer: &Arc<dyn ServeObserver>, ended: Ended) {
        if let Some(run) = &ended.run {
            self.live.ended(run);
        }
        self.report(observer, &ended.key, &ended.pipeline, &ended.ended);
    }

    /// Reports the end of a run; the same reason that one did not begin is reported once.
    fn report(
        &mut self,
        observer: &Arc<dyn ServeObserver>,
        key: &str,
        pipeline: &PipelineName,
        ended: &Result<RunResult>,
    ) {
        let reason = match ended {
            Ok(RunResult::Report(_)) => None,
            Ok(RunResult::InvalidProject(_)) => Some("the project has mistakes".to_owned()),
            Ok(RunResult::NothingToRun(why)) => Some(why.clone()),
            Err(failure) => Some(failure.to_string()),
        };
        let known = match &reason {
            None => self.reported.remove(key),
            Some(reason) => self.reported.insert(key.to_owned(), reason.clone()),
        };
        if reason.is_none() || known != reason {
            observer.submitted_ended(pipeline, ended);
        }
    }
}

/// Tells the client that its run has begun, and the server how to stop it.
struct Announces {
    inner: Arc<dyn RunObserver>,
    live: Arc<LiveProject>,
    cancel: CancellationToken,
    key: String,
    beginning: Beginning,
    run: Mutex<Option<RunName>>,
}

impl Announces {
    /// Answers all clients that wait; the run has begun for the first of them.
    fn answer(&self, answer: &Result<RunRecord>) {
        let waiting = lock(&self.beginning).remove(&self.key);
        let waiting = waiting.into_iter().flat_map(|(_, waiting)| waiting);
        for (number, begun) in waiting.enumerate() {
            let answer = answer.clone().map(|record| (record, number == 0));
            // Nobody hears it when the client has gone.
            let _ = begun.send(answer);
        }
    }

    /// Says why the run has not begun, if it has not. Returns its name if it has.
    fn end(&self, ended: &Result<RunResult>) -> Option<RunName> {
        match ended {
            Ok(RunResult::Report(_)) => {}
            Ok(RunResult::InvalidProject(report)) => self.answer(&Err(mistakes(report))),
            Ok(RunResult::NothingToRun(why)) => self.answer(&Err(nothing(why))),
            Err(failure) => self.answer(&Err(failure.clone())),
        }
        lock(&self.run).take()
    }
}

impl RunObserver for Announces {
    fn waits(&self, running: &RunRecord) {
        self.inner.waits(running);
    }

    fn begins(&self, record: &RunRecord, pipeline: &PlannedPipeline, progress: Arc<Progress>) {
        self.live.begins(&record.name, self.cancel.clone());
        *lock(&self.run) = Some(record.name.clone());
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

fn unreadable(run: &RunName, error: &serde_json::Error) -> Failure {
    let message = format!("the request of `{run}` cannot be read: {error}");
    Failure::new("R0964", Remedy::Refused, message)
        .help(format!("start a new run: towpath run {}", run.pipeline))
}
