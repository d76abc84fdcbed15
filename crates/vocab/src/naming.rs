//! Turns the column names of a source into those of a table, and finds a column by either name.
//!
//! Promise: the check and the run use this one rule. It does not know what a collision means: callers
//! report it.

use std::collections::{BTreeSet, HashMap};

use arrow_schema::{Field, FieldRef, Schema};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::types::SOURCE_NAME;

/// `names:` of a project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Naming {
    /// Lower snake case, folded to ASCII.
    #[default]
    Snake,
    /// As in the source.
    Exact,
}

impl Naming {
    /// The name of a column in the table; it is never empty.
    pub fn apply(self, source: &str) -> String {
        match self {
            Naming::Exact => source.to_owned(),
            Naming::Snake => snake(source),
        }
    }

    /// Finds the source column for a name in the source or in the table: first by equal spelling, then by
    /// an equal name in the table, then the only one that differs in case.
    pub fn find<'s>(
        self,
        mut sources: impl Iterator<Item = &'s str> + Clone,
        name: &str,
    ) -> Option<usize> {
        let same = sources.clone().position(|source| source == name);
        let named = || {
            let (wanted, mut sources) = (self.apply(name), sources.clone());
            sources.position(|source| self.apply(source) == wanted)
        };
        same.or_else(named).or_else(|| {
            let alike = |source: &str| source.eq_ignore_ascii_case(name);
            let first = sources.position(alike)?;
            (!sources.any(alike)).then_some(first)
        })
    }

    /// Whether a name, in either spelling, can mean this source column. If it can mean several, `find`
    /// chooses one.
    pub fn is_same(self, name: &str, source: &str) -> bool {
        name.eq_ignore_ascii_case(source) || self.apply(name) == self.apply(source)
    }

    /// The positions of the source columns in a list of names, in either spelling.
    pub fn find_all<'s>(
        self,
        sources: impl Iterator<Item = &'s str> + Clone,
        list: &[String],
    ) -> BTreeSet<usize> {
        if list.is_empty() {
            return BTreeSet::new();
        }
        let finder = self.finder(sources);
        list.iter().filter_map(|name| finder.find(name)).collect()
    }

    /// The same as `find`, faster for many names and columns.
    pub fn finder<'s>(self, sources: impl Iterator<Item = &'s str>) -> ColumnFinder {
        let mut finder = ColumnFinder {
            naming: self,
            count: 0,
            same: HashMap::new(),
            named: HashMap::new(),
            alike: HashMap::new(),
        };
        sources.for_each(|source| finder.add(source));
        finder
    }

    /// The source's columns under their names in the table, which expressions use; if the name in the
    /// source differs, it is in the metadata.
    pub fn schema(self, source: &Schema) -> Schema {
        let field = |field: &FieldRef| named_field(field, self.apply(field.name()));
        Schema::new(source.fields().iter().map(field).collect::<Vec<_>>())
    }
}

/// Finds columns of a source by name, in constant time.
#[derive(Clone, Debug)]
pub struct ColumnFinder {
    naming: Naming,
    count: usize,
    same: HashMap<String, usize>,
    named: HashMap<String, usize>,
    /// By name without regard to case; `None` if several columns differ only in case.
    alike: HashMap<String, Option<usize>>,
}

impl ColumnFinder {
    /// Appends a column.
    pub fn add(&mut self, source: &str) {
        let at = self.count;
        self.count += 1;
        self.same.entry(source.to_owned()).or_insert(at);
        self.named.entry(self.naming.apply(source)).or_insert(at);
        self.alike
            .entry(source.to_ascii_lowercase())
            .and_modify(|only| *only = None)
            .or_insert(Some(at));
    }

    /// As `Naming::find`.
    pub fn find(&self, name: &str) -> Option<usize> {
        let named = || self.named.get(&self.naming.apply(name));
        let alike = || {
            self.alike
                .get(&name.to_ascii_lowercase())
                .copied()
                .flatten()
        };
        let found = self.same.get(name).or_else(named).copied();
        found.or_else(alike)
    }
}

/// A source's column under another name; the name in the source is kept in its metadata.
pub fn named_field(source: &Field, name: String) -> Field {
    let mut field = source.clone();
    if *source.name() != name {
        let own = source.name().clone();
        field.metadata_mut().insert(SOURCE_NAME.to_owned(), own);
    }
    field.with_name(name)
}

