//! What can go wrong with a SQLite database, with what to do. Codes R0301 to R0323.
//!
//! Promise: rows that do not fit their column are no errors: they are rejects (`cells.rs`). No value of a row
//! is ever part of a message. Read next: `codes.rs`.

use rusqlite::{ErrorCode, ffi};
use towpath_vocab::{Failure, Remedy};

use crate::relational::fault::{Fault, RelationalError};

pub(super) type Result<T, E = SqliteError> = std::result::Result<T, E>;

/// A failure of the sqlite connector.
#[derive(Debug, thiserror::Error)]
pub(super) enum SqliteError {
    /// What can go wrong with any SQL database.
    #[error(transparent)]
    Relational(#[from] Fault),
    #[error("connection `{connection}`: option `{option}` {why}")]
    Option {
        connection: String,
        option: &'static str,
        why: String,
    },
    #[error("`{path}` is busy: {doing} waited for another process")]
    Busy { path: String, doing: String },
    #[error("`{path}` cannot be opened: {why}")]
    Open {
        path: String,
        why: String,
        missing: bool,
    },
    #[error(
        "a process died while it wrote `{path}`, and its unfinished write cannot be rolled back: {why}"
    )]
    Unfinished { path: String, why: String },
    #[error("there is no table `{object}` in `{path}`")]
    NoTable {
        object: String,
        path: String,
        nearest: Option<String>,
        present: Vec<String>,
    },
    #[error("`{object}` has no column `{column}`")]
    NoColumn {
        object: String,
        column: String,
        nearest: Option<String>,
    },
    #[error("`{object}` has two columns named `{column}`")]
    SameName { object: String, column: String },
    #[error("the query cannot be run: {why}")]
    Query { why: String },
    #[error("column `{column}` of type `{data_type}` cannot be stored in SQLite")]
    NoType { column: String, data_type: String },
    #[error("`{path}` is full or its disk is: {doing}")]
    Full { path: String, doing: String },
    #[error("`{path}` refused {doing}: {why}")]
    Constraint {
        path: String,
        doing: String,
        why: String,
    },
    #[error("{doing} failed in `{path}`: {why}")]
    Passing {
        path: String,
        doing: String,
        why: String,
    },
    #[error("`{path}` is damaged: {doing} found an invalid structure ({why})")]
    Damaged {
        path: String,
        doing: String,
        why: String,
    },
    #[error("{doing} failed in `{path}`: {why}")]
    Database {
        path: String,
        doing: String,
        why: String,
    },
    #[error(
        "rows of `{table}` cannot be {done}: a foreign key of `{other}` changes its rows with them"
    )]
    Cascade {
        table: String,
        done: &'static str,
        other: String,
    },
    #[error("the position of `{object}` cannot be used: {why}")]
    Position { object: String, why: String },
    #[error("`{column}` of `{object}` cannot be a cursor: {why}")]
    Cursor {
        object: String,
        column: String,
        why: &'static str,
    },
    #[error(
        "the rows at the end of the last read of `{object}` cannot be distinguished from new ones: {why}"
    )]
    Boundary { object: String, why: String },
    #[error("rows of `{object}` could not be put into columns: {why}")]
    Columns { object: String, why: String },
    #[error("a task that worked on `{path}` ended early")]
    Broken { path: String },
    #[error("the sqlite connector {reason}")]
    Misused { reason: &'static str },
}

/// Gives an error of the driver the words of what was being done.
pub(super) trait ErrorContext<T> {
    fn doing(self, path: &str, doing: impl Into<String>) -> Result<T>;
}

impl<T> ErrorContext<T> for rusqlite::Result<T> {
    fn doing(self, path: &str, doing: impl Into<String>) -> Result<T> {
        self.map_err(|error| SqliteError::from_driver(&error, path, doing.into()))
    }
}

