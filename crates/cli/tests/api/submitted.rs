//! Runs that clients submit: once for each key, also when servers are killed or there are two; cancelled, and
//! awaited by a server that stops.

use std::time::{Duration, Instant};

use crate::client::{LONG, Server, token};
use crate::project;
use crate::test_project::{TestProject, has};

const START: &str = "/pipelines/often/runs";

fn key(key: &str) -> [(&str, &str); 1] {
    [("Idempotency-Key", key)]
}

/// Waits until the step of the run has begun so many times.
fn until_begun(desk: &TestProject, times: usize) {
    let began = Instant::now();
    let begun = || std::fs::read_to_string(desk.path("begun.txt")).unwrap_or_default();
    while begun().lines().count() < times {
        assert!(began.elapsed() < LONG, "the step has not begun");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_key_has_one_run() {
    let desk = project();
    let operate = token(&desk, "ci", "operate");
    let server = Server::start(&desk);
    let first = server.post_with(&operate, START, &key("k1"), "{}");
    assert_eq!((first.status, first.run().as_str()), (201, "often#1"));
    assert!(
        first.head.contains("location: /api/v1/runs/often%231"),
        "{first:?}"
    );
    assert_eq!(server.end_of(&operate, "often#1"), "succeeded");
    let again = server.post_with(&operate, START, &key("k1"), "");
    assert_eq!((again.status, again.run().as_str()), (200, "often#1"));
    assert_eq!(again.json()["state"], "succeeded");
    let other = server.post_with(&operate, START, &key("k1"), "{\"full_refresh\": true}");
    assert_eq!((other.status, other.code().as_str()), (422, "R1124"));
    // Another key is another run, and no key, too.
    let body = "{\"full_refresh\": true}";
    assert_eq!(
        server.post_with(&operate, START, &key("k2"), body).run(),
        "often#2"
    );
    assert_eq!(server.end_of(&operate, "often#2"), "succeeded");
    assert_eq!(server.post(&operate, START, body).run(), "often#3");
    assert_eq!(server.end_of(&operate, "often#3"), "succeeded");
    assert_eq!(desk.read("seen.txt"), "often#1\noften#2\noften#3\n");
}

#[test]
fn a_pipeline_that_runs_and_a_server_without_room_refuse() {
    let desk = project();
    desk.write("hold", "");
    desk.write(
        "pipelines/other.yml",
        "steps: { s: { command: [sh, step.sh] } }\n",
    );
    let operate = token(&desk, "ci", "operate");
    let server = Server::with(&desk, &["--runs", "2"]);
    assert_eq!(
        server.post_with(&operate, START, &key("k1"), "").status,
        201
    );
    let busy = server.post_with(&operate, START, &key("k2"), "");
    assert_eq!(
        (busy.status, busy.code().as_str()),
        (409, "R0960"),
        "{busy:?}"
    );
    // The same key hears of its run while it goes on.
    let same = server.post_with(&operate, START, &key("k1"), "");
    assert_eq!((same.status, same.run().as_str()), (200, "often#1"));
    assert_eq!(
        server.post(&operate, "/pipelines/other/runs", "").status,
        201
    );
    let full = server.post(&operate, "/pipelines/other/runs", "");
    assert_eq!(
        (full.status, full.code().as_str()),
        (503, "R1126"),
        "{full:?}"
    );
    assert!(full.head.contains("retry-after"), "{full:?}");
    std::fs::remove_file(desk.path("hold")).unwrap();
    assert_eq!(server.end_of(&operate, "often#1"), "succeeded");
    assert_eq!(server.end_of(&operate, "other#1"), "succeeded");
}

#[test]
fn a_killed_server_goes_on_with_the_run() {
    let desk = project();
    desk.write("hold", "");
    let operate = token(&desk, "ci", "operate");
    let server = Server::start(&desk);
    assert_eq!(
        server.post_with(&operate, START, &key("k1"), "{}").run(),
        "often#1"
    );
    until_begun(&desk, 1);
    server.kill();
    let server = Server::start(&desk);
    // Nobody asks for it again.
    until_begun(&desk, 2);
    let again = server.post_with(&operate, START, &key("k1"), "{}");
    assert_eq!((again.status, again.run().as_str()), (200, "often#1"));
    std::fs::remove_file(desk.path("hold")).unwrap();
    assert_eq!(server.end_of(&operate, "often#1"), "succeeded");
    let again = server.post_with(&operate, START, &key("k1"), "{}");
    assert_eq!((again.status, again.run().as_str()), (200, "often#1"));
    let runs = server.get(&operate, "/runs").json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "{runs}");
    assert_eq!(desk.read("seen.txt"), "often#1\n");
}

#[test]
fn two_servers_begin_one_run_for_a_key() {
    let desk = project();
    desk.write("hold", "");
    let operate = token(&desk, "ci", "operate");
    let servers = [Server::start(&desk), Server::start(&desk)];
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8)
            .map(|number: usize| {
                let (server, operate) = (&servers[number % 2], &operate);
                scope.spawn(move || server.post_with(operate, START, &key("k1"), "{}"))
            })
            .collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let mut statuses: Vec<u16> = answers.iter().map(|one| one.status).collect();
    statuses.sort_unstable();
    assert_eq!(
        statuses,
        [200, 200, 200, 200, 200, 200, 200, 201],
        "{answers:#?}"
    );
    assert!(answers.iter().all(|one| one.run() == "often#1"));
    until_begun(&desk, 1);
    // The one that did not begin it takes it over when the other is killed.
    let [first, second] = servers;
    let runs = first.get(&operate, "/runs/often%231").json();
    let process = runs["worker"]
        .as_str()
        .unwrap()
        .split('-')
        .next()
        .unwrap()
        .to_owned();
    let (owner, other) = match first.id() == process {
        true => (first, second),
        false => (second, first),
    };
    owner.kill();
    until_begun(&desk, 2);
    std::fs::remove_file(desk.path("hold")).unwrap();
    assert_eq!(other.end_of(&operate, "often#1"), "succeeded");
    let runs = other.get(&operate, "/runs").json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "{runs}");
}

