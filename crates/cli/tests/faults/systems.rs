//! Faults around the data: servers, disks, permissions, signals, the state file, two runs at once.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use towpath_testkit::kill::{Ended, Traced, failpoints};
use towpath_testkit::postgres::{PostgresServer, USER};

use crate::fault_project::{FaultProject, Said, WRONG};

/// Rows that take a while.
const MANY: u64 = 150_000;

fn rows(version: u64, count: u64) -> String {
    let rows: String = (0..count)
        .map(|n| format!("{n},word {n} of version {version}\n"))
        .collect();
    format!("a,b\n{rows}")
}

/// A rule that holds for every row and takes its time.
fn slow() -> String {
    let depth = 20;
    let hashed = format!("{}b{}", "sha512(".repeat(depth), ")".repeat(depth));
    format!("from: t.csv, columns: {{ b: {{ expression: \"{hashed} is not null\" }} }}")
}

/// A ground with three rows, whose next load takes a while.
fn before_a_long_load() -> FaultProject {
    let ground = FaultProject::new("data", &slow());
    ground.put("data/t.csv", rows(1, 3));
    ground.run().is(0, &["3 loaded"]);
    ground.put("data/t.csv", rows(2, MANY));
    ground
}

/// A run whose edges are reported; what it says goes to a file.
fn traced(ground: &FaultProject) -> Traced {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("crates/");
    let edges = failpoints(crates).expect("the sources can be read");
    let out = std::fs::File::create(ground.dir().join("said.txt")).expect("made");
    let mut command = ground.command(&["run"]);
    command
        .stdout(out.try_clone().expect("a second handle"))
        .stderr(out);
    Traced::start(command, &edges, &ground.dir().join("edges.socket")).expect("starts")
}

fn said(ground: &FaultProject, ended: Ended) -> Said {
    let stdout = std::fs::read(ground.dir().join("said.txt")).expect("readable");
    ground.judged(std::process::Output {
        status: ended.status,
        stdout,
        stderr: Vec::new(),
    })
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("`id` starts");
    id.stdout.starts_with(b"0\n")
}

#[test]
fn a_wrong_password() {
    let server = PostgresServer::shared().expect("PostgreSQL starts");
    let url = format!(
        "postgres://{USER}:{WRONG}@127.0.0.1:{}/postgres",
        server.port()
    );
    let ground = FaultProject::new("db", "from: t").with_url(url);
    ground
        .run()
        .is(1, &["R02", "`db`", "password", "127.0.0.1"]);
}

#[test]
fn a_refused_port() {
    FaultProject::new("db", "from: t").run().is(
        1,
        &["R0202", "127.0.0.1:1", "`db`", "is the server running"],
    );
}

#[test]
fn a_server_that_is_gone_for_some_seconds() {
    let server = PostgresServer::start().expect("PostgreSQL starts");
    let database = server.new_database().expect("a database");
    server
        .psql(&database, "CREATE TABLE orders AS SELECT 1 AS id")
        .expect("made");
    let url = server.url(&database);
    let ground = FaultProject::new("db", "from: orders").with_url(url.clone());
    ground.put(
        "pipelines/p.yml",
        "steps:\n  extract:\n    load: db\n    into: raw\n    reconnect: 1m\n    retries: 0\n    tables:\n      t: { from: orders }\n",
    );
    let gone_while = |command: &[&str]| {
        server.kill();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_secs(4));
                server.resume().expect("PostgreSQL starts again");
            });
            ground.towpath(command)
        })
    };
    gone_while(&["run"]).is(
        0,
        &[
            "cannot reach PostgreSQL",
            "trying again in 0.5 s",
            "raw.t",
            "Done",
        ],
    );
    gone_while(&["copy", &url, "out.csv", "--table", "orders"])
        .is(0, &["trying again in 0.5 s", "1 row copied"]);
}

