//! Parses YAML to a tree in which every value has its position.
//!
//! Promise: any text gives a tree or diagnostics with a position, never a panic and never unlimited memory.
//! It does not know what keys mean (see `shape.rs`) and binds nothing (see `bind.rs`). Why it uses the
//! events of saphyr-parser: `docs/decisions/0004-yaml-parser.md`.

mod parse;
mod traps;
mod tree;

pub(crate) use parse::{Dialect, parse};
pub(crate) use traps::bare_boolean;
pub(crate) use tree::{Entry, Map, Node, Value};

#[cfg(test)]
mod tests;
