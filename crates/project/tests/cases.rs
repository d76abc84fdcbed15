//! Projects as Markdown: each file in `tests/cases` has cases with files and the expected result.
//!
//! A case is a `##` heading; ```` ```yaml PATH ```` and ```` ```sql PATH ```` blocks are its files;
//! ```` ```text diagnostics ````, ```` ```text plan ```` and ```` ```text explain ```` are the result.
//! `UPDATE_CASES=1 cargo test -p towpath-project` writes the results again; then read the difference.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use support::{draw, outline, run_with};
use towpath_vocab::Facts;

#[test]
fn every_case_comes_out_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut wrong = Vec::new();
    let mut cases = 0;
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let (now, count) = replay(&text);
        cases += count;
        if now != text {
            if std::env::var_os("UPDATE_CASES").is_some() {
                std::fs::write(&path, &now).unwrap();
            } else {
                wrong.push(difference(
                    &path.file_name().unwrap().to_string_lossy(),
                    &text,
                    &now,
                ));
            }
        }
    }
    assert!(cases > 25, "only {cases} cases were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn difference(name: &str, old: &str, new: &str) -> String {
    let mut out = format!("{name}:\n");
    let old: Vec<&str> = old.lines().collect();
    for line in new.lines().filter(|line| !old.contains(line)) {
        writeln!(out, "  now: {line}").unwrap();
    }
    let new: Vec<&str> = new.lines().collect();
    for line in old.iter().filter(|line| !new.contains(line)) {
        writeln!(out, "  was: {line}").unwrap();
    }
    out
}

/// The text with all outputs made anew, and how many cases it has.
fn replay(text: &str) -> (String, usize) {
    let mut out = String::new();
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut environment: Option<String> = None;
    let mut count = 0;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        writeln!(out, "{line}").unwrap();
        if line.starts_with("## ") {
            files.clear();
            environment = None;
            count += 1;
        }
        if let Some(name) = line.strip_prefix("Environment: ") {
            environment = Some(name.to_owned());
        }
        let Some(block) = line.strip_prefix("```").filter(|block| !block.is_empty()) else {
            continue;
        };
        let (kind, name) = block.split_once(' ').unwrap_or((block, ""));
        let mut body = String::new();
        for line in lines.by_ref() {
            if line == "```" {
                break;
            }
            writeln!(body, "{line}").unwrap();
        }
        let body = if kind == "text" {
            answer(name, &files, environment.as_deref())
        } else {
            body
        };
        if kind != "text" {
            files.insert(name.to_owned(), body.clone());
        }
        writeln!(out, "{body}```").unwrap();
    }
    (out, count)
}

fn answer(what: &str, files: &BTreeMap<String, String>, environment: Option<&str>) -> String {
    let mut files = files.clone();
    files.entry("towpath.yml".to_owned()).or_insert_with(|| {
        "towpath: 1\nname: shop\nconnections:\n  db: { type: postgres, url: \"${secret:DB}\", schema: public, writable: true }\n  data: { type: files, path: data }\n".to_owned()
    });
    let variables = BTreeMap::from([("WHERE".to_owned(), "here".to_owned())]);
    let checked = run_with(
        &files,
        environment,
        &Facts::default(),
        &variables,
        &BTreeMap::new(),
    );
    match what {
        "diagnostics" => draw(&checked.diagnostics, &files),
        "plan" => outline(&checked),
        "explain" => {
            let lines = checked.explain.iter().map(|s| {
                format!(
                    "{} {} = {}  {}:{}\n",
                    s.table, s.key, s.value, s.file, s.line
                )
            });
            lines.collect()
        }
        other => panic!("no such output: {other}"),
    }
}
