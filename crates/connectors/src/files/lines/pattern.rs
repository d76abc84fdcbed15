//! A line by a regular expression of the user: each named group is a column.
//!
//! Promise: the expression matches the whole line, so that no part of a line is lost without a word; a group that
//! takes no part is NULL. Its time is linear in the line, whatever the expression is. It knows no types.

use regex::Regex;

use super::table::LineTable;

/// An expression with its groups.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    /// The named groups, by their numbers.
    groups: Vec<(String, usize)>,
}

impl Pattern {
    /// Reads an expression; the error is what it should be.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        // First alone, so that a mistake is told in the user's own text.
        let check =
            |text: &str| Regex::new(text).map_err(|error| format!("a regular expression: {error}"));
        check(text)?;
        // With `(?x)` a comment may be at the end: it hides the parenthesis, unless a line ends there.
        let regex =
            check(&format!("^(?:{text})$")).or_else(|_| check(&format!("^(?:{text}\n)$")))?;
        let names = regex.capture_names().enumerate();
        let groups: Vec<(String, usize)> = names
            .filter_map(|(at, name)| Some((name?.to_owned(), at)))
            .collect();
        match groups.is_empty() {
            true => Err(
                "an expression with named groups, such as `(?<level>[A-Z]+) (?<message>.*)`"
                    .to_owned(),
            ),
            false => Ok(Self { regex, groups }),
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn cells(&self, line: &str, to: &mut LineTable) -> Result<(), String> {
        let found = self.regex.captures(line);
        let found = found.ok_or_else(|| "does not match `pattern`".to_owned())?;
        for (_, group) in &self.groups {
            to.push(found.get(*group).map(|cell| cell.as_str()));
        }
        Ok(())
    }
}
