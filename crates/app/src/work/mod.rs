//! What a task does: loads a table, builds a model, runs a program, publishes a table.
//!
//! `orchestrator` decides when; this folder decides how, one file per verb. Each ends in
//! `write_table.rs`: the same few lines that give out a generation, transfer the rows and write the state store.

mod changes;
mod changing;
mod columns;
mod command;
mod dispatch;
mod fingerprint;
mod finished;
mod folders;
mod forecast;
mod fresh;
mod generation;
mod history;
mod left;
mod load;
mod model;
mod observed;
mod overwritten;
mod publish;
mod recovered;
mod scope;
mod sent;
mod write_table;

pub(crate) use changing::changing_models;
pub(crate) use fingerprint::stable_parts;
pub(crate) use folders::{logs_in, run_folder, run_id, task_folder, tidy};
pub use forecast::{Forecast, PlannedEffect};
pub(crate) use load::load_spec;
pub(crate) use observed::observed;
pub(crate) use recovered::{all_done, is_lost};
pub(crate) use scope::{RunExecutor, RunExecutorOptions, RunScope, TaskDone};
