//! What a project allows when the columns of a source differ from those of the table (`schema_change`).
//!
//! Promise: it travels in the options of a write, under a name that no key of a project has, so plans that
//! allow everything are as before. What `flow` does not do itself is left to the destination as a
//! `SchemaChange`. It looks at no columns. Read next: `flow/src/schema_policy.rs`, which judges them.

use serde_json::{Value, json};

use crate::{SchemaChange, WritePlan};

/// The write option that holds a `SchemaPolicy`.
const OPTION: &str = "towpath:schema_change";

/// What happens when columns, or the type of one, are not those of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChangePolicy {
    /// The table takes the change.
    #[default]
    Evolve,
    /// The load stops before anything is written.
    Freeze,
    /// The value is left out, the rest of the row is written.
    DiscardValue,
    /// A record with such a value is rejected.
    QuarantineRow,
}

impl ChangePolicy {
    /// Its word in a project.
    pub fn word(self) -> &'static str {
        match self {
            Self::Evolve => "evolve",
            Self::Freeze => "freeze",
            Self::DiscardValue => "discard_value",
            Self::QuarantineRow => "quarantine_row",
        }
    }

    /// The policy of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        [
            Self::Evolve,
            Self::Freeze,
            Self::DiscardValue,
            Self::QuarantineRow,
        ]
        .into_iter()
        .find(|policy| policy.word() == word)
    }
}

/// What a table allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchemaPolicy {
    /// For columns that are new, or that no longer come.
    pub columns: ChangePolicy,
    /// For columns whose type is another one.
    pub types: ChangePolicy,
}

impl SchemaPolicy {
    /// What a write allows; `None` where the destination alone judges.
    pub fn of(write: &WritePlan) -> Option<Self> {
        let stored = write.options.get(OPTION)?;
        let policy = |key: &str| {
            let word = stored.get(key).and_then(Value::as_str);
            word.and_then(ChangePolicy::of_word).unwrap_or_default()
        };
        Some(Self {
            columns: policy("columns"),
            types: policy("types"),
        })
    }

    /// Puts it where `flow` and the destination find it.
    pub fn put(self, write: &mut WritePlan) {
        Self::clear(write);
        if self == Self::default() {
            return;
        }
        write.schema_change = match (self.columns, self.types) {
            (_, ChangePolicy::Evolve) => SchemaChange::Evolve,
            (ChangePolicy::Freeze, ChangePolicy::Freeze) => SchemaChange::Fail,
            _ => SchemaChange::AddColumns,
        };
        let stored = json!({ "columns": self.columns.word(), "types": self.types.word() });
        write.options.insert(OPTION.to_owned(), stored);
    }

    /// A column that does not come is no change: of some records, or of a source whose records have only the
    /// members that they need, nobody knows which columns there are.
    pub fn allow_absent(write: &mut WritePlan) {
        if let Some(stored) = write.options.get_mut(OPTION).and_then(Value::as_object_mut) {
            stored.insert("absent".to_owned(), Value::Bool(true));
            if write.schema_change == SchemaChange::Fail {
                write.schema_change = SchemaChange::AddColumns;
            }
        }
    }

    /// Whether a column that does not come is no change.
    pub fn allows_absent(write: &WritePlan) -> bool {
        let stored = write.options.get(OPTION);
        stored.and_then(|stored| stored.get("absent")) == Some(&Value::Bool(true))
    }

    /// Allows everything: the table is written anew.
    pub fn clear(write: &mut WritePlan) {
        write.options.remove(OPTION);
        write.schema_change = SchemaChange::Evolve;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::WriteMode;

    #[test]
    fn what_is_put_is_what_is_found() {
        use ChangePolicy as P;
        let mut write = WritePlan {
            mode: WriteMode::Append,
            key: Vec::new(),
            schema_change: SchemaChange::Evolve,
            options: BTreeMap::new(),
        };
        for (columns, types, change) in [
            (P::Freeze, P::Freeze, SchemaChange::Fail),
            (P::Freeze, P::Evolve, SchemaChange::Evolve),
            (P::Evolve, P::Freeze, SchemaChange::AddColumns),
            (P::DiscardValue, P::QuarantineRow, SchemaChange::AddColumns),
        ] {
            let policy = SchemaPolicy { columns, types };
            policy.put(&mut write);
            assert_eq!(SchemaPolicy::of(&write), Some(policy));
            assert_eq!(write.schema_change, change);
        }
        SchemaPolicy {
            columns: P::Freeze,
            types: P::Freeze,
        }
        .put(&mut write);
        assert!(!SchemaPolicy::allows_absent(&write));
        SchemaPolicy::allow_absent(&mut write);
        assert!(SchemaPolicy::allows_absent(&write));
        assert_eq!(write.schema_change, SchemaChange::AddColumns);
        SchemaPolicy::default().put(&mut write);
        assert_eq!(SchemaPolicy::of(&write), None);
        assert_eq!(write.schema_change, SchemaChange::Evolve);
        assert!(write.options.is_empty());
        assert_eq!(P::of_word("drop"), None);
    }
}
