//! The stage's keys: each once more, as the table would hold it, and an index over them.
//!
//! Promise: a key is compared with the table's the way two of the table's are: with its affinity and
//! its collation. Without that SQLite converts the stage's side of each comparison and uses no index of
//! it, so every row of one side is compared with every row of the other. The columns are virtual:
//! what came stays as it came beside them. What is done with matching rows is in
//! `relational/statements.rs`.

use rusqlite::Connection;

use super::error::{ErrorContext as _, Result};
use super::names::quoted;
use crate::relational::align::Aligned;

/// A table that lives for two statements, to ask SQLite for affinities.
const LIKE: &str = "temp.\"_towpath_like\"";

/// The collation under which texts are equal only when nothing in them differs.
pub(super) const EXACT: &str = "BINARY";

/// Where keys are compared.
pub(super) struct KeyColumns<'a> {
    pub(super) connection: &'a Connection,
    pub(super) table: &'a str,
    pub(super) shown: &'a str,
}

impl KeyColumns<'_> {
    fn doing(&self) -> String {
        format!("preparing the keys of `{}`", self.table)
    }

    fn batch(&self, sql: &str) -> Result<()> {
        let done = self.connection.execute_batch(sql);
        done.doing(self.shown, self.doing())
    }

    /// Adds the key columns `k0`, `k1`, ... to the stage.
    pub(super) fn add(&self, key: &[Aligned]) -> Result<()> {
        let affinities = self.affinities(key)?;
        for (at, (column, affinity)) in key.iter().zip(affinities).enumerate() {
            let of = (self.table, column.name.as_str());
            let collation = collation(self.connection, of, self.shown)?;
            let value = column.value.trim_start_matches("s.");
            self.batch(&format!(
                "ALTER TABLE temp.\"_towpath_stage\" ADD COLUMN k{at} {affinity} COLLATE {} \
                 GENERATED ALWAYS AS ({value}) VIRTUAL",
                quoted(&collation)
            ))?;
        }
        Ok(())
    }

    /// Makes keys quick to find; `unique` when it is known that none comes twice.
    pub(super) fn index(&self, keys: usize, unique: bool) -> Result<()> {
        let columns: Vec<String> = (0..keys).map(|at| format!("k{at}")).collect();
        self.batch(&format!(
            "CREATE {} INDEX temp.\"_towpath_stage_key\" ON \"_towpath_stage\" ({})",
            if unique { "UNIQUE" } else { "" },
            columns.join(", ")
        ))
    }

    /// The affinities of the table's columns, each as a type that has it.
    fn affinities(&self, key: &[Aligned]) -> Result<Vec<&'static str>> {
        let targets: Vec<&str> = key.iter().map(|column| column.target.as_str()).collect();
        self.batch(&format!(
            "CREATE TEMP TABLE \"_towpath_like\" AS SELECT {} FROM main.{} LIMIT 0",
            targets.join(", "),
            quoted(self.table)
        ))?;
        let sql = "SELECT type FROM pragma_table_info('_towpath_like', 'temp') ORDER BY cid";
        let words = || -> rusqlite::Result<Vec<&'static str>> {
            let mut statement = self.connection.prepare(sql)?;
            let words = statement.query_map([], |row| Ok(known(&row.get::<_, String>(0)?)))?;
            words.collect()
        };
        let words = words().doing(self.shown, self.doing())?;
        self.batch(&format!("DROP TABLE {LIKE}"))?;
        Ok(words)
    }
}

/// How the table compares texts of a column.
pub(super) fn collation(
    connection: &Connection,
    (table, column): (&str, &str),
    shown: &str,
) -> Result<String> {
    let (_, collation, ..) = connection
        .column_metadata(Some("main"), table, column)
        .doing(shown, format!("looking at the keys of `{table}`"))?;
    let collation = collation.map(|name| name.to_string_lossy().into_owned());
    Ok(collation.unwrap_or_else(|| EXACT.to_owned()))
}

/// What SQLite declares a column of this affinity with.
fn known(word: &str) -> &'static str {
    match word {
        "TEXT" => "TEXT",
        "NUM" => "NUM",
        "INT" => "INT",
        "REAL" => "REAL",
        _ => "BLOB",
    }
}
