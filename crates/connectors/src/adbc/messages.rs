//! What an error of a driver means: who must act, and what of its message may be shown.
//!
//! Promise: of a message that can contain values of rows (a constraint, a conversion) nothing is shown, of any other
//! one the first line, without secrets. Drivers agree on little: SQLSTATE comes first, then the status of ADBC, then
//! the words with which DuckDB begins, whose status is mostly `INTERNAL`. It knows no statement.

use adbc_core::error::{Error, Status};
use towpath_ports::Redaction;

/// The longest message that is shown.
const LONGEST: usize = 400;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nobody is let in, or may not do this.
    NoRight,
    /// The network, the server or a lock: it may work later.
    Passing,
    /// What was named does not exist.
    Missing,
    /// The statement or an option is not accepted.
    Rejected,
    /// A constraint of the table refused rows.
    Constraint,
    /// Values could not be converted.
    Data,
    /// The driver says no more.
    Unknown,
}

/// An error of a driver, in what Towpath needs of it.
#[derive(Clone, Debug)]
pub(super) struct Reported {
    pub(super) kind: Kind,
    /// What may be shown of the message.
    pub(super) message: String,
}

impl Reported {
    pub(super) fn of(error: &Error, redaction: &Redaction) -> Self {
        let kind = kind(error);
        let message = match kind {
            Kind::Constraint | Kind::Data => match sqlstate(error) {
                Some(state) => format!("SQLSTATE {state}; its message may contain values of rows"),
                None => "its message may contain values of rows".to_owned(),
            },
            _ => shown(&error.message, redaction),
        };
        Self { kind, message }
    }
}

/// The first line, without secrets.
fn shown(message: &str, redaction: &Redaction) -> String {
    let first = message.lines().map(str::trim).find(|line| !line.is_empty());
    let clean = redaction.apply(first.unwrap_or("it gives no message").as_bytes());
    let clean = String::from_utf8_lossy(&clean).into_owned();
    match clean.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", clean.get(..end).unwrap_or_default()),
        None => clean,
    }
}

fn sqlstate(error: &Error) -> Option<String> {
    let letter = |byte: &std::ffi::c_char| u8::try_from(*byte).ok().map(char::from);
    let state: String = error.sqlstate.iter().filter_map(letter).collect();
    let is_state = state.len() == 5
        && state.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && state != "00000";
    is_state.then_some(state)
}

fn kind(error: &Error) -> Kind {
    if let Some(kind) = sqlstate(error).and_then(|state| of_state(&state)) {
        return kind;
    }
    if let Some(kind) = of_words(&error.message) {
        return kind;
    }
    match error.status {
        Status::Unauthenticated | Status::Unauthorized => Kind::NoRight,
        Status::IO | Status::Timeout | Status::Cancelled => Kind::Passing,
        Status::NotFound => Kind::Missing,
        Status::InvalidArguments
        | Status::InvalidState
        | Status::NotImplemented
        | Status::AlreadyExists => Kind::Rejected,
        Status::Integrity => Kind::Constraint,
        Status::InvalidData => Kind::Data,
        Status::Ok | Status::Unknown | Status::Internal => Kind::Unknown,
    }
}

/// By the classes of SQL:2003, and PostgreSQL's own.
fn of_state(state: &str) -> Option<Kind> {
    Some(match (state.get(..2)?, state) {
        ("28", _) | (_, "42501") => Kind::NoRight,
        ("08" | "40" | "53" | "57" | "58", _) | (_, "55P03") => Kind::Passing,
        (_, "42P01" | "42S02" | "3D000" | "3F000") => Kind::Missing,
        ("42" | "0A" | "25" | "26", _) => Kind::Rejected,
        ("23" | "44", _) => Kind::Constraint,
        ("21" | "22", _) => Kind::Data,
        _ => return None,
    })
}

