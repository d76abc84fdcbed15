//! Every key of every project file, declared once: its name, its kind of value, one line of documentation.
//!
//! Promise: the parser, the suggestions for unknown keys and the JSON Schemas use this declaration and
//! nothing else. It does not know values. Rules and checks are declared where they are read (`rules.rs`,
//! `checks/kinds.rs`). Read next: `shape.rs`, which applies the declaration, and `json_schema.rs`.

mod declare;
#[cfg(test)]
pub(crate) mod obeyed;
mod pipeline;
mod root;
mod table;

pub(crate) use crate::checks::kinds::CHECK;
pub(crate) use declare::{BOUNDS, Key, KeySchema, Kind, key};
pub(crate) use pipeline::{PIPELINE, STEP, VERBS, verbs_of};
pub(crate) use root::{CONNECTION, LIMITS, ROOT, SCHEMAS};
pub(crate) use table::{CHECK_SETTINGS, PUBLISH_TABLE, TABLE};
