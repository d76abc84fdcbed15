//! Everything that can go wrong between us and a MySQL or MariaDB server, sorted by who must act.
//!
//! Promise: a server's answer becomes exactly one of these, with a stable code (`R10xx`), a remedy and what
//! to do; no URL, password or row value is part of a message: what a server quotes is shown only where it
//! can be nothing but a name or the user's own SQL. It does not know what was being done: callers pass that
//! as a few words.

use std::io;

use towpath_vocab::{Failure, Remedy};

use super::packet::ServerError;
use crate::relational::fault::{Fault, RelationalError};

pub(super) type Result<T, E = MysqlError> = std::result::Result<T, E>;

/// A failure of the `mysql` connector.
#[derive(Debug, thiserror::Error)]
pub(super) enum MysqlError {
    #[error("option `{option}` of connection `{connection}` {reason}")]
    Option {
        connection: String,
        option: &'static str,
        reason: String,
    },
    #[error("cannot reach the MySQL server at `{address}` (connection `{connection}`): {reason}")]
    Unreachable {
        connection: String,
        address: String,
        reason: String,
    },
    #[error(
        "the MySQL server at `{address}` refused the login of connection `{connection}`: {reason}"
    )]
    Denied {
        connection: String,
        address: String,
        reason: String,
    },
    #[error(
        "no encrypted connection to the MySQL server at `{address}` (connection `{connection}`): {reason}"
    )]
    Tls {
        connection: String,
        address: String,
        reason: String,
    },
    #[error("lost the connection to the MySQL server while {doing}")]
    Lost { doing: String },
    #[error("the MySQL server stopped {doing}: {reason}")]
    Passing { doing: String, reason: String },
    #[error("the MySQL server stopped {doing}, which waited for others: {reason}")]
    Waited { doing: String, reason: String },
    #[error(
        "the MySQL server had ended the transaction by itself, and with it its rows, before {doing}"
    )]
    Ended { doing: String },
    #[error("the MySQL server sent what its protocol does not allow while {doing}")]
    Protocol { doing: String },
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
    #[error("no permission while {doing}: {reason}")]
    NoRight { doing: String, reason: String },
    #[error("the MySQL server does not accept the query: {reason}")]
    Query { reason: String },
    #[error("`{object}` has two columns named `{column}`")]
    SameName { object: String, column: String },
    #[error("column `{column}` ({data_type}) of `{object}` cannot be a cursor: {reason}")]
    Cursor {
        object: String,
        column: String,
        data_type: String,
        reason: &'static str,
    },
    #[error("the stored position of `{object}` cannot be used: {reason}")]
    Position { object: String, reason: String },
    #[error(
        "the rows at the end of the last read of `{object}` cannot be distinguished from new ones: {reason}"
    )]
    Boundary { object: String, reason: String },
    #[error(
        "`{object}` is stored in {engine}, which has no snapshots: an incremental read can lose or repeat rows that are written meanwhile"
    )]
    NoSnapshot { object: String, engine: String },
    #[error("a row or a value is larger than the MySQL server allows, while {doing}")]
    TooLarge { doing: String },
    #[error("the MySQL server failed while {doing}: {reason} ({code})")]
    Server {
        doing: String,
        code: u16,
        state: String,
        reason: String,
    },
    #[error("rows of `{object}` cannot be put into columns: {reason}")]
    Columns { object: String, reason: String },
    #[error("the `mysql` connector {reason}")]
    Misused { reason: &'static str },
    #[error("`{table}` is stored in {engine}, which has no transactions that Towpath can write in")]
    Engine { table: String, engine: String },
    #[error("a value of column `{column}`{} cannot be stored: {reason}", in_row(*.row))]
    Value {
        column: String,
        reason: &'static str,
        /// Its row among those that are written, from 1.
        row: Option<u64>,
    },
    #[error("column `{column}` ({data_type}) has no type in MySQL")]
    NoType { column: String, data_type: String },
    #[error(
        "{rows} rows have a value in column `{column}` that `{present}` in `{table}` cannot hold as it is"
    )]
    Inexact {
        table: String,
        column: String,
        present: String,
        rows: i64,
    },
    #[error(
        "rows of `{table}` cannot be {done}: the foreign key `{constraint}` changes rows of `{other}` with them"
    )]
    Cascade {
        table: String,
        done: &'static str,
        constraint: String,
        other: String,
    },
    #[error("version {version} of the server is too old to be written")]
    TooOld { version: String },
    #[error("the server did not take the rows of `{table}` as they were sent: {reason}")]
    Changed { table: String, reason: String },
    #[error("the MySQL server refused rows while {doing}: {reason} ({code})")]
    Constraint {
        doing: String,
        code: u16,
        reason: String,
    },
    #[error(transparent)]
    Relational(#[from] Fault),
}

