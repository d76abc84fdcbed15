//! A read is complete or a failure: nothing that is missing, wrong or null ends it early.

use serde_json::{Value, json};
use towpath_testkit::http::{HttpAnswer, HttpRequest};

use crate::{Api, ids, number, rows};

/// An endpoint whose every page is this.
fn always(items: Value, body: &str) -> Api {
    let body = body.to_owned();
    Api::new(items, move |_| HttpAnswer::json(body.clone()))
}

fn paged(paginate: Value) -> Value {
    json!({ "records": "data", "paginate": paginate })
}

#[tokio::test]
async fn a_field_that_is_not_there_does_not_end_a_read() {
    let two = ids(0..2);
    let body = format!("{{\"data\":{two},\"meta\":{{\"next\":\"x\"}},\"more\":\"perhaps\"}}");
    for paginate in [
        json!({ "type": "cursor", "at": "meta.nxt" }),
        json!({ "type": "cursor", "at": "meta" }),
        json!({ "type": "next_url", "at": "links.next" }),
        json!({ "type": "last_record", "param": "after", "at": "key" }),
        json!({ "type": "page", "more": "has_more" }),
        json!({ "type": "page", "more": "more" }),
        json!({ "type": "page", "pages": "meta.pages" }),
        json!({ "type": "page", "pages": "more" }),
        json!({ "type": "offset", "size": 5, "more": "meta" }),
    ] {
        let failure = always(paged(paginate.clone()), &body).failure().await;
        assert_eq!(failure.code, "R0372", "{paginate}: {failure:?}");
    }
}

#[tokio::test]
async fn an_api_may_leave_fields_out_of_its_last_page() {
    let cursor = |more: Value| {
        let mut paginate = json!({ "type": "cursor", "at": "nextPageToken", "param": "t" });
        paginate
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        paged(paginate)
    };
    let pages = |last: u64| {
        move |request: &HttpRequest| {
            let page = number(request, "t");
            let token = match page < last {
                true => format!(",\"nextPageToken\":\"{}\"", page + 1),
                false => String::new(),
            };
            HttpAnswer::json(format!("{{\"data\":{}{token}}}", ids([page])))
        }
    };
    let two = Api::new(cursor(json!({})), pages(2));
    assert_eq!(two.rows().await.unwrap(), rows(0..3));
    let failure = Api::new(cursor(json!({})), pages(0)).failure().await;
    assert_eq!(failure.code, "R0372");
    assert!(
        failure.help[0].contains("absent_at_end: true"),
        "{failure:?}"
    );
    let said = Api::new(cursor(json!({ "absent_at_end": true })), pages(0));
    assert_eq!(said.rows().await.unwrap(), rows([0]));
}

#[tokio::test]
async fn a_response_that_says_there_is_more_is_not_the_last() {
    let two = ids(0..2);
    for (paginate, more) in [
        (
            json!({ "type": "cursor", "at": "next", "more": "has_more" }),
            "\"next\":null,\"has_more\":true",
        ),
        (
            json!({ "type": "cursor", "at": "next" }),
            "\"next\":null,\"has_more\":true",
        ),
        (
            json!({ "type": "cursor", "at": "next" }),
            "\"next\":\"\",\"links\":{\"next\":\"/v1/x\"}",
        ),
        (
            json!({ "type": "next_url", "at": "next" }),
            "\"next\":null,\"next_cursor\":\"abc\"",
        ),
        (
            json!({ "type": "link_header" }),
            "\"next\":\"/v1/items?page=2\"",
        ),
    ] {
        let body = format!("{{\"data\":{two},{more}}}");
        let failure = always(paged(paginate.clone()), &body).failure().await;
        assert_eq!(failure.code, "R0373", "{paginate}: {failure:?}");
    }
    let body = "{\"data\":[],\"has_more\":true}";
    let last = paged(json!({ "type": "last_record", "param": "after", "more": "has_more" }));
    assert_eq!(always(last, body).failure().await.code, "R0373");
    // What the project says of the end counts.
    let said = paged(json!({ "type": "cursor", "at": "next", "more": "more" }));
    let body = format!("{{\"data\":{two},\"next\":\"x\",\"more\":false,\"has_more\":true}}");
    assert_eq!(always(said, &body).rows().await.unwrap(), rows(0..2));
}

