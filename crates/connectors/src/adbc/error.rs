//! What can go wrong with a database that has an ADBC driver, with what to do. Codes R1401 to R1417.
//!
//! Promise: rows that do not fit their column are no errors: they are rejects (`batches.rs`). No value of a row and no
//! secret is part of a message (`messages.rs`). Read next: `codes.rs`.

use towpath_vocab::{Failure, Remedy};

use super::messages::{Kind, Reported};
use crate::relational::fault::{Fault, RelationalError};

pub(super) type Result<T, E = AdbcError> = std::result::Result<T, E>;

/// A failure of the adbc connector.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdbcError {
    /// What can go wrong with any SQL database.
    #[error(transparent)]
    Relational(#[from] Fault),
    #[error("connection `{connection}`: option `{option}` {reason}")]
    Option {
        connection: String,
        option: &'static str,
        reason: String,
    },
    #[error("the driver of connection `{connection}` cannot be loaded: {reason}")]
    Load { connection: String, reason: String },
    #[error("connection `{connection}` cannot be opened: {}", reported.message)]
    Connect {
        connection: String,
        reported: Reported,
    },
    #[error("{doing} failed: {}", reported.message)]
    Driver { doing: String, reported: Reported },
    #[error("the query cannot be run: {}", reported.message)]
    Query { reported: Reported },
    #[error("there is no table `{object}`")]
    NoTable {
        object: String,
        nearest: Option<String>,
        present: Vec<String>,
    },
    #[error("`{object}` is in several places: {}", places.join(", "))]
    Ambiguous { object: String, places: Vec<String> },
    #[error("`{object}` has no column `{column}`")]
    NoColumn {
        object: String,
        column: String,
        nearest: Option<String>,
    },
    #[error("`{object}` has two columns named `{column}`")]
    SameName { object: String, column: String },
    #[error("column `{column}` of `{object}` cannot be read exactly: {reason}")]
    NoType {
        object: String,
        column: String,
        reason: String,
    },
    #[error("the position of `{object}` cannot be used: {reason}")]
    Position { object: String, reason: String },
    #[error("`{column}` of `{object}` cannot be a cursor: {reason}")]
    Cursor {
        object: String,
        column: String,
        reason: String,
    },
    #[error(
        "the rows at the end of the last read of `{object}` cannot be distinguished from new ones: {reason}"
    )]
    Boundary { object: String, reason: String },
    #[error("{doing} failed: {reason}")]
    Passing { doing: String, reason: String },
    #[error(
        "the driver gives {bytes} bytes of `{object}` at once, more than half of the memory budget ({limit} bytes)"
    )]
    Memory {
        object: String,
        bytes: u64,
        limit: u64,
    },
    #[error("rows of `{object}` could not be put into columns: {reason}")]
    Columns { object: String, reason: String },
    #[error(
        "tables of {product} cannot be written through its driver: the ways of its transactions and its types are not known"
    )]
    ReadsOnly { product: String },
    #[error("column `{column}` of type `{data_type}` cannot be stored in DuckDB")]
    NotStored { column: String, data_type: String },
    #[error("`{table}` compares texts by a collation, and `{mode}` finds rows by key")]
    Collation { table: String, mode: &'static str },
    #[error("the adbc connector {reason}")]
    Misused { reason: &'static str },
}

impl AdbcError {
    fn code(&self) -> &'static str {
        match self {
            Self::Option { .. } => "R1401",
            Self::Load { .. } => "R1402",
            Self::Connect { reported, .. } | Self::Driver { reported, .. } => {
                match (reported.kind, self) {
                    (Kind::Passing, _) => "R1404",
                    (_, Self::Connect { .. }) => "R1403",
                    (Kind::NoRight, _) => "R1415",
                    (Kind::Constraint | Kind::Data | Kind::Unknown, _) => "R1412",
                    (Kind::Missing | Kind::Rejected, _) => "R1407",
                }
            }
            Self::Passing { .. } => "R1404",
            Self::NoTable { .. } | Self::Ambiguous { .. } => "R1405",
            Self::NoColumn { .. } | Self::SameName { .. } => "R1406",
            Self::Query { reported } if reported.kind == Kind::Passing => "R1404",
            Self::Query { .. } => "R1407",
            Self::NoType { .. } => "R1408",
            Self::Position { .. } => "R1409",
            Self::Cursor { .. } => "R1410",
            Self::Boundary { .. } => "R1411",
            Self::Memory { .. } => "R1413",
            Self::ReadsOnly { .. } => "R1416",
            Self::NotStored { .. } | Self::Collation { .. } => "R1417",
            Self::Relational(_) | Self::Columns { .. } | Self::Misused { .. } => "R1414",
        }
    }

    fn remedy(&self) -> Remedy {
        match self.code() {
            "R1404" => Remedy::Retry,
            "R1412" => Remedy::FixData,
            "R1414" => Remedy::Bug,
            "R1416" => Remedy::Refused,
            _ => Remedy::FixConfig,
        }
    }

    fn help(&self) -> Vec<String> {
        let one = |text: &str| vec![text.to_owned()];
        match self {
            Self::Option { option, .. } => match *option {
                "driver" => one(
                    "driver: /usr/lib/libadbc_driver_postgresql.so   # or the name of an installed driver",
                ),
                "options" => one("put secrets into `secret_options: ${secret:NAME}`"),
                _ => Vec::new(),
            },
            Self::Load { .. } => one(
                "install the driver, and give its name or the absolute path of its library; a name is looked up in ADBC_DRIVER_PATH and in the folders of this user and this machine for ADBC drivers. DuckDB's library needs `entrypoint: duckdb_adbc_init`",
            ),
            Self::Connect { .. } if self.code() == "R1403" => one(
                "correct `uri`, `path`, `username`, `password` or `options`; which ones there are is in the documentation of the driver",
            ),
            Self::NoTable { nearest, .. } | Self::NoColumn { nearest, .. } if nearest.is_some() => {
                let name = nearest.as_deref().unwrap_or_default();
                vec![format!("did you mean `{name}`?")]
            }
            Self::NoTable { present, .. } if !present.is_empty() => {
                vec![format!("there are: {}", present.join(", "))]
            }
            Self::Ambiguous { .. } => one("write `schema.table`"),
            Self::SameName { .. } => one("give one of them a different name: select … as …"),
            Self::NoType { .. } => {
                one("leave the column out, or read a `query` that converts it: CAST(… AS VARCHAR)")
            }
            Self::Position { .. } => one("read everything again: towpath run --full-refresh"),
            Self::Cursor { .. } => one(
                "a cursor is a column of whole numbers, decimals, dates, timestamps or text whose values only grow",
            ),
            Self::Boundary { .. } => one(
                "give the cursor a `lookback` and write by a `key` (the rows within it are read again and replaced), or start over with `--full-refresh`",
            ),
            Self::ReadsOnly { .. } => one(
                "DuckDB is written through ADBC; use a connection of type `postgres` or `sqlite` for these, or publish to files that the database loads",
            ),
            Self::NotStored { .. } => one("convert it to text or numbers first"),
            Self::Collation { .. } => {
                one("write by `append` or `replace`, or write to a table without `COLLATE`")
            }
            Self::Memory { .. } => one(
                "raise `memory`, or make the driver's batches smaller with an option of the driver",
            ),
            _ => Vec::new(),
        }
    }
}

impl RelationalError for AdbcError {
    fn misused(reason: &'static str) -> Self {
        Self::Misused { reason }
    }
}

impl From<AdbcError> for Failure {
    fn from(error: AdbcError) -> Self {
        if let AdbcError::Relational(fault) = error {
            return fault.into();
        }
        let mut failure = Failure::new(error.code(), error.remedy(), error.to_string());
        for line in error.help() {
            failure = failure.help(line);
        }
        failure
    }
}
