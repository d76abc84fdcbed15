//! `--select` and `--exclude`: selects tasks of a plan, in dbt's grammar.
//!
//! Promise: it is pure. A word that matches nothing is an error with the nearest names, so a run never does
//! silently less than was asked. A blank means union, a comma intersection; `+x`, `x+`, `2+x+1`, `@x` and
//! `*` are supported. It knows no run. Read next: `grammar.rs` (parses the text), `meaning.rs` (finds the
//! tasks), `graph.rs` (neighbours, and the pipeline of the selected tasks).

mod error;
mod grammar;
mod graph;
mod meaning;

pub use error::SelectError;
pub use graph::{after, keep};
pub use meaning::{TaskSelection, choose};
