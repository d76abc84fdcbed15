//! Publishes stay correct after a restore of the lakehouse, a changed step, and changes of the target by
//! other programs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use towpath_testkit::postgres::PostgresServer;

use crate::test_project::{TestProject, has, text};

const PROJECT: &str = "towpath: 1
name: p
id: 6f1e0000-0000-4000-8000-000000000003
lakehouse: ./lake
connections:
  data: { type: files, path: data }
  out: { type: files, path: out, writable: true }
  db: { type: sqlite, path: out.db, writable: true }
";

const PIPELINE: &str = "steps:
  extract: { load: data, into: raw, tables: { t: { from: t.csv } } }
  send: { publish: raw, into: db, tables: { t: { key: id }, whole: { from: t } } }
  report: { publish: raw, into: out, tables: { t.csv: { from: t } } }
";

fn desk(rows: std::ops::Range<u32>) -> TestProject {
    let desk = TestProject::new();
    desk.write("towpath.yml", PROJECT);
    desk.write("pipelines/p.yml", PIPELINE);
    source(&desk, rows);
    desk.ok(".", &["run"]);
    desk
}

fn source(desk: &TestProject, rows: std::ops::Range<u32>) {
    let lines: String = rows.map(|id| format!("{id},v{id}\n")).collect();
    desk.write("data/t.csv", &format!("id,v\n{lines}"));
}

fn sql(desk: &TestProject, sql: &str) -> i64 {
    let connection = rusqlite::Connection::open(desk.path("out.db")).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn change(desk: &TestProject, sql: &str) {
    let connection = rusqlite::Connection::open(desk.path("out.db")).unwrap();
    connection.execute_batch(sql).unwrap();
}

/// The keys of a target, in order.
fn ids(desk: &TestProject, table: &str) -> String {
    let sql = format!("select group_concat(id) from (select id from {table} order by id)");
    let connection = rusqlite::Connection::open(desk.path("out.db")).unwrap();
    let held: Option<String> = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
    held.unwrap_or_default()
}

/// A run in which this happens right after the first publish has looked at its target.
fn run_while(desk: &TestProject, arguments: &[&str], happens: impl FnOnce()) -> String {
    let (is_ok, said) = ends_while(desk, arguments, happens);
    assert!(is_ok, "{said}");
    said
}

fn ends_while(desk: &TestProject, arguments: &[&str], happens: impl FnOnce()) -> (bool, String) {
    let (child, mut edges) = stopped_at_look(desk, arguments);
    happens();
    edges.write_all(b"!").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    (output.status.success(), said)
}

/// A run whose first publish has looked at its target, and waits for a byte.
fn stopped_at_look(desk: &TestProject, arguments: &[&str]) -> (Child, UnixStream) {
    let socket = desk.path("edges.sock");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(arguments)
        .current_dir(desk.path("."))
        .env("TOWPATH_TRACE_EDGES", &socket)
        .env("TOWPATH_EDGES", "publish::looked")
        .env("TOWPATH_WAIT_AT", "publish::looked")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut edges, _) = listener.accept().unwrap();
    let mut line = [0; "publish::looked\n".len()];
    edges.read_exact(&mut line).unwrap();
    (child, edges)
}

/// Loses the files of the version that was sent.
fn vacuum(desk: &TestProject) {
    for file in std::fs::read_dir(desk.path("lake/raw/t")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "parquet") {
            std::fs::remove_file(path).unwrap();
        }
    }
}

