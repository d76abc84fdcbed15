//! Column lineage: edges from source columns to target columns, in the terms of OpenLineage.
//!
//! Promise: an edge says whether the value itself goes into the target, or only influences it.
//! `sql::lineage` finds the edges and `app::lineage` follows them; this file only has the types.

use serde::{Deserialize, Serialize};

/// A column in the lakehouse (`raw.flights`) or in an external system (`data/flights.csv.gz`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ColumnRef {
    /// The table: `schema.table` in the lakehouse, or `connection:object` in an external system.
    pub table: String,
    /// The column; empty when the whole table is meant (filters, joins).
    pub column: String,
}

/// How a source column influences a target column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EdgeKind {
    /// The value unchanged.
    Identity,
    /// The value is computed from it.
    Transformation,
    /// The value is aggregated from it.
    Aggregation,
    /// It decides which value (CASE, COALESCE).
    Conditional,
    /// It decides which rows (WHERE, HAVING).
    Filter,
    /// It decides which rows are joined (JOIN).
    Join,
    /// Rows are grouped by it.
    GroupBy,
    /// Rows are ordered by it.
    Sort,
    /// It partitions or orders a window.
    Window,
}

impl EdgeKind {
    /// True if the value itself goes into the target, false if it only influences it.
    pub fn is_direct(self) -> bool {
        matches!(
            self,
            EdgeKind::Identity | EdgeKind::Transformation | EdgeKind::Aggregation
        )
    }
}

/// One edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ColumnEdge {
    /// Where it comes from.
    pub from: ColumnRef,
    /// Where it goes.
    pub to: ColumnRef,
    /// How.
    pub influence: EdgeKind,
}

/// All edges into one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableLineage {
    /// Tables read, in the form of `ColumnRef::table`.
    pub inputs: Vec<String>,
    /// Column edges, sorted, without repeats.
    pub edges: Vec<ColumnEdge>,
    /// True if a part could not be followed; then there may be more edges.
    pub partial: bool,
}
