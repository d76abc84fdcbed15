//! Reads that go on where the last one ended: what changes while pages are read is read again.

use std::collections::BTreeMap;
use std::sync::Mutex;

use chrono::{NaiveDate, TimeDelta, Utc};
use serde_json::{Value, json};
use towpath_testkit::http::HttpAnswer;
use towpath_vocab::{Position, SplitPosition};

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
async fn a_record_that_changes_while_pages_are_read_is_read_again() {
    // Records by `id`, two on a page; `n` counts changes. Record 1 changes behind the read, and a later
    // change of record 4 is on the last page.
    let changes = Mutex::new(BTreeMap::from([(1, 1), (2, 2), (3, 3), (4, 4)]));
    let items = json!({
        "params": { "since": "{cursor}" },
        "paginate": { "type": "page", "size": 2 },
    });
    let api = Api::new(items, move |request| {
        let mut changes = changes.lock().unwrap();
        let (page, since) = (number(request, "page"), number(request, "since"));
        if page == 2 {
            changes.extend([(1, 5), (4, 6)]);
        }
        let skipped = usize::try_from((page - 1) * 2).unwrap();
        let found = changes.iter().filter(|(_, n)| **n >= since);
        let found = found.skip(skipped).take(2);
        let found: Vec<String> = found
            .map(|(id, n)| format!("{{\"id\":{id},\"n\":{n}}}"))
            .collect();
        HttpAnswer::json(format!("[{}]", found.join(",")))
    });
    let spec = by_cursor("items", "n", 0);
    let first = api.read(&spec, None).await.unwrap();
    let second = api.read(&spec, Some(&first.position)).await.unwrap();
    let changed = "{\"id\":\"1\",\"n\":\"5\"}".to_owned();
    assert!(!first.rows.contains(&changed), "{first:?}");
    assert!(second.rows.contains(&changed), "{second:?}");
}

/// Where the second read of three pages begins; the last record is of a moment after the first request.
async fn begin_of_the_second_read(paginate: serde_json::Value) -> String {
    let items = json!({
        "records": "data",
        "params": { "since": "{cursor}" },
        "paginate": paginate,
    });
    let api = Api::new(items, |request| {
        let page = request
            .parameter("page")
            .map_or(1, |_| number(request, "page"));
        let at = match page {
            1 => "2026-01-01T09:00:00Z",
            2 => "2026-01-01T11:00:00Z",
            3 => "2026-01-01T12:00:20Z",
            _ => return HttpAnswer::json("{\"data\":[],\"next\":null}"),
        };
        let next = page + 1;
        HttpAnswer::json(format!(
            "{{\"data\":[{{\"at\":\"{at}\"}}],\"next\":{next}}}"
        ))
        .header("date", "Thu, 01 Jan 2026 12:00:00 GMT")
    });
    let spec = by_cursor("items", "at", 0);
    let first = api.read(&spec, None).await.unwrap();
    api.read(&spec, Some(&first.position)).await.unwrap();
    let requests = api.server.requests();
    requests[4].parameter("since").unwrap().to_owned()
}

#[tokio::test]
async fn a_time_after_the_begin_of_a_read_is_not_where_the_next_one_begins() {
    let since =
        begin_of_the_second_read(json!({ "type": "cursor", "param": "page", "at": "next" }));
    let since = since.await;
    assert!(since.starts_with("2026-01-01T11%3A59%3A"), "{since}");
}

#[tokio::test]
async fn on_numbered_pages_only_the_first_one_moves_the_cursor() {
    let since = begin_of_the_second_read(json!({ "type": "page", "size": 1 }));
    let since = since.await;
    assert!(since.starts_with("2026-01-01T09%3A00%3A"), "{since}");
}

#[tokio::test]
async fn a_limited_read_moves_nothing() {
    let api = Api::new(since(), |_| HttpAnswer::json(ids(0..5)));
    let mut spec = by_cursor("items", "id", 0);
    spec.limit = Some(2);
    let first = api.read(&spec, None).await.unwrap();
    assert!(first.position.is_empty(), "{first:?}");
}

/// Two pages with a record each; the first one is of the year 2099.
fn with_a_record_of_the_future(first: &'static str, second: &'static str, date: bool) -> Api {
    let items = json!({
        "records": "data",
        "params": { "since": "{cursor}" },
        "paginate": { "type": "cursor", "param": "c", "at": "next" },
    });
    Api::new(items, move |request| {
        let (at, next) = match request.parameter("c") {
            None => (first, "\"b\""),
            Some(_) => (second, "null"),
        };
        let answer = HttpAnswer::json(format!(
            "{{\"data\":[{{\"at\":\"{at}\"}}],\"next\":{next}}}"
        ));
        match date {
            true => answer.header("date", &Utc::now().to_rfc2822().replace("+0000", "GMT")),
            false => answer,
        }
    })
}

#[tokio::test]
async fn a_record_of_the_future_does_not_lead_the_next_read_past_the_present() {
    for (first, second) in [
        ("2099-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2099-01-01T00:00:00+02:00", "2026-01-01T00:00:00+02:00"),
        ("2099-01-01T00:00:00", "2026-01-01T00:00:00"),
        ("2099-01-01 00:00:00.5", "2026-01-01 00:00:00.5"),
        ("2099-01-01", "2026-01-01"),
    ] {
        for date in [false, true] {
            let api = with_a_record_of_the_future(first, second, date);
            let today = Utc::now().date_naive();
            let spec = by_cursor("items", "at", 0);
            let read = api.read(&spec, None).await.unwrap();
            assert_eq!(read.rows.len(), 2);
            api.read(&spec, Some(&read.position)).await.unwrap();
            let requests = api.server.requests();
            let since = requests[2].parameter("since").unwrap();
            let begin = NaiveDate::parse_from_str(&since[..10], "%Y-%m-%d").unwrap();
            let distance = (begin - today).abs();
            assert!(distance <= TimeDelta::days(1), "{first}: {since}");
        }
    }
}

