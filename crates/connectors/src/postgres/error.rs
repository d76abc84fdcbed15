//! Everything that can go wrong between us and a PostgreSQL server, sorted by who must act.
//!
//! Promise: a server's answer becomes exactly one of these, with a stable code (`R02xx`), a remedy
//! and what to do; no URL, password or row value is ever part of a message (a server's `DETAIL` is
//! dropped, quoted values in data errors are cut off). It does not know what was being done: callers
//! pass that as a few words.

use tokio_postgres::error::SqlState;
use towpath_vocab::{Failure, Remedy};

use super::names::Relation;
use crate::relational::fault::{Fault, RelationalError};

pub(super) type Result<T, E = PgError> = std::result::Result<T, E>;

/// A failure of the `postgres` connector.
#[derive(Debug, thiserror::Error)]
pub(super) enum PgError {
    /// What can go wrong with any SQL database.
    #[error(transparent)]
    Relational(#[from] Fault),
    #[error("the `url` of connection `{connection}` {reason}")]
    Url {
        connection: String,
        reason: &'static str,
    },
    #[error("option `{option}` of connection `{connection}` {reason}")]
    BadOption {
        connection: String,
        option: &'static str,
        reason: String,
    },
    #[error("cannot reach PostgreSQL at `{address}` (connection `{connection}`): {reason}")]
    Unreachable {
        connection: String,
        address: String,
        reason: String,
    },
    #[error("PostgreSQL at `{address}` refused the login of connection `{connection}`: {reason}")]
    Denied {
        connection: String,
        address: String,
        reason: String,
    },
    #[error(
        "no encrypted connection to PostgreSQL at `{address}` (connection `{connection}`): {reason}"
    )]
    Tls {
        connection: String,
        address: String,
        reason: String,
    },
    #[error("lost the connection to PostgreSQL while {doing}")]
    Lost { doing: String },
    #[error("PostgreSQL stopped {doing}: {reason}")]
    Passing { doing: String, reason: String },
    #[error("there is no table `{object}`")]
    NoTable {
        object: String,
        similar: Option<String>,
    },
    #[error("`{object}` has no column `{column}`")]
    NoColumn {
        object: String,
        column: String,
        similar: Option<String>,
    },
    #[error("no permission to {doing}: {reason}")]
    NoRight { doing: String, reason: String },
    #[error("PostgreSQL does not accept the query: {reason}")]
    Query { reason: String },
    #[error("`{object}` has two columns named `{column}`")]
    SameName { object: String, column: String },
    #[error("`{object}` has no column that can be read")]
    NoColumns { object: String },
    #[error("column `{column}` ({data_type}) of `{object}` cannot be a cursor: {reason}")]
    Cursor {
        object: String,
        column: String,
        data_type: String,
        reason: &'static str,
    },
    #[error("the stored position of `{object}` cannot be read: {reason}")]
    Position { object: String, reason: String },
    #[error(
        "the rows at the end of the last read of `{object}` cannot be distinguished from new ones: {reason}"
    )]
    Boundary { object: String, reason: String },
    #[error(
        "the last read of `{object}` is two thousand million transactions ago: the new rows cannot be determined"
    )]
    TooFar { object: String },
    #[error(
        "`{table}` was replaced or rewritten (renamed, created again, ALTER TABLE, TRUNCATE) since `{object}` was last read: it is not known which of its rows up to the last `{column}` were read"
    )]
    Rewritten {
        object: String,
        table: String,
        column: String,
    },
    #[error("a pooler mixes up prepared statements of this connection while {doing}")]
    Pooler { doing: String },
    #[error("PostgreSQL at this address does not accept writes: it is a replica")]
    Replica,
    #[error("the name `{name}` is longer than the 63 bytes that PostgreSQL allows")]
    LongName { name: String },
    #[error("no permission to write `_towpath_commits` in schema `{schema}`")]
    NoCommits { schema: String },
    #[error("column `{column}` has the type {data_type}, which PostgreSQL cannot store exactly")]
    NoType { column: String, data_type: String },
    #[error("a value of column `{column}`{} cannot be stored: {reason}", in_row(*.row))]
    Value {
        column: String,
        reason: &'static str,
        /// Its row among those that are written, from 1.
        row: Option<u64>,
    },
    #[error(
        "{rows} values of column `{column}` of `{table}` would be changed by the conversion to `{present}`"
    )]
    Inexact {
        table: String,
        column: String,
        present: String,
        rows: i64,
    },
    #[error(
        "rows of `{object}` that commit late cannot be found: this user may not call `pg_control_system` and `pg_control_checkpoint`, so the server cannot be distinguished from a restored one"
    )]
    Unidentified { object: String },
    #[error(
        "new rows of `{object}` cannot be distinguished from rows whose transactions are about 2^32 older"
    )]
    Recycled { object: String },
    #[error("`{table}` refuses the rows: {reason}")]
    Constraint { table: String, reason: String },
    #[error(
        "rows of `{table}` cannot be {done}: the foreign key `{constraint}` would change `{other}` with them"
    )]
    Cascade {
        table: String,
        done: &'static str,
        constraint: String,
        other: String,
    },
    #[error(
        "another program may have changed `{table}` since its checks: this user may not lock it"
    )]
    Unlocked { table: String },
    #[error("PostgreSQL failed while {doing}: {reason} ({code})")]
    Server {
        doing: String,
        code: String,
        reason: String,
    },
    #[error("PostgreSQL sent something unexpected while {doing}: {reason}")]
    Protocol { doing: String, reason: &'static str },
    #[error("`postgres` {reason}")]
    Misused { reason: &'static str },
}

impl PgError {
    /// Sorts a driver's error by who must act.
    /// An error of a statement about a table that was there when it was looked at.
    pub(super) fn about_table(
        error: &tokio_postgres::Error,
        doing: &str,
        relation: &Relation,
    ) -> Self {
        let is_gone = error.as_db_error().is_some_and(|db| {
            *db.code() == SqlState::UNDEFINED_TABLE && db.message().contains(&relation.name)
        });
        match is_gone {
            true => Fault::Dropped {
                table: relation.to_string(),
            }
            .into(),
            false => Self::from_driver(error, doing),
        }
    }

    pub(super) fn from_driver(error: &tokio_postgres::Error, doing: &str) -> Self {
        let doing = doing.to_owned();
        let Some(db) = error.as_db_error() else {
            return Self::Lost { doing };
        };
        let code = db.code();
        let reason = primary(db);
        let class = code.code().get(..2).unwrap_or_default();
        match (class, code) {
            (_, &SqlState::DUPLICATE_PSTATEMENT | &SqlState::INVALID_SQL_STATEMENT_NAME) => {
                Self::Pooler { doing }
            }
            (_, &SqlState::INSUFFICIENT_PRIVILEGE) => Self::NoRight { doing, reason },
            (_, &SqlState::READ_ONLY_SQL_TRANSACTION) => Self::Replica,
            // The server stops, crashed, or starts: the session is gone.
            (
                _,
                &SqlState::ADMIN_SHUTDOWN
                | &SqlState::CRASH_SHUTDOWN
                | &SqlState::CANNOT_CONNECT_NOW,
            ) => Self::Lost { doing },
            ("08" | "40" | "53" | "57" | "58", _)
            | (_, &SqlState::LOCK_NOT_AVAILABLE | &SqlState::OBJECT_IN_USE) => {
                Self::Passing { doing, reason }
            }
            // Two sessions define the same thing: the one that waited finds it there next time.
            ("23", _) if db.schema() == Some("pg_catalog") => Self::Passing { doing, reason },
            (
                _,
                &SqlState::DUPLICATE_SCHEMA
                | &SqlState::DUPLICATE_TABLE
                | &SqlState::DUPLICATE_COLUMN
                | &SqlState::DUPLICATE_OBJECT,
            ) => Self::Passing { doing, reason },
            ("23", _) => Self::Constraint {
                table: db.table().unwrap_or("the table").to_owned(),
                reason,
            },
            _ => Self::Server {
                doing,
                code: code.code().to_owned(),
                reason,
            },
        }
    }

    fn facts(&self) -> (&'static str, Remedy) {
        match self {
            Self::Url { .. } | Self::BadOption { .. } => ("R0201", Remedy::FixConfig),
            Self::Unreachable { .. } => ("R0202", Remedy::Unreachable),
            Self::Denied { .. } => ("R0203", Remedy::FixConfig),
            Self::Tls { .. } => ("R0205", Remedy::FixConfig),
            Self::Lost { .. } => ("R0206", Remedy::Unreachable),
            Self::Passing { .. } => ("R0207", Remedy::Retry),
            Self::NoTable { .. } => ("R0210", Remedy::FixConfig),
            Self::NoColumn { .. } => ("R0211", Remedy::FixConfig),
            Self::NoRight { .. } => ("R0212", Remedy::FixConfig),
            Self::Query { .. } | Self::SameName { .. } | Self::NoColumns { .. } => {
                ("R0213", Remedy::FixConfig)
            }
            Self::Cursor { .. } => ("R0214", Remedy::FixConfig),
            Self::Pooler { .. } => ("R0215", Remedy::FixConfig),
            Self::Position { .. } => ("R0216", Remedy::FixConfig),
            Self::Boundary { .. } | Self::TooFar { .. } => ("R0217", Remedy::FixConfig),
            Self::Unidentified { .. } => ("R0237", Remedy::FixConfig),
            Self::Recycled { .. } => ("R0238", Remedy::FixConfig),
            Self::LongName { .. } => ("R0235", Remedy::FixConfig),
            Self::Rewritten { .. } => ("R0236", Remedy::FixConfig),
            Self::Replica => ("R0219", Remedy::FixConfig),
            Self::NoCommits { .. } => ("R0221", Remedy::FixConfig),
            Self::NoType { .. } => ("R0224", Remedy::FixConfig),
            Self::Value { .. } => ("R0227", Remedy::FixData),
            Self::Constraint { .. } => ("R0228", Remedy::FixData),
            Self::Cascade { .. } => ("R0231", Remedy::Refused),
            Self::Inexact { .. } => ("R0233", Remedy::FixData),
            Self::Unlocked { .. } => ("R0234", Remedy::FixConfig),
            Self::Server { code, .. } => ("R0290", by_class(code)),
            Self::Relational(_) | Self::Protocol { .. } | Self::Misused { .. } => {
                ("R0299", Remedy::Bug)
            }
        }
    }

    fn help(&self) -> Vec<String> {
        let line = match self {
            Self::Url { .. } => "write it as `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=require`".to_owned(),
            Self::Unreachable { .. } => "is the server running, and are host and port in the `url` right?".to_owned(),
            Self::Denied { .. } => "check user, password and database in the `url`, and the server's `pg_hba.conf`".to_owned(),
            Self::Tls { .. } => "`sslmode` in the `url` is one of disable, prefer, require, verify-ca, verify-full; `sslrootcert` names a PEM file".to_owned(),
            Self::NoTable { similar: Some(name), .. } | Self::NoColumn { similar: Some(name), .. } => format!("did you mean `{name}`?"),
            Self::NoTable { .. } => "tables outside the connection's `schema` are written `schema.table`".to_owned(),
            Self::NoRight { .. } => "ask the owner for `GRANT USAGE ON SCHEMA …` and `GRANT SELECT ON …` (or permission to write)".to_owned(),
            Self::SameName { .. } => "give one of them a different name with `AS`".to_owned(),
            Self::Cursor { .. } => "a cursor is a column of dates, timestamps, integers, decimals or text whose values only grow".to_owned(),
            Self::Position { .. } => "start over with `--full-refresh`".to_owned(),
            Self::Boundary { .. } => "give the cursor a `lookback` and write by a `key` (the rows within it are read again and replaced), or start over with `--full-refresh`".to_owned(),
            Self::Rewritten { column, .. } => {
                return vec![
                    "`--full-refresh` reads all rows again and replaces the table".to_owned(),
                    "a write by `key` (merge, delete+insert, insert_only) reads the table again automatically and does not stop for this".to_owned(),
                    format!("`late_rows: lookback` on the table, for one run, continues from the last `{column}`: new or changed rows at or below it are then never read"),
                ];
            }
            Self::Unidentified { .. } => {
                return vec![
                    "`GRANT EXECUTE ON FUNCTION pg_control_system(), pg_control_checkpoint() TO USER`".to_owned(),
                    "or set `late_rows: lookback`: a row that commits late with a cursor value below the last one is then found only within the cursor's `lookback`".to_owned(),
                ];
            }
            Self::Recycled { .. } => {
                return vec![
                    "write the table by a `key` (`write: merge`): rows that are read again then replace themselves, and no run stops for this".to_owned(),
                    "or set `late_rows: lookback` on the table: rows are read by the cursor alone, from its last value on; late rows below it are then found only within the `lookback`".to_owned(),
                    "or read all rows again with `--full-refresh`, which replaces the table; later runs continue from there, and stop again only if many old rows are deleted, updated or rewritten between two runs: run more often".to_owned(),
                ];
            }
            Self::TooFar { .. } => "start over with `--full-refresh`, or set `late_rows: lookback` to continue from the last cursor value (new or changed rows below it are then never read)".to_owned(),
            Self::Inexact { column, present, .. } if present.starts_with("character") => format!("`where:` in the publish leaves out rows with longer values (`length({column}) <= …`), and a `length` rule on the load of `{column}` rejects them one by one; trailing blanks count in a `character varying`, not in a `character`"),
            Self::Inexact { column, present, .. } => format!("write the values as PostgreSQL prints a `{present}`, or give `{column}` the type text"),
            Self::Unlocked { table } => format!("with `GRANT UPDATE ON {table}` this user can lock out other writers until the commit"),
            Self::Pooler { .. } => "point the `url` at the server itself, or let the pooler track prepared statements (PgBouncer 1.21: `max_prepared_statements`)".to_owned(),
            Self::LongName { .. } => "give the target a shorter name".to_owned(),
            Self::Replica => "point the `url` at the primary".to_owned(),
            Self::NoCommits { .. } => "set `commits_schema:` on the connection to a schema this user may create tables in".to_owned(),
            Self::Value { column, reason, .. } => return way_out(column, reason),
            Self::NoType { column, .. } => format!("give `{column}` a different type in the table's `columns`, for example text"),
            Self::Cascade { done: "deleted", .. } => "use a write mode that deletes nothing, or drop the foreign key's ON DELETE action".to_owned(),
            Self::Cascade { .. } => "leave the column that the key refers to out, use a write mode that changes no rows, or drop the foreign key's ON UPDATE action".to_owned(),
            _ => return Vec::new(),
        };
        vec![line]
    }
}

/// What PostgreSQL cannot hold, where there is a way out.
pub(super) const ZERO_BYTE: &str = "text in PostgreSQL cannot contain a zero byte";
pub(super) const NANOSECONDS: &str =
    "PostgreSQL stores microseconds, and this value has nanoseconds";

fn way_out(column: &str, reason: &str) -> Vec<String> {
    let line = match reason {
        ZERO_BYTE => format!(
            "`pattern: '^[^\\x00]*$'` on `{column}` in the table's `columns` rejects such rows; the type binary keeps the byte"
        ),
        NANOSECONDS => format!(
            "give `{column}` the type text in the table's `columns` to keep them, or timestamp to reject such rows"
        ),
        _ => format!("give `{column}` a different type in the table's `columns`, for example text"),
    };
    vec![line]
}

fn in_row(row: Option<u64>) -> String {
    row.map_or_else(String::new, |row| format!(" in row {row} of those written"))
}

impl RelationalError for PgError {
    fn misused(reason: &'static str) -> Self {
        Self::Misused { reason }
    }

    fn is_unheard(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Passing { .. })
    }
}

