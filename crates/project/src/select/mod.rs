//! `--select` and `--exclude`: which tasks of a plan are meant, in dbt's grammar.
//!
//! Promise: pure, and a word that means nothing is an error with the nearest names, never a run that
//! does less than was asked. Union by blank, intersection by comma, `+x`, `x+`, `2+x+1`, `@x`, `*`.
//! It knows no run and no state of one. Read next: `grammar.rs` (text to words), `meaning.rs` (words
//! to tasks), `graph.rs` (neighbours, and a pipeline without the tasks that are left out).

mod error;
mod grammar;
mod graph;
mod meaning;

pub use error::SelectError;
pub use graph::{after, keep};
pub use meaning::{TaskSelection, choose};
