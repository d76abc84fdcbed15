//! The project that is killed, in one variant per destination and write mode, and what is seen of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use tempfile::TempDir;
use towpath_testkit::postgres::PostgresServer;

use crate::content::{self, Expected, Rows};
use crate::look;

/// Where rows go and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    LakeReplace,
    LakeAppend,
    LakeMerge,
    Postgres,
}

pub(crate) const VARIANTS: [Variant; 4] = [Variant::LakeReplace, Variant::LakeAppend, Variant::LakeMerge, Variant::Postgres];

impl Variant {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Variant::LakeReplace => "lake, replace",
            Variant::LakeAppend => "lake, append",
            Variant::LakeMerge => "lake, merge",
            Variant::Postgres => "postgres",
        }
    }

    fn write(self) -> &'static str {
        match self {
            Variant::LakeAppend => "append",
            Variant::LakeMerge => "merge\n        key: id",
            Variant::LakeReplace | Variant::Postgres => "replace",
        }
    }
}

const PROJECT: &str = "towpath: 1
name: kill
id: 11111111-2222-4333-8444-555555555555
lakehouse: ./lake
parallel: 1
connections:
  data: { type: files, path: data }
";

const OUT: &str = "  out: { type: postgres, url: \"${secret:KILL_URL}\", writable: true }\n";

/// `WRITE` is replaced. The checks are there to be worked on: each looks at every row.
const LOAD: &str = "steps:
  extract:
    load: data
    into: raw
    tables:
      items:
        from: items.csv
        write: WRITE
        columns:
          id: { type: bigint, required: true }
          kind: { type: text, in: [a, b, c, d] }
          amount: { type: \"decimal(12,2)\", min: 0, max: 100000 }
          at: { type: timestamp }
          note: { type: text }
        checks:
          - not_null: [id, kind, amount, at]
          - pattern: { note: '^note \"[0-9]+\" of [A-ZÖ].*ln, seen in version [0-9]+$' }
          - range: { amount: { min: 0, max: 100000 } }
          - sql: select id from {table} where length(note) > 500 or note like '%|%'
          - sql: select kind from {table} group by kind having count(*) < 2
  build:
    models: all
";

const PUBLISH: &str = "  rows:
    publish: raw
    into: out
    tables:
      items: { key: id }
  reports:
    publish: marts
    into: out
    tables:
      by_kind: {}
";

const MODEL: &str = "{{ config(materialized='table') }}
select kind, count(*) as n, sum(amount) as total from {{ source('raw', 'items') }} group by kind
";

/// What stands where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) items: Rows,
    pub(crate) quarantine: Rows,
    pub(crate) by_kind: Rows,
    pub(crate) out_items: Rows,
    pub(crate) out_by_kind: Rows,
    /// Versions of every table; they change when anything is committed.
    pub(crate) versions: Vec<Option<u64>>,
}

/// A project on disk, the versions of its source, and what must stand where.
pub(crate) struct Project {
    pub(crate) variant: Variant,
    folder: TempDir,
    database: Option<(Arc<PostgresServer>, String)>,
    size: u64,
    version: u64,
    pub(crate) old: Expected,
    pub(crate) new: Expected,
}

impl Project {
    pub(crate) fn new(variant: Variant, size: u64) -> Self {
        let folder = tempfile::Builder::new().prefix("towpath-kill-").tempdir().expect("a temporary folder");
        let mut project = Self {
            variant,
            folder,
            database: None,
            size,
            version: 0,
            old: Expected::default(),
            new: Expected::default(),
        };
        if variant == Variant::Postgres {
            let server = PostgresServer::shared().expect("PostgreSQL starts");
            let database = server.new_database().expect("a database");
            project.database = Some((server, database));
        }
        project.lay_out();
        project
    }