#[test]
fn any_run_can_be_cancelled_and_is_not_begun_again() {
    let desk = project();
    desk.write("hold", "");
    let operate = token(&desk, "ci", "operate");
    let server = Server::start(&desk);
    server.post_with(&operate, START, &key("k1"), "");
    until_begun(&desk, 1);
    let cancelled = server.post(&operate, "/runs/often%231/cancel", "{\"now\": true}");
    assert_eq!(cancelled.status, 202, "{cancelled:?}");
    let stop = &cancelled.json()["stop"];
    assert_eq!(
        *stop,
        serde_json::json!({ "why": "user", "at_once": true, "by": "token ci" })
    );
    assert_eq!(server.end_of(&operate, "often#1"), "cancelled");
    // The key has this run, and it stays as it is.
    let again = server.post_with(&operate, START, &key("k1"), "");
    assert_eq!((again.status, again.run().as_str()), (200, "often#1"));
    let again = server.post(&operate, "/runs/often%231/cancel", "{}");
    assert_eq!(
        (again.status, &again.json()["state"]),
        (200, &"cancelled".into())
    );
    // A run of another process.
    let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(["run", "--full-refresh", "--quiet"])
        .current_dir(desk.path("."))
        .spawn()
        .unwrap();
    until_begun(&desk, 2);
    let cancelled = server.post(&operate, "/runs/often%232/cancel", "");
    assert_eq!(cancelled.status, 202, "{cancelled:?}");
    assert_eq!(server.end_of(&operate, "often#2"), "cancelled");
    assert!(!process.wait().unwrap().success());
    assert!(!desk.path("seen.txt").exists());
    let runs = desk.ok(".", &["runs"]);
    has(&runs, &["often#2", "token ci"]);
}

