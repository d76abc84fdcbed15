//! Real programs: exits, output, and above all that nothing survives that should not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use towpath_ports::{Clock, ProcessExit, ProcessRunner, ProcessSpec, Redaction, System};
use towpath_vocab::Remedy;

use crate::LocalProcesses;
use crate::log::LINE_BYTES;

/// Real time: these programs live in it.
struct RealTime {
    start: Instant,
    environment: BTreeMap<String, String>,
    folder: PathBuf,
}

#[async_trait]
impl Clock for RealTime {
    fn now_us(&self) -> i64 {
        0
    }

    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl System for RealTime {
    fn random(&self) -> u64 {
        4
    }

    fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    fn project_dir(&self) -> &PathBuf {
        &self.folder
    }
}

struct TestFolder {
    folder: tempfile::TempDir,
}

impl TestFolder {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn spec(&self, argv: &[&str]) -> ProcessSpec {
        ProcessSpec {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            directory: self.folder.path().to_owned(),
            env: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
            timeout: None,
            log: self.path("log/out.log"),
            redaction: Redaction::default(),
        }
    }

    fn shell(&self, script: &str) -> ProcessSpec {
        self.spec(&["sh", "-c", script])
    }

    fn log(&self) -> String {
        String::from_utf8(std::fs::read(self.path("log/out.log")).unwrap()).unwrap()
    }

    /// Process ids that a script wrote into the file `pids`, once there are `count`.
    async fn pids(&self, count: usize) -> Vec<i32> {
        wait_for("the script's process ids", || {
            let text = std::fs::read_to_string(self.path("pids")).unwrap_or_default();
            let pids: Vec<i32> = text
                .lines()
                .filter_map(|line| line.trim().parse().ok())
                .collect();
            (text.ends_with('\n') && pids.len() == count).then_some(pids)
        })
        .await
    }
}

/// Looks again and again until something holds; a test that would wait for ever fails.
async fn wait_for<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "waited in vain for {what}"
        );
        std::thread::yield_now();
        tokio::task::yield_now().await;
    }
}

/// True while a process runs; a body nobody took away yet is not running.
fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

async fn all_gone(pids: &[i32]) {
    wait_for("the processes to end", || {
        pids.iter().all(|pid| !runs(*pid)).then_some(())
    })
    .await;
}

fn processes(grace: Duration) -> LocalProcesses {
    let system = RealTime {
        start: Instant::now(),
        environment: BTreeMap::new(),
        folder: PathBuf::new(),
    };
    LocalProcesses::new(Arc::new(system), grace)
}

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn exits_are_told_as_they_are() {
    let place = TestFolder::new();
    let runner = processes(LONG);
    assert_eq!(
        runner.run(place.spec(&["true"])).await.unwrap(),
        ProcessExit::Code(0)
    );
    assert_eq!(
        runner.run(place.shell("exit 7")).await.unwrap(),
        ProcessExit::Code(7)
    );
    assert_eq!(
        runner.run(place.shell("kill -9 $$")).await.unwrap(),
        ProcessExit::Signal(9)
    );
}

#[tokio::test]
async fn output_of_both_streams_is_in_the_log_and_variables_arrive() {
    let place = TestFolder::new();
    let script = "echo $GREETING; echo problem >&2; pwd; cat; printf 'no line feed'";
    processes(LONG).run(place.shell(script)).await.unwrap();
    let log = place.log();
    let lines: Vec<&str> = log.lines().collect();
    let folder = place
        .folder
        .path()
        .canonicalize()
        .unwrap()
        .display()
        .to_string();
    assert_eq!(lines.len(), 4, "{log}");
    for line in ["hello", "problem", &folder, "no line feed"] {
        assert!(lines.contains(&line), "`{line}` in {log}");
    }
    assert!(log.ends_with('\n'));
}

