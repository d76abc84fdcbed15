//! What each code of SQL statements means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use
//! in the file that raises it. Read next: `vocab/src/code.rs` (what an entry is).

use towpath_vocab::CodeEntry;

/// The codes, sorted.
pub const CODES: &[CodeEntry] = &[
    CodeEntry::check(
        "M0301",
        "A query names a column that its table does not have.",
        "The known columns come from `schemas/`, from the last run, or from the models before.",
    ),
    CodeEntry::check(
        "M0302",
        "A query names a table that no load, model or command writes.",
        "",
    ),
    CodeEntry::check(
        "M0303",
        "A table needs two parts (`raw.orders`), or the query uses an alias that it does not define.",
        "",
    ),
    CodeEntry::check("M0304", "The engine has no function of this name.", ""),
    CodeEntry::check("M0305", "The SQL cannot be read at the marked place.", ""),
    CodeEntry::check(
        "M0306",
        "A model must be exactly one query.",
        "Remove a second statement, and anything that changes data.",
    ),
    CodeEntry::check(
        "M0307",
        "Two tables of the query have a column of this name.",
        "Name the table: `orders.id`.",
    ),
    CodeEntry::check(
        "M0308",
        "Types do not match: for instance, text is compared with a number.",
        "Cast one side: `cast(x as bigint)`.",
    ),
    CodeEntry::check(
        "M0309",
        "Two columns of the result have the same name.",
        "Rename one with `as`.",
    ),
    CodeEntry::check(
        "M0310",
        "The query breaks a rule of SQL; the message says which.",
        "",
    ),
    CodeEntry::check(
        "M0311",
        "The engine does not support this SQL construct.",
        "",
    ),
    CodeEntry::check(
        "M0312",
        "The function is not supported, because it would behave differently from PostgreSQL.",
        "The message names one to use in its place, where there is one.",
    ),
    CodeEntry::check(
        "M0313",
        "A statement nests too deeply.",
        "Planning goes as deep as the statement: queries in queries, chains of CTEs, set operations, joins and expressions. Build a part of it as a table of its own (`materialized: table`), and read that.",
    ),
];
