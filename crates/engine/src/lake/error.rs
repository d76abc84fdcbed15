//! The errors of the lakehouse, and who must do what about each.
//!
//! Promise: each variant has one stable code (`R04xx`), one remedy and a help line. Messages name tables, columns
//! and files, never values, except the key that a merge cannot decide about. Read next: `error_help.rs` (longer
//! helps), `row_history_refusal.rs`.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use towpath_vocab::{Failure, Remedy};

use super::cause::{DENIED, brief, has_io};
use super::error_help::{
    FULL, REFRESH, RIGHTS, after, at_version, blanks, or_killed, ways_around, ways_out,
    ways_past_blanks,
};
use super::mask_change::MaskChange;
use super::row_history_refusal::RowHistoryRefusal;

/// A failure of the lakehouse.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// A type that is not in the table of types.
    #[error("column `{column}` has type `{found}`, which a lakehouse table cannot store")]
    UnknownType {
        /// The column.
        column: String,
        /// Its Arrow type.
        found: String,
    },
    /// A value that would change on its way into the table's type.
    #[error("column `{column}` holds a value that does not fit `{target}` exactly: {why}")]
    NotExact {
        /// The column.
        column: String,
        /// The type of the table's column.
        target: String,
        /// What did not fit.
        why: String,
    },
    /// A type change that neither fits nor widens.
    #[error("column `{column}` of `{table}` is `{old}` and the new rows have `{new}`")]
    TypeConflict {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The type in the table.
        old: String,
        /// The type that came.
        new: String,
    },
    /// A change that `schema_change` stops.
    #[error("the columns of `{table}` changed: {change}")]
    SchemaChanged {
        /// The table.
        table: String,
        /// What changed.
        change: String,
    },
    /// A column that no longer comes, whose values a merge would empty.
    #[error(
        "the source no longer has the column `{column}` of `{table}`, and {} would lose its value",
        match rows {
            1 => "1 row of the table".to_owned(),
            rows => format!("{rows} rows of the table"),
        }
    )]
    Emptied {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        data_type: String,
        /// Rows of the table that come again and hold a value of it.
        rows: u64,
    },
    /// Two columns whose names differ only in case, or an empty name.
    #[error("`{table}` cannot have the columns {names}: {why}")]
    ColumnNames {
        /// The table.
        table: String,
        /// The names.
        names: String,
        /// Why not.
        why: String,
    },
    /// Two incoming rows with one key.
    #[error("the key {key} occurs more than once for `{table}`")]
    DuplicateKey {
        /// The table.
        table: String,
        /// The key, as `column = value`.
        key: String,
    },
    /// A NULL in a key column.
    #[error("key column `{column}` of `{table}` is NULL in an incoming row")]
    NullKey {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A write that needs a key without one, or with a column that does not exist.
    #[error("`{table}` cannot be written this way: {why}")]
    Key {
        /// The table.
        table: String,
        /// What is wrong with the key.
        why: String,
    },
    /// A write mode of a later version.
    #[error("write mode `{mode}` of `{table}` is not supported in this version")]
    Inactive {
        /// The table.
        table: String,
        /// The mode.
        mode: String,
    },
    /// Another writer was faster.
    #[error("`{table}` was changed by another writer while this write was prepared")]
    Conflict {
        /// The table.
        table: String,
    },
    /// The log could not be asked whether an entry is in it.
    #[error("it is not known whether the commit to `{table}` was made: {source}")]
    Unsettled {
        /// The table.
        table: String,
        /// Why the log did not answer.
        source: Box<LakeError>,
    },
    /// The task's commits went on without this write.
    #[error(
        "another process has committed to `{table}` meanwhile: it holds generation {committed} of this task, and generation {ours} was read after another one"
    )]
    Superseded {
        /// The table.
        table: String,
        /// The generation the table holds, 0 for none.
        committed: i64,
        /// The generation that was to be committed.
        ours: i64,
    },
    /// A file with more or fewer rows than the log says.
    #[error("`{address}` gave {read} rows and the log says {expected}")]
    Rows {
        /// The file.
        address: String,
        /// Rows it gave.
        read: u64,
        /// Rows it should have.
        expected: u64,
    },
    /// A table with Delta features this version does not handle.
    #[error("`{table}` uses `{feature}`, which this version cannot read or write")]
    Foreign {
        /// The table.
        table: String,
        /// The Delta feature.
        feature: String,
    },
    /// The log says a generation was committed, its position file is gone.
    #[error(
        "`{table}` holds generation {generation} of this task, but its position file is missing"
    )]
    PositionMissing {
        /// The table.
        table: String,
        /// The generation.
        generation: i64,
    },
    /// A stored file of ours that cannot be understood.
    #[error("`{address}` cannot be read: {why}")]
    Stored {
        /// The file.
        address: String,
        /// Why.
        why: String,
    },
    /// Nothing of that name.
    #[error("the lakehouse has no {what} `{name}`")]
    Missing {
        /// `table` or `view`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A view cannot take a table's place.
    #[error("`{table}` is a table; a view cannot take its place")]
    Occupied {
        /// The table.
        table: String,
    },
    /// A version that cannot be brought back.
    #[error("version {version} of `{table}` cannot be restored: {why}")]
    Gone {
        /// The table.
        table: String,
        /// The version.
        version: u64,
        /// Why not.
        why: String,
    },
    /// A table that is being restored, compacted, vacuumed or dropped.
    #[error("another `towpath lake` command is working on `{table}`{}", or_killed(*dead_after))]
    UnderMaintenance {
        /// The table.
        table: String,
        /// For how long a command that was killed seems to go on.
        dead_after: Option<Duration>,
    },
    /// A dropped table whose log cannot be deleted yet.
    #[error(
        "`{table}` was dropped while a write of it was on its way: a commit of that write may still arrive"
    )]
    Leaving {
        /// The table.
        table: String,
        /// After which time a writer that was killed counts as dead.
        dead_after: Option<Duration>,
    },
    /// A checkpoint that is not whole, in a log that needs it.
    #[error(
        "the checkpoint `{address}` is damaged, and the log of `{table}` cannot be read without it"
    )]
    Torn {
        /// The table.
        table: String,
        /// The checkpoint.
        address: String,
    },
    /// A file of the log that is missing or damaged.
    #[error("the log of `{table}` is damaged: `{address}` of version {version} {why}")]
    Damaged {
        /// The table.
        table: String,
        /// The file.
        address: String,
        /// The version it belongs to.
        version: u64,
        /// What is wrong with it.
        why: String,
        /// The last version that can still be read.
        last_good: Option<u64>,
    },
    /// A data file that the log names and that cannot be read.
    #[error("a data file of `{table}`{} {why}: `{address}`", at_version(*version))]
    DataFile {
        /// The table.
        table: String,
        /// The version it was read at.
        version: Option<u64>,
        /// The file.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// A data file that cannot be reached now.
    #[error("reading `{address}` failed: {why}")]
    OutOfReach {
        /// The file.
        address: String,
        /// Why.
        why: String,
        /// What can be done about it.
        way: Option<&'static str>,
    },
    /// A location this version cannot open.
    #[error("`{location}` is not a lakehouse that this version can open")]
    Location {
        /// The location, without credentials.
        location: String,
    },
    /// Settings of a store that cannot be obeyed.
    #[error("`{location}` cannot be used: {why}")]
    Access {
        /// The location or the setting, without credentials.
        location: String,
        /// Why.
        why: String,
        /// What to do about it.
        way: &'static str,
    },
    /// A store that does not obey the conditions of a put.
    #[error("the store at `{address}` {what}, so two writers could overwrite each other's commits")]
    Unconditional {
        /// The lakehouse.
        address: String,
        /// What it does.
        what: &'static str,
    },
    /// The file system refused.
    #[error("{doing} `{path}` failed: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The storage refused.
    #[error("{doing} `{address}` failed: {}", brief(source))]
    Storage {
        /// What was tried.
        doing: &'static str,
        /// Where the object is, or would be.
        address: String,
        /// Why.
        source: object_store::Error,
    },
    /// Others may have taken this writer for dead.
    #[error(
        "this writer of `{table}` could not reach the storage for so long that other writers may delete its files"
    )]
    LeaseLost {
        /// The table.
        table: String,
    },
    /// Rows come by a key without the blanks that the table has in it.
    #[error("the key column `{column}` of `{table}` {}", blanks(*length))]
    KeyBlanks {
        /// The table.
        table: String,
        /// The key column.
        column: String,
        /// How long a value with blanks is; `None` where they cannot be seen.
        length: Option<usize>,
    },
    /// Rows come by a key that is masked otherwise than in the table.
    #[error("the key column `{column}` of `{table}` {}: the same rows would be in the table twice", change.words())]
    KeyMask {
        /// The table.
        table: String,
        /// The key column.
        column: String,
        /// The difference.
        change: MaskChange,
    },
    /// The Delta library refused.
    #[error("{doing} `{table}` failed: {}", brief(source))]
    Delta {
        /// What was tried.
        doing: &'static str,
        /// The table.
        table: String,
        /// Why.
        source: Box<deltalake_core::DeltaTableError>,
    },
    /// A data file could not be read.
    #[error("reading `{address}` failed: {}", brief(source))]
    Parquet {
        /// The file.
        address: String,
        /// Why.
        source: parquet::errors::ParquetError,
    },
    /// Arrow refused; a mistake of ours.
    #[error("{doing} failed: {}", brief(source))]
    Arrow {
        /// What was tried.
        doing: &'static str,
        /// Why.
        source: arrow_schema::ArrowError,
    },
    /// A history that is not written, or must not be destroyed.
    #[error(transparent)]
    History(#[from] RowHistoryRefusal),
    /// Called in a way the port does not allow.
    #[error("{0}")]
    Misuse(&'static str),
    /// A blocking task was torn down.
    #[error("a background task was stopped")]
    Stopped,
}

impl LakeError {
    fn code(&self) -> &'static str {
        match self {
            LakeError::UnknownType { .. } => "R0401",
            LakeError::NotExact { .. } => "R0402",
            LakeError::TypeConflict { .. } => "R0403",
            LakeError::SchemaChanged { .. } => "R0404",
            LakeError::ColumnNames { .. } => "R0405",
            LakeError::DuplicateKey { .. } => "R0406",
            LakeError::NullKey { .. } => "R0407",
            LakeError::Key { .. } => "R0408",
            LakeError::Inactive { .. } => "R0409",
            LakeError::Conflict { .. } => "R0410",
            LakeError::Foreign { .. } => "R0411",
            LakeError::PositionMissing { .. } => "R0412",
            LakeError::Stored { .. } => "R0413",
            LakeError::Missing { .. } => "R0414",
            LakeError::Location { .. } => "R0415",
            LakeError::Access { .. } => "R0460",
            LakeError::Unconditional { .. } => "R0461",
            LakeError::Io { .. } | LakeError::Storage { .. } => "R0416",
            LakeError::Delta { .. } => "R0417",
            LakeError::Parquet { .. } => "R0418",
            LakeError::Arrow { .. } | LakeError::Misuse(_) => "R0419",
            LakeError::Stopped => "R0420",
            LakeError::Occupied { .. } => "R0423",
            LakeError::Superseded { .. } => "R0424",
            LakeError::Rows { .. } => "R0425",
            LakeError::Torn { .. } => "R0426",
            LakeError::Gone { .. } => "R0427",
            LakeError::UnderMaintenance { .. } => "R0428",
            LakeError::Leaving { .. } => "R0462",
            LakeError::Unsettled { .. } => "R0429",
            LakeError::Emptied { .. } => "R0430",
            LakeError::Damaged { .. } => "R0431",
            LakeError::DataFile { .. } => "R0432",
            LakeError::OutOfReach { .. } => "R0434",
            LakeError::LeaseLost { .. } => "R0433",
            LakeError::KeyBlanks { .. } => "R0435",
            LakeError::KeyMask { .. } => "R0436",
            LakeError::History(refusal) => refusal.code(),
        }
    }

    fn remedy(&self) -> Remedy {
        match self {
            LakeError::UnknownType { .. }
            | LakeError::TypeConflict { .. }
            | LakeError::SchemaChanged { .. }
            | LakeError::Emptied { .. }
            | LakeError::ColumnNames { .. }
            | LakeError::Key { .. }
            | LakeError::KeyBlanks { .. }
            | LakeError::KeyMask { .. }
            | LakeError::Missing { .. }
            | LakeError::Gone { .. }
            | LakeError::Access { .. }
            | LakeError::Unconditional { .. }
            | LakeError::Location { .. } => Remedy::FixConfig,
            LakeError::NotExact { .. }
            | LakeError::DuplicateKey { .. }
            | LakeError::NullKey { .. }
            | LakeError::Rows { .. }
            | LakeError::Parquet { .. } => Remedy::FixData,
            LakeError::Inactive { .. }
            | LakeError::Foreign { .. }
            | LakeError::Occupied { .. }
            | LakeError::UnderMaintenance {
                dead_after: None, ..
            }
            | LakeError::Torn { .. }
            | LakeError::Damaged { .. }
            | LakeError::DataFile { .. }
            | LakeError::PositionMissing { .. }
            | LakeError::Stored { .. } => Remedy::Refused,
            LakeError::Delta { source, .. } if has_io(source, DENIED) => Remedy::FixConfig,
            LakeError::Io { source, .. } if DENIED.contains(&source.kind()) => Remedy::FixConfig,
            LakeError::Storage { source, .. } if has_io(source, DENIED) => Remedy::FixConfig,
            LakeError::Storage { source, .. } if towpath_buckets::way_out(source).is_some() => {
                Remedy::FixConfig
            }
            LakeError::Delta { source, .. } if towpath_buckets::way_out(source).is_some() => {
                Remedy::FixConfig
            }
            LakeError::OutOfReach { way: Some(_), .. } => Remedy::FixConfig,
            LakeError::Conflict { .. }
            | LakeError::UnderMaintenance { .. }
            | LakeError::Leaving { .. }
            | LakeError::Superseded { .. }
            | LakeError::Unsettled { .. }
            | LakeError::Delta { .. }
            | LakeError::Io { .. }
            | LakeError::Storage { .. }
            | LakeError::OutOfReach { .. }
            | LakeError::LeaseLost { .. }
            | LakeError::Stopped => Remedy::Retry,
            LakeError::Arrow { .. } | LakeError::Misuse(_) => Remedy::Bug,
            LakeError::History(refusal) => refusal.remedy(),
        }
    }

    fn help(&self) -> Option<String> {
        let text = match self {
            LakeError::UnknownType { column, .. } => format!("give it a different type: `columns: {{ {column}: {{ type: text }} }}`"),
            LakeError::NotExact { column, .. } => format!("declare a type that holds every value, for example `columns: {{ {column}: {{ type: text }} }}`"),
            LakeError::TypeConflict { column, old, .. } => {
                format!("to keep all rows: declare `columns: {{ {column}: {{ type: text }} }}`, and the rows of the table are rewritten as text in the same commit; or declare the old type (`type: \"{old}\"`), and values that do not fit it are quarantined. `--full-refresh` replaces the table: rows that the source no longer has are then lost")
            }
            LakeError::SchemaChanged { .. } => "set `schema_change: evolve` to accept the change and keep all rows; `--full-refresh` replaces the table: rows that the source no longer has are then lost".to_owned(),
            LakeError::Emptied { column, data_type, .. } => format!("nothing was changed. To write NULL into it from now on: `columns: {{ {column}: {{ set: \"null\", type: \"{data_type}\" }} }}` (in a model: `cast(null as {data_type}) as {column}`); to remove it: rewrite the table once with `--full-refresh`"),
            LakeError::ColumnNames { .. } => "rename a column with `from`, or leave one out with `drop`".to_owned(),
            LakeError::DuplicateKey { .. } => "choose a key that is unique, or keep one row per key with `dedup: { by: COLUMN, keep: last }`".to_owned(),
            LakeError::NullKey { column, .. } => format!("reject such rows with `columns: {{ {column}: {{ required: true }} }}`, or choose a different key"),
            LakeError::Key { .. } => "set `key:` to columns of the table, or choose `write: append` or `write: replace`".to_owned(),
            LakeError::History(refusal) => refusal.help(),
            LakeError::Inactive { .. } => "use `replace`, `append`, `merge`, `delete+insert`, `insert_only`, `scd2` or `snapshot`".to_owned(),
            LakeError::Conflict { .. } => "nothing was changed; the next attempt starts from the new version".to_owned(),
            LakeError::Superseded { .. } => "nothing of this write is visible; the next attempt continues where the other one stopped".to_owned(),
            LakeError::Unsettled { .. } => "nothing was deleted; the next attempt finds out whether the commit was made, and continues from it if so".to_owned(),
            LakeError::Foreign { .. } => "write it to another table, or rewrite that table without the feature".to_owned(),
            LakeError::PositionMissing { .. } => "restore `_towpath` next to the table from a backup, or load the table again with `--full-refresh`".to_owned(),
            LakeError::Stored { .. } => "a newer version of Towpath may have written it; use that version".to_owned(),
            LakeError::Occupied { table } => format!("drop the table first: `towpath lake drop {table} --yes`, or keep it with `materialized: table`"),
            LakeError::Gone { table, .. } => format!("to list the versions: `towpath lake history {table}`; files of old versions stay until `lake vacuum` deletes them"),
            LakeError::UnderMaintenance { .. } => "nothing was changed; run the command again when the other one has ended".to_owned(),
            LakeError::Leaving { dead_after, .. } => format!("nothing was changed; run it again{}", after(*dead_after)),
            LakeError::Torn { address, .. } => format!("restore `{address}` from a backup, or drop the table and load it again"),
            LakeError::Location { .. } => "use a folder (`lakehouse: ./lake`) or a bucket (`lakehouse: s3://BUCKET/PREFIX`, `gs://…` or `az://…`)".to_owned(),
            LakeError::Access { way, .. } => (*way).to_owned(),
            LakeError::Unconditional { .. } => "use a store with conditional writes (If-None-Match and If-Match), as Amazon S3 has them, or a folder".to_owned(),
            LakeError::Parquet { .. } | LakeError::Rows { .. } => "the file is damaged or missing; restore it, or load the table again with `--full-refresh`".to_owned(),
            LakeError::Io { source, .. } if source.kind() == ErrorKind::StorageFull => FULL.to_owned(),
            LakeError::Delta { source, .. } if has_io(source, &[ErrorKind::StorageFull]) => FULL.to_owned(),
            LakeError::Storage { source, .. } if has_io(source, &[ErrorKind::StorageFull]) => FULL.to_owned(),
            LakeError::Storage { source, .. } if has_io(source, DENIED) => RIGHTS.to_owned(),
            LakeError::Storage { source, .. } => return towpath_buckets::way_out(source).map(str::to_owned),
            LakeError::OutOfReach { way, .. } => return way.map(str::to_owned),
            LakeError::LeaseLost { .. } => "nothing of this write is visible; the next attempt writes it again".to_owned(),
            LakeError::Io { source, .. } if DENIED.contains(&source.kind()) => RIGHTS.to_owned(),
            LakeError::Delta { source, .. } if has_io(source, DENIED) => RIGHTS.to_owned(),
            LakeError::Delta { source, .. } => return towpath_buckets::way_out(source).map(str::to_owned),
            _ => return None,
        };
        Some(text)
    }
}

impl From<LakeError> for Failure {
    fn from(error: LakeError) -> Self {
        let failure =
            Failure::new(error.code(), error.remedy(), error.to_string()).caused_by(&error);
        let ways = match &error {
            LakeError::Damaged {
                table,
                address,
                last_good,
                ..
            } => ways_out(table, address, *last_good),
            LakeError::DataFile { table, address, .. } => ways_around(table, address),
            LakeError::KeyBlanks { column, length, .. } => ways_past_blanks(column, *length),
            LakeError::KeyMask { change, .. } => change.ways_out(REFRESH),
            LakeError::Unsettled { source, .. } => {
                error.help().into_iter().chain(source.help()).collect()
            }
            other => other.help().into_iter().collect(),
        };
        ways.into_iter().fold(failure, Failure::help)
    }
}

/// True when the entry may be in the log, so that nothing it names may be deleted.
pub(crate) fn is_unsettled(error: &LakeError) -> bool {
    matches!(error, LakeError::Unsettled { .. })
}

/// What functions of this folder give back.
pub(crate) type LakeResult<T> = std::result::Result<T, LakeError>;