impl MysqlError {
    /// What a server reports.
    pub(super) fn of(error: ServerError, doing: &str) -> Self {
        let doing = doing.to_owned();
        let code = error.code;
        let reason = shown(&error);
        match code {
            _ if error.state == OWN_STATE => Self::Constraint {
                doing,
                code,
                reason,
            },
            // Shutdown, killed connection, aborted connection, gone away.
            1053 | 1077 | 1079 | 1152 | 1158..=1161 | 1184 | 1927 | 2006 | 2013 | 4031 => {
                Self::Lost { doing }
            }
            // Locks, deadlocks, killed queries, timeouts, a table that changed, too many of something.
            1205 => Self::Waited { doing, reason },
            1040 | 1041 | 1203 | 1213 | 1226 | 1317 | 1412 | 1461 | 1615 | 1637 | 1969 | 3024
            | 1028 | 1037 | 1038 | 1020 | 3168 => Self::Passing { doing, reason },
            1022 | 1048 | 1062 | 1216 | 1217 | 1264 | 1265 | 1364 | 1406 | 1451 | 1452 | 1526
            | 1557 | 1644 | 1690 | 1761 | 1762 | 3819 | 4025 => Self::Constraint {
                doing,
                code,
                reason,
            },
            1044 | 1142 | 1143 | 1227 | 1345 | 1356 | 1370 => Self::NoRight { doing, reason },
            1153 | 1301 => Self::TooLarge { doing },
            1146 => Self::NoTable {
                object: quoted_part(&error.message).unwrap_or(doing),
                similar: None,
            },
            1046 | 1054 | 1060 | 1064 | 1149 | 1176 | 1248 | 1295 | 1305 => Self::Query { reason },
            _ => Self::Server {
                doing,
                code,
                state: error.state,
                reason,
            },
        }
    }

