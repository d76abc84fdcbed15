//! Which columns a table had when it was read, and what became of them since.
//!
//! Promise: an incremental read never takes rows of other columns for those it knows without a word. A
//! column that is new and holds values in rows that were read before is distinguished from one that only new rows
//! fill. It asks no database and decides nothing about rows: the cursors do.

use serde::{Deserialize, Serialize};

/// A column as a position stores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeenColumn {
    /// Its name.
    pub(crate) name: String,
    /// What it keeps when its name changes, where the database has such a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) number: Option<i32>,
}

/// What happened to the columns of a table between two reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ColumnChanges {
    /// Names that were not there.
    new: Vec<String>,
    /// Names that are no longer there, of columns that have no other name now.
    gone: Vec<String>,
    /// The old and the new name of one column.
    renamed: Vec<(String, String)>,
}

impl ColumnChanges {
    /// From `before` to `now`. Nothing is known of a read that stored no columns.
    pub(crate) fn between(before: &[SeenColumn], now: &[SeenColumn]) -> Self {
        if before.is_empty() {
            return Self::default();
        }
        let is_in = |columns: &[SeenColumn], name: &str| columns.iter().any(|c| c.name == name);
        let mut changes = Self {
            new: now
                .iter()
                .filter(|column| !is_in(before, &column.name))
                .map(|column| column.name.clone())
                .collect(),
            ..Self::default()
        };
        for old in before.iter().filter(|column| !is_in(now, &column.name)) {
            let same = |column: &&SeenColumn| old.number.is_some() && column.number == old.number;
            match now.iter().find(same) {
                Some(column) => changes
                    .renamed
                    .push((old.name.clone(), column.name.clone())),
                None => changes.gone.push(old.name.clone()),
            }
        }
        changes
    }

    /// What a person should know. `filled` are new columns that hold values in rows that were read
    /// before; `again` says that all rows are read once more.
    pub(crate) fn notes(&self, object: &str, filled: &[String], again: bool) -> Vec<String> {
        let mut notes = Vec::new();
        for (old, new) in &self.renamed {
            notes.push(format!(
                "`{old}` of `{object}` is now named `{new}`; to continue with the column of the table: `columns: {{ {old}: {{ from: {new} }} }}`"
            ));
        }
        if !self.gone.is_empty() {
            notes.push(format!(
                "`{object}` no longer has these columns: {}; new rows have NULL in them",
                named(&self.gone)
            ));
        }
        if !filled.is_empty() {
            let rest = if again {
                "all rows are read again and written by key (rows that the source no longer has stay, and `write: insert_only` changes no row that the table has)"
            } else {
                "rows in the table have NULL in them; `--full-refresh` reads all rows again and replaces the table, and a write by `key` reads them again automatically"
            };
            notes.push(format!(
                "`{object}` has new columns with values in rows that were read before: {}; {rest}",
                named(filled)
            ));
        }
        notes
    }
}

/// New columns that are read, and the question which of them hold values in rows that were read before.
pub(crate) struct NewColumns {
    names: Vec<String>,
    /// Asks for one row with a flag for each of them.
    pub(crate) question: String,
}

impl NewColumns {
    /// Of what can stand after FROM, `coming` being true for the rows that are read now; `None` when no new
    /// column is read.
    pub(crate) fn of(
        changes: &ColumnChanges,
        is_read: impl Fn(&str) -> bool,
        quoted: impl Fn(&str) -> String,
        (from, coming): (&str, &str),
    ) -> Option<Self> {
        let names = changes.new.iter().filter(|name| is_read(name));
        let names: Vec<String> = names.cloned().collect();
        let flags = names.iter().map(|name| quoted(name));
        let flags: Vec<String> = flags.map(|name| format!("count({name}) > 0")).collect();
        let question = format!(
            "SELECT {} FROM {from} WHERE ({coming}) IS NOT TRUE",
            flags.join(", ")
        );
        (!names.is_empty()).then_some(Self { names, question })
    }

    /// How many flags the answer has.
    pub(crate) fn count(&self) -> usize {
        self.names.len()
    }

    /// Those whose flag is true.
    pub(crate) fn filled(self, flags: &[bool]) -> Vec<String> {
        let names = self.names.into_iter().zip(flags);
        names
            .filter(|(_, is_filled)| **is_filled)
            .map(|(name, _)| name)
            .collect()
    }
}

fn named(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(columns: &[(&str, i32)]) -> Vec<SeenColumn> {
        let column = |(name, number): &(&str, i32)| SeenColumn {
            name: (*name).to_owned(),
            number: (*number > 0).then_some(*number),
        };
        columns.iter().map(column).collect()
    }

    #[test]
    fn a_column_that_kept_its_number_was_renamed() {
        let before = columns(&[("id", 1), ("a", 2), ("b", 3)]);
        let now = columns(&[("id", 1), ("c", 2), ("d", 4)]);
        let changes = ColumnChanges::between(&before, &now);
        assert_eq!(changes.new, ["c", "d"]);
        assert_eq!(changes.renamed, [("a".to_owned(), "c".to_owned())]);
        assert_eq!(changes.gone, ["b"]);
        let unknown = columns(&[("id", 0), ("a", 0)]);
        let changes = ColumnChanges::between(&unknown, &columns(&[("id", 0), ("b", 0)]));
        assert_eq!(changes.gone, ["a"]);
        assert!(changes.renamed.is_empty());
    }

    #[test]
    fn a_position_without_columns_says_nothing() {
        let changes = ColumnChanges::between(&[], &columns(&[("id", 1)]));
        assert_eq!(changes, ColumnChanges::default());
        assert!(changes.notes("t", &[], false).is_empty());
    }
}
