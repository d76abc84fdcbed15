//! Endpoints whose records the API prepares in a job: each phase, and what goes wrong in each.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use towpath_testkit::http::{HttpAnswer, HttpRequest};
use towpath_vocab::Remedy;

use crate::{Api, by_cursor, ids, rows};

/// A table whose job has one file.
fn with(job: Value) -> Value {
    let mut all = json!({
        "type": "poll", "id": "job.id", "status": "exports/{job}", "state": "state",
        "done": ["ready"], "failed": ["broken"], "result": "exports/{job}/file", "poll_s": 1,
    });
    for (key, value) in job.as_object().unwrap() {
        match value.is_null() {
            true => drop(all.as_object_mut().unwrap().remove(key)),
            false => all[key] = value.clone(),
        }
    }
    json!({ "path": "exports", "method": "POST", "body": "{{\"of\": \"items\"}}", "job": all })
}

/// What a server does in each phase, by the number of the job and of the question about it.
#[derive(Clone, Default)]
struct Server {
    started: Arc<AtomicU64>,
    asked: Arc<AtomicU64>,
}

impl Server {
    fn starts(&self) -> u64 {
        self.started.load(Ordering::SeqCst)
    }

    /// An answer; a job is ready when it was asked for so often.
    fn answer(&self, request: &HttpRequest, ready_after: u64) -> HttpAnswer {
        let path = request.path().trim_start_matches("/v1/").to_owned();
        match (request.method.as_str(), path.as_str()) {
            ("POST", "exports") => {
                assert_eq!(request.body, "{\"of\": \"items\"}");
                let job = self.started.fetch_add(1, Ordering::SeqCst) + 1;
                HttpAnswer::new(202, format!("{{\"job\":{{\"id\":\"j/{job}\"}}}}"))
            }
            ("GET", file) if file.ends_with("/file") => HttpAnswer::json(ids(1..4)),
            ("GET", _) => {
                let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
                let state = if asked > ready_after {
                    "ready"
                } else {
                    "working"
                };
                HttpAnswer::json(format!("{{\"state\":\"{state}\",\"count\":3}}"))
            }
            other => panic!("{other:?}"),
        }
    }
}

fn api(
    job: Value,
    answer: impl Fn(&Server, &HttpRequest) -> HttpAnswer + Send + Sync + 'static,
) -> (Api, Server) {
    let server = Server::default();
    let own = server.clone();
    (
        Api::new(with(job), move |request| answer(&own, request)),
        server,
    )
}

/// The paths that were asked for, without what is before them.
fn asked(api: &Api) -> Vec<String> {
    let requests = api.server.requests().into_iter();
    requests
        .map(|one| format!("{} {}", one.method, one.target.trim_start_matches("/v1/")))
        .collect()
}

fn kept(api: &Api) -> usize {
    let folder = api.context.project_dir.join(".towpath/rest-jobs");
    let files = std::fs::read_dir(folder).into_iter().flatten();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.ends_with(".lock")).count()
}

#[tokio::test]
async fn a_job_is_started_asked_for_and_read() {
    let (api, server) = api(json!({ "count_at": "count" }), |server, request| {
        server.answer(request, 1)
    });
    assert_eq!(api.rows().await.unwrap(), rows(1..4));
    let job = "GET exports/j%2F1";
    assert_eq!(
        asked(&api),
        ["POST exports", job, job, "GET exports/j%2F1/file"]
    );
    assert_eq!(kept(&api), 0);
    // The next read wants what is there then.
    assert_eq!(api.rows().await.unwrap(), rows(1..4));
    assert_eq!(server.starts(), 2);
}

#[tokio::test]
async fn addresses_may_come_in_answers_and_there_may_be_several_files() {
    let job = json!({
        "id": null, "status": null, "result": null, "result_at": "files",
    });
    let packed = |text: &str| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    };
    let mut items = with(job);
    items["response"] = json!({ "type": "csv", "unpack": "gzip" });
    let api = Api::new(items, move |request: &HttpRequest| match request.path() {
        "/v1/exports" => HttpAnswer::new(202, "").header("location", "/v1/states/7?key=x"),
        "/v1/states/7" => {
            assert_eq!(request.parameter("key"), Some("x"));
            HttpAnswer::json("{\"state\":\"ready\",\"files\":[\"/v1/f/1\",\"/v1/f/2\"]}")
        }
        "/v1/f/1" => HttpAnswer::new(200, packed("id\n1\n2\n")),
        _ => HttpAnswer::new(200, packed("id\n3\n")),
    });
    assert_eq!(api.rows().await.unwrap(), rows(1..4));
}

