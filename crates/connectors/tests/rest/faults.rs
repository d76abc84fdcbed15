//! What servers and networks do wrong: tried again, or a failure that names it; never part of the data.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use towpath_testkit::http::HttpAnswer;
use towpath_vocab::Remedy;

use crate::{Api, ids, number, rows, table};

/// Answers with these in turn, the last one for ever.
fn in_turn(
    answers: Vec<HttpAnswer>,
) -> impl Fn(&towpath_testkit::http::HttpRequest) -> HttpAnswer + Send + Sync {
    let asked = AtomicU64::new(0);
    move |_| {
        let turn = usize::try_from(asked.fetch_add(1, Ordering::SeqCst)).unwrap();
        answers[turn.min(answers.len() - 1)].clone()
    }
}

fn good() -> HttpAnswer {
    HttpAnswer::json(ids(0..3))
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    for bad in [
        HttpAnswer::new(500, "oops"),
        HttpAnswer::new(503, "").header("retry-after", "0"),
        HttpAnswer::new(429, "slow down").header("retry-after", "0"),
        HttpAnswer::none(),
        good().cut_after(9),
        good().cut_after(0),
    ] {
        let api = Api::new(json!({}), in_turn(vec![bad.clone(), bad.clone(), good()]));
        assert_eq!(api.rows().await.unwrap(), rows(0..3), "{bad:?}");
        assert_eq!(api.server.requests().len(), 3);
    }
}

#[tokio::test]
async fn gzip_is_read_and_a_truncated_one_is_tried_again() {
    use std::io::Write as _;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(ids(0..500).as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let whole = HttpAnswer::new(200, packed.clone()).header("content-encoding", "gzip");
    let half = HttpAnswer::new(200, &packed[..packed.len() / 2]).header("content-encoding", "gzip");
    let api = Api::new(json!({}), in_turn(vec![half, whole]));
    assert_eq!(api.rows().await.unwrap(), rows(0..500));
}

#[tokio::test]
async fn tries_come_to_an_end() {
    let broken = |status| {
        Api::new(json!({}), move |_| {
            HttpAnswer::new(status, "the database is down")
        })
        .option("retries", json!(1))
    };
    let api = broken(503);
    let failure = api.failure().await;
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0356", Remedy::Unreachable)
    );
    assert!(failure.message.contains("2 times"), "{failure:?}");
    assert!(
        failure.help[0].contains("the database is down"),
        "{failure:?}"
    );
    assert_eq!(api.server.requests().len(), 2);
    let api = Api::new(json!({}), |_| HttpAnswer::none()).option("retries", json!(0));
    let failure = api.failure().await;
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0352", Remedy::Unreachable)
    );
}

