//! How one database writes SQL: names, parameters, types of the commit table, statements by key.
//!
//! Promise: pure text; it asks nothing and knows no rows. What has one spelling in the standard has a
//! default here. Read next: `statements.rs`, which puts the pieces together.

use super::align::Aligned;
use super::statements::Pairs;

/// The types of the commit table.
pub(crate) struct CommitTypes {
    /// Text of a task's name, which is part of the key.
    pub(crate) key: &'static str,
    pub(crate) text: &'static str,
    pub(crate) bigint: &'static str,
    pub(crate) integer: &'static str,
    /// Type and default of the time of a commit.
    pub(crate) moment: &'static str,
    /// What follows the columns.
    pub(crate) options: &'static str,
}

/// A database's SQL.
pub(crate) trait Dialect: Send + Sync {
    /// One identifier.
    fn quoted(&self, name: &str) -> String {
        super::names::quoted(name)
    }

    /// The parameter at a place, counted from 1.
    fn placeholder(&self, at: usize) -> String;

    /// The temporary table that rows are written to first.
    fn stage(&self) -> &'static str;

    /// The types of the commit table.
    fn commit_types(&self) -> CommitTypes;

    /// A key's value in a row `s` of the stage, as it is compared with the table's.
    fn key_value(&self, place: usize, column: &Aligned) -> String;

    /// A key's value so that two are equal only when nothing in them differs, whatever a collation ignores.
    fn exact(&self, value: &str) -> String {
        value.to_owned()
    }

    /// The column of the stage that says which of two rows came later.
    fn place(&self) -> &'static str;

    /// A column of the table, where an update sets it.
    fn set_column(&self, target: &str) -> String {
        target.to_owned()
    }

    /// A value as text, and the same without the blanks at its end.
    fn with_and_without_blanks(&self, value: &str) -> (String, String) {
        let text = format!("CAST({value} AS text)");
        let cut = format!("rtrim({text}, ' ')");
        (text, cut)
    }

    /// Deletes the rows of the stage whose `place` a query gives.
    fn delete_places(&self, chosen: &str) -> Vec<String> {
        let (stage, place) = (self.stage(), self.place());
        vec![format!("DELETE FROM {stage} WHERE {place} IN ({chosen})")]
    }

    /// Deletes the rows `t` of `rows` that a condition is true for.
    fn delete_where(&self, rows: &str, condition: &str) -> String {
        format!("DELETE FROM {rows} AS t WHERE {condition}")
    }

    /// Deletes the rows `t` of `rows` that have the key of a row `s` of the stage.
    fn delete_matching(&self, rows: &str, pairs: &Pairs, filter: &str) -> String;

    /// Updates the rows `t` of `rows` that have the key of a row `s` of the stage.
    fn update_matching(&self, rows: &str, sets: &str, condition: &str) -> String;

    /// True for a row `s` of the stage whose key `rows` has.
    fn is_present(&self, rows: &str, pairs: &Pairs) -> String;

    /// True when one of these pairs of values differs.
    fn differs(&self, pairs: &[(String, String)]) -> String;

    /// Whether a write ends with counting the rows of the table.
    fn counts_rows(&self) -> bool;
}
