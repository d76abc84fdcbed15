//! Longer texts of the lakehouse's errors: what can be done about damage, keys with blanks, leases.
//!
//! It knows no error. Read next: `error.rs`.

use std::time::Duration;

/// What can be done about a table whose log or data is damaged.
pub(super) fn ways_out(table: &str, address: &str, last_good: Option<u64>) -> Vec<String> {
    let mut ways = vec![format!("restore `{address}` from a backup")];
    if let Some(version) = last_good {
        ways.push(format!(
            "look at the last version that can be read: `select * from at_version('{table}', {version})`"
        ));
    }
    ways.push(format!(
        "or build it again: `towpath lake drop {table} --yes`, then `towpath run`"
    ));
    ways
}

/// What the values of a key column are, beside those that come.
pub(super) fn blanks(length: Option<usize>) -> &'static str {
    match length {
        Some(_) => {
            "has values that end in blanks, and the rows come from a `char(n)` column, whose values are read without them: the same rows would be in the table twice"
        }
        None => {
            "is masked and comes from a `char(n)` column, and an earlier version of Towpath may have masked the values in the table with the blanks that fill them: the same rows would be in the table twice"
        }
    }
}

/// The table is built again.
pub(super) const REFRESH: &str = "read the table again with `--full-refresh`, which replaces it: rows that the source no longer has are then lost";

/// What can be done about keys with blanks in a table.
pub(super) fn ways_past_blanks(column: &str, length: Option<usize>) -> Vec<String> {
    let mut ways = vec![REFRESH.to_owned()];
    if let Some(length) = length {
        ways.push(format!(
            "or continue with the blanks, which keeps all rows: `columns: {{ {column}: {{ set: \"rpad({column}, {length})\" }} }}` (in a model: `rpad({column}, {length}) as {column}`)"
        ));
    }
    ways
}

/// What can be done about a data file that is missing or damaged.
pub(super) fn ways_around(table: &str, address: &str) -> Vec<String> {
    vec![
        format!("restore `{address}` from a backup"),
        format!(
            "or go back to a version without it: `towpath lake verify {table} --all-versions` names the newest, `towpath lake restore {table} --to VERSION` restores it"
        ),
        format!(
            "or build the table again: `towpath run --full-refresh`, or `towpath lake drop {table} --yes`, then `towpath run`"
        ),
    ]
}

/// What may be true of a lease whose holder cannot be asked.
pub(super) fn or_killed(dead_after: Option<Duration>) -> String {
    dead_after.map_or_else(String::new, |time| {
        format!(", or was killed less than {} minutes ago", minutes(time))
    })
}

pub(super) fn after(dead_after: Option<Duration>) -> String {
    dead_after.map_or_else(String::new, |time| {
        format!(
            ": after {} minutes at the latest it is known what became of that write",
            minutes(time)
        )
    })
}

fn minutes(time: Duration) -> u64 {
    time.as_secs().div_ceil(60)
}

pub(super) fn at_version(version: Option<u64>) -> String {
    version.map_or_else(String::new, |version| format!(" (version {version})"))
}

pub(super) const FULL: &str =
    "the disk is full: free some space and run again; nothing of this write is visible";

pub(super) const RIGHTS: &str =
    "give the user who runs Towpath permission to write there; nothing of this write is visible";
