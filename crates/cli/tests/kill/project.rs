//! The project that is killed, with one variant per destination and write mode, and what must be true of
//! it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::content::{
    self, Expected, OF_A_READ, OF_AN_ATTEMPT, Rows, SET_ASIDE, SET_ASIDE_OF_A_TABLE,
};
use crate::feed::Feed;
use crate::look;
use crate::outside::{Outside, Sent};

/// Where rows go and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    LakeReplace,
    LakeAppend,
    LakeMerge,
    Postgres,
    Mysql,
    Files,
    Sqlite,
    FromPostgres,
    FromSqlite,
}

pub(crate) const VARIANTS: [Variant; 9] = [
    Variant::LakeReplace,
    Variant::LakeAppend,
    Variant::LakeMerge,
    Variant::Postgres,
    Variant::Mysql,
    Variant::Files,
    Variant::Sqlite,
    Variant::FromPostgres,
    Variant::FromSqlite,
];

impl Variant {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Variant::LakeReplace => "lake, replace",
            Variant::LakeAppend => "lake, append",
            Variant::LakeMerge => "lake, merge",
            Variant::Postgres => "postgres",
            Variant::Mysql => "mysql",
            Variant::Files => "files",
            Variant::Sqlite => "sqlite",
            Variant::FromPostgres => "from postgres",
            Variant::FromSqlite => "from sqlite",
        }
    }

    fn write(self) -> &'static str {
        match self {
            Variant::LakeAppend => "append",
            Variant::LakeMerge => "merge\n        key: id",
            Variant::FromPostgres | Variant::FromSqlite => "append\n        cursor: at",
            _ => "replace",
        }
    }

    /// Whether the target only grows.
    fn appends(self) -> bool {
        matches!(
            self,
            Variant::LakeAppend | Variant::FromPostgres | Variant::FromSqlite
        )
    }

    fn feed(self) -> Feed {
        match self {
            Variant::FromPostgres => Feed::postgres(),
            Variant::FromSqlite => Feed::Sqlite,
            _ => Feed::File,
        }
    }

    fn outside(self) -> Outside {
        match self {
            Variant::Postgres => Outside::postgres(),
            Variant::Mysql => Outside::mysql(),
            Variant::Files => Outside::Files,
            Variant::Sqlite => Outside::Sqlite,
            _ => Outside::Nothing,
        }
    }
}

/// `ID` and `DATA` are replaced.
const PROJECT: &str = "towpath: 1
name: kill
id: ID
lakehouse: ./lake
parallel: 1
connections:
  data: DATA
";

/// Nested so deep, hashing a note takes some microseconds.
const DEPTH: usize = 15;

/// `FROM`, `WRITE` and `WORK` are replaced. Rules and checks are there to be worked on: each looks at every row.
const LOAD: &str = "steps:
  extract:
    load: data
    into: raw
    tables:
      items:
        from: FROM
        write: WRITE
        columns:
          id: { type: bigint, required: true }
          kind: { type: text, in: [a, b, c, d] }
          amount: { type: \"decimal(12,2)\", min: 0, max: 100000 }
          at: { type: timestamp }
          note: { type: text, expression: WORK }
        checks:
          - not_null: [id, kind, amount, at]
          - pattern: { note: '^note \"[0-9]+\" of [A-ZÖ].*ln, seen in version [0-9]+$' }
          - range: { amount: { min: 0, max: 100000 } }
          - sql: select id from {table} where length(note) > 500 or note like '%|%'
          - sql: select kind from {table} group by kind having count(*) < 2
  build:
    models: all
";

const MODEL: &str = "{{ config(materialized='table') }}
select kind, count(*) as n, sum(amount) as total from {{ source('raw', 'items') }} group by kind
";

/// A rule that holds for every row and takes its time.
fn work() -> String {
    let hashed = format!("{}note{}", "sha512(".repeat(DEPTH), ")".repeat(DEPTH));
    format!("{hashed} is not null or note is null")
}

/// What stands where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VisibleRows {
    pub(crate) items: Rows,
    pub(crate) quarantine: Rows,
    pub(crate) by_kind: Rows,
    pub(crate) sent: Vec<Sent>,
}

/// A project on disk, the versions of its source, and what must stand where.
pub(crate) struct Project {
    pub(crate) variant: Variant,
    folder: TempDir,
    feed: Feed,
    outside: Outside,
    size: u64,
    version: u64,
    pub(crate) old: Expected,
    pub(crate) new: Expected,
}

