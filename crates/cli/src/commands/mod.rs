//! One file per command.
//!
//! A command turns its arguments into a request for one use case of `app`, prints the report, and returns
//! an exit code. Read next: `dispatch.rs` (the list), `project_args.rs` (how a command opens a project).

mod alerts;
mod backfill;
mod cancel;
mod check;
mod connection;
mod copy;
mod dispatch;
mod init;
mod lake;
mod lineage;
mod logs;
mod project_args;
mod quality;
mod quarantine;
mod query;
mod reference;
mod rerun;
mod run;
mod runs;
mod schedule;
mod serve;
mod token;

pub(crate) use dispatch::dispatch;
