//! Models: SQL that is rendered with live answers, planned, and read like any other source.
//!
//! Promise: the rows of a model come through the same `ports::Reader` as those of a load, so `flow` applies
//! rules, checks and commits to both. A model that runs out of memory is planned once more, in a form that
//! needs less. It knows no writer and no check. Read next: `run.rs`, then `reader.rs`.

mod answers;
mod reader;
mod render;
mod run;
mod stored_types;
mod view;

#[cfg(test)]
mod tests;