#[tokio::test]
async fn a_cursor_that_was_stored_in_the_future_is_not_believed() {
    for (first, second, future) in [
        (
            "2026-01-01T00:00:00Z",
            "2026-01-02T00:00:00Z",
            "2099-01-01T00:00:00Z",
        ),
        ("2026-01-01", "2026-01-02", "2099-01-01"),
    ] {
        let api = with_a_record_of_the_future(first, second, false);
        let stored = SplitPosition {
            order: 7,
            resume: json!({ "cursor": future }),
        };
        let stored = Position::single("cursor", stored);
        let spec = by_cursor("items", "at", 0);
        let read = api.read(&spec, Some(&stored)).await.unwrap();
        assert!(read.notes[0].contains(future), "{:?}", read.notes);
        let next = api.read(&spec, Some(&read.position)).await.unwrap();
        assert!(next.notes.is_empty(), "{:?}", next.notes);
        let requests = api.server.requests();
        assert_eq!(requests[0].parameter("since"), None);
        let since = requests[2].parameter("since").unwrap();
        assert!(since.starts_with(&first[..10]), "{since}");
    }
}

/// One record, of this time.
fn stamped(items: Value, at: i64) -> Api {
    Api::new(items, move |_| {
        HttpAnswer::json(format!("[{{\"id\":1,\"at\":{at}}}]"))
            .header("date", "Thu, 01 Jan 2026 12:00:00 GMT")
    })
}

#[tokio::test]
async fn numbers_that_are_times_are_not_of_the_future() {
    // A second less than the server's `Date`, which may have begun earlier.
    let noon = 1_767_268_800;
    for (unit, factor) in [("seconds", 1), ("milliseconds", 1_000)] {
        let items = json!({ "params": { "since": "{cursor}" }, "cursor_epoch": unit });
        let api = stamped(items.clone(), 4_102_444_800 * factor);
        let spec = by_cursor("items", "at", 60);
        let first = api.read(&spec, None).await.unwrap().position;
        api.read(&spec, Some(&first)).await.unwrap();
        let requests = api.server.requests();
        let since = requests[1].parameter("since").unwrap();
        let seconds = since.parse::<i64>().unwrap() / factor;
        assert!((noon - 70..noon - 60).contains(&seconds), "{since}");
        // What was stored before the project said so.
        let stored = SplitPosition {
            order: 7,
            resume: json!({ "cursor": (4_102_444_800_i64 * factor).to_string() }),
        };
        let stored = Position::single("cursor", stored);
        let read = api.read(&spec, Some(&stored)).await.unwrap();
        assert!(read.notes[0].contains("in the future"), "{read:?}");
        // Numbers of another kind.
        let wrong = stamped(items, noon * (1_001 - factor));
        let failure = wrong.read(&spec, None).await.unwrap_err();
        assert_eq!(failure.code, "R0350");
        assert!(failure.message.contains("cursor_epoch"), "{failure:?}");
    }
    let unused = json!({ "cursor_epoch": "seconds" });
    assert_eq!(stamped(unused, noon).failure().await.code, "R0350");
    let unknown = json!({ "params": { "since": "{cursor}" }, "cursor_epoch": "days" });
    assert_eq!(stamped(unknown, noon).failure().await.code, "R0350");
}

/// Numbered pages of two records each. Where `moves`, a record comes first while they are read.
fn shifting(moves: bool) -> Api {
    let items = json!({
        "params": { "since": "{cursor}" },
        "paginate": { "type": "page", "size": 2 },
    });
    Api::new(items, move |request| {
        let first = number(request, "since").max(1);
        let (page, end) = (number(request, "page"), first + 5);
        let moved = u64::from(moves && page > 1);
        let from = first + (page - 1) * 2 - moved;
        HttpAnswer::json(ids(from.min(end)..(from + 2).min(end)))
    })
}

#[tokio::test]
async fn numbered_pages_that_shift_are_noted_and_read_again() {
    let spec = by_cursor("items", "id", 0);
    // Each run goes on from the position before; `since` of its first request.
    for (moves, begins) in [
        (false, [None, Some("2"), Some("3")]),
        (true, [None, None, None]),
    ] {
        let api = shifting(moves);
        let mut position = None;
        for begin in begins {
            let asked = api.server.requests().len();
            let read = api.read(&spec, position.as_ref()).await.unwrap();
            assert_eq!(api.server.requests()[asked].parameter("since"), begin);
            assert_eq!(!read.notes.is_empty(), moves, "{:?}", read.notes);
            position = Some(read.position);
        }
    }
    let read = shifting(true).read(&table("items"), None).await.unwrap();
    assert!(
        read.notes[0].contains("`items` that came on two numbered pages: 1:"),
        "{:?}",
        read.notes
    );
    // A position that is there stays.
    let api = shifting(true);
    let stored = SplitPosition {
        order: 7,
        resume: json!({ "cursor": "3" }),
    };
    let stored = Position::single("cursor", stored);
    let read = api.read(&spec, Some(&stored)).await.unwrap();
    assert_eq!(read.position, stored);
}
