//! Alerts as a user gets them, with the real binary and a real HTTP server: of failures, recoveries and
//! findings, from `towpath serve` and `towpath alerts send`, once each, also when a server is killed, two
//! servers run, or the channel does not work for a while.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use towpath_testkit::http::{HttpAnswer, HttpServer};

use crate::test_project::{TestProject, has};

/// A project whose pipeline fails while `ok` does not exist.
struct Watched {
    desk: TestProject,
    channel: HttpServer,
    /// What the channel answers.
    status: Arc<AtomicU16>,
}

impl Watched {
    fn new() -> Self {
        let status = Arc::new(AtomicU16::new(204));
        let answered = Arc::clone(&status);
        let channel = HttpServer::start(move |_| {
            HttpAnswer::new(answered.load(Ordering::SeqCst), "no room for T0KENT0KEN")
        });
        let channel = channel.unwrap();
        let mut desk = TestProject::new();
        let url = format!("{}/T0KENT0KEN", channel.url());
        desk.write(
            "towpath.yml",
            "towpath: 1\nname: shop\nid: 5f0c2a1e\nconnections: { hook: { type: webhook, url: \"${secret:HOOK}\" } }\n\
             defaults: { alerts: { failed: hook, recovered: hook, quality: hook } }\n",
        );
        desk.set("HOOK", &url);
        desk.write(
            "pipelines/daily.yml",
            "schedule: { every: 1000d }\nsteps: { s: { command: [test, -e, ok] } }\n",
        );
        Self {
            desk,
            channel,
            status,
        }
    }

