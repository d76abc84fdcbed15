//! What can go wrong while a file is written, with what to do. Codes R0120 to R0129.
//!
//! Nothing here means that a reader saw a part of a file: a failed write leaves the old file in place.
//! No value of a row is ever part of a message.

use std::io;

use towpath_vocab::{Failure, Remedy};

use crate::files::error::FilesError;

pub(super) type Result<T, E = WriteError> = std::result::Result<T, E>;

/// A failure of the destination side.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("`{object}` cannot be written: {why}")]
    Target {
        object: String,
        why: String,
        way_out: &'static str,
    },
    #[error("connection `{connection}` is read-only")]
    ReadOnly { connection: String },
    #[error("`{path}` cannot be written: {source}")]
    Io { path: String, source: io::Error },
    #[error("`{path}` is being written by {by}")]
    Locked { path: String, by: String },
    #[error("the rows do not fit the file `{path}`: {why}")]
    Columns { path: String, why: String },
    #[error("column `{column}` has a value that {format} files cannot store: {why}")]
    Value {
        column: String,
        format: &'static str,
        why: &'static str,
    },
    #[error("Towpath's records about `{path}` cannot be read: {why}")]
    Ledger { path: String, why: String },
    #[error(
        "Towpath's records about `{path}` have version {version}, which a newer version of Towpath wrote"
    )]
    Newer { path: String, version: u64 },
    #[error("`{path}` already has commit {last} of this task, and this is commit {generation}")]
    Stale {
        path: String,
        last: i64,
        generation: i64,
    },
    #[error(
        "`{path}` has commit {committed} of this task, and the rows were read after commit {after}"
    )]
    Overtaken {
        path: String,
        committed: i64,
        after: i64,
    },
    #[error("another program changed `{path}` while it was being written")]
    Changed { path: String },
    #[error("rows could not be put into `{path}`: {why}")]
    Encode { path: String, why: String },
    #[error("a writing task of `{path}` ended early")]
    Broken { path: String },
    #[error("the files destination {reason}")]
    Misused { reason: &'static str },
    #[error(transparent)]
    Read(#[from] FilesError),
}

impl WriteError {
    fn code(&self) -> &'static str {
        match self {
            Self::Target { .. } => "R0120",
            Self::ReadOnly { .. } => "R0121",
            Self::Io { source, .. } if is_full(source) => "R0122",
            Self::Io { .. } => "R0123",
            Self::Locked { .. } => "R0124",
            Self::Columns { .. } => "R0125",
            Self::Value { .. } => "R0126",
            Self::Ledger { .. } => "R0127",
            Self::Newer { .. } => "R0131",
            Self::Stale { .. } => "R0128",
            Self::Overtaken { .. } | Self::Changed { .. } => "R0130",
            Self::Encode { .. } | Self::Broken { .. } | Self::Misused { .. } | Self::Read(_) => {
                "R0129"
            }
        }
    }

    fn remedy(&self) -> Remedy {
        match self {
            Self::Target { .. } => Remedy::FixConfig,
            Self::ReadOnly { .. } | Self::Newer { .. } | Self::Stale { .. } => Remedy::Refused,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::Interrupted
                | io::ErrorKind::TimedOut
                | io::ErrorKind::WouldBlock => Remedy::Retry,
                _ => Remedy::FixConfig,
            },
            Self::Locked { .. } | Self::Overtaken { .. } | Self::Changed { .. } => Remedy::Retry,
            Self::Columns { .. } | Self::Value { .. } | Self::Ledger { .. } => Remedy::FixData,
            Self::Encode { .. } | Self::Broken { .. } | Self::Misused { .. } | Self::Read(_) => {
                Remedy::Bug
            }
        }
    }

    fn help(&self) -> Vec<String> {
        let one = |text: &str| vec![text.to_owned()];
        match self {
            Self::Target { way_out, .. } => one(way_out),
            Self::ReadOnly { .. } => one(
                "set `writable: true` on the connection, in the environment that may write there",
            ),
            Self::Io { source, .. } if is_full(source) => {
                one("free some space and run again; the earlier file is unchanged")
            }
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => one("allow this user to write in the folder"),
                io::ErrorKind::ReadOnlyFilesystem => {
                    one("the file system is read-only; choose a different `path`")
                }
                io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                    one("there is a file in the place of a folder; choose a different `path`")
                }
                _ => Vec::new(),
            },
            Self::Locked { .. } => one(
                "wait until the other run has ended; the lock of a dead process is released automatically",
            ),
            Self::Columns { .. } => {
                one("`write: replace` writes a new file with the current columns")
            }
            Self::Value { .. } => {
                one("give the column a different type, or write `format: parquet`")
            }
            Self::Ledger { .. } => {
                one("delete that file if you do not need its history; it contains no rows")
            }
            Self::Newer { .. } => one("use the newer version of Towpath, or write to another file"),
            Self::Overtaken { .. } | Self::Changed { .. } => {
                one("Towpath tries again with the current file")
            }
            Self::Stale { .. } => one("another attempt was faster; run again"),
            Self::Encode { .. } | Self::Broken { .. } | Self::Misused { .. } => {
                one("nothing was committed; run again, and please report this")
            }
            Self::Read(_) => Vec::new(),
        }
    }

    /// For `map_err`: an error of the operating system at this path.
    pub(super) fn io(path: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// No room on the disk, or in what the user may have of it.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        if let WriteError::Read(error) = error {
            return error.into();
        }
        let mut failure = Failure::new(error.code(), error.remedy(), error.to_string());
        for line in error.help() {
            failure = failure.help(line);
        }
        failure
    }
}
