//! Publishes to Singer targets: what was confirmed is not sent again, and what was not is.

use serde_json::Value;

use crate::test_project::{TestProject, has};

const TARGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/singer/target.py");

/// A project of files whose table `raw.t` is published to a target that does this.
fn project(table: &str, run: &str) -> TestProject {
    let mut desk = TestProject::new();
    desk.write(
        "towpath.yml",
        &format!(
            "towpath: 1
name: p
id: 6f1e0000-0000-4000-8000-000000000005
lakehouse: ./lake
connections:
  data: {{ type: files, path: data }}
  crm:
    type: singer
    command: [python3, {TARGET}]
    writable: true
    config: {{ run: \"{run}\", token: \"${{secret:CRM_TOKEN}}\" }}
"
        ),
    );
    desk.write(
        "pipelines/p.yml",
        &format!(
            "steps:
  extract: {{ load: data, into: raw, tables: {{ t: {{ from: t.csv, key: id, columns: {{ amount: \"decimal(9,2)\" }} }} }} }}
  send: {{ publish: raw, into: crm, retries: 0, tables: {{ t: {{ {table} }} }} }}
"
        ),
    );
    desk.write("data/t.csv", "id,amount,day\n1,1.50,2026-01-31\n2,2.00,\n");
    desk.set("CRM_TOKEN", "tok-4711-secret");
    desk
}

/// The messages that a target has stored.
fn stored(desk: &TestProject) -> Vec<Value> {
    let text = std::fs::read_to_string(desk.path("stored.jsonl")).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The ids of the records that a target has stored, in their order.
fn ids(desk: &TestProject) -> Vec<i64> {
    let records = stored(desk).into_iter();
    let records = records.filter(|message| message["type"] == "RECORD");
    let mut ids: Vec<i64> = records
        .map(|message| message["record"]["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

#[test]
fn changes_are_sent_once() {
    let desk = project("key: id", "confirm(store())");
    desk.ok(".", &["run"]);
    let first = stored(&desk);
    assert_eq!(first[0]["type"], "SCHEMA");
    assert_eq!(first[0]["key_properties"], serde_json::json!(["id"]));
    let amount = &first[0]["schema"]["properties"]["amount"];
    assert_eq!(amount["type"], serde_json::json!(["null", "number"]));
    assert_eq!(amount["multipleOf"].to_string(), "1e-2");
    let text = desk.read("stored.jsonl");
    has(&text, &[r#""amount":1.50"#, r#""day":"2026-01-31""#]);
    assert_eq!(ids(&desk), [1, 2]);
    // Nothing changed; then one row did, and one came.
    desk.ok(".", &["run"]);
    assert_eq!(ids(&desk), [1, 2]);
    desk.write(
        "data/t.csv",
        "id,amount,day\n1,1.50,2026-01-31\n2,9.00,\n3,3.00,\n",
    );
    desk.ok(".", &["run"]);
    assert_eq!(ids(&desk), [1, 2, 2, 3]);
    assert!(!desk.everything(".").contains("tok-4711"));
}

#[test]
fn deleted_rows_are_refused_or_marked() {
    let desk = project("key: id", "confirm(store())");
    desk.ok(".", &["run"]);
    desk.write("data/t.csv", "id,amount,day\n1,1.50,2026-01-31\n");
    let said = desk.exits(1, ".", &["run"]);
    has(&said, &["R1224", "1 rows of", "deleted_rows: mark"]);
    assert_eq!(ids(&desk), [1, 2]);
    let pipeline = desk
        .read("pipelines/p.yml")
        .replace("key: id }", "key: id, deleted_rows: mark }");
    desk.write("pipelines/p.yml", &pipeline);
    desk.ok(".", &["run"]);
    let all = stored(&desk);
    let last = all.last().unwrap();
    assert_eq!(last["record"]["id"], 2);
    assert!(
        last["record"]["_sdc_deleted_at"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
}

#[test]
fn what_a_target_did_not_confirm_is_sent_again() {
    let failing = project("write: append", "store(); sys.exit(3)");
    let said = failing.exits(1, ".", &["run"]);
    has(&said, &["R1203", "ended with exit code 3"]);
    let yml = failing.read("towpath.yml");
    failing.write("towpath.yml", &yml.replace("sys.exit(3)", "print('{}')"));
    has(
        &failing.exits(1, ".", &["run"]),
        &["R1223", "did not confirm"],
    );
    failing.write(
        "towpath.yml",
        &yml.replace("store(); sys.exit(3)", "confirm(store())"),
    );
    failing.ok(".", &["run"]);
    // At least once: each of the three has stored them.
    assert_eq!(ids(&failing), [1, 1, 1, 2, 2, 2]);
    failing.ok(".", &["run"]);
    assert_eq!(ids(&failing).len(), 6);
    // It ends before it has read anything.
    let deaf = project("write: append", "sys.exit(0)");
    has(&deaf.exits(1, ".", &["run"]), &["R1223"]);
    assert_eq!(ids(&deaf), [] as [i64; 0]);
}

#[test]
fn a_process_that_is_killed_behind_a_delivery_repeats_it() {
    let mut desk = project("key: id", "confirm(store())");
    desk.set("TOWPATH_FAILPOINT", "singer::delivered");
    let killed = desk.towpath(".", &["run"]);
    assert_eq!(killed.status.code(), None, "{killed:?}");
    desk.set("TOWPATH_FAILPOINT", "");
    desk.ok(".", &["run"]);
    assert_eq!(ids(&desk), [1, 1, 2, 2]);
    desk.ok(".", &["run"]);
    assert_eq!(ids(&desk), [1, 1, 2, 2]);
    // Who loses what was noted sends everything again.
    std::fs::remove_dir_all(desk.path(".towpath/singer-targets")).unwrap();
    desk.ok(".", &["run"]);
    assert_eq!(ids(&desk), [1, 1, 1, 2, 2, 2]);
}

#[test]
fn what_a_target_cannot_do_is_refused() {
    let replaced = project("write: replace", "confirm(store())");
    has(&replaced.exits(2, ".", &["check"]), &["C0505", "replace"]);
    let checked = project(
        "key: id, checks: [{ row_count: { min: 1 } }]",
        "confirm(store())",
    );
    let said = checked.exits(2, ".", &["check"]);
    has(&said, &["C0521", "cannot be checked"]);
    // That a key is unique is looked at among the rows that are sent.
    let twice = project("from: u, key: name", "confirm(store())");
    let pipeline = twice.read("pipelines/p.yml").replace(
        "{ t: { from: t.csv",
        "{ u: { from: u.csv }, t: { from: t.csv",
    );
    twice.write("pipelines/p.yml", &pipeline);
    twice.write("data/u.csv", "id,name\n1,Ada\n2,Ada\n");
    has(&twice.exits(3, ".", &["run"]), &["R0620", "name"]);
    assert_eq!(ids(&twice), [] as [i64; 0]);
    let read_only = project("key: id", "confirm(store())");
    let yml = read_only.read("towpath.yml");
    read_only.write("towpath.yml", &yml.replace("    writable: true\n", ""));
    has(&read_only.ok(".", &["run"]), &["crm", "read-only"]);
    has(
        &project("key: id", "").ok(".", &["connection", "test", "crm"]),
        &["Singer target python3"],
    );
}

#[test]
fn a_target_that_does_not_read_on_is_stopped() {
    let desk = project(
        "key: id",
        "sys.stdin.readline(); open('pid', 'w').write(str(__import__('os').getpid())); __import__('time').sleep(600)",
    );
    let yml = desk.read("towpath.yml");
    let yml = yml.replace("writable: true", "writable: true\n    timeout_s: 2");
    desk.write("towpath.yml", &yml);
    let rows: String = (0..20_000)
        .map(|id| format!("{id},1.50,2026-01-31\n"))
        .collect();
    desk.write("data/t.csv", &format!("id,amount,day\n{rows}"));
    has(
        &desk.exits(1, ".", &["run"]),
        &["R1208", "said nothing for 2 s"],
    );
    let pid = desk.read("pid");
    assert!(crate::until(|| !crate::is_running(&pid)));
}