#[tokio::test]
async fn a_read_that_ended_while_it_waited_goes_on_with_the_same_job() {
    let ready = Arc::new(AtomicU64::new(u64::MAX));
    let state = Arc::clone(&ready);
    let (api, server) = api(json!({}), move |server, request| {
        server.answer(request, state.load(Ordering::SeqCst))
    });
    let waited = tokio::time::timeout(Duration::from_millis(300), api.rows()).await;
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!((server.starts(), kept(&api)), (1, 1));
    ready.store(0, Ordering::SeqCst);
    assert_eq!(api.rows().await.unwrap(), rows(1..4));
    assert_eq!((server.starts(), kept(&api)), (1, 0));
}

#[tokio::test]
async fn a_kept_job_counts_only_for_who_started_it() {
    let changes: [fn(Api) -> Api; 4] = [
        |api| api.secret("auth.token", "of another user"),
        |api| api.option("headers", json!({ "x-tenant": "b" })),
        |mut api| {
            api.tables["items"]["job"]["result"] = json!("exports/of/{job}/file");
            api
        },
        |api| api,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let ready = Arc::new(AtomicU64::new(u64::MAX));
        let state = Arc::clone(&ready);
        let (api, server) = api(json!({}), move |server, request| {
            server.answer(request, state.load(Ordering::SeqCst))
        });
        let api = api.option("auth.type", json!("bearer"));
        let api = api.secret("auth.token", "of one user");
        let api = api.option("headers", json!({ "x-tenant": "a" }));
        let waited = tokio::time::timeout(Duration::from_millis(300), api.rows()).await;
        assert!(waited.is_err(), "{waited:?}");
        ready.store(0, Ordering::SeqCst);
        let api = change(api);
        assert_eq!(api.rows().await.unwrap(), rows(1..4));
        let starts = if number == 3 { 1 } else { 2 };
        assert_eq!((number, server.starts()), (number, starts));
    }
}

#[tokio::test]
async fn a_kept_job_that_is_gone_or_failed_is_started_anew() {
    let gone: [fn() -> HttpAnswer; 5] = [
        || HttpAnswer::new(404, "no such job"),
        || HttpAnswer::json("{\"state\":\"broken\"}"),
        || HttpAnswer::new(403, "expired"),
        || HttpAnswer::new(400, "expired"),
        || HttpAnswer::json("{\"error\":\"expired\"}"),
    ];
    for answer in gone {
        let is_second = Arc::new(AtomicU64::new(0));
        let state = Arc::clone(&is_second);
        let (api, server) = api(json!({}), move |server, request| {
            let is_old = request.path().contains("j%2F1") && state.load(Ordering::SeqCst) == 1;
            match is_old {
                true => answer(),
                false if server.starts() == 2 => server.answer(request, 0),
                false => server.answer(request, u64::MAX),
            }
        });
        let waited = tokio::time::timeout(Duration::from_millis(300), api.rows()).await;
        assert!(waited.is_err(), "{waited:?}");
        is_second.store(1, Ordering::SeqCst);
        assert_eq!(api.rows().await.unwrap(), rows(1..4));
        assert_eq!((server.starts(), kept(&api)), (2, 0));
    }
}

