//! A run that is killed while the API prepares its records: the next one goes on with the same job.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use towpath_testkit::http::{HttpAnswer, HttpRequest, HttpServer};

use crate::test_project::{TestProject, has};

const ROOT: &str = "towpath: 1
name: p
id: 6f1e0000-0000-4000-8000-000000000006
lakehouse: ./lake
connections:
  shop:
    type: rest
    url: URL/v1
    auth: { type: bearer, token: \"${secret:SHOP_TOKEN}\" }
    tables:
      orders:
        path: exports
        response: { type: csv }
        job: { type: poll, id: id, status: \"exports/{job}\", state: state, done: ready, result: \"exports/{job}/file\", poll_s: 1 }
";

/// Waits until this holds.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_killed_run_leaves_its_job_to_the_next_one() {
    let is_ready = Arc::new(AtomicU64::new(0));
    let state = Arc::clone(&is_ready);
    let server = HttpServer::start(move |request: &HttpRequest| {
        let is_ready = state.load(Ordering::SeqCst) > 0;
        match (request.method.as_str(), request.path()) {
            ("POST", "/v1/exports") => HttpAnswer::new(202, "{\"id\":\"j7\"}"),
            ("GET", "/v1/exports/j7") if is_ready => HttpAnswer::json("{\"state\":\"ready\"}"),
            ("GET", "/v1/exports/j7") => HttpAnswer::json("{\"state\":\"working\"}"),
            ("GET", "/v1/exports/j7/file") => HttpAnswer::new(200, "id,amount\n1,2.50\n2,3.00\n"),
            _ => HttpAnswer::new(404, "what?"),
        }
    })
    .unwrap();
    let mut desk = TestProject::new();
    desk.write("towpath.yml", &ROOT.replace("URL", &server.url()));
    desk.write(
        "pipelines/p.yml",
        "steps:\n  extract: { load: shop, into: raw, tables: { orders: {} } }\n",
    );
    desk.set("SHOP_TOKEN", "tok-4712-secret");
    let mut running = Command::new(env!("CARGO_BIN_EXE_towpath"))
        .arg("run")
        .current_dir(desk.path("."))
        .envs(desk.variables.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let asked = |method: &str| {
        let requests = server.requests().into_iter();
        requests.filter(|request| request.method == method).count()
    };
    until("the job is asked for", || asked("GET") > 0);
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(asked("POST"), 1);

    is_ready.store(1, Ordering::SeqCst);
    desk.ok(".", &["run"]);
    assert_eq!(asked("POST"), 1, "the job was started again");
    assert_eq!(desk.count(".", "raw.orders"), 2);
    let kept = desk.path(".towpath/rest-jobs");
    // The file of its lock stays: it is removed when it is old.
    let left = std::fs::read_dir(kept).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = left.filter(|name| !name.ends_with(".lock")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!desk.everything(".towpath").contains("tok-4712"));

    // A run after that wants what is there now.
    desk.ok(".", &["run"]);
    assert_eq!(asked("POST"), 2);
    has(&desk.ok(".", &["check"]), &["No mistake"]);
}
