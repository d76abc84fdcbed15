//! The columns of a file's path with their values: data that options, files and rows share.
//!
//! Promise: plain data. How a path is taken apart says `path_rules.rs`, how its values become columns
//! `path_columns.rs`.

use std::collections::BTreeSet;

/// Whether `key=value` folders are columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HivePartitions {
    No,
    Yes,
    /// Where all files have the same keys: of files that a query names, which have no options.
    Alike,
}

/// The columns of a file's path with their values; `None` is NULL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PathValues {
    columns: Vec<(String, Option<String>)>,
    /// Those whose type is known from before: it must keep a value as it is written.
    exact: BTreeSet<String>,
}

impl PathValues {
    /// Of these columns.
    pub(crate) fn new(columns: Vec<(String, Option<String>)>) -> Self {
        Self {
            columns,
            exact: BTreeSet::new(),
        }
    }

    /// One more column.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.columns.push((name.to_owned(), Some(value.to_owned())));
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.columns.len()
    }

    /// Names with values, in the order of the columns.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let pairs = self.columns.iter();
        pairs.map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// The value of a column, if the path has it.
    pub(crate) fn get(&self, column: &str) -> Option<Option<&str>> {
        let mut pairs = self.iter();
        pairs.find_map(|(name, value)| (name == column).then_some(value))
    }

    pub(crate) fn has(&self, column: &str) -> bool {
        self.get(column).is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The columns with these names; one that is not there is NULL.
    pub(crate) fn ordered(self, names: &[String]) -> Self {
        let value = |name: &String| (name.clone(), self.get(name).flatten().map(str::to_owned));
        Self::new(names.iter().map(value).collect()).exactly(self.exact.clone())
    }

    /// The columns without these names.
    pub(crate) fn without(&self, names: &[String]) -> Self {
        let mut rest = self.clone();
        rest.columns.retain(|(name, _)| !names.contains(name));
        rest
    }

    /// The same values; those of these columns must be kept as they are written.
    pub(crate) fn exactly(self, exact: BTreeSet<String>) -> Self {
        Self { exact, ..self }
    }

    /// The columns whose values must be kept as they are written.
    pub(crate) fn exact(&self) -> &BTreeSet<String> {
        &self.exact
    }
}
