//! What can go wrong with a write into any SQL database, with what to do. Codes R0240 to R0255.
//!
//! Promise: one code means one thing, whichever database it is; no value of a row is part of a message.
//! What only one database knows (logins, locks, its own types) is in that connector's `error.rs`.

use towpath_vocab::{Failure, Remedy};

/// A failure of a write.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("`{table}` has commit {last} of this task, and this is commit {generation}")]
    Stale {
        table: String,
        generation: i64,
        last: i64,
    },
    #[error(
        "`{table}` has commit {committed} of this task, and the rows were read after commit {after}"
    )]
    Overtaken {
        table: String,
        committed: i64,
        after: i64,
    },
    #[error("{keys} keys ({columns}) occur more than once in the rows for `{table}`")]
    DuplicateKeys {
        table: String,
        columns: String,
        keys: i64,
    },
    #[error(
        "{keys} keys ({columns}) of the rows for `{table}` differ from others only in what the table ignores: upper and lower case, accents, or blanks at the end"
    )]
    EqualKeys {
        table: String,
        columns: String,
        keys: u64,
    },
    #[error("{rows} rows for `{table}` have no value in the key ({columns})")]
    NullKeys {
        table: String,
        columns: String,
        rows: i64,
    },
    #[error("`{mode}` into `{table}` needs a `key`")]
    NoKey { table: String, mode: &'static str },
    #[error("the key column `{column}` of `{table}` is not among the columns of the rows")]
    KeyMissing { table: String, column: String },
    #[error("tables of a database cannot be written by `{mode}` yet")]
    Mode { mode: &'static str },
    #[error("column `{column}` of `{table}` is `{present}`, but the rows have `{incoming}`")]
    Incompatible {
        table: String,
        column: String,
        present: String,
        incoming: String,
    },
    #[error("the columns of `{table}` differ from those of the rows: {change}")]
    Changed { table: String, change: String },
    #[error(
        "`{table}` took {done} of {asked} rows to {doing}: a trigger, a rule or a policy of the table dropped the others"
    )]
    Swallowed {
        table: String,
        doing: &'static str,
        asked: u64,
        done: u64,
    },
    #[error(
        "{rows} rows of `{table}` have blanks at the end of their key ({columns}), and rows come with the same keys without them"
    )]
    KeyBlanks {
        table: String,
        columns: String,
        rows: u64,
    },
    #[error("the stored commit of `{table}` cannot be read: {reason}")]
    Commit { table: String, reason: String },
    #[error("`{table}` was changed by others after it was decided which of its rows to delete")]
    Moved { table: String },
    #[error("`{table}` was dropped or created again while the write waited for it")]
    Dropped { table: String },
    #[error("connection `{connection}` is read-only")]
    ReadOnly { connection: String },
    #[error("a list, struct or map cannot be written as JSON text: {reason}")]
    NotJson { reason: String },
}

impl Fault {
    fn facts(&self) -> (&'static str, Remedy) {
        match self {
            Self::Stale { .. } => ("R0240", Remedy::Refused),
            Self::Overtaken { .. } => ("R0241", Remedy::Retry),
            Self::DuplicateKeys { .. } => ("R0242", Remedy::FixData),
            Self::NullKeys { .. } => ("R0243", Remedy::FixData),
            Self::NoKey { .. } | Self::KeyMissing { .. } | Self::Mode { .. } => {
                ("R0244", Remedy::FixConfig)
            }
            Self::Incompatible { .. } => ("R0245", Remedy::FixConfig),
            Self::Changed { .. } => ("R0246", Remedy::FixConfig),
            Self::Swallowed { .. } => ("R0247", Remedy::FixConfig),
            Self::Commit { .. } => ("R0248", Remedy::FixConfig),
            Self::ReadOnly { .. } => ("R0249", Remedy::Refused),
            Self::NotJson { .. } => ("R0250", Remedy::FixConfig),
            Self::KeyBlanks { .. } => ("R0251", Remedy::FixData),
            Self::Dropped { .. } => ("R0252", Remedy::Retry),
            Self::EqualKeys { .. } => ("R0253", Remedy::FixData),
            Self::Moved { .. } => ("R0255", Remedy::Retry),
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Stale { .. } => "another run was faster; you do not need to do anything".to_owned(),
            Self::Overtaken { .. } => {
                "another attempt read the same rows; Towpath tries again from there".to_owned()
            }
            Self::DuplicateKeys { .. } => {
                "choose a key that is unique, or keep one row per key: `dedup: { by: COLUMN, keep: last }`".to_owned()
            }
            Self::NullKeys { .. } => {
                "choose a key that is never NULL, or quarantine such rows with `required: true` on the key".to_owned()
            }
            Self::NoKey { .. } => "name the columns that identify a row: `key: COLUMN`".to_owned(),
            Self::KeyMissing { .. } => "choose a key from the columns of the rows".to_owned(),
            Self::Mode { .. } => {
                "use replace, append, merge, delete+insert or insert_only".to_owned()
            }
            Self::Incompatible { column, present, .. } => format!(
                "give `{column}` the type `{present}` in the table's `columns`, change the table, or write to a new one"
            ),
            Self::Changed { .. } => {
                "`schema_change: evolve` adds new columns, and widens types where the database can".to_owned()
            }
            Self::Swallowed { .. } => {
                "nothing was written; write to a table without it, or remove it from this table".to_owned()
            }
            Self::KeyBlanks { table, columns, .. } => {
                let sets = columns.split(", ").map(|name| format!("{name} = rtrim({name})"));
                let sets = sets.collect::<Vec<_>>().join(", ");
                format!(
                    "nothing was written; the rows come from a `char(n)` column, whose values are read without the blanks that fill them up. Remove the blanks in the table: `UPDATE {table} SET {sets}`"
                )
            }
            Self::EqualKeys { .. } => {
                "nothing was written; one of two rows would be lost. Spell each key in one way, or give the key column of the table a collation that compares every character".to_owned()
            }
            Self::Commit { .. } => {
                "a newer version of Towpath may have written it: use that version, or start over with `--full-refresh`".to_owned()
            }
            Self::NotJson { .. } => {
                "leave the column out, or give it the type text in the table's `columns`".to_owned()
            }
            Self::Dropped { .. } => {
                "nothing was written; the next attempt looks at the table again, and creates it if it is gone".to_owned()
            }
            Self::Moved { .. } => {
                "nothing was written; the next attempt looks at the table again".to_owned()
            }
            Self::ReadOnly { connection } => {
                format!("to allow writes, set `writable: true` on connection `{connection}`")
            }
        })
    }
}

/// An error of a connector to a SQL database.
pub(crate) trait RelationalError: From<Fault> + Into<Failure> + Send {
    /// A call that nobody should make: our fault.
    fn misused(reason: &'static str) -> Self;

    /// After a COMMIT that ended like this, the transaction may be committed or not.
    fn is_unheard(&self) -> bool {
        false
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let (code, remedy) = fault.facts();
        let failure = Self::new(code, remedy, fault.to_string());
        match fault.help() {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}