/// Rows and the sum of keys of each target.
fn assert_holds(desk: &TestProject, rows: std::ops::Range<u32>) {
    let (count, sum) = (rows.len() as i64, rows.map(i64::from).sum::<i64>());
    for table in ["t", "whole"] {
        let held = sql(desk, &format!("select count(*) from {table}"));
        let keys = sql(desk, &format!("select coalesce(sum(id), 0) from {table}"));
        assert_eq!((held, keys), (count, sum), "{table}");
    }
    assert_eq!(desk.read("out/t.csv").lines().count() as i64, count + 1);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// The folders of a project, as a backup holds them.
fn set_back(desk: &TestProject, folders: &[&str]) {
    for folder in folders {
        std::fs::remove_dir_all(desk.path(folder)).unwrap();
        copy(&desk.path("backup").join(folder), &desk.path(folder));
    }
}

#[test]
fn a_version_number_that_is_used_again_is_another_commit() {
    for folders in [["lake"].as_slice(), &["lake", ".towpath"]] {
        let desk = desk(0..10);
        copy(&desk.path("lake"), &desk.path("backup/lake"));
        copy(&desk.path(".towpath"), &desk.path("backup/.towpath"));
        source(&desk, 0..30);
        desk.ok(".", &["run"]);
        assert_holds(&desk, 0..30);
        set_back(&desk, folders);
        source(&desk, 5..20);
        let said = desk.ok(".", &["run"]);
        has(&said, &["is not in its history as it is now"]);
        assert_holds(&desk, 5..20);
        has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    }
}

/// A time so many seconds from now, in UTC.
fn seconds_from_now(seconds: u32) -> String {
    let clock = rusqlite::Connection::open_in_memory().unwrap();
    let sql = format!("select datetime('now', '+{seconds} seconds')");
    clock.query_row(&sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn rows_that_time_alone_takes_out_of_a_window_or_into_it_are_noticed() {
    let window = "where: begins <= now() and ends > now()";
    let steps = format!(
        "steps:
  extract: {{ load: data, into: raw, tables: {{ t: {{ from: t.csv, key: id }}, now: {{ from: t.csv, {window} }} }} }}
  send: {{ publish: raw, into: db, tables: {{ t: {{ key: id, {window} }}, whole: {{ from: t, {window} }}, mixed: {{ from: t, key: id, {window} }}, loaded: {{ from: now, key: id }} }} }}
"
    );
    let desk = TestProject::new();
    desk.write("towpath.yml", PROJECT);
    desk.write("pipelines/p.yml", &steps);
    let turn = seconds_from_now(8);
    desk.write(
        "data/t.csv",
        &format!(
            "id,begins,ends\n1,2000-01-01 00:00:00,{turn}\n2,2000-01-01 00:00:00,2100-01-01 00:00:00\n3,{turn},2100-01-01 00:00:00\n"
        ),
    );
    change(
        &desk,
        "create table mixed (id integer primary key, begins text, ends text); insert into mixed (id) values (7)",
    );
    desk.ok(".", &["run"]);
    let held = |table: &str| ids(&desk, table);
    let tables = ["t", "whole", "mixed", "loaded"];
    assert_eq!(tables.map(held), ["1,2", "1,2", "1,2,7", "1,2"]);
    has(&desk.ok(".", &["plan"]), &["depends on the time"]);
    // Nothing changes but the time.
    let begun = std::time::Instant::now();
    while held("t") == "1,2" {
        assert!(begun.elapsed().as_secs() < 60);
        desk.ok(".", &["run"]);
    }
    desk.ok(".", &["run"]);
    assert_eq!(tables.map(held), ["2,3", "2,3", "2,3,7", "2,3"]);
    // What cannot be sent is refused.
    for (table, where_) in [
        ("{ write: append, where: ends > now() }", "now"),
        ("{ key: id, where: random() < 0.5 }", "random"),
        (
            "{ key: id, write: delete+insert, where: ends > now() }",
            "now",
        ),
        (
            "{ key: id, write: insert_only, where: ends > now() }",
            "now",
        ),
        (
            "{ key: id, write: delete+insert, where: random() < 0.5 }",
            "random",
        ),
    ] {
        let from = "  extract: { load: data, into: raw, tables: { t: { from: t.csv, key: id } } }";
        desk.write(
            "pipelines/p.yml",
            &format!(
                "steps:\n{from}\n  send: {{ publish: raw, into: db, tables: {{ t: {table} }} }}\n"
            ),
        );
        let refused = desk.towpath(".", &["check"]);
        let said = format!("{}{}", text(&refused.stdout), text(&refused.stderr));
        has(&said, &["P0139", where_]);
    }
}

/// A window that one row leaves and another one enters some seconds from now, sent by two steps, one after
/// the other.
fn two_windows() -> (TestProject, String) {
    let desk = TestProject::new();
    desk.write("towpath.yml", PROJECT);
    let window = "{ from: t, key: id, where: begins <= now() and ends > now() }";
    let steps = format!(
        "steps:
  extract: {{ load: data, into: raw, tables: {{ t: {{ from: t.csv, key: id }} }} }}
  send: {{ publish: raw, into: db, tables: {{ first: {window} }} }}
  send_again: {{ publish: raw, into: db, after: send, tables: {{ second: {window} }} }}
"
    );
    desk.write("pipelines/p.yml", &steps);
    let turn = seconds_from_now(5);
    desk.write(
        "data/t.csv",
        &format!(
            "id,begins,ends\n1,2000-01-01 00:00:00,{turn}\n2,2000-01-01 00:00:00,2100-01-01 00:00:00\n3,{turn},2100-01-01 00:00:00\n"
        ),
    );
    (desk, turn)
}

fn wait_until(time: &str) {
    while seconds_from_now(0).as_str() <= time {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn all_tables_of_a_run_are_of_the_moment_at_which_it_began_also_if_it_is_resumed() {
    for is_killed in [false, true] {
        let (desk, turn) = two_windows();
        let (mut child, mut edges) = stopped_at_look(&desk, &["run"]);
        wait_until(&turn);
        if is_killed {
            child.kill().unwrap();
            child.wait().unwrap();
            has(&desk.ok(".", &["run"]), &["p#1", "resumed"]);
        } else {
            edges.write_all(b"!").unwrap();
            assert!(child.wait_with_output().unwrap().status.success());
        }
        let held = || ["first", "second"].map(|table| ids(&desk, table));
        assert_eq!(held(), ["1,2", "1,2"]);
        desk.ok(".", &["run"]);
        assert_eq!(held(), ["2,3", "2,3"]);
    }
}

/// Earlier versions stored a `where` that asks the clock without the moment at which it was asked.
#[test]
fn a_window_without_its_moment_is_not_compared() {
    let steps = |window: &str| {
        format!(
            "steps:
  extract: {{ load: data, into: raw, tables: {{ t: {{ from: t.csv, key: id }} }} }}
  send: {{ publish: raw, into: db, tables: {{ t: {{ key: id, where: {window} }}, mixed: {{ from: t, key: id, where: {window} }} }} }}
"
        )
    };
    let desk = TestProject::new();
    desk.write("towpath.yml", PROJECT);
    // All rows are in the window when they are sent, and the first one leaves it afterwards.
    let at_first = "ends > timestamp '1999-01-01'";
    desk.write("pipelines/p.yml", &steps(at_first));
    desk.write(
        "data/t.csv",
        "id,ends\n1,2000-01-01 00:00:00\n2,2100-01-01 00:00:00\n",
    );
    change(
        &desk,
        "create table mixed (id integer primary key, ends text); insert into mixed values (7, '')",
    );
    desk.ok(".", &["run"]);
    let held = |table: &str| ids(&desk, table);
    assert_eq!(["t", "mixed"].map(held), ["1,2", "1,2,7"]);
    for asked in ["ends > now()", "ends > now() or random() < 2"] {
        let at_first = at_first.replace('\'', "''");
        change(
            &desk,
            &format!(
                "update _towpath_commits set position = replace(position, '{at_first}', '{asked}')"
            ),
        );
        desk.write("pipelines/p.yml", &steps("ends > now()"));
        let said = desk.ok(".", &["run"]);
        has(
            &said,
            &[
                "all rows were sent, not only the changes",
                "without the moment",
                "so none was deleted",
            ],
        );
        assert_eq!(["t", "mixed"].map(held), ["2", "1,2,7"]);
        desk.write(
            "pipelines/p.yml",
            &steps(at_first.replace("''", "'").as_str()),
        );
        desk.ok(".", &["run"]);
        assert_eq!(["t", "mixed"].map(held), ["1,2", "1,2,7"]);
    }
}

/// The first write evaluates a `where` row by row, later ones in a query.
#[test]
fn a_where_may_name_columns_as_the_source_does() {
    let desk = TestProject::new();
    desk.write("towpath.yml", PROJECT);
    let steps = |filter: &str| {
        let steps = format!(
            "steps:
  extract: {{ load: data, into: raw, tables: {{ t: {{ from: t.csv, key: id }} }} }}
  send: {{ publish: raw, into: db, tables: {{ t: {{ key: id, where: '{filter}' }}, whole: {{ from: t, where: '{filter}' }} }} }}
"
        );
        desk.write("pipelines/p.yml", &steps);
    };
    let held = || ["t", "whole"].map(|table| ids(&desk, table));
    for filter in [
        "\"Amount Due\" > 15",
        "AMOUNT_DUE > 15 and \"Id\" > 0 and now() is not null -- today",
    ] {
        steps(filter);
        desk.write("data/t.csv", "Id,Amount Due\n1,10\n2,20\n3,30\n");
        desk.ok(".", &["run"]);
        assert_eq!(held(), ["2,3", "2,3"]);
        desk.write("data/t.csv", "Id,Amount Due\n1,40\n2,5\n3,31\n");
        desk.ok(".", &["run"]);
        assert_eq!(held(), ["1,3", "1,3"]);
        change(&desk, "delete from t");
        desk.ok(".", &["run"]);
        assert_eq!(held(), ["1,3", "1,3"]);
    }
}

#[test]
fn a_key_is_never_published_both_masked_and_clear() {
    let mut desk = TestProject::new();
    let project = format!("{PROJECT}mask_key: ${{secret:MASK_KEY}}\n");
    desk.write("towpath.yml", &project);
    desk.set("MASK_KEY", "one");
    let mask = |desk: &TestProject, columns: &str| {
        let steps = format!(
            "steps:
  extract: {{ load: data, into: raw, tables: {{ t: {{ from: t.csv, key: id, write: merge{columns} }} }} }}
  build: {{ models: all }}
  send: {{ publish: marts, into: db, tables: {{ m: {{ key: id }} }} }}
"
        );
        desk.write("pipelines/p.yml", &steps);
    };
    let hash = ", columns: { id: { mask: hash } }";
    let model = "{{ config(materialized='incremental', unique_key='id') }}\nselect id, v from {{ source('raw', 't') }}\n";
    desk.write("models/marts/m.sql", model);
    desk.write("data/t.csv", "id,v\na,1\nb,2\n");
    // Its rows, and the length of all keys: 64 for each hash.
    let held = |desk: &TestProject| sql(desk, "select count(*) * 1000 + sum(length(id)) from m");
    let refused = |desk: &TestProject, why: &str| {
        let refused = desk.towpath(".", &["run"]);
        let said = format!("{}{}", text(&refused.stdout), text(&refused.stderr));
        assert!(!refused.status.success(), "{said}");
        has(&said, &["R0436", why, "--full-refresh"]);
        held(desk)
    };
    mask(&desk, "");
    desk.ok(".", &["run"]);
    mask(&desk, hash);
    assert_eq!(refused(&desk, "not masked, and the rows come masked"), 2002);
    // The load alone: the model still has the clear keys.
    desk.ok(".", &["run", "--select", "step:extract", "--full-refresh"]);
    assert_eq!(refused(&desk, "not masked, and the rows come masked"), 2002);
    desk.ok(".", &["run", "--full-refresh"]);
    assert_eq!(held(&desk), 2128);
    mask(&desk, "");
    assert_eq!(refused(&desk, "is masked, and the rows come without"), 2128);
    desk.ok(".", &["run", "--select", "step:extract", "--full-refresh"]);
    assert_eq!(refused(&desk, "is masked, and the rows come without"), 2128);
    desk.ok(".", &["run", "--full-refresh"]);
    assert_eq!(held(&desk), 2002);
    mask(&desk, hash);
    desk.ok(".", &["run", "--full-refresh"]);
    desk.set("MASK_KEY", "two");
    desk.write("data/t.csv", "id,v\na,1\nb,2\nc,3\n");
    assert_eq!(refused(&desk, "another `mask_key`"), 2128);
    desk.set("MASK_KEY", "one");
    desk.ok(".", &["run"]);
    assert_eq!(held(&desk), 3192);
}

#[test]
fn another_where_takes_away_what_it_leaves_out() {
    let desk = desk(0..1000);
    assert_holds(&desk, 0..1000);
    let less = PIPELINE.replace("t: { key: id }", "t: { key: id, where: id < 500 }");
    desk.write("pipelines/p.yml", &less);
    desk.ok(".", &["run"]);
    assert_eq!(sql(&desk, "select count(*) from t"), 500);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    desk.write("pipelines/p.yml", PIPELINE);
    desk.ok(".", &["run"]);
    assert_holds(&desk, 0..1000);
    desk.ok(".", &["run", "--full-refresh"]);
    assert_holds(&desk, 0..1000);
}

#[test]
fn a_row_of_others_stays_and_a_column_that_is_dropped_is_emptied() {
    let desk = desk(0..10);
    change(&desk, "insert into t values (-1, 'theirs')");
    let less = PIPELINE.replace("t: { key: id }", "t: { key: id, where: id < 5, drop: [v] }");
    desk.write("pipelines/p.yml", &less);
    desk.ok(".", &["run"]);
    assert_eq!(sql(&desk, "select count(*) from t"), 6);
    assert_eq!(sql(&desk, "select count(*) from t where v is not null"), 1);
    desk.ok(".", &["run", "--full-refresh"]);
    assert_eq!(sql(&desk, "select count(*) from t where id = -1"), 1);
}

#[test]
fn a_vacuumed_version_leaves_no_row_behind() {
    let desk = desk(0..30);
    source(&desk, 10..20);
    vacuum(&desk);
    has(&desk.ok(".", &["run"]), &["was vacuumed"]);
    assert_holds(&desk, 10..20);
}

#[test]
fn a_target_that_others_emptied_or_made_again_is_filled() {
    let desk = desk(0..10);
    for (done, said) in [
        ("delete from t; delete from whole", "it had 10 rows, now 0"),
        ("drop table t; drop table whole", "it is gone"),
        (
            "drop table t; drop table whole; create table t (id integer primary key, v text); \
             create table whole (id integer, v text)",
            "it had 10 rows, now 0",
        ),
        (
            "delete from t where id = 3; delete from whole where id = 3",
            "it had 10 rows, now 9",
        ),
    ] {
        change(&desk, done);
        has(&desk.ok(".", &["run"]), &[said]);
        assert_holds(&desk, 0..10);
        has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    }
    std::fs::write(desk.path("out/t.csv"), "id,v\n").unwrap();
    desk.ok(".", &["run"]);
    assert_holds(&desk, 0..10);
}

const BY_KEY: &str = "steps:
  extract: { load: data, into: raw, tables: { t: { from: t.csv } } }
  send: { publish: raw, into: db, tables: { t: { key: id } } }
";

#[test]
fn a_row_that_comes_between_the_look_and_the_write_is_not_deleted() {
    let theirs = "insert into t values (-1, 'theirs')";
    // Everything is sent: the version before is gone, or the user asked for it.
    for arguments in [["run"].as_slice(), &["run", "--full-refresh"]] {
        let desk = desk(0..10);
        desk.write("pipelines/p.yml", BY_KEY);
        desk.ok(".", &["run"]);
        source(&desk, 5..20);
        vacuum(&desk);
        let said = run_while(&desk, arguments, || change(&desk, theirs));
        has(&said, &["may also hold rows that this step did not send"]);
        assert_eq!(sql(&desk, "select count(*) from t where id = -1"), 1);
        assert_eq!(sql(&desk, "select count(*) from t where id >= 5"), 15);
    }
    // What only adds becomes a replacement.
    let desk = desk(0..10);
    let adds = BY_KEY.replace("{ key: id }", "{ write: append }");
    desk.write("pipelines/p.yml", &adds);
    change(&desk, "delete from t");
    desk.ok(".", &["run"]);
    let refused = ends_while(&desk, &["run", "--full-refresh"], || change(&desk, theirs));
    assert!(!refused.0, "{}", refused.1);
    has(
        &refused.1,
        &["R0949", "also holds rows that this step did not send"],
    );
    assert_eq!(sql(&desk, "select count(*) from t where id = -1"), 1);
}

#[test]
fn what_happens_between_the_look_and_the_write_shows_at_the_next_run() {
    let desk = desk(0..10);
    desk.write("pipelines/p.yml", BY_KEY);
    desk.ok(".", &["run"]);
    source(&desk, 0..12);
    run_while(&desk, &["run"], || change(&desk, "delete from t"));
    assert_eq!(sql(&desk, "select count(*) from t"), 2);
    has(&desk.ok(".", &["run"]), &["it had 12 rows, now 2"]);
    assert_eq!(sql(&desk, "select count(*) from t"), 12);
    source(&desk, 0..14);
    let theirs = "insert into t values (-1, 'theirs')";
    run_while(&desk, &["run"], || change(&desk, theirs));
    has(&desk.ok(".", &["run"]), &["it had 14 rows, now 15"]);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    assert_eq!(sql(&desk, "select count(*) from t"), 15);
}

const MODELLED: &str = "steps:
  extract: { load: data, into: raw, tables: { t: { from: t.csv } } }
  build: { models: all }
  send: { publish: marts, into: db, tables: { m: { key: id, where: w < 5 } } }
";

/// A desk whose published table is a model with a column `w`, the last digit of `id`.
fn modelled(target: &str) -> TestProject {
    let desk = TestProject::new();
    desk.write("towpath.yml", PROJECT);
    desk.write("pipelines/p.yml", MODELLED);
    model(&desk, "id, v, id % 10 as w");
    source(&desk, 0..10);
    change(&desk, target);
    desk.ok(".", &["run"]);
    assert_eq!(sql(&desk, "select count(*) from m where w < 5"), 5);
    desk
}

fn model(desk: &TestProject, columns: &str) {
    let config = "{{ config(materialized='table') }}";
    let text = format!("{config}\nselect {columns} from {{{{ source('raw', 't') }}}}\n");
    desk.write("models/marts/m.sql", &text);
}

#[test]
fn a_column_that_the_model_lost_is_emptied_also_where_the_last_where_named_it() {
    for is_vacuumed in [false, true] {
        let desk = modelled("");
        model(&desk, "id, v");
        let all = MODELLED.replace(", where: w < 5", "");
        desk.write("pipelines/p.yml", &all);
        if is_vacuumed {
            for file in std::fs::read_dir(desk.path("lake/marts/m")).unwrap() {
                let path = file.unwrap().path();
                if path.extension().is_some_and(|ending| ending == "parquet") {
                    std::fs::remove_file(path).unwrap();
                }
            }
        }
        let said = desk.ok(".", &["run"]);
        assert_eq!(said.contains("was vacuumed"), is_vacuumed, "{said}");
        assert_eq!(sql(&desk, "select count(*) from m"), 10);
        assert_eq!(sql(&desk, "select count(w) from m"), 0);
        has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    }
}

#[test]
fn a_lost_column_that_takes_no_null_keeps_its_values_and_stops_nothing() {
    let strict = "create table m (id integer primary key, v text, w integer not null default 7)";
    let desk = modelled(strict);
    model(&desk, "id, v");
    let all = MODELLED.replace(", where: w < 5", "");
    desk.write("pipelines/p.yml", &all);
    has(
        &desk.ok(".", &["run"]),
        &["allows no NULL in it, so it keeps its values"],
    );
    assert_eq!(sql(&desk, "select count(*) from m where w = 7"), 5);
    assert_eq!(sql(&desk, "select count(*) from m where w < 5"), 5);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
}

#[test]
fn a_commit_that_was_not_stored_is_not_called_a_restored_lakehouse() {
    let desk = desk(0..10);
    desk.write("pipelines/p.yml", BY_KEY);
    // As earlier versions stored it: a number and no commit.
    let old = "update _towpath_commits set position = replace(position, '\"commit\":', '\"was\":')";
    change(&desk, old);
    source(&desk, 5..20);
    let said = desk.ok(".", &["run"]);
    has(&said, &["did not store its commit", "were deleted"]);
    assert!(!said.contains("restored"), "{said}");
    assert_eq!(sql(&desk, "select count(*) from t"), 15);
    assert_eq!(sql(&desk, "select count(*) from t where id < 5"), 0);
}

/// A published table in a PostgreSQL database, into which others write.
struct Shared {
    desk: TestProject,
    server: std::sync::Arc<PostgresServer>,
    database: String,
}

impl Shared {
    /// A target with ten rows that this step sent.
    fn new(table: &str) -> Self {
        let server = PostgresServer::shared().unwrap();
        let database = server.new_database().unwrap();
        let desk = TestProject::new();
        let url = server.url(&database);
        let to = format!("db: {{ type: postgres, url: '{url}', schema: out, writable: true }}");
        desk.write(
            "towpath.yml",
            &PROJECT.replace("db: { type: sqlite, path: out.db, writable: true }", &to),
        );
        desk.write("pipelines/p.yml", &BY_KEY.replace("{ key: id }", table));
        source(&desk, 0..10);
        let shared = Self {
            desk,
            server,
            database,
        };
        shared.sql("create schema out");
        shared.desk.ok(".", &["run"]);
        shared
    }

    fn sql(&self, sql: &str) -> String {
        let said = self.server.psql(&self.database, sql).unwrap();
        said.trim().to_owned()
    }

    fn count(&self, filter: &str) -> String {
        self.sql(&format!("select count(*) from out.t where {filter}"))
    }
}

#[test]
fn what_others_do_between_the_look_and_the_write_is_theirs_in_postgres_too() {
    let insert = "insert into out.t values (-1, 'theirs')";
    let swap = format!("delete from out.t where id = 3; {insert}");
    for (change, says, kept) in [
        (insert, "it had 12 rows, now 13", "1"),
        (&swap, "others wrote 1 of its rows", "1"),
        (
            "update out.t set v = 'theirs' where id = 3",
            "others wrote 1 of its rows",
            "0",
        ),
        ("drop table out.t", "it had 12 rows, now ", "0"),
    ] {
        let shared = Shared::new("{ key: id }");
        source(&shared.desk, 0..12);
        run_while(&shared.desk, &["run"], || drop(shared.sql(change)));
        has(&shared.desk.ok(".", &["run"]), &[says]);
        assert_eq!(shared.count("v = 'theirs'"), kept, "{change}");
        assert_eq!(shared.count("v = 'v' || id"), "12", "{change}");
        has(&shared.desk.ok(".", &["run"]), &["Nothing to do"]);
        shared.desk.ok(".", &["run", "--full-refresh"]);
        assert_eq!(shared.count("v = 'theirs'"), kept, "{change}");
        assert_eq!(shared.count("v = 'v' || id"), "12", "{change}");
    }
    // Asked for everything at once, without a run in between.
    for change in [insert, &swap] {
        let shared = Shared::new("{ key: id }");
        source(&shared.desk, 0..12);
        run_while(&shared.desk, &["run"], || drop(shared.sql(change)));
        shared.desk.ok(".", &["run", "--full-refresh"]);
        assert_eq!(shared.count("v = 'theirs'"), "1", "{change}");
    }
}

#[test]
fn a_full_refresh_of_what_adds_does_not_delete_what_others_wrote_in_between() {
    let insert = "insert into out.t values (-1, 'theirs')";
    let swap = format!("delete from out.t where id = 3; {insert}");
    for change in [insert, &swap] {
        let shared = Shared::new("{ write: append }");
        source(&shared.desk, 0..12);
        run_while(&shared.desk, &["run"], || drop(shared.sql(change)));
        let refused = shared.desk.towpath(".", &["run", "--full-refresh"]);
        let said = format!("{}{}", text(&refused.stdout), text(&refused.stderr));
        has(&said, &["R0949"]);
        assert_eq!(shared.count("id = -1"), "1", "{change}");
    }
}

const APPENDS: &str = "steps:
  extract: { load: data, into: raw, tables: { ev: { from: 'ev_*.csv', mode: incremental, write: append }, t: { from: t.csv } } }
  send: { publish: raw, into: db, tables: { ev: { write: append, where: \"v <> 'no'\" }, t: { write: append } } }
  report: { publish: raw, into: out, tables: { ev.csv: { from: ev, write: append } } }
";

fn appends() -> TestProject {
    let desk = TestProject::new();
    desk.write("towpath.yml", PROJECT);
    desk.write("pipelines/p.yml", APPENDS);
    source(&desk, 0..10);
    desk.write("data/ev_1.csv", "id,v\n1,a\n2,a\n3,no\n");
    desk.ok(".", &["run"]);
    desk
}

#[test]
fn an_append_sends_each_row_once() {
    let desk = appends();
    assert_eq!(ids(&desk, "ev"), "1,2");
    desk.write("data/ev_2.csv", "id,v\n2,a\n4,no\n5,b\n");
    desk.ok(".", &["run"]);
    assert_eq!(
        ids(&desk, "ev"),
        "1,2,2,5",
        "a row that came again is a row"
    );
    assert_eq!(desk.read("out/ev.csv").lines().count(), 7);
    has(&desk.ok(".", &["run"]), &["Nothing to do"]);
    // The same rows in other files are no new rows.
    desk.ok(".", &["lake", "compact", "raw.ev"]);
    desk.ok(".", &["run"]);
    assert_eq!(ids(&desk, "ev"), "1,2,2,5");
    desk.write("data/ev_3.csv", "id,v\n6,c\n");
    desk.ok(".", &["lake", "compact", "raw.ev"]);
    let said = desk.ok(".", &["run"]);
    assert!(!said.contains("R0664"), "{said}");
    assert_eq!(ids(&desk, "ev"), "1,2,2,5,6");
    assert_eq!(desk.read("out/ev.csv").lines().count(), 8);
    // Another `where` holds for the rows that come from now on.
    desk.write("pipelines/p.yml", &APPENDS.replace("v <> 'no'", "v <> 'c'"));
    desk.write("data/ev_4.csv", "id,v\n7,no\n8,c\n");
    desk.ok(".", &["run"]);
    assert_eq!(ids(&desk, "ev"), "1,2,2,5,6,7");
}

#[test]
fn an_append_of_rows_that_change_adds_the_new_ones_and_says_what_stays() {
    let desk = appends();
    source(&desk, 0..12);
    let said = desk.ok(".", &["run"]);
    assert!(!said.contains("R0664"), "{said}");
    assert_eq!(sql(&desk, "select count(*) from t"), 12);
    source(&desk, 5..15);
    let said = desk.ok(".", &["run"]);
    has(
        &said,
        &["5 rows of version", "they stay in `db.t`", "R0664"],
    );
    assert_eq!(sql(&desk, "select count(*) from t"), 15);
    assert_eq!(sql(&desk, "select count(distinct id) from t"), 15);
    desk.ok(".", &["run", "--full-refresh"]);
    assert_eq!(sql(&desk, "select count(*) from t"), 10);
}

#[test]
fn an_append_that_does_not_know_what_it_sent_sends_nothing() {
    let desk = appends();
    std::fs::remove_dir_all(desk.path("lake")).unwrap();
    std::fs::remove_dir_all(desk.path(".towpath")).unwrap();
    let said = desk.towpath(".", &["run"]);
    let said = format!("{}{}", text(&said.stdout), text(&said.stderr));
    has(&said, &["R0665", "was recreated since", "nothing was sent"]);
    assert_eq!(ids(&desk, "ev"), "1,2");
    // An empty target gets everything.
    change(&desk, "delete from ev; delete from t");
    std::fs::remove_file(desk.path("out/ev.csv")).unwrap();
    desk.ok(".", &["run"]);
    assert_eq!(ids(&desk, "ev"), "1,2");
    assert_eq!(sql(&desk, "select count(*) from t"), 10);
}

#[test]
fn a_target_that_is_dropped_before_a_write_that_deletes_is_made_again() {
    let shared = Shared::new("{ key: id }");
    run_while(&shared.desk, &["run", "--full-refresh"], || {
        drop(shared.sql("drop table out.t"));
    });
    assert_eq!(shared.count("true"), "10");
    has(&shared.desk.ok(".", &["run"]), &["Nothing to do"]);
}

#[test]
fn a_dropped_column_whose_type_changed_is_emptied() {
    let shared = Shared::new("{ key: id }");
    let sends = |table: &str| {
        let steps = MODELLED.replace("{ key: id, where: w < 5 }", table);
        shared.desk.write("pipelines/p.yml", &steps);
    };
    sends("{ key: id }");
    model(&shared.desk, "id, v, id % 10 as w");
    shared.desk.ok(".", &["run"]);
    assert_eq!(shared.sql("select count(w) from out.m"), "10");
    sends("{ key: id, drop: [w] }");
    model(&shared.desk, "id, v, 'text' as w");
    shared.desk.ok(".", &["run"]);
    assert_eq!(shared.sql("select count(w) from out.m"), "0");
    assert_eq!(shared.sql("select count(*) from out.m"), "10");
}
