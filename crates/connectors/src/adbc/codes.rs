//! What each code of ADBC means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is used;
//! `cargo xtask tidy` checks it. A new code is one entry here and its use in `error.rs`. Read next:
//! `vocab/src/code.rs` (what an entry is).

use towpath_vocab::{CodeEntry, Remedy};

/// The codes, sorted.
pub(crate) const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R1401",
        Remedy::FixConfig,
        "An option of an `adbc` connection is missing or not valid.",
        "`driver` is the name of an installed driver, or the absolute path of its library, which must not be in the project folder:\n\n  connections: { dw: { type: adbc, driver: /usr/lib/libduckdb.so, entrypoint: duckdb_adbc_init, path: dw.duckdb } }\n\n`options` are the driver's own. Secrets among them belong into `secret_options`.",
    ),
    CodeEntry::run(
        "R1402",
        Remedy::FixConfig,
        "A driver cannot be loaded.",
        "The library does not exist, is none of this machine, lacks another library, or has no such entrypoint. A name is looked up in ADBC_DRIVER_PATH and in the folders of this user and this machine for ADBC drivers. A Python module (DuckDB's wheel of PyPI) is no driver outside of Python.",
    ),
    CodeEntry::run(
        "R1403",
        Remedy::FixConfig,
        "A driver refuses the options of a connection.",
        "The message contains the driver's error. Correct `uri`, `path`, `username`, `password`, `options` or `secret_options`.",
    ),
    CodeEntry::run(
        "R1404",
        Remedy::Retry,
        "A database cannot be reached, is busy, or was changed meanwhile.",
        "Towpath tries again. If the error stays, check the network, the server, and who else has the database file open.",
    ),
    CodeEntry::run(
        "R1405",
        Remedy::FixConfig,
        "There is no such table, or there are several.",
        "Correct the name; the message lists tables. A table of another schema is written `schema.table`, one of another database `catalog.schema.table`.",
    ),
    CodeEntry::run(
        "R1406",
        Remedy::FixConfig,
        "A column is missing, or two columns have one name.",
        "Correct the name, or give one of them a different name: select … as ….",
    ),
    CodeEntry::run(
        "R1407",
        Remedy::FixConfig,
        "A database rejected a statement.",
        "The message contains the driver's error. If the statement is Towpath's own, the database does not accept the SQL of the standard: read a `query` instead of a table, and report it.",
    ),
    CodeEntry::run(
        "R1408",
        Remedy::FixConfig,
        "A column cannot be read exactly.",
        "Its driver gives its values in a form that has no exact meaning. Leave the column out, or read a `query` that converts it: CAST(… AS VARCHAR).",
    ),
    CodeEntry::run(
        "R1409",
        Remedy::FixConfig,
        "The stored position of a table cannot be used.",
        "Read everything again: towpath run --full-refresh.",
    ),
    CodeEntry::run(
        "R1410",
        Remedy::FixConfig,
        "A column cannot be a cursor.",
        "A cursor is a column of whole numbers, decimals, dates, timestamps or text whose values only grow, and that is not read as text of another type.",
    ),
    CodeEntry::run(
        "R1411",
        Remedy::FixConfig,
        "New rows cannot be distinguished from rows that were read before.",
        "Give the cursor a `lookback` and write by a `key`, or start over with `--full-refresh`.",
    ),
    CodeEntry::run(
        "R1412",
        Remedy::FixData,
        "A database reported an error in its data.",
        "A constraint refused rows, or a value could not be converted. The driver's message is not shown, because it may contain values of rows; the log of the server has it.",
    ),
    CodeEntry::run(
        "R1413",
        Remedy::FixConfig,
        "A driver gives more rows at once than the memory budget can hold.",
        "Raise `memory`, or make the driver's batches smaller: many drivers have an option for that, such as adbc.postgresql.batch_size_hint_bytes.",
    ),
    CodeEntry::run(
        "R1414",
        Remedy::Bug,
        "Rows of a driver could not be put into columns.",
        "This should not happen. Nothing was committed. Please report the message.",
    ),
    CodeEntry::run(
        "R1415",
        Remedy::FixConfig,
        "A user may not do this in the database.",
        "The message contains the driver's error. Give the user the permission, or use another user.",
    ),
    CodeEntry::run(
        "R1416",
        Remedy::Refused,
        "A database cannot be written through its ADBC driver.",
        "Rows and their token are written in one transaction, whose ways differ between databases: only those of DuckDB are known here. Use a connection of type `postgres` or `sqlite` for these databases, or publish to files that the database loads.",
    ),
    CodeEntry::run(
        "R1417",
        Remedy::FixConfig,
        "A column cannot be stored exactly.",
        "DuckDB has no type for its values, or the table compares texts by a collation under which different keys are equal. Convert the column to text or numbers first, write by another mode, or write to a new table.",
    ),
];
