//! Why a history is not written: each case with its code and a way out.
//!
//! Promise: nothing of the write is visible, and the history stays as it was. All other failures of the
//! lakehouse are in `error.rs`. Read next: `scd2.rs` and the files of its folder, which refuse.

use towpath_vocab::Remedy;

/// A write of history that is refused, or one that would destroy a history.
#[derive(Debug, thiserror::Error)]
pub enum RowHistoryRefusal {
    /// Rows with a column of a name that history needs.
    #[error("rows of `{table}` have a column `{column}`, which `write: {mode}` adds itself")]
    OwnColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// How it was to be written.
        mode: String,
    },
    /// A version that would lie before the current one.
    #[error(
        "`{table}`: the row with {key} is valid from {at}, and its key has a version that is valid until or from {since}"
    )]
    Late {
        /// The table.
        table: String,
        /// The key, in words.
        key: String,
        /// From when on the row is valid.
        at: String,
        /// When the version began that it would have to follow.
        since: String,
        /// The times are dates, which cannot tell two changes of one day apart.
        is_date: bool,
    },
    /// Two rows of a key that are valid from one time.
    #[error("`{table}`: two rows with {key} are valid from {at}, and have different values")]
    SameTime {
        /// The table.
        table: String,
        /// The key, in words.
        key: String,
        /// From when on both are valid.
        at: String,
        /// The times are dates, which cannot tell two changes of one day apart.
        is_date: bool,
    },
    /// A row that is gone before the time from which it is valid.
    #[error(
        "`{table}`: the row with {key} is gone, and is valid from {from}: after this load, which is of {at}"
    )]
    Future {
        /// The table.
        table: String,
        /// The key, in words.
        key: String,
        /// From when on it is valid.
        from: String,
        /// The time of the load.
        at: String,
    },
    /// A column that cannot say when a row is valid.
    #[error("`valid_from` of `{table}`: column `{column}` {why}")]
    ValidFrom {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What is wrong with it.
        why: String,
    },
    /// A row that does not say when it is valid.
    #[error("a row of `{table}` has no value in `{column}`, which says from when on it is valid")]
    NoTime {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A table that was not written as a history before.
    #[error("`{table}` has no history that `write: {mode}` could continue")]
    NoHistory {
        /// The table.
        table: String,
        /// How it was to be written.
        mode: String,
    },
    /// A table with a history that another mode would destroy.
    #[error(
        "`{table}` holds the history of its rows (`write: {kept}`), which `write: {mode}` would destroy"
    )]
    HoldsHistory {
        /// The table.
        table: String,
        /// The mode that keeps it.
        kept: String,
        /// How it was to be written.
        mode: String,
    },
    /// A history that others have changed.
    #[error("the history of `{table}` is damaged: {key} has more than one current version")]
    TwoCurrent {
        /// The table.
        table: String,
        /// The key, in words.
        key: String,
    },
    /// A clock that stands before times of the table.
    #[error("the clock says {at}, and `{table}` has rows from {newest}")]
    ClockBehind {
        /// The table.
        table: String,
        /// The time of the load.
        at: String,
        /// The newest time of the table.
        newest: String,
    },
    /// A column to be compared that is not there.
    #[error("`track` of `{table}` names the column `{column}`, which the table does not have")]
    Track {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

impl RowHistoryRefusal {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            RowHistoryRefusal::OwnColumn { .. } => "R0440",
            RowHistoryRefusal::Late { .. } => "R0441",
            RowHistoryRefusal::ValidFrom { .. } => "R0442",
            RowHistoryRefusal::NoTime { .. } => "R0443",
            RowHistoryRefusal::NoHistory { .. } => "R0444",
            RowHistoryRefusal::HoldsHistory { .. } => "R0445",
            RowHistoryRefusal::TwoCurrent { .. } => "R0446",
            RowHistoryRefusal::ClockBehind { .. } => "R0447",
            RowHistoryRefusal::Track { .. } => "R0448",
            RowHistoryRefusal::SameTime { .. } => "R0450",
            RowHistoryRefusal::Future { .. } => "R0451",
        }
    }

    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            RowHistoryRefusal::OwnColumn { .. }
            | RowHistoryRefusal::ValidFrom { .. }
            | RowHistoryRefusal::Track { .. } => Remedy::FixConfig,
            RowHistoryRefusal::Late { .. }
            | RowHistoryRefusal::NoTime { .. }
            | RowHistoryRefusal::SameTime { .. } => Remedy::FixData,
            RowHistoryRefusal::NoHistory { .. } | RowHistoryRefusal::HoldsHistory { .. } => {
                Remedy::FixConfig
            }
            RowHistoryRefusal::TwoCurrent { .. } => Remedy::Refused,
            RowHistoryRefusal::ClockBehind { .. } | RowHistoryRefusal::Future { .. } => {
                Remedy::Retry
            }
        }
    }

    pub(crate) fn help(&self) -> String {
        match self {
            RowHistoryRefusal::OwnColumn { column, .. } => format!("rename it: `columns: {{ source_{column}: {{ from: {column} }} }}`, or leave it out with `drop`"),
            RowHistoryRefusal::Late { is_date: true, .. } | RowHistoryRefusal::SameTime { is_date: true, .. } => "a date cannot tell two changes of one day apart: name a column of type `timestamp` in `valid_from`, or remove `valid_from`: then rows are valid from the time of the load".to_owned(),
            RowHistoryRefusal::SameTime { .. } => "name a column in `valid_from` that tells the changes of a key apart, keep one of the rows with `dedup: { by: COLUMN, keep: last }`, or remove `valid_from`: then rows are valid from the time of the load".to_owned(),
            RowHistoryRefusal::Future { .. } => "a version cannot end before it begins. The next load after that time closes it. If the time is wrong, correct it in the source; with `deletes: ignore` no row is closed because it is gone".to_owned(),
            RowHistoryRefusal::Late { .. } => "history is not changed afterwards. Leave such rows out with `where`, or remove `valid_from`: then rows are valid from the time of the load".to_owned(),
            RowHistoryRefusal::ValidFrom { column, .. } => format!("name a column of type `timestamp` or `date`; a column gets a type with `columns: {{ {column}: {{ type: timestamp }} }}`. Without `valid_from` rows are valid from the time of the load"),
            RowHistoryRefusal::NoTime { column, .. } => format!("reject such rows with `columns: {{ {column}: {{ required: true }} }}`"),
            RowHistoryRefusal::NoHistory { table, .. } => format!("write the history to a new table (`from:` names the source), or start anew: `towpath lake drop {table} --yes`, then `towpath run`; its rows are then valid from that run on"),
            RowHistoryRefusal::HoldsHistory { table, .. } => format!("write to another table, or give up the history: `towpath lake drop {table} --yes`"),
            RowHistoryRefusal::TwoCurrent { table, .. } => format!("another program may have written to it. To list the versions: `towpath lake history {table}`; to go back: `towpath lake restore {table} --to VERSION`"),
            RowHistoryRefusal::ClockBehind { .. } => "times would not be in order. Set the clock of this machine, or run again when that time has passed".to_owned(),
            RowHistoryRefusal::Track { .. } => "name columns of the table, or remove `track`: then every column is compared".to_owned(),
        }
    }
}
