//! Metrics: what they say of real runs, and that a real Prometheus reads them and raises the alerts of `deploy/`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use towpath_testkit::Port;

use crate::client::{LONG, Server, token};
use crate::test_project::{TestProject, has};

/// A pipeline that loads two rows and rejects one, and another one that fails.
fn projects() -> TestProject {
    let desk = TestProject::with_pipeline(
        "schedule: { every: 1000d }
steps:
  extract: { load: data, into: raw, tables: { t: { from: t.csv, write: replace, fail_above: 50%, columns: { id: bigint } } } }
",
    );
    desk.write("data/t.csv", "id,v\n1,a\nx,b\n3,c\n");
    desk.write(
        "pipelines/broken.yml",
        "steps: { s: { command: [\"false\"] } }\n",
    );
    desk.ok(".", &["run", "p"]);
    desk.exits(1, ".", &["run", "broken"]);
    desk.exits(1, ".", &["run", "broken"]);
    desk
}

fn deploy() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus")
}

/// A program of Prometheus.
fn program(name: &str) -> Command {
    let found = Command::new(name).arg("--version").output();
    assert!(
        found.is_ok(),
        "there is no {name}; to install it: make setup"
    );
    Command::new(name)
}

#[test]
fn metrics_say_what_runs_did() {
    let desk = projects();
    let read = token(&desk, "look", "read");
    let server = Server::start(&desk);
    assert_eq!(server.get("", "/metrics").status, 401);
    let answer = server.get(&read, "/metrics");
    assert!(
        answer.head.contains("text/plain; version=0.0.4"),
        "{}",
        answer.head
    );
    has(
        &answer.text,
        &[
            "towpath_build_info{version=",
            "towpath_pipeline_running{pipeline=\"broken\"} 0",
            "towpath_pipeline_last_run_success{pipeline=\"broken\"} 0",
            "towpath_pipeline_last_run_success{pipeline=\"p\"} 1",
            "towpath_pipeline_last_success_time_seconds{pipeline=\"p\"} 1",
            "towpath_pipeline_consecutive_failures{pipeline=\"broken\"} 2",
            "towpath_pipeline_consecutive_failures{pipeline=\"p\"} 0",
            "towpath_pipeline_last_run_rows_read{pipeline=\"p\"} 3",
            "towpath_pipeline_last_run_rows_loaded{pipeline=\"p\"} 2",
            "towpath_pipeline_last_run_rows_rejected{pipeline=\"p\"} 1",
            "towpath_schedule_waiting_intervals{pipeline=\"p\"} 0",
            "process_resident_memory_bytes ",
            "process_cpu_seconds_total ",
        ],
    );
    assert!(
        !answer
            .text
            .contains("last_success_time_seconds{pipeline=\"broken\"}")
    );
    // A later run is seen, and its rows are not those of the run before.
    desk.write("data/t.csv", "id,v\n1,a\n2,b\n3,c\n4,d\n");
    desk.ok(".", &["run", "p"]);
    let later = server.get(&read, "/metrics").text;
    has(
        &later,
        &["towpath_pipeline_last_run_rows_loaded{pipeline=\"p\"} 4"],
    );
    let mut check = program("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = check.stdin.take().unwrap();
    input.write_all(later.as_bytes()).unwrap();
    drop(input);
    let checked = check.wait_with_output().unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}

/// A Prometheus; it ends with the test.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What Prometheus answers; nothing before it listens.
fn ask(address: &str, path: &str) -> Value {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return Value::Null;
    };
    let mut text = String::new();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    stream.read_to_string(&mut text).unwrap();
    let body = text.split("\r\n\r\n").nth(1).unwrap_or_default();
    serde_json::from_str(body).unwrap_or_default()
}

#[test]
fn prometheus_reads_the_metrics_and_raises_the_alerts() {
    let desk = projects();
    let read = token(&desk, "prometheus", "read");
    let server = Server::start(&desk);
    let config = std::fs::read_to_string(deploy().join("prometheus.yml")).unwrap();
    let config = config
        .replace("127.0.0.1:7450", &format!("127.0.0.1:{}", server.port))
        .replace("15s", "1s");
    desk.write("prometheus/prometheus.yml", &config);
    desk.write("prometheus/towpath-token", &read);
    std::fs::copy(
        deploy().join("alerts.yml"),
        desk.path("prometheus/alerts.yml"),
    )
    .unwrap();
    let checked = program("promtool")
        .args(["check", "config", "prometheus.yml"])
        .current_dir(desk.path("prometheus"))
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stdout)
    );
    let port = Port::free().unwrap();
    let address = format!("127.0.0.1:{}", port.number());
    let running = program("prometheus")
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
        .arg(format!("--web.listen-address={address}"))
        .current_dir(desk.path("prometheus"))
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(desk.path("prometheus/errors.txt")).unwrap())
        .spawn();
    let _running = Prometheus(running.unwrap());
    let began = Instant::now();
    loop {
        let alerts = ask(&address, "/api/v1/alerts");
        let firing = |alert: &Value| {
            alert["labels"]["alertname"] == "TowpathPipelineFailed"
                && alert["labels"]["pipeline"] == "broken"
                && alert["state"] == "firing"
        };
        if alerts["data"]["alerts"]
            .as_array()
            .is_some_and(|all| all.iter().any(firing))
        {
            break;
        }
        let errors = std::fs::read_to_string(desk.path("prometheus/errors.txt")).unwrap();
        assert!(began.elapsed() < LONG, "{alerts}\n{errors}");
        std::thread::sleep(Duration::from_millis(200));
    }
    let up = ask(&address, "/api/v1/query?query=up");
    assert_eq!(up["data"]["result"][0]["value"][1], "1", "{up}");
}
