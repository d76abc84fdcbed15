//! Why a schedule is not one.
//!
//! Promise: a mistake in a cron expression has its place in the expression and a way out. It has no code:
//! `project` gives it one, with the file and the line. Read next: `cron.rs`.

use thiserror::Error;

/// Why a schedule is not one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// The cron expression cannot be read.
    #[error("{message}")]
    Cron {
        /// Where in the expression, in bytes.
        start: usize,
        /// The end of that place.
        end: usize,
        /// What is wrong.
        message: String,
        /// What to write.
        help: String,
    },
    /// There is no such time zone.
    #[error("there is no time zone `{0}`")]
    Zone(String),
    /// The time between two moments is too short.
    #[error("the shortest interval is one second")]
    TooShort,
    /// No day has the month and the day of the expression.
    #[error("`{0}` never comes")]
    Never(String),
}
