//! What each code of SQL databases means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use
//! in `fault.rs`. Read next: `vocab/src/code.rs` (what an entry is).

use towpath_vocab::{CodeEntry, Remedy};

/// The codes, sorted.
pub(crate) const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R0240",
        Remedy::Refused,
        "A later commit is already in the table.",
        "Another run was faster. You do not need to do anything.",
    ),
    CodeEntry::run(
        "R0241",
        Remedy::Retry,
        "Another attempt read the same rows and committed them.",
        "Towpath tries again from the state of the destination.",
    ),
    CodeEntry::run(
        "R0242",
        Remedy::FixData,
        "A key occurs more than once in the rows of a write by key.",
        "Choose a key that is unique, or keep one row per key: `dedup: { by: COLUMN, keep: last }`.",
    ),
    CodeEntry::run(
        "R0243",
        Remedy::FixData,
        "Rows have no value in a key column.",
        "Choose a key that is never NULL, or reject such rows with `required: true` on the key.",
    ),
    CodeEntry::run(
        "R0244",
        Remedy::FixConfig,
        "A table cannot be written in this way.",
        "The write mode has no key, its key is not among the columns of the rows, or databases do not support the mode. Name the key columns with `key:`, or use replace, append, merge, delete+insert or insert_only.",
    ),
    CodeEntry::run(
        "R0245",
        Remedy::FixConfig,
        "A column of the table cannot store the values exactly.",
        "Give the column the table's type in `columns`, change the table, or write to a new one.",
    ),
    CodeEntry::run(
        "R0246",
        Remedy::FixConfig,
        "The columns of the table differ from those of the rows.",
        "`schema_change: evolve` adds new columns, and widens types where the database can.",
    ),
    CodeEntry::run(
        "R0247",
        Remedy::FixConfig,
        "The table did not take all rows.",
        "A trigger, rule or policy of the table dropped some of them. Nothing was written. Write to a table without it, or remove it from this table.",
    ),
    CodeEntry::run(
        "R0248",
        Remedy::FixConfig,
        "A stored commit cannot be read.",
        "A newer version of Towpath may have written it: use that version, or start over with `--full-refresh`.",
    ),
    CodeEntry::run(
        "R0249",
        Remedy::Refused,
        "The connection is read-only.",
        "Set `writable: true` on the connection, in the environment that may write there.",
    ),
    CodeEntry::run(
        "R0250",
        Remedy::FixConfig,
        "A list, struct or map has no JSON text.",
        "A database without such types gets their JSON text, and a value inside has none, for instance an interval. Nothing was written. Leave the column out, or give it the type text in the table's `columns`.",
    ),
    CodeEntry::run(
        "R0251",
        Remedy::FixData,
        "Keys of the table end in blanks, and rows come with the same keys without them.",
        "The rows come from a `char(n)` column of PostgreSQL. Earlier versions of Towpath wrote the blanks that fill up such values; now they are read as PostgreSQL compares them, without these blanks. The same rows would be in the table twice, so nothing was written. Remove the blanks in the table as the message says.",
    ),
    CodeEntry::run(
        "R0252",
        Remedy::Retry,
        "Another program dropped the table, or created it again, while a write waited for it.",
        "Nothing was written. Towpath looks at the table again and tries again: a table that is gone is created with the columns of the rows, but without the permissions, indexes and views that the old one had.",
    ),
    CodeEntry::run(
        "R0253",
        Remedy::FixData,
        "Keys differ only in what the key column of the table ignores.",
        "The column's collation takes them for one key, for instance `ANNA` and `Anna`, so one of two rows would be lost. Nothing was written. Spell each key in one way, or give the column a collation that compares every character: in MariaDB `utf8mb4_nopad_bin`, in MySQL `utf8mb4_0900_bin`.",
    ),
    CodeEntry::run(
        "R0255",
        Remedy::Retry,
        "Others changed the table after it was decided which of its rows to delete.",
        "Nothing was written. Towpath looks at the table again and tries again: rows that other programs wrote are not deleted.",
    ),
];
