//! Every kind of pagination gives every record once, and none that does not end is believed.

use serde_json::json;
use towpath_testkit::http::HttpAnswer;

use crate::{Api, ids, number, rows, table};

/// Records `from..from + size` of 25.
fn slice(from: u64, size: u64) -> std::ops::Range<u64> {
    from.min(25)..(from + size).min(25)
}

#[tokio::test]
async fn a_response_without_pages_is_all_there_is() {
    let api = Api::new(json!({}), |_| HttpAnswer::json(ids(0..3)));
    assert_eq!(api.rows().await.unwrap(), rows(0..3));
    assert_eq!(api.server.requests()[0].target, "/v1/items");
}

#[tokio::test]
async fn values_keep_the_text_of_the_server() {
    let body = "{\"data\": [\n {\"id\": 1, \"price\": 1.10, \"big\": 12345678901234567890.123,\n \"tags\": [1, 2.50]} ]}";
    let api = Api::new(json!({}), move |_| HttpAnswer::json(body));
    let read = api.rows().await.unwrap();
    assert!(read[0].contains("12345678901234567890.123"), "{read:?}");
    assert!(read[0].contains("2.50"), "{read:?}");
}

#[tokio::test]
async fn pages_by_number_end_with_an_empty_one() {
    let api = Api::new(
        json!({ "paginate": { "type": "page", "size": 10, "size_param": "per" } }),
        |request| {
            HttpAnswer::json(ids(slice(
                (number(request, "page") - 1) * 10,
                number(request, "per"),
            )))
        },
    );
    assert_eq!(api.rows().await.unwrap(), rows(0..25));
    assert_eq!(api.server.requests().len(), 4);
}

#[tokio::test]
async fn a_short_page_between_full_ones_ends_nothing() {
    for paginate in [
        json!({ "type": "page", "size": 2 }),
        json!({ "type": "offset", "size": 2 }),
    ] {
        let api = Api::new(json!({ "paginate": paginate }), |request| {
            let records = match (number(request, "page"), number(request, "offset")) {
                (1, _) | (0, 0) => ids([1, 2]),
                (2, _) | (0, 2) => ids([3]),
                (3, _) | (0, 3) => ids([4, 5]),
                _ => ids([]),
            };
            HttpAnswer::json(records)
        });
        assert_eq!(api.rows().await.unwrap(), rows(1..6));
    }
}

#[tokio::test]
async fn a_server_that_gives_smaller_pages_than_asked_loses_nothing() {
    let api = Api::new(
        json!({ "paginate": { "type": "offset", "size": 100 } }),
        |request| HttpAnswer::json(ids(slice(number(request, "offset"), 7))),
    );
    assert_eq!(api.rows().await.unwrap(), rows(0..25));
}

#[tokio::test]
async fn not_found_behind_the_last_page_is_the_end() {
    let api = Api::new(
        json!({ "paginate": { "type": "page" } }),
        |request| match number(request, "page") {
            page @ 1..=2 => HttpAnswer::json(ids(page * 10..page * 10 + 5)),
            _ => HttpAnswer::new(404, "{\"detail\":\"Invalid page.\"}"),
        },
    );
    assert_eq!(api.rows().await.unwrap(), rows((10..15).chain(20..25)));
}

#[tokio::test]
async fn cursors_urls_links_and_last_records_are_followed() {
    let cursor = json!({ "records": "data", "paginate": { "type": "cursor", "at": "meta.next", "param": "c" } });
    let api = Api::new(cursor, |request| {
        let from = number(request, "c");
        let next = if from < 20 {
            format!("{}", from + 10)
        } else {
            "null".to_owned()
        };
        HttpAnswer::json(format!(
            "{{\"data\":{},\"meta\":{{\"next\":{next}}}}}",
            ids(slice(from, 10))
        ))
    });
    assert_eq!(api.rows().await.unwrap(), rows(0..25));

    let url = json!({ "records": "data", "paginate": { "type": "next_url", "at": "links.next" } });
    let api = Api::new(url, |request| {
        let from = number(request, "from");
        let next = if from < 20 {
            format!("\"/v1/items?from={}\"", from + 10)
        } else {
            "\"\"".to_owned()
        };
        HttpAnswer::json(format!(
            "{{\"data\":{},\"links\":{{\"next\":{next}}}}}",
            ids(slice(from, 10))
        ))
    });
    assert_eq!(api.rows().await.unwrap(), rows(0..25));

    let api = Api::new(
        json!({ "paginate": { "type": "link_header" } }),
        |request| {
            let from = number(request, "from");
            let answer = HttpAnswer::json(ids(slice(from, 10)));
            match from < 20 {
                true => answer.header("link", &format!("<?from={}>; rel=\"next\"", from + 10)),
                false => answer.header("link", "<?from=0>; rel=\"first\""),
            }
        },
    );
    assert_eq!(api.rows().await.unwrap(), rows(0..25));

    let last = json!({ "records": "data", "paginate": { "type": "last_record", "param": "after", "more": "has_more" } });
    let api = Api::new(last, |request| {
        let from = request
            .parameter("after")
            .map_or(0, |after| after.parse::<u64>().unwrap() + 1);
        HttpAnswer::json(format!(
            "{{\"data\":{},\"has_more\":{}}}",
            ids(slice(from, 10)),
            from < 15
        ))
    });
    assert_eq!(api.rows().await.unwrap(), rows(0..25));
    assert_eq!(api.server.requests().len(), 3);
}

