//! `cargo xtask tidy`: runs every repository rule and prints what is broken.
//!
//! The list `RULES` is the only place that names a rule; a new one is a file in `rules/` and a line here.
//! Rules that call another program (`features`, `generated`) run after those that only read. Read next:
//! `rules/arrows.rs`.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::finding::Finding;
use crate::workspace::{self, Workspace};
use crate::{features, rules};

type Rule = fn(&Workspace) -> Vec<Finding>;

/// Rules that only read.
const RULES: &[Rule] = &[
    rules::arrows::check,
    rules::fences::check,
    rules::crate_table::check,
    rules::versions::check,
    rules::licences::check,
    rules::unused::check,
    rules::circles::check,
    rules::files::check_length,
    rules::files::check_header,
    rules::files::check_name,
    rules::words::check_machine_paths,
    rules::words::check_unfinished,
    rules::codes::check,
];

/// Runs all rules on the tree. `metadata` replaces the answer of `cargo metadata`; then the rules
/// that ask another program are left out, as they would ask about the real workspace.
pub(crate) fn run(metadata: Option<PathBuf>) -> Result<bool> {
    let root = workspace::root();
    let findings = findings(&root, metadata.as_deref())?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: the workspace is in order");
    } else {
        eprintln!("tidy: {} broken", findings.len());
    }
    Ok(findings.is_empty())
}

fn findings(root: &Path, metadata: Option<&Path>) -> Result<Vec<Finding>> {
    let workspace = Workspace::load(root, metadata)?;
    let mut findings = reading(&workspace);
    if metadata.is_some() {
        return Ok(findings);
    }
    findings.extend(rules::generated::check(root));
    findings.extend(features::check(root).unwrap_or_else(|error| {
        vec![Finding::new("features", "cargo tree", format!("{error:#}"))]
    }));
    Ok(findings)
}

/// What the rules that only read find.
pub(crate) fn reading(workspace: &Workspace) -> Vec<Finding> {
    RULES.iter().flat_map(|rule| rule(workspace)).collect()
}
