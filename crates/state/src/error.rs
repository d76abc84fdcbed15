//! What can go wrong with the state store, and what a person does about it.
//!
//! Promise: each failure names the store and what to do; none of them ever asks to risk data, since
//! the state store holds only history. It does not try again: `postgres/pool.rs` and the driver decide
//! that. Codes R0801 to R0814 and R0680 to R0688.

use std::fmt;
use std::path::PathBuf;

use rusqlite::ErrorCode;
use towpath_vocab::{Failure, Remedy, RunName, TaskId};

/// The location of a store, for messages.
#[derive(Debug)]
pub(crate) enum Place {
    File(PathBuf),
    /// `host:port/database`.
    Server(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => write!(f, "state file `{}`", path.display()),
            Place::Server(shown) => write!(f, "state store `{shown}`"),
        }
    }
}

/// A failure inside the state store. `into_failure` adds where the store is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("has format {found}, and this version of Towpath reads up to {known}")]
    Newer { found: u32, known: u32 },
    #[error("is a SQLite file of another program")]
    Foreign,
    #[error("the folder does not exist")]
    NoFolder { folder: PathBuf },
    #[error("is a folder")]
    IsFolder,
    #[error("the URL of the state store {reason}")]
    Url { reason: &'static str },
    #[error("{0}")]
    Refused(Box<Failure>),
    #[error("no encrypted connection: {reason}")]
    Tls { reason: String },
    #[error("{}", words(.0))]
    Connect(tokio_postgres::Error),
    #[error("{}", words(.0))]
    Postgres(#[from] tokio_postgres::Error),
    #[error("the answer to a commit was lost: {detail}")]
    Unknown { detail: String },
    #[error("belongs to project `{owner}`")]
    OtherProject { owner: String },
    #[error("task `{task}` needs pool `{pool}`, which is not declared")]
    NoSuchPool { pool: String, task: TaskId },
    /// The run or a task was not as its caller expected. This ends a transaction, but is not a failure.
    #[error("not as expected")]
    Stale,
    #[error("there is no run `{run}`")]
    NoSuchRun { run: RunName },
    #[error("there is no backfill {number}")]
    NoSuchBackfill { number: u64 },
    #[error("run `{run}` belongs to another process now")]
    TakenOver { run: RunName },
    #[error("worker `{worker}` is in use by another process")]
    WorkerInUse { worker: String },
    #[error("a stored `{what}` cannot be read: {detail}")]
    Stored { what: &'static str, detail: String },
    #[error(
        "a stored `{what}` has version {found}, and this version of Towpath reads version {known}"
    )]
    StoredNewer {
        what: &'static str,
        found: u32,
        known: u32,
    },
    #[error("the writer has stopped")]
    Stopped,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
}

const ONLY_HISTORY: &str =
    "or move the file away: only the history of runs is lost, no row of data is lost or duplicated";

