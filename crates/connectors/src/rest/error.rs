//! What can go wrong between a request and its records.
//!
//! Each variant becomes a `vocab::Failure` with a code of R035x to R037x, a remedy and what to do.
//! Addresses are shown without their parameters. The help of a refused request repeats the first 300 bytes
//! of what the server said, which may be data of the answer, without the secrets of the connection.
//! Read next: `codes.rs`, which explains the codes.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use towpath_vocab::{Failure, Remedy};

use super::paginate::IGNORE_COUNT;

pub(super) type Result<T> = std::result::Result<T, RestError>;

/// A failure of the REST connector.
#[derive(Debug, thiserror::Error)]
pub(super) enum RestError {
    #[error("`{option}` of `{place}` {why}")]
    Option {
        place: String,
        option: String,
        why: String,
    },
    #[error("connection `{connection}` has no table `{table}`")]
    NoTable {
        connection: String,
        table: String,
        known: Vec<String>,
    },
    #[error("{request} got no answer: {why}")]
    Unreachable { request: Address, why: String },
    #[error("{request} was refused with status {status}")]
    Refused {
        request: Address,
        status: u16,
        /// The beginning of the answer, without secrets.
        answer: String,
        /// How the project says that this is the end of the pages, where it may be.
        end: Option<String>,
    },
    #[error("{request} gave no token: status {status}")]
    NoToken {
        request: Address,
        status: u16,
        answer: String,
        /// What to look at.
        check: &'static str,
    },
    #[error("the answer to {request} has no {what}")]
    NoCredential { request: Address, what: String },
    #[error("{request} failed with status {status}, {} tried", times(*.tries))]
    Failed {
        request: Address,
        status: u16,
        tries: u32,
        answer: String,
    },
    #[error("{request}: the server asks to wait {}", seconds(*.wait))]
    LongWait { request: Address, wait: Duration },
    #[error("the answer to {request} is not JSON: {why}")]
    NotJson { request: Address, why: String },
    #[error("the answer to {request} is not {form} that can be read: {why}")]
    Unreadable {
        request: Address,
        form: &'static str,
        why: String,
    },
    #[error("the answer to {request} has more than {most} bytes")]
    TooLarge { request: Address, most: u64 },
    #[error("the answer to {request} has no array of records{}", at_path(.path))]
    NoRecords {
        request: Address,
        path: Option<String>,
        arrays: Vec<String>,
    },
    #[error("the answer to {request} has errors")]
    GraphQl {
        request: Address,
        /// The first message, without secrets.
        message: String,
    },
    #[error(
        "a record in the answer to {request} has a list with another page: `{at}.hasNextPage` is true"
    )]
    MoreInside { request: Address, at: String },
    #[error("the answer to {request} has null at `records: {path}`")]
    NullRecords { request: Address, path: String },
    #[error("{request}: `{option}: {path}` {why}")]
    Field {
        request: Address,
        option: &'static str,
        path: String,
        why: &'static str,
    },
    #[error("{request}: {at} says that there is more, and no page follows")]
    More {
        request: Address,
        at: String,
        /// It counts more records.
        is_count: bool,
    },
    #[error("a record of `{table}` has a value that cannot be a part of a path: `.` or `..`")]
    DotSegment { table: String },
    #[error("the id of a job of `{table}` cannot be a part of a path: it makes a part `.` or `..`")]
    JobId { table: String },
    #[error("the pages of {request} do not end: {why}")]
    Endless { request: Address, why: String },
    #[error(
        "the answer to {request} says at {at} that there are more records, and the table has no `paginate`"
    )]
    NextPage {
        request: Address,
        at: String,
        proposal: String,
    },
    #[error("{request}: {found} records were read, and `{path}` says {total}")]
    Total {
        request: Address,
        path: String,
        found: u64,
        total: String,
    },
    #[error("{request} leads to `{host}`, which the connection does not allow")]
    Egress { request: Address, host: String },
    #[error("the answers cannot be kept in `{folder}`: {source}")]
    Spool {
        folder: String,
        source: std::io::Error,
    },
    #[error("refresh tokens cannot be kept in `{folder}`: {source}")]
    KeptToken {
        folder: String,
        source: std::io::Error,
    },
    #[error("a record of `{table}` has no `{column}` to make a listing from")]
    NoParentValue { table: String, column: String },
    #[error("{count} records of `{table}` have no value of the cursor `{column}`")]
    NoCursorValue {
        table: String,
        column: String,
        count: u64,
    },
    #[error(
        "the cursor `{column}` of `{table}` is neither a number nor a time nor text of one form"
    )]
    MixedCursor { table: String, column: String },
    #[error("`{table}` is read by `{column}` without a key")]
    NoKey { table: String, column: String },
    #[error("`{table}` gave no records, so its columns are not known")]
    NoColumns { table: String },
    #[error("the REST connector reads endpoints, not queries")]
    Query,
    #[error("{request}: the job has failed: its state is `{state}`")]
    JobFailed {
        request: Address,
        state: String,
        /// The beginning of the answer, without secrets.
        answer: String,
    },
    #[error("{request}: the job is not done after {}: its state is `{state}`", seconds(*.waited))]
    JobTimeout {
        request: Address,
        state: String,
        waited: Duration,
    },
    #[error("{error}; the job is one of an earlier run, started at {started}")]
    OfEarlierJob {
        error: Box<RestError>,
        started: DateTime<Utc>,
    },
    #[error("jobs of the API cannot be kept in `{folder}`: {source}")]
    KeptJob {
        folder: String,
        source: std::io::Error,
    },
    #[error("the endpoint `{path}` {why}")]
    Probe { path: String, why: String },
    #[error("table `{table}` has no `send`, which says how its rows are sent")]
    NotWritable { table: String },
    #[error("what was sent cannot be kept in `{folder}`: {source}")]
    KeptRows {
        folder: String,
        source: std::io::Error,
    },
    #[error(
        "`{table}` is an endpoint, to which only the changes of a table with a key can be sent"
    )]
    WriteMode { table: String },
    #[error(
        "rows of `{table}` have to be sent as `{change}`, and its `send` has no request for that"
    )]
    NoRequest { table: String, change: &'static str },
    #[error("rows for `{table}` have the same key ({key})")]
    RepeatedKey { table: String, key: String },
    #[error("rows were sent to `{table}` by the key ({before}), and its key is ({now}) now")]
    OtherKey {
        table: String,
        before: String,
        now: String,
    },
    #[error("the answer to {request} {why}")]
    NoResults { request: Address, why: String },
    #[error("another process has sent rows to `{table}` meanwhile")]
    OvertakenDelivery { table: String },
    #[error("{request}: the API does not take some rows now: their status is {status}")]
    NotNow { request: Address, status: u16 },
    #[error("rows for `{table}` cannot be written as JSON: {why}")]
    NoRecord { table: String, why: String },
    #[error("the rows that `{table}` will have cannot be read: they are in another system")]
    NoCandidate { table: String },
    #[error("waiting for another process that sends rows to `{table}` ended early")]
    LockLost { table: String },
    #[error(
        "{request}: a refresh token was sent, and the answer with its successor was lost: {why}"
    )]
    TokenLost { request: Address, why: String },
    #[error("the stored position of `{table}` cannot be read: {what}")]
    StoredPosition { table: String, what: &'static str },
    #[error(transparent)]
    Memory(Failure),
    #[error("`{table}` has {found} listings, and at most {most} can be read by a cursor")]
    ManyListings {
        table: String,
        found: usize,
        most: usize,
    },
}