#[tokio::test]
async fn a_short_page_that_names_a_next_one_is_not_the_last() {
    let items = json!({ "records": "data", "paginate": { "type": "page", "size": 2 } });
    let api = Api::new(items, |request| {
        let page = number(request, "page");
        let (records, next) = match page {
            1 => (ids([1, 2]), "\"/v1/items?page=2\""),
            2 => (ids([3]), "\"/v1/items?page=3\""),
            3 => (ids([4, 5]), "null"),
            _ => (ids([]), "null"),
        };
        HttpAnswer::json(format!("{{\"data\":{records},\"next\":{next}}}"))
    });
    assert_eq!(api.rows().await.unwrap(), rows(1..6));
}

#[tokio::test]
async fn numbered_pages_end_where_a_count_in_them_says_so() {
    // The last page need not repeat the count.
    for (count, last, is_whole) in [
        (57, "{\"data\":[],\"meta\":{\"total\":57}}", false),
        (57, "{\"data\":[]}", false),
        (5, "{\"data\":[]}", true),
        // Records went while the pages were read.
        (57, "{\"data\":[],\"meta\":{\"total\":4}}", true),
    ] {
        let answer = move |request: &HttpRequest| {
            let records = match number(request, "page") {
                1 => ids(0..3),
                2 => ids(3..5),
                _ => return HttpAnswer::json(last),
            };
            HttpAnswer::json(format!(
                "{{\"data\":{records},\"meta\":{{\"total\":{count}}}}}"
            ))
        };
        let api = Api::new(paged(json!({ "type": "page", "size": 3 })), answer);
        match is_whole {
            true => assert_eq!(api.rows().await.unwrap(), rows(0..5), "{count} {last}"),
            false => assert_eq!(api.failure().await.code, "R0373", "{count} {last}"),
        }
    }
}

#[tokio::test]
async fn an_empty_numbered_page_that_names_a_next_one_is_not_the_last() {
    for paginate in [
        json!({ "type": "page" }),
        json!({ "type": "page", "size": 2 }),
        json!({ "type": "offset", "size": 2 }),
    ] {
        let api = Api::new(paged(paginate.clone()), |request| {
            match number(request, "page").max(number(request, "offset")) {
                0 | 1 => HttpAnswer::json(format!("{{\"data\":{}}}", ids(0..2))),
                _ => HttpAnswer::json("{\"data\":[],\"next\":\"/v1/items?page=3\"}"),
            }
        });
        assert_eq!(api.failure().await.code, "R0373", "{paginate}");
    }
}

#[tokio::test]
async fn a_table_without_paginate_believes_no_part() {
    for more in [
        "\"total\":57",
        "\"meta\":{\"total_count\":3}",
        "\"nextPageToken\":\"abc\"",
        "\"has_more\":true",
        "\"next_page\":2",
    ] {
        let body = format!("{{\"items\":{},{more}}}", ids(0..2));
        let failure = always(json!({}), &body).failure().await;
        assert_eq!(failure.code, "R0362", "{more}: {failure:?}");
        let single = json!({ "paginate": { "type": "single" } });
        assert_eq!(always(single, &body).rows().await.unwrap(), rows(0..2));
    }
    for more in [
        "\"has_more\":true",
        "\"pageInfo\":{\"hasNextPage\":true}",
        "\"total\":3",
    ] {
        let inner = format!("{{\"result\":{{\"items\":{},{more}}}}}", ids(0..2));
        let failure = always(json!({ "records": "result.items" }), &inner)
            .failure()
            .await;
        assert_eq!(failure.code, "R0362", "{more}: {failure:?}");
    }
    // Members of a record are no signs.
    let record = always(json!({ "records": "$" }), "{\"id\":7,\"total\":57}");
    assert_eq!(record.rows().await.unwrap().len(), 1);
    let whole = format!("{{\"items\":{},\"total\":2,\"next\":null}}", ids(0..2));
    assert_eq!(always(json!({}), &whole).rows().await.unwrap(), rows(0..2));
}

