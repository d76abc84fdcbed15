//! What each code of moving rows means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use
//! in the file that raises it. Read next: `vocab/src/code.rs` (what an entry is).

use towpath_vocab::{CodeEntry, Remedy};

/// The codes, sorted.
pub const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R0601",
        Remedy::Bug,
        "A part of a read ended before it was complete.",
        "A source must say where each of its parts ends. Nothing of it was committed. Run again, and please report the message.",
    ),
    CodeEntry::run(
        "R0602",
        Remedy::Bug,
        "An operation on a column refused its input.",
        "The types were checked before, so this should not happen. Nothing was committed. Please report the message.",
    ),
    CodeEntry::run(
        "R0603",
        Remedy::Bug,
        "The writer task stopped without a result.",
        "Nothing was committed. Run again, and please report the message.",
    ),
    CodeEntry::run(
        "R0605",
        Remedy::Bug,
        "A source gave rows for a table that was not requested.",
        "Nothing was committed. Please report the message.",
    ),
    CodeEntry::run(
        "R0606",
        Remedy::Bug,
        "A source gave rows of a table before its columns.",
        "Nothing was committed. Please report the message.",
    ),
    CodeEntry::run(
        "R0607",
        Remedy::Cancelled,
        "A load was stopped by the user.",
        "No row of it is visible. Run again to continue.",
    ),
    CodeEntry::run(
        "R0608",
        Remedy::Retry,
        "Another process took over a part of the read.",
        "The read continues from the last commit: run again.",
    ),
    CodeEntry::run(
        "R0609",
        Remedy::Refused,
        "A source table was truncated while its changes were read.",
        "Towpath does not apply a truncation automatically. Load the table again: towpath run --full-refresh.",
    ),
    CodeEntry::run(
        "R0610",
        Remedy::FixConfig,
        "A rule or a setting names a column that the rows do not have.",
        "The message lists the columns. Correct the name, or remove the setting. `towpath connection discover NAME --write` tells `check` about the source, so that it finds this before a run.",
    ),
    CodeEntry::run(
        "R0611",
        Remedy::FixConfig,
        "A bound of a rule does not fit the type of its column.",
        "For a column of dates, for instance, `min` must be a date: `min: 2020-01-31`.",
    ),
    CodeEntry::run(
        "R0612",
        Remedy::FixConfig,
        "The expression of a rule does not give true or false.",
        "Write a condition: `total >= 0`, not `total`.",
    ),
    CodeEntry::run(
        "R0613",
        Remedy::FixConfig,
        "A pattern is not a valid regular expression.",
        "The message says where. Write patterns in single quotes, which have no escapes:\n\n  pattern: '^[^@\\s]+@[^@\\s]+$'",
    ),
    CodeEntry::run(
        "R0614",
        Remedy::FixConfig,
        "A rule about text is set on a column of a different type.",
        "`pattern` and `length` need text. Declare the column as `text`, or use `min`, `max` or `in`.",
    ),
    CodeEntry::run(
        "R0615",
        Remedy::FixConfig,
        "The key of `mask: hash` cannot be used.",
        "Set the secret that `mask_key` in towpath.yml names to a long random text.",
    ),
    CodeEntry::run(
        "R0616",
        Remedy::FixConfig,
        "The `where` of a load does not give true or false.",
        "Write a condition: `status = 'paid'`.",
    ),
    CodeEntry::run(
        "R0617",
        Remedy::FixConfig,
        "A column cannot be converted to its declared type.",
        "No value of the one type can be converted to the other. Declare a different type, or convert with `set`:\n\n  columns: { total: { set: \"cast(total as text)\" } }",
    ),
    CodeEntry::run(
        "R0618",
        Remedy::FixConfig,
        "Two source columns get the same name.",
        "Names are converted to lower case, and other characters to `_`, so `Order ID` and `order_id` get the same name. Give one of them a different name with `from`, or leave it out with `drop`.",
    ),
    CodeEntry::run(
        "R0619",
        Remedy::FixConfig,
        "A declared type is not a valid type.",
        "The types are listed in the documentation of project files: text, integer, bigint, double, decimal(p,s), boolean, date, timestamp and others.",
    ),
    CodeEntry::run(
        "R0620",
        Remedy::FixData,
        "A table was not committed because a check failed.",
        "Readers still see the previous version. The message lists each failed check with its result and its limit. `towpath quality TABLE` shows its history. Correct the data, or change the limit, or set `severity: warn` on the check.",
    ),
    CodeEntry::run(
        "R0621",
        Remedy::Bug,
        "A check did not give a number.",
        "Nothing was committed. Please report the message.",
    ),
    CodeEntry::run(
        "R0622",
        Remedy::FixData,
        "A load was stopped by its first bad row.",
        "The table has `bad_rows: fail`. Correct the row, change the rule, or quarantine such rows: `bad_rows: quarantine`.",
    ),
    CodeEntry::run(
        "R0623",
        Remedy::FixData,
        "A load was stopped because too many rows are bad.",
        "The limit is `fail_above`, by default 10 % of the rows that were read. Readers still see the previous version; the bad rows are in the quarantine.\n\n  towpath quarantine show TABLE\n  towpath run --fail-above TABLE=20%      # accept them, for one run",
    ),
    CodeEntry::run(
        "R0624",
        Remedy::Retry,
        "Another process wrote to the quarantine of a table meanwhile.",
        "Run again.",
    ),
    CodeEntry::run(
        "R0625",
        Remedy::Retry,
        "The columns of a table changed while it was read.",
        "Nothing of it was committed; the next attempt reads the new columns.",
    ),
    CodeEntry::run(
        "R0626",
        Remedy::Bug,
        "A source ended before it had listed all of its parts.",
        "Nothing of it was committed. Run again, and please report the message.",
    ),
    CodeEntry::run(
        "R0627",
        Remedy::FixConfig,
        "The secret that `mask_key` names is empty.",
        "A hash without a key can be reversed by guessing. Set the secret where Towpath runs.",
    ),
    CodeEntry::run(
        "R0628",
        Remedy::Bug,
        "New columns came in the middle of rows.",
        "Nothing since the last commit is visible. Run again, and please report the message.",
    ),
    CodeEntry::run(
        "R0629",
        Remedy::Retry,
        "Another attempt of the same step committed the table first, and had read up to another position.",
        "Its commit stays. Run again: the read continues from there, so no row is left out and none comes twice.",
    ),
    CodeEntry::run(
        "R0640",
        Remedy::FixData,
        "A rejected record is too long to be encrypted.",
        "Tables with masked columns keep their rejected records encrypted. Lower `max_record_bytes` of the source, so that such records are cut off.",
    ),
    CodeEntry::run(
        "R0641",
        Remedy::FixConfig,
        "Rejected records were encrypted with a different `mask_key`.",
        "Set the `mask_key` that the project had when they were rejected, replay them, and set the new one again; or discard them: towpath quarantine discard TABLE.",
    ),
    CodeEntry::run(
        "R0660",
        Remedy::FixData,
        "An empty source would empty the table.",
        "A full load replaces the table, ends its versions or deletes rows that are gone, and no row came; nothing was committed. Look at what the load reads, such as a file with only a header, and at its `where`. If the table is to be empty: towpath run --fail-above TABLE=100%, or `fail_above: 100%` on the table; where rows that are gone are deleted, marked or closed, `--delete-above` and `delete_above` instead.",
    ),
    CodeEntry::run(
        "R0661",
        Remedy::FixConfig,
        "The columns of the source changed, and `schema_change: freeze` forbids it.",
        "Nothing was written. `schema_change: evolve` accepts the change, `discard_value` leaves new columns out, `quarantine_row` rejects records with a value in them; `--full-refresh` replaces the table.",
    ),
    CodeEntry::run(
        "R0662",
        Remedy::FixData,
        "More rows are gone from the source than a load may delete, mark or close.",
        "The limit is `delete_above`, by default 50 % of the rows of the table. Nothing was committed. A source that gave a part of its rows looks the same: look at what the load reads, and at its `where`.\n\n  towpath run --delete-above TABLE=100%      # accept it, for one run\n\n`delete_above: 100%` on the table turns the limit off.",
    ),
    CodeEntry::run(
        "R0663",
        Remedy::FixConfig,
        "`track` names a column that the rows do not have.",
        "`write: scd3` keeps the value before of the columns that `track` names. Correct the name, or remove it.",
    ),
    CodeEntry::run(
        "R0720",
        Remedy::FixConfig,
        "Changed or deleted rows came for a table that is not written by key.",
        "The source gave updates or deletes, and this write mode cannot apply them. Write the table by its key: `write: merge` and `key:`.",
    ),
    CodeEntry::run(
        "R0723",
        Remedy::FixConfig,
        "State that is larger than memory cannot be kept on disk.",
        "The folder `.towpath/spill` cannot be written, or its disk is full. Free disk space there, or raise `memory:`.",
    ),
    CodeEntry::run(
        "R0727",
        Remedy::FixConfig,
        "Operators are waiting for memory that is never released.",
        "For five minutes no memory was released or granted: the holders are waiting for one another. The message names them. Raise `memory:` or run fewer tasks at once with `parallel:`.",
    ),
    CodeEntry::run(
        "R0728",
        Remedy::Bug,
        "The comparison of two versions ended without a result.",
        "Nothing was sent; the next run compares again. Please report the message.",
    ),
];
