//! Codes of mistakes and failures: each has one meaning and an explanation.
//!
//! Promise: a code that a crate raises is in a table of that crate (`codes.rs`) with the same remedy, it is
//! in no other table, and every entry is used. Sources are read as text: a code is a literal of one letter
//! and four digits. Tests are not checked.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::Finding;
use crate::rust_text;
use crate::workspace::{TextFile, Workspace};

/// An entry of a table.
struct Entry<'a> {
    file: &'a str,
    owner: &'a str,
    remedy: Option<&'a str>,
}

/// A code in the sources.
struct Mention<'a> {
    code: &'a str,
    line: usize,
    /// Behind `Failure::new(` or in a pair with a remedy: the code is raised here with this one.
    remedy: Option<&'a str>,
}

/// Finds codes without an entry, entries without a use, and codes with two meanings.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut table: BTreeMap<&str, Entry<'_>> = BTreeMap::new();
    for file in sources(workspace).filter(|file| is_table(&file.path)) {
        for mention in mentions(file) {
            let entry = Entry {
                file: &file.path,
                owner: owner(&file.path),
                remedy: mention.remedy,
            };
            if let Some(other) = table.insert(mention.code, entry) {
                let message = format!("`{}` is in {} too", mention.code, other.file);
                findings.push(Finding::new("codes", at(file, &mention), message));
            }
        }
    }
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for file in sources(workspace).filter(|file| !is_table(&file.path)) {
        for mention in mentions(file) {
            let found = table.get(mention.code);
            if found.is_some_and(|entry| entry.owner == owner(&file.path)) {
                used.insert(mention.code);
            }
            if let Some(message) = judge(&mention, owner(&file.path), found) {
                findings.push(Finding::new("codes", at(file, &mention), message));
            }
        }
    }
    for (code, entry) in &table {
        if !used.contains(code) {
            let message = format!("`{code}` is not raised in this crate: remove its entry");
            findings.push(Finding::new("codes", entry.file, message));
        }
    }
    findings
}

/// What is wrong with a code in the sources of a crate.
fn judge(mention: &Mention<'_>, owner: &str, found: Option<&Entry<'_>>) -> Option<String> {
    let code = mention.code;
    let Some(entry) = found else {
        return Some(format!(
            "`{code}` has no entry: add it to the table in `codes.rs`, with what it means and what to do"
        ));
    };
    let given = mention.remedy?;
    if entry.owner != owner {
        return Some(format!(
            "`{code}` belongs to {}: take a code of your own",
            entry.file
        ));
    }
    let expected = entry.remedy.unwrap_or_default();
    (given != expected && !expected.is_empty()).then(|| {
        format!("`{code}` is raised with `Remedy::{given}`, its entry says `{expected}`: two meanings need two codes")
    })
}

fn at(file: &TextFile, mention: &Mention<'_>) -> String {
    format!("{}:{}", file.path, mention.line)
}

/// Files whose codes people meet: not tests, not what only tests use.
fn sources(workspace: &Workspace) -> impl Iterator<Item = &TextFile> {
    workspace.rust_files().filter(|file| {
        let path = &file.path;
        let name = path.rsplit('/').next().unwrap_or_default();
        path.starts_with("crates/")
            && path.contains("/src/")
            && !path.starts_with("crates/testkit/")
            && !path.contains("/tests/")
            && !name.ends_with("tests.rs")
            && !matches!(name, "fixture.rs" | "failpoint.rs" | "simulated_store.rs")
    })
}

fn is_table(path: &str) -> bool {
    path.ends_with("/codes.rs")
}

/// `flow` of `crates/flow/src/…`.
fn owner(path: &str) -> &str {
    path.split('/').nth(1).unwrap_or_default()
}

/// The codes of a file, without those in comments and tests.
fn mentions(file: &TextFile) -> Vec<Mention<'_>> {
    let code = rust_text::without_tests(&rust_text::mask(&file.text));
    let kept = code.lines().count();
    let mut found = Vec::new();
    let mut before = 0;
    for (number, line) in file.text.lines().enumerate() {
        let here = before;
        before += line.len() + 1;
        if number >= kept || line.trim_start().starts_with("//") {
            continue;
        }
        for (start, _) in line.match_indices('"') {
            let Some(code) = line.get(start + 1..start + 6) else {
                continue;
            };
            if line.get(start + 6..start + 7) == Some("\"") && is_code(code) {
                let behind = file.text.get(here + start + 7..).unwrap_or_default();
                found.push(Mention {
                    code,
                    line: number + 1,
                    remedy: remedy(behind),
                });
            }
        }
    }
    found
}

fn is_code(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|c| c.is_ascii_uppercase()) && letters.all(|c| c.is_ascii_digit())
}

/// `FixData` of `, Remedy::FixData`, where that comes next.
fn remedy(behind: &str) -> Option<&str> {
    let next = behind.trim_start().strip_prefix(',')?.trim_start();
    let name = next.strip_prefix("Remedy::")?;
    let end = name
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(name.len());
    name.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(files: &[(&str, &str)]) -> Vec<String> {
        let files = files.iter().map(|(path, text)| TextFile {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        });
        let workspace = Workspace {
            files: files.collect(),
            ..Workspace::default()
        };
        check(&workspace)
            .iter()
            .map(|finding| finding.to_string())
            .collect()
    }

    const TABLE: (&str, &str) = (
        "crates/flow/src/codes.rs",
        "CodeEntry::run(\n \"R0601\",\n Remedy::Bug,\n \"a\", \"b\")",
    );

    #[test]
    fn a_code_is_raised_in_the_crate_of_its_table_with_its_remedy() {
        let raised = |path, text| planted(&[TABLE, (path, text)]);
        let good = "Failure::new(\"R0601\", Remedy::Bug, \"x\")";
        assert_eq!(raised("crates/flow/src/a.rs", good), Vec::<String>::new());
        for (path, text, said) in [
            (
                "crates/flow/src/a.rs",
                "(\"R0601\", Remedy::Retry)",
                "two meanings",
            ),
            ("crates/app/src/a.rs", good, "belongs to crates/flow"),
            ("crates/flow/src/a.rs", "f(\"R0602\")", "has no entry"),
        ] {
            let found = raised(path, text);
            assert!(found.iter().any(|line| line.contains(said)), "{found:?}");
        }
    }

    #[test]
    fn entries_are_used_and_in_one_table() {
        let found = planted(&[TABLE, ("crates/app/src/codes.rs", TABLE.1)]);
        assert!(found.iter().any(|line| line.contains("too")), "{found:?}");
        let found = planted(&[TABLE, ("crates/flow/src/a.rs", "// \"R0601\"\nfn f() {}")]);
        assert!(
            found.iter().any(|line| line.contains("not raised")),
            "{found:?}"
        );
    }

    #[test]
    fn tests_and_other_crates_may_name_a_code() {
        let compares = "if code == \"R0601\" {}";
        let own = "(\"R0601\", Remedy::Bug)";
        let tests = "fn f() {}\n#[cfg(test)]\nmod tests { const X: &str = \"R9999\"; }";
        assert_eq!(
            planted(&[
                TABLE,
                ("crates/flow/src/a.rs", own),
                ("crates/app/src/a.rs", compares),
                ("crates/app/src/b.rs", tests),
                ("crates/app/src/more_tests.rs", "f(\"R9999\")"),
            ]),
            Vec::<String>::new()
        );
    }
}
