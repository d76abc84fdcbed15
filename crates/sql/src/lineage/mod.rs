//! Column lineage: which source columns bear on which result columns, and how.
//!
//! Read off the resolved, type-coerced, unoptimised plan, so that no rewriting hides an influence.
//! Identity is the position in a node's columns, never a name. What bears on rows as a whole
//! (filters, joins, grouping, order) has an empty target column; a source column is empty where only
//! the presence of rows matters (`count(*)`, `EXISTS`). What cannot be followed sets `partial`.
//! Read next: `plan.rs` (nodes), `expr.rs` (expressions).

mod expr;
mod flow;
mod plan;

pub(crate) use plan::of;