#[tokio::test]
async fn refusals_are_not_tried_again() {
    for (status, code) in [
        (400, "R0355"),
        (401, "R0353"),
        (403, "R0353"),
        (404, "R0354"),
        (422, "R0355"),
    ] {
        let api = Api::new(json!({}), move |_| HttpAnswer::new(status, "no"));
        let failure = api.failure().await;
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            (code, Remedy::FixConfig),
            "{status}"
        );
        assert_eq!(api.server.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn the_server_says_how_long_to_wait() {
    let wait = |seconds: &str| HttpAnswer::new(429, "").header("retry-after", seconds);
    let api = Api::new(json!({}), in_turn(vec![wait("1"), good()]));
    let start = Instant::now();
    assert_eq!(api.rows().await.unwrap(), rows(0..3));
    assert!(start.elapsed() >= Duration::from_secs(1));
    let api = Api::new(json!({}), in_turn(vec![wait("7200")]));
    let failure = api.failure().await;
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0357", Remedy::Refused)
    );
}

#[tokio::test]
async fn requests_keep_to_the_limits_of_the_project() {
    let paged = json!({ "paginate": { "type": "page", "size": 1 } });
    let api = Api::new(paged, |request| match number(request, "page") {
        page @ 1..=6 => HttpAnswer::json(ids([page])),
        _ => HttpAnswer::json("[]"),
    })
    .option("limits", json!({ "requests": "10/s" }));
    let start = Instant::now();
    assert_eq!(api.rows().await.unwrap().len(), 6);
    assert!(start.elapsed() >= Duration::from_millis(600));
}

#[tokio::test]
async fn what_is_no_json_is_a_failure() {
    for body in [
        "<html>sign in</html>",
        "",
        "{\"data\": [1, ",
        "[{}] trailing",
    ] {
        let api = Api::new(json!({}), move |_| HttpAnswer::json(body));
        assert_eq!(api.failure().await.code, "R0358", "{body}");
    }
    let api = Api::new(json!({}), |_| {
        HttpAnswer::json("{\"error\":\"no such thing\"}")
    });
    assert_eq!(api.failure().await.code, "R0360");
    // Nor is an array of errors the table.
    for body in ["{\"errors\":[{\"message\":\"no\"}]}", "{\"errors\":[]}"] {
        let api = Api::new(json!({}), move |_| HttpAnswer::json(body));
        assert_eq!(api.failure().await.code, "R0360", "{body}");
    }
    let api = Api::new(json!({ "records": "data" }), |_| {
        HttpAnswer::json("{\"items\":[]}")
    });
    let failure = api.failure().await;
    assert!(
        failure.code == "R0360" && failure.help[0].contains("items"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_response_larger_than_allowed_is_a_failure() {
    let api = Api::new(json!({}), |_| HttpAnswer::json(ids(0..1000)))
        .option("max_page_bytes", json!(1000));
    assert_eq!(api.failure().await.code, "R0359");
}

#[tokio::test]
async fn a_failure_in_the_middle_gives_no_row() {
    let paged = json!({ "paginate": { "type": "page", "size": 10 } });
    let api = Api::new(paged, |request| match number(request, "page") {
        1 => HttpAnswer::json(ids(0..10)),
        _ => HttpAnswer::new(400, "cursor expired"),
    });
    let source = api.source().unwrap();
    let failure = source.open(&table("items"), None).await.err().unwrap();
    assert_eq!(failure.code, "R0355");
}

#[tokio::test]
async fn options_that_cannot_be_meant_are_refused_before_anything_is_asked() {
    let items = [
        json!({ "method": "PUT" }),
        json!({ "body": "{{}}" }),
        json!({ "path": "a/{id" }),
        json!({ "path": "{other.id}/x" }),
        json!({ "path": "{items.id}" }),
        json!({ "paginate": { "type": "offset" } }),
        json!({ "paginate": { "type": "page", "size": 0 } }),
        json!({ "include": { "a": "b" } }),
        json!({ "max_pages": 0 }),
    ];
    for options in items {
        let api = Api::new(options.clone(), |_| good());
        let code = api.failure().await.code;
        assert!(
            matches!(code.as_str(), "R0350" | "R0351"),
            "{options}: {code}"
        );
        assert!(api.server.requests().is_empty(), "{options}");
    }
    for (option, value) in [
        ("url", json!("ftp://x")),
        ("url", json!("https://user:pw@x/")),
        ("url", json!("https://x/?a=b")),
        ("limits", json!({ "requests": "many" })),
        ("limits", json!({ "connections": 0 })),
        ("retries", json!("x")),
        ("headers", json!({ "a b": "c" })),
    ] {
        let api = Api::new(json!({}), |_| good()).option(option, value.clone());
        let failure = api.failure().await;
        assert_eq!(failure.code, "R0350", "{option}: {value}");
        assert!(!failure.message.contains("pw"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_limit_that_is_used_up_is_waited_for_also_when_it_is_a_refusal() {
    let refused = HttpAnswer::new(403, "API rate limit exceeded")
        .header("x-ratelimit-remaining", "0")
        .header("x-ratelimit-reset", "1");
    let api = Api::new(json!({}), in_turn(vec![refused, good()]));
    assert_eq!(api.rows().await.unwrap(), rows(0..3));
    let secondary = HttpAnswer::new(403, "slow down").header("retry-after", "1");
    let api = Api::new(json!({}), in_turn(vec![secondary, good()]));
    assert_eq!(api.rows().await.unwrap(), rows(0..3));
}

#[tokio::test]
async fn waits_that_the_server_asks_for_are_no_failed_tries_and_have_a_bound() {
    let slow = || HttpAnswer::new(429, "").header("retry-after", "1");
    let api =
        Api::new(json!({}), in_turn(vec![slow(), slow(), good()])).option("retries", json!(0));
    assert_eq!(api.rows().await.unwrap(), rows(0..3));
    let api = Api::new(json!({}), in_turn(vec![slow()])).option("max_wait_s", json!(1));
    assert_eq!(api.failure().await.code, "R0357");
    assert_eq!(api.server.requests().len(), 2);
    let storm = HttpAnswer::new(429, "").header("retry-after", "0");
    let api = Api::new(json!({}), in_turn(vec![storm])).option("retries", json!(3));
    assert_eq!(api.failure().await.code, "R0356");
    assert_eq!(api.server.requests().len(), 4);
}

#[tokio::test]
async fn tables_that_are_read_side_by_side_share_the_limits() {
    let paged = || json!({ "paginate": { "type": "page", "size": 1 } });
    let api = Api::new(paged(), |request| match number(request, "page") {
        page @ 1..=3 => HttpAnswer::json(ids([page])),
        _ => HttpAnswer::json("[]"),
    })
    .table("others", paged())
    .option("limits", json!({ "requests": "10/s" }));
    let (items, others) = (table("items"), table("others"));
    let start = Instant::now();
    let (one, other) = tokio::join!(api.read(&items, None), api.read(&others, None));
    assert_eq!((one.unwrap().rows.len(), other.unwrap().rows.len()), (3, 3));
    assert!(
        start.elapsed() >= Duration::from_millis(650),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn no_content_is_no_record() {
    let api = Api::new(json!({}), |_| HttpAnswer::new(204, ""));
    assert!(api.rows().await.unwrap().is_empty());
    let cursor = json!({ "paginate": { "type": "cursor", "at": "next" } });
    let api = Api::new(cursor, |_| HttpAnswer::new(204, ""));
    assert!(api.rows().await.unwrap().is_empty());
    let paged = json!({ "paginate": { "type": "page" } });
    let api = Api::new(paged, |request| match number(request, "page") {
        1 => HttpAnswer::json(ids(0..2)),
        _ => HttpAnswer::new(204, ""),
    });
    assert_eq!(api.rows().await.unwrap(), rows(0..2));
    for status in [202, 206, 207] {
        let api = Api::new(json!({}), move |_| HttpAnswer::new(status, ids(0..2)));
        assert_eq!(api.failure().await.code, "R0355", "{status}");
    }
}

#[tokio::test]
async fn an_endpoint_without_records_has_the_columns_that_are_known() {
    let api = Api::new(json!({}), |_| HttpAnswer::json("[]"));
    let source = api.source().unwrap();
    let nothing = source.open(&table("items"), None).await.unwrap();
    assert!(nothing.tables().is_empty() && nothing.notes()[0].contains("no records"));
    let mut declared = table("items");
    declared.declared = vec![towpath_vocab::ColumnPlan {
        name: "id".into(),
        from: None,
        set: None,
        mask: None,
        data_type: Some("bigint".into()),
        span: None,
    }];
    let reader = source.open(&declared, None).await.unwrap();
    assert_eq!(reader.tables()[0].schema.fields().len(), 1);
    let failure = api.discover().describe("items").await.unwrap_err();
    assert_eq!(failure.code, "R0375");
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused_before_it_is_sent() {
    let items = json!({ "method": "POST", "body": "{{\"id\": }}" });
    let api = Api::new(items, |_| good());
    assert_eq!(api.failure().await.code, "R0350");
    assert!(api.server.requests().is_empty());
}
