//! Text that is not allowed in tracked files: paths of one machine, unfinished code, disabled tests.
//!
//! Promise: paths are searched in all text; unfinished code only in Rust code, not in comments or strings.
//! Read next: `rust_text.rs`.

use crate::finding::Finding;
use crate::rust_text;
use crate::workspace::Workspace;

/// Folders that exist on somebody's machine only, spelled so that this file does not hold them.
const MACHINE_FOLDERS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
];

/// Finds absolute paths of one machine.
pub(crate) fn check_machine_paths(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &workspace.files {
        for (number, line) in file.text.lines().enumerate() {
            for folder in MACHINE_FOLDERS {
                if starts_a_path(line, folder) {
                    findings.push(Finding::new(
                        "machine_paths",
                        format!("{}:{}", file.path, number + 1),
                        format!("holds a path under `{folder}`, which only one machine has"),
                    ));
                }
            }
        }
    }
    findings
}

/// True if `folder` is in the line as the start of a path, not in the middle of one.
fn starts_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        line[..at].chars().next_back().is_none_or(|before| {
            !before.is_alphanumeric() && !matches!(before, '_' | '-' | '.' | '}' | '*' | '/' | '>')
        })
    })
}

/// Finds unfinished code and switched-off tests.
pub(crate) fn check_unfinished(workspace: &Workspace) -> Vec<Finding> {
    const UNFINISHED: &[(&str, &str)] = &[
        ("todo!", "is not written yet"),
        ("unimplemented!", "is not written yet"),
        ("#[ignore", "switches a test off"),
    ];
    let mut findings = Vec::new();
    for file in workspace.rust_files() {
        let code = rust_text::mask(&file.text);
        for (number, line) in code.lines().enumerate() {
            for (word, what) in UNFINISHED {
                if line.contains(word) {
                    findings.push(Finding::new(
                        "unfinished",
                        format!("{}:{}", file.path, number + 1),
                        format!("`{word}` {what}"),
                    ));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{check_machine_paths, check_unfinished};
    use crate::workspace::planted::of_files;

    #[test]
    fn a_machine_path_is_found_with_its_line() {
        let planted = format!("first\nsee {}x/notes.md\n", concat!("/ro", "ot/"));
        let findings = check_machine_paths(&of_files(&[("docs/a.md", &planted)]));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].place, "docs/a.md:2");
    }

    #[test]
    fn the_middle_of_a_path_is_no_machine_path() {
        let fine = format!(
            "docs{}a.md and net{}b",
            concat!("/wo", "rk/"),
            concat!("/wo", "rk/")
        );
        assert_eq!(check_machine_paths(&of_files(&[("a.md", &fine)])), []);
    }

    #[test]
    fn unfinished_code_is_found_and_prose_about_it_is_not() {
        let planted = "fn a() {\n    todo!()\n}\n#[test]\n#[ignore = \"slow\"]\nfn b() {}\n";
        let findings = check_unfinished(&of_files(&[("a.rs", planted)]));
        let places: Vec<&str> = findings.iter().map(|f| f.place.as_str()).collect();
        assert_eq!(places, ["a.rs:2", "a.rs:5"]);
        let prose = "//! Never todo!() here.\nconst A: &str = \"unimplemented!\";\n";
        assert_eq!(check_unfinished(&of_files(&[("a.rs", prose)])), []);
    }
}