    /// What a stream reports.
    pub(super) fn broken(error: &io::Error, doing: &str) -> Self {
        let doing = doing.to_owned();
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Protocol { doing },
            _ => Self::Lost { doing },
        }
    }

    fn facts(&self) -> (&'static str, Remedy) {
        match self {
            Self::Option { .. } => ("R1001", Remedy::FixConfig),
            Self::Unreachable { .. } => ("R1002", Remedy::Unreachable),
            Self::Denied { .. } => ("R1003", Remedy::FixConfig),
            Self::Tls { .. } => ("R1004", Remedy::FixConfig),
            Self::Lost { .. } => ("R1005", Remedy::Unreachable),
            Self::Passing { .. } | Self::Waited { .. } | Self::Ended { .. } => {
                ("R1006", Remedy::Retry)
            }
            Self::Protocol { .. } => ("R1007", Remedy::Unreachable),
            Self::NoTable { .. } => ("R1010", Remedy::FixConfig),
            Self::NoColumn { .. } | Self::SameName { .. } => ("R1011", Remedy::FixConfig),
            Self::NoRight { .. } => ("R1012", Remedy::FixConfig),
            Self::Query { .. } => ("R1013", Remedy::FixConfig),
            Self::Cursor { .. } => ("R1014", Remedy::FixConfig),
            Self::Position { .. } => ("R1015", Remedy::FixConfig),
            Self::Boundary { .. } => ("R1016", Remedy::FixConfig),
            Self::NoSnapshot { .. } => ("R1017", Remedy::FixConfig),
            Self::TooLarge { .. } => ("R1018", Remedy::FixConfig),
            Self::Engine { .. } => ("R1020", Remedy::FixConfig),
            Self::Value { .. } => ("R1021", Remedy::FixData),
            Self::NoType { .. } => ("R1022", Remedy::FixConfig),
            Self::Inexact { .. } => ("R1023", Remedy::FixData),
            Self::Cascade { .. } => ("R1024", Remedy::Refused),
            Self::TooOld { .. } => ("R1025", Remedy::FixConfig),
            Self::Changed { .. } => ("R1026", Remedy::FixData),
            Self::Constraint { .. } => ("R1027", Remedy::FixData),
            Self::Server { state, .. } => ("R1090", by_class(state)),
            Self::Relational(_) | Self::Columns { .. } | Self::Misused { .. } => {
                ("R1099", Remedy::Bug)
            }
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Option { option: "url", .. } => {
                "write it as `mysql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full`".to_owned()
            }
            Self::Unreachable { .. } => {
                "is the server running, and are host and port in the `url` right?".to_owned()
            }
            Self::Denied { .. } => {
                "check user, password and database in the `url`, and from which hosts the user may log in".to_owned()
            }
            Self::Tls { .. } => {
                "`sslmode` in the `url` is one of disable, prefer, require, verify-ca, verify-full; `sslrootcert` names a PEM file".to_owned()
            }
            Self::NoTable { similar: Some(name), .. } | Self::NoColumn { similar: Some(name), .. } => {
                format!("did you mean `{name}`?")
            }
            Self::NoTable { .. } => {
                "tables of other databases are written `database.table`; a table that this user may not read is not visible".to_owned()
            }
            Self::NoRight { .. } => {
                "ask the owner of the database for the permission: `GRANT … ON … TO …`".to_owned()
            }
            Self::SameName { .. } => "give one of them a different name with `AS`".to_owned(),
            Self::Cursor { .. } => {
                "a cursor is a column of dates, timestamps, numbers or text whose values only grow".to_owned()
            }
            Self::Position { .. } => "start over with `--full-refresh`".to_owned(),
            Self::Boundary { .. } => {
                "give the cursor a `lookback` and write by a `key` (the rows within it are read again and replaced), or start over with `--full-refresh`".to_owned()
            }
            Self::NoSnapshot { object, .. } => format!(
                "give the cursor a `lookback` and write by a `key`, or `ALTER TABLE {object} ENGINE = InnoDB`"
            ),
            Self::TooLarge { .. } => {
                "raise `max_allowed_packet` on the server (at most 1 GB), or leave the large column out with `columns`".to_owned()
            }
            Self::Engine { table, .. } => format!("`ALTER TABLE {table} ENGINE = InnoDB`, or write to a different table"),
            Self::Value { column, .. } => format!(
                "reject such rows with a rule on `{column}` in the table's `columns`, or give it the type text"
            ),
            Self::NoType { column, .. } => {
                format!("give `{column}` a different type in the table's `columns`, for example text")
            }
            Self::Inexact { column, .. } => format!(
                "nothing was written; reject such rows with a rule on `{column}`, or change the type of the table's column"
            ),
            Self::Cascade { done: "deleted", .. } => {
                "use a write mode that deletes nothing, or drop the foreign key's ON DELETE action".to_owned()
            }
            Self::Cascade { .. } => {
                "leave the column that the key refers to out, use a write mode that changes no rows, or drop the foreign key's ON UPDATE action".to_owned()
            }
            Self::TooOld { .. } => "MySQL 8.0 or MariaDB 10.3 or later can be written; older ones can be read".to_owned(),
            Self::Changed { .. } => "nothing was written; please report the message".to_owned(),
            Self::Constraint { .. } => {
                "a key, a constraint, a column's type or a trigger of the table refused the rows; nothing was written".to_owned()
            }
            _ => return None,
        })
    }
}

