//! A source file is short, begins with a header, and has a name that says what it contains.
//!
//! Promise: lines are counted without `#[cfg(test)]` modules; test files have no limit. Clippy checks the
//! length of functions. Read next: `rust_text.rs`.

use crate::finding::Finding;
use crate::rust_text;
use crate::workspace::Workspace;

const LONGEST: usize = 600;

/// Names that say nothing about what a file holds.
const EMPTY_NAMES: &[&str] = &[
    "common", "helper", "helpers", "manager", "misc", "util", "utils",
];

/// True for files that hold tests and nothing else.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs")
        || path.contains("/tests/")
        || path.contains("/benches/")
}

/// Finds files with more than 600 lines of non-test code.
pub(crate) fn check_length(workspace: &Workspace) -> Vec<Finding> {
    workspace
        .rust_files()
        .filter(|file| !is_test_file(&file.path))
        .filter_map(|file| {
            let lines = rust_text::lines_without_tests(&file.text);
            (lines > LONGEST).then(|| {
                Finding::new(
                    "length",
                    &file.path,
                    format!("has {lines} lines without tests, the limit is {LONGEST}; split it by what its parts promise"),
                )
            })
        })
        .collect()
}

/// Finds Rust files that do not open with `//!`.
pub(crate) fn check_header(workspace: &Workspace) -> Vec<Finding> {
    workspace
        .rust_files()
        .filter(|file| !file.text.trim_start().starts_with("//!"))
        .map(|file| {
            Finding::new(
                "header",
                &file.path,
                "does not open with `//!`: what it promises, what it deliberately does not know, where to read next",
            )
        })
        .collect()
}

/// Finds files and folders whose names say nothing.
pub(crate) fn check_name(workspace: &Workspace) -> Vec<Finding> {
    workspace
        .files
        .iter()
        .filter_map(|file| {
            let empty = file.path.split('/').find(|part| {
                let stem = part.split('.').next().unwrap_or(part);
                EMPTY_NAMES.contains(&stem.to_ascii_lowercase().as_str())
            })?;
            Some(Finding::new(
                "names",
                &file.path,
                format!("`{empty}` says nothing about what is inside; name it after its noun"),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{check_header, check_length, check_name};
    use crate::workspace::planted::of_files;

    #[test]
    fn a_long_file_is_found_and_its_tests_are_not_counted() {
        let long = "fn a() {}\n".repeat(601);
        let tested = format!(
            "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
            "fn a() {}\n".repeat(600),
            "    fn t() {}\n".repeat(500)
        );
        let workspace = of_files(&[
            ("crates/flow/src/long.rs", &long),
            ("crates/flow/src/tested.rs", &tested),
            ("crates/flow/src/gate/tests.rs", &long),
            ("crates/flow/tests/kill.rs", &long),
        ]);
        let findings = check_length(&workspace);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].place, "crates/flow/src/long.rs");
        assert!(findings[0].message.starts_with("has 601 lines"));
    }

    #[test]
    fn a_file_without_a_header_is_found() {
        let workspace = of_files(&[
            ("a.rs", "//! Promises.\nfn a() {}"),
            ("b.rs", "// Not a header.\nfn b() {}"),
            ("c.md", "prose"),
        ]);
        let findings = check_header(&workspace);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].place, "b.rs");
    }

    #[test]
    fn empty_names_are_found_in_files_and_folders() {
        for path in [
            "crates/flow/src/utils.rs",
            "crates/flow/src/common/x.rs",
            "Manager.py",
        ] {
            assert_eq!(check_name(&of_files(&[(path, "")])).len(), 1, "{path}");
        }
        let fine = of_files(&[
            ("crates/flow/src/utility_bill.rs", ""),
            ("src/commons.rs", ""),
        ]);
        assert_eq!(check_name(&fine), []);
    }
}