#[tokio::test]
async fn a_next_page_that_nobody_asked_for_is_a_failure_with_the_way_to_read_it() {
    let body = |next: &str| format!("{{\"items\":{},\"next\":{next}}}", ids(0..2));
    let link = body("\"http://x/2\"");
    let api = Api::new(json!({}), move |_| HttpAnswer::json(link.clone()));
    let failure = api.failure().await;
    assert_eq!(failure.code, "R0362");
    assert!(
        failure.help[0].contains("{ type: next_url, at: next }"),
        "{failure:?}"
    );
    let none = body("null");
    let api = Api::new(json!({}), move |_| HttpAnswer::json(none.clone()));
    assert_eq!(api.rows().await.unwrap(), rows(0..2));
    let header = |_: &_| HttpAnswer::json(ids(0..2)).header("link", "<x>; rel=next");
    assert_eq!(Api::new(json!({}), header).failure().await.code, "R0362");
    let single = json!({ "paginate": { "type": "single" } });
    assert_eq!(Api::new(single, header).rows().await.unwrap(), rows(0..2));
}

#[tokio::test]
async fn pages_that_do_not_end_are_a_failure() {
    // The parameter has no effect: each request gives the first page.
    let api = Api::new(json!({ "paginate": { "type": "page" } }), |_| {
        HttpAnswer::json(ids(0..10))
    });
    assert_eq!(api.failure().await.code, "R0361");
    // A cursor that leads back.
    let cursor = json!({ "records": "data", "paginate": { "type": "cursor", "at": "next" } });
    let api = Api::new(cursor, |request| {
        let (id, next) = if request.parameter("cursor") == Some("a") {
            (1, "b")
        } else {
            (2, "a")
        };
        HttpAnswer::json(format!("{{\"data\":{},\"next\":\"{next}\"}}", ids([id])))
    });
    assert_eq!(api.failure().await.code, "R0361");
    // Always another page.
    let endless = json!({ "max_pages": 20, "paginate": { "type": "page" } });
    let api = Api::new(endless, |request| {
        HttpAnswer::json(ids([number(request, "page")]))
    });
    assert_eq!(api.failure().await.code, "R0361");
    assert_eq!(api.server.requests().len(), 20);
}

#[tokio::test]
async fn a_total_that_does_not_match_is_a_failure() {
    let items =
        json!({ "records": "data", "total": "count", "paginate": { "type": "page", "size": 2 } });
    let pages = |total: u64| {
        move |request: &towpath_testkit::http::HttpRequest| {
            let page = number(request, "page");
            let records = match page {
                1 => ids(0..2),
                2 => ids(2..3),
                _ => ids([]),
            };
            HttpAnswer::json(format!("{{\"data\":{records},\"count\":{total}}}"))
        }
    };
    assert_eq!(
        Api::new(items.clone(), pages(3)).rows().await.unwrap(),
        rows(0..3)
    );
    let failure = Api::new(items, pages(4)).failure().await;
    assert_eq!(
        (failure.code.as_str(), failure.remedy.may_pass()),
        ("R0363", true)
    );
}

