//! The public table of exit codes.

use std::process::ExitCode;

use towpath_vocab::{Failure, Remedy};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, warnings included.
    Done,
    /// Something that ran failed.
    Failed,
    /// Usage or project wrong.
    Wrong,
    /// Stopped by data: rules, checks, contracts.
    StoppedByData,
    /// Refused: locked, unsafe.
    Refused,
    /// Interrupted by the user.
    Interrupted,
}

impl Exit {
    /// The exit of a single failure.
    pub(crate) fn of(failure: &Failure) -> Self {
        match failure.remedy {
            Remedy::Retry | Remedy::Bug => Exit::Failed,
            Remedy::FixConfig => Exit::Wrong,
            Remedy::FixData => Exit::StoppedByData,
            Remedy::Refused => Exit::Refused,
            Remedy::Cancelled => Exit::Interrupted,
        }
    }

    /// The exit of a run whose tasks failed: a run that ran is never a usage mistake.
    pub(crate) fn of_run<'a>(failures: impl Iterator<Item = &'a Failure>) -> Self {
        let mut exit = Exit::Done;
        for failure in failures {
            exit = match (failure.remedy, exit) {
                (Remedy::Cancelled, _) | (_, Exit::Interrupted) => Exit::Interrupted,
                (Remedy::FixData, Exit::Done | Exit::StoppedByData) => Exit::StoppedByData,
                _ => Exit::Failed,
            };
        }
        exit
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Wrong => 2,
            Exit::StoppedByData => 3,
            Exit::Refused => 4,
            Exit::Interrupted => 130,
        })
    }
}

/// What clap found: help and version are no mistakes.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // Writing to a closed terminal is no reason for another exit code.
    let _ = error.print();
    if error.use_stderr() {
        Exit::Wrong.into()
    } else {
        Exit::Done.into()
    }
}