impl StateError {
    /// The failure as users see it.
    pub(crate) fn into_failure(self, place: &Place) -> Failure {
        match self {
            StateError::Newer { found, known } => Failure::new(
                "R0801",
                Remedy::Refused,
                format!("{place} has format {found}, and this version of Towpath reads up to {known}; it was not changed"),
            )
            .help("use the newer version of Towpath that wrote it")
            .help(ONLY_HISTORY),
            StateError::Stored { what, detail } => {
                Failure::new("R0810", Remedy::Bug, format!("a `{what}` in {place} cannot be read: {detail}"))
                    .help(format!("if it was edited by hand, undo it, {ONLY_HISTORY}"))
            }
            StateError::StoredNewer { what, found, known } => Failure::new(
                "R0801",
                Remedy::Refused,
                format!("a `{what}` in {place} has version {found}, and this version of Towpath reads up to {known}"),
            )
            .help("use the newer version of Towpath that wrote it"),
            StateError::TakenOver { run } => Failure::new(
                "R0809",
                Remedy::Refused,
                format!("run `{run}` was taken over by another process"),
            )
            .help(format!("`towpath runs` shows the state of `{run}`")),
            StateError::WorkerInUse { worker } => Failure::new(
                "R0809",
                Remedy::Refused,
                format!("another running process has the name of worker `{worker}` in {place}"),
            )
            .help("give each process a name of its own"),
            StateError::NoSuchRun { run } => {
                Failure::new("R0808", Remedy::Refused, format!("{place} has no run `{run}`"))
                    .help("`towpath runs` lists the runs")
            }
            StateError::NoSuchBackfill { number } => {
                let message = format!("{place} has no backfill {number}");
                Failure::new("R0813", Remedy::Refused, message)
                    .help("`towpath backfill ls` lists the backfills")
            }
            StateError::NoSuchPool { pool, task } => Failure::new(
                "R0688",
                Remedy::FixConfig,
                format!("task `{task}` needs a slot of pool `{pool}`, which is not declared"),
            )
            .help(format!("declare it: pools: {{ {pool}: 1 }}")),
            StateError::Stale => Failure::new(
                "R0809",
                Remedy::Refused,
                format!("a task in {place} was changed by another process"),
            )
            .help("`towpath runs` shows who runs it now"),
            StateError::Stopped => {
                Failure::new("R0811", Remedy::Bug, format!("the writer of {place} has stopped"))
                    .help("run again: an interrupted run continues where it stopped")
            }
            StateError::Io(error) => disk(place, &error.to_string()),
            StateError::Sqlite(error) => sqlite(place, &error),
            StateError::Refused(failure) => *failure,
            other => other.of_opening(place),
        }
    }

    /// The failure of an operation that opens a store.
    fn of_opening(self, place: &Place) -> Failure {
        match self {
            StateError::Foreign => Failure::new(
                "R0802",
                Remedy::FixConfig,
                match place {
                    Place::File(path) => format!(
                        "`{}` is a SQLite file of another program, not a Towpath state file",
                        path.display()
                    ),
                    Place::Server(_) => format!("the schema of {place} holds tables of another program"),
                },
            )
            .help("move it away, or choose a different path for the state"),
            StateError::NoFolder { folder } => Failure::new(
                "R0804",
                Remedy::FixConfig,
                format!("the folder `{}` of {place} does not exist", folder.display()),
            )
            .help("create the folder, or choose a different path for the state"),
            StateError::IsFolder => Failure::new("R0805", Remedy::FixConfig, format!("{place} is a folder"))
                .help("choose a different path for the state, or move the folder away"),
            StateError::Url { reason } => Failure::new(
                "R0680",
                Remedy::FixConfig,
                format!("the URL under `state` {reason}"),
            )
            .help("example: state: postgres://user:${secret:STATE_PASSWORD}@host/database?sslmode=verify-full"),
            StateError::Tls { reason } => Failure::new(
                "R0681",
                Remedy::FixConfig,
                format!("no encrypted connection to {place}: {reason}"),
            )
            .help("give the certificate of its authority: `sslrootcert=FILE` in the URL under `state`"),
            StateError::OtherProject { owner } => Failure::new(
                "R0682",
                Remedy::FixConfig,
                format!("{place} belongs to project `{owner}`"),
            )
            .help("give each project a schema of its own: `schema=NAME` in the URL under `state`"),
            StateError::Unknown { detail } => Failure::new(
                "R0683",
                Remedy::Retry,
                format!("the connection to {place} was lost while a change was written; it is not known whether the change was stored: {detail}"),
            )
            .help("run again: an interrupted run continues where it stopped"),
            StateError::Connect(error) => connect(place, &error),
            StateError::Postgres(error) => postgres(place, &error),
            other => Failure::new("R0810", Remedy::Bug, format!("{place}: {other}"))
                .help("please report this with the message"),
        }
    }
}

/// The message of a server, or the error of the connection.
fn words(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    match (error.as_db_error(), error.source()) {
        (Some(db), _) => db.message().to_owned(),
        (None, Some(source)) => source.to_string(),
        (None, None) => error.to_string(),
    }
}

