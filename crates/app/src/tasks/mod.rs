//! What a task does: load a table, build a model, run a command, publish a table.
//!
//! `orchestrator` decides when a task runs; this folder decides how, with one file for each action. What
//! writes a table ends in `write_table.rs`, which transfers the rows and writes the state store. Read next:
//! `executor.rs` (the executor of a run), `dispatch.rs`, `load.rs`.

mod appended;
mod call;
mod changes;
pub(crate) mod codes;
mod columns;
mod command;
mod commit_recorder;
mod completion_marker;
mod dispatch;
mod executor;
mod fingerprint;
mod folders;
mod forecast;
mod generation;
mod interrupted_publish;
mod kept_results;
mod load;
mod load_lineage;
mod model;
mod nondeterministic;
mod observed_types;
mod output_files;
mod overwritten;
mod publish;
mod recovered;
mod run_values;
mod sent_version;
mod write_table;

pub(crate) use executor::{IntervalTexts, RunExecutor, RunExecutorOptions, RunScope, TaskDone};
pub(crate) use fingerprint::stable_parts;
pub(crate) use folders::{logs_in, run_folder, run_id, task_folder, tidy};
pub use forecast::{Forecast, PlannedEffect};
pub(crate) use load::load_spec;
pub(crate) use nondeterministic::changing_models;
pub(crate) use observed_types::observed;
pub(crate) use recovered::{all_done, is_lost};
