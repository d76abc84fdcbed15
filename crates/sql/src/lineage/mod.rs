//! Column lineage: which source columns influence which result columns, and how.
//!
//! Promise: it is derived from the resolved, type-coerced, unoptimised plan, so no rewrite hides an
//! influence. A column is identified by its position in a node, never by its name. An influence on rows as
//! a whole (filters, joins, grouping, order) has an empty target column; a source column is empty if only
//! the presence of rows counts (`count(*)`, `EXISTS`). If something cannot be followed, `partial` is set.
//! Read next: `plan.rs` (nodes), `expr.rs` (expressions).

mod expr;
mod flow;
mod plan;

pub(crate) use plan::of;
