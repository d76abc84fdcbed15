//! What can go wrong during a run, apart from what its tasks report.
//!
//! Promise: each failure names the run, task or program and what to do. Codes: `codes.rs`.

use std::any::Any;
use std::path::PathBuf;
use std::time::Duration;

use towpath_ports::{RunRecord, RunState};
use towpath_vocab::{Failure, PipelineName, Remedy, RunName, TaskId};

/// A failure of the orchestrator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("program `{program}` was not found")]
    ProgramNotFound { program: String },
    #[error("program `{program}` could not be started: {source}")]
    NotStarted {
        program: String,
        source: std::io::Error,
    },
    #[error("the working folder `{folder}` does not exist")]
    NoFolder { folder: PathBuf },
    #[error("no program was given")]
    NoProgram,
    #[error("the log `{log}` cannot be written: {source}")]
    Log {
        log: PathBuf,
        source: std::io::Error,
    },
    #[error("program `{program}` could not be monitored: {source}")]
    Watch {
        program: String,
        source: std::io::Error,
    },
    #[error("the graph of run `{run}` does not fit its record: {detail}")]
    Graph { run: RunName, detail: String },
    #[error("this process lost the lease of run `{run}`: {detail}")]
    Lost { run: RunName, detail: String },
    #[error("task `{task}` was stopped after its timeout of {}", words(*after))]
    TimedOut { task: TaskId, after: Duration },
    #[error("task `{task}` was stopped by the user")]
    Cancelled { task: TaskId },
    #[error("task `{task}` ended in a panic")]
    Panicked { task: TaskId },
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let (code, remedy, help) = match &error {
            RunError::ProgramNotFound { program } if program.contains('/') => (
                "R0701",
                Remedy::FixConfig,
                "check the path; a relative one starts at the working folder of the command"
                    .to_owned(),
            ),
            RunError::ProgramNotFound { program } => (
                "R0701",
                Remedy::FixConfig,
                format!(
                    "install `{program}`, or write its full path as the first word of `command`"
                ),
            ),
            RunError::NotStarted { program, .. } => (
                "R0702",
                Remedy::FixConfig,
                format!(
                    "make `{program}` executable for this user; a script needs a first line like `#!/bin/sh`"
                ),
            ),
            RunError::NoFolder { .. } => (
                "R0703",
                Remedy::FixConfig,
                "create the folder, or change `directory`".to_owned(),
            ),
            RunError::NoProgram => (
                "R0710",
                Remedy::FixConfig,
                "give `command` at least one word: the program".to_owned(),
            ),
            RunError::Log { .. } => (
                "R0704",
                Remedy::FixConfig,
                "free some space, and allow this user to write there".to_owned(),
            ),
            RunError::Watch { .. } => ("R0711", Remedy::Retry, "try again".to_owned()),
            RunError::Graph { .. } => (
                "R0705",
                Remedy::Bug,
                "please report this with the message".to_owned(),
            ),
            RunError::Lost { run, .. } => (
                "R0706",
                Remedy::Refused,
                format!("`towpath runs` shows who runs `{run}` now; no partial result is visible"),
            ),
            RunError::TimedOut { .. } => (
                "R0707",
                Remedy::Retry,
                "raise `timeout` if the task needs longer".to_owned(),
            ),
            RunError::Cancelled { .. } => (
                "R0708",
                Remedy::Cancelled,
                "run the pipeline again to continue from here".to_owned(),
            ),
            RunError::Panicked { .. } => (
                "R0709",
                Remedy::Bug,
                "please report this with the lines above it in the log".to_owned(),
            ),
        };
        Failure::new(code, remedy, error.to_string())
            .help(help)
            .caused_by(&error)
    }
}

/// A run that ended in a panic; its interval waits until the lease of the run is over.
pub fn panicked_run(pipeline: &PipelineName, panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let message = format!(
        "the run of `{pipeline}` ended in a panic: {}",
        text.unwrap_or("without a message")
    );
    Failure::new("R0709", Remedy::Bug, message)
        .help("please report this with the lines above it in the log")
        .help("the run is tried again")
}

/// A task that did not end before the deadline of its run.
pub(crate) fn late(task: &TaskId, run: &RunName) -> Failure {
    let message = format!("task `{task}` did not end before the deadline of run `{run}`");
    Failure::new("R0716", Remedy::Refused, message).help(format!(
        "raise `deadline` of the schedule if its runs need longer; then: towpath rerun {run} --failed"
    ))
}

/// A task that was stopped because the next interval of its schedule is due.
pub(crate) fn replaced(task: &TaskId) -> Failure {
    let message = format!("task `{task}` was stopped, because the next interval is due");
    Failure::new("R0717", Remedy::Cancelled, message)
        .help("`overlap: queue` or `keep_latest` lets a run end before the next one begins")
}

/// A task that was stopped because a user cancelled its run from elsewhere.
pub(crate) fn cancelled(task: &TaskId, run: &RunName) -> Failure {
    let message = format!("task `{task}` was stopped by the user");
    Failure::new("R0708", Remedy::Cancelled, message).help(format!(
        "to do what the run has not done: towpath rerun {run} --failed"
    ))
}

/// True for the failure of a task that did not end before the deadline of its run.
pub fn is_late(failure: &Failure) -> bool {
    failure.code == "R0716"
}

/// A run that is to be cancelled and does not run.
pub fn not_running(record: &RunRecord) -> Failure {
    let how = match record.state {
        RunState::Succeeded => "succeeded",
        RunState::Failed => "failed",
        RunState::Cancelled => "was cancelled",
        RunState::Running | RunState::Superseded => "was replaced by another run",
    };
    let message = format!("`{}` is not running: it {how}", record.name);
    Failure::new("R0718", Remedy::Refused, message).help("to list what runs: towpath runs")
}

/// A run that was asked to stop, and has not ended a minute later.
pub fn still_running(run: &RunName) -> Failure {
    let message = format!("`{run}` was asked to stop and is still running after a minute");
    Failure::new("R0719", Remedy::Refused, message)
        .help(format!(
            "give its tasks no more time: towpath cancel {run} --now"
        ))
        .help("a process of an older version does not know the request: stop it with Ctrl-C")
}

/// Runs of a backfill that are to overlap.
pub fn parallel_backfill(asked: u16) -> Failure {
    let message = format!("a backfill cannot have {asked} runs at once");
    Failure::new("R0715", Remedy::FixConfig, message)
        .help("runs of one pipeline never overlap: leave `--parallel` out")
        .help("backfills of different pipelines run at once: towpath serve --runs 4")
}

/// Formats a duration as it is written in `timeout`.
fn words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        _ if seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{} s", duration.as_secs_f64()),
    }
}
