//! What each code of MySQL and MariaDB means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use in `error.rs`. Read next:
//! `vocab/src/code.rs` (what an entry is).

use towpath_vocab::{CodeEntry, Remedy};

/// The codes, sorted.
pub(crate) const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R1001",
        Remedy::FixConfig,
        "An option of a `mysql` connection is missing or not valid.",
        "`url` is written as `mysql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full`; `zero_dates` is `reject` or `to_null`.",
    ),
    CodeEntry::run(
        "R1002",
        Remedy::Unreachable,
        "The MySQL server cannot be reached.",
        "Check that the server is running, and the host and port in the `url`. Towpath tries again.",
    ),
    CodeEntry::run(
        "R1003",
        Remedy::FixConfig,
        "The MySQL server refused the login.",
        "Check user, password and database in the `url`, and from which hosts the user may log in. Logins by `mysql_native_password` and `caching_sha2_password` are supported; the second may need an encrypted connection: `sslmode=require`.",
    ),
    CodeEntry::run(
        "R1004",
        Remedy::FixConfig,
        "There is no encrypted connection to the MySQL server.",
        "`sslmode` in the `url` says how a connection is encrypted: disable, prefer, require, verify-ca or verify-full. `sslrootcert` names a PEM file with the certificate to trust.",
    ),
    CodeEntry::run(
        "R1005",
        Remedy::Unreachable,
        "The connection to the MySQL server was lost.",
        "The server stopped, the network broke, or someone killed the connection. What was not committed is rolled back by the server. If the connection was lost while a commit was sent, the message says that it is not known whether it was committed; the next attempt finds that out, and writes nothing twice. Towpath tries again.",
    ),
    CodeEntry::run(
        "R1006",
        Remedy::Retry,
        "The MySQL server stopped a statement for a reason that passes.",
        "A lock, a deadlock, a time limit, too many connections, a killed query, or a table that was altered meanwhile. Towpath tries again.",
    ),
    CodeEntry::run(
        "R1007",
        Remedy::Unreachable,
        "The server sent what the protocol of MySQL does not allow.",
        "Something between Towpath and the server changes what is sent, or it is not a MySQL or MariaDB server. Check host and port in the `url`.",
    ),
    CodeEntry::run(
        "R1010",
        Remedy::FixConfig,
        "There is no such table in the MySQL database.",
        "Correct the name; tables of other databases are written `database.table`. A table that the user may not read is not visible.",
    ),
    CodeEntry::run(
        "R1011",
        Remedy::FixConfig,
        "A column is missing, or two columns have one name.",
        "Correct the name, or give one of them a different name: select … as ….",
    ),
    CodeEntry::run(
        "R1012",
        Remedy::FixConfig,
        "The user has no permission.",
        "Ask the owner of the table for the permission that the message names, for example `GRANT SELECT ON database.table TO user`.",
    ),
    CodeEntry::run(
        "R1013",
        Remedy::FixConfig,
        "The MySQL server does not accept a query.",
        "The message contains the server's error. A query is run as a subquery, so its columns need different names.",
    ),
    CodeEntry::run(
        "R1014",
        Remedy::FixConfig,
        "A column cannot be a cursor.",
        "A cursor is a column of dates, timestamps, numbers or text whose values only grow. Text has no distance, so it takes no `lookback`.",
    ),
    CodeEntry::run(
        "R1015",
        Remedy::FixConfig,
        "The stored position of a table cannot be used.",
        "Read everything again: towpath run --full-refresh.",
    ),
    CodeEntry::run(
        "R1016",
        Remedy::FixConfig,
        "New rows cannot be distinguished from rows that were read before.",
        "Give the cursor a `lookback` and write by a `key`, or start over with `--full-refresh`.",
    ),
    CodeEntry::run(
        "R1017",
        Remedy::FixConfig,
        "A table without snapshots cannot be read incrementally by its cursor alone.",
        "Storage engines such as MyISAM, Aria and MEMORY show rows that are written during a read. Give the cursor a `lookback` and write by a `key`, or store the table in InnoDB.",
    ),
    CodeEntry::run(
        "R1018",
        Remedy::FixConfig,
        "A row or a value is larger than the MySQL server allows.",
        "Raise `max_allowed_packet` on the server (at most 1 GB), or leave the large column out.",
    ),
    CodeEntry::run(
        "R1020",
        Remedy::FixConfig,
        "A table of MySQL cannot be written, because its storage engine has no transactions.",
        "Rows and the commit's token become visible in one transaction, and Towpath locks what a check has looked at; of the storage engines only InnoDB can do both. `ALTER TABLE … ENGINE = InnoDB`, or write to a different table.",
    ),
    CodeEntry::run(
        "R1021",
        Remedy::FixData,
        "A value cannot be stored in MySQL.",
        "MySQL has no NaN and no infinite numbers, no fractions of a microsecond, dates only of the years 1 to 9999, and keys of a limited length. Nothing was written. Reject such rows with a rule in the table's `columns`, or give the column the type text.",
    ),
    CodeEntry::run(
        "R1022",
        Remedy::FixConfig,
        "A column has a type that MySQL does not have.",
        "Give the column a different type in the table's `columns`, for example text. A decimal has at most 65 digits, of which at most 30 (MariaDB: 38) are behind the point.",
    ),
    CodeEntry::run(
        "R1023",
        Remedy::FixData,
        "A column of the table cannot hold all values as they are.",
        "A text is longer than the column, has characters that its character set does not have, or ends in blanks that `char(n)` drops; it is no member of an `enum` or `set`, or names the members of a set in another order; a time has more digits of a second than the column; a number is no year; a JSON document of MySQL has a name twice in an object, or a number with more digits than it keeps. Nothing was written. Reject such rows, or change the type of the table's column.",
    ),
    CodeEntry::run(
        "R1024",
        Remedy::Refused,
        "Deleting or updating rows would change rows of other tables.",
        "A foreign key of a table has ON DELETE or ON UPDATE with CASCADE or SET NULL. Use a write mode that deletes nothing, leave the column out that the key refers to, or drop that action. Keys of tables that the user may not see are noticed only if the user has the permission PROCESS.",
    ),
    CodeEntry::run(
        "R1025",
        Remedy::FixConfig,
        "The server is too old to be written.",
        "MySQL 8.0 or later and MariaDB 10.3 or later can be written. Older servers can be read.",
    ),
    CodeEntry::run(
        "R1026",
        Remedy::FixData,
        "The server did not take rows as they were sent.",
        "The server reported a warning while it loaded rows into a temporary table, so a value may have become a different one. Nothing was written. Please report the message.",
    ),
    CodeEntry::run(
        "R1027",
        Remedy::FixData,
        "The table refused rows.",
        "A key, a constraint, a column's type or a trigger of the table refused them. Nothing was written. The message has the server's error and its number; values are left out of it, and so is the text of a trigger.",
    ),
    CodeEntry::run(
        "R1090",
        Remedy::FixConfig,
        "The MySQL server reported an error.",
        "The message contains the server's error and its number. A quoted value is left out of it.",
    ),
    CodeEntry::run(
        "R1099",
        Remedy::Bug,
        "Rows of MySQL could not be put into columns.",
        "This should not happen. Nothing was committed. Please report the message.",
    ),
];
