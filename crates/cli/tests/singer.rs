//! Projects that load from Singer taps: from state to state, killed in between, and with secrets that no file
//! of a project holds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "singer/real.rs"]
mod real;
#[path = "singer/targets.rs"]
mod targets;
mod test_project;

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::test_project::{TestProject, has, text};

const TAP: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../connectors/tests/singer/tap.py"
);

/// Gives rows of `rows.json` from the cursor of its state on, with a state behind each two of them.
const BY_CURSOR: &str = "
rows = json.load(open('rows.json'))
since = old_state['changed'] if old_state else 0
never = config.get('never_repeats', False)
schema(catalog['streams'][0]['schema']['properties'])
found = [row for row in rows if (row['changed'] > since if never else row['changed'] >= since)]
for at, row in enumerate(sorted(found, key=lambda row: row['changed'])):
    record(row)
    if at % 2 == 1:
        state({'changed': row['changed']})
if found:
    state({'changed': max(row['changed'] for row in found)})
";

const MERGED: &str = "steps:
  pull:
    load: shop
    into: raw
    tables:
      items: { mode: incremental, write: merge, key: id }
";

const APPENDED: &str = "steps:
  pull:
    load: shop
    into: raw
    tables:
      items: { mode: incremental, write: append, repeats: never }
";

