//! GraphQL over the same parts: pages are variables, and errors beside data are failures.

use serde_json::{Value, json};
use towpath_testkit::http::{HttpAnswer, HttpRequest};

use crate::{Api, ids, rows, table};

const QUERY: &str = "query Issues($after: String) { issues(first: 2, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } }";

fn issues() -> Value {
    json!({
        "graphql": QUERY,
        "records": "data.issues.nodes",
        "paginate": {
            "type": "cursor",
            "param": "after",
            "at": "data.issues.pageInfo.endCursor",
            "more": "data.issues.pageInfo.hasNextPage",
        },
    })
}

fn sent(request: &HttpRequest) -> Value {
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", "/v1")
    );
    serde_json::from_str(&request.body).unwrap()
}

fn page(records: &str, cursor: u64, more: bool) -> String {
    format!(
        "{{\"data\":{{\"issues\":{{\"nodes\":{records},\"pageInfo\":{{\"hasNextPage\":{more},\"endCursor\":\"{cursor}\"}}}}}}}}"
    )
}

#[tokio::test]
async fn pages_of_a_query_are_read_by_its_variables() {
    let api = Api::new(issues(), |request| {
        let body = sent(request);
        assert_eq!(body["query"], QUERY);
        let from = body["variables"]["after"]
            .as_str()
            .unwrap_or("0")
            .parse::<u64>()
            .unwrap();
        HttpAnswer::json(page(&ids(from..(from + 2).min(5)), from + 2, from + 2 < 5))
    });
    assert_eq!(api.rows().await.unwrap(), rows(0..5));
    assert_eq!(api.server.requests().len(), 3);
}

#[tokio::test]
async fn variables_come_from_params_and_from_other_tables() {
    let api = Api::new(json!({ "graphql": "{ items { id } }", "records": "data.items" }), |request| {
        let body = sent(request);
        match body["variables"]["item"].as_str() {
            None => HttpAnswer::json(format!("{{\"data\":{{\"items\":{}}}}}", ids([1, 2]))),
            Some(item) => {
                assert_eq!(body["variables"]["kind"], "open");
                HttpAnswer::json(format!("{{\"data\":{{\"lines\":[{{\"of\":{item}}}]}}}}"))
            }
        }
    })
    .table(
        "lines",
        json!({
            "graphql": "query L($item: ID!, $kind: String) { lines(of: $item, kind: $kind) { of } }",
            "params": { "item": "{items.id}", "kind": "open" },
            "records": "data.lines",
        }),
    );
    let mut lines = api.read(&table("lines"), None).await.unwrap().rows;
    lines.sort();
    assert_eq!(lines, ["{\"of\":\"1\"}", "{\"of\":\"2\"}"]);
}

#[tokio::test]
async fn an_answer_with_errors_is_a_failure_also_beside_data() {
    let body = page(&ids(0..2), 2, false).replacen(
        '{',
        "{\"errors\":[{\"message\":\"field tok-123456 timed out\"}],",
        1,
    );
    let api = Api::new(issues(), move |_| HttpAnswer::json(body.clone()))
        .option("auth.type", json!("bearer"))
        .secret("auth.token", "tok-123456");
    let failure = api.failure().await;
    assert_eq!(failure.code, "R0376");
    assert!(
        failure.help[0].contains("field *** timed out"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_a_query_is_refused() {
    for options in [
        json!({ "graphql": "{ a }", "method": "GET" }),
        json!({ "graphql": "{ a }", "body": "{{}}" }),
    ] {
        let api = Api::new(options.clone(), |_| HttpAnswer::json("{}"));
        assert_eq!(api.failure().await.code, "R0350", "{options}");
        assert!(api.server.requests().is_empty());
    }
    // A connection that ends says so before a part is loaded.
    let unsaid = json!({ "graphql": "{ issues }", "records": "data.issues.nodes" });
    let api = Api::new(unsaid, |_| HttpAnswer::json(page(&ids(0..2), 2, true)));
    assert_eq!(api.failure().await.code, "R0362");
}

#[tokio::test]
async fn page_info_is_followed_and_variables_have_the_types_of_the_query() {
    let query = "query I($first: Int!, $in: Filter, $after: String) { issues(first: $first, filter: $in, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } }";
    let issues = json!({
        "graphql": query,
        "params": { "first": "2", "in": "{{\"states\": [\"OPEN\"]}}" },
        "records": "data.issues.nodes",
        "paginate": { "type": "page_info", "at": "data.issues.pageInfo" },
    });
    let api = Api::new(issues.clone(), |request| {
        let variables = sent(request)["variables"].clone();
        assert_eq!(variables["first"], 2);
        assert_eq!(variables["in"], json!({ "states": ["OPEN"] }));
        let from = variables["after"]
            .as_str()
            .map_or(0, |at| at.parse().unwrap());
        HttpAnswer::json(page(&ids(from..(from + 2).min(5)), from + 2, from + 2 < 5))
    });
    assert_eq!(api.rows().await.unwrap(), rows(0..5));
    // More pages, and no cursor that leads there.
    let api = Api::new(issues.clone(), |_| {
        HttpAnswer::json(page(&ids(0..2), 2, true).replace("\"2\"", "null"))
    });
    assert_eq!(api.failure().await.code, "R0373");
    // The answer does not have what says whether there are more.
    let api = Api::new(issues, |_| {
        HttpAnswer::json("{\"data\":{\"issues\":{\"nodes\":[{\"id\":1}]}}}")
    });
    assert_eq!(api.failure().await.code, "R0372");
    let wrong = json!({ "graphql": query, "params": { "first": "two" } });
    let api = Api::new(wrong, |_| HttpAnswer::json("{}"));
    assert_eq!(api.failure().await.code, "R0350");
    assert!(api.server.requests().is_empty());
}

#[tokio::test]
async fn a_list_inside_a_record_that_has_another_page_is_a_failure() {
    let body = r#"{"data":{"issues":[{"id":1,"comments":{"nodes":[{"t":"a"}],"pageInfo":{"hasNextPage":true,"endCursor":"x"}}}]}}"#;
    let issues = json!({ "graphql": "{ issues { id } }", "records": "data.issues" });
    let api = Api::new(issues.clone(), move |_| HttpAnswer::json(body));
    let failure = api.failure().await;
    assert_eq!(failure.code, "R0380");
    assert!(failure.message.contains("comments.pageInfo"), "{failure:?}");
    let mut first = issues.clone();
    first["lists_inside"] = json!("first_page");
    let api = Api::new(first, move |_| HttpAnswer::json(body));
    assert_eq!(api.rows().await.unwrap().len(), 1);
    let whole = body.replace("true", "false");
    let api = Api::new(issues, move |_| HttpAnswer::json(whole.clone()));
    assert_eq!(api.rows().await.unwrap().len(), 1);
}
