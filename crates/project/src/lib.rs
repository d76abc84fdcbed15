//! From the files of a project to a checked plan: parse -> bind -> check -> plan.
//!
//! Promise: it is pure and synchronous. Files, connector specs and facts come in as values. It returns a
//! `Plan`, and all mistakes at once, each with its position and what to do. It never reads a disk, an
//! environment or a clock, never sees the value of a secret, and knows connectors only by their specs. Read
//! next: `check.rs` (the four phases), `keys/mod.rs` (every key), `codes.rs` (every mistake).

mod alerts;
mod audit_columns;
mod bind;
mod bound;
mod calls;
mod check;
mod checks;
mod codes;
mod columns;
mod command;
mod connection;
mod context;
mod dbt;
mod deletes;
mod empty;
mod graph;
mod inputs;
mod json_schema;
mod keys;
mod keys_page;
mod literal;
mod live;
mod load;
mod masked;
mod models;
mod outline;
mod outside_table;
mod params;
mod parsed;
mod publish;
mod report;
mod row_history;
mod rules;
mod schedule;
mod schema_policy;
mod schemas;
mod select;
mod settings;
mod shape;
mod sqltext;
mod step;
mod suggest;
mod table;
mod unused;
mod value;
mod yaml;

pub use bind::{LateValue, fill_run_values, unfit_text};
pub use check::check;
pub use codes::CODES;
pub use inputs::{CheckInputs, CheckedProject, Summary};
pub use json_schema::{
    json_schema_connection, json_schema_pipeline, json_schema_schemas, json_schema_towpath,
};
pub use keys_page::keys_page;
pub use live::{KnownColumns, compare, gone, unreachable};
pub use outline::{
    KnownTable, OutlinedConnection, connections_of, environment_of, project_of, read_schemas,
    state_of,
};
pub use schemas::{ReadOptions, write_schemas, yaml_text};
pub use select::{SelectError, TaskSelection, after, choose, keep};
pub use settings::Setting;
pub use suggest::nearest;
pub use value::{memory_bytes, threshold};
