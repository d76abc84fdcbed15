//! Renders one file of dbt-style Jinja: first to see what it refers to, then to SQL.
//!
//! Promise: pure and repeatable; the same text, values and answers give the same SQL. Every question
//! about the warehouse goes through `vocab::Introspect`, in the order the template asks. Mistakes
//! have a file, bytes and what to do; places in the SQL lead back to places in the template.
//! It deliberately knows no file, no SQL grammar, no environment of the process and no clock.
//! Read next: `scan.rs`, `render.rs`, then `context.rs` (what a template can call).

mod builtins;
mod codes;
mod context;
mod ephemeral;
mod guards;
mod handles;
mod json;
mod limits;
mod macros;
mod objects;
mod problem;
mod python;
mod reference;
mod render;
mod scan;
mod segments;
mod session;
mod source_map;
mod warehouse;

pub use codes::CODES;
pub use macros::MacroFile;
pub use problem::{Mistake, TemplateProblem};
pub use reference::{EnvVar, Reference, ReferenceKind, Vars};
pub use render::{Render, Rendered, render};
pub use scan::{Scan, scan};
pub use source_map::SourceMap;
