//! What each code of programs means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use in `error.rs`. Read next:
//! `vocab/src/code.rs` (what an entry is).

use towpath_vocab::{CodeEntry, Remedy};

/// The codes, sorted.
pub(crate) const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R1418",
        Remedy::FixConfig,
        "An option of a program or of its table is not valid.",
        "The message names the option and what is wrong with it. `docs/how-to/programs.md` has examples.",
    ),
    CodeEntry::run(
        "R1419",
        Remedy::FixConfig,
        "A program that gives rows cannot be started.",
        "There is no such program, or this user may not start it. A path is relative to the project folder, a bare name is looked for in PATH; there is no shell.",
    ),
    CodeEntry::run(
        "R1420",
        Remedy::Retry,
        "A program that gives rows did not end well.",
        "Nothing that it printed was loaded. The message has its exit code and what it said last on its standard error.",
    ),
    CodeEntry::run(
        "R1421",
        Remedy::Retry,
        "A program that gives rows was silent for too long.",
        "It was stopped, and nothing that it printed was loaded. `timeout_s` of the connection is how long it may print nothing, on standard output or standard error; default 900.",
    ),
    CodeEntry::run(
        "R1422",
        Remedy::Retry,
        "The output of a program is cut off.",
        "The program ended well, and its output ends in the middle of a line of JSON or of an Arrow stream. Nothing was loaded. Programs that write to a pipe must flush it before they end.",
    ),
    CodeEntry::run(
        "R1423",
        Remedy::FixConfig,
        "The output of a program cannot be kept.",
        "It is kept below `.towpath/programs` until it is read: check the disk, and the permissions of the folder.",
    ),
    CodeEntry::run(
        "R1424",
        Remedy::FixConfig,
        "The cursor of a program's table cannot be used.",
        "`cursor` names a column of numbers, dates, times or texts that the program prints, and its type does not change. `lookback` has no meaning: the program decides what it gives again.",
    ),
    CodeEntry::run(
        "R1425",
        Remedy::FixConfig,
        "A program takes no query.",
        "Name a table, and give the program what it needs by `arguments`.",
    ),
    CodeEntry::run(
        "R1426",
        Remedy::FixConfig,
        "The stored position of a program's table cannot be read.",
        "Another version of Towpath wrote it. Read everything again: towpath run --full-refresh.",
    ),
    CodeEntry::run(
        "R1427",
        Remedy::Refused,
        "A program that gives rows can only be read.",
        "It takes no rows and does not list its tables: name the tables in the `load` step. A `command` step runs a program that does something else.",
    ),
];
