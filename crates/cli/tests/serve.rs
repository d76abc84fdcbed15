//! `towpath serve` and `towpath schedule` as a user types them, with the real binary: a server that is killed
//! and started again gives each interval one run, two servers share the intervals, and TERM lets runs end.
//! `towpath backfill`: also the intervals of 30 days, with two servers of which one is killed.

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
        &match schedule {
            "" => format!("{steps}\n"),
            schedule => format!("schedule: {schedule}\n{steps}\n"),
        },
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
            .args(["serve", "--listen", "none"])
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

/// The intervals of a backfill and what has become of them.
fn filled(desk: &TestProject, number: u64) -> Vec<(i64, String)> {
    let number = number.to_string();
    let shown = desk.json(".", &["backfill", "show", &number, "--format", "json"]);
    let intervals = shown["intervals"].as_array().unwrap().iter();
    let line = intervals.map(|one| {
        let state = one["state"].as_str().unwrap().to_owned();
        (one["start_us"].as_i64().unwrap(), state)
    });
    line.collect()
}

#[test]
#[allow(clippy::too_many_lines, reason = "one story, step by step")]
fn a_backfill_over_30_days_survives_a_killed_server() {
    let desk = often("{ cron: 0 2 * * *, timezone: Europe/Berlin }");
    let range = [
        "backfill",
        "often",
        "--from",
        "2026-03-01",
        "--to",
        "2026-03-31",
    ];
    let dry: Vec<&str> = range.iter().copied().chain(["--dry-run"]).collect();
    let said = desk.ok(".", &dry);
    has(
        &said,
        &[
            "INTERVAL FROM",
            "2026-03-01 02:00 +01:00  2026-03-02 02:00 +01:00  is run",
            "2026-03-28 02:00 +01:00  2026-03-29 03:00 +02:00  is run",
            "30 of 30 intervals get a run.",
        ],
    );
    has(
        &desk.ok(".", &["backfill", "ls"]),
        &["There is no backfill."],
    );
    let said = desk.ok(".", &range);
    has(
        &said,
        &["Backfill 1 of `often`: 30 of 30", "towpath backfill show 1"],
    );
    has(
        &desk.ok(".", &["why", "often"]),
        &["Backfill 1 of `often` is active: 30 waiting"],
    );
    // Asked for twice, nothing is run twice.
    has(
        &desk.ok(".", &range),
        &["another backfill runs it", "0 of 30"],
    );
    let done = || {
        filled(&desk, 1)
            .iter()
            .filter(|one| one.1 == "succeeded")
            .count()
    };
    let until = |count: usize| {
        let began = Instant::now();
        while done() < count {
            assert!(
                began.elapsed() < Duration::from_secs(180),
                "{:?}",
                filled(&desk, 1)
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let (first, second) = (Server::start(&desk), Server::start(&desk));
    until(5);
    first.kill();
    until(10);
    second.kill();
    let third = Server::start(&desk);
    until(12);
    has(
        &desk.ok(".", &["backfill", "pause", "1"]),
        &["is now paused"],
    );
    std::thread::sleep(Duration::from_secs(1));
    let before = done();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(done(), before);
    has(
        &desk.ok(".", &["backfill", "pause", "1"]),
        &["was already paused"],
    );
    has(
        &desk.ok(".", &["backfill", "resume", "1"]),
        &["is now active"],
    );
    until(30);
    assert_eq!(third.stop(), 0);
    let runs = runs(&desk);
    assert_eq!(runs.len(), 30, "{runs:?}");
    for pair in runs.windows(2) {
        assert_eq!(pair[0].1, pair[1].0);
    }
    assert!(runs.iter().all(|run| run.2 == "succeeded"), "{runs:?}");
    has(
        &desk.ok(".", &["backfill", "ls"]),
        &["done", "30 succeeded"],
    );
    has(
        &desk.ok(".", &dry),
        &["skipped: often#1 has ended well", "0 of 30"],
    );
    for what in ["pause", "resume", "cancel"] {
        let said = desk.ok(".", &["backfill", what, "1"]);
        has(
            &said,
            &["has ended (30 succeeded)", &format!("nothing to {what}")],
        );
    }
    let shown = desk.ok(".", &["backfill", "show", "1"]);
    has(
        &shown,
        &[
            "is done: 30 succeeded",
            "succeeded often#30",
            "paused by",
            "resumed by",
        ],
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "one story, step by step")]
fn a_backfill_obeys_its_options_and_refuses_what_it_cannot_do() {
    let desk = often("{ cron: 0 2 * * *, timezone: Europe/Berlin }");
    // One of the intervals fails.
    desk.write(
        "step.sh",
        &format!("{STEP}case \"$1\" in 2026-01-02*) exit 3 ;; esac\n"),
    );
    let range = [
        "backfill",
        "often",
        "--from",
        "2026-01-01",
        "--to",
        "2026-01-04",
    ];
    let with = |more: &[&'static str]| [&range[..], more].concat();
    desk.ok(".", &with(&["--order", "newest"]));
    let server = Server::start(&desk);
    let ended = |number: u64| {
        let began = Instant::now();
        loop {
            let found = filled(&desk, number);
            if found
                .iter()
                .all(|one| one.1 != "waiting" && one.1 != "running")
            {
                return found;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{found:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let states: Vec<String> = ended(1).into_iter().map(|one| one.1).collect();
    assert_eq!(states, ["succeeded", "failed", "succeeded"]);
    let seen = desk.read("seen.txt");
    // The command that fails is tried again within its run.
    let mut days: Vec<&str> = seen.lines().map(|line| &line[..10]).collect();
    days.dedup();
    assert_eq!(days, ["2026-01-03", "2026-01-02", "2026-01-01"]);
    let lines = |said: String| -> Vec<bool> {
        let lines = said.lines().filter(|line| line.starts_with("2026-"));
        lines.map(|line| line.contains("is run")).collect()
    };
    let dry =
        |more: &'static str| lines(desk.ok(".", &with(&["--dry-run", "--on-existing", more])));
    assert_eq!(dry("skip"), [false, false, false]);
    assert_eq!(dry("rerun-failed"), [false, true, false]);
    assert_eq!(dry("rerun"), [true, true, true]);
    desk.write("step.sh", STEP);
    desk.ok(".", &with(&["--on-existing", "rerun-failed"]));
    let states: Vec<String> = ended(2).into_iter().map(|one| one.1).collect();
    assert_eq!(states, ["skipped", "succeeded", "skipped"]);
    let again = desk.read("seen.txt");
    assert_eq!(again.lines().count(), seen.lines().count() + 1);
    assert_eq!(server.stop(), 0);
    let hours = [
        "backfill",
        "often",
        "--from",
        "2026-02-01",
        "--to",
        "2026-02-01 06:00",
    ];
    let hours = [&hours[..], &["--every", "2h"]].concat();
    desk.ok(".", &hours);
    has(
        &desk.ok(".", &["backfill", "cancel", "3"]),
        &["is now cancelled: 3 skipped"],
    );
    has(
        &desk.ok(".", &["backfill", "resume", "3"]),
        &["was already cancelled"],
    );
    // What is to come is not run.
    let future = [
        "backfill",
        "often",
        "--from",
        "2100-01-01",
        "--to",
        "2100-01-03",
    ];
    has(&desk.ok(".", &future), &["its end has not come", "0 of 2"]);
    for (more, code, says) in [
        (["--parallel", "3"], "R0715", "3 runs at once"),
        (["--every", "0s"], "R0900", "--every"),
    ] {
        has(&desk.exits(2, ".", &with(&more)), &[code, says]);
    }
    let soon = ["backfill", "often", "--from", "2026-01-01", "--to", "soon"];
    has(
        &desk.exits(2, ".", &soon),
        &["error[R0900]", "--to: `soon` is not a date"],
    );
    let far = [
        "backfill",
        "often",
        "--from",
        "2026-01-01",
        "--to",
        "2026-02-01",
        "--every",
        "1m",
    ];
    has(
        &desk.exits(2, ".", &far),
        &["error[R0900]", "more than 10000 intervals"],
    );
    has(
        &desk.exits(4, ".", &["backfill", "show", "9"]),
        &["error[R0813]"],
    );
    has(&desk.exits(2, ".", &["backfill", "often"]), &["--from"]);
}

/// Waits until a condition holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_run_that_kills_its_server_is_given_up() {
    let desk = often("{ cron: 0 2 * * * }");
    // The first interval kills the server; the second one ends well.
    desk.write(
        "step.sh",
        "case \"$1\" in\n2026-01-01*) until [ -s pid.txt ]; do sleep 0.1; done; kill -9 \"$(cat pid.txt)\"; sleep 60 ;;\n\
         *) echo \"$1\" >> seen.txt ;;\nesac\n",
    );
    let pipeline = desk.read("pipelines/often.yml");
    let live = pipeline.replace("cron: 0 2 * * *", "every: 1s, catchup: latest");
    desk.write("pipelines/live.yml", &live);
    let range = [
        "backfill",
        "often",
        "--from",
        "2026-01-01",
        "--to",
        "2026-01-03",
    ];
    has(&desk.ok(".", &range), &["2 of 2 intervals get a run"]);
    for start in 1..=5 {
        desk.write("pid.txt", "");
        let mut server = Server::start(&desk);
        desk.write("pid.txt", &server.0.id().to_string());
        server.0.wait().unwrap();
        let said = desk.read("errors.txt");
        let alone = "4 processes in a row have died while they ran it. It is begun once more, with nothing else";
        assert_eq!(said.contains(alone), start == 5, "{start}: {said}");
    }
    let last = Server::start(&desk);
    let states = || -> Vec<String> { filled(&desk, 1).into_iter().map(|one| one.1).collect() };
    until("both intervals end", || states() == ["failed", "succeeded"]);
    let said = last.stop_and_read();
    has(
        &said,
        &[
            "error[R0814]",
            "5 processes in a row have died",
            "towpath rerun often#1",
        ],
    );
    let runs = desk.ok(".", &["runs", "--format", "json"]);
    has(&runs, &["R0814"]);
}

#[test]
fn a_cancelled_backfill_whose_server_was_killed_is_over() {
    let desk = often("");
    desk.write("step.sh", "echo \"$1\" >> seen.txt\nsleep 60\n");
    let range = [
        "--from",
        "2026-01-01",
        "--to",
        "2026-01-01",
        "--every",
        "1d",
    ];
    let create = [&["backfill", "often"][..], &range].concat();
    desk.ok(".", &create);
    let server = Server::start(&desk);
    until("the run begins", || desk.path("seen.txt").exists());
    server.kill();
    // A dead run is no reason to leave the interval out.
    let dry = [&create[..], &["--dry-run"]].concat();
    has(&desk.ok(".", &dry), &["another backfill runs it"]);
    has(
        &desk.ok(".", &["backfill", "cancel", "1"]),
        &["is now cancelled: 1 skipped"],
    );
    has(&desk.ok(".", &dry), &["1 of 1 intervals get a run"]);
    desk.write("step.sh", "exit 0\n");
    desk.ok(".", &create);
    let server = Server::start(&desk);
    until("the interval is run", || {
        filled(&desk, 2)[0].1 == "succeeded"
    });
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_backfill_gets_its_share_beside_schedules_that_are_always_late() {
    let desk = often("{ every: 1s, catchup: all, start: 2026-01-01 }");
    let pipeline = desk.read("pipelines/often.yml");
    desk.write("pipelines/more.yml", &pipeline);
    let range = [
        "--from",
        "2025-12-01",
        "--to",
        "2025-12-03",
        "--every",
        "1d",
    ];
    // One of a pipeline that has a backlog itself.
    desk.ok(".", &[&["backfill", "more"][..], &range].concat());
    let server = Server::with(&desk, &["--runs", "1"]);
    until("the backfill is done", || {
        filled(&desk, 1).iter().all(|one| one.1 == "succeeded")
    });
    assert_eq!(server.stop(), 0);
    let live = runs(&desk)
        .iter()
        .filter(|run| run.1 - run.0 == 1_000_000)
        .count();
    assert!(live >= 8, "{live}");
}

#[test]
fn a_schedule_that_is_edited_in_a_pause_goes_on_as_edited() {
    let desk = often("{ every: 1s, catchup: all }");
    let server = Server::start(&desk);
    until_succeeded(&desk, 2);
    desk.ok(".", &["schedule", "pause", "often"]);
    assert_eq!(server.stop(), 0);
    let before = runs(&desk).len();
    let pipeline = desk.read("pipelines/often.yml");
    desk.write(
        "pipelines/often.yml",
        &pipeline.replace("every: 1s, catchup: all", "every: 4s, catchup: all"),
    );
    std::thread::sleep(Duration::from_secs(9));
    let said = desk.ok(".", &["schedule", "resume", "often"]);
    has(&said, &["goes on", "edited while it was paused"]);
    let server = Server::start(&desk);
    let lengths = || -> Vec<i64> {
        let all = runs(&desk).into_iter();
        let well = all.filter(|run| run.2 == "succeeded");
        well.map(|run| run.1 - run.0).collect()
    };
    let is_edited = |length: &i64| *length == 4_000_000;
    until("the edited schedule has runs", || {
        lengths().iter().filter(|one| is_edited(one)).count() >= 2
    });
    assert_eq!(server.stop(), 0);
    assert_each_once(&desk);
    // What was due before the pause may have waited; the nine seconds of the pause are no intervals of one.
    let lengths = lengths();
    let first = lengths.iter().position(&is_edited).unwrap();
    assert!(lengths[first..].iter().all(is_edited), "{lengths:?}");
    assert!(first <= before + 4, "{before} {lengths:?}");
    has(
        &desk.ok(".", &["schedule", "events", "often"]),
        &["paused", "resumed"],
    );
}

#[test]
fn a_project_without_a_schedule_is_not_served() {
    let desk = often("");
    has(
        &desk.exits(2, ".", &["serve", "--listen", "none"]),
        &["error[R0922]", "no pipeline has a schedule"],
    );
    let said = desk.exits(2, ".", &["schedule", "preview", "often"]);
    has(&said, &["error[R0922]", "pipeline `often` has no schedule"]);
    has(
        &desk.ok(".", &["schedule", "ls"]),
        &["No pipeline has a schedule."],
    );
}

/// Starts a program of its own and waits for it; `$1` is the interval.
const SLOW: &str = "sleep 300 & echo \"$! $TOWPATH_RUN_ID $1\" >> seen.txt\nwait\n";
/// The same; it does not end when it is asked to.
const STUBBORN: &str = "trap '' TERM\nsh -c \"trap '' TERM; while :; do sleep 1; done\" & \
    echo \"$! $TOWPATH_RUN_ID $1\" >> seen.txt\nwhile :; do sleep 1; done\n";

/// The runs whose step has begun: the program of each, and whether it is alive.
fn programs(desk: &TestProject) -> Vec<(String, bool)> {
    let seen = std::fs::read_to_string(desk.path("seen.txt")).unwrap_or_default();
    let lines = seen.lines().map(|line| {
        let mut words = line.split(' ');
        let (id, run) = (words.next().unwrap(), words.next().unwrap());
        // One that has ended and that nobody has asked about is still listed, with the state Z.
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let state = stat.rsplit(") ").next().unwrap_or_default();
        (run.to_owned(), !state.is_empty() && !state.starts_with('Z'))
    });
    lines.collect()
}

/// The program of a run is gone: it was killed before its run ended, and may take a moment.
fn assert_gone(desk: &TestProject, place: usize) {
    let began = Instant::now();
    while programs(desk)[place].1 {
        let left = began.elapsed() < Duration::from_secs(3);
        assert!(left, "its program goes on: {:?}", programs(desk));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Stops a server whose runs take for ever.
fn stop_now(server: Server) {
    let id = server.0.id().to_string();
    Command::new("kill").args(["-TERM", &id]).status().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    server.kill();
}

#[test]
fn a_newer_interval_stops_the_run_before_it() {
    for (overlap, step) in [("cancel_running", SLOW), ("terminate_running", STUBBORN)] {
        let desk = often(&format!("{{ every: 4s, overlap: {overlap} }}"));
        desk.write("step.sh", step);
        let server = Server::start(&desk);
        until("the third run has begun", || programs(&desk).len() >= 3);
        assert_gone(&desk, 0);
        assert_gone(&desk, 1);
        assert_eq!(programs(&desk)[1].0, "often#2", "{overlap}");
        let all = runs(&desk);
        let states: Vec<_> = all.iter().take(2).map(|run| run.2.as_str()).collect();
        assert_eq!(states, ["cancelled", "cancelled"], "{overlap}");
        let said = desk.ok(".", &["runs"]);
        has(
            &said,
            &["often#1 was stopped, because the next interval is due"],
        );
        let said = desk.ok(".", &["logs", "often#1"]);
        has(&said, &["R0717"]);
        stop_now(server);
    }
}

#[test]
fn a_run_beyond_its_deadline_fails() {
    let desk = often("{ every: 3s, overlap: skip, deadline: 2s }");
    desk.write("step.sh", SLOW);
    let server = Server::start(&desk);
    until("two runs are late", || {
        runs(&desk).iter().filter(|run| run.2 == "failed").count() >= 2
    });
    assert_gone(&desk, 0);
    has(
        &desk.ok(".", &["runs"]),
        &["often#1 had not ended by its deadline (R0716)"],
    );
    has(
        &desk.ok(".", &["logs", "often#1"]),
        &["R0716", "did not end before the deadline of run `often#1`"],
    );
    let report = desk.json(".", &["runs", "--format", "json"]);
    let run = report["runs"].as_array().unwrap().last().unwrap();
    let us = |name: &str| run[name].as_i64().unwrap();
    assert_eq!(us("deadline_us") - us("started_us"), 2_000_000);
    stop_now(server);
    // What a user runs has no deadline.
    desk.write("step.sh", "sleep 3\n");
    let report = desk.json(".", &["rerun", "often#1", "--wait", "--format", "json"]);
    assert_eq!(report["state"], "succeeded");
}

#[test]
fn a_run_is_cancelled_from_elsewhere() {
    let desk = often("{ every: 3s, catchup: all }");
    desk.write("step.sh", SLOW);
    let server = Server::start(&desk);
    until("a run has begun", || !programs(&desk).is_empty());
    let said = desk.ok(".", &["cancel", "often#1"]);
    has(&said, &["often#1 is cancelled."]);
    assert_gone(&desk, 0);
    has(&desk.ok(".", &["runs"]), &["often#1 was cancelled by"]);
    // Its interval has had its run: the next one comes.
    until("the next run has begun", || programs(&desk).len() >= 2);
    let all = runs(&desk);
    assert_eq!(all[0].1, all[1].0, "{all:?}");
    let said = desk.exits(4, ".", &["cancel", "often#1"]);
    has(
        &said,
        &["error[R0718]", "`often#1` is not running: it was cancelled"],
    );
    has(
        &desk.exits(2, ".", &["cancel", "often#99"]),
        &["error[R0981]", "no run `often#99`"],
    );
    has(&desk.exits(2, ".", &["cancel", "often"]), &["error[R0980]"]);
    // A server that was killed leaves a run that nobody has: it ends at once.
    server.kill();
    let said = desk.json(".", &["cancel", "often#2", "--format", "json"]);
    assert_eq!(said["process_unreachable"], true, "{said}");
    assert_eq!(said["state"], "cancelled");
    let server = Server::start(&desk);
    until("a third run has begun", || programs(&desk).len() >= 3);
    assert_eq!(programs(&desk)[2].0, "often#3");
    // One that does not listen gets no more time.
    desk.write("step.sh", STUBBORN);
    desk.ok(".", &["cancel", "often#3"]);
    until("the stubborn one has begun", || programs(&desk).len() >= 4);
    let began = Instant::now();
    desk.ok(".", &["cancel", "often#4", "--now"]);
    assert!(began.elapsed() < Duration::from_secs(6));
    assert_gone(&desk, 3);
    stop_now(server);
}
