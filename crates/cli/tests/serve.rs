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
struct Server(Child, std::path::PathBuf);

impl Server {
    fn start(desk: &TestProject) -> Self {
        Self::with(desk, &[])
    }

    fn with(desk: &TestProject, arguments: &[&str]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_towpath"))
            .arg("serve")
            .args(arguments)
            .current_dir(desk.path("."))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(desk.path("errors.txt")).unwrap())
            .spawn()
            .unwrap();
        Self(child, desk.path("errors.txt"))
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Asks it to stop, waits, and returns what it printed as errors.
    fn stop_and_read(self) -> String {
        let errors = self.1.clone();
        assert_eq!(self.stop(), 0);
        std::fs::read_to_string(errors).unwrap()
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
fn a_paused_schedule_begins_nothing_until_it_goes_on() {
    let desk = often("{ every: 1s, catchup: all }");
    let first = Server::start(&desk);
    until_succeeded(&desk, 2);
    let reason = "the database moves";
    let said = desk.ok(".", &["schedule", "pause", "often", "--reason", reason]);
    has(
        &said,
        &["is paused since", reason, "towpath schedule resume often"],
    );
    first.kill();
    let second = Server::start(&desk);
    std::thread::sleep(Duration::from_secs(1));
    let before = runs(&desk).len();
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(runs(&desk).len(), before);
    has(&desk.ok(".", &["schedule", "ls"]), &["paused", reason]);
    has(
        &desk.ok(".", &["why", "often"]),
        &["is paused since", reason],
    );
    let said = desk.ok(".", &["schedule", "resume", "often"]);
    has(
        &said,
        &[
            "`often` goes on",
            "get a run and 0 are skipped (`catchup: all`)",
        ],
    );
    let said = desk.ok(".", &["schedule", "resume", "often"]);
    has(&said, &["is not paused"]);
    until_succeeded(&desk, before + 6);
    assert_eq!(second.stop(), 0);
    assert_each_once(&desk);
    let said = desk.ok(".", &["schedule", "events", "often"]);
    has(&said, &["paused", "resumed", reason]);
    let until = ["schedule", "pause", "often", "--until", "2026-01-01"];
    has(&desk.exits(2, ".", &until), &["error[R0900]", "is over"]);
    let until = ["schedule", "pause", "often", "--until", "soon"];
    has(
        &desk.exits(2, ".", &until),
        &["error[R0900]", "`soon` is not a date"],
    );
    let other = desk.exits(2, ".", &["schedule", "pause", "other"]);
    has(&other, &["error[R0920]"]);
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
fn a_backlog_starves_no_other_pipeline() {
    let desk = often("{ every: 1s, catchup: all, start: 2026-01-01 }");
    let pipeline = desk.read("pipelines/often.yml");
    desk.write("pipelines/more.yml", &pipeline);
    let last = pipeline.replace("catchup: all, start: 2026-01-01", "catchup: latest");
    desk.write("pipelines/z.yml", &last);
    let server = Server::with(&desk, &["--runs", "1"]);
    let began = Instant::now();
    let of_z = || {
        let report = desk.json(".", &["runs", "--last", "1000", "--format", "json"]);
        let runs = report["runs"].as_array().unwrap();
        let of_z = |run: &&serde_json::Value| run["name"]["pipeline"] == "z";
        runs.iter().filter(of_z).count()
    };
    while of_z() < 3 {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{}",
            desk.ok(".", &["runs"])
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_server_stays_in_its_environment() {
    let desk = often("{ every: 1s, catchup: all }");
    let root = |name: &str| {
        format!("{ROOT}default_environment: {name}\nenvironments: {{ dev: {{}}, other: {{}} }}\n")
    };
    desk.write("towpath.yml", &root("dev"));
    let server = Server::start(&desk);
    until_succeeded(&desk, 1);
    desk.write("towpath.yml", &root("other"));
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(server.stop(), 0);
    let runs = |environment: &str| {
        let report = desk.json(".", &["runs", "--env", environment, "--format", "json"]);
        report["runs"].as_array().unwrap().len()
    };
    assert_eq!(runs("other"), 0);
    assert!(runs("dev") >= 3, "{}", runs("dev"));
}

#[test]
fn a_broken_file_stops_only_its_pipeline_and_is_printed_once() {
    let desk = often("{ every: 1s }");
    let pipeline = desk.read("pipelines/often.yml");
    desk.write("pipelines/broken.yml", &pipeline);
    let server = Server::with(&desk, &["--runs", "2"]);
    until_succeeded(&desk, 2);
    desk.write("pipelines/broken.yml", &format!("{pipeline}curser: 1\n"));
    std::thread::sleep(Duration::from_secs(1));
    let count = |name: &str| {
        let report = desk.json(".", &["runs", "--last", "1000", "--format", "json"]);
        let runs = report["runs"].as_array().unwrap();
        let of = |run: &&serde_json::Value| run["name"]["pipeline"] == name;
        runs.iter().filter(of).count()
    };
    let before = (count("often"), count("broken"));
    std::thread::sleep(Duration::from_secs(12));
    let after = (count("often"), count("broken"));
    assert!(after.0 >= before.0 + 5, "{before:?} {after:?}");
    assert_eq!(before.1, after.1);
    // What is mended goes on.
    desk.write("pipelines/broken.yml", &pipeline);
    let began = Instant::now();
    while count("broken") == after.1 {
        assert!(began.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(200));
    }
    let said = server.stop_and_read();
    assert_eq!(said.matches("error[P0102]").count(), 1, "{said}");
}

#[test]
fn a_changed_project_changes_the_schedules() {
    let desk = often("{ every: 1s, catchup: all }");
    let server = Server::start(&desk);
    until_succeeded(&desk, 2);
    let pipeline = desk.read("pipelines/often.yml");
    desk.write(
        "pipelines/often.yml",
        &pipeline.replace("every: 1s", "every: 3s"),
    );
    desk.write("pipelines/more.yml", &pipeline);
    let runs_of = |name: &str| -> Vec<(i64, i64)> {
        let report = desk.json(".", &["runs", "--last", "1000", "--format", "json"]);
        let runs = report["runs"].as_array().unwrap().iter();
        let of = runs.filter(|run| run["name"]["pipeline"] == name);
        let mut found: Vec<_> = of
            .map(|run| {
                let us = |what: &str| run["interval"][what].as_i64().unwrap();
                (us("start_us"), us("end_us"))
            })
            .collect();
        found.sort_unstable();
        found
    };
    let began = Instant::now();
    let threes = || {
        let often = runs_of("often");
        let long = often.iter().filter(|(start, end)| end - start == 3_000_000);
        long.count()
    };
    while threes() < 2 || runs_of("more").len() < 2 {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(300));
    }
    for pair in runs_of("often").windows(2) {
        assert_eq!(pair[0].1, pair[1].0);
    }
    // Without its schedule nothing of it runs any more.
    std::fs::remove_file(desk.path("pipelines/more.yml")).unwrap();
    std::thread::sleep(Duration::from_secs(4));
    let count = runs_of("more").len();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(runs_of("more").len(), count);
    assert_eq!(server.stop(), 0);
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