#[test]
fn a_cancelled_run_of_a_killed_server_is_ended_by_the_next_one() {
    let desk = project();
    desk.write("hold", "");
    // A program that does not stop when it is asked to.
    desk.write("step.sh", "trap '' TERM\necho begun >> begun.txt\nwhile test -e hold; do sleep 0.05; done\necho seen >> seen.txt\n");
    let operate = token(&desk, "ci", "operate");
    let server = Server::start(&desk);
    server.post_with(&operate, START, &key("k1"), "");
    until_begun(&desk, 1);
    let cancelled = server.post(&operate, "/runs/often%231/cancel", "");
    assert_eq!(cancelled.status, 202, "{cancelled:?}");
    server.kill();
    let server = Server::start(&desk);
    assert_eq!(server.end_of(&operate, "often#1"), "cancelled");
    let again = server.post_with(&operate, START, &key("k1"), "");
    assert_eq!((again.status, again.run().as_str()), (200, "often#1"));
    std::fs::remove_file(desk.path("hold")).unwrap();
    let next = server.post_with(&operate, START, &key("k2"), "{\"full_refresh\": true}");
    assert_eq!((next.status, next.run().as_str()), (201, "often#2"));
    assert_eq!(server.end_of(&operate, "often#2"), "succeeded");
    assert_eq!(desk.read("begun.txt").lines().count(), 2);
}

#[test]
fn a_past_run_is_run_again_for_a_key() {
    let desk = project();
    desk.write(
        "pipelines/often.yml",
        "steps:\n  s: { command: [sh, step.sh] }\n  t: { command: [sh, fails.sh], after: [s], retries: 0 }\n",
    );
    desk.write("fails.sh", "test -e good\n");
    let operate = token(&desk, "ci", "operate");
    let server = Server::start(&desk);
    assert_eq!(server.post(&operate, START, "").run(), "often#1");
    assert_eq!(server.end_of(&operate, "often#1"), "failed");
    let failed = server.get(&operate, "/runs?state=failed").json();
    let task = &failed["runs"][0]["tasks"][1];
    assert!(task["code"].as_str().unwrap().starts_with('R'), "{task}");
    desk.write("good", "");
    let rerun = "/runs/often%231/rerun";
    for (body, status, code) in [
        ("{\"failed\": true, \"from\": \"s\"}", 400, "R1109"),
        ("{\"only\": \"s\"}", 400, "R1109"),
    ] {
        let refused = server.post(&operate, rerun, body);
        assert_eq!((refused.status, refused.code().as_str()), (status, code));
    }
    let none = server.post(&operate, "/runs/often%239/rerun", "{}");
    assert_eq!((none.status, none.code().as_str()), (404, "R0981"));
    let failed = "{\"failed\": true}";
    let first = server.post_with(&operate, rerun, &key("k1"), failed);
    assert_eq!(
        (first.status, first.run().as_str()),
        (201, "often#2"),
        "{first:?}"
    );
    assert_eq!(server.end_of(&operate, "often#2"), "succeeded");
    let again = server.post_with(&operate, rerun, &key("k1"), failed);
    assert_eq!((again.status, again.run().as_str()), (200, "often#2"));
    let other = server.post_with(&operate, rerun, &key("k1"), "{}");
    assert_eq!((other.status, other.code().as_str()), (422, "R1124"));
    // Only the step that had failed.
    assert_eq!(desk.read("seen.txt"), "often#1\n");
    let tasks = server.get(&operate, "/runs/often%232").json();
    assert_eq!(tasks["tasks"].as_array().unwrap().len(), 1, "{tasks}");
}

#[test]
fn keys_belong_to_a_token() {
    let desk = project();
    let (one, other) = (
        token(&desk, "one", "operate"),
        token(&desk, "other", "operate"),
    );
    let server = Server::start(&desk);
    let first = server.post_with(&one, START, &key("k"), "");
    assert_eq!((first.status, first.run().as_str()), (201, "often#1"));
    assert_eq!(server.end_of(&one, "often#1"), "succeeded");
    let second = server.post_with(&other, START, &key("k"), "{\"full_refresh\": true}");
    assert_eq!((second.status, second.run().as_str()), (201, "often#2"));
    assert_eq!(server.end_of(&one, "often#2"), "succeeded");
    let again = server.post_with(&one, START, &key("k"), "");
    assert_eq!((again.status, again.run().as_str()), (200, "often#1"));
}