/// A method and an address without parameters, user and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    method: String,
    shown: String,
}

impl Address {
    pub(super) fn new(method: &str, url: &url::Url) -> Self {
        let port = url.port().map_or(String::new(), |port| format!(":{port}"));
        let host = url.host_str().unwrap_or_default();
        Self {
            method: method.to_owned(),
            shown: format!("{}://{host}{port}{}", url.scheme(), url.path()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{} {}`", self.method, self.shown)
    }
}

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

fn seconds(wait: Duration) -> String {
    format!("{} s", wait.as_secs())
}

fn at_path(path: &Option<String>) -> String {
    let at = path.as_ref().map(|path| format!(" at `records: {path}`"));
    at.unwrap_or_default()
}

impl RestError {
    fn kind(&self) -> (&'static str, Remedy) {
        match self {
            Self::Option { .. } => ("R0350", Remedy::FixConfig),
            Self::NoTable { .. } => ("R0351", Remedy::FixConfig),
            Self::Unreachable { .. } => ("R0352", Remedy::Unreachable),
            Self::Refused {
                status: 401 | 403, ..
            }
            | Self::NoToken { .. } => ("R0353", Remedy::FixConfig),
            Self::Refused {
                status: 404 | 405 | 410,
                ..
            } => ("R0354", Remedy::FixConfig),
            Self::Refused { .. } => ("R0355", Remedy::FixConfig),
            Self::Failed { .. } => ("R0356", Remedy::Unreachable),
            Self::LongWait { .. } => ("R0357", Remedy::Refused),
            Self::NotJson { .. } => ("R0358", Remedy::FixConfig),
            Self::TooLarge { .. } => ("R0359", Remedy::FixConfig),
            Self::NoRecords { .. } | Self::NullRecords { .. } => ("R0360", Remedy::FixConfig),
            Self::Endless { .. } => ("R0361", Remedy::FixConfig),
            Self::NextPage { .. } => ("R0362", Remedy::FixConfig),
            Self::Total { .. } => ("R0363", Remedy::Retry),
            Self::Egress { .. } => ("R0364", Remedy::Refused),
            Self::Spool { .. } => ("R0365", Remedy::FixConfig),
            Self::NoParentValue { .. } => ("R0366", Remedy::FixData),
            Self::NoCursorValue { .. } => ("R0367", Remedy::FixData),
            Self::MixedCursor { .. } => ("R0368", Remedy::FixConfig),
            Self::NoKey { .. } => ("R0369", Remedy::FixConfig),
            Self::Query => ("R0370", Remedy::FixConfig),
            Self::NotWritable { .. } => ("R0371", Remedy::FixConfig),
            Self::KeptRows { .. } => ("R1160", Remedy::FixConfig),
            Self::WriteMode { .. } => ("R1161", Remedy::FixConfig),
            Self::NoRequest { .. } => ("R1162", Remedy::FixConfig),
            Self::RepeatedKey { .. } => ("R1163", Remedy::FixData),
            Self::NoResults { .. } => ("R1164", Remedy::FixConfig),
            Self::OvertakenDelivery { .. } => ("R1165", Remedy::Retry),
            Self::NotNow { .. } => ("R1166", Remedy::Unreachable),
            Self::NoRecord { .. } => ("R1167", Remedy::Bug),
            Self::OtherKey { .. } => ("R1169", Remedy::FixConfig),
            Self::NoCandidate { .. } | Self::LockLost { .. } => ("R1168", Remedy::Bug),
            Self::Field { .. } => ("R0372", Remedy::FixConfig),
            Self::More { .. } => ("R0373", Remedy::FixConfig),
            Self::DotSegment { .. } | Self::JobId { .. } => ("R0374", Remedy::FixData),
            Self::NoColumns { .. } => ("R0375", Remedy::FixData),
            Self::GraphQl { .. } => ("R0376", Remedy::FixConfig),
            Self::MoreInside { .. } => ("R0380", Remedy::FixConfig),
            Self::NoCredential { .. } => ("R0381", Remedy::FixConfig),
            Self::Unreadable { .. } => ("R0382", Remedy::FixConfig),
            Self::KeptToken { .. } => ("R0383", Remedy::FixConfig),
            Self::Probe { .. } => ("R0384", Remedy::FixConfig),
            Self::OfEarlierJob { error, .. } => error.kind(),
            Self::JobFailed { .. } => ("R0385", Remedy::Retry),
            Self::JobTimeout { .. } => ("R0386", Remedy::Refused),
            Self::KeptJob { .. } => ("R0387", Remedy::FixConfig),
            Self::TokenLost { .. } => ("R0378", Remedy::FixConfig),
            Self::StoredPosition { .. } => ("R0377", Remedy::FixConfig),
            Self::ManyListings { .. } => ("R0379", Remedy::FixConfig),
            // What the budget says goes on as it is.
            Self::Memory(failure) => ("R0727", failure.remedy),
        }
    }

    /// True for a failure of one request that may pass by itself.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Failed { .. })
    }

    /// True for a failure of one listing that says nothing about the others.
    pub(super) fn is_of_listing(&self) -> bool {
        match self {
            Self::OfEarlierJob { error, .. } => error.is_of_listing(),
            Self::Refused { status, .. } => *status != 401,
            Self::Unreachable { .. }
            | Self::Failed { .. }
            | Self::NotJson { .. }
            | Self::TooLarge { .. }
            | Self::GraphQl { .. }
            | Self::MoreInside { .. }
            | Self::Unreadable { .. }
            | Self::NoRecords { .. }
            | Self::NullRecords { .. }
            | Self::Field { .. }
            | Self::More { .. }
            | Self::JobFailed { .. }
            | Self::JobTimeout { .. }
            | Self::Endless { .. }
            | Self::Total { .. } => true,
            _ => false,
        }
    }

    /// The code.
    pub(super) fn code(&self) -> &'static str {
        self.kind().0
    }

    fn help(&self) -> Vec<String> {
        match self {
            Self::NoTable { connection, known, .. } if known.is_empty() => vec![format!(
                "declare the endpoint under `tables` of connection `{connection}`"
            )],
            Self::NoTable { known, .. } => vec![format!("its tables: {}", known.join(", "))],
            Self::Refused { answer, status, end, .. } => refused(answer, *status, end.as_deref()),
            Self::Failed { answer, status, .. } => refused(answer, *status, None),
            Self::NoToken { answer, check, .. } => {
                let said = Some(answer).filter(|answer| !answer.is_empty());
                let said = said.map(|answer| format!("the server said: {answer}"));
                said.into_iter().chain([(*check).to_owned()]).collect()
            }
            Self::LongWait { .. } => {
                vec!["run again later, or set `max_wait_s` of the connection".to_owned()]
            }
            Self::TooLarge { .. } => {
                vec!["ask for smaller pages, or set `max_page_bytes` of the connection".to_owned()]
            }
            Self::NoRecords { arrays, .. } if !arrays.is_empty() => {
                vec![format!("arrays in the answer: {}; write one of them as `records`", arrays.join(", "))]
            }
            Self::NoRecords { .. } => {
                vec!["`records: $` reads an answer that is one record".to_owned()]
            }
            Self::GraphQl { message, .. } => vec![format!("the server said: {message}")],
            Self::NullRecords { .. } => vec![
                "if the API writes null for no records: `records_may_be_null: true` of the table".to_owned(),
            ],
            Self::Field { option: "at" | "more", why, .. } if why.contains("there") => vec![
                "if the API leaves it out of the last page: `absent_at_end: true` in `paginate`".to_owned(),
            ],
            Self::More { is_count: true, .. } => vec![
                IGNORE_COUNT.to_owned(),
                "else choose the `paginate` that reads on there".to_owned(),
            ],
            Self::More { .. } => vec![
                "choose the `paginate` that reads on there; `more` or `total` of the table, where it is right, counts instead".to_owned(),
            ],
            Self::NextPage { proposal, .. } => vec![
                format!("write `paginate: {proposal}`"),
                "`paginate: { type: single }` reads this page only".to_owned(),
            ],
            Self::Total { path, .. } => vec![
                format!("if `{path}` counts other records than the request asks for, such as those of the whole table: leave `total` out, and of numbered pages set `ignore_count: true` in `paginate`"),
                "records that come or go while pages are read can cause this; a page that is cut off can too".to_owned(),
            ],
            Self::Egress { host, .. } => vec![format!("if that is right: `hosts: [{host}]` of the connection")],
            Self::NoCursorValue { .. } => {
                vec!["choose a cursor that every record has, or read with `mode: full`".to_owned()]
            }
            Self::NoKey { .. } => vec![
                "an API gives the records at the cursor again: say their `key`, so that they are merged".to_owned(),
            ],
            Self::StoredPosition { .. } => vec![
                "`towpath run --full-refresh` reads the table from its beginning".to_owned(),
            ],
            Self::ManyListings { .. } => vec![
                "read it with `mode: full`, or declare tables that ask for a part of the parents each".to_owned(),
            ],
            _ => self.more_help(),
        }
    }

    fn more_help(&self) -> Vec<String> {
        match self {
            Self::NotWritable { table } => vec![format!(
                "for example, below `tables` of the connection: {table}: {{ send: {{ type: row, insert: POST {table}, update: \"PATCH {table}/{{id}}\", delete: \"DELETE {table}/{{id}}\" }} }}"
            )],
            Self::WriteMode { .. } => vec![
                "give the table of the `publish` step a `key`, and leave out `write`".to_owned(),
            ],
            Self::NoRequest { change: "insert", .. } => {
                vec!["set `insert` or `upsert` of `send`".to_owned()]
            }
            Self::NoRequest { change, .. } => {
                vec![format!("set `{change}` of `send`; or `{change}: ignore`, if the API keeps such rows as they are")]
            }
            Self::OtherKey { before, .. } => vec![
                format!("set `key: [{before}]` again: by another key it is not known which rows the API has"),
                "or publish in a step with another name: it sends all rows as new ones".to_owned(),
            ],
            Self::RepeatedKey { .. } => vec![
                "choose a `key` that is unique, or make the model unique by it".to_owned(),
            ],
            Self::MoreInside { .. } => vec![
                "read the list as a table of its own, or ask for more of it at once".to_owned(),
                "if its first page is enough: `lists_inside: first_page` of the table".to_owned(),
            ],
            Self::OfEarlierJob { error, .. } => error.help(),
            Self::JobFailed { answer, .. } => vec![
                format!("the server said: {answer}"),
                "the next run starts a new one".to_owned(),
            ],
            Self::JobTimeout { .. } => vec![
                "the next run asks for the same job; `timeout_s` of `job` is how long a run waits".to_owned(),
            ],
            Self::NoCredential { .. } => vec![
                "check `token_at` or `cookies` of `auth`; some servers answer so to a wrong password".to_owned(),
            ],
            Self::TokenLost { .. } => vec![
                "this process does not send the same refresh token again, because a server that accepts each one once may revoke all of them".to_owned(),
                "if the server accepts a refresh token more than once: run again in a new process; if only once: get a new one, and set `refresh_token` of `auth`".to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}

/// What to do when a server refuses a request with this answer. `end`: how the project says that it is
/// the end of the pages.
fn refused(answer: &str, status: u16, end: Option<&str>) -> Vec<String> {
    let said = (!answer.is_empty()).then(|| format!("the server said: {answer}"));
    let check = match (end, status) {
        (Some(end), _) => Some(end),
        (None, 401 | 403) => Some("check `auth` of the connection, and the rights of its user"),
        (None, 404 | 405 | 410) => {
            Some("check `url` of the connection, and `path` and `method` of the table")
        }
        (None, _) => None,
    };
    said.into_iter().chain(check.map(str::to_owned)).collect()
}

impl From<RestError> for Failure {
    fn from(error: RestError) -> Self {
        if let RestError::Memory(failure) = error {
            return failure;
        }
        let (code, remedy) = error.kind();
        let failure = Failure::new(code, remedy, error.to_string());
        error.help().into_iter().fold(failure, Failure::help)
    }
}
