//! A project folder, the real binary and its output, for tests that run commands.

#![allow(dead_code, reason = "each test file uses what it needs")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A project that reads files in `data` and may write files in `out`.
const FILES: &str = "towpath: 1
name: p
id: 6f1e0000-0000-4000-8000-000000000002
lakehouse: ./lake
connections:
  data: { type: files, path: data }
  out: { type: files, path: out, writable: true }
";

/// A folder in which commands are typed.
pub(crate) struct TestProject {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) variables: Vec<(String, String)>,
}

impl TestProject {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
        }
    }

    /// A desk with a project of files whose one pipeline this is.
    pub(crate) fn with_pipeline(pipeline: &str) -> Self {
        let desk = Self::new();
        desk.write("towpath.yml", FILES);
        desk.write("pipelines/p.yml", pipeline);
        desk
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap()
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn towpath(&self, dir: &str, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_towpath"))
            .args(arguments)
            .current_dir(self.path(dir))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap()
    }

    /// Everything said, after the exit code was as expected.
    pub(crate) fn exits(&self, code: i32, dir: &str, arguments: &[&str]) -> String {
        let output = self.towpath(dir, arguments);
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{said}");
        said
    }

    pub(crate) fn ok(&self, dir: &str, arguments: &[&str]) -> String {
        self.exits(0, dir, arguments)
    }

    pub(crate) fn json(&self, dir: &str, arguments: &[&str]) -> serde_json::Value {
        let output = self.towpath(dir, arguments);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{output:?}"))
    }

    pub(crate) fn count(&self, dir: &str, table: &str) -> serde_json::Value {
        let sql = format!("select count(*) n from {table}");
        self.json(dir, &["query", "--format", "json", &sql])[0]["n"].clone()
    }

    /// `count(*)` and `sum(id)` of files, asked outside of any project.
    pub(crate) fn sums(&self, files: &str) -> (usize, usize) {
        let sql = format!("select count(*) n, sum(id) s from '{files}'");
        let rows = self.json(".", &["query", "--format", "json", &sql]);
        let number = |name: &str| rows[0][name].to_string().trim_matches('"').parse().unwrap();
        (number("n"), number("s"))
    }

    /// A source after so many loads: a row more each time than `rows`, every row changed, and one log more.
    pub(crate) fn write_load(&self, folder: &str, rows: usize, load: usize) {
        let table: String = (1..=load + rows)
            .map(|id| format!("{id},v{load}\n"))
            .collect();
        self.write(&format!("{folder}/t.csv"), &format!("id,v\n{table}"));
        let log = format!("id,line\n{load},line {load}\n");
        self.write(&format!("{folder}/log-{load}.csv"), &log);
    }

    /// Every file of a folder, joined: what must never hold a secret.
    pub(crate) fn everything(&self, dir: &str) -> String {
        fn walk(dir: &Path, into: &mut String) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, into);
                } else {
                    let bytes = std::fs::read(&path).unwrap();
                    into.push_str(&String::from_utf8_lossy(&bytes));
                }
            }
        }
        let mut all = String::new();
        walk(&self.path(dir), &mut all);
        all
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Fails unless all of this was said.
pub(crate) fn has(said: &str, wanted: &[&str]) {
    for line in wanted {
        assert!(said.contains(line), "missing: {line}\n{said}");
    }
}
