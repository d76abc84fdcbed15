//! What each code of the quarantine means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. Read next: `vocab/src/code.rs` (what an entry is).

use towpath_vocab::{CodeEntry, Remedy};

/// The codes, sorted.
pub const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R0449",
        Remedy::Refused,
        "Rejected records of a table with `write: snapshot` cannot be replayed: a snapshot is one whole read.",
        "Correct the data or the rule and run again: the next snapshot reads the record anew. Or give the records up: `towpath quarantine discard TABLE`.",
    ),
    CodeEntry::run(
        "R0971",
        Remedy::Bug,
        "The position of the last replay cannot be read.",
        "Please report the message.",
    ),
    CodeEntry::run(
        "R0972",
        Remedy::Bug,
        "A replay ended without a result.",
        "Please report the message.",
    ),
    CodeEntry::run(
        "R0973",
        Remedy::Bug,
        "The quarantine table does not have the expected columns.",
        "Please report the message.",
    ),
    CodeEntry::run(
        "R0974",
        Remedy::FixConfig,
        "No row of this table was ever rejected.",
        "`towpath quarantine ls` lists the tables with rejected rows.",
    ),
    CodeEntry::run(
        "R0975",
        Remedy::FixConfig,
        "No load of the project writes this table.",
        "Rows of models and commands cannot be replayed: run them again.",
    ),
    CodeEntry::run(
        "R0976",
        Remedy::Bug,
        "A replay produced a different number of records than it read.",
        "Nothing was committed. Please report the message.",
    ),
    CodeEntry::run(
        "R0977",
        Remedy::Bug,
        "Replayed rows cannot be combined.",
        "Nothing was committed. Please report the message.",
    ),
    CodeEntry::run(
        "R0978",
        Remedy::Bug,
        "A replay asked for a table of its rejected records.",
        "Please report the message.",
    ),
    CodeEntry::run(
        "R0979",
        Remedy::Bug,
        "The result of a replay cannot be stored.",
        "Please report the message.",
    ),
];