#[tokio::test]
async fn not_found_is_the_end_only_while_the_page_before_is_there() {
    let gone = std::sync::atomic::AtomicBool::new(false);
    let api = Api::new(json!({ "paginate": { "type": "page" } }), move |request| {
        if number(request, "page") == 2 {
            gone.store(true, std::sync::atomic::Ordering::SeqCst);
        }
        match gone.load(std::sync::atomic::Ordering::SeqCst) {
            true => HttpAnswer::new(404, "no such route"),
            false => HttpAnswer::json(ids(0..5)),
        }
    });
    assert_eq!(api.failure().await.code, "R0354");
    // Nor where the page before says that there are more.
    for (paginate, more) in [
        (json!({ "type": "page", "more": "more" }), "true"),
        (json!({ "type": "page", "pages": "more" }), "9"),
        (json!({ "type": "page" }), "1,\"next\":\"/v1/items?page=2\""),
    ] {
        let api = Api::new(paged(paginate.clone()), move |request| {
            match number(request, "page") {
                1 => HttpAnswer::json(format!("{{\"data\":{},\"more\":{more}}}", ids(0..2))),
                _ => HttpAnswer::new(404, "no such page"),
            }
        });
        assert_eq!(api.failure().await.code, "R0354", "{paginate}");
    }
}

/// Two records and what is beside them, then an answer without content.
fn then_nothing(paginate: &Value, beside: &'static str, status: u16) -> Api {
    let asked = std::sync::atomic::AtomicBool::new(false);
    Api::new(paged(paginate.clone()), move |_| {
        match asked.swap(true, std::sync::atomic::Ordering::SeqCst) {
            false => HttpAnswer::json(format!("{{\"data\":{}{beside}}}", ids(0..2))),
            true => HttpAnswer::new(status, ""),
        }
    })
}

#[tokio::test]
async fn no_content_behind_a_page_that_promises_more_is_not_the_end() {
    for (paginate, beside) in [
        (
            json!({ "type": "cursor", "at": "next" }),
            ",\"next\":\"abc\"",
        ),
        (
            json!({ "type": "next_url", "at": "next" }),
            ",\"next\":\"/v1/items?page=2\"",
        ),
        (
            json!({ "type": "last_record", "param": "after" }),
            ",\"has_more\":true",
        ),
        (
            json!({ "type": "last_record", "param": "after", "more": "more" }),
            ",\"more\":true",
        ),
        (json!({ "type": "page", "more": "more" }), ",\"more\":true"),
        (json!({ "type": "page", "pages": "pages" }), ",\"pages\":2"),
        (json!({ "type": "page" }), ",\"next\":\"/v1/items?page=2\""),
        (
            json!({ "type": "page", "size": 2 }),
            ",\"next\":\"/v1/items?page=2\"",
        ),
        (json!({ "type": "page", "size": 2 }), ",\"total\":3"),
    ] {
        for status in [204, 205] {
            let api = then_nothing(&paginate, beside, status);
            assert_eq!(api.failure().await.code, "R0373", "{paginate}: {status}");
        }
    }
    let linked = json!({ "paginate": { "type": "link_header" } });
    let api = Api::new(linked, |request| match number(request, "page") {
        2 => HttpAnswer::new(204, ""),
        _ => HttpAnswer::json(ids(0..2)).header("link", "<?page=2>; rel=\"next\""),
    });
    assert_eq!(api.failure().await.code, "R0373");
    for (paginate, beside) in [
        (json!({ "type": "page" }), ""),
        (json!({ "type": "last_record", "param": "after" }), ""),
        (
            json!({ "type": "last_record", "param": "after" }),
            ",\"has_more\":false",
        ),
        (json!({ "type": "page", "size": 2 }), ",\"total\":2"),
        (
            json!({ "type": "page", "ignore_count": true }),
            ",\"total\":57",
        ),
        (json!({ "type": "offset", "size": 2 }), ",\"next\":null"),
    ] {
        let api = then_nothing(&paginate, beside, 204);
        assert_eq!(api.rows().await.unwrap(), rows(0..2), "{paginate}");
    }
}

