//! What each code of the command line means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use
//! in the file that raises it. Read next: `vocab/src/code.rs` (what an entry is).

use towpath_vocab::{CodeEntry, Remedy};

/// The tables of the crates above `app`.
pub(crate) const FRONT: &[&[CodeEntry]] = &[CODES, towpath_server::CODES];

/// The codes, sorted.
const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R0929",
        Remedy::FixConfig,
        "`query --sample` was called outside a project.",
        "In a project, `towpath run --limit N` builds a sample and `towpath query --sample` reads it.",
    ),
    CodeEntry::run(
        "R0939",
        Remedy::Cancelled,
        "A copy was stopped by the user.",
        "No row of it is visible. Run the same command to start again. A load in a pipeline with a `cursor` continues where it stopped.",
    ),
    CodeEntry::run(
        "R0947",
        Remedy::FixData,
        "A value cannot be shown.",
        "It is outside the range that can be displayed, for example a date after the end of the calendar. Leave the column out, or look at the number behind it: `arrow_cast(x, 'Int64')`.",
    ),
    CodeEntry::run(
        "R0990",
        Remedy::FixConfig,
        "The command needs a project without mistakes.",
        "`towpath check` lists every mistake with its location and what to do. Commands that only read do not need this.",
    ),
    CodeEntry::run(
        "R0991",
        Remedy::FixConfig,
        "There is no such code.",
        "A code is a letter and four digits. A message shows it in brackets after `error`: `towpath check --explain R0507`. All codes: docs/reference/codes.md.",
    ),
    CodeEntry::run(
        "R0992",
        Remedy::FixConfig,
        "The value of `--fail-above` or `--delete-above` is not a limit.",
        "It is a number of rows or a percentage: `--fail-above raw.weather=6%`; for `copy`: `--fail-above 100`.",
    ),
    CodeEntry::run(
        "R0993",
        Remedy::Bug,
        "A report cannot be written as JSON.",
        "Please report the message.",
    ),
    CodeEntry::run(
        "R0995",
        Remedy::FixConfig,
        "Standard output cannot be written.",
        "The disk is full, or the program that reads the output has failed. The command itself has done its work.",
    ),
    CodeEntry::run(
        "R0996",
        Remedy::FixConfig,
        "A table name does not have two parts.",
        "A table of the lakehouse is named with its schema: `raw.orders`.",
    ),
    CodeEntry::run(
        "R0997",
        Remedy::FixConfig,
        "The current folder cannot be determined.",
        "It was deleted or may not be read. Go to another folder: `cd`.",
    ),
    CodeEntry::run(
        "R0998",
        Remedy::FixConfig,
        "The value of `--memory` is not an amount of memory.",
        "Write 16MB or more: `--memory 256MB`, `--memory 4GB`.",
    ),
    CodeEntry::run(
        "R0999",
        Remedy::Refused,
        "Ctrl-C and TERM cannot be handled.",
        "The operating system refused it, so the command was not started. Run again.",
    ),
    CodeEntry::run(
        "R1133",
        Remedy::FixConfig,
        "`towpath serve --listen none` was given options of the HTTP API.",
        "Leave out `--allow-host` and `--login-link`, or let the server listen: `--listen 127.0.0.1:7450`.",
    ),
];
