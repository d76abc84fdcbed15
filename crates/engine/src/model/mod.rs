//! Models: SQL rendered where its answers are, planned, and read like any source.
//!
//! Promise: a model's rows come through the same `ports::Reader` as a load's, so that rules, checks
//! and commits are written once, in `flow`. A model that runs out of memory is planned once more with
//! what needs less. It knows no writer and no check. Read next: `run.rs`, then `reader.rs`.

mod answers;
mod reader;
mod render;
mod run;
mod view;

#[cfg(test)]
mod tests;
