//! Only one version of arrow, parquet, object_store and datafusion is in the lock file.
//!
//! Two versions of a package whose types are used between crates are not compatible, and double the build
//! and the binary. Other packages may have two versions. `Cargo.lock` is read as text.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::Finding;
use crate::workspace::Workspace;

const ONCE: &[&str] = &[
    "arrow",
    "datafusion",
    "deltalake-core",
    "object_store",
    "parquet",
];
const ONCE_PREFIXES: &[&str] = &["arrow-", "datafusion-"];

/// Finds packages of the core four that are locked twice.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut name = "";
    for line in workspace.lock.lines() {
        if let Some(value) = quoted(line, "name = ") {
            name = value;
        } else if let Some(version) = quoted(line, "version = ") {
            versions.entry(name).or_default().insert(version);
        }
    }
    versions
        .into_iter()
        .filter(|(name, _)| {
            ONCE.contains(name) || ONCE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        })
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, versions)| {
            let versions: Vec<&str> = versions.into_iter().collect();
            Finding::new(
                "versions",
                "Cargo.lock",
                format!(
                    "holds `{name}` in the versions {}; find who wants the other one with `cargo \
                     tree -i {name}@VERSION`",
                    versions.join(" and ")
                ),
            )
        })
        .collect()
}

fn quoted<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::workspace::Workspace;

    fn locked(packages: &[(&str, &str)]) -> Workspace {
        let lock = packages
            .iter()
            .map(|(name, version)| {
                format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n\n")
            })
            .collect();
        Workspace {
            lock,
            ..Workspace::default()
        }
    }

    #[test]
    fn a_second_arrow_is_found_and_a_second_rand_is_not() {
        let workspace = locked(&[
            ("arrow-array", "58.0.0"),
            ("arrow-array", "59.3.2"),
            ("parquet", "59.3.2"),
            ("rand", "0.8.5"),
            ("rand", "0.9.1"),
        ]);
        let findings = check(&workspace);
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0]
                .message
                .contains("`arrow-array` in the versions 58.0.0 and 59.3.2")
        );
    }

    #[test]
    fn each_of_the_core_four_is_watched() {
        for name in [
            "parquet",
            "object_store",
            "datafusion",
            "datafusion-expr",
            "arrow",
        ] {
            assert_eq!(check(&locked(&[(name, "1.0.0"), (name, "2.0.0")])).len(), 1);
        }
    }
}