#[tokio::test]
async fn what_goes_wrong_in_each_phase_is_a_failure_and_gives_no_row() {
    let fails = async |job: Value, path: &'static str, answer: fn() -> HttpAnswer| {
        let (api, _) = api(job, move |server, request| {
            match request.path().ends_with(path) {
                true => answer(),
                false => server.answer(request, 0),
            }
        });
        let failure = api.option("retries", json!(0)).failure().await;
        (failure.code, failure.remedy)
    };
    let start = "/exports";
    let file = "/file";
    let is = |code: &str, remedy| (code.to_owned(), remedy);
    let one = || json!({});
    let refused = fails(one(), start, || HttpAnswer::new(422, "no such export")).await;
    assert_eq!(refused, is("R0355", Remedy::FixConfig));
    let no_id = fails(one(), start, || HttpAnswer::json("{\"job\":{}}")).await;
    assert_eq!(no_id, is("R0372", Remedy::FixConfig));
    let failed = fails(one(), "j%2F1", || {
        HttpAnswer::json("{\"state\":\"broken\",\"why\":\"disk\"}")
    })
    .await;
    assert_eq!(failed, is("R0385", Remedy::Retry));
    let no_state = fails(one(), "j%2F1", || {
        HttpAnswer::json("{\"status\":\"ready\"}")
    })
    .await;
    assert_eq!(no_state, is("R0372", Remedy::FixConfig));
    let lost = fails(one(), "j%2F1", || HttpAnswer::new(503, "later")).await;
    assert_eq!(lost, is("R0356", Remedy::Unreachable));
    let cut = fails(one(), file, || HttpAnswer::json(ids(1..4)).cut_after(5)).await;
    assert_eq!(cut, is("R0352", Remedy::Unreachable));
    let other = fails(one(), file, || HttpAnswer::new(200, "<html>sorry")).await;
    assert_eq!(other, is("R0358", Remedy::FixConfig));
    let fewer = fails(json!({ "count_at": "count" }), file, || {
        HttpAnswer::json(ids(1..3))
    })
    .await;
    assert_eq!(fewer, is("R0363", Remedy::Retry));
    let files = json!({ "result": null, "result_at": "files" });
    let twice = fails(files.clone(), "j%2F1", || {
        HttpAnswer::json("{\"state\":\"ready\",\"files\":[\"/v1/a\",\"/v1/a\"]}")
    });
    assert_eq!(twice.await, is("R0372", Remedy::FixConfig));
    let none = fails(files, "j%2F1", || HttpAnswer::json("{\"state\":\"ready\"}")).await;
    assert_eq!(none, is("R0372", Remedy::FixConfig));
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_asked_for_by_the_next_read() {
    let (api, server) = api(json!({ "timeout_s": 1 }), |server, request| {
        // It is ready when the second read asks.
        server.answer(request, 2)
    });
    let failure = api.failure().await;
    assert_eq!((failure.code.as_str(), kept(&api)), ("R0386", 1));
    assert!(failure.message.contains("working"), "{failure:?}");
    assert!(!failure.message.contains("earlier run"), "{failure:?}");
    assert_eq!(api.rows().await.unwrap(), rows(1..4));
    assert_eq!(server.starts(), 1);
}

#[tokio::test]
async fn a_kept_job_whose_file_cannot_be_used_is_started_anew_and_one_that_is_lost_is_kept() {
    for (status, body) in [(403, "expired"), (400, "expired"), (200, "<html>sorry")] {
        let phase = Arc::new(AtomicU64::new(0));
        let state = Arc::clone(&phase);
        let (api, server) = api(json!({}), move |server, request| {
            let is_old = request.path().ends_with("j%2F1/file");
            match state.load(Ordering::SeqCst) {
                _ if !is_old => server.answer(request, 0),
                0 => HttpAnswer::new(503, "later"),
                _ => HttpAnswer::new(status, body),
            }
        });
        let api = api.option("retries", json!(0));
        let first = api.failure().await;
        assert_eq!((first.code.as_str(), kept(&api)), ("R0356", 1));
        let again = api.failure().await;
        assert_eq!((again.code.as_str(), kept(&api)), ("R0356", 1));
        assert!(again.message.contains("earlier run"), "{again:?}");
        assert_eq!(server.starts(), 1);
        phase.store(1, Ordering::SeqCst);
        assert_eq!(api.rows().await.unwrap(), rows(1..4), "{status}");
        assert_eq!((server.starts(), kept(&api)), (2, 0), "{status}");
    }
}

#[tokio::test]
async fn a_kept_job_that_gave_fewer_records_than_it_counts_is_not_asked_for_again() {
    let phase = Arc::new(AtomicU64::new(0));
    let state = Arc::clone(&phase);
    let job = json!({ "count_at": "count" });
    let (api, server) = api(job, move |server, request| {
        let is_old = request.path().ends_with("j%2F1/file");
        match state.load(Ordering::SeqCst) {
            _ if !is_old => server.answer(request, 0),
            0 => HttpAnswer::new(503, "later"),
            _ => HttpAnswer::json(ids(1..3)),
        }
    });
    let api = api.option("retries", json!(0));
    assert_eq!(api.failure().await.code, "R0356");
    phase.store(1, Ordering::SeqCst);
    let fewer = api.failure().await;
    assert_eq!((fewer.code.as_str(), kept(&api)), ("R0363", 0));
    assert!(fewer.message.contains("earlier run"), "{fewer:?}");
    assert_eq!(api.rows().await.unwrap(), rows(1..4));
    assert_eq!(server.starts(), 2);
}

#[tokio::test]
async fn an_id_that_leads_to_another_address_is_refused() {
    for (id, code) in [("", "R0372"), (".", "R0374"), ("..", "R0374")] {
        for job in [
            json!({}),
            json!({ "status": null, "status_at": "at", "poll_s": 1 }),
        ] {
            let api = Api::new(with(job), move |request: &HttpRequest| {
                assert_eq!(request.path(), "/v1/exports");
                HttpAnswer::json(json!({ "job": { "id": id }, "at": "/v1/x" }).to_string())
            });
            assert_eq!(api.failure().await.code, code, "{id}");
            assert_eq!(kept(&api), 0);
        }
    }
}

