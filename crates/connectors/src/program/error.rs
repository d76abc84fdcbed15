//! What can go wrong with a program, with what to do.
//!
//! Promise: no value of a secret and no row is part of a message; what the program said is cleaned before.

use std::time::Duration;

use thiserror::Error;
use towpath_vocab::{Failure, Remedy};

pub(super) type Result<T, E = ProgramError> = std::result::Result<T, E>;

#[derive(Debug, Error)]
pub(super) enum ProgramError {
    #[error("{place}: `{option}` {why}")]
    Option {
        place: String,
        option: &'static str,
        why: String,
    },
    #[error("`{program}` cannot be started: {why}")]
    NotStarted { program: String, why: String },
    #[error("`{program}` {how}")]
    Ended {
        program: String,
        how: String,
        said: Vec<String>,
    },
    #[error("`{program}` printed nothing for {} s", .timeout.as_secs())]
    Silent {
        program: String,
        timeout: Duration,
        said: Vec<String>,
    },
    #[error("the output of `{program}` is cut off: {why}")]
    Cut {
        program: String,
        why: String,
        said: Vec<String>,
    },
    #[error("the output of `{program}` cannot be kept: {source}")]
    Spool {
        program: String,
        source: std::io::Error,
    },
    #[error("the cursor `{column}` of `{table}` {why}")]
    Cursor {
        table: String,
        column: String,
        why: String,
    },
    #[error("connection `{connection}` starts a program, which takes no query")]
    Query { connection: String },
    #[error("the stored position of `{table}` has a form of another version")]
    Stored { table: String },
    /// Of another part, with its own code.
    #[error("{0}")]
    Port(Failure),
}

impl From<ProgramError> for Failure {
    fn from(error: ProgramError) -> Self {
        let (code, remedy) = match &error {
            ProgramError::Option { .. } => ("R1418", Remedy::FixConfig),
            ProgramError::NotStarted { .. } => ("R1419", Remedy::FixConfig),
            ProgramError::Ended { .. } => ("R1420", Remedy::Retry),
            ProgramError::Silent { .. } => ("R1421", Remedy::Retry),
            ProgramError::Cut { .. } => ("R1422", Remedy::Retry),
            ProgramError::Spool { .. } => ("R1423", Remedy::FixConfig),
            ProgramError::Cursor { .. } => ("R1424", Remedy::FixConfig),
            ProgramError::Query { .. } => ("R1425", Remedy::FixConfig),
            ProgramError::Stored { .. } => ("R1426", Remedy::FixConfig),
            ProgramError::Port(_) => ("", Remedy::Bug),
        };
        let message = error.to_string();
        let said = match error {
            ProgramError::Port(failure) => return failure,
            ProgramError::Ended { said, .. }
            | ProgramError::Silent { said, .. }
            | ProgramError::Cut { said, .. } => said,
            ProgramError::Stored { .. } => {
                vec!["read everything again: towpath run --full-refresh".to_owned()]
            }
            _ => Vec::new(),
        };
        let failure = Failure::new(code, remedy, message);
        said.into_iter().fold(failure, Failure::help)
    }
}

/// A failure of reading the output as a file.
pub(super) fn of_output(program: &str, failure: Failure) -> Failure {
    let Some((_, why)) = failure.message.split_once("is damaged: ") else {
        return failure;
    };
    ProgramError::Cut {
        program: program.to_owned(),
        why: why.to_owned(),
        said: Vec::new(),
    }
    .into()
}
