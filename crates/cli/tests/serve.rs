//! `towpath serve` and `towpath schedule` as a user types them, with the real binary: a server that is killed
//! and started again gives each interval one run, two servers share the intervals, and TERM lets runs end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::test_project::{TestProject, has};

const ROOT: &str = "towpath: 1\nname: often\nid: 5f0c2a1e\n";

/// Notes the interval, and takes a while.
const STEP: &str = "echo \"$1 $2 $TOWPATH_RUN_ID\" >> seen.txt\nsleep 0.2\n";

fn often(schedule: &str) -> TestProject {
    let desk = TestProject::new();
    desk.write("towpath.yml", ROOT);
    let steps = "steps: { s: { command: [sh, step.sh, \"${run:interval_start}\", \"${run:interval_end}\"] } }";
    desk.write(
        "pipelines/often.yml",
        &format!("schedule: {schedule}\n{steps}\n"),
    );
    desk.write("step.sh", STEP);
    desk
}

/// A server; it ends with the test.
struct Server(Child);

impl Server {
    fn start(desk: &TestProject) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_towpath"))
            .arg("serve")
            .current_dir(desk.path("."))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Asks it to stop, and waits.
    fn stop(mut self) -> i32 {
        let id = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        self.0.wait().unwrap().code().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Intervals of all runs and the states of the runs, in the order of time.
fn runs(desk: &TestProject) -> Vec<(i64, i64, String)> {
    let report = desk.json(".", &["runs", "--last", "1000", "--format", "json"]);
    let mut found: Vec<_> = report["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| {
            let us = |what: &str| run["interval"][what].as_i64().unwrap();
            let state = run["state"].as_str().unwrap().to_owned();
            (us("start_us"), us("end_us"), state)
        })
        .collect();
    found.sort();
    found
}

fn until_succeeded(desk: &TestProject, count: usize) {
    let began = Instant::now();
    while runs(desk).iter().filter(|run| run.2 == "succeeded").count() < count {
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "{:?}",
            runs(desk)
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// One run for each interval, one interval after the other.
fn assert_each_once(desk: &TestProject) {
    let all = runs(desk);
    for pair in all.windows(2) {
        assert_eq!(pair[0].1, pair[1].0, "{all:?}");
    }
    assert!(all.iter().all(|run| run.2 == "succeeded"), "{all:?}");
    let seen = desk.read("seen.txt");
    for (number, _) in all.iter().enumerate() {
        let run = format!(" often#{}\n", number + 1);
        assert!(seen.contains(&run), "{run} {seen}");
    }
}

#[test]
fn a_killed_server_goes_on_where_it_was() {
    let desk = often("{ every: 1s, catchup: all }");
    let first = Server::start(&desk);
    until_succeeded(&desk, 2);
    first.kill();
    let second = Server::start(&desk);
    until_succeeded(&desk, 5);
    second.kill();
    let third = Server::start(&desk);
    until_succeeded(&desk, 7);
    assert_eq!(third.stop(), 0);
    assert_each_once(&desk);
    let said = desk.ok(".", &["schedule", "ls"]);
    has(&said, &["often", "every 1s"]);
}

#[test]
fn two_servers_share_the_intervals() {
    let desk = often("{ every: 1s, catchup: all }");
    let (first, second) = (Server::start(&desk), Server::start(&desk));
    until_succeeded(&desk, 4);
    assert_eq!((first.stop(), second.stop()), (0, 0));
    assert_each_once(&desk);
}

#[test]
fn a_project_without_a_schedule_is_not_served() {
    let desk = often("null");
    has(
        &desk.exits(2, ".", &["serve"]),
        &["error[R0922]", "no pipeline has a schedule"],
    );
    let said = desk.exits(2, ".", &["schedule", "preview", "often"]);
    has(&said, &["error[R0922]", "pipeline `often` has no schedule"]);
    has(
        &desk.ok(".", &["schedule", "ls"]),
        &["No pipeline has a schedule."],
    );
}
