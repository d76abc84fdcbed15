//! Renders one file of dbt's Jinja: first to find its references, then to SQL.
//!
//! Promise: it is pure and repeatable: the same text, values and answers give the same SQL. Every question
//! about the warehouse goes through `vocab::Introspect`, in the order of the template. A mistake has a
//! file, bytes and what to do; positions in the SQL can be converted to positions in the template. It knows
//! no file system, no SQL grammar, no environment of the process and no clock. Read next: `scan.rs`,
//! `render.rs`, then `context.rs` (the functions of a template).

mod bounds;
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
mod weight;

pub use codes::CODES;
pub use macros::MacroFile;
pub use problem::{Mistake, TemplateProblem};
pub use reference::{EnvVar, Reference, ReferenceKind, Vars};
pub use render::{Render, Rendered, render};
pub use scan::{Scan, scan};
pub use source_map::SourceMap;
