//! What each code of what the seams pass means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use
//! in the file that raises it. Read next: `vocab/src/code.rs` (what an entry is).

use towpath_vocab::{CodeEntry, Remedy};

/// The codes, sorted.
pub const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R0349",
        Remedy::FixConfig,
        "The connection runs no SQL of a project.",
        "Steps with `sql` run in connections of type `postgres`, `mysql` and `sqlite`: `docs/how-to/before-and-after.md`.",
    ),
    CodeEntry::run(
        "R0391",
        Remedy::FixConfig,
        "It is not known whether the SQL of a step took effect.",
        "The connection was lost while the server committed. The step is not tried again, because that could do everything twice. Look at what is there, and run again.",
    ),
    CodeEntry::run(
        "R0392",
        Remedy::FixConfig,
        "A statement of a step failed behind others that took effect.",
        "With `transaction: false`, and in MySQL behind a statement that changes a definition, nothing is taken back. The step is not tried again, because that would do the statements before it twice. Look at what is there, and run again.",
    ),
    CodeEntry::run(
        "R0713",
        Remedy::Bug,
        "The stored state of a table before its write cannot be read.",
        "Nothing was committed. Please report the message.",
    ),
    CodeEntry::run(
        "R0722",
        Remedy::Bug,
        "An operator got a stored state, but has none.",
        "Load the table again without it: towpath run --full-refresh. Please report the message.",
    ),
    CodeEntry::run(
        "R0724",
        Remedy::Bug,
        "The state of an operator cannot be stored.",
        "Nothing was committed. Please report the message.",
    ),
    CodeEntry::run(
        "R0725",
        Remedy::Refused,
        "The stored state of operators cannot be read.",
        "Another version of Towpath wrote it. Load the table again: towpath run --full-refresh.",
    ),
    CodeEntry::run(
        "R0726",
        Remedy::Refused,
        "The destination cannot keep the state of operators.",
        "Only some destinations store state with a commit. Write to the lakehouse and publish from there.",
    ),
    CodeEntry::run(
        "R0730",
        Remedy::FixConfig,
        "The connection takes no alerts.",
        "Alerts are sent to connections of type `webhook`, `slack`, `teams`, `pagerduty` or `opsgenie`: `docs/how-to/alerts.md`.",
    ),
];
