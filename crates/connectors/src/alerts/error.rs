//! What can go wrong with an alert channel, with its code.

use thiserror::Error;
use towpath_vocab::{Failure, Remedy};

#[derive(Debug, Error)]
pub(super) enum AlertError {
    #[error("connection `{connection}`: `{option}` {why}")]
    Option {
        connection: String,
        option: &'static str,
        why: String,
    },
    #[error("connection `{connection}`: {host} gave no answer: {why}")]
    NoAnswer {
        connection: String,
        host: String,
        why: String,
    },
    #[error("connection `{connection}`: {host} refused the message with status {status}{shown}")]
    Refused {
        connection: String,
        host: String,
        status: u16,
        shown: String,
    },
    #[error("connection `{connection}`: {host} answered with status {status}{shown}")]
    Busy {
        connection: String,
        host: String,
        status: u16,
        shown: String,
    },
    #[error("connection `{connection}` of type `{kind}` takes alerts and has no tables")]
    NoTables {
        connection: String,
        kind: &'static str,
    },
}

impl From<AlertError> for Failure {
    fn from(error: AlertError) -> Self {
        let test =
            |connection: &str| format!("to send a test message: towpath alerts test {connection}");
        let (code, remedy, help) = match &error {
            AlertError::Option { .. } => (
                "R0340",
                Remedy::FixConfig,
                "an example: docs/how-to/alerts.md".to_owned(),
            ),
            AlertError::NoAnswer { connection, .. } => {
                ("R0341", Remedy::Unreachable, test(connection))
            }
            AlertError::Refused { connection, .. } => {
                ("R0342", Remedy::FixConfig, test(connection))
            }
            AlertError::Busy { connection, .. } => ("R0343", Remedy::Unreachable, test(connection)),
            AlertError::NoTables { connection, .. } => ("R0344", Remedy::Refused, test(connection)),
        };
        Failure::new(code, remedy, error.to_string()).help(help)
    }
}