impl From<PgError> for Failure {
    fn from(error: PgError) -> Self {
        if let PgError::Relational(fault) = error {
            return fault.into();
        }
        let (code, remedy) = error.facts();
        error
            .help()
            .into_iter()
            .fold(Failure::new(code, remedy, error.to_string()), Failure::help)
    }
}

/// The server's one-line message without quoted row values.
pub(super) fn primary(error: &tokio_postgres::error::DbError) -> String {
    let message = error.message();
    match error.code().code().get(..2) {
        Some("22") => without_values(message),
        Some("23") => message
            .split_once(": \"")
            .map_or(message, |(before, _)| before)
            .to_owned(),
        _ => message.to_owned(),
    }
}

/// A message about data without what is quoted in it: `value … is out of range for type integer`.
fn without_values(message: &str) -> String {
    // Servers speak other languages, too.
    let quote = |letter: char| matches!(letter, '"' | '„' | '“' | '”' | '«' | '»' | '‹' | '›');
    let message = message
        .split_once(": 0x")
        .map_or(message, |(before, _)| before);
    // From the first quote to the last: a value may hold quotes of its own.
    let (Some(begin), Some((end, last))) = (
        message.find(quote),
        message
            .char_indices()
            .rev()
            .find(|(_, letter)| quote(*letter)),
    ) else {
        return message.to_owned();
    };
    let before = &message[..begin];
    before.strip_suffix(": ").map_or_else(
        || format!("{before}…{}", &message[end + last.len_utf8()..]),
        str::to_owned,
    )
}

