//! A small project with a good first version, and what is checked after a fault.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use towpath_testkit::postgres::PASSWORD;

/// A password of no server.
pub(crate) const WRONG: &str = "hunter2-of-the-test";

const PROJECT: &str = "towpath: 1
name: faults
id: 11111111-2222-4333-8444-555555555555
lakehouse: ./lake
defaults: { reconnect: 1s }
connections:
  data: { type: files, path: data }
  db: { type: postgres, url: \"${secret:FAULTS_URL}\", writable: true }
";

/// A project on disk.
pub(crate) struct FaultProject {
    folder: TempDir,
    url: String,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

impl FaultProject {
    /// A project that loads `raw.t` from `from` of a connection with these further keys.
    pub(crate) fn new(load: &str, table: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("towpath-faults-")
            .tempdir()
            .expect("a temporary folder");
        let url = format!("postgres://towpath:{WRONG}@127.0.0.1:1/none");
        let ground = Self { folder, url };
        ground.put("towpath.yml", PROJECT);
        ground.put(
            "pipelines/p.yml",
            format!("steps:\n  extract:\n    load: {load}\n    into: raw\n    tables:\n      t: {{ {table} }}\n"),
        );
        ground
    }

    pub(crate) fn with_url(mut self, url: String) -> Self {
        self.url = url;
        self
    }

    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.dir().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, bytes).expect("written");
    }

    pub(crate) fn append_to(&self, name: &str, text: &str) {
        let path = self.dir().join(name);
        let before = std::fs::read_to_string(&path).expect("readable");
        std::fs::write(path, before + text).expect("written");
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
        command
            .current_dir(self.dir())
            .args(arguments)
            .env("FAULTS_URL", &self.url);
        command
    }

    pub(crate) fn towpath(&self, arguments: &[&str]) -> Said {
        self.judged(self.command(arguments).output().expect("`towpath` starts"))
    }

    pub(crate) fn run(&self) -> Said {
        self.towpath(&["run"])
    }

    /// What a program said, and nowhere a secret.
    pub(crate) fn judged(&self, output: Output) -> Said {
        let text = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .concat();
        for secret in [WRONG, PASSWORD] {
            assert!(!text.contains(secret), "a secret was said:\n{text}");
            for folder in [".towpath", "lake"] {
                if let Some(path) = holds(&self.dir().join(folder), secret.as_bytes()) {
                    panic!("a secret is kept in {}", path.display());
                }
            }
        }
        assert!(!text.contains("panicked"), "a panic:\n{text}");
        Said {
            code: output.status.code(),
            text,
        }
    }

    /// The one number a query gives.
    pub(crate) fn number(&self, sql: &str) -> u64 {
        let said = self.towpath(&["query", "--format", "json", sql]);
        assert_eq!(said.code, Some(0), "{}", said.text);
        let rows: serde_json::Value = serde_json::from_str(&said.text).expect("JSON");
        let row = rows[0].as_object().expect("one row");
        row.values()
            .next()
            .and_then(serde_json::Value::as_u64)
            .unwrap_or_else(|| panic!("no number: {}", said.text))
    }

    pub(crate) fn rows(&self) -> u64 {
        self.number("select count(*) from raw.t")
    }
}

impl Said {
    /// This exit code, and a message that says all of this.
    #[track_caller]
    pub(crate) fn is(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.text);
        for word in words {
            assert!(
                self.text.contains(word),
                "`{word}` is not said:\n{}",
                self.text
            );
        }
        self
    }
}

fn holds(folder: &Path, secret: &[u8]) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = holds(&path, secret) {
                return Some(found);
            }
        } else if std::fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(secret.len()).any(|part| part == secret))
        {
            return Some(path);
        }
    }
    None
}
