//! Publishes to an API: only changes are sent, each row is taken once or kept, whatever the API and the process
//! do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "reverse_etl/crm.rs"]
mod crm;
#[path = "reverse_etl/edited.rs"]
mod edited;
#[path = "reverse_etl/interrupted.rs"]
mod interrupted;
mod test_project;

use serde_json::Value;

use crate::crm::{Crm, Mishap};
use crate::test_project::{TestProject, has};

/// One contact in each request.
const ROW: &str = "type: row, insert: POST contacts, update: \"PATCH contacts/{id}\", delete: \"DELETE contacts/{id}\", idempotency_header: Idempotency-Key";
/// Lists of contacts.
const BATCH: &str = "type: batch, size: 4, records: contacts, insert: POST contacts, update: \"PATCH contacts/{id}\", delete: \"DELETE contacts/{id}\", idempotency_header: Idempotency-Key";

/// A project that sends the contacts of a file to an API.
fn project(crm: &Crm, send: &str, table: &str) -> TestProject {
    let mut desk = TestProject::new();
    desk.write(
        "towpath.yml",
        &format!(
            "towpath: 1
name: p
id: 6f1e0000-0000-4000-8000-000000000006
lakehouse: ./lake
connections:
  data: {{ type: files, path: data }}
  crm:
    type: rest
    url: {}/v1
    auth: {{ type: bearer, token: \"${{secret:CRM_TOKEN}}\" }}
    writable: true
    retries: 3
    timeout_s: 10
    limits: {{ connections: 1 }}
    tables:
      contacts:
        send: {{ {send} }}
",
            crm.server.url()
        ),
    );
    desk.write(
        "pipelines/p.yml",
        &format!(
            "steps:
  extract: {{ load: data, into: raw, tables: {{ contacts: {{ from: t.csv, columns: {{ id: text, amount: \"decimal(9,2)\" }} }} }} }}
  send: {{ publish: raw, into: crm, retries: 0, tables: {{ contacts: {{ key: id{table} }} }} }}
"
        ),
    );
    desk.set("CRM_TOKEN", "tok-4711-secret");
    desk
}

/// Writes the contacts: `1=a 2=b`.
fn contacts(desk: &TestProject, contacts: &str) {
    let lines = contacts.split_whitespace().map(|contact| {
        let (id, name) = contact.split_once('=').unwrap();
        format!("{id},{name},1.50\n")
    });
    desk.write(
        "data/t.csv",
        &format!("id,name,amount\n{}", lines.collect::<String>()),
    );
}

/// The records of the quarantine that wait.
fn held(desk: &TestProject) -> u64 {
    let lines = desk.json(".", &["quarantine", "ls", "--format", "json"]);
    match &lines["tables"][0]["held"] {
        Value::Null => 0,
        held => held.as_u64().unwrap(),
    }
}

#[test]
fn only_what_changed_is_sent_by_the_request_of_its_change() {
    let crm = Crm::start();
    let desk = project(&crm, ROW, "");
    contacts(&desk, "1=a 2=b 3=c");
    desk.ok(".", &["check"]);
    desk.ok(".", &["run"]);
    assert_eq!(crm.names(), "1=a 2=b 3=c");
    assert_eq!(crm.applied(), ["POST 1", "POST 2", "POST 3"]);
    let sent = crm.server.requests();
    assert_eq!(sent[0].body, r#"{"id":"1","name":"a","amount":1.50}"#);

    contacts(&desk, "1=a 2=x 4=d");
    let said = desk.ok(".", &["run"]);
    has(&said, &["+1 ~1 -1"]);
    assert_eq!(crm.applied(), ["DELETE 3", "PATCH 2", "POST 4"]);
    assert_eq!(crm.names(), "1=a 2=x 4=d");

    let before = crm.server.requests().len();
    desk.ok(".", &["run"]);
    assert_eq!(crm.server.requests().len(), before, "nothing changed");
    // A row that comes back is a new one.
    contacts(&desk, "1=a 2=x 3=c 4=d");
    desk.ok(".", &["run"]);
    assert_eq!(crm.applied(), ["POST 3"]);
}

#[test]
fn lists_are_sent_and_the_rows_that_are_refused_are_found_and_kept() {
    let crm = Crm::start();
    let desk = project(&crm, BATCH, ", fail_above: 50%");
    contacts(&desk, "1=a 2=b 3=c 4=bad 5=e 6=f 7=bad");
    let said = desk.ok(".", &["run"]);
    has(&said, &["2 rows rejected"]);
    assert_eq!(crm.names(), "1=a 2=b 3=c 5=e 6=f");
    assert_eq!(held(&desk), 2);
    let shown = desk.ok(".", &["quarantine", "show", "crm.contacts"]);
    has(&shown, &["422", "bad name", "bad"]);
    for folder in [".", ".towpath"] {
        let kept = desk.everything(folder);
        assert!(!kept.contains("tok-4711"), "{folder}");
    }
    has(
        &desk.exits(2, ".", &["quarantine", "replay", "crm.contacts"]),
        &["R0975", "the next run"],
    );

    // They are sent again by each run, and are two records all the same.
    crm.applied();
    desk.ok(".", &["run"]);
    assert_eq!(crm.applied(), [] as [&str; 0]);
    assert_eq!(held(&desk), 2);
    // One is corrected, the other is taken now as it is.
    contacts(&desk, "1=a 2=b 3=c 4=good 5=e 6=f 7=bad");
    crm.state().refuses = String::new();
    desk.ok(".", &["run"]);
    assert_eq!(crm.applied(), ["POST 4", "POST 7"], "both are new to it");
    assert_eq!(held(&desk), 0);
    desk.ok(".", &["run"]);
    assert_eq!(crm.applied(), [] as [&str; 0]);
}

#[test]
fn a_row_that_was_never_taken_is_not_deleted_and_one_that_is_gone_is_no_failure() {
    let crm = Crm::start();
    let desk = project(&crm, ROW, ", fail_above: 50%");
    contacts(&desk, "1=a 2=bad 3=c");
    desk.ok(".", &["run"]);
    // 2 is gone before it was taken; somebody else has deleted 3.
    crm.state().contacts.remove("3");
    contacts(&desk, "1=a");
    crm.applied();
    desk.ok(".", &["run"]);
    assert_eq!(crm.applied(), [] as [&str; 0]);
    assert_eq!((crm.names().as_str(), held(&desk)), ("1=a", 0));
    let asked = crm.server.requests();
    assert_eq!(asked.last().unwrap().target, "/v1/contacts/3");
    // A change of a contact that the API lost is refused, with its status.
    crm.state().contacts.clear();
    contacts(&desk, "1=z");
    let said = desk.exits(3, ".", &["run"]);
    has(&said, &["R0623", "404"]);
    assert_eq!(held(&desk), 1);
}

#[test]
fn what_the_api_does_not_take_now_is_sent_again_with_its_key() {
    let crm = Crm::start();
    let desk = project(&crm, ROW, "");
    contacts(&desk, "1=a 2=b 3=c");
    crm.state().mishaps.extend([
        Mishap::Status(429),
        Mishap::Status(500),
        Mishap::AnswerLost,
        Mishap::AnswerLost,
    ]);
    desk.ok(".", &["run"]);
    assert_eq!(crm.applied(), ["POST 1", "POST 2", "POST 3"]);
    let requests = crm.server.requests();
    let key = |at: usize| requests[at].header("idempotency-key").unwrap();
    let body = |at: usize| requests[at].body.as_str();
    assert_eq!(requests.len(), 6);
    for at in 1..requests.len() {
        assert_eq!(key(at - 1) == key(at), body(at - 1) == body(at), "{at}");
    }
}

#[test]
fn too_many_refused_rows_stop_the_delivery() {
    let crm = Crm::start();
    let desk = project(&crm, ROW, "");
    let all: Vec<String> = (10..30).map(|id| format!("{id}=bad")).collect();
    contacts(&desk, &format!("01=a {}", all.join(" ")));
    let said = desk.exits(3, ".", &["run"]);
    has(&said, &["R0623", "10 %", "quarantine show crm.contacts"]);
    let asked = crm.server.requests().len();
    assert!(asked < 10, "it goes on after {asked} requests");
    // The API is put right: the rest is sent, and the refused ones again.
    crm.state().refuses = String::new();
    has(
        &desk.ok(".", &["run"]),
        &["an earlier delivery was interrupted"],
    );
    assert_eq!(crm.applied().len(), 21, "each once");
    assert_eq!(held(&desk), 0);
    // The first refused row can be the last one.
    let strict = project(&crm, ROW, ", bad_rows: fail");
    crm.state().refuses = "bad".to_owned();
    contacts(&strict, "1=bad");
    has(&strict.exits(3, ".", &["run"]), &["R0622", "422"]);
}

#[test]
fn an_answer_for_each_row_is_obeyed() {
    let crm = Crm::start();
    crm.state().by_row = true;
    let unsaid = project(&crm, BATCH, ", fail_above: 50%");
    contacts(&unsaid, "1=a 2=bad 3=c");
    has(
        &unsaid.exits(1, ".", &["run"]),
        &["R1164", "207", "results"],
    );
    // Once it is said, the same request comes again.
    let root = unsaid.read("towpath.yml");
    unsaid.write(
        "towpath.yml",
        &root.replace("size: 4,", "size: 4, results: results,"),
    );
    unsaid.ok(".", &["run"]);
    assert_eq!(crm.names(), "1=a 3=c");
    assert_eq!(crm.applied(), ["POST 1", "POST 3"]);
    let requests = crm.server.requests();
    assert_eq!(requests.len(), 2);
    let key = |at: usize| requests[at].header("idempotency-key");
    assert_eq!(key(0), key(1));
    let shown = unsaid.ok(".", &["quarantine", "show", "crm.contacts"]);
    has(&shown, &["422", "bad name"]);
}

#[test]
fn values_stay_inside_their_segment_or_the_row_is_refused() {
    let crm = Crm::start();
    let upsert = "type: row, upsert: \"PUT contacts/{id}\", delete: ignore";
    let desk = project(&crm, upsert, ", fail_above: 80%");
    desk.write(
        "data/t.csv",
        "id,name,amount\n../a?b,x,1\n..,y,1\n,z,1\nc d,w,1\n",
    );
    desk.ok(".", &["run"]);
    let mut asked: Vec<String> = crm
        .server
        .requests()
        .into_iter()
        .map(|one| one.target)
        .collect();
    asked.sort();
    assert_eq!(asked, ["/v1/contacts/..%2Fa%3Fb", "/v1/contacts/c%20d"]);
    assert_eq!(held(&desk), 2);
    let shown = desk.ok(".", &["quarantine", "show", "crm.contacts"]);
    has(&shown, &["cannot be a part of a path"]);
    // `delete: ignore` leaves a row that is gone.
    contacts(&desk, "7=q");
    crm.applied();
    desk.ok(".", &["run"]);
    assert_eq!(crm.applied(), ["PUT 7"]);
}

#[test]
fn what_cannot_be_sent_is_refused_before_anything_is() {
    let crm = Crm::start();
    let inserts = project(&crm, "type: row, insert: POST contacts", "");
    contacts(&inserts, "1=a 2=b");
    inserts.ok(".", &["run"]);
    contacts(&inserts, "1=x 2=b 3=c");
    crm.applied();
    has(
        &inserts.exits(1, ".", &["run"]),
        &["R1162", "update", "ignore"],
    );
    assert_eq!(crm.applied(), [] as [&str; 0]);

    let cases = [
        (ROW.replace("{id}", "{no}"), "", 1, "R0350"),
        (ROW.replace("POST", "GET"), "", 1, "R0350"),
        (ROW.to_owned(), ", from: u", 3, "R1163"),
    ];
    for (send, table, code, wanted) in cases {
        let desk = project(&crm, &send, table);
        contacts(&desk, "1=a 2=b");
        let pipeline = desk.read("pipelines/p.yml");
        let more = pipeline.replace(
            "tables: { contacts: { from: t.csv,",
            "tables: { u: { from: u.csv, columns: { id: text } }, contacts: { from: t.csv,",
        );
        desk.write("pipelines/p.yml", &more);
        desk.write("data/u.csv", "id,name\n1,a\n1,b\n");
        has(&desk.exits(code, ".", &["run"]), &[wanted]);
    }
    let mistakes = [
        (", write: replace", "C0505"),
        (", write: append", "C0505"),
        (", schema_change: freeze", "P0160"),
        (", checks: [{ row_count: { min: 1 } }]", "C0521"),
        (", bad_rows: drop", "P0111"),
    ];
    for (table, wanted) in mistakes {
        let desk = project(&crm, ROW, table);
        has(&desk.exits(2, ".", &["check"]), &[wanted]);
    }
    let files = project(&crm, ROW, "");
    let pipeline =
        "steps:\n  send: { publish: raw, into: out, tables: { t.csv: { fail_above: 1% } } }\n";
    files.write("pipelines/p.yml", pipeline);
    let root = files.read("towpath.yml");
    let out = "connections:\n  out: { type: files, path: out, writable: true }";
    files.write("towpath.yml", &root.replacen("connections:", out, 1));
    has(
        &files.exits(2, ".", &["check"]),
        &["P0160", "takes all rows or none"],
    );
    assert_eq!(
        crm.applied(),
        [] as [&str; 0],
        "nothing of all this was sent"
    );
}

#[test]
fn a_connection_that_is_only_written_is_not_asked() {
    let crm = Crm::start();
    let desk = project(&crm, ROW, "");
    has(
        &desk.ok(".", &["connection", "test", "crm"]),
        &["was not asked"],
    );
    has(
        &desk.exits(2, ".", &["connection", "discover", "crm"]),
        &["R0944"],
    );
    assert!(crm.server.requests().is_empty());
    let root = desk.read("towpath.yml");
    desk.write(
        "towpath.yml",
        &root.replace("writable: true", "writable: false"),
    );
    contacts(&desk, "1=a");
    has(&desk.ok(".", &["run"]), &["read-only"]);
    assert!(crm.server.requests().is_empty());
}