#[tokio::test]
async fn the_longest_times_wait_and_do_not_overflow() {
    let job = json!({ "poll_s": u64::MAX, "timeout_s": u64::MAX });
    let (api, _) = api(job, |server, request| server.answer(request, u64::MAX));
    let waited = tokio::time::timeout(Duration::from_millis(300), api.rows()).await;
    assert!(waited.is_err(), "{waited:?}");
}

#[tokio::test]
async fn two_reads_at_once_have_a_job_each() {
    let (api, server) = api(json!({}), |server, request| server.answer(request, 2));
    let second = async {
        // The first one waits for its job then.
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(kept(&api), 1);
        api.rows().await
    };
    let (one, two) = tokio::join!(api.rows(), second);
    assert_eq!((one.unwrap(), two.unwrap()), (rows(1..4), rows(1..4)));
    assert_eq!((server.starts(), kept(&api)), (2, 0));
}

#[tokio::test]
async fn a_job_begins_at_the_cursor() {
    let items = json!({
        "path": "exports", "method": "POST", "body": "{{\"since\": {cursor}}}", "cursor_start": "0",
        "job": {
            "type": "poll", "id": "id", "status": "exports/{job}", "state": "state", "done": "ready",
            "result": "exports/{job}/file",
        },
    });
    let api = Api::new(items, |request: &HttpRequest| {
        match request.method.as_str() {
            "POST" => {
                let since: Value = serde_json::from_str(&request.body).unwrap();
                HttpAnswer::json(format!("{{\"id\":{}}}", since["since"]))
            }
            _ if request.path().ends_with("/file") => {
                let since: u64 = request.path().split('/').nth(3).unwrap().parse().unwrap();
                HttpAnswer::json(ids(since..since + 3))
            }
            _ => HttpAnswer::json("{\"state\":\"ready\"}"),
        }
    });
    let spec = by_cursor("items", "id", 0);
    let first = api.read(&spec, None).await.unwrap();
    assert_eq!(first.rows, rows(0..3));
    let second = api.read(&spec, Some(&first.position)).await.unwrap();
    assert_eq!(second.rows, rows(2..5));
}

#[tokio::test]
async fn options_that_cannot_be_meant_are_refused_before_anything_is_asked() {
    let wrong = async |change: Value| {
        let api = Api::new(with(change), |request| panic!("{request:?}"));
        let failure = api.failure().await;
        assert_eq!(failure.code, "R0350");
        failure.message
    };
    let has = |said: String, word: &str| assert!(said.contains(word), "{said}");
    has(wrong(json!({ "done": null })).await, "`done`");
    has(wrong(json!({ "done": ["broken"] })).await, "`broken`");
    has(wrong(json!({ "state": null })).await, "`state`");
    has(wrong(json!({ "result": null })).await, "`result`");
    has(wrong(json!({ "result_at": "x" })).await, "`result`");
    has(wrong(json!({ "status_at": "x" })).await, "`status_at`");
    has(wrong(json!({ "status": "exports/7" })).await, "{job}");
    has(
        wrong(json!({ "status": "exports/{job}/{cursor}" })).await,
        "{job}",
    );
    has(wrong(json!({ "status": "../{job}" })).await, "`..`");
    has(wrong(json!({ "id": null })).await, "`id`");
    has(wrong(json!({ "poll_s": 0 })).await, "`poll_s: 0`");
    has(
        wrong(json!({ "poll_s": 3, "timeout_s": 2 })).await,
        "`timeout_s`",
    );
    has(wrong(json!({ "poll_s": u64::MAX })).await, "`timeout_s`");
    for (option, value) in [
        ("paginate", json!({ "type": "page" })),
        ("total", json!("total")),
        ("graphql", json!("query { x }")),
    ] {
        let mut items = with(json!({}));
        items[option] = value;
        if option == "graphql" {
            items.as_object_mut().unwrap().remove("body");
        }
        let api = Api::new(items, |request| panic!("{request:?}"));
        let said = api.failure().await.message;
        assert!(said.contains("job"), "{option}: {said}");
    }
    let single = json!({ "paginate": { "type": "single" } });
    let mut items = with(json!({}));
    items["paginate"] = single["paginate"].clone();
    let server = Server::default();
    let api = Api::new(items, move |request: &HttpRequest| match request.path() {
        file if file.ends_with("/file") => {
            HttpAnswer::json("{\"next\":\"/x\",\"data\":[{\"id\":1}]}")
        }
        _ => server.answer(request, 0),
    });
    assert_eq!(api.rows().await.unwrap(), rows(1..2));
}
