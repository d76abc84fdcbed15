//! Sets of source columns, and how edges combine along a path.
//!
//! Promise: the sets form a finite lattice and only grow, so the fixpoint of a recursive query is reached.
//! Read next: `plan.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use towpath_vocab::EdgeKind;

/// A column of a source table; an empty column means the rows of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Leaf {
    pub(super) table: Arc<str>,
    pub(super) column: Arc<str>,
}

/// Source columns, each with the kinds of its influence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sources(BTreeMap<Leaf, BTreeSet<EdgeKind>>);

impl Sources {
    pub(super) fn leaf(table: &Arc<str>, column: &str) -> Self {
        let leaf = Leaf {
            table: Arc::clone(table),
            column: Arc::from(column),
        };
        Self(BTreeMap::from([(
            leaf,
            BTreeSet::from([EdgeKind::Identity]),
        )]))
    }

    pub(super) fn insert(&mut self, leaf: Leaf, influence: EdgeKind) {
        self.0.entry(leaf).or_default().insert(influence);
    }

    pub(super) fn extend(&mut self, other: &Sources) {
        for (leaf, influences) in &other.0 {
            self.0.entry(leaf.clone()).or_default().extend(influences);
        }
    }

    /// Adds the sources of `other`, combined with `role`.
    pub(super) fn extend_as(&mut self, other: &Sources, role: EdgeKind) {
        for (leaf, influences) in &other.0 {
            let seen = influences.iter().map(|influence| through(*influence, role));
            self.0.entry(leaf.clone()).or_default().extend(seen);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Leaf, EdgeKind)> {
        self.0.iter().flat_map(|(leaf, influences)| {
            influences.iter().map(move |influence| (leaf, *influence))
        })
    }
}

/// The kind of an influence `inner` whose result is used as `role`: an indirect one wins over a direct one,
/// and of two direct ones the one that changes the value more.
pub(super) fn through(inner: EdgeKind, role: EdgeKind) -> EdgeKind {
    match (inner.is_direct(), role.is_direct()) {
        (_, false) => role,
        (false, true) => inner,
        (true, true) => inner.max(role),
    }
}

/// The sources of a node's output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flow {
    /// By position of the output column.
    pub(super) columns: Vec<Sources>,
    /// The sources that influence the rows as a whole.
    pub(super) whole: Sources,
    /// The tables whose rows become rows of the output.
    pub(super) tables: BTreeSet<Arc<str>>,
}

impl Flow {
    /// Adds what decides about the rows of `other`, because these filter, multiply or join the rows here.
    pub(super) fn take_whole(&mut self, other: &Flow) {
        self.whole.extend(&other.whole);
        self.tables.extend(other.tables.iter().cloned());
    }

    /// Merges column by column; false if the numbers of columns differ.
    pub(super) fn merge(&mut self, other: &Flow) -> bool {
        self.take_whole(other);
        for (mine, theirs) in self.columns.iter_mut().zip(&other.columns) {
            mine.extend(theirs);
        }
        self.columns.len() == other.columns.len()
    }

    /// All sources: of each column, of the rows as a whole, and the presence of rows of its tables.
    pub(super) fn everything(&self, role: EdgeKind) -> Sources {
        let mut all = Sources::default();
        for column in &self.columns {
            all.extend_as(column, role);
        }
        all.extend_as(&self.presence(), role);
        all
    }

    /// The sources that decide which rows there are.
    pub(super) fn presence(&self) -> Sources {
        let mut rows = self.whole.clone();
        for table in &self.tables {
            rows.insert(
                Leaf {
                    table: Arc::clone(table),
                    column: Arc::from(""),
                },
                EdgeKind::Transformation,
            );
        }
        rows
    }
}
