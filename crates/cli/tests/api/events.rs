//! The events: each one once, behind the last one that a client got, also across a restart.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::client::{Events, Server, name, token};
use crate::project;

const START: &str = "/pipelines/often/runs";
const AGAIN: &str = "{\"full_refresh\": true}";

/// The events until the run has ended: the last id, and all `run/seq`.
fn until_end(events: &mut Events, run: &str) -> (String, Vec<(String, u64)>) {
    let mut found = Vec::new();
    loop {
        let (id, data) = events.next().expect("the stream goes on");
        if data == serde_json::json!({}) {
            continue;
        }
        let (of, kind) = (name(&data["run"]), data["kind"].as_str().unwrap());
        found.push((of.clone(), data["seq"].as_u64().unwrap()));
        if of == run && kind == "run_succeeded" {
            return (id, found);
        }
    }
}

/// All events of a run, as `logs` has them.
fn all(server: &Server, token: &str, run: &str) -> BTreeSet<(String, u64)> {
    let logs = server
        .get(token, &format!("/runs/{}/logs", run.replace('#', "%23")))
        .json();
    let events = logs["events"].as_array().unwrap().iter();
    events
        .map(|event| (run.to_owned(), event["seq"].as_u64().unwrap()))
        .collect()
}

#[test]
fn a_client_that_asks_again_misses_nothing_and_gets_nothing_twice() {
    let desk = project();
    let operate = token(&desk, "ci", "operate");
    let server = Server::start(&desk);
    let mut events = server.follow(&operate, None);
    let (begin, data) = events.next().unwrap();
    assert_eq!(data, Value::Object(Default::default()));
    assert_eq!(server.post(&operate, START, "").run(), "often#1");
    let (id, found) = until_end(&mut events, "often#1");
    assert_eq!(
        found.iter().cloned().collect::<BTreeSet<_>>(),
        all(&server, &operate, "often#1")
    );
    assert_eq!(
        found.len(),
        all(&server, &operate, "often#1").len(),
        "{found:?}"
    );
    drop(events);
    // While nobody follows, and the server is another one.
    server.post(&operate, START, AGAIN);
    assert_eq!(server.end_of(&operate, "often#2"), "succeeded");
    server.kill();
    let server = Server::start(&desk);
    let (_, missed) = until_end(&mut server.follow(&operate, Some(&id)), "often#2");
    assert_eq!(
        missed.iter().cloned().collect::<BTreeSet<_>>(),
        all(&server, &operate, "often#2")
    );
    // From where the first stream began, all of it.
    let (_, both) = until_end(&mut server.follow(&operate, Some(&begin)), "often#2");
    assert_eq!(both, [found, missed].concat());
    let wrong = server.send(
        "GET",
        "/api/v1/events",
        &[
            ("Host", "localhost"),
            ("Authorization", &format!("Bearer {operate}")),
            ("Last-Event-ID", "x"),
        ],
        "",
    );
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "R1110"));
}

#[test]
fn a_stream_ends_with_its_token_and_with_the_server() {
    let desk = project();
    let (first, second) = (
        token(&desk, "first", "read"),
        token(&desk, "second", "read"),
    );
    let server = Server::start(&desk);
    let mut revoked = server.follow(&first, None);
    let mut other = server.follow(&second, None);
    assert!(revoked.next().is_some() && other.next().is_some());
    desk.ok(".", &["token", "revoke", "first"]);
    assert!(revoked.next().is_none());
    server.terminate();
    assert!(other.next().is_none());
    assert_eq!(server.ended(), 0);
}