#[tokio::test]
async fn what_cannot_start_is_named_with_a_way_out() {
    let place = TestFolder::new();
    let runner = processes(LONG);
    let failed = async |spec: ProcessSpec| {
        let failure = runner.run(spec).await.unwrap_err();
        assert_eq!(failure.remedy, Remedy::FixConfig, "{failure:?}");
        assert!(!failure.help.is_empty());
        (failure.code, failure.message)
    };
    let (code, message) = failed(place.spec(&["no-such-program", "x"])).await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("R0701", "program `no-such-program` was not found")
    );
    std::fs::write(place.path("script"), "no program").unwrap();
    let script = place.path("script").display().to_string();
    assert_eq!(failed(place.spec(&[&script])).await.0, "R0702");
    let mut spec = place.spec(&["true"]);
    spec.directory = place.path("nowhere");
    let (code, message) = failed(spec).await;
    assert_eq!(code, "R0703");
    assert!(message.contains("nowhere"), "{message}");
    assert_eq!(failed(place.spec(&[])).await.0, "R0710");
    let mut spec = place.spec(&["true"]);
    std::fs::write(place.path("file"), "").unwrap();
    spec.log = place.path("file/log");
    assert_eq!(failed(spec).await.0, "R0704");
}

/// Starts two that sleep, one of them a grandchild, and writes their ids.
const FAMILY: &str =
    "sleep 1000 & echo $! >> pids; (sleep 1000 & echo $! >> pids; wait) & echo $$ >> pids; wait";

#[tokio::test]
async fn a_timeout_ends_the_whole_tree() {
    let place = TestFolder::new();
    let mut spec = place.shell(FAMILY);
    spec.timeout = Some(Duration::from_millis(500));
    let exit = processes(LONG).run(spec).await.unwrap();
    assert_eq!(exit, ProcessExit::TimedOut);
    all_gone(&place.pids(3).await).await;
}

#[tokio::test]
async fn who_does_not_listen_is_killed_after_the_grace_time() {
    let place = TestFolder::new();
    let cancel = CancellationToken::new();
    let runner = processes(Duration::from_millis(200)).cancelled_by(cancel.clone());
    let script = "trap '' TERM; (trap '' TERM; while :; do sleep 1000; done) & echo $! >> pids; echo $$ >> pids; \
                  while :; do sleep 1000; done";
    let stop = async {
        let pids = place.pids(2).await;
        cancel.cancel();
        pids
    };
    let (exit, pids) = tokio::join!(runner.run(place.shell(script)), stop);
    assert_eq!(exit.unwrap(), ProcessExit::Cancelled);
    all_gone(&pids).await;
}

/// A grandchild that ignores TERM holds the pipe; when the program has been stopped, nothing of it runs any more.
#[tokio::test]
async fn what_gets_no_time_is_gone_when_it_has_been_stopped() {
    let place = TestFolder::new();
    let (cancel, kill) = (CancellationToken::new(), CancellationToken::new());
    let runner = processes(LONG)
        .cancelled_by(cancel.clone())
        .killed_by(kill.clone());
    let script = "trap '' TERM; (trap '' TERM; while :; do sleep 1000; done) & echo $! >> pids; echo $$ >> pids; \
                  while :; do sleep 1000; done";
    let start = Instant::now();
    let stop = async {
        let pids = place.pids(2).await;
        cancel.cancel();
        kill.cancel();
        pids
    };
    let (exit, pids) = tokio::join!(runner.run(place.shell(script)), stop);
    assert_eq!(exit.unwrap(), ProcessExit::Cancelled);
    assert!(start.elapsed() < LONG);
    assert!(pids.iter().all(|pid| !runs(*pid)), "{pids:?}");
}

