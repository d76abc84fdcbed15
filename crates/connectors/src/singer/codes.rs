//! What each code of Singer programs means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use in `error.rs`. Read next:
//! `vocab/src/code.rs` (what an entry is).

use towpath_vocab::{CodeEntry, Remedy};

/// The codes, sorted.
pub(crate) const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R1201",
        Remedy::FixConfig,
        "An option of a `singer` connection or table is not valid.",
        "The message names the option and what is wrong with it. `docs/reference/connectors.md` lists all options.",
    ),
    CodeEntry::run(
        "R1202",
        Remedy::FixConfig,
        "The program of a `singer` connection was not found or cannot be started.",
        "Install it and write its path into `command`:\n\n  python3 -m venv .venv && .venv/bin/pip install tap-csv\n\n  command: [.venv/bin/tap-csv]\n\nA path is relative to the project folder; a name without a folder is looked for in the PATH.",
    ),
    CodeEntry::run(
        "R1203",
        Remedy::Retry,
        "A Singer program ended with a failure.",
        "Nothing of its read is visible; the next attempt goes on at the last committed state. The message has what it said last on standard error; `-v` shows all of it. Wrong credentials and settings of the tap look like this too: check `config`.",
    ),
    CodeEntry::run(
        "R1204",
        Remedy::FixConfig,
        "A tap printed something that is no Singer message.",
        "A tap prints one message in each line of its standard output and everything else on standard error. RECORD, SCHEMA, STATE and ACTIVATE_VERSION are read. A tap of the Meltano SDK that writes batches of files needs `batch_config` removed from its `config`. `NaN` and `Infinity` are not JSON.",
    ),
    CodeEntry::run(
        "R1205",
        Remedy::FixConfig,
        "A message of a tap is longer than `max_record_bytes`.",
        "Set a larger `max_record_bytes` on the connection. A message is in memory as a whole.",
    ),
    CodeEntry::run(
        "R1206",
        Remedy::FixConfig,
        "A tap gave a record before the schema of its stream.",
        "The specification demands a SCHEMA message first. Nothing of the read is visible. Use another version of the tap.",
    ),
    CodeEntry::run(
        "R1207",
        Remedy::FixConfig,
        "A tap changed the schema of a stream between its records.",
        "A table has one set of columns in one load. Declare the types of the columns that the message names, so that they are known from the start:\n\n  tables:\n    events:\n      columns:\n        amount: { type: decimal(18,4) }",
    ),
    CodeEntry::run(
        "R1208",
        Remedy::Retry,
        "A Singer program said nothing for longer than `timeout_s`, and was stopped.",
        "Nothing of its read is visible. If the system behind the tap needs more time, set a larger `timeout_s` on the connection.",
    ),
    CodeEntry::run(
        "R1209",
        Remedy::FixConfig,
        "The tap has no stream of this name.",
        "`towpath connection discover NAME` lists the streams. A stream is named by its `tap_stream_id`, or by its `stream` if no other one has it.",
    ),
    CodeEntry::run(
        "R1210",
        Remedy::FixConfig,
        "The catalog of a tap cannot be read.",
        "With `discover: true`, the default, the tap is started with `--discover` and must print a catalog. `catalog: FILE` uses a file instead; `discover: false` is for taps without a catalog, whose streams are named as they are.",
    ),
    CodeEntry::run(
        "R1211",
        Remedy::FixConfig,
        "The schema of a stream names no columns, or cannot be read.",
        "Declare the columns with their types under `columns` of the table; they are read then.",
    ),
    CodeEntry::run(
        "R1212",
        Remedy::FixConfig,
        "The files for a Singer program cannot be written.",
        "Its configuration, catalog and state are written below `.towpath/singer` of the project. Check that this folder can be written, and the space on the disk.",
    ),
    CodeEntry::run(
        "R1213",
        Remedy::FixConfig,
        "A stream is read incrementally, and its rows are not written by a key.",
        "Most taps give the records at their last state again: without a key they would be in the table twice. Write `write: merge` and a `key`. If the tap never repeats records, say so with `repeats: never`.",
    ),
    CodeEntry::run(
        "R1214",
        Remedy::Refused,
        "Records came behind the last state of a tap, and the table says `repeats: never`.",
        "The next run would begin at that state and get these records a second time. Nothing of the read is visible. Write the table by its key, without `repeats`.",
    ),
    CodeEntry::run(
        "R1215",
        Remedy::FixConfig,
        "What the last read of a stream left cannot be read by this version.",
        "`towpath run --full-refresh` reads the stream from its beginning.",
    ),
    CodeEntry::run(
        "R1216",
        Remedy::Retry,
        "A tap began a new version of a stream and did not activate it.",
        "The records of a new version replace all others, and only once the tap says that they are complete (ACTIVATE_VERSION). Nothing of the read is visible; run again.",
    ),
    CodeEntry::run(
        "R1217",
        Remedy::FixConfig,
        "A `singer` connection was asked for a query.",
        "Name a stream as the table.",
    ),
    CodeEntry::run(
        "R1218",
        Remedy::Retry,
        "The output of a Singer program cannot be read.",
        "The operating system reported an error of the pipe or of the process. Run again.",
    ),
    CodeEntry::run(
        "R1219",
        Remedy::Retry,
        "The output of a tap ended in the middle of a line.",
        "The tap, or what runs it, was cut off. Nothing of the read is visible; run again.",
    ),
    CodeEntry::run(
        "R1220",
        Remedy::FixConfig,
        "A declared type of a column cannot be read from JSON.",
        "Types are text, bool, tinyint to bigint, utinyint to ubigint, float, double, decimal(P,S), date, timestamp, timestamptz, binary, struct(…) and list(…).",
    ),
    CodeEntry::run(
        "R1221",
        Remedy::Refused,
        "A `singer` connection is read-only.",
        "If its `command` is a target, set `writable: true` on the connection.",
    ),
    CodeEntry::run(
        "R1222",
        Remedy::Refused,
        "A Singer target cannot be written in this mode.",
        "A target gets records and stores them: as new rows, or over rows with the same key. It cannot be told to empty a table or to delete rows. Use `write: append`, or `write: merge` with a `key`.",
    ),
    CodeEntry::run(
        "R1223",
        Remedy::FixConfig,
        "A Singer target ended well and did not confirm the rows that it got.",
        "A target prints the state that it was given behind the rows once these are stored. Without it nobody knows whether they are. They are sent again by the next run. Check that `command` is a target and not a tap, and what it says on standard error (`-v`).",
    ),
    CodeEntry::run(
        "R1224",
        Remedy::FixConfig,
        "Rows were deleted, and a Singer target has no message for that.",
        "`deleted_rows: mark` of the table, or of the connection, sends deleted rows with the moment in the column `_sdc_deleted_at`. Targets of the Meltano SDK and of PipelineWise delete such rows when their `config` has `hard_delete: true`.",
    ),
    CodeEntry::run(
        "R1225",
        Remedy::FixData,
        "A value is NaN or an infinity, which JSON cannot hold.",
        "Leave the column out, or make it a text or NULL in a model.",
    ),
    CodeEntry::run(
        "R1226",
        Remedy::Retry,
        "Another process has delivered rows of the same step to the same target meanwhile.",
        "The next attempt compares with what was delivered.",
    ),
    CodeEntry::run(
        "R1227",
        Remedy::FixConfig,
        "What was delivered to a Singer target cannot be noted or read.",
        "It is kept in `.towpath/singer-targets` of the project. Check that this folder can be written. If one of its files is damaged, remove it: everything is sent again then.",
    ),
    CodeEntry::run(
        "R1299",
        Remedy::Bug,
        "A part of a read of a Singer tap broke off.",
        "Please report this, with the output of the same command with `-v`.",
    ),
];
