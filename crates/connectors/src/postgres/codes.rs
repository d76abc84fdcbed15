//! What each code of PostgreSQL means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use
//! in `error.rs`. Read next: `vocab/src/code.rs` (what an entry is).

use towpath_vocab::{CodeEntry, Remedy};

/// The codes, sorted.
pub(crate) const CODES: &[CodeEntry] = &[
    CodeEntry::run(
        "R0201",
        Remedy::FixConfig,
        "The `url` or an option of a `postgres` connection is not valid.",
        "Write it as `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=require`, in a secret: `url: ${secret:SHOP_DB_URL}`.",
    ),
    CodeEntry::run(
        "R0202",
        Remedy::Unreachable,
        "PostgreSQL cannot be reached.",
        "Is the server running, and are host and port in the `url` right? A run tries again for a minute, so a restart of the server does not fail it.",
    ),
    CodeEntry::run(
        "R0203",
        Remedy::FixConfig,
        "PostgreSQL refused the login.",
        "Check user, password and database in the `url`, and the server's `pg_hba.conf`.",
    ),
    CodeEntry::run(
        "R0205",
        Remedy::FixConfig,
        "There is no encrypted connection to PostgreSQL.",
        "`sslmode` in the `url` is one of disable, prefer, require, verify-ca, verify-full; `sslrootcert` names a PEM file.",
    ),
    CodeEntry::run(
        "R0206",
        Remedy::Unreachable,
        "The connection to PostgreSQL was lost.",
        "The server was restarted, or the network failed. A run tries again for a minute; no partial result is visible.",
    ),
    CodeEntry::run(
        "R0207",
        Remedy::Retry,
        "PostgreSQL stopped a statement for a reason that passes.",
        "A deadlock, a conflict, or too few resources on the server. Towpath tries again.",
    ),
    CodeEntry::run(
        "R0210",
        Remedy::FixConfig,
        "There is no such table in PostgreSQL.",
        "Correct the name. Tables outside the connection's `schema` are written `schema.table`.",
    ),
    CodeEntry::run(
        "R0211",
        Remedy::FixConfig,
        "A table of PostgreSQL does not have a column.",
        "Correct the name. `towpath connection discover NAME` shows the columns.",
    ),
    CodeEntry::run(
        "R0212",
        Remedy::FixConfig,
        "The user of a connection does not have the necessary permission.",
        "Ask the owner for `GRANT USAGE ON SCHEMA …` and `GRANT SELECT ON …`, or for permission to write.",
    ),
    CodeEntry::run(
        "R0213",
        Remedy::FixConfig,
        "PostgreSQL rejected a query.",
        "The message contains PostgreSQL's reason. Two columns of the same name need `AS`.",
    ),
    CodeEntry::run(
        "R0214",
        Remedy::FixConfig,
        "A column cannot be a cursor.",
        "A cursor is a column of dates, timestamps, integers, decimals or text whose values only grow.",
    ),
    CodeEntry::run(
        "R0215",
        Remedy::FixConfig,
        "A pooler mixes up prepared statements.",
        "Point the `url` at the server itself, or let the pooler track prepared statements (PgBouncer 1.21: `max_prepared_statements`).",
    ),
    CodeEntry::run(
        "R0216",
        Remedy::FixConfig,
        "The stored position of a table cannot be used.",
        "Read everything again: towpath run --full-refresh.",
    ),
    CodeEntry::run(
        "R0217",
        Remedy::FixConfig,
        "New rows cannot be distinguished from rows that were read before.",
        "Give the cursor a `lookback` and write by a `key`, or start over with `--full-refresh`.",
    ),
    CodeEntry::run(
        "R0219",
        Remedy::FixConfig,
        "PostgreSQL does not accept writes at this address.",
        "It is a replica. Point the `url` at the primary.",
    ),
    CodeEntry::run(
        "R0221",
        Remedy::FixConfig,
        "The user may not write the table of commits.",
        "Each write stores a row in `_towpath_commits` in the same transaction. Set `commits_schema:` on the connection to a schema in which this user may create tables.",
    ),
    CodeEntry::run(
        "R0224",
        Remedy::FixConfig,
        "PostgreSQL has no type that stores a column exactly.",
        "Give the column a different type in the table's `columns`, for example text.",
    ),
    CodeEntry::run(
        "R0227",
        Remedy::FixData,
        "A value cannot be stored in PostgreSQL.",
        "The message names the column and the reason. Text with a zero byte, for instance: declare the column as binary, or reject such rows with a `pattern`.",
    ),
    CodeEntry::run(
        "R0228",
        Remedy::FixData,
        "A constraint of the target refuses the rows.",
        "A unique index, a foreign key, a check or NOT NULL of the table. Nothing was written. Correct the rows, or the constraint.",
    ),
    CodeEntry::run(
        "R0231",
        Remedy::Refused,
        "Deleting or updating rows would change another table.",
        "A foreign key of that table has ON DELETE or ON UPDATE with CASCADE or SET. Use a write mode that deletes nothing, leave the column out that the key refers to, or drop that action.",
    ),
    CodeEntry::run(
        "R0233",
        Remedy::FixData,
        "Values would be changed by the type of the target.",
        "Write them as PostgreSQL prints that type, or give the column the type text. For a `varchar(n)` or `char(n)`, a `where:` in the publish leaves out the rows that are too long, and a `length` rule on the column of the load rejects them one by one. Trailing blanks are part of the value of a `varchar(n)`, but not of a `char(n)`.",
    ),
    CodeEntry::run(
        "R0234",
        Remedy::FixConfig,
        "Another program may have changed the target since its checks.",
        "This user may not lock it. With `GRANT UPDATE ON TABLE` it can lock out other writers until the commit.",
    ),
    CodeEntry::run(
        "R0235",
        Remedy::FixConfig,
        "A name is too long for PostgreSQL.",
        "A name in PostgreSQL has at most 63 bytes. Give the target a shorter one.",
    ),
    CodeEntry::run(
        "R0236",
        Remedy::FixConfig,
        "A table was replaced or rewritten since it was last read.",
        "`--full-refresh` reads all rows again. A write by `key` reads the whole table again automatically.",
    ),
    CodeEntry::run(
        "R0237",
        Remedy::FixConfig,
        "Rows that commit late cannot be found, because the server does not say which one it is.",
        "Transaction numbers are meaningful on one server only, and a restored or promoted server assigns them again. To notice that, the user needs permission to call two functions:\n\n  GRANT EXECUTE ON FUNCTION pg_control_system(), pg_control_checkpoint() TO …\n\nWithout it, `late_rows: lookback` reads by the cursor alone: rows that commit late with a value below the last one are found only within the cursor's `lookback`.",
    ),
    CodeEntry::run(
        "R0238",
        Remedy::FixConfig,
        "New rows cannot be distinguished from rows that are about 2^32 transactions older.",
        "A row stores 32 bits of its transaction number, and the server has assigned the same numbers again. Towpath recognises the 8,000 old rows whose numbers come next one by one, and the others as long as not more than about 300 of a group were deleted, updated or stored anew since the last read. It stops when there were more of them between two runs, when `VACUUM FULL` or `CLUSTER` rewrote such rows, when the type of the cursor column changed, or, with a position that an earlier version of Towpath stored, when one of them was deleted or updated. Write the table by a `key` (`write: merge`): rows that are read again then replace themselves. Or set `late_rows: lookback`, which reads by the cursor alone. Or read everything again with `--full-refresh`, and run more often.",
    ),
    CodeEntry::run(
        "R0290",
        Remedy::FixConfig,
        "PostgreSQL reported an error.",
        "The message contains PostgreSQL's error and its code (SQLSTATE), which say what to do.",
    ),
    CodeEntry::run(
        "R0299",
        Remedy::Bug,
        "PostgreSQL answered in an unexpected way.",
        "This should not happen. Nothing was committed. Please report the message.",
    ),
];
