//! Which crate of the workspace may import which.
//!
//! Promise: `MAY_IMPORT` is the whole list; `crate_table.rs` keeps the table in `ARCHITECTURE.md` equal to
//! the manifests. A dev-dependency may also be `testkit` or `features`, and tests of `flow` and
//! `orchestrator` may use real adapters. Crates of other projects are in `fences.rs`.

use crate::finding::Finding;
use crate::workspace::{Use, Workspace};

/// Package prefix of all crates but the binary.
const PREFIX: &str = "towpath-";

/// All crates below the roof, in the order of the floors.
const BELOW_THE_ROOF: &[&str] = &[
    "project",
    "sql",
    "template",
    "schedule",
    "orchestrator",
    "quarantine",
    "flow",
    "ports",
    "connectors",
    "engine",
    "state",
    "vocab",
];

/// The crates each crate may import. A crate that is not here may import nothing.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("project", &["schedule", "sql", "template", "vocab"]),
    ("sql", &["vocab"]),
    ("template", &["vocab"]),
    ("schedule", &["vocab"]),
    ("orchestrator", &["ports", "processes", "schedule", "vocab"]),
    ("quarantine", &["flow", "ports", "vocab"]),
    ("flow", &["ports", "vocab"]),
    ("ports", &["vocab"]),
    ("buckets", &[]),
    ("parquet", &[]),
    ("processes", &[]),
    (
        "connectors",
        &["buckets", "parquet", "ports", "processes", "vocab"],
    ),
    (
        "engine",
        &["buckets", "parquet", "ports", "sql", "template", "vocab"],
    ),
    ("state", &["ports", "vocab"]),
    ("vocab", &[]),
    ("testkit", &["ports", "vocab"]),
];

/// Crates that any crate's tests may use.
const FOR_TESTS: &[&str] = &["testkit", "features"];

/// Crates above the ports, whose tests may run on the real leaves below them.
const TESTED_ON_LEAVES: &[&str] = &["flow", "orchestrator"];
const LEAVES: &[&str] = &["connectors", "engine", "state"];

/// The short name of a workspace package: `towpath-flow` is `flow`, `towpath` is `cli`.
pub(crate) fn short(package: &str) -> &str {
    match package {
        "towpath" => "cli",
        other => other.strip_prefix(PREFIX).unwrap_or(other),
    }
}

fn allowed(from: &str, to: &str) -> bool {
    match from {
        "cli" => BELOW_THE_ROOF.contains(&to) || to == "app" || to == "server",
        "server" => BELOW_THE_ROOF.contains(&to) || to == "app",
        "app" => BELOW_THE_ROOF.contains(&to),
        other => MAY_IMPORT
            .iter()
            .any(|(name, imports)| *name == other && imports.contains(&to)),
    }
}

/// Finds arrows that go through a wall.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let members: Vec<&str> = workspace
        .members()
        .map(|package| package.name.as_str())
        .collect();
    let mut findings = Vec::new();
    for package in workspace.members() {
        let from = short(&package.name);
        for dependency in &package.dependencies {
            if !members.contains(&dependency.name.as_str()) {
                continue;
            }
            let to = short(&dependency.name);
            let for_tests = dependency.used_for == Use::Dev
                && (FOR_TESTS.contains(&to)
                    || TESTED_ON_LEAVES.contains(&from) && LEAVES.contains(&to));
            if !for_tests && !allowed(from, to) {
                findings.push(Finding::new(
                    "arrows",
                    format!("crate `{from}`"),
                    format!(
                        "imports `{to}`, which no wall of the workspace lets through; move the shared \
                         noun down to `vocab`, the seam to `ports`, or the wiring up to `app`"
                    ),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::workspace::planted::{of_packages, package};

    #[test]
    fn a_leaf_that_imports_a_leaf_is_found() {
        let workspace = of_packages(&[
            package("towpath-connectors", &["towpath-engine", "serde"]),
            package("towpath-engine", &["towpath-ports"]),
            package("towpath-ports", &[]),
        ]);
        let findings = check(&workspace);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].message.starts_with("imports `engine`"));
        assert_eq!(findings[0].place, "crate `connectors`");
    }

    #[test]
    fn sideways_and_upward_imports_are_found() {
        for (from, to) in [
            ("towpath-sql", "towpath-engine"),
            ("towpath-project", "towpath-ports"),
            ("towpath-flow", "towpath-orchestrator"),
            ("towpath-vocab", "towpath-ports"),
            ("towpath-app", "towpath"),
            ("towpath-app", "towpath-server"),
            ("towpath-server", "towpath"),
            ("towpath-testkit", "towpath-app"),
            ("towpath-vocab", "build:towpath-sql"),
            ("towpath-vocab", "dev:towpath-sql"),
            ("towpath-connectors", "dev:towpath-engine"),
            ("towpath-orchestrator", "towpath-state"),
            ("towpath-flow", "towpath-testkit"),
            ("towpath-flow", "towpath-features"),
        ] {
            let target = to.rsplit(':').next().unwrap_or(to);
            let workspace = of_packages(&[package(from, &[to]), package(target, &[])]);
            assert_eq!(check(&workspace).len(), 1, "{from} -> {to}");
        }
    }

    #[test]
    fn downward_imports_and_the_testkit_in_tests_are_fine() {
        let workspace = of_packages(&[
            package(
                "towpath",
                &["towpath-app", "towpath-vocab", "dev:towpath-testkit"],
            ),
            package("towpath-app", &["towpath-engine", "towpath-sql"]),
            package("towpath-engine", &["towpath-sql", "dev:towpath-testkit"]),
            package(
                "towpath-sql",
                &[
                    "towpath-vocab",
                    "dev:towpath-testkit",
                    "dev:towpath-features",
                ],
            ),
            package("towpath-vocab", &["dev:towpath-features"]),
            package("towpath-orchestrator", &["dev:towpath-state"]),
            package("towpath-state", &[]),
            package("towpath-testkit", &["towpath-vocab"]),
            package("towpath-features", &[]),
        ]);
        assert_eq!(check(&workspace), []);
    }
}