/// Two records, a count of the whole table beside them, and nothing behind them.
fn counting(items: Value, behind: fn() -> HttpAnswer) -> Api {
    Api::new(items, move |request| match number(request, "page") {
        1 => HttpAnswer::json(format!("{{\"data\":{},\"total\":57}}", ids(0..2))),
        _ => behind(),
    })
}

#[tokio::test]
async fn a_count_of_other_records_is_left_alone_where_the_project_says_so() {
    let nothing = || HttpAnswer::json("{\"data\":[],\"total\":57}");
    let gone = || HttpAnswer::new(404, "no such page");
    for (behind, code) in [(nothing as fn() -> HttpAnswer, "R0373"), (gone, "R0354")] {
        let failure = counting(paged(json!({ "type": "page" })), behind)
            .failure()
            .await;
        assert_eq!(failure.code, code);
        let help = failure.help.join("\n");
        assert!(help.contains("`ignore_count: true`"), "{failure:?}");
        let said = paged(json!({ "type": "page", "size": 3, "ignore_count": true }));
        assert_eq!(counting(said, behind).rows().await.unwrap(), rows(0..2));
    }
    let mut compared = paged(json!({ "type": "page" }));
    compared["total"] = "total".into();
    let failure = counting(compared.clone(), nothing).failure().await;
    assert_eq!(failure.code, "R0363");
    assert!(
        failure.help[0].contains("`ignore_count: true`"),
        "{failure:?}"
    );
    // What is compared cannot be ignored too.
    compared["paginate"]["ignore_count"] = true.into();
    assert_eq!(counting(compared, nothing).failure().await.code, "R0350");
    // A count of pages is of the request.
    let pages = json!({ "type": "page", "pages": "pages", "ignore_count": true });
    let api = always(
        paged(pages),
        &format!("{{\"data\":{},\"total\":57,\"pages\":1}}", ids(0..2)),
    );
    assert_eq!(api.rows().await.unwrap(), rows(0..2));
}

/// Full pages of two records, then a refusal; `gone` refuses all once a page behind the last was asked for.
fn refusing(paginate: &Value, status: u16, gone: bool) -> Api {
    let is_behind = std::sync::atomic::AtomicBool::new(false);
    Api::new(paged(paginate.clone()), move |request| {
        let by_page = request.parameter("page").is_some();
        let from = match by_page {
            true => (number(request, "page") - 1) * 2,
            false => number(request, "offset").max(number(request, "after")),
        };
        let order = std::sync::atomic::Ordering::SeqCst;
        if from >= 4 {
            is_behind.store(true, order);
        }
        match from >= 4 || gone && is_behind.load(order) {
            true => HttpAnswer::new(status, "there is no such page"),
            false => {
                let records = match request.parameter("after") {
                    None if !by_page && from == 0 => ids(1..3),
                    _ => ids(from + 1..from + 3),
                };
                HttpAnswer::json(format!("{{\"data\":{records}}}"))
            }
        }
    })
}

#[tokio::test]
async fn a_refusal_behind_the_last_page_is_the_end_where_the_project_says_so() {
    for (mut paginate, status) in [
        (json!({ "type": "page", "size": 2 }), 400),
        (json!({ "type": "page", "size": 2 }), 404),
        (json!({ "type": "page" }), 422),
        (json!({ "type": "offset", "size": 2 }), 400),
        (json!({ "type": "last_record", "param": "after" }), 404),
    ] {
        let failure = refusing(&paginate, status, false).failure().await;
        let help = failure.help.join("\n");
        let way = format!("`end_status: {status}` in `paginate`");
        assert!(help.contains(&way), "{paginate}: {failure:?}");
        paginate["end_status"] = status.into();
        let api = refusing(&paginate, status, false);
        assert_eq!(api.rows().await.unwrap(), rows(1..5), "{paginate}");
        // Not where the page before is gone too, and not as the first answer.
        let failure = refusing(&paginate, status, true).failure().await;
        assert!(failure.code.starts_with("R035"), "{failure:?}");
        let api = Api::new(paged(paginate), move |_| HttpAnswer::new(status, "no"));
        let failure = api.failure().await;
        assert!(
            !failure.help.join("\n").contains("end_status"),
            "{failure:?}"
        );
    }
    // Nor where the page before says that there are more.
    let said = paged(json!({ "type": "page", "end_status": 400 }));
    let api = Api::new(said, |request| match number(request, "page") {
        1 => HttpAnswer::json(format!("{{\"data\":{},\"has_more\":true}}", ids(0..2))),
        _ => HttpAnswer::new(400, "no"),
    });
    assert_eq!(api.failure().await.code, "R0355");
}