    fn serve(&self) -> Server {
        let output = self.desk.path("serve.txt");
        let child = Command::new(env!("CARGO_BIN_EXE_towpath"))
            .args(["serve", "--listen", "none"])
            .current_dir(self.desk.path("."))
            .envs(
                self.desk
                    .variables
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdout(std::fs::File::create(&output).unwrap())
            .stderr(std::fs::File::create(self.desk.path("errors.txt")).unwrap())
            .spawn()
            .unwrap();
        let server = Server(child);
        let has_begun = || {
            std::fs::read_to_string(&output)
                .unwrap()
                .contains("Serving")
        };
        wait_until("the server has begun", has_begun);
        server
    }

    /// The runs that messages were about, with their types, in the order of their arrival.
    fn arrived(&self) -> Vec<String> {
        let requests = self.channel.requests();
        let told = requests.iter().map(|request| {
            let body: Value = serde_json::from_str(&request.body).unwrap();
            format!(
                "{} {}",
                body["data"]["run"].as_str().unwrap(),
                body["type"].as_str().unwrap()
            )
        });
        told.collect()
    }

    fn run(&self) {
        let ok = self.desk.path("ok").exists();
        match ok {
            true => self.desk.ok(".", &["run", "daily"]),
            false => self.desk.exits(1, ".", &["run", "daily"]),
        };
    }
}

/// A server; it ends with the test.
struct Server(Child);

impl Server {
    /// Asks it to stop, and waits.
    fn stop(mut self) {
        let id = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{what}: not after a minute"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_server_tells_of_failures_and_recoveries() {
    let watched = Watched::new();
    let server = watched.serve();
    watched.run();
    wait_until("the failure", || watched.arrived().len() == 1);
    watched.desk.write("ok", "");
    watched.run();
    wait_until("the recovery", || watched.arrived().len() == 2);
    watched.run();
    server.stop();
    let expected = ["daily#1 run.failed", "daily#2 run.recovered"];
    assert_eq!(watched.arrived(), expected);
    let failed: Value = serde_json::from_str(&watched.channel.requests()[0].body).unwrap();
    let details = failed["data"]["details"].to_string();
    assert!(details.contains("s: R0"), "{details}");
}

#[test]
fn what_happens_without_a_server_is_told_by_the_next_one_and_by_one_of_two() {
    let watched = Watched::new();
    drop(watched.serve());
    watched.run();
    assert_eq!(watched.arrived().len(), 0);
    has(
        &watched.desk.ok(".", &["alerts", "ls"]),
        &["hook", "failed, quality, recovered", "1\n"],
    );
    let (one, two) = (watched.serve(), watched.serve());
    // The duty of the server that was killed is over after 20 seconds.
    wait_until("the failure", || watched.arrived().len() == 1);
    watched.desk.write("ok", "");
    watched.run();
    wait_until("the recovery", || watched.arrived().len() == 2);
    one.stop();
    two.stop();
    let expected = ["daily#1 run.failed", "daily#2 run.recovered"];
    assert_eq!(watched.arrived(), expected);
}

#[test]
fn a_channel_that_fails_gets_the_alert_later() {
    let watched = Watched::new();
    let server = watched.serve();
    watched.status.store(503, Ordering::SeqCst);
    watched.run();
    wait_until("a try", || watched.arrived().len() == 1);
    wait_until("the report", || {
        let errors = std::fs::read_to_string(watched.desk.path("errors.txt")).unwrap();
        errors.contains("R0343") && errors.contains("no room for ***")
    });
    watched.status.store(204, Ordering::SeqCst);
    wait_until("another try", || watched.arrived().len() == 2);
    server.stop();
    assert_eq!(
        watched.arrived(),
        ["daily#1 run.failed", "daily#1 run.failed"]
    );
    let ids = watched.channel.requests();
    assert_eq!(ids[0].header("webhook-id"), ids[1].header("webhook-id"));
}

#[test]
fn alerts_are_sent_without_a_server() {
    let watched = Watched::new();
    let desk = &watched.desk;
    has(&desk.ok(".", &["alerts", "send"]), &["No alert waits."]);
    watched.run();
    watched.run();
    watched.status.store(410, Ordering::SeqCst);
    let refused = desk.exits(2, ".", &["alerts", "send"]);
    has(&refused, &["R0342", "status 410: no room for ***"]);
    assert!(!refused.contains("T0KEN"), "{refused}");
    watched.status.store(204, Ordering::SeqCst);
    has(
        &desk.ok(".", &["alerts", "send"]),
        &["✓ hook: daily#1 failed", "✓ hook: daily#2 failed"],
    );
    has(&desk.ok(".", &["alerts", "send"]), &["No alert waits."]);
    has(
        &desk.ok(".", &["alerts", "test", "hook"]),
        &["✓ hook took the message"],
    );
    has(&desk.exits(2, ".", &["alerts", "test", "hok"]), &["R1152"]);
    assert_eq!(watched.arrived().len(), 4);
}

#[test]
fn findings_about_data_are_told() {
    let watched = Watched::new();
    let desk = &watched.desk;
    desk.write("data/orders.csv", "id,mail\n1,a@b\n2,not-one\n3,\n");
    desk.write("connections/files.yml", "type: files\npath: data\n");
    desk.write(
        "pipelines/load.yml",
        "steps: { e: { load: files, into: raw, tables: { orders: { from: orders.csv, bad_rows: quarantine, fail_above: 90%, \
         columns: { mail: { required: true, warn: { pattern: '@' } } } } } } }\n",
    );
    desk.ok(".", &["alerts", "send"]);
    desk.ok(".", &["run", "load"]);
    desk.ok(".", &["alerts", "send"]);
    let body = watched.channel.requests().pop().unwrap().body;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["type"], "run.quality");
    assert_eq!(
        body["data"]["title"],
        "load#1: 1 warning, 1 record rejected"
    );
    assert!(!body.to_string().contains("not-one"), "{body}");
}

#[test]
fn only_connections_that_take_alerts_can_be_named() {
    let watched = Watched::new();
    let desk = &watched.desk;
    desk.write("connections/files.yml", "type: files\npath: .\n");
    let pipeline = |alerts: &str| {
        let text = format!("steps: {{ s: {{ command: [echo] }} }}\nalerts: {alerts}\n");
        desk.write("pipelines/daily.yml", &text);
    };
    pipeline("{ failed: files }");
    has(
        &desk.exits(2, ".", &["check"]),
        &["C0520", "pipelines/daily.yml:2"],
    );
    pipeline("{ failed: hok }");
    has(&desk.exits(2, ".", &["check"]), &["C0502", "hook"]);
    pipeline("{ fails: hook }");
    has(&desk.exits(2, ".", &["check"]), &["failed"]);
    pipeline("{ failed: [] }");
    let listed = desk.ok(".", &["alerts", "ls"]);
    assert!(!listed.contains("failed"), "{listed}");
}
