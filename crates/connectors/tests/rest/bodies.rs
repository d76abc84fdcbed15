//! Tables that are read by a POST: pages, cursors and values of other records in a JSON body.

use serde_json::{Value, json};
use towpath_testkit::http::{HttpAnswer, HttpRequest};

use crate::{Api, by_cursor, ids, rows, table};

fn sent(request: &HttpRequest) -> Value {
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", "/v1/items")
    );
    serde_json::from_str(&request.body).unwrap()
}

fn slice(from: u64, size: u64) -> std::ops::Range<u64> {
    from.min(25)..(from + size).min(25)
}

#[tokio::test]
async fn numbers_of_pages_are_values_of_the_body() {
    let page = json!({
        "method": "POST",
        "body": "{{\"query\": {{\"all\": 1.10}}, \"page\": {{\"number\": 9}}}}",
        "paginate": { "type": "page", "in": "body", "param": "page.number", "size": 10, "size_param": "page.size" },
    });
    let api = Api::new(page, |request| {
        let body = sent(request);
        assert!(request.body.contains("{\"all\":1.10}"), "{}", request.body);
        assert_eq!(body["page"]["size"], 10);
        let number = body["page"]["number"].as_u64().unwrap();
        HttpAnswer::json(ids(slice((number - 1) * 10, 10)))
    });
    assert_eq!(api.rows().await.unwrap(), rows(0..25));

    let offset = json!({
        "method": "POST",
        "paginate": { "type": "offset", "in": "body", "size": 10, "param": "from", "size_param": "size" },
    });
    let api = Api::new(offset, |request| {
        let from = sent(request)["from"].as_u64().unwrap();
        HttpAnswer::json(ids(slice(from, 10)))
    });
    assert_eq!(api.rows().await.unwrap(), rows(0..25));
}

#[tokio::test]
async fn a_number_is_a_text_where_the_body_has_one() {
    let page = json!({
        "method": "POST",
        "body": "{{\"page\": \"1\"}}",
        "paginate": { "type": "page", "in": "body" },
    });
    let api = Api::new(page, |request| {
        let number = sent(request)["page"].as_str().unwrap().parse::<u64>();
        HttpAnswer::json(ids(slice((number.unwrap() - 1) * 10, 10)))
    });
    assert_eq!(api.rows().await.unwrap(), rows(0..25));
}

#[tokio::test]
async fn a_cursor_in_a_body_keeps_its_type() {
    for of in [
        |from: u64| json!(from),
        |from: u64| json!(from.to_string()),
        |from: u64| json!([from, "x"]),
        |from: u64| json!({ "id": { "N": from } }),
    ] {
        let cursor = json!({
            "method": "POST",
            "records": "data",
            "paginate": { "type": "cursor", "in": "body", "at": "meta.next", "param": "start.key" },
        });
        let api = Api::new(cursor, move |request| {
            let start = sent(request)["start"]["key"].clone();
            let from = [0, 10, 20].into_iter().find(|from| of(*from) == start);
            let from = from.unwrap_or_else(|| {
                assert!(start.is_null(), "{start}");
                0
            });
            let next = if from < 20 {
                of(from + 10)
            } else {
                Value::Null
            };
            let data = ids(slice(from, 10));
            HttpAnswer::json(format!("{{\"data\":{data},\"meta\":{{\"next\":{next}}}}}"))
        });
        assert_eq!(api.rows().await.unwrap(), rows(0..25));
    }
    // A URL has no place for a list.
    let cursor = json!({ "records": "data", "paginate": { "type": "cursor", "at": "next" } });
    let api = Api::new(cursor, |_| {
        HttpAnswer::json("{\"data\":[{\"id\":1}],\"next\":[1]}")
    });
    assert_eq!(api.failure().await.code, "R0372");
}

#[tokio::test]
async fn the_sort_values_of_the_last_record_lead_on() {
    let search = json!({
        "method": "POST",
        "body": "{{\"size\": 10, \"sort\": [\"id\"]}}",
        "records": "hits.hits",
        "total": "hits.total.value",
        "paginate": { "type": "last_record", "in": "body", "param": "search_after", "at": "sort" },
    });
    let api = Api::new(search, |request| {
        let body = sent(request);
        let from = body["search_after"][0].as_u64().map_or(0, |last| last + 1);
        let hits: Vec<Value> = slice(from, 10)
            .map(|id| json!({ "id": id, "sort": [id] }))
            .collect();
        HttpAnswer::json(json!({ "hits": { "total": { "value": 25 }, "hits": hits } }).to_string())
    });
    assert_eq!(api.rows().await.unwrap().len(), 25);
}

