//! The public table of exit codes.
//!
//! Promise: each code has one meaning, which `docs/reference/exit-codes.md` prints from here. The code of
//! a failure follows from its remedy, not from its text.

use std::process::ExitCode;

use towpath_vocab::{Failure, Remedy};

use crate::terminal::unwritten;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, warnings included.
    Done,
    /// Something that ran failed.
    Failed,
    /// A mistake in the usage or the project.
    Wrong,
    /// The data stopped it: rules, checks, contracts.
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
            Remedy::Retry | Remedy::Unreachable | Remedy::Bug => Exit::Failed,
            Remedy::FixConfig => Exit::Wrong,
            Remedy::FixData => Exit::StoppedByData,
            Remedy::Refused => Exit::Refused,
            Remedy::Cancelled => Exit::Interrupted,
        }
    }

    /// The exit of a run whose tasks failed; after a run has started, it is never a usage mistake.
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

/// All exits, with their meaning for the caller.
pub(crate) const EXITS: &[(Exit, &str)] = &[
    (Exit::Done, "Success, possibly with warnings."),
    (
        Exit::Failed,
        "A task failed: for instance, a system could not be reached or a command failed. Run again to continue where it stopped.",
    ),
    (
        Exit::Wrong,
        "The command line or the project has a mistake. `towpath check` lists each mistake with its location.",
    ),
    (
        Exit::StoppedByData,
        "The data stopped the run: too many rows were bad, or a check failed. No bad data is visible.",
    ),
    (
        Exit::Refused,
        "Refused: for instance, the pipeline is already running, a file or table would be overwritten, or a system is read-only.",
    ),
    (
        Exit::Interrupted,
        "Interrupted by the user. No partial result is visible; run again to continue.",
    ),
];

impl Exit {
    /// The code that the process ends with.
    pub(crate) fn number(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Wrong => 2,
            Exit::StoppedByData => 3,
            Exit::Refused => 4,
            Exit::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.number())
    }
}

/// The exit for an error of clap; help and version are not mistakes.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let exit = match error.use_stderr() {
        true => Exit::Wrong,
        false => Exit::Done,
    };
    match error.print() {
        Ok(()) => exit.into(),
        Err(error) => unwritten(&error, exit).into(),
    }
}