/// A project whose tap does what `run.py` says.
fn project(pipeline: &str, run: &str, config: &str) -> TestProject {
    let mut desk = TestProject::new();
    desk.write(
        "towpath.yml",
        &format!(
            "towpath: 1
name: p
id: 6f1e0000-0000-4000-8000-000000000004
lakehouse: ./lake
connections:
  shop:
    type: singer
    command: [python3, {TAP}]
    timeout_s: 60
    config:
      run: exec(open('run.py').read())
      token: \"${{secret:SHOP_TOKEN}}\"
      catalog:
        streams:
          - tap_stream_id: items
            stream: items
            key_properties: [id]
            schema:
              properties:
                id: {{ type: integer }}
                amount: {{ type: [\"null\", number], multipleOf: 0.01 }}
                changed: {{ type: integer }}
{config}"
        ),
    );
    desk.write("pipelines/p.yml", pipeline);
    desk.write("run.py", run);
    desk.set("SHOP_TOKEN", "tok-4711-secret");
    desk
}

fn rows(desk: &TestProject, rows: &[(u64, &str, u64)]) {
    let row = |(id, amount, changed): &(u64, &str, u64)| {
        format!("{{\"id\":{id},\"amount\":{amount},\"changed\":{changed}}}")
    };
    let rows: Vec<String> = rows.iter().map(row).collect();
    desk.write("rows.json", &format!("[{}]", rows.join(",")));
}

fn items(desk: &TestProject) -> String {
    let sql = "select string_agg(id::varchar || '=' || amount::varchar, ' ' order by id, amount) a from raw.items";
    let rows = desk.json(".", &["query", "--format", "json", sql]);
    rows[0]["a"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_stream_is_merged_from_state_to_state() {
    let desk = project(MERGED, BY_CURSOR, "");
    rows(&desk, &[(1, "1.50", 1), (2, "2.25", 2), (3, "3.00", 3)]);
    desk.ok(".", &["check"]);
    let first = desk.json(".", &["run", "--format", "json"]);
    assert_eq!(first["rows_read"], 3);
    assert_eq!(items(&desk), "1=1.50 2=2.25 3=3.00");
    rows(
        &desk,
        &[
            (1, "1.50", 1),
            (2, "9.99", 4),
            (3, "3.00", 3),
            (4, "4.00", 5),
        ],
    );
    let second = desk.json(".", &["run", "--format", "json"]);
    // The last one of before comes again.
    assert_eq!(second["rows_read"], 3);
    assert_eq!(items(&desk), "1=1.50 2=9.99 3=3.00 4=4.00");
    // Nothing of what the project says of the tap is stored in clear text.
    let all = desk.everything(".");
    assert!(!all.contains("tok-4711"));
    let plan = desk.ok(".", &["plan", "--format", "json"]);
    assert!(
        !plan.contains("tok-4711") && !plan.contains("run.py"),
        "{plan}"
    );
    let full = desk.json(".", &["run", "--full-refresh", "--format", "json"]);
    assert_eq!(full["rows_read"], 4);
    assert_eq!(items(&desk), "1=1.50 2=9.99 3=3.00 4=4.00");
}

#[test]
fn rows_that_do_not_fit_wait_in_quarantine() {
    let pipeline = MERGED.replace("key: id", "key: id, fail_above: 50%");
    let desk = project(&pipeline, BY_CURSOR, "");
    rows(&desk, &[(1, "1.50", 1), (2, "2.255", 2), (3, "3.00", 3)]);
    let said = desk.ok(".", &["run"]);
    has(&said, &["1 rejected"]);
    let shown = desk.ok(".", &["quarantine", "show", "raw.items"]);
    has(&shown, &["2.255", "does not fit `decimal(38,2)` exactly"]);
    let pipeline = pipeline.replace(
        "key: id,",
        "key: id, columns: { amount: \"decimal(9,3)\" },",
    );
    desk.write("pipelines/p.yml", &pipeline);
    desk.ok(".", &["run", "--full-refresh"]);
    assert_eq!(items(&desk), "1=1.500 2=2.255 3=3.000");
}

/// Runs until it is killed at an edge.
fn killed(desk: &mut TestProject, edge: &str) {
    desk.set("TOWPATH_FAILPOINT", edge);
    let killed = desk.towpath(".", &["run"]);
    assert_eq!(killed.status.code(), None, "{edge}: {killed:?}");
    desk.set("TOWPATH_FAILPOINT", "");
}

#[test]
fn a_killed_run_is_continued_at_the_committed_state() {
    // A row more is there in each round: appended twice or not at all, the table would show it.
    let mut desk = project(APPENDED, BY_CURSOR, "      never_repeats: true\n");
    let mut all: Vec<(u64, &str, u64)> = Vec::new();
    let edges = [
        "flow::rows",
        "flow::prepare",
        "lake::before_commit",
        "lake::after_commit",
    ];
    for (round, edge) in (1_u64..).zip(edges) {
        all.extend([
            (2 * round, "1.00", 2 * round),
            (2 * round + 1, "2.00", 2 * round + 1),
        ]);
        rows(&desk, &all);
        killed(&mut desk, edge);
        desk.ok(".", &["run"]);
        assert_eq!(desk.count(".", "raw.items"), 2 * round, "{edge}");
        // Nothing is new.
        desk.ok(".", &["run"]);
        assert_eq!(desk.count(".", "raw.items"), 2 * round, "{edge}");
    }
    let sums = "select count(distinct id) n from raw.items";
    let rows = desk.json(".", &["query", "--format", "json", sums]);
    assert_eq!(rows[0]["n"], 8);
}

fn is_running(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    state.is_ok_and(|state| !state.contains(") Z "))
}

fn until(what: impl Fn() -> bool) -> bool {
    (0..3000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        what()
    })
}

#[test]
fn a_tap_does_not_outlive_a_killed_process() {
    let run = "
import subprocess
child = subprocess.Popen(['sleep', '600'])
schema(catalog['streams'][0]['schema']['properties'])
for number in range(3000): record({'id': number, 'amount': 1, 'changed': number})
sys.stdout.flush()
open('pids', 'w').write('%d %d\\n' % (os.getpid(), child.pid))
time.sleep(600)
";
    let desk = project(MERGED, run, "");
    let mut towpath = Command::new(env!("CARGO_BIN_EXE_towpath"))
        .arg("run")
        .current_dir(desk.path("."))
        .envs(desk.variables.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(until(
        || std::fs::read_to_string(desk.path("pids")).is_ok_and(|text| text.ends_with('\n'))
    ));
    let pids = desk.read("pids");
    let (tap, child) = pids.trim().split_once(' ').unwrap();
    assert!(is_running(tap) && is_running(child));
    towpath.kill().unwrap();
    towpath.wait().unwrap();
    assert!(until(|| !is_running(tap) && !is_running(child)));
    desk.write("run.py", BY_CURSOR);
    rows(&desk, &[(1, "1.50", 1)]);
    desk.ok(".", &["run"]);
    assert_eq!(items(&desk), "1=1.50");
    // The configuration of the killed one is gone with the next read.
    assert!(!desk.everything(".towpath").contains("tok-4711"));
}

#[test]
fn a_failing_tap_says_why_without_secrets() {
    let run = "say('bad token ' + config['token'])\nsys.exit(2)";
    let pipeline = MERGED.replace("load: shop", "load: shop\n    retries: 0");
    let desk = project(&pipeline, run, "");
    let output = desk.towpath(".", &["run", "-v"]);
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    has(&said, &["R1203", "ended with exit code 2", "bad token ***"]);
    assert!(!said.contains("tok-4711"), "{said}");
    assert!(!desk.everything(".").contains("tok-4711"));
}

#[test]
fn mistakes_are_found_before_a_tap_is_started() {
    let desk = project(
        MERGED,
        BY_CURSOR,
        "      password: hunter2\n      host: \"${env:NO_SUCH_HOST}\"\n",
    );
    let said = desk.ok(".", &["check"]);
    has(
        &said,
        &[
            "C0509",
            "`config.password` of connection `shop`",
            "NO_SUCH_HOST",
        ],
    );
    let desk = project(
        &MERGED.replace("key: id", "key: id, cursor: changed"),
        BY_CURSOR,
        "",
    );
    has(
        &desk.exits(2, ".", &["check"]),
        &["C0507", "takes no `cursor`"],
    );
    let desk = project(
        &MERGED.replace("key: id", "key: id, repeats: always"),
        BY_CURSOR,
        "",
    );
    has(&desk.exits(2, ".", &["check"]), &["P0111", "`always`"]);
    let desk = project(MERGED, BY_CURSOR, "");
    let yml = desk.read("towpath.yml");
    let (before, _) = yml.split_once("    config:").unwrap();
    desk.write("towpath.yml", &format!("{before}    config: config.json\n"));
    has(
        &desk.exits(2, ".", &["check"]),
        &["P0104", "`config` must be a map"],
    );
}

#[test]
fn streams_are_found_and_their_key_is_the_tables() {
    let pipeline = "steps:
  pull: { load: shop, into: raw, tables: { \"*\": {} } }
";
    let desk = project(pipeline, BY_CURSOR, "");
    rows(&desk, &[(1, "1.50", 1)]);
    let found = desk.ok(".", &["connection", "discover", "shop", "--write"]);
    has(&found, &["items"]);
    has(
        &desk.read("schemas/shop.yml"),
        &["key: [id]", "decimal(38,2)"],
    );
    desk.ok(".", &["run"]);
    assert_eq!(items(&desk), "1=1.50");
    has(
        &desk.ok(".", &["connection", "test", "shop"]),
        &["Singer tap python3", "streams: 1"],
    );
}
