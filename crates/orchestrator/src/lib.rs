//! Runs a compiled graph: order, parallel tasks, retries, timeouts, cancel, resume.
//!
//! Promise: `decide` is a pure function of the run's view, an event and the moment; the driver does
//! what it says and nothing else, and writes each change into the state store before it acts on it. What a
//! task does is behind `TaskExecutor`; nothing here knows a table, a connector or a clock of its own.
//! Read next: `trigger.rs` (when a task may start), `decide.rs`, `driver.rs`, `process.rs`.

mod attempt;
mod codes;
mod decide;
mod driver;
mod due;
mod error;
mod fair;
mod following;
mod lease;
mod log;
mod notification;
mod pause;
mod process;
mod reconnect;
mod scheduler;
mod stopping;
mod trigger;
mod view;

pub use attempt::{AttemptSuccess, TaskExecutor};
pub use codes::CODES;
pub use driver::{RunSetup, RunSummary, drive};
pub use due::{ScheduledPipeline, due};
pub use error::{is_late, not_running, panicked_run, parallel_backfill, still_running};
pub use fair::FairOrder;
pub use lease::keep as keep_lease;
pub use notification::{DriveObserver, RunNotification};
pub use pause::{end_pause, in_force, pause, resume};
pub use process::LocalProcesses;
pub use reconnect::{ReconnectLimit, ReconnectPause, reach};
pub use scheduler::{Scheduler, Tick};

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod process_tests;
#[cfg(test)]
mod run_tests;
#[cfg(test)]
mod scheduler_tests;
#[cfg(test)]
mod simulated_store;
#[cfg(test)]
mod simulation_tests;
#[cfg(test)]
mod stop_simulation_tests;
#[cfg(test)]
mod stop_tests;
#[cfg(test)]
mod two_worker_tests;