impl Project {
    pub(crate) fn new(variant: Variant, size: u64) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("towpath-kill-")
            .tempdir()
            .expect("a temporary folder");
        let project = Self {
            variant,
            folder,
            feed: variant.feed(),
            outside: variant.outside(),
            size,
            version: 0,
            old: Expected::default(),
            new: Expected::default(),
        };
        project.lay_out();
        project
    }

    fn lay_out(&self) {
        let put = |name: &str, text: &str| {
            let path = self.dir().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        let (connections, publish) = self.outside.config();
        let (data, from) = self.feed.config();
        let load = LOAD
            .replace("FROM", from)
            .replace("WRITE", self.variant.write())
            .replace("WORK", &work());
        let project = PROJECT
            .replace("ID", content::PROJECT)
            .replace("DATA", data);
        put("towpath.yml", &format!("{project}{connections}"));
        put("pipelines/kill.yml", &format!("{load}{publish}"));
        put("models/marts/by_kind.sql", MODEL);
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
        let version = self.feed.next(self.dir(), self.version, self.size);
        self.old = self.new.clone();
        self.new = self.old.after(&version);
    }

    /// Begins anew when so much was appended that looking at it takes long.
    pub(crate) fn shrink(&mut self) {
        let most = 4 * self.size.max(20_000);
        if self.variant.appends() && self.new.all.rows.count > most {
            std::fs::remove_dir_all(self.dir().join("lake")).expect("removed");
            self.forget_state();
            self.feed.empty(self.dir());
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
        command.envs(self.outside.url().map(|url| ("KILL_URL", url)));
        command.envs(self.feed.url().map(|url| ("KILL_SOURCE", url)));
        command
    }

    pub(crate) fn run(&self) -> Output {
        self.command(&["run"])
            .output()
            .expect("`towpath run` starts")
    }

    /// Runs until it is done; twice at most.
    pub(crate) fn finish_run(&self) {
        let first = self.run();
        if !first.status.success() {
            let second = self.run();
            assert!(
                second.status.success(),
                "{}: a rerun fails:\n{}\n{}",
                self.variant.name(),
                said(&first),
                said(&second)
            );
        }
    }

    pub(crate) fn seen(&self) -> VisibleRows {
        let lake = self.dir().join("lake");
        let table = |name: &str, columns: &[&str], left_out: &[&str]| {
            look::lake_table(&lake.join(name), columns, left_out)
        };
        let (set_aside, left_out) = match self.feed.grows() {
            true => (SET_ASIDE_OF_A_TABLE.as_slice(), OF_A_READ.as_slice()),
            false => (SET_ASIDE.as_slice(), OF_AN_ATTEMPT.as_slice()),
        };
        VisibleRows {
            items: table("raw/items", &look::ITEMS, &[]),
            by_kind: table("marts/by_kind", &["kind", "n", "total"], &[]),
            quarantine: table("_quarantine/raw.items", set_aside, left_out),
            sent: self.outside.seen(self.dir()),
        }
    }

    /// Writers the lakehouse takes for alive or not yet cleared up after.
    pub(crate) fn attempt_markers(&self) -> usize {
        let markers = self.dir().join("lake/_towpath/writers");
        std::fs::read_dir(markers).map_or(0, Iterator::count)
    }

    /// Versions of every table; they change when anything is committed.
    pub(crate) fn versions(&self) -> Vec<Option<u64>> {
        let lake = self.dir().join("lake");
        let tables = ["raw/items", "marts/by_kind", "_quarantine/raw.items"];
        let mut versions = tables
            .map(|table| look::lake_version(&lake.join(table)))
            .to_vec();
        versions.extend(self.outside.versions(self.dir()));
        versions
    }

    /// Whether a run that finds no new rows says so; one that reads PostgreSQL by a cursor may commit up
    /// to which transaction it looked.
    pub(crate) fn knows_its_source(&self) -> bool {
        self.variant != Variant::FromPostgres
    }

    /// The rows `raw.items` must hold.
    fn items_of<'a>(&self, expected: &'a Expected) -> &'a content::Items {
        match self.variant {
            variant if variant.appends() => &expected.all,
            Variant::LakeMerge => &expected.merged,
            _ => &expected.now,
        }
    }

    /// Another target, or the one that was put away.
    pub(crate) fn retarget(&mut self, other: &mut Option<String>) {
        self.outside.retarget(self.folder.path(), other);
    }

    /// The rows a published table must hold.
    pub(crate) fn must_be_sent(&self, sent: &Sent) -> Rows {
        self.items_of(&self.new).sent(sent.is_items)
    }

    /// Every table holds what it must hold when all is done, or what is wrong.
    pub(crate) fn is_done(&self, seen: &VisibleRows) -> Result<(), String> {
        let items = self.items_of(&self.new);
        let mut wrong = Vec::new();
        let mut same = |what: &str, is: Rows, must: Rows| {
            if is != must {
                wrong.push(format!(
                    "{what}: {} rows where {} belong, or with other values",
                    is.count, must.count
                ));
            }
        };
        same("raw.items", seen.items, items.rows);
        same("marts.by_kind", seen.by_kind, items.by_kind());
        same("quarantine", seen.quarantine, self.new.bad);
        for sent in &seen.sent {
            same(sent.what, sent.rows, items.sent(sent.is_items));
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("\n"))
        }
    }

    /// Every table holds the old or the new rows, and none is ahead of what it is made of.
    pub(crate) fn is_whole(&self, seen: &VisibleRows) -> Result<(), String> {
        let (old, new) = (self.items_of(&self.old), self.items_of(&self.new));
        let mut wrong = Vec::new();
        let mut is_new = |what: &str, is: Rows, old: Rows, new: Rows| {
            if is != old && is != new {
                wrong.push(format!(
                    "{what}: {} rows, neither the {} of before nor the {} of after",
                    is.count, old.count, new.count
                ));
            }
            is == new && new != old
        };
        let has_items = is_new("raw.items", seen.items, old.rows, new.rows);
        let has_bad = is_new("quarantine", seen.quarantine, self.old.bad, self.new.bad);
        let has_kinds = is_new("marts.by_kind", seen.by_kind, old.by_kind(), new.by_kind());
        let mut ahead = Vec::new();
        if has_items && !has_bad {
            ahead.push("raw.items is ahead of its quarantine".to_owned());
        }
        if has_kinds && !has_items {
            ahead.push("marts.by_kind is ahead of raw.items".to_owned());
        }
        for sent in &seen.sent {
            let (old, new) = (old.sent(sent.is_items), new.sent(sent.is_items));
            let made_of_new = if sent.is_items { has_items } else { has_kinds };
            if is_new(sent.what, sent.rows, old, new) && !made_of_new {
                ahead.push(format!("{} is ahead of the lakehouse", sent.what));
            }
        }
        wrong.extend(ahead);
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("\n"))
        }
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
