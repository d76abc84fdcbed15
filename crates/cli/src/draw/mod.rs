//! How reports look on a terminal. Words and shapes only: no report is computed here.

mod diagnostics;
mod numbers;
mod plan;
mod report;
mod rows;
mod watch;

pub(crate) use diagnostics::{check_summary, diagnostics, diagnostics_json, failure};
pub(crate) use numbers::{bytes, count, plural, seconds};
pub(crate) use plan::{plan, settings};
pub(crate) use report::run_report;
pub(crate) use rows::{RowPrinter, text_table};
pub(crate) use watch::RunWatch;

use towpath_vocab::{Failure, Remedy};

/// One JSON value on standard output.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        Failure::new(
            "R0993",
            Remedy::Bug,
            format!("the report is no JSON: {error}"),
        )
    })?;
    println!("{text}");
    Ok(())
}