#[test]
fn a_run_that_cannot_go_on_is_said_once_and_goes_on_when_it_can() {
    let desk = project();
    desk.write("hold", "");
    let operate = token(&desk, "ci", "operate");
    let server = Server::start(&desk);
    server.post_with(&operate, START, &key("k1"), "");
    until_begun(&desk, 1);
    server.kill();
    let pipeline = desk.read("pipelines/often.yml");
    // The server finds the project whole, and the mistake comes before it goes on.
    desk.write(
        "pipelines/other.yml",
        "steps: { s: { command: [sh, step.sh] } }\n",
    );
    std::fs::remove_file(desk.path("pipelines/often.yml")).unwrap();
    let server = Server::start(&desk);
    // The run is tried, and again: what is said about it comes once.
    server.said("A submitted run of often does not begin");
    let tries =
        |server: &Server| server.get(&operate, "/runs/often%231").json()["interrupted"] == true;
    assert!(tries(&server));
    desk.write(
        "pipelines/third.yml",
        "steps: { s: { command: [sh, step.sh] } }\n",
    );
    server.said("The project has changed.");
    let errors = desk.read("errors.txt");
    assert_eq!(
        errors
            .matches("A submitted run of often does not begin")
            .count(),
        1,
        "{errors}"
    );
    has(&errors, &["R0920"]);
    let run = server.get(&operate, "/runs/often%231").json();
    assert_eq!(
        (&run["state"], &run["interrupted"]),
        (&"running".into(), &true.into())
    );
    desk.write("pipelines/often.yml", &pipeline);
    until_begun(&desk, 2);
    std::fs::remove_file(desk.path("hold")).unwrap();
    assert_eq!(server.end_of(&operate, "often#1"), "succeeded");
}

#[test]
fn a_server_that_stops_lets_submitted_runs_end() {
    let desk = project();
    desk.write("hold", "");
    let operate = token(&desk, "ci", "operate");
    let server = Server::start(&desk);
    server.post_with(&operate, START, &key("k1"), "");
    until_begun(&desk, 1);
    server.terminate();
    // Clients look on, and nothing begins.
    let began = Instant::now();
    loop {
        let refused = server.post_with(&operate, START, &key("k2"), "{\"full_refresh\": true}");
        match refused.code().as_str() {
            "R1125" => break assert_eq!(refused.status, 503),
            // The signal has not come yet.
            "R0960" => assert!(began.elapsed() < LONG),
            other => panic!("{other}"),
        }
    }
    assert_eq!(
        server.get(&operate, "/runs/often%231").json()["state"],
        "running"
    );
    std::fs::remove_file(desk.path("hold")).unwrap();
    assert_eq!(server.ended(), 0);
    assert_eq!(desk.read("seen.txt"), "often#1\n");
}

#[test]
fn mistakes_of_the_project_keep_a_run_from_beginning() {
    let desk = project();
    let operate = token(&desk, "ci", "operate");
    let server = Server::start(&desk);
    desk.write(
        "pipelines/often.yml",
        "steps: { s: { comand: [sh, step.sh] } }\n",
    );
    // Before and after the server has noticed it.
    for round in 0..2 {
        let refused = server.post(&operate, START, "");
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (422, "R1127"),
            "{refused:?}"
        );
        has(&refused.text, &["pipelines/often.yml"]);
        if round == 0 {
            server.said("The project has changed and has mistakes.");
        }
    }
    let part = server.post(&operate, "/pipelines/often.s/runs", "");
    assert_eq!(
        (part.status, part.code().as_str()),
        (404, "R0920"),
        "{part:?}"
    );
}

#[test]
fn a_pause_says_who_made_it() {
    let desk = project();
    desk.write(
        "pipelines/often.yml",
        "schedule: { every: 1h }\nsteps: { s: { command: [sh, step.sh] } }\n",
    );
    let operate = token(&desk, "ci", "operate");
    let server = Server::start(&desk);
    let pause = "/pipelines/often/schedule/pause";
    let paused = server.post(&operate, pause, "{\"reason\": \"the database moves\"}");
    assert_eq!(
        (paused.status, &paused.json()["by"]),
        (200, &"token ci".into()),
        "{paused:?}"
    );
    let wrong = server.post(&operate, pause, "{\"until\": \"yesterday\"}");
    assert_eq!((wrong.status, wrong.code().as_str()), (422, "R0900"));
    let resumed = server.post(&operate, "/pipelines/often/schedule/resume", "");
    assert_eq!(
        (resumed.status, &resumed.json()["was_paused"]),
        (200, &true.into())
    );
    let events = desk.json(".", &["schedule", "events", "often", "--format", "json"]);
    let by: Vec<&str> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["by"].as_str().unwrap())
        .collect();
    assert_eq!(by, ["token ci", "token ci"]);
}
