//! Reads that go on where the last one ended, and endpoints that depend on the records of others.

use serde_json::json;
use towpath_testkit::http::HttpAnswer;

use crate::{Api, by_cursor, ids, number, rows, table};

fn since() -> serde_json::Value {
    json!({ "params": { "since": "{cursor}", "sort": "id" } })
}

#[tokio::test]
async fn a_read_goes_on_where_the_last_one_ended() {
    let api = Api::new(since(), |request| {
        let from = number(request, "since");
        HttpAnswer::json(ids(from..from + 5))
    });
    let spec = by_cursor("items", "id", 0);
    let first = api.read(&spec, None).await.unwrap();
    assert_eq!(first.rows, rows(0..5));
    let second = api.read(&spec, Some(&first.position)).await.unwrap();
    assert_eq!(second.rows, rows(4..9));
    let targets: Vec<String> = api
        .server
        .requests()
        .into_iter()
        .map(|request| request.target)
        .collect();
    assert_eq!(targets, ["/v1/items?sort=id", "/v1/items?since=4&sort=id"]);
    let behind = by_cursor("items", "id", 3);
    api.read(&behind, Some(&second.position)).await.unwrap();
    assert_eq!(api.server.requests()[2].parameter("since"), Some("5"));
}

#[tokio::test]
async fn nothing_new_moves_nothing() {
    let api = Api::new(since(), |request| match request.parameter("since") {
        None => HttpAnswer::json("[{\"id\":1,\"at\":\"2026-01-02T03:04:05Z\"}]"),
        Some("2026-01-02T03%3A04%3A05Z") => HttpAnswer::json("[]"),
        other => panic!("{other:?}"),
    });
    let spec = by_cursor("items", "at", 0);
    let first = api.read(&spec, None).await.unwrap();
    let mut again = spec.clone();
    again.observed = Some(
        api.source()
            .unwrap()
            .open(&spec, None)
            .await
            .unwrap()
            .tables()[0]
            .schema
            .clone(),
    );
    let second = api.read(&again, Some(&first.position)).await.unwrap();
    assert!(second.rows.is_empty());
    assert_eq!(second.position, first.position);
}

#[tokio::test]
async fn what_would_miss_records_is_refused() {
    let answer = |body: &'static str| Api::new(since(), move |_| HttpAnswer::json(body));
    let spec = by_cursor("items", "at", 0);
    let code = |failure: towpath_ports::Result<crate::Read>| failure.unwrap_err().code;
    let missing = answer("[{\"id\":1,\"at\":1},{\"id\":2}]");
    assert_eq!(code(missing.read(&spec, None).await), "R0367");
    let mixed = answer("[{\"id\":1,\"at\":1},{\"id\":2,\"at\":\"x\"}]");
    assert_eq!(code(mixed.read(&spec, None).await), "R0368");
    let mut without_key = spec.clone();
    without_key.may_repeat = false;
    assert_eq!(code(mixed.read(&without_key, None).await), "R0369");
    let no_param = Api::new(json!({}), |_| HttpAnswer::json(ids(0..1)));
    assert_eq!(code(no_param.read(&spec, None).await), "R0350");
}

#[tokio::test]
async fn an_endpoint_is_read_for_each_record_of_another() {
    let api = Api::new(json!({ "paginate": { "type": "page", "size": 2 } }), |request| {
        let (path, page) = (request.path(), number(request, "page"));
        match (path, page) {
            ("/v1/items", 1) => HttpAnswer::json("[{\"id\":\"a/1\"},{\"id\":\"b\"}]"),
            ("/v1/items", 2) => HttpAnswer::json("[{\"id\":\"c\"}]"),
            ("/v1/items/a%2F1/lines", _) => HttpAnswer::json("[{\"n\":1},{\"n\":2}]"),
            ("/v1/items/b/lines", _) => HttpAnswer::json("[]"),
            ("/v1/items/c/lines", _) => HttpAnswer::json("[{\"n\":3}]"),
            (path, _) if path.starts_with("/v1/notes/") => {
                let line = path.rsplit('/').next().unwrap();
                HttpAnswer::json(format!("[{{\"note\":\"of {line}\"}}]"))
            }
            other => panic!("{other:?}"),
        }
    })
    .table("lines", json!({ "path": "items/{items.id}/lines", "include": { "item": "items.id" } }))
    .table("notes", json!({ "path": "notes/{lines.n}", "include": { "item": "lines.item", "line": "lines.n" } }));
    let mut lines = api.read(&table("lines"), None).await.unwrap().rows;
    lines.sort();
    assert_eq!(
        lines,
        [
            "{\"item\":\"a/1\",\"n\":\"1\"}",
            "{\"item\":\"a/1\",\"n\":\"2\"}",
            "{\"item\":\"c\",\"n\":\"3\"}"
        ]
    );
    let mut notes = api.read(&table("notes"), None).await.unwrap().rows;
    notes.sort();
    assert_eq!(
        notes[2],
        "{\"item\":\"c\",\"line\":\"3\",\"note\":\"of 3\"}"
    );
    assert_eq!(notes.len(), 3);
}

#[tokio::test]
async fn a_record_without_the_value_an_endpoint_needs_is_a_failure() {
    let api = Api::new(json!({}), |_| {
        HttpAnswer::json("[{\"id\":1},{\"id\":null}]")
    })
    .table("lines", json!({ "path": "items/{items.id}/lines" }));
    let failure = api.read(&table("lines"), None).await.unwrap_err();
    assert_eq!(failure.code, "R0366");
    let api = Api::new(json!({}), |_| HttpAnswer::json("[{\"id\":1}]")).table(
        "lines",
        json!({ "path": "items/{items.id}", "include": { "id": "items.id" } }),
    );
    let failure = api.read(&table("lines"), None).await.unwrap_err();
    assert_eq!(failure.code, "R0350");
}