#[test]
fn a_missing_table() {
    let server = PostgresServer::shared().expect("PostgreSQL starts");
    let database = server.new_database().expect("a database");
    server
        .psql(&database, "CREATE TABLE orders (id int)")
        .expect("made");
    let ground = FaultProject::new("db", "from: ordres").with_url(server.url(&database));
    ground.run().is(
        1,
        &[
            "R0210",
            "extract/raw.t",
            "`ordres`",
            "did you mean `orders`?",
        ],
    );
    ground.put(
        "pipelines/p.yml",
        "steps:\n  extract:\n    load: db\n    into: raw\n    tables:\n      t: { from: orders }\n",
    );
    ground.run().is(0, &["raw.t"]);
}

#[test]
fn a_destination_that_vanishes_in_mid_load() {
    let server = PostgresServer::start().expect("PostgreSQL starts");
    let database = server.new_database().expect("a database");
    let ground = FaultProject::new("data", "from: t.csv").with_url(server.url(&database));
    ground.append_to(
        "pipelines/p.yml",
        "  out:\n    publish: raw\n    into: db\n    tables:\n      t: {}\n",
    );
    ground.put("data/t.csv", rows(1, 3));
    ground.run().is(0, &["raw.t"]);
    ground.put("data/t.csv", rows(2, MANY));
    let mut run = traced(&ground);
    assert!(run.wait_for("postgres::write", 2), "the load was too short");
    server.kill();
    said(&ground, run.finish().expect("ends")).is(1, &["R02", "`db`", "out/"]);
    server.resume().expect("PostgreSQL starts again");
    assert_eq!(
        server
            .psql(&database, "SELECT count(*) FROM t")
            .expect("the old version"),
        "3"
    );
    assert_eq!(ground.rows(), MANY);
    ground.run().is(0, &["150,000 rows"]);
    assert_eq!(
        server
            .psql(&database, "SELECT count(*), count(DISTINCT a) FROM t")
            .expect("psql"),
        "150000|150000"
    );
    ground.run().is(0, &["Nothing to do"]);
}