    fn lay_out(&self) {
        let put = |name: &str, text: &str| {
            let path = self.dir().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        let is_out = self.variant == Variant::Postgres;
        let (out, publish) = if is_out { (OUT, PUBLISH) } else { ("", "") };
        put("towpath.yml", &format!("{PROJECT}{out}"));
        put("pipelines/kill.yml", &format!("{}{publish}", LOAD.replace("WRITE", self.variant.write())));
        put("models/marts/by_kind.sql", MODEL);
        std::fs::create_dir_all(self.dir().join("data")).expect("made");
    }

    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir().join("edges.socket")
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The source gets its next version.
    pub(crate) fn next_version(&mut self) {
        self.version += 1;
        let version = content::write(&self.dir().join("data/items.csv"), self.version, self.size);
        self.old = self.new.clone();
        self.new = self.old.after(&version);
    }

    /// Begins anew when so much was appended that looking at it takes long.
    pub(crate) fn shrink(&mut self) {
        if self.variant == Variant::LakeAppend && self.new.all.rows.count > 4 * self.size.max(20_000) {
            std::fs::remove_dir_all(self.dir().join("lake")).expect("removed");
            self.forget_state();
            self.old = Expected::default();
            self.new = Expected::default();
            self.next_version();
            self.finish_run();
        }
    }

    pub(crate) fn forget_state(&self) {
        let state = self.dir().join(".towpath");
        if state.exists() {
            std::fs::remove_dir_all(state).expect("removed");
        }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
        command.current_dir(self.dir()).args(arguments);
        if let Some((server, database)) = &self.database {
            command.env("KILL_URL", server.url(database));
        }
        command
    }

    pub(crate) fn run(&self) -> Output {
        self.command(&["run"]).output().expect("`towpath run` starts")
    }

    /// Runs until it is done; twice at most.
    pub(crate) fn finish_run(&self) {
        let first = self.run();
        if !first.status.success() {
            let second = self.run();
            assert!(second.status.success(), "{}: a rerun fails:\n{}\n{}", self.variant.name(), said(&first), said(&second));
        }
    }

    pub(crate) fn seen(&self) -> Seen {
        let lake = self.dir().join("lake");
        let items = ["id", "kind", "amount", "at", "note"];
        let (items_version, items) = look::lake_table(&lake.join("raw/items"), &items);
        let by_kind = ["kind", "n", "total"];
        let (by_kind_version, by_kind) = look::lake_table(&lake.join("marts/by_kind"), &by_kind);
        let record = ["object", "line", "ordinal", "record"];
        let (quarantine_version, quarantine) = look::lake_table(&lake.join("_quarantine/raw.items"), &record);
        let mut versions = vec![items_version, by_kind_version, quarantine_version];
        let (mut out_items, mut out_by_kind) = (Rows::default(), Rows::default());
        if self.database.is_some() {
            let at = "(extract(epoch from at) * 1000000)::bigint";
            out_items = self.out("items", &format!("id, kind, (amount * 100)::bigint, {at}, note"));
            out_by_kind = self.out("by_kind", "kind, n, (total * 100)::bigint");
            versions.push(self.psql("SELECT sum(generation) FROM _towpath_commits", "_towpath_commits").parse().ok());
        }
        Seen { items, quarantine, by_kind, out_items, out_by_kind, versions }
    }

    fn out(&self, table: &str, columns: &str) -> Rows {
        look::postgres_rows(&self.psql(&format!("COPY (SELECT {columns} FROM {table}) TO STDOUT"), table))
    }

    /// The answer; empty while the table does not exist.
    fn psql(&self, sql: &str, table: &str) -> String {
        let (server, database) = self.database.as_ref().expect("a database");
        let exists = server.psql(database, &format!("SELECT to_regclass('{table}') IS NOT NULL")).expect("psql");
        match exists.as_str() {
            "t" => server.psql(database, sql).expect("psql"),
            _ => String::new(),
        }
    }

    /// The rows `raw.items` must hold.
    fn items_of<'a>(&self, expected: &'a Expected) -> &'a content::Items {
        match self.variant {
            Variant::LakeAppend => &expected.all,
            Variant::LakeMerge => &expected.merged,
            Variant::LakeReplace | Variant::Postgres => &expected.now,
        }
    }

    /// Every table holds what it must hold when all is done, or what is wrong.
    pub(crate) fn is_done(&self, seen: &Seen) -> Result<(), String> {
        let items = self.items_of(&self.new);
        let mut wrong = Vec::new();
        let mut same = |what: &str, is: Rows, must: Rows| {
            if is != must {
                wrong.push(format!("{what}: {} rows where {} belong, or with other values", is.count, must.count));
            }
        };
        same("raw.items", seen.items, items.rows);
        same("marts.by_kind", seen.by_kind, items.by_kind());
        same("quarantine", seen.quarantine, self.new.bad);
        if self.variant == Variant::Postgres {
            same("items in PostgreSQL", seen.out_items, self.new.merged.rows);
            same("by_kind in PostgreSQL", seen.out_by_kind, items.by_kind());
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    /// Every table holds the old or the new rows, and none is ahead of what it is made of.
    pub(crate) fn is_whole(&self, seen: &Seen) -> Result<(), String> {
        let (old, new) = (self.items_of(&self.old), self.items_of(&self.new));
        let mut wrong = Vec::new();
        let mut either = |what: &str, is: Rows, old: Rows, new: Rows| {
            if is != old && is != new {
                wrong.push(format!("{what}: {} rows, neither the {} of before nor the {} of after", is.count, old.count, new.count));
            }
            is == new
        };
        let has_items = either("raw.items", seen.items, old.rows, new.rows);
        let has_bad = either("quarantine", seen.quarantine, self.old.bad, self.new.bad);
        let has_kinds = either("marts.by_kind", seen.by_kind, old.by_kind(), new.by_kind());
        let mut ahead = vec![("raw.items before its quarantine", has_items && !has_bad), ("marts.by_kind before raw.items", has_kinds && !has_items)];
        if self.variant == Variant::Postgres {
            let out = either("items in PostgreSQL", seen.out_items, self.old.merged.rows, self.new.merged.rows);
            either("by_kind in PostgreSQL", seen.out_by_kind, old.by_kind(), new.by_kind());
            ahead.push(("PostgreSQL before raw.items", out && !has_items));
        }
        wrong.extend(ahead.into_iter().filter(|(_, is)| *is).map(|(what, _)| what.to_owned()));
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }
}

/// What a program said, for a failed assertion.
pub(crate) fn said(output: &Output) -> String {
    format!(
        "exit {:?}\n{}{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
