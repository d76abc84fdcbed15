//! Every dependency that a manifest names is used by a Rust file of its crate.
//!
//! Promise: a crate's code names it as a word outside a comment line; which target uses it is not asked.
//! `features` exists only to name packages, and every crate names `features`. Read next: `arrows.rs`.

use crate::finding::Finding;
use crate::rules::arrows::short;
use crate::workspace::{Package, Workspace};

/// Finds dependencies that no code of the crate names.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    workspace
        .members()
        .filter(|package| short(&package.name) != "features")
        .flat_map(|package| unused(workspace, package))
        .collect()
}

fn unused(workspace: &Workspace, package: &Package) -> Vec<Finding> {
    let folder = format!("{}/", package.folder.as_deref().unwrap_or_default());
    let texts: Vec<&str> = workspace
        .rust_files()
        .filter(|file| file.path.starts_with(&folder))
        .map(|file| file.text.as_str())
        .collect();
    let mut findings: Vec<Finding> = Vec::new();
    for dependency in &package.dependencies {
        // A library may leave the hyphen of its package out: that of `md-5` is `md5`.
        let spelled = ["_", ""].map(|between| dependency.name.replace('-', between));
        let is_named = |text: &&str| spelled.iter().any(|name| names(text, name));
        if short(&dependency.name) == "features" || texts.iter().any(is_named) {
            continue;
        }
        findings.push(Finding::new(
            "unused",
            format!("crate `{}`", short(&package.name)),
            format!(
                "depends on `{}`, which none of its files names; take the line out of its manifest",
                dependency.name
            ),
        ));
    }
    findings
}

/// True when a line that is not a comment holds `name` as a whole word.
fn names(text: &str, name: &str) -> bool {
    let part_of_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .any(|line| {
            line.match_indices(name).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                let after = line[at + name.len()..].chars().next();
                !before.is_some_and(part_of_word) && !after.is_some_and(part_of_word)
            })
        })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::workspace::planted::{of_packages, package};
    use crate::workspace::{TextFile, Workspace};

    fn with(text: &str) -> Workspace {
        let mut workspace = of_packages(&[package(
            "towpath-flow",
            &["arrow-json", "dev:towpath-features"],
        )]);
        let folder = workspace.packages[0].folder.clone().unwrap_or_default();
        workspace.files.push(TextFile {
            path: format!("{folder}/src/lib.rs"),
            text: text.to_owned(),
        });
        workspace
    }

    #[test]
    fn a_dependency_that_only_a_comment_or_a_longer_word_names_is_found() {
        for text in ["", "// arrow_json\n", "use arrow_jsonl::Reader;\n"] {
            let findings = check(&with(text));
            assert_eq!(findings.len(), 1, "{text:?}: {findings:?}");
            assert!(findings[0].message.starts_with("depends on `arrow-json`"));
        }
    }

    #[test]
    fn a_dependency_that_is_used_is_fine() {
        for text in ["use arrow_json::Reader;\n", "    pub use ::arrow_json;\n"] {
            assert_eq!(check(&with(text)), [], "{text:?}");
        }
    }
}
