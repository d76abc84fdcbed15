//! Recorded answers: what was read once is read again without the server and without its secrets.

use std::path::PathBuf;

use serde_json::{Value, json};
use towpath_testkit::http::{HttpAnswer, HttpRequest};

use crate::{Api, by_cursor, ids, rows};

const TOKEN: &str = "tok-4711-secret";

/// The files of a cassette, joined.
fn recorded(folder: &std::path::Path) -> String {
    let files = std::fs::read_dir(folder).unwrap();
    let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    texts.collect()
}

/// An API with a token, whose answers are recorded in this folder.
fn recording(api: Api, folder: &std::path::Path) -> Api {
    api.option("auth.type", json!("bearer"))
        .secret("auth.token", TOKEN)
        .option("cassette", json!(folder))
        .option("cassette_mode", json!("record"))
}

/// The same connection without its secret, where every request is a fault.
fn replaying(recorded: &Api, items: Value, folder: PathBuf) -> Api {
    let api = Api::new(items, |request| panic!("{request:?}"));
    let mut api = api
        .option("auth.type", json!("bearer"))
        .secret("auth.token", "${secret:NOT_SET}")
        .option("cassette", json!(folder))
        .option("cassette_mode", json!("replay"));
    let url = recorded.options["url"].clone();
    api.options.insert("url".into(), url);
    api
}

#[tokio::test]
async fn pages_are_read_again_without_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let items = json!({ "records": "data", "paginate": { "type": "next_url", "at": "next" } });
    let api = Api::new(items.clone(), |request: &HttpRequest| {
        assert_eq!(
            request.header("authorization"),
            Some("Bearer tok-4711-secret")
        );
        let at: u64 = request
            .parameter("at")
            .map_or(0, |text| text.parse().unwrap());
        let next = match at {
            0 => "\"/v1/items?at=2&key=tok-4711-secret\"",
            _ => "null",
        };
        HttpAnswer::json(format!(
            "{{\"data\":{},\"next\":{next},\"you\":\"tok-4711-secret\"}}",
            ids(at..at + 2)
        ))
        .header("set-cookie", "session=abc")
    });
    let api = recording(api, folder.path());
    assert_eq!(api.rows().await.unwrap(), rows(0..4));
    let kept = recorded(folder.path());
    assert!(kept.contains("\\\"you\\\":\\\"***\\\""), "{kept}");
    assert!(
        !kept.contains("4711") && !kept.contains("session"),
        "{kept}"
    );

    let again = replaying(&api, items, folder.path().into());
    let before = api.server.requests().len();
    assert_eq!(again.rows().await.unwrap(), rows(0..4));
    // A second read has the same answers.
    assert_eq!(again.rows().await.unwrap(), rows(0..4));
    assert_eq!(api.server.requests().len(), before);
    assert!(again.server.requests().is_empty());
}

#[tokio::test]
async fn the_end_and_the_cursor_are_those_of_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    let items = json!({
        "params": { "since": "{cursor}" },
        "paginate": { "type": "page", "size": 2, "end_status": 404 },
    });
    let api = Api::new(items.clone(), |request: &HttpRequest| {
        let since: u64 = request
            .parameter("since")
            .map_or(0, |text| text.parse().unwrap());
        match request.parameter("page") {
            Some("1") => HttpAnswer::json(ids(since..since + 2)),
            _ => HttpAnswer::new(404, "no such page"),
        }
    });
    let api = recording(api, folder.path());
    let spec = by_cursor("items", "id", 0);
    let first = api.read(&spec, None).await.unwrap();
    let second = api.read(&spec, Some(&first.position)).await.unwrap();
    let again = replaying(&api, items, folder.path().into());
    let replayed = again.read(&spec, None).await.unwrap();
    assert_eq!(replayed.rows, first.rows);
    let more = again.read(&spec, Some(&replayed.position)).await.unwrap();
    assert_eq!((more.rows, second.rows.len()), (second.rows, 2));
}

#[tokio::test]
async fn a_body_that_is_no_text_and_a_job_are_recorded_too() {
    let folder = tempfile::tempdir().unwrap();
    let items = json!({
        "path": "exports",
        "response": { "type": "csv", "encoding": "windows-1252" },
        "job": { "type": "poll", "id": "id", "status": "exports/{job}", "state": "state",
                 "done": ["ready"], "result": "exports/{job}/file", "poll_s": 1 },
    });
    let asked = std::sync::atomic::AtomicU64::new(0);
    let api = Api::new(items.clone(), move |request: &HttpRequest| {
        match request.path() {
            "/v1/exports" => HttpAnswer::json("{\"id\":7}"),
            "/v1/exports/7" => match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0 => HttpAnswer::json("{\"state\":\"working\"}"),
                _ => HttpAnswer::json("{\"state\":\"ready\"}"),
            },
            _ => HttpAnswer::new(200, b"name\nM\xfcller\n".to_vec()),
        }
    });
    let api = recording(api, folder.path());
    let once = api.rows().await.unwrap();
    assert_eq!(once, ["{\"name\":\"Müller\"}"]);
    let again = replaying(&api, items, folder.path().into());
    let start = std::time::Instant::now();
    assert_eq!(again.rows().await.unwrap(), once);
    assert!(
        start.elapsed().as_millis() < 900,
        "a replay waits for nobody"
    );
}

#[tokio::test]
async fn what_was_not_recorded_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let api = recording(
        Api::new(json!({}), |_| HttpAnswer::json(ids(0..2))),
        folder.path(),
    );
    api.rows().await.unwrap();
    let other = replaying(
        &api,
        json!({ "params": { "x": "1" } }),
        folder.path().into(),
    );
    let failure = other.failure().await;
    assert_eq!(failure.code, "R0388");
    assert!(failure.message.contains("is not among"), "{failure:?}");
    for file in std::fs::read_dir(folder.path()).unwrap() {
        std::fs::write(file.unwrap().path(), "{\"version\":7}").unwrap();
    }
    let broken = replaying(&api, json!({}), folder.path().into());
    assert_eq!(broken.failure().await.code, "R0388");
}

#[tokio::test]
async fn a_cassette_has_a_folder_and_a_mode() {
    let wrong = async |folder: Option<&str>, mode: Option<&str>| {
        let mut api = Api::new(json!({}), |request| panic!("{request:?}"));
        if let Some(folder) = folder {
            api = api.option("cassette", json!(folder));
        }
        if let Some(mode) = mode {
            api = api.option("cassette_mode", json!(mode));
        }
        api.failure().await.code
    };
    assert_eq!(wrong(Some("x"), None).await, "R0350");
    assert_eq!(wrong(None, Some("replay")).await, "R0350");
    assert_eq!(wrong(Some("x"), Some("rewind")).await, "R0350");
    let off = Api::new(json!({}), |_| HttpAnswer::json(ids(0..2)))
        .option("cassette", json!("x"))
        .option("cassette_mode", json!("off"));
    assert_eq!(off.rows().await.unwrap(), rows(0..2));
    assert!(!off.context.project_dir.join("x").exists());
}
