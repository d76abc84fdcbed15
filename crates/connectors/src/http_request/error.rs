//! What can go wrong with the request of an `http` step, with its code.

use thiserror::Error;
use towpath_vocab::{Failure, Remedy};

#[derive(Debug, Error)]
pub(super) enum RequestError {
    #[error("{what} {why}")]
    Written { what: String, why: String },
    #[error("{host} cannot be reached: {why}")]
    Unreachable { host: String, why: String },
    #[error("{host} gave no whole answer: {why}")]
    NoAnswer { host: String, why: String },
    #[error("{host} answered with status {status}{shown}")]
    Busy {
        host: String,
        status: u16,
        shown: String,
    },
    #[error("{host} answered with status {status}, and {expected} is expected{shown}")]
    Unexpected {
        host: String,
        status: u16,
        expected: String,
        shown: String,
    },
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let (code, remedy, help) = match &error {
            RequestError::Written { .. } => ("R0345", Remedy::FixConfig, None),
            RequestError::Unreachable { .. } => ("R0346", Remedy::Unreachable, None),
            RequestError::NoAnswer { .. } | RequestError::Busy { .. } => {
                ("R0347", Remedy::Retry, None)
            }
            RequestError::Unexpected {
                status: 300..400, ..
            } => (
                "R0348",
                Remedy::FixConfig,
                Some("redirects are not followed: write the address that it names"),
            ),
            RequestError::Unexpected { .. } => (
                "R0348",
                Remedy::FixConfig,
                Some("to accept a status: `expect: [200-299, 404]`"),
            ),
        };
        let failure = Failure::new(code, remedy, error.to_string());
        match help {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}
