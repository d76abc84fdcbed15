//! A process that is killed, or stopped by the API, in the middle of a delivery: the next one goes on.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use crate::crm::{Crm, Mishap};
use crate::test_project::{TestProject, has};
use crate::{BATCH, ROW, contacts, held, project};

/// The edges at which a process can die, and how often each is passed.
const EDGES: [&str; 8] = [
    "flow::between_quarantine_and_table",
    "rest::delivery_stands",
    "rest::before_request",
    "rest::answered",
    "rest::journaled",
    "rest::between_keys_and_commit",
    "rest::after_commit",
    "flow::after_commit",
];

fn killed(desk: &mut TestProject, edge: &str) -> bool {
    desk.set("TOWPATH_FAILPOINT", edge);
    let output = desk.towpath(".", &["run"]);
    desk.set("TOWPATH_FAILPOINT", "");
    output.status.code().is_none()
}

/// Every idempotency key went with one body, and no row that was answered was sent again.
fn keys_are_kept(crm: &Crm, what: &str) {
    let mut bodies = BTreeMap::new();
    for request in crm.server.requests() {
        let key = request.header("idempotency-key").unwrap().to_owned();
        let sent = format!("{} {} {}", request.method, request.target, request.body);
        let known = bodies.entry(key).or_insert_with(|| sent.clone());
        assert_eq!(*known, sent, "{what}: a key has two bodies");
    }
    // A row that was refused is another request when it is sent again.
    let mut sent: Vec<&String> = bodies
        .values()
        .filter(|sent| !sent.contains("bad"))
        .collect();
    let all = sent.len();
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), all, "{what}: a request came with two keys");
}

#[test]
fn killed_at_every_edge_each_row_is_taken_once() {
    for send in [ROW, BATCH] {
        for edge in EDGES {
            let crm = Crm::start();
            let mut desk = project(&crm, send, ", fail_above: 60%");
            contacts(&desk, "1=a 2=b 3=c 4=d 5=e");
            desk.ok(".", &["run"]);
            crm.applied();
            contacts(&desk, "1=a 2=x 4=d 5=y 6=f 7=bad 8=h");
            // The second time that it is passed, if it is passed twice.
            let is_killed = killed(&mut desk, &format!("{edge}@2")) || {
                contacts(&desk, "1=a 2=x2 4=d 5=y2 6=f2 8=h2 9=bad 10=k 11=l");
                killed(&mut desk, edge)
            };
            assert!(is_killed, "{edge} was not passed");
            let last = "1=a 2=z 5=y2 6=f2 8=h2 9=bad 10=k 11=l";
            contacts(&desk, last);
            desk.ok(".", &["run"]);
            let expected = "1=a 10=k 11=l 2=z 5=y2 6=f2 8=h2";
            assert_eq!(crm.names(), expected, "{edge}");
            assert_eq!(held(&desk), 1, "{edge}");
            let mut inserted = crm.applied();
            inserted.retain(|applied| applied.starts_with("POST"));
            let all = inserted.len();
            inserted.dedup();
            assert_eq!(inserted.len(), all, "{edge}: {inserted:?}");
            crm.state().refuses = String::new();
            desk.ok(".", &["run"]);
            assert_eq!(
                (crm.applied(), held(&desk)),
                (vec!["POST 9".to_owned()], 0),
                "{edge}"
            );
            keys_are_kept(&crm, edge);
        }
    }
}

#[test]
fn what_was_taken_before_a_kill_is_not_sent_again() {
    let crm = Crm::start();
    let mut desk = project(&crm, ROW, "");
    let all: Vec<String> = (10..30).map(|id| format!("{id}=n")).collect();
    contacts(&desk, &all.join(" "));
    assert!(killed(&mut desk, "rest::answered@8"));
    let sent = crm.server.requests().len();
    assert_eq!(sent, 8);
    desk.ok(".", &["run"]);
    // Only the request without a journaled answer comes twice, with its key.
    assert_eq!(crm.server.requests().len(), 21);
    assert_eq!(crm.applied().len(), 20);
    keys_are_kept(&crm, "killed");
    let folder = desk.path(".towpath/rest-writes");
    private(&folder);
}

