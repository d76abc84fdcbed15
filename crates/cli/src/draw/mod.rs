//! How reports look on a terminal.
//!
//! Promise: only formatting; no report is computed here. One file per kind of report; `numbers.rs`
//! formats numbers, `rows.rs` tables.

mod diagnostics;
mod json;
mod live;
mod numbers;
mod plan;
mod report;
mod rows;
mod run_display;

pub(crate) use diagnostics::{check_summary, diagnostics, diagnostics_json, failure};
pub(crate) use json::{json, json_line};
pub(crate) use live::Live;
pub(crate) use numbers::{bytes, count, plural, seconds};
pub(crate) use plan::{plan, settings};
pub(crate) use report::run_report;
pub(crate) use rows::{RowPrinter, text_table};
pub(crate) use run_display::{RunDisplay, moved, waits};
