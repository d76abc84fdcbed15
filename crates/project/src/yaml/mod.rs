//! YAML text to a tree in which every value knows its place.
//!
//! Promise: any text gives a tree or diagnostics with a place, never a panic and never unbounded
//! memory. It does not know what keys mean (see `shape`) and binds nothing (see `bind`).
//! Why it uses saphyr-parser's events: `docs/decisions/0004-yaml-parser.md`.

mod parse;
mod traps;
mod tree;

pub(crate) use parse::{Dialect, parse};
pub(crate) use traps::bare_boolean;
pub(crate) use tree::{Entry, Map, Node, Value};

#[cfg(test)]
mod tests;
