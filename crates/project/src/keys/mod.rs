//! Every key of every project file, declared once: its name, its kind of value, one line of documentation.
//!
//! Promise: the parser, the suggestions for unknown keys and the JSON Schemas use this declaration and
//! nothing else. It does not know values. Read next: `shape.rs`, which applies it, and `json_schema.rs`.

mod declare;
#[cfg(test)]
pub(crate) mod obeyed;
mod pipeline;
mod root;
mod table;

pub(crate) use declare::{Key, KeySchema, Kind};
pub(crate) use pipeline::{PIPELINE, STEP, VERBS, verbs_of};
pub(crate) use root::{CONNECTION, LIMITS, ROOT, SCHEMAS};
pub(crate) use table::{CHECK, CHECK_KINDS, PUBLISH_TABLE, RULES, TABLE};