/// A small file system if we may mount one, else a limit on the size of files.
#[test]
fn a_full_disk() {
    let ground = FaultProject::new("data", "from: t.csv");
    std::fs::create_dir(ground.dir().join("lake")).expect("made");
    let small = SmallDisk::mount(&ground.dir().join("lake"), "3m");
    ground.put("data/t.csv", rows(1, 3));
    ground.run().is(0, &["3 loaded"]);
    let wide: String = (0..500_000_u64)
        .map(|n| format!("{n},{}\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
        .collect();
    ground.put("data/t.csv", format!("a,b\n{wide}"));
    match &small {
        Some(_) => ground
            .run()
            .is(
                1,
                &[
                    "raw.t",
                    "the disk is full",
                    "nothing of this write is visible",
                ],
            )
            .text
            .len(),
        None => {
            let mut shell = Command::new("sh");
            shell.args([
                "-c",
                "trap '' XFSZ; ulimit -f 1000; exec \"$0\" run",
                env!("CARGO_BIN_EXE_towpath"),
            ]);
            let output = shell
                .current_dir(ground.dir())
                .output()
                .expect("`sh` starts");
            ground
                .judged(output)
                .is(1, &["raw.t", "File too large"])
                .text
                .len()
        }
    };
    assert_eq!(ground.rows(), 3);
    ground.put("data/t.csv", rows(2, 5));
    ground.run().is(0, &["5 loaded"]);
    assert_eq!(ground.rows(), 5);
}

/// A mounted file system, gone with the value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path, size: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder);
        let done = mount.output().is_ok_and(|output| output.status.success());
        done.then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_lakehouse_that_cannot_be_written() {
    let ground = FaultProject::new("data", "from: t.csv");
    ground.put("data/t.csv", rows(1, 3));
    ground.run().is(0, &["3 loaded"]);
    ground.put("data/t.csv", rows(2, 5));
    let program = ground.dir().join("towpath");
    std::fs::copy(env!("CARGO_BIN_EXE_towpath"), &program).expect("copied");
    let shell = |line: &str| {
        let done = Command::new("sh")
            .args(["-c", line])
            .current_dir(ground.dir())
            .status();
        assert!(done.expect("`sh` starts").success(), "{line}");
    };
    shell("chmod -R a-w lake");
    let mut command = Command::new(&program);
    command.current_dir(ground.dir()).arg("run");
    if is_root() {
        // Rights do not bind root: somebody else runs it.
        shell("chown -R 65534:65534 .");
        command.uid(65534).gid(65534);
    }
    let output = command.output().expect("starts");
    ground.judged(output).is(
        1,
        &[
            "raw.t",
            "ermission denied",
            "permission to write there",
            "nothing of this write is visible",
        ],
    );
    assert_eq!(ground.rows(), 3);
    shell("chmod -R u+w lake");
    ground.run().is(0, &["5 loaded"]);
    assert_eq!(ground.rows(), 5);
}

#[test]
fn a_deleted_state() {
    for write in ["replace", "append"] {
        let ground = FaultProject::new("data", &format!("from: t.csv, write: {write}"));
        ground.put("data/t.csv", rows(1, 3));
        ground.run().is(0, &["3 loaded"]);
        std::fs::remove_dir_all(ground.dir().join(".towpath")).expect("removed");
        ground.run().is(0, &[]);
        assert_eq!(ground.rows(), 3, "{write}");
        ground.run().is(0, &["Nothing to do"]);
    }
}

#[test]
fn a_state_file_of_a_newer_version() {
    let ground = FaultProject::new("data", "from: t.csv");
    ground.put("data/t.csv", rows(1, 3));
    ground.run().is(0, &["3 loaded"]);
    let state = ground.dir().join(".towpath/dev.db");
    let format = |set: &str| {
        let state = rusqlite::Connection::open(&state).expect("opens");
        state.execute_batch(set).expect("set");
        state
            .query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))
            .expect("asked")
    };
    format("PRAGMA user_version = 99");
    ground.put("data/t.csv", rows(2, 5));
    ground.run().is(
        4,
        &[
            "R0801",
            "dev.db",
            "has format 99",
            "use the newer version of Towpath",
            "no row of data is lost",
        ],
    );
    assert_eq!(format(""), 99, "it was touched");
    std::fs::rename(ground.dir().join(".towpath"), ground.dir().join("kept")).expect("moved");
    assert_eq!(ground.rows(), 3);
    ground.run().is(0, &["5 loaded"]);
}

#[test]
fn two_runs_at_once() {
    let ground = before_a_long_load();
    let mut first = traced(&ground);
    assert!(first.wait_for("flow::rows", 1), "no row was read");
    ground.run().is(
        4,
        &["R0960", "`p` is already running: p#2", "towpath logs p#2"],
    );
    assert_eq!(ground.rows(), 3);
    said(&ground, first.finish().expect("ends")).is(0, &["150,000"]);
    assert_eq!(ground.rows(), MANY);
}

#[test]
fn ctrl_c_once_and_twice() {
    for times in [1, 2] {
        let ground = before_a_long_load();
        let mut run = traced(&ground);
        assert!(run.wait_for("flow::rows", 1), "no row was read");
        for _ in 0..times {
            let sent = Command::new("kill")
                .args(["-INT", &run.id().to_string()])
                .status();
            // The second may come when it is gone.
            sent.expect("`kill` starts");
        }
        said(&ground, run.finish().expect("ends"))
            .is(130, &["Stopping. No partial result will be visible."]);
        assert_eq!(ground.rows(), 3);
        ground.run().is(0, &["150,000"]);
        assert_eq!(ground.rows(), MANY);
        ground.run().is(0, &["Nothing to do"]);
    }
}