#[tokio::test]
async fn what_cannot_be_the_end_is_refused() {
    for paginate in [
        json!({ "type": "page", "end_status": 401 }),
        json!({ "type": "page", "end_status": 403 }),
        json!({ "type": "page", "end_status": 429 }),
        json!({ "type": "page", "end_status": 500 }),
        json!({ "type": "page", "end_status": 200 }),
        json!({ "type": "page", "end_status": 70_000 }),
        json!({ "type": "page", "end_status": 404, "more": "more" }),
        json!({ "type": "page", "end_status": 404, "pages": "pages" }),
        json!({ "type": "page", "ignore_count": true, "more": "more" }),
        json!({ "type": "page", "ignore_count": 1 }),
    ] {
        let failure = always(paged(paginate.clone()), "{\"data\":[]}")
            .failure()
            .await;
        assert_eq!(failure.code, "R0350", "{paginate}: {failure:?}");
    }
}

#[tokio::test]
async fn null_is_no_empty_list() {
    let body = "{\"data\":null,\"errors\":[\"timeout\"]}";
    let failure = always(json!({ "records": "data" }), body).failure().await;
    assert_eq!(failure.code, "R0360");
    assert!(
        failure.help[0].contains("records_may_be_null"),
        "{failure:?}"
    );
    let items =
        json!({ "records": "data", "records_may_be_null": true, "paginate": { "type": "page" } });
    let api = Api::new(items, |request| match number(request, "page") {
        1 => HttpAnswer::json(format!("{{\"data\":{}}}", ids(0..2))),
        _ => HttpAnswer::json("{\"data\":null}"),
    });
    assert_eq!(api.rows().await.unwrap(), rows(0..2));
}

#[tokio::test]
async fn the_array_of_records_is_chosen_once() {
    let paginate = json!({ "paginate": { "type": "page" } });
    let second = |body: &'static str| {
        Api::new(paginate.clone(), move |request| {
            match number(request, "page") {
                1 => HttpAnswer::json(format!("{{\"items\":{}}}", ids(0..2))),
                2 => HttpAnswer::json(body),
                _ => HttpAnswer::json("{\"items\":[]}"),
            }
        })
    };
    for other in [
        "{\"warnings\":[{\"id\":9}]}",
        "{\"items\":null,\"warnings\":[{\"id\":9}]}",
        "[{\"id\":9}]",
        "{\"items\":{\"id\":9}}",
    ] {
        assert_eq!(second(other).failure().await.code, "R0360", "{other}");
    }
    let beside = second("{\"items\":[],\"warnings\":[{\"id\":9}]}");
    assert_eq!(beside.rows().await.unwrap(), rows(0..2));
    // Where the first page leaves it open, nothing is guessed.
    let open = "{\"data\":[],\"warnings\":[{\"id\":9}]}";
    assert_eq!(always(json!({}), open).failure().await.code, "R0360");
}

#[tokio::test]
async fn pages_without_a_record_come_to_an_end() {
    let items = paged(json!({ "type": "page", "more": "has_more" }));
    let api = always(items, "{\"data\":[],\"has_more\":true}");
    assert_eq!(api.failure().await.code, "R0361");
    assert!(api.server.requests().len() < 1_100);
}