#[test]
fn a_user_who_stops_a_delivery_is_obeyed_at_once() {
    let crm = Crm::start();
    let desk = project(&crm, ROW, "");
    let all: Vec<String> = (10..30).map(|id| format!("{id}=n")).collect();
    contacts(&desk, &all.join(" "));
    let gate = crm.hold(4);
    let child = Command::new(env!("CARGO_BIN_EXE_towpath"))
        .arg("run")
        .current_dir(desk.path("."))
        .envs(desk.variables.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    gate.reached.recv().unwrap();
    let mut interrupt = Command::new("kill");
    interrupt.args(["-INT", &child.id().to_string()]);
    assert!(interrupt.status().unwrap().success());
    // The API has not answered, and is not waited for.
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    gate.go_on.send(()).unwrap();
    has(
        &desk.ok(".", &["run"]),
        &["an earlier delivery was interrupted"],
    );
    assert_eq!(crm.applied().len(), 20, "each once");
    keys_are_kept(&crm, "stopped");
}

/// Nobody else can read what is kept.
fn private(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
        if path.is_dir() {
            private(&path);
        }
    }
}

#[test]
fn an_api_that_fails_stops_the_run_and_the_next_one_goes_on() {
    let crm = Crm::start();
    let desk = project(&crm, ROW, "");
    let root = desk.read("towpath.yml").replace("retries: 3", "retries: 0");
    desk.write(
        "towpath.yml",
        &format!("{root}defaults: {{ reconnect: 1s }}\n"),
    );
    contacts(&desk, "1=a 2=b 3=c 4=d");
    crm.state().mishaps.push_back(Mishap::AnswerLost);
    crm.state().mishaps.extend([Mishap::Status(503); 30]);
    has(&desk.exits(1, ".", &["run"]), &["R0356", "503"]);
    crm.state().mishaps.clear();
    // The first one was taken, though nobody heard of it.
    assert_eq!(crm.names(), "1=a");
    contacts(&desk, "1=a 2=b 3=x 4=d 5=e");
    let said = desk.ok(".", &["run"]);
    has(&said, &["+1 ~1 -0"]);
    assert_eq!(crm.names(), "1=a 2=b 3=x 4=d 5=e");
    let inserts = crm.applied();
    assert_eq!(
        inserts,
        ["PATCH 3", "POST 1", "POST 2", "POST 3", "POST 4", "POST 5"]
    );
    keys_are_kept(&crm, "failed");
}

#[test]
fn credentials_that_are_refused_stop_the_run_and_no_row_is_to_blame() {
    let crm = Crm::start();
    let mut desk = project(&crm, BATCH, "");
    desk.set("CRM_TOKEN", "another-token");
    contacts(&desk, "1=a 2=b");
    has(&desk.exits(1, ".", &["run"]), &["R0353"]);
    assert_eq!(held(&desk), 0);
    desk.set("CRM_TOKEN", "tok-4711-secret");
    desk.ok(".", &["run"]);
    assert_eq!(crm.names(), "1=a 2=b");
}

#[test]
fn all_rows_that_have_to_be_sent_again_are_updates_of_those_that_the_api_has() {
    let crm = Crm::start();
    let desk = project(&crm, ROW, "");
    contacts(&desk, "1=a 2=b");
    desk.ok(".", &["run"]);
    crm.applied();
    // How the API is asked does not change what it has.
    let root = desk.read("towpath.yml");
    desk.write("towpath.yml", &root.replace("retries: 3", "retries: 4"));
    let pipeline = desk.read("pipelines/p.yml");
    desk.write(
        "pipelines/p.yml",
        &pipeline.replace("key: id }", "key: id, fail_above: 7% }"),
    );
    desk.ok(".", &["run"]);
    assert_eq!(crm.applied(), [] as [&str; 0]);
    desk.write(
        "pipelines/p.yml",
        &pipeline.replace("key: id }", "key: id, drop: [amount] }"),
    );
    contacts(&desk, "1=a 2=b 3=c");
    desk.ok(".", &["run"]);
    assert_eq!(crm.applied(), ["PATCH 1", "PATCH 2", "POST 3"]);
    let pipeline = desk.read("pipelines/p.yml");
    desk.write(
        "pipelines/p.yml",
        &pipeline.replace("key: id,", "key: name,"),
    );
    has(&desk.exits(1, ".", &["run"]), &["R1169", "(id)"]);
    desk.write("pipelines/p.yml", &pipeline);
    desk.ok(".", &["run"]);
    assert_eq!(crm.applied(), [] as [&str; 0]);
    // Who loses what was noted sends every row as a new one.
    std::fs::remove_dir_all(desk.path(".towpath/rest-writes")).unwrap();
    desk.ok(".", &["run"]);
    assert_eq!(crm.applied(), ["POST 1", "POST 2", "POST 3"]);
}
