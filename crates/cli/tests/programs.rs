//! Programs of command steps as a user runs them: their folders, the files that they may write, their logs;
//! and a run with `--limit` publishes nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod test_project;

use crate::test_project::{TestProject, has};

/// One program that leaves rows of its environment, one that tells somebody.
fn envs() -> TestProject {
    let desk = TestProject::new();
    desk.write(
        "towpath.yml",
        "towpath: 1\nname: p\nid: 1\nenvironments:\n  dev: { lakehouse: ./dev }\n  prod: { lakehouse: ./prod }\n",
    );
    desk.write(
        "pipelines/p.yml",
        "steps:\n  make: { command: [sh, make.sh], writes: { raw.t: {} } }\n  notify: { command: [sh, notify.sh], after: [make] }\n",
    );
    desk.write(
        "make.sh",
        "out=$(sed -n 's/.*\"raw.t\":\"\\([^\"]*\\)\".*/\\1/p' \"$TOWPATH_STEP\")\n\
         printf 'n\\n%s\\n' \"$ROWS\" > \"$out/x.csv\"\n",
    );
    desk.write("notify.sh", "echo \"$TOWPATH_IDEMPOTENCY_KEY\" >> told\n");
    desk
}

#[test]
fn programs_of_two_environments_and_two_state_stores_share_nothing() {
    let mut desk = envs();
    let row = |desk: &TestProject, env| {
        let rows = desk.json(
            ".",
            &[
                "query",
                "--env",
                env,
                "--format",
                "json",
                "select n from raw.t",
            ],
        );
        rows[0]["n"].clone()
    };
    for (env, rows) in [("dev", "1"), ("prod", "2")] {
        desk.set("ROWS", rows);
        desk.ok(".", &["run", "--env", env]);
    }
    assert_eq!(
        (row(&desk, "dev"), row(&desk, "prod")),
        (1.into(), 2.into())
    );
    std::fs::remove_file(desk.path(".towpath/dev.db")).unwrap();
    desk.set("ROWS", "3");
    desk.ok(".", &["run", "--env", "dev"]);
    assert_eq!(row(&desk, "dev"), 3);
    let told = desk.read("told");
    let mut keys: Vec<&str> = told.lines().collect();
    assert_eq!(keys.len(), 3, "{told}");
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 3, "{told}");
}

#[test]
fn a_run_that_ended_well_keeps_only_what_its_programs_printed() {
    let mut desk = envs();
    desk.set("ROWS", "1");
    desk.write("notify.sh", "echo told somebody\n");
    desk.ok(".", &["run"]);
    let left = desk.everything(".towpath/steps");
    assert_eq!(left, "told somebody\n");
    has(&desk.ok(".", &["logs", "p#1.notify"]), &["told somebody"]);
}

#[test]
fn a_part_of_the_sources_is_never_sent_out() {
    let desk = TestProject::with_pipeline(
        "steps:\n  pull: { load: data, into: raw, tables: { t: { from: t.csv } } }\n  \
         send: { publish: raw, into: out, tables: { t.csv: { from: t } } }\n  \
         tell: { command: [sh, -c, 'echo told >> told'], after: [send] }\n",
    );
    desk.write("data/t.csv", "id\n1\n2\n3\n");
    desk.ok(".", &["run"]);
    assert_eq!(desk.read("out/t.csv"), "id\n1\n2\n3\n");
    let said = desk.ok(".", &["run", "--limit", "1"]);
    has(
        &said,
        &[
            "partial: at most about 1 row per load",
            "was skipped: with `--limit 1` nothing is published",
            "tell was skipped: with `--limit 1` no command runs",
        ],
    );
    assert_eq!(desk.count(".", "raw.t"), 3);
    assert_eq!(desk.read("out/t.csv"), "id\n1\n2\n3\n");
    assert_eq!(desk.read("told"), "told\n");
    let report = desk.json(".", &["run", "--limit", "2", "--format", "json"]);
    assert_eq!(report["limit"], 2);
    // A whole run sends again what is there then.
    desk.write("data/t.csv", "id\n1\n2\n3\n4\n");
    desk.ok(".", &["run"]);
    assert_eq!(desk.read("out/t.csv"), "id\n1\n2\n3\n4\n");
    assert_eq!(desk.read("told"), "told\ntold\n");
}

#[test]
fn every_file_a_program_leaves_is_taken_or_named() {
    let desk = TestProject::new();
    desk.write("towpath.yml", "towpath: 1\nname: p\nid: 1\n");
    desk.write(
        "pipelines/p.yml",
        "steps:\n  make: { command: [sh, make.sh], writes: { raw.t: {} }, retries: 0 }\n",
    );
    let leaves = |lines: &str| {
        let find = "out=$(sed -n 's/.*\"raw.t\":\"\\([^\"]*\\)\".*/\\1/p' \"$TOWPATH_STEP\")\n";
        desk.write(
            "make.sh",
            &format!("{find}cd \"$out\"\nmkdir -p a/b\n{lines}"),
        );
    };
    leaves("printf 'n\\n1\\n' > data.v1.csv\nprintf 'n\\n2\\n' > a/b/data.v2.csv\n");
    desk.ok(".", &["run"]);
    assert_eq!(desk.count(".", "raw.t"), 2);
    leaves("printf 'n\\n1\\n' > x.csv\nprintf 'n\\n2\\n' > a/part\n");
    has(&desk.exits(3, ".", &["run"]), &["error[R0957]", "`a/part`"]);
    assert_eq!(desk.count(".", "raw.t"), 2);
    // What Spark and others leave beside their data.
    leaves(
        "printf 'n\\n1\\n' > x.csv\ntouch _SUCCESS .x.csv.crc a/_started\nmkdir _tmp ._tmp\n\
         touch _tmp/y.log\nprintf 'n\\n5\\n' > a/b/z.csv\n",
    );
    desk.ok(".", &["run"]);
    assert_eq!(desk.count(".", "raw.t"), 2);
    leaves(
        "printf 'n\\n1\\n' > x.csv\nmkdir _r\nprintf 'n\\n2\\n' > _r/y.csv\n\
         printf 'n\\n3\\n' > _z.csv\n",
    );
    has(
        &desk.exits(3, ".", &["run"]),
        &["error[R0957]", "`_r/y.csv`, `_z.csv`", "rename it"],
    );
    assert_eq!(desk.count(".", "raw.t"), 2);
    leaves("touch _SUCCESS\n");
    has(
        &desk.exits(3, ".", &["run"]),
        &["error[R0953]", "begin with `_` or `.`: `_SUCCESS`"],
    );
}

#[test]
fn each_attempt_has_a_log_and_a_timeout_names_it() {
    let desk = TestProject::new();
    desk.write("towpath.yml", "towpath: 1\nname: p\nid: 1\n");
    desk.write(
        "pipelines/p.yml",
        "steps:\n  slow: { command: [sh, slow.sh], retries: 1, timeout: 1s }\n",
    );
    desk.write(
        "slow.sh",
        "echo x >> begun\necho attempt $(wc -l < begun)\nexec sleep 600\n",
    );
    let said = desk.exits(1, ".", &["run"]);
    has(&said, &["error[R0707]", "its output: ", "output-2.log"]);
    has(
        &desk.ok(".", &["logs", "p#1.slow"]),
        &["slow │ attempt 1", "slow │ attempt 2"],
    );
}
