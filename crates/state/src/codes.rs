//! What each code of the state store means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use
//! in `error.rs`. Read next: `vocab/src/code.rs` (what an entry is).

use towpath_vocab::{CodeEntry, Remedy};

/// The codes, sorted.
pub const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R0680",
        Remedy::FixConfig,
        "The URL under `state` cannot be read.",
        "`state` is a `postgres://user@host/database` URL or the path of a file. Options of the URL: sslmode (disable, prefer, require, verify-full), sslrootcert, schema, and the options of PostgreSQL's own URLs.",
    ),
    CodeEntry::run(
        "R0681",
        Remedy::FixConfig,
        "There is no encrypted connection to the state store.",
        "The server does not support encryption, or its certificate is not accepted. Give `sslrootcert=FILE`, or `sslmode=disable` inside a trusted network.",
    ),
    CodeEntry::run(
        "R0682",
        Remedy::FixConfig,
        "The state store belongs to a different project.",
        "Runs of two projects would be mixed. Give each project its own schema: `?schema=NAME` in the URL under `state`.",
    ),
    CodeEntry::run(
        "R0683",
        Remedy::Retry,
        "The state store was lost while a change was written.",
        "It is not known whether the change was stored. Run again: an interrupted run continues where it stopped.",
    ),
    CodeEntry::run(
        "R0684",
        Remedy::FixConfig,
        "The state store refused the login.",
        "The user, the password or the database in the URL under `state` is wrong.",
    ),
    CodeEntry::run(
        "R0685",
        Remedy::Retry,
        "The state store cannot be reached.",
        "Towpath tried for a minute. Start the server, or check host and port in the URL under `state`; then run again.",
    ),
    CodeEntry::run(
        "R0686",
        Remedy::FixConfig,
        "The user of the state store does not have the necessary permissions.",
        "Towpath creates a schema and tables in it. GRANT CREATE ON DATABASE to the user, or create the schema and make the user its owner.",
    ),
    CodeEntry::run(
        "R0687",
        Remedy::FixConfig,
        "The state store is read-only.",
        "The URL under `state` names a standby. Name the primary server.",
    ),
    CodeEntry::run(
        "R0688",
        Remedy::FixConfig,
        "A task needs a pool that is not declared.",
        "Declare the pool, or remove its name from the step.",
    ),
    CodeEntry::run(
        "R0801",
        Remedy::Refused,
        "The state store was written by a newer Towpath.",
        "The file was not changed. Use the version of Towpath that wrote it, or move the file away: then only the history of runs is lost, and no row of data is lost or duplicated.",
    ),
    CodeEntry::run(
        "R0802",
        Remedy::FixConfig,
        "The file of the state store belongs to another program.",
        "It is a SQLite file, but not one of Towpath. Move it away, or choose a different path for the state.",
    ),
    CodeEntry::run(
        "R0803",
        Remedy::FixConfig,
        "The state store is damaged.",
        "Restore `.towpath/ENVIRONMENT.db` from a backup, or move it away: then only the history of runs is lost, and no row of data is lost or duplicated.",
    ),
    CodeEntry::run(
        "R0804",
        Remedy::FixConfig,
        "The folder of the state store does not exist.",
        "Create the folder, or choose a different path for the state.",
    ),
    CodeEntry::run(
        "R0805",
        Remedy::FixConfig,
        "The state store cannot be opened for writing.",
        "Allow this user to write the file and its folder, or choose a different path for the state.",
    ),
    CodeEntry::run(
        "R0806",
        Remedy::FixConfig,
        "The disk under the state store is full.",
        "Free some space, then run again: an interrupted run continues where it stopped.",
    ),
    CodeEntry::run(
        "R0807",
        Remedy::Retry,
        "The state store stayed locked by another process.",
        "Run again. If it stays locked, look for a program that has the file open, such as a SQLite browser.",
    ),
    CodeEntry::run(
        "R0808",
        Remedy::Refused,
        "The state store has no run of this name.",
        "`towpath runs` lists the runs it has. Each environment has a state store of its own: `--env NAME`.",
    ),
    CodeEntry::run(
        "R0809",
        Remedy::Refused,
        "A run was taken over by another process.",
        "The process that had it did not renew its lease. `towpath runs` shows the state of the run.",
    ),
    CodeEntry::run(
        "R0810",
        Remedy::Bug,
        "Something in the state store cannot be read.",
        "If the file was edited by hand, undo that, or move it away: then only the history of runs is lost. Otherwise please report the message.",
    ),
    CodeEntry::run(
        "R0811",
        Remedy::Bug,
        "The writer of the state store has stopped.",
        "Run again: an interrupted run continues where it stopped. Please report the message.",
    ),
    CodeEntry::run(
        "R0812",
        Remedy::FixConfig,
        "The disk under the state store failed.",
        "Check the disk, then run again: an interrupted run continues where it stopped.",
    ),
    CodeEntry::run(
        "R0813",
        Remedy::Refused,
        "The state store has no backfill of this number.",
        "`towpath backfill ls` lists the backfills it has. Each environment has its own: `--env NAME`.",
    ),
    CodeEntry::run(
        "R0814",
        Remedy::Refused,
        "Five processes in a row have died while they had this run, without a task having ended well in between.",
        "`towpath serve` does not begin it once more and goes on with what comes next. Find out what ends the \
         processes (too little memory, a crash, a signal), then `towpath rerun PIPELINE#NUMBER`.",
    ),
];