/// The state of an error that a trigger or a routine raises by itself.
const OWN_STATE: &str = "45000";
/// What is shown of an error that a program in the database raised: its text may hold anything.
const OF_A_PROGRAM: &str = "a trigger or a routine raised an error, whose text is not shown";

/// The server's message. What it quotes is a value unless it can only be a name or SQL, and so is a number; the
/// text of a trigger is not shown at all.
fn shown(error: &ServerError) -> String {
    let message = error.message.as_str();
    let is_of_a_program = error.code == 1644 || error.state == OWN_STATE;
    match is_of_a_program {
        true => OF_A_PROGRAM.to_owned(),
        false if names_only(error.code) => message.to_owned(),
        false => {
            let is_value = |c: char| c == '\'' || c == '"' || c.is_ascii_digit();
            let cut = message.split(is_value).next().unwrap_or_default();
            cut.trim_end()
                .trim_end_matches([':', '-', '('])
                .trim_end()
                .to_owned()
        }
    }
}

/// Whether what a server quotes in this error is a name or the user's own SQL.
fn names_only(code: u16) -> bool {
    matches!(
        code,
        1005 | 1030
            | 1044..=1046
            | 1048..=1050
            | 1054
            | 1060
            | 1064
            | 1071
            | 1114
            | 1118
            | 1129
            | 1130
            | 1142
            | 1143
            | 1146
            | 1149
            | 1176
            | 1227
            | 1248
            | 1264
            | 1265
            | 1290
            | 1305
            | 1356
            | 1364
            | 1370
            | 1406
            | 1698
            | 1832..=1834
    )
}

fn in_row(row: Option<u64>) -> String {
    row.map_or_else(String::new, |row| format!(" in row {row}"))
}

impl RelationalError for MysqlError {
    fn misused(reason: &'static str) -> Self {
        Self::Misused { reason }
    }

    fn is_unheard(&self) -> bool {
        matches!(
            self,
            Self::Lost { .. } | Self::Passing { .. } | Self::Waited { .. } | Self::Protocol { .. }
        )
    }
}

fn quoted_part(message: &str) -> Option<String> {
    Some(message.split('\'').nth(1)?.to_owned())
}

fn by_class(state: &str) -> Remedy {
    match state.get(..2) {
        Some("22" | "23") => Remedy::FixData,
        Some("08") => Remedy::Unreachable,
        Some("40") => Remedy::Retry,
        _ => Remedy::FixConfig,
    }
}

impl From<MysqlError> for Failure {
    fn from(error: MysqlError) -> Self {
        if let MysqlError::Relational(fault) = error {
            return fault.into();
        }
        let (code, remedy) = error.facts();
        let failure = Self::new(code, remedy, error.to_string());
        match error.help() {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_about_data_hold_no_values() {
        let of = |code, message: &str| {
            let error = ServerError {
                code,
                state: "22007".to_owned(),
                message: message.to_owned(),
            };
            MysqlError::of(error, "reading `t`").to_string()
        };
        let data = of(1292, "Incorrect datetime value: 'secret' for column");
        assert_eq!(
            data,
            "the MySQL server failed while reading `t`: Incorrect datetime value (1292)"
        );
        assert!(of(1054, "Unknown column 'x' in 'field list'").contains("'x'"));
        let partition = of(1526, "Table has no partition for value -77");
        assert!(
            partition.contains("no partition for value (1526)"),
            "{partition}"
        );
        for (code, state) in [(1644, "45000"), (1054, "45000")] {
            let error = ServerError {
                code,
                state: state.to_owned(),
                message: "Unknown column 'of secret'".to_owned(),
            };
            let said = MysqlError::of(error, "writing `t`").to_string();
            assert!(
                !said.contains("secret") && said.contains("trigger"),
                "{said}"
            );
        }
    }
}
