//! What each code of SQLite means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use
//! in `error.rs`. Read next: `vocab/src/code.rs` (what an entry is).

use towpath_vocab::{CodeEntry, Remedy};

/// The codes, sorted.
pub(crate) const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R0301",
        Remedy::FixConfig,
        "An option of a `sqlite` connection is missing or not valid.",
        "`path` is the file, relative to the project folder:\n\n  connections: { shop: { type: sqlite, path: shop.db } }",
    ),
    CodeEntry::run(
        "R0302",
        Remedy::Retry,
        "Another process has locked the SQLite file.",
        "Towpath tries again. `busy_timeout_ms` sets how long to wait; with WAL mode, readers and one writer can work at once.",
    ),
    CodeEntry::run(
        "R0303",
        Remedy::FixConfig,
        "The SQLite file cannot be opened.",
        "Check the `path`, and that this user may read and write the file and its folder. A `writable: true` connection creates it at its first write.",
    ),
    CodeEntry::run(
        "R0304",
        Remedy::FixConfig,
        "There is no such table in the SQLite file.",
        "Correct the name; the message lists the tables.",
    ),
    CodeEntry::run(
        "R0305",
        Remedy::FixConfig,
        "A column is missing, or two columns have one name.",
        "Correct the name, or give one of them a different name: select … as ….",
    ),
    CodeEntry::run(
        "R0306",
        Remedy::FixConfig,
        "SQLite rejected a query.",
        "The message contains SQLite's error.",
    ),
    CodeEntry::run(
        "R0308",
        Remedy::FixConfig,
        "SQLite cannot store a column exactly.",
        "Write to a new table, or convert the column to text or numbers first.",
    ),
    CodeEntry::run(
        "R0312",
        Remedy::FixConfig,
        "The disk is full.",
        "Free some space and run again. Nothing was changed.",
    ),
    CodeEntry::run(
        "R0313",
        Remedy::FixData,
        "A constraint of the target refuses the rows.",
        "A rule, check or trigger of the table refused them. Nothing was changed. Correct the rows, or the constraint.",
    ),
    CodeEntry::run(
        "R0314",
        Remedy::FixData,
        "SQLite reported an error.",
        "The message contains SQLite's error. A damaged file can be examined with `pragma integrity_check`.",
    ),
    CodeEntry::run(
        "R0315",
        Remedy::FixConfig,
        "The stored position of a table cannot be used.",
        "Read everything again: towpath run --full-refresh.",
    ),
    CodeEntry::run(
        "R0316",
        Remedy::FixConfig,
        "A column cannot be a cursor.",
        "A cursor is a column of dates, timestamps, numbers or text whose values only grow.",
    ),
    CodeEntry::run(
        "R0319",
        Remedy::Bug,
        "Rows of SQLite could not be put into columns.",
        "This should not happen. Nothing was committed. Please report the message.",
    ),
    CodeEntry::run(
        "R0320",
        Remedy::FixConfig,
        "New rows cannot be distinguished from rows that were read before.",
        "Give the cursor a `lookback` and write by a `key`, or start over with `--full-refresh`.",
    ),
    CodeEntry::run(
        "R0321",
        Remedy::FixConfig,
        "The unfinished write of a killed process to a SQLite file cannot be rolled back.",
        "A process died while it wrote the file. SQLite rolls such a write back as soon as a user who may write the file opens it. Give the user who runs Towpath permission to write the file and its folder, or open it once as a user who may: `sqlite3 FILE 'SELECT 1'`.",
    ),
    CodeEntry::run(
        "R0322",
        Remedy::Retry,
        "SQLite failed because of a hardware or system problem.",
        "The disk, the memory or a lock failed. Towpath tries again. If the error stays, check the disk and the memory of this machine.",
    ),
    CodeEntry::run(
        "R0323",
        Remedy::FixData,
        "A SQLite file is damaged.",
        "Restore it from a backup, or save what can be read: `sqlite3 FILE .recover | sqlite3 NEW`.",
    ),
    CodeEntry::run(
        "R0324",
        Remedy::Refused,
        "Deleting or updating rows would change rows of other tables.",
        "A foreign key of a table of the file has ON DELETE or ON UPDATE with CASCADE, SET NULL or SET DEFAULT. Nothing was written. Use a write mode that deletes nothing, leave the column out that the key refers to, or drop that action.",
    ),
];