fn connect(place: &Place, error: &tokio_postgres::Error) -> Failure {
    let reason = words(error);
    let class = error.code().and_then(|state| state.code().get(..2));
    let text = error.to_string();
    if matches!(class, Some("28" | "3D" | "42")) || text.contains("authentication") {
        return Failure::new(
            "R0684",
            Remedy::FixConfig,
            format!("{place} refused the login: {reason}"),
        )
        .help("check user, password and database in the URL under `state`");
    }
    if text.contains("TLS") {
        return Failure::new(
            "R0681",
            Remedy::FixConfig,
            format!("no encrypted connection to {place}: {reason}"),
        )
        .help("a server without encryption: `sslmode=disable` in the URL under `state`");
    }
    unreachable(place, &reason)
}

fn unreachable(place: &Place, reason: &str) -> Failure {
    Failure::new(
        "R0685",
        Remedy::Retry,
        format!("{place} cannot be reached: {reason}"),
    )
    .help("start it, or check host and port in the URL under `state`")
    .help("run again: an interrupted run continues where it stopped")
}

fn postgres(place: &Place, error: &tokio_postgres::Error) -> Failure {
    let reason = words(error);
    match error.code().map(|state| state.code()) {
        Some("42501") => Failure::new(
            "R0686",
            Remedy::FixConfig,
            format!("the user of {place} does not have the necessary permissions: {reason}"),
        )
        .help("let it create a schema: GRANT CREATE ON DATABASE … TO …; or create the schema for it and make it the owner"),
        Some("53100") => Failure::new("R0806", Remedy::FixConfig, format!("the disk under {place} is full"))
            .help("free some space, then run again: an interrupted run continues where it stopped"),
        Some("55P03" | "40001" | "40P01" | "23505") => Failure::new(
            "R0807",
            Remedy::Retry,
            format!("{place} stayed locked by another process for too long: {reason}"),
        )
        .help("try again; if it persists, look for a session that locks its tables"),
        Some("25006") => Failure::new("R0687", Remedy::FixConfig, format!("{place} is read-only: {reason}"))
            .help("name the primary server, not a standby, in the URL under `state`"),
        Some(code) if code.starts_with("57P0") || code.starts_with("08") || code == "53300" => {
            unreachable(place, &reason)
        }
        Some(_) => Failure::new("R0810", Remedy::Bug, format!("{place} refused a statement: {reason}"))
            .help("please report this with the message"),
        None => unreachable(place, &reason),
    }
}

/// Why a run is not begun once more.
pub(crate) fn lost_too_often(run: &RunName, processes: u64) -> Failure {
    let message = format!(
        "{processes} processes in a row have died while they ran this, and no task has ended well in between: \
         `towpath serve` does not begin it once more"
    );
    Failure::new("R0814", Remedy::Refused, message)
        .help("find out what ends them: memory, a crash, a signal of the system")
        .help(format!("then run it again: towpath rerun {run}"))
}

fn disk(place: &Place, detail: &str) -> Failure {
    Failure::new(
        "R0812",
        Remedy::FixConfig,
        format!("the disk under {place} failed: {detail}"),
    )
    .help("check the disk, then run again: an interrupted run continues where it stopped")
}

fn sqlite(place: &Place, error: &rusqlite::Error) -> Failure {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            Failure::new("R0803", Remedy::FixConfig, format!("{place} is damaged: {error}"))
                .help("restore it from a backup")
                .help(ONLY_HISTORY)
        }
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Failure::new(
            "R0805",
            Remedy::FixConfig,
            format!("{place} cannot be written: {error}"),
        )
        .help("allow this user to write the file and its folder, or choose a different path for the state"),
        Some(ErrorCode::DiskFull) => {
            Failure::new("R0806", Remedy::FixConfig, format!("the disk under {place} is full"))
                .help("free some space, then run again: an interrupted run continues where it stopped")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Failure::new(
            "R0807",
            Remedy::Retry,
            format!("{place} stayed locked by another process for too long"),
        )
        .help("try again; if it persists, look for a program that has the file open"),
        Some(ErrorCode::SystemIoFailure | ErrorCode::FileLockingProtocolFailed) => {
            disk(place, &error.to_string())
        }
        _ => Failure::new("R0810", Remedy::Bug, format!("{place} refused a statement: {error}"))
            .help("please report this with the message"),
    }
}
