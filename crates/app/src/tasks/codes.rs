//! What the codes of steps that call others, and of publishes that add rows, mean and what to do.
//!
//! Promise: as in `app/src/codes.rs`, which has the other codes of the use cases.

use towpath_vocab::{CodeEntry, Remedy};

/// The codes, sorted.
pub(crate) const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R0390",
        Remedy::Cancelled,
        "SQL or a request of a step was stopped by the user.",
        "Statements of a transaction took no effect. Whether the system did what a request asks for is not known. Run again to go on.",
    ),
    CodeEntry::run(
        "R0393",
        Remedy::FixConfig,
        "A value cannot be put into the SQL of a step.",
        "A variable is not set, or its value has a backslash, which means itself in some databases and not in others.",
    ),
    CodeEntry::run(
        "R0664",
        Remedy::FixConfig,
        "Rows that a publish with `write: append` sent have changed in the lakehouse since, or are gone.",
        "A note, not a failure: new and changed rows are added, and what was sent stays in the target, because `append` only adds rows. Give the table a `key`, and changed rows are changed and lost ones deleted; or `write: replace`.",
    ),
    CodeEntry::run(
        "R0665",
        Remedy::FixConfig,
        "Which rows a publish with `write: append` has sent is not known: the lakehouse table was made anew, restored or vacuumed.",
        "Nothing was sent, because rows could come twice. `--full-refresh` makes the target equal to the source, if only this step wrote it; or empty the target, and all rows are sent.",
    ),
];
