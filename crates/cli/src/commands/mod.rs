//! One file per command: arguments to a use case, its report to the terminal, its end to an exit code.

mod check;
mod copy;
mod dispatch;
mod houses;
mod lineage;
mod quality;
mod quarantine;
mod query;
mod run;
mod runs;

pub(crate) use dispatch::dispatch;
