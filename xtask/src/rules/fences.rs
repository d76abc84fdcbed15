//! Which crates may use a large or impure crate of another project directly.
//!
//! Promise: only `engine` uses DataFusion and Delta; the planning side has no async runtime, no socket and
//! no file. Only direct dependencies are checked, because code cannot name a crate that it links
//! indirectly. Read next: `arrows.rs`.

use crate::finding::Finding;
use crate::rules::arrows::short;
use crate::workspace::{Use, Workspace};

/// A crate of others and the only crates that may name it.
const ONLY_IN: &[(&str, &[&str])] = &[
    // Who loads code of others into the process.
    ("adbc_driver_manager", &["connectors", "testkit"]),
    ("datafusion", &["engine"]),
    ("deltalake-core", &["engine"]),
    ("rusqlite", &["connectors", "state"]),
    ("tokio-postgres", &["connectors", "state"]),
];

/// The planning side and the nouns.
const PURE: &[&str] = &["project", "schedule", "sql", "template", "vocab"];

/// What pure crates never name, not even in `engine`'s name.
const IMPURE: &[&str] = &[
    "async-trait",
    "futures",
    "object_store",
    "rand",
    "reqwest",
    "tokio",
    "tokio-util",
];

/// Finds dependencies on the wrong side of a fence. Tests may use what they need.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace.members() {
        let name = short(&package.name);
        if name == "features" {
            continue;
        }
        for dependency in &package.dependencies {
            if dependency.used_for == Use::Dev {
                continue;
            }
            let fenced = ONLY_IN
                .iter()
                .find(|(other, _)| *other == dependency.name)
                .filter(|(_, homes)| !homes.contains(&name));
            if let Some((other, homes)) = fenced {
                findings.push(Finding::new(
                    "fences",
                    format!("crate `{name}`"),
                    format!(
                        "names `{other}`, which is fenced in `{}`",
                        homes.join("`, `")
                    ),
                ));
            }
            if PURE.contains(&name) && IMPURE.contains(&dependency.name.as_str()) {
                findings.push(Finding::new(
                    "fences",
                    format!("crate `{name}`"),
                    format!(
                        "is pure and may not name `{}`; ask for a value, or put the doing behind a \
                         port",
                        dependency.name
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
    fn the_engine_alone_names_datafusion() {
        let workspace = of_packages(&[
            package("towpath-engine", &["datafusion", "tokio"]),
            package("towpath-sql", &["datafusion-expr"]),
        ]);
        assert_eq!(check(&workspace), []);
        let workspace = of_packages(&[package("towpath-sql", &["datafusion"])]);
        assert_eq!(check(&workspace).len(), 1);
    }

    #[test]
    fn the_thinking_wing_has_no_runtime() {
        let workspace = of_packages(&[package("towpath-project", &["tokio"])]);
        assert_eq!(check(&workspace).len(), 1);
        let workspace = of_packages(&[package("towpath-project", &["dev:tokio"])]);
        assert_eq!(check(&workspace), []);
    }
}
