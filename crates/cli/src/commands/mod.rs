//! One file per command: arguments to a use case, its report to the terminal, its end to an exit code.

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

pub(crate) use dispatch::dispatch;
