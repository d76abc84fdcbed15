//! Use cases as functions: check, plan, run, query, replay, and the ones that show what happened.
//!
//! Promise: each takes values and gives a report; nothing here prints, parses arguments or speaks
//! HTTP. It reads the project folder, joins connector specs with factories and wires the ports. Read
//! next: `house.rs` (what is wired), `run.rs` (a run from folder to report), `work/` (one task).

mod check;
mod copy;
mod discovery;
mod facts;
mod folder;
mod history;
mod house;
mod lineage;
mod memory;
mod quarantine;
mod query;
mod report;
mod run;
mod select;
mod system;
mod work;

pub use check::{CheckReport, CheckRequest, check, explanation};
pub use copy::{CopyRequest, copy};
pub use folder::{ProjectFolder, find_project};
pub use history::{QualityLine, Why, logs, quality, runs, why};
pub use house::House;
pub use lineage::{Direction, LineageReport, lineage};
pub use memory::peak_rss_bytes;
pub use quarantine::{
    QuarantineLine, ReplayReport, quarantine_discard, quarantine_list, quarantine_query,
    quarantine_replay,
};
pub use query::{QueryRequest, query};
pub use report::{RunReport, StepReport, TableReport, Unchanged};
pub use run::{Ran, RunRequest, Watch, run};
pub use system::{LocalSystem, time_text};

/// What every use case gives back.
pub type Result<T, E = towpath_vocab::Failure> = std::result::Result<T, E>;
