//! The input and the result of a check.
//!
//! Promise: they are plain values, so a check is a function. It knows no phase of the check. Read next:
//! `check.rs`.

use std::collections::BTreeMap;

use serde::Serialize;
use towpath_vocab::{ConnectorSpec, Diagnostic, Facts, OptionValue, Plan};

use crate::settings::Setting;

/// The input of a check.
pub struct CheckInputs<'a> {
    /// The project's text files: path with `/`, relative to the project folder.
    pub files: &'a BTreeMap<String, String>,
    /// What each connector can do.
    pub specs: &'a [ConnectorSpec],
    /// The known facts.
    pub facts: &'a Facts,
    /// `--env`; `None` means `default_environment`.
    pub environment: Option<&'a str>,
    /// Environment variables for `${env:}`; only options that are not secret are bound.
    pub variables: &'a BTreeMap<String, String>,
    /// `--param`.
    pub params: &'a BTreeMap<String, String>,
}

/// The result of a check.
#[derive(Debug)]
pub struct CheckedProject {
    /// `None` if there is an error.
    pub plan: Option<Plan>,
    /// The part that could be planned although there are errors, if the environment and its lakehouse are
    /// known; for commands that only read.
    pub partial: Option<Plan>,
    /// All diagnostics, by file and place.
    pub diagnostics: Vec<Diagnostic>,
    /// Each setting of each table with its file and line.
    pub explain: Vec<Setting>,
    /// The URL of the state store, if the project names one.
    pub state: Option<OptionValue>,
    /// The memory budget, if the project names one.
    pub memory_bytes: Option<u64>,
    /// The summary.
    pub summary: Summary,
}

/// The numbers of checked items and of diagnostics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Files of the project.
    pub files: usize,
    /// Pipelines.
    pub pipelines: usize,
    /// Tables that are loaded.
    pub loads: usize,
    /// Models.
    pub models: usize,
    /// Tables that are published.
    pub publishes: usize,
    /// Errors.
    pub errors: usize,
    /// Warnings.
    pub warnings: usize,
    /// Notes.
    pub notes: usize,
}