impl SqliteError {
    pub(super) fn from_driver(error: &rusqlite::Error, path: &str, doing: String) -> Self {
        let path = path.to_owned();
        let why = error.to_string();
        let extended = error.sqlite_error().map_or(0, |error| error.extended_code);
        if matches!(
            extended,
            ffi::SQLITE_READONLY_ROLLBACK | ffi::SQLITE_READONLY_RECOVERY
        ) {
            return Self::Unfinished { path, why };
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path, doing },
            Some(ErrorCode::DiskFull) => Self::Full { path, doing },
            Some(ErrorCode::ConstraintViolation) => Self::Constraint { path, doing, why },
            Some(ErrorCode::CannotOpen) => Self::Open {
                path,
                why,
                missing: false,
            },
            Some(ErrorCode::NotADatabase) => Self::Open {
                path,
                why: "it is not a SQLite database, or it is encrypted".to_owned(),
                missing: false,
            },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::Open {
                path,
                why: "this user may not write it".to_owned(),
                missing: false,
            },
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::OutOfMemory
                | ErrorCode::SchemaChanged
                | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Passing { path, doing, why },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, doing, why },
            _ => Self::Database { path, doing, why },
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Option { .. } => "R0301",
            Self::Busy { .. } => "R0302",
            Self::Open { .. } => "R0303",
            Self::NoTable { .. } => "R0304",
            Self::NoColumn { .. } | Self::SameName { .. } => "R0305",
            Self::Query { .. } => "R0306",
            Self::NoType { .. } => "R0308",
            Self::Full { .. } => "R0312",
            Self::Constraint { .. } => "R0313",
            Self::Database { .. } => "R0314",
            Self::Unfinished { .. } => "R0321",
            Self::Passing { .. } => "R0322",
            Self::Damaged { .. } => "R0323",
            Self::Cascade { .. } => "R0324",
            Self::Position { .. } => "R0315",
            Self::Cursor { .. } => "R0316",
            Self::Boundary { .. } => "R0320",
            Self::Relational(_)
            | Self::Columns { .. }
            | Self::Broken { .. }
            | Self::Misused { .. } => "R0319",
        }
    }

    fn remedy(&self) -> Remedy {
        match self {
            Self::Busy { .. } | Self::Passing { .. } => Remedy::Retry,
            Self::Constraint { .. } | Self::Database { .. } => Remedy::FixData,
            Self::Columns { .. } | Self::Broken { .. } | Self::Misused { .. } => Remedy::Bug,
            Self::Cascade { .. } => Remedy::Refused,
            _ => Remedy::FixConfig,
        }
    }

    fn help(&self) -> Vec<String> {
        let one = |text: &str| vec![text.to_owned()];
        match self {
            Self::Option { .. } => one("path: data.db   # relative to the project folder"),
            Self::Busy { .. } => one(
                "Towpath tries again; `busy_timeout_ms` sets how long to wait, and with WAL mode readers and one writer can work at once",
            ),
            Self::Open { missing: true, .. } => {
                one("a `writable: true` connection creates the file at its first write")
            }
            Self::NoTable {
                nearest: Some(name),
                ..
            }
            | Self::NoColumn {
                nearest: Some(name),
                ..
            } => {
                vec![format!("did you mean `{name}`?")]
            }
            Self::NoTable { present, .. } if !present.is_empty() => {
                vec![format!("there are: {}", present.join(", "))]
            }
            Self::SameName { .. } => one("give one of them a different name: select … as …"),
            Self::NoType { .. } => one("convert it to text or numbers first"),
            Self::Unfinished { .. } => one(
                "give the user who runs Towpath permission to write the file and its folder, or open it once as a user who may (`sqlite3 FILE 'SELECT 1'`): SQLite then rolls back automatically",
            ),
            Self::Passing { .. } => one(
                "Towpath tries again; if the error stays, check the disk and the memory of this machine",
            ),
            Self::Damaged { .. } => one(
                "restore the file from a backup, or save what can be read: `sqlite3 FILE .recover | sqlite3 NEW`",
            ),
            Self::Cascade { .. } => one(
                "use a write mode that deletes nothing and changes no column that the key refers to, or drop the foreign key's ON DELETE or ON UPDATE action",
            ),
            Self::Full { .. } => one("free some space and run again; nothing was changed"),
            Self::Constraint { .. } => {
                one("a rule, check or trigger of the table refused the rows; nothing was changed")
            }
            Self::Boundary { .. } => one(
                "give the cursor a `lookback` and write by a `key` (the rows within it are read again and replaced), or start over with `--full-refresh`",
            ),
            Self::Position { .. } => one("read everything again: towpath run --full-refresh"),
            _ => Vec::new(),
        }
    }
}

impl RelationalError for SqliteError {
    fn misused(reason: &'static str) -> Self {
        Self::Misused { reason }
    }
}

impl From<SqliteError> for Failure {
    fn from(error: SqliteError) -> Self {
        if let SqliteError::Relational(fault) = error {
            return fault.into();
        }
        let mut failure = Failure::new(error.code(), error.remedy(), error.to_string());
        for line in error.help() {
            failure = failure.help(line);
        }
        failure
    }
}
