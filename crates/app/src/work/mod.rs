//! What a task does: loads a table, builds a model, runs a program, publishes a table.
//!
//! `orchestrator` decides when; this folder decides how, one file per verb. Each ends in
//! `tow.rs`: the same few lines that give out a generation, carry the rows and write the book.

mod changes;
mod changing;
mod command;
mod dispatch;
mod fingerprint;
mod finished;
mod fresh;
mod generation;
mod load;
mod model;
mod publish;
mod scope;
mod tow;

pub(crate) use changing::changing_models;
pub(crate) use command::program_log;
pub(crate) use fingerprint::essence;
pub(crate) use generation::{has_fingerprint, keeps_place, stamped};
pub(crate) use load::load_spec;
pub(crate) use scope::{Scope, TaskDone, Work, WorkOptions};