/// `OrderID` -> `order_id`, `Straße Nr.` -> `strasse_nr`, `2nd` -> `_2nd`, `名前` stays as it is.
fn snake(source: &str) -> String {
    let folded: String = source.chars().flat_map(fold).collect();
    let letters: Vec<char> = folded.chars().collect();
    let mut out = String::with_capacity(letters.len() + 4);
    for (index, &letter) in letters.iter().enumerate() {
        if !letter.is_alphanumeric() {
            if !out.is_empty() && !out.ends_with('_') {
                out.push('_');
            }
            continue;
        }
        if letter.is_uppercase()
            && starts_word(&letters, index)
            && !out.is_empty()
            && !out.ends_with('_')
        {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    let keep_edge = source.starts_with('_');
    let trimmed = out.trim_end_matches('_');
    match trimmed.chars().next() {
        None => "column".to_owned(),
        Some(first) if first.is_ascii_digit() || keep_edge => format!("_{trimmed}"),
        Some(_) => trimmed.to_owned(),
    }
}

/// An upper-case letter starts a word after a lower-case letter or digit (`orderId`), or between an
/// upper-case and a lower-case letter (`HTTPServer` -> `http_server`).
fn starts_word(letters: &[char], index: usize) -> bool {
    let before = index.checked_sub(1).and_then(|i| letters.get(i));
    let after = letters.get(index + 1);
    match before {
        Some(b) if b.is_lowercase() || b.is_numeric() => true,
        Some(b) if b.is_uppercase() => after.is_some_and(|a| a.is_lowercase()),
        _ => false,
    }
}

fn fold(letter: char) -> Vec<char> {
    let spelled = match letter {
        'ß' => "ss",
        'ẞ' => "SS",
        'æ' => "ae",
        'Æ' => "AE",
        'œ' => "oe",
        'Œ' => "OE",
        'ø' => "o",
        'Ø' => "O",
        'đ' => "d",
        'Đ' => "D",
        'ł' => "l",
        'Ł' => "L",
        'þ' => "th",
        'Þ' => "TH",
        'ð' => "d",
        'Ð' => "D",
        _ => return letter.nfkd().filter(|c| !is_mark(*c)).collect(),
    };
    spelled.chars().collect()
}

fn is_mark(letter: char) -> bool {
    unicode_normalization::char::is_combining_mark(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_snake_case() {
        let cases = [
            ("OrderID", "order_id"),
            ("orderId", "order_id"),
            ("HTTPServer", "http_server"),
            ("Straße Nr.", "strasse_nr"),
            ("Größe (cm)", "grosse_cm"),
            ("2nd place", "_2nd_place"),
            ("already_snake", "already_snake"),
            ("_private", "_private"),
            ("a--b", "a_b"),
            ("名前", "名前"),
            ("%", "column"),
            ("q1_2024", "q1_2024"),
        ];
        for (source, expected) in cases {
            assert_eq!(Naming::Snake.apply(source), expected, "{source}");
            assert_eq!(Naming::Snake.apply(expected), expected, "{source} twice");
        }
        assert_eq!(Naming::Exact.apply("Order ID"), "Order ID");
    }

    #[test]
    fn either_spelling_finds_a_column() {
        let sources = ["SKU", "Straße Nr.", "a", "A"];
        let find = |naming: Naming, name: &str| naming.find(sources.iter().copied(), name);
        for (name, at) in [
            ("SKU", 0),
            ("sku", 0),
            ("strasse_nr", 1),
            ("Straße Nr.", 1),
            ("A", 3),
        ] {
            assert_eq!(find(Naming::Snake, name), Some(at), "{name}");
        }
        assert_eq!(find(Naming::Exact, "sku"), Some(0));
        for naming in [Naming::Snake, Naming::Exact] {
            let finder = naming.finder(sources.iter().copied());
            for name in [
                "SKU",
                "sku",
                "Sku",
                "strasse_nr",
                "STRASSE NR.",
                "a",
                "A",
                "no",
            ] {
                assert_eq!(finder.find(name), find(naming, name), "{naming:?} {name}");
            }
        }
        let list = ["strasse_nr".to_owned(), "sku".to_owned(), "no".to_owned()];
        let all = Naming::Snake.find_all(sources.iter().copied(), &list);
        assert_eq!(all.into_iter().collect::<Vec<_>>(), [0, 1]);
        assert_eq!(find(Naming::Exact, "strasse_nr"), None);
        assert_eq!(Naming::Exact.find(["a", "A"].into_iter(), "a"), Some(0));
        let source = Schema::new(vec![Field::new("SKU", arrow_schema::DataType::Utf8, true)]);
        let named = Naming::Snake.schema(&source);
        assert_eq!(named.field(0).name(), "sku");
        assert_eq!(named.field(0).metadata()[SOURCE_NAME], "SKU");
    }
}