/// By the words with which DuckDB's and SQLite's messages begin, and those of libpq.
fn of_words(message: &str) -> Option<Kind> {
    let has = |part: &str| message.contains(part);
    let begins = |part: &str| message.starts_with(part);
    let passing = [
        "database is locked",
        "Could not set lock",
        "Conflict on ",
        "server closed the connection",
        "terminating connection",
        "could not receive data",
        "onnection reset",
        "onnection refused",
    ];
    if passing.iter().any(|words| has(words)) {
        return Some(Kind::Passing);
    }
    if has("authentication failed") || has("no password supplied") {
        return Some(Kind::NoRight);
    }
    if has("FATAL:  database") || has("FATAL:  role") || has("no such table") {
        return Some(Kind::Missing);
    }
    if has("constraint failed") || has("constraint violation") || begins("Constraint Error") {
        return Some(Kind::Constraint);
    }
    let rejected = [
        "Parser Error",
        "Binder Error",
        "Syntax Error",
        "Invalid Input Error: The following options",
        "Not implemented Error",
        "Permission Error",
    ];
    if rejected.iter().any(|words| begins(words)) {
        return Some(Kind::Rejected);
    }
    match () {
        () if begins("Catalog Error") => Some(Kind::Missing),
        () if begins("TransactionContext Error") || begins("Interrupt Error") => {
            Some(Kind::Passing)
        }
        () if begins("Conversion Error") || begins("Out of Range Error") => Some(Kind::Data),
        () if begins("IO Error: Cannot open") => Some(Kind::Missing),
        () if begins("IO Error") => Some(Kind::Passing),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str, status: Status, state: &str) -> Error {
        let mut error = Error::with_message_and_status(message, status);
        for (to, from) in error.sqlstate.iter_mut().zip(state.bytes()) {
            *to = std::ffi::c_char::try_from(from).unwrap_or(0);
        }
        error
    }

    #[test]
    fn messages_show_no_secrets_and_no_values() {
        let redaction = Redaction::new(["hunter2".to_owned()]);
        let said = |error: &Error| {
            let reported = Reported::of(error, &redaction);
            (reported.kind, reported.message)
        };
        let refused = error(
            "\n[libpq] FATAL:  password authentication failed with hunter2\nDETAIL: more",
            Status::IO,
            "",
        );
        assert_eq!(
            said(&refused),
            (
                Kind::NoRight,
                "[libpq] FATAL:  password authentication failed with ***".to_owned()
            )
        );
        let repeated = error("Key (id)=(4711) exists", Status::Integrity, "23505");
        let (kind, message) = said(&repeated);
        assert_eq!(kind, Kind::Constraint);
        assert!(message.contains("23505") && !message.contains("4711"));
        let duck = error(
            "Constraint Error: Duplicate key \"id: 4711\" violates primary key constraint.",
            Status::InvalidArguments,
            "",
        );
        let (kind, message) = said(&duck);
        assert!(kind == Kind::Constraint && !message.contains("4711"));
        let cast = "Conversion Error: Could not convert string '4711x' to INT32";
        let (kind, message) = said(&error(cast, Status::Internal, ""));
        assert!(kind == Kind::Data && !message.contains("4711"));
    }

    #[test]
    fn states_come_before_status_and_words() {
        let kind = |message, status, state| kind(&error(message, status, state));
        assert_eq!(kind("", Status::Internal, "40001"), Kind::Passing);
        assert_eq!(kind("", Status::InvalidArguments, "42P01"), Kind::Missing);
        assert_eq!(kind("", Status::IO, "28P01"), Kind::NoRight);
        assert_eq!(
            kind("Catalog Error: Table", Status::Internal, ""),
            Kind::Missing
        );
        assert_eq!(
            kind("Failed to step query: database is locked", Status::IO, ""),
            Kind::Passing
        );
        assert_eq!(kind("x", Status::Internal, ""), Kind::Unknown);
        assert_eq!(kind("x", Status::Unauthenticated, "00000"), Kind::NoRight);
    }
}
