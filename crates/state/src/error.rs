//! What can go wrong with the state store, and what a person does about it.
//!
//! Promise: each failure names the file and a way out; none of them ever asks to risk data, since
//! the state store holds only history. It does not retry: the writer and the driver decide that.
//! Codes R0801 to R0812.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use towpath_vocab::{Failure, Remedy, RunName};

/// A failure inside the state store. `into_failure` adds the file's name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("has format {found}, this Towpath reads up to {known}")]
    Newer { found: u32, known: u32 },
    #[error("is a SQLite file of another program")]
    Foreign,
    #[error("the folder does not exist")]
    NoFolder { folder: PathBuf },
    #[error("is a folder")]
    IsFolder,
    #[error("there is no run `{run}`")]
    NoSuchRun { run: RunName },
    #[error("run `{run}` belongs to another process now")]
    TakenOver { run: RunName },
    #[error("worker `{worker}` is in use by another process")]
    WorkerInUse { worker: String },
    #[error("a stored `{what}` cannot be read: {detail}")]
    Stored { what: &'static str, detail: String },
    #[error("a stored `{what}` has version {found}, this Towpath reads version {known}")]
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
    "or move the file away: only the history of runs is lost, no row of data is lost or doubled";

impl StateError {
    /// The failure as users see it.
    pub(crate) fn into_failure(self, path: &Path) -> Failure {
        let file = path.display();
        match self {
            StateError::Newer { found, known } => Failure::new(
                "R0801",
                Remedy::Refused,
                format!("state file `{file}` has format {found}, this Towpath reads up to {known}; it was left untouched"),
            )
            .help("use the newer Towpath that wrote it")
            .help(ONLY_HISTORY),
            StateError::Foreign => Failure::new(
                "R0802",
                Remedy::FixConfig,
                format!("`{file}` is a SQLite file of another program, not a Towpath state file"),
            )
            .help("move it away, or choose another place for the state"),
            StateError::NoFolder { folder } => Failure::new(
                "R0804",
                Remedy::FixConfig,
                format!("the folder `{}` of state file `{file}` does not exist", folder.display()),
            )
            .help("create the folder, or choose another place for the state"),
            StateError::IsFolder => {
                Failure::new("R0805", Remedy::FixConfig, format!("state file `{file}` is a folder"))
                    .help("choose another place for the state, or move the folder away")
            }
            StateError::Stored { what, detail } => {
                Failure::new("R0810", Remedy::Bug, format!("a `{what}` in state file `{file}` cannot be read: {detail}"))
                    .help(format!("if the file was edited by hand, undo it, {ONLY_HISTORY}"))
            }
            StateError::StoredNewer { what, found, known } => Failure::new(
                "R0801",
                Remedy::Refused,
                format!("a `{what}` in state file `{file}` has version {found}, this Towpath reads up to {known}"),
            )
            .help("use the newer Towpath that wrote it"),
            StateError::TakenOver { run } => Failure::new(
                "R0809",
                Remedy::Refused,
                format!("run `{run}` was taken over by another process"),
            )
            .help(format!("`towpath runs` shows where `{run}` stands")),
            StateError::WorkerInUse { worker } => Failure::new(
                "R0809",
                Remedy::Refused,
                format!("another living process calls itself worker `{worker}` in state file `{file}`"),
            )
            .help("give each process a name of its own"),
            StateError::NoSuchRun { run } => no_such_run(path, &run),
            StateError::Stopped => stopped(path),
            StateError::Io(error) => disk(&file, &error.to_string()),
            StateError::Sqlite(error) => sqlite(path, &error),
        }
    }
}

fn no_such_run(path: &Path, run: &RunName) -> Failure {
    Failure::new(
        "R0808",
        Remedy::Refused,
        format!("state file `{}` holds no run `{run}`", path.display()),
    )
    .help("`towpath runs` lists the runs it holds")
}

fn stopped(path: &Path) -> Failure {
    Failure::new(
        "R0811",
        Remedy::Bug,
        format!("the writer of state file `{}` has stopped", path.display()),
    )
    .help("run again: an interrupted run goes on where it was")
}

fn disk(file: &std::path::Display<'_>, detail: &str) -> Failure {
    Failure::new(
        "R0812",
        Remedy::FixConfig,
        format!("the disk under state file `{file}` failed: {detail}"),
    )
    .help("check the disk, then run again: an interrupted run goes on where it was")
}

fn sqlite(path: &Path, error: &rusqlite::Error) -> Failure {
    let file = path.display();
    let code = error.sqlite_error_code();
    match code {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            Failure::new("R0803", Remedy::FixConfig, format!("state file `{file}` is damaged: {error}"))
                .help("restore it from a backup")
                .help(ONLY_HISTORY)
        }
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Failure::new(
            "R0805",
            Remedy::FixConfig,
            format!("state file `{file}` cannot be written: {error}"),
        )
        .help("allow this user to write the file and its folder, or choose another place for the state"),
        Some(ErrorCode::DiskFull) => {
            Failure::new("R0806", Remedy::FixConfig, format!("the disk under state file `{file}` is full"))
                .help("free some space, then run again: an interrupted run goes on where it was")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Failure::new(
            "R0807",
            Remedy::Retry,
            format!("state file `{file}` stayed locked by another process for too long"),
        )
        .help("try again; if it persists, look for a program that holds the file open"),
        Some(ErrorCode::SystemIoFailure | ErrorCode::FileLockingProtocolFailed) => {
            disk(&file, &error.to_string())
        }
        _ => Failure::new("R0810", Remedy::Bug, format!("state file `{file}` refused a statement: {error}"))
            .help("please report this with the message"),
    }
}
