//! One SQL statement at a time: is it right, what are its types, where does each column come from.
//!
//! Promise: pure functions from text and known tables to a verdict with three outcomes: proven,
//! unknown (a table or type is not known yet) and wrong (a proven mistake with its place and what to do).
//! It owns the one function registry, which `engine` installs too, so that both mean the same SQL.
//! It deliberately knows no session, no physical plan, no file and no connection.
//! Read next: `analyze.rs` (the three outcomes), `lineage/mod.rs`, `functions/mod.rs`.

mod alternation;
mod analyze;
mod balance;
mod catalog;
mod changing;
mod codes;
mod combined;
mod comparison;
mod decimals;
mod depth;
mod dialect;
mod expression;
mod forms;
mod fractions;
mod functions;
mod grouping;
mod halves;
mod headings;
mod leftover;
mod lineage;
mod listed;
mod membership;
mod mend;
mod merged;
mod mixed;
mod moment;
mod names;
mod nodes;
mod nullable;
mod operators;
mod ordered;
mod own_names;
mod place;
mod problem;
mod quantified;
mod refusals;
mod result_names;
mod rounding;
mod rows;
mod spelling;
mod statement;
mod suggest;
mod unread;
mod unread_calls;
mod windows;
mod wording;

pub use analyze::{Analysis, AnalysisResult, analyze, inputs, settled};
pub use catalog::TableLookup;
pub use changing::{changing_calls, changing_in_expression, changing_words};
pub use codes::CODES;
pub use comparison::PostgresSemantics;
pub use depth::{DEEPEST, check_text, depth};
pub use dialect::{SQL_DIALECT, SqlDialect};
pub use expression::{ExpressionInfo, PlannedExpression, expression, plan_expression};
pub use functions::quotient::quotients;
pub use functions::{Functions, functions};
pub use headings::UnnamedColumn;
pub use merged::MergedKeys;
pub use moment::{asks_clock, at_moment};
pub use ordered::OrderedIntervals;
pub use own_names::in_own_names;
pub use problem::SqlProblem;
pub use result_names::column_names;
pub use rounding::RoundedCasts;
pub use statement::{DIALECT, SETTINGS, query};
pub use suggest::closest;
pub use towpath_vocab::{literal, quote, quote_table};
