//! Which tables the rows of a relation are in, and whether they are still the same ones.
//!
//! Promise: a table that joined (a partition was attached), was exchanged (renamed away, made anew)
//! or rewritten (`ALTER TABLE`, `TRUNCATE`) since the last read is noticed, because the transactions
//! its rows carry then no longer tell which of them were given. It asks nothing of a server and
//! decides nothing about rows: `cursor.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::catalog::CatalogRelation;

/// So many tables that are gone are remembered.
const MOST_GONE: usize = 10_000;

/// The tables of a relation at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Members {
    /// Where each one's rows are stored, by its identity. Both are the server's numbers.
    tables: BTreeMap<u32, u32>,
    /// Those that belonged to the relation once, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gone: Vec<u32>,
}

/// What happened to the tables of a relation between two reads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Never seen before, while no other one left: none of their rows was given.
    pub(super) joined: Vec<u32>,
    /// New, but another one left or they belonged to it before: some of their rows may be given.
    pub(super) exchanged: Vec<u32>,
    /// The same tables with another storage.
    pub(super) rewritten: Vec<u32>,
}

impl Members {
    pub(super) fn of(tables: &[CatalogRelation]) -> Self {
        Self {
            tables: tables
                .iter()
                .map(|table| (table.oid, table.filenode))
                .collect(),
            gone: Vec::new(),
        }
    }

    /// What changed since `before`, which is remembered from now on.
    pub(super) fn follow(&mut self, before: &Self) -> Change {
        let new = |oid: &&u32| !before.tables.contains_key(oid);
        let new: Vec<u32> = self.tables.keys().filter(new).copied().collect();
        let left: Vec<u32> = before
            .tables
            .keys()
            .filter(|oid| !self.tables.contains_key(oid))
            .copied()
            .collect();
        let rewritten = self
            .tables
            .iter()
            .filter(|(oid, filenode)| before.tables.get(oid).is_some_and(|old| old != *filenode))
            .map(|(oid, _)| *oid)
            .collect();
        let stays = left.is_empty() && before.gone.len() < MOST_GONE;
        let (joined, exchanged) = new
            .into_iter()
            .partition(|oid| stays && !before.gone.contains(oid));
        let gone = before
            .gone
            .iter()
            .filter(|oid| !self.tables.contains_key(oid));
        self.gone = gone.copied().chain(left).collect();
        self.gone.drain(..self.gone.len().saturating_sub(MOST_GONE));
        Change {
            joined,
            exchanged,
            rewritten,
        }
    }
}

/// True for rows that stand in one of these tables.
pub(super) fn stand_in(tables: &[u32]) -> String {
    let list: Vec<String> = tables.iter().map(ToString::to_string).collect();
    format!("tableoid IN ({})", list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(tables: &[(u32, u32)]) -> Members {
        Members {
            tables: tables.iter().copied().collect(),
            gone: Vec::new(),
        }
    }

    #[test]
    fn tables_that_come_go_and_come_back() {
        let one = members(&[(1, 10), (2, 20)]);
        let mut two = members(&[(1, 11), (2, 20), (3, 30)]);
        let change = two.follow(&one);
        assert_eq!((change.joined, change.rewritten), (vec![3], vec![1]));
        let mut three = members(&[(2, 20), (3, 30), (4, 40)]);
        let change = three.follow(&two);
        assert_eq!((change.joined, change.exchanged), (vec![], vec![4]));
        let mut four = members(&[(1, 11), (2, 20), (3, 30), (4, 40), (5, 50)]);
        let change = four.follow(&three);
        assert_eq!((change.joined, change.exchanged), (vec![5], vec![1]));
        assert_eq!(four.gone, [0_u32; 0]);
    }
}