#[tokio::test]
async fn a_first_read_begins_at_cursor_start() {
    let items = |start: bool| {
        let mut items = json!({
            "method": "POST",
            "body": "{{\"filter\": {{\"gte\": \"{cursor}\"}}}}",
        });
        if start {
            items["cursor_start"] = json!("2000-01-01T00:00:00Z");
        }
        items
    };
    let answer = |_: &HttpRequest| HttpAnswer::json("[{\"id\":1,\"at\":\"2020-01-01T00:00:00Z\"}]");
    let spec = by_cursor("items", "at", 0);
    let api = Api::new(items(false), answer);
    let failure = api.read(&spec, None).await.unwrap_err();
    assert_eq!(failure.code, "R0350");
    assert!(failure.message.contains("cursor_start"), "{failure:?}");
    let api = Api::new(items(true), answer);
    let first = api.read(&spec, None).await.unwrap();
    api.read(&spec, Some(&first.position)).await.unwrap();
    let asked = api.server.requests();
    let sent = asked
        .iter()
        .map(|request| sent(request)["filter"]["gte"].clone());
    let sent: Vec<Value> = sent.collect();
    assert_eq!(sent, ["2000-01-01T00:00:00Z", "2020-01-01T00:00:00Z"]);
}

#[tokio::test]
async fn values_of_other_records_cannot_change_a_body() {
    let api = Api::new(json!({}), |request| match request.method.as_str() {
        "GET" => HttpAnswer::json("[{\"id\":\"a\\\", \\\"all\\\": \\\"1\"}]"),
        _ => {
            let body: Value = serde_json::from_str(&request.body).unwrap();
            assert_eq!(body["of"], "a\", \"all\": \"1");
            HttpAnswer::json(ids(body["from"]
                .as_u64()
                .filter(|from| *from > 0)
                .map_or(0..1, |_| 0..0)))
        }
    })
    .table(
        "lines",
        json!({
            "method": "POST",
            "body": "{{\"of\": \"{items.id}\"}}",
            "paginate": { "type": "offset", "in": "body", "param": "from", "size": 1 },
        }),
    );
    let lines = api.read(&table("lines"), None).await.unwrap().rows;
    assert_eq!(lines, rows(0..1));
}

#[tokio::test]
async fn pages_in_a_body_that_repeat_are_a_failure() {
    let page = json!({ "method": "POST", "paginate": { "type": "page", "in": "body", "param": "no.such" } });
    let api = Api::new(page, |_| HttpAnswer::json(ids(0..3)));
    assert_eq!(api.failure().await.code, "R0361");
    let page = json!({ "method": "POST", "records": "data", "paginate": { "type": "cursor", "in": "body", "at": "next" } });
    let api = Api::new(page, |request| {
        let known = sent(request)["cursor"]["k"].as_u64().unwrap_or(0);
        let (data, next) = (ids([known]), 3 - known.max(1));
        HttpAnswer::json(format!("{{\"data\":{data},\"next\":{{\"k\":{next}}}}}"))
    });
    assert_eq!(api.failure().await.code, "R0361");
}

#[tokio::test]
async fn a_cut_answer_to_a_post_is_asked_for_again_with_its_page() {
    let asked = std::sync::atomic::AtomicU64::new(0);
    let page = json!({ "method": "POST", "paginate": { "type": "page", "in": "body" } });
    let api = Api::new(page, move |request| {
        let number = sent(request)["page"].as_u64().unwrap();
        let answer = HttpAnswer::json(ids(slice((number - 1) * 10, 10)));
        match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            1 => answer.cut_after(7),
            3 => HttpAnswer::new(429, "").header("retry-after", "0"),
            _ => answer,
        }
    });
    assert_eq!(api.rows().await.unwrap(), rows(0..25));
    assert_eq!(api.server.requests().len(), 6);
}

#[tokio::test]
async fn a_page_that_has_no_place_in_the_body_is_refused_before_anything_is_asked() {
    let place = |param: &str| json!({ "type": "page", "in": "body", "param": param });
    for items in [
        json!({ "paginate": place("page") }),
        json!({ "method": "POST", "body": "{{\"a\": \"{cursor}\"}}", "paginate": place("a.page"), "cursor_start": "1" }),
        json!({ "method": "POST", "body": "[]", "paginate": place("page") }),
        json!({ "method": "POST", "paginate": place("$") }),
        json!({ "method": "POST", "paginate": { "type": "page", "in": "header" } }),
        json!({ "graphql": "{ a }", "paginate": place("page") }),
        json!({ "cursor_start": "1" }),
        json!({ "lists_inside": "first_page" }),
        json!({ "graphql": "{ a }", "lists_inside": "some" }),
    ] {
        let api = Api::new(items.clone(), |_| HttpAnswer::json("[]"));
        assert_eq!(api.failure().await.code, "R0350", "{items}");
        assert!(api.server.requests().is_empty(), "{items}");
    }
}
