//! Write modes: their words, and what each needs before rows come.
//!
//! Promise: a mode that no SQL database carries out, or one without its key, is refused before anything
//! is opened. What a mode does to a table is in `statements.rs`.

use towpath_ports::{DELETE_ABSENT, WriteRequest};
use towpath_vocab::{WriteMode, WritePlan};

use super::fault::Fault;

/// The modes that every SQL database carries out.
pub(crate) const MODES: [WriteMode; 5] = [
    WriteMode::Replace,
    WriteMode::Append,
    WriteMode::Merge,
    WriteMode::DeleteInsert,
    WriteMode::InsertOnly,
];

/// A mode as the project writes it.
pub(crate) fn mode_word(mode: WriteMode) -> &'static str {
    match mode {
        WriteMode::Replace => "replace",
        WriteMode::Append => "append",
        WriteMode::Merge => "merge",
        WriteMode::DeleteInsert => "delete+insert",
        WriteMode::InsertOnly => "insert_only",
        WriteMode::Scd1 => "scd1",
        WriteMode::Scd2 => "scd2",
        WriteMode::Scd3 => "scd3",
        WriteMode::Snapshot => "snapshot",
    }
}

/// Whether a mode finds rows by key.
pub(crate) fn is_keyed(mode: WriteMode) -> bool {
    matches!(
        mode,
        WriteMode::Merge | WriteMode::DeleteInsert | WriteMode::InsertOnly
    )
}

/// Whether a merge deletes rows whose key does not come.
pub(crate) fn deletes_absent(write: &WritePlan) -> bool {
    write.mode == WriteMode::Merge && write.options.contains_key(DELETE_ABSENT)
}

/// The key as a new table's primary key: modes that keep one row per key need no other.
pub(crate) fn primary_key(intent: &WriteRequest) -> &[String] {
    match intent.write.mode {
        WriteMode::Merge | WriteMode::InsertOnly => &intent.write.key,
        _ => &[],
    }
}

/// Refuses a mode that cannot work for `table`.
pub(crate) fn check(intent: &WriteRequest, table: &str) -> Result<(), Fault> {
    let (mode, key) = (intent.write.mode, &intent.write.key);
    if !MODES.contains(&mode) {
        return Err(Fault::Mode {
            mode: mode_word(mode),
        });
    }
    if !is_keyed(mode) {
        return Ok(());
    }
    let table = || table.to_owned();
    if key.is_empty() {
        return Err(Fault::NoKey {
            table: table(),
            mode: mode_word(mode),
        });
    }
    let missing = |name: &&String| intent.schema.field_with_name(name).is_err();
    match key.iter().find(missing) {
        Some(column) => Err(Fault::KeyMissing {
            table: table(),
            column: column.clone(),
        }),
        None => Ok(()),
    }
}
