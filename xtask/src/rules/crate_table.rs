//! The table of crates in `ARCHITECTURE.md` has the imports of the manifests.
//!
//! The table is between `<!-- crates:start -->` and `<!-- crates:end -->`. The first cell names the crate,
//! the last one lists its imports or is `-`. `arrows.rs` decides whether an import is allowed.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::Finding;
use crate::rules::arrows::short;
use crate::workspace::{Use, Workspace};

const PAGE: &str = "ARCHITECTURE.md";

/// Compares the table with the manifests.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let finding = |message: String| Finding::new("crate_table", PAGE, message);
    let Some(page) = workspace.file(PAGE) else {
        return vec![finding("is missing".to_owned())];
    };
    let Some(table) = table(&page.text) else {
        return vec![finding(
            "has no crate table between `<!-- crates:start -->` and `<!-- crates:end -->`"
                .to_owned(),
        )];
    };
    let mut findings = Vec::new();
    let real = real(workspace);
    for (name, imports) in &real {
        match table.get(name) {
            None => findings.push(finding(format!("does not list the crate `{name}`"))),
            Some(said) if said != imports => findings.push(finding(format!(
                "says `{name}` imports {}; its manifest says {}",
                list(said),
                list(imports)
            ))),
            Some(_) => {}
        }
    }
    for name in table.keys().filter(|name| !real.contains_key(*name)) {
        findings.push(finding(format!("lists `{name}`, which is no crate here")));
    }
    findings
}

fn real(workspace: &Workspace) -> BTreeMap<String, BTreeSet<String>> {
    let members: BTreeSet<&str> = workspace.members().map(|p| p.name.as_str()).collect();
    workspace
        .members()
        .map(|package| {
            let imports = package
                .dependencies
                .iter()
                .filter(|d| d.used_for != Use::Dev && members.contains(d.name.as_str()))
                .map(|d| short(&d.name).to_owned())
                .collect();
            (short(&package.name).to_owned(), imports)
        })
        .collect()
}

fn table(page: &str) -> Option<BTreeMap<String, BTreeSet<String>>> {
    let (_, rest) = page.split_once("<!-- crates:start -->")?;
    let (table, _) = rest.split_once("<!-- crates:end -->")?;
    Some(
        table
            .lines()
            .filter_map(|line| {
                let cells: Vec<&str> = line.trim().strip_prefix('|')?.split('|').collect();
                let name = names(cells.first()?).into_iter().next()?;
                let imports = cells.iter().rev().find(|cell| !cell.trim().is_empty())?;
                Some((name, names(imports)))
            })
            .collect(),
    )
}

/// The words in backticks.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn list(names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::workspace::Workspace;
    use crate::workspace::planted::{of_files, of_packages, package};

    fn workspace(table: &str) -> Workspace {
        let page = format!(
            "x\n<!-- crates:start -->\n| crate | promise | imports |\n|---|---|---|\n{table}\n<!-- crates:end -->\n"
        );
        Workspace {
            packages: of_packages(&[
                package("towpath-flow", &["towpath-vocab", "dev:towpath-vocab"]),
                package("towpath-vocab", &[]),
            ])
            .packages,
            files: of_files(&[("ARCHITECTURE.md", &page)]).files,
            ..Workspace::default()
        }
    }

    #[test]
    fn a_true_table_passes() {
        let workspace = workspace("| `flow` | moves | `vocab` |\n| `vocab` | nouns | - |");
        assert_eq!(check(&workspace), []);
    }

    #[test]
    fn a_missing_row_a_wrong_arrow_and_a_ghost_are_found() {
        let workspace = workspace("| `flow` | moves | - |\n| `gone` | ghost | `flow` |");
        let messages: Vec<String> = check(&workspace).into_iter().map(|f| f.message).collect();
        assert_eq!(
            messages,
            [
                "says `flow` imports nothing; its manifest says `vocab`",
                "does not list the crate `vocab`",
                "lists `gone`, which is no crate here",
            ]
        );
    }

    #[test]
    fn a_page_without_a_table_is_found() {
        assert_eq!(
            check(&of_files(&[("ARCHITECTURE.md", "no table")])).len(),
            1
        );
        assert_eq!(check(&of_files(&[])).len(), 1);
    }
}