fn by_class(code: &str) -> Remedy {
    match code.get(..2) {
        Some("22" | "23" | "44") => Remedy::FixData,
        Some("XX") => Remedy::Retry,
        _ => Remedy::FixConfig,
    }
}

/// Says what was being done when a driver call failed.
pub(super) trait ErrorContext<T> {
    /// Turns a driver's error into ours.
    fn doing(self, doing: &str) -> Result<T>;
}

impl<T> ErrorContext<T> for std::result::Result<T, tokio_postgres::Error> {
    fn doing(self, doing: &str) -> Result<T> {
        self.map_err(|error| PgError::from_driver(&error, doing))
    }
}

#[cfg(test)]
mod tests {
    use super::without_values;

    #[test]
    fn messages_about_data_hold_no_values() {
        for (message, shown) in [
            (
                "value \"99\" is out of range for type integer",
                "value … is out of range for type integer",
            ),
            ("\"1e\"9\" is out of range", "… is out of range"),
            (
                "invalid input syntax for type json: \"{\"",
                "invalid input syntax for type json",
            ),
            (
                "invalid byte sequence for encoding \"UTF8\": 0xff",
                "invalid byte sequence for encoding …",
            ),
            ("numeric field overflow", "numeric field overflow"),
            (
                "Wert »99« ist zu groß für Typ integer",
                "Wert … ist zu groß für Typ integer",
            ),
        ] {
            assert_eq!(without_values(message), shown);
        }
    }
}
