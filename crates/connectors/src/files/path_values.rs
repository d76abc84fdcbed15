//! The columns of a file's path with their values: data that options, files and rows share.
//!
//! Promise: plain data. How a path is taken apart says `path_rules.rs`, how its values become columns
//! `path_columns.rs`.

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
pub(crate) struct PathValues(Vec<(String, Option<String>)>);

impl PathValues {
    /// Of these columns.
    pub(crate) fn new(columns: Vec<(String, Option<String>)>) -> Self {
        Self(columns)
    }

    /// One more column.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), Some(value.to_owned())));
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Names with values, in the order of the columns.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let pairs = self.0.iter();
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
        self.0.is_empty()
    }

    /// The columns with these names; one that is not there is NULL.
    pub(crate) fn ordered(self, names: &[String]) -> Self {
        let value = |name: &String| (name.clone(), self.get(name).flatten().map(str::to_owned));
        Self(names.iter().map(value).collect())
    }
}