#[tokio::test]
async fn numbered_pages_end_where_the_total_is_reached() {
    for (paginate, records, requests) in [
        (json!({ "type": "page", "size": 10 }), 25, 3),
        (json!({ "type": "page", "size": 10 }), 20, 2),
        (json!({ "type": "offset", "size": 10 }), 20, 2),
        (json!({ "type": "page", "size": 10 }), 3, 1),
        (json!({ "type": "page" }), 25, 3),
    ] {
        let items = json!({ "records": "data", "total": "total", "paginate": paginate });
        let api = Api::new(items, move |request| {
            let from = match request.parameter("page") {
                Some(_) => (number(request, "page") - 1) * 10,
                None => number(request, "offset"),
            };
            match from < records {
                true => HttpAnswer::json(format!(
                    "{{\"data\":{},\"total\":{records}}}",
                    ids(from..(from + 10).min(records))
                )),
                false => HttpAnswer::new(400, "there is no such page"),
            }
        });
        assert_eq!(api.rows().await.unwrap(), rows(0..records), "{paginate}");
        assert_eq!(api.server.requests().len(), requests, "{paginate}");
    }
    // A count of one page only does not end the read.
    for (paginate, next) in [
        (json!({ "type": "page", "size": 10 }), "null"),
        (json!({ "type": "page" }), "null"),
        (
            json!({ "type": "page", "size": 100 }),
            "\"/v1/items?page=9\"",
        ),
    ] {
        let items = json!({ "records": "data", "total": "count", "paginate": paginate });
        let api = Api::new(items, move |request| {
            let from = (number(request, "page") - 1) * 10;
            let here = slice(from, 10);
            let count = here.end - here.start;
            let data = ids(here);
            HttpAnswer::json(format!(
                "{{\"data\":{data},\"count\":{count},\"next\":{next}}}"
            ))
        });
        assert_eq!(api.failure().await.code, "R0363", "{paginate}");
    }
}

#[tokio::test]
async fn a_limit_ends_the_read_early() {
    let api = Api::new(json!({ "paginate": { "type": "page" } }), |request| {
        let page = number(request, "page");
        HttpAnswer::json(ids(page * 10..page * 10 + 10))
    });
    let mut spec = table("items");
    spec.limit = Some(15);
    assert_eq!(api.read(&spec, None).await.unwrap().rows.len(), 15);
    assert_eq!(api.server.requests().len(), 2);
}

#[tokio::test]
async fn a_post_carries_its_body_to_each_page() {
    let items = json!({
        "method": "POST",
        "body": "{{\"size\": 2}}",
        "paginate": { "type": "offset", "size": 2, "param": "from" },
    });
    let api = Api::new(items, |request| {
        assert_eq!(
            (request.method.as_str(), request.body.as_str()),
            ("POST", "{\"size\": 2}")
        );
        let from = number(request, "from");
        HttpAnswer::json(ids(from..(from + 2).min(5)))
    });
    assert_eq!(api.rows().await.unwrap(), rows(0..5));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_whose_number_is_known_are_read_side_by_side_and_in_order() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    for (paginate, total) in [
        (json!({ "type": "page", "pages": "pages" }), json!(null)),
        (json!({ "type": "page", "size": 5 }), json!("total")),
        (json!({ "type": "offset", "size": 5 }), json!("total")),
    ] {
        let most = Arc::new(AtomicU64::new(0));
        let (now, seen) = (AtomicU64::new(0), Arc::clone(&most));
        let items = json!({ "records": "data", "paginate": paginate, "total": total });
        let api = Api::new(items, move |request| {
            seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(60));
            now.fetch_sub(1, Ordering::SeqCst);
            let from = match request.parameter("page") {
                Some(_) => (number(request, "page") - 1) * 5,
                None => number(request, "offset"),
            };
            let data = ids(slice(from, 5));
            HttpAnswer::json(format!("{{\"data\":{data},\"pages\":5,\"total\":25}}"))
        })
        .option("limits", json!({ "connections": 3 }));
        assert_eq!(api.rows().await.unwrap(), rows(0..25), "{paginate}");
        let most = most.load(Ordering::SeqCst);
        assert!((2..=3).contains(&most), "{paginate}: {most}");
    }
}

#[tokio::test]
async fn a_number_of_pages_that_changes_while_they_are_read_is_followed() {
    for (said, last) in [(2, 5), (9, 3)] {
        let items = json!({ "records": "data", "paginate": { "type": "page", "pages": "pages" } });
        let api = Api::new(items, move |request| {
            let page = number(request, "page");
            let pages = if page == 1 { said } else { last };
            let data = ids(slice((page - 1) * 5, 5));
            HttpAnswer::json(format!("{{\"data\":{data},\"pages\":{pages}}}"))
        });
        assert_eq!(api.rows().await.unwrap(), rows(0..last * 5), "{said}");
    }
}