#[tokio::test]
async fn the_user_may_stop_it_and_it_may_say_goodbye() {
    let place = TestFolder::new();
    let cancel = CancellationToken::new();
    let runner = processes(LONG).cancelled_by(cancel.clone());
    let script =
        "trap 'echo goodbye; exit 0' TERM; echo $$ >> pids; while :; do sleep 1000 & wait $!; done";
    let stop = async {
        place.pids(1).await;
        cancel.cancel();
    };
    let (exit, ()) = tokio::join!(runner.run(place.shell(script)), stop);
    assert_eq!(exit.unwrap(), ProcessExit::Cancelled);
    assert!(place.log().contains("goodbye"), "{}", place.log());
    all_gone(&place.pids(1).await).await;
}

#[tokio::test]
async fn dropping_the_future_kills_the_tree() {
    let place = TestFolder::new();
    let runner = processes(LONG);
    let pids = tokio::select! {
        exit = runner.run(place.shell(FAMILY)) => panic!("ended: {exit:?}"),
        pids = place.pids(3) => pids,
    };
    all_gone(&pids).await;
}

#[tokio::test]
async fn a_grandchild_that_holds_the_pipe_holds_nobody_up() {
    let place = TestFolder::new();
    let script = "sleep 1000 & echo $! >> pids; echo done";
    let start = Instant::now();
    let exit = processes(LONG).run(place.shell(script)).await.unwrap();
    assert_eq!(exit, ProcessExit::Code(0));
    assert!(start.elapsed() < Duration::from_secs(60));
    assert_eq!(place.log(), "done\n");
    all_gone(&place.pids(1).await).await;
}

#[tokio::test]
async fn much_output_and_long_lines_stay_within_bounds() {
    // In a process of its own: the tests beside it use memory too.
    if std::env::var_os(ALONE).is_none() {
        let alone = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "process_tests::much_output_and_long_lines_stay_within_bounds",
            ])
            .env(ALONE, "1")
            .output()
            .await
            .unwrap();
        assert!(
            alone.status.success(),
            "{}",
            String::from_utf8_lossy(&alone.stdout)
        );
        return;
    }
    let place = TestFolder::new();
    let line = "head -c 100000000 /dev/zero | tr '\\0' x; echo; yes 0123456789 | head -n 1000000; echo end";
    let before_kib = peak_kib();
    assert_eq!(
        processes(LONG).run(place.shell(line)).await.unwrap(),
        ProcessExit::Code(0)
    );
    let grown_kib = peak_kib() - before_kib;
    assert!(grown_kib < 32 * 1024, "{grown_kib} KiB more");
    let log = place.log();
    assert!(log.len() < 11_000_000 + 2 * LINE_BYTES, "{}", log.len());
    assert!(log.contains(&format!(
        "… {} more bytes of this line were left out\n",
        100_000_000 - LINE_BYTES
    )));
    assert_eq!(
        log.lines().filter(|line| *line == "0123456789").count(),
        1_000_000
    );
    assert!(log.ends_with("end\n"));
}

const ALONE: &str = "TOWPATH_TEST_ALONE";

fn peak_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

const VICTIM: &str = "TOWPATH_TEST_VICTIM";

/// Does nothing by itself: the test below starts it as a process of its own, to be killed.
#[tokio::test]
async fn victim() {
    if let Ok(folder) = std::env::var(VICTIM) {
        let spec = ProcessSpec {
            argv: vec!["sh".to_owned(), "-c".to_owned(), FAMILY.to_owned()],
            directory: PathBuf::from(&folder),
            env: BTreeMap::new(),
            timeout: None,
            log: Path::new(&folder).join("victim.log"),
            redaction: Redaction::default(),
        };
        processes(LONG).run(spec).await.unwrap();
    }
}

#[tokio::test]
async fn programs_die_with_a_towpath_that_is_killed() {
    let place = TestFolder::new();
    let mut victim = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process_tests::victim"])
        .env(VICTIM, place.folder.path())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pids = place.pids(3).await;
    assert!(pids.iter().all(|pid| runs(*pid)));
    victim.kill().await.unwrap();
    all_gone(&pids).await;
}
