//! Endpoints that depend on the records of others: one listing for each, none twice, none elsewhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::json;
use towpath_ports::{Memory, ReservedMemory};
use towpath_testkit::http::HttpAnswer;
use towpath_vocab::{Failure, Remedy};

use crate::{Api, by_cursor, ids, number, rows, table};

#[tokio::test]
async fn an_endpoint_is_read_for_each_record_of_another() {
    let api = Api::new(json!({ "paginate": { "type": "page", "size": 2 } }), |request| {
        let (path, page) = (request.path(), number(request, "page"));
        match (path, page) {
            ("/v1/items", 1) => HttpAnswer::json("[{\"id\":\"a/1\"},{\"id\":\"b\"}]"),
            ("/v1/items", 2) => HttpAnswer::json("[{\"id\":\"c\"}]"),
            ("/v1/items", 3) => HttpAnswer::json("[]"),
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

#[tokio::test]
async fn a_parent_that_comes_twice_gives_its_children_once() {
    // Record 2 moved to the next page while pages were read.
    let api = Api::new(
        json!({ "paginate": { "type": "page", "size": 2 } }),
        |request| match (request.path(), number(request, "page")) {
            ("/v1/items", 1) => HttpAnswer::json(ids([1, 2])),
            ("/v1/items", 2) => HttpAnswer::json(ids([2, 3])),
            ("/v1/items", _) => HttpAnswer::json("[]"),
            (path, _) => {
                let id = path.rsplit('/').next().unwrap();
                HttpAnswer::json(format!("[{{\"line\":{id}0}}]"))
            }
        },
    )
    .table(
        "lines",
        json!({ "path": "lines/{items.id}", "include": { "item": "items.id" } }),
    );
    let mut lines = api.read(&table("lines"), None).await.unwrap().rows;
    lines.sort();
    let line = |id: u64| format!("{{\"item\":\"{id}\",\"line\":\"{id}0\"}}");
    assert_eq!(lines, [line(1), line(2), line(3)]);
    assert_eq!(api.asked("/v1/lines/2").len(), 1);
}

#[tokio::test]
async fn a_parent_is_listed_whole_when_its_child_is_read_by_a_cursor() {
    let api = Api::new(
        json!({ "params": { "since": "{cursor}" } }),
        |request| match request.path() {
            "/v1/items" if request.parameter("since").is_some() => HttpAnswer::json("[]"),
            "/v1/items" => HttpAnswer::json(ids([1, 2])),
            path => {
                let item: u64 = path.rsplit('/').next().unwrap().parse().unwrap();
                let since = number(request, "after");
                HttpAnswer::json(format!("[{{\"item\":{item},\"n\":{}}}]", since + item))
            }
        },
    )
    .table(
        "lines",
        json!({ "path": "lines/{items.id}", "params": { "after": "{cursor}" } }),
    );
    let spec = by_cursor("lines", "n", 0);
    let first = api.read(&spec, None).await.unwrap();
    let second = api.read(&spec, Some(&first.position)).await.unwrap();
    assert_eq!((first.rows.len(), second.rows.len()), (2, 2));
    assert!(
        api.asked("/v1/items")
            .iter()
            .all(|one| one.target == "/v1/items")
    );
    assert_eq!(api.asked("/v1/lines/1")[1].parameter("after"), Some("1"));
    assert_eq!(api.asked("/v1/lines/2")[1].parameter("after"), Some("2"));
    // What cannot be listed without a cursor is no parent.
    let api = Api::new(json!({ "path": "items/{cursor}" }), |_| {
        HttpAnswer::json("[]")
    })
    .table("lines", json!({ "path": "lines/{items.id}" }));
    let failure = api.read(&table("lines"), None).await.unwrap_err();
    assert_eq!(failure.code, "R0350");
}

#[tokio::test]
async fn an_id_of_dots_does_not_leave_its_path() {
    for dots in ["..", ".", "%2e%2e/x"] {
        let api = Api::new(json!({}), move |request| match request.path() {
            "/v1/items" => HttpAnswer::json(format!("[{{\"id\":\"{dots}\"}}]")),
            "/v1/items/%252e%252e%2Fx/lines" => HttpAnswer::json(ids([7])),
            other => HttpAnswer::new(500, other),
        })
        .option("retries", json!(0))
        .table("lines", json!({ "path": "items/{items.id}/lines" }));
        let read = api.read(&table("lines"), None).await;
        match dots {
            "%2e%2e/x" => assert_eq!(read.unwrap().rows, rows([7])),
            _ => {
                assert_eq!(read.unwrap_err().code, "R0374", "{dots}");
                assert_eq!(api.server.requests().len(), 1, "{dots}");
            }
        }
    }
    for path in ["../x", "a/./b", "a/%2E%2e/b"] {
        let api = Api::new(json!({ "path": path }), |_| HttpAnswer::json("[]"));
        assert_eq!(api.failure().await.code, "R0350", "{path}");
    }
}

#[tokio::test]
async fn a_look_asks_for_a_few_parents_only() {
    let api = Api::new(
        json!({ "paginate": { "type": "page", "size": 10 } }),
        |request| match request.path() {
            "/v1/items" => {
                let from = (number(request, "page") - 1) * 10;
                HttpAnswer::json(ids(from..(from + 10).min(1000)))
            }
            _ => HttpAnswer::json("[{\"line\":1}]"),
        },
    )
    .table("a_lines", json!({ "path": "lines/{items.id}" }));
    let discover = api.discover();
    let found = discover.describe("a_lines").await.unwrap();
    assert_eq!(found.schema.fields().len(), 1);
    let asked = api.server.requests().len();
    assert!(asked <= 6, "{asked}");
    // A test asks one page of an endpoint that depends on no other.
    discover.test().await.unwrap();
    assert_eq!(api.server.requests().len(), asked + 1);
    let mut sample = table("a_lines");
    sample.limit = Some(3);
    let before = api.asked("/v1/items").len();
    assert_eq!(api.read(&sample, None).await.unwrap().rows.len(), 3);
    let parents = api.asked("/v1/items").len() - before;
    assert_eq!(api.server.requests().len() - asked - 1 - parents, 3);
}

#[tokio::test]
async fn listings_that_failed_are_asked_for_again_alone() {
    let is_well = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let state = std::sync::Arc::clone(&is_well);
    let api = Api::new(json!({}), move |request| {
        let page = number(request, "page");
        let is_well = state.load(std::sync::atomic::Ordering::SeqCst);
        match (request.path(), page) {
            ("/v1/items", _) => HttpAnswer::json(ids([1, 2, 3])),
            ("/v1/lines/2", 2) if !is_well => HttpAnswer::new(500, "broken"),
            (path, 1 | 2) => {
                let item = path.rsplit('/').next().unwrap();
                HttpAnswer::json(format!("[{{\"id\":{item}{page},\"n\":{item}{page}}}]"))
            }
            _ => HttpAnswer::json("[]"),
        }
    })
    .option("retries", json!(0))
    .table(
        "lines",
        json!({
            "path": "lines/{items.id}",
            "params": { "after": "{cursor}" },
            "paginate": { "type": "page" },
            "failed_listings": "next_run",
        }),
    );
    let spec = by_cursor("lines", "n", 0);
    let sorted = |read: crate::Read| {
        let mut rows = read.rows;
        rows.sort();
        rows
    };
    let row = |id: u64| format!("{{\"id\":\"{id}\",\"n\":\"{id}\"}}");
    let source = api.source().unwrap();
    let notes = source.open(&spec, None).await.unwrap().notes().join(" ");
    assert!(
        notes.contains("`lines`") && notes.contains("R0356"),
        "{notes}"
    );
    // Of the listing that failed on its second page there is no row.
    let first = api.read(&spec, None).await.unwrap();
    let position = first.position.clone();
    assert_eq!(sorted(first), [row(11), row(12), row(31), row(32)]);
    let again = api.read(&spec, Some(&position)).await.unwrap();
    assert_eq!(again.position, position);
    is_well.store(true, std::sync::atomic::Ordering::SeqCst);
    let before = api.asked("/v1/lines/2").len();
    let second = api.read(&spec, Some(&position)).await.unwrap();
    let asked = &api.asked("/v1/lines/2")[before];
    assert_eq!(asked.parameter("after"), None, "{asked:?}");
    assert_eq!(
        api.asked("/v1/lines/3").last().unwrap().parameter("after"),
        Some("31")
    );
    assert!(sorted(second.clone()).contains(&row(22)));
    let third = api.read(&spec, Some(&second.position)).await.unwrap();
    assert!(
        api.asked("/v1/lines/2")
            .last()
            .unwrap()
            .parameter("after")
            .is_some(),
        "{third:?}"
    );
}

#[tokio::test]
async fn an_api_where_everything_fails_is_no_partial_success() {
    let api = || {
        Api::new(json!({}), |request| match request.path() {
            "/v1/items" => HttpAnswer::json(ids(0..5)),
            _ => HttpAnswer::new(403, "no"),
        })
    };
    let lines = json!({
        "path": "lines/{items.id}",
        "params": { "after": "{cursor}" },
        "failed_listings": "next_run",
    });
    let api = api().table("lines", lines);
    let failure = api
        .read(&by_cursor("lines", "n", 0), None)
        .await
        .unwrap_err();
    assert_eq!(failure.code, "R0353");
    // A read without a cursor has no place to keep what failed.
    let failure = api.read(&table("lines"), None).await.unwrap_err();
    assert_eq!(failure.code, "R0350");
    let alone = Api::new(json!({ "failed_listings": "next_run" }), |_| {
        HttpAnswer::json("[]")
    });
    assert_eq!(alone.failure().await.code, "R0350");
}

/// Bytes of each holder now, and the most there were.
type Holders = Arc<Mutex<BTreeMap<String, (u64, u64)>>>;

/// A budget whose waits end at once.
struct Tight {
    limit: u64,
    holders: Holders,
}

struct Lease {
    holder: String,
    bytes: u64,
    holders: Holders,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut holders = self.holders.lock().unwrap();
        holders.get_mut(&self.holder).unwrap().0 -= self.bytes;
    }
}

#[async_trait::async_trait]
impl Memory for Tight {
    fn limit_bytes(&self) -> u64 {
        self.limit
    }

    async fn hold(&self, _: u64) -> ReservedMemory {
        panic!("nobody ends this wait")
    }

    async fn lease(&self, holder: &str, bytes: u64) -> towpath_ports::Result<ReservedMemory> {
        let mut holders = self.holders.lock().unwrap();
        let used: u64 = holders.values().map(|(now, _)| now).sum();
        if used + bytes > self.limit {
            return Err(Failure::new("R0727", Remedy::FixConfig, holder));
        }
        let (now, most) = holders.entry(holder.to_owned()).or_default();
        *now += bytes;
        *most = (*most).max(*now);
        Ok(Box::new(Lease {
            holder: holder.to_owned(),
            bytes,
            holders: Arc::clone(&self.holders),
        }))
    }
}

#[tokio::test]
async fn what_stays_of_parents_is_counted_once() {
    // Each parent comes on both pages.
    let page = |numbers: &mut dyn Iterator<Item = u64>| {
        let records = numbers.map(|id| format!("{{\"id\":\"{id:0100}\"}}"));
        format!("[{}]", records.collect::<Vec<_>>().join(","))
    };
    let mut api = Api::new(
        json!({ "paginate": { "type": "page" } }),
        move |request| match (request.path(), number(request, "page")) {
            ("/v1/items", 1) => HttpAnswer::json(page(&mut (0..20_000))),
            ("/v1/items", 2) => HttpAnswer::json(page(&mut (0..20_000).rev())),
            ("/v1/items", _) => HttpAnswer::json("[]"),
            _ => HttpAnswer::json("[{\"n\":1}]"),
        },
    )
    .table("lines", json!({ "path": "items/{items.id}/lines" }));
    let holders = Holders::default();
    let memory = |limit| {
        Arc::new(Tight {
            limit,
            holders: Arc::clone(&holders),
        })
    };
    let mut spec = table("lines");
    spec.limit = Some(1);
    api.context.memory = memory(1 << 30);
    assert_eq!(api.read(&spec, None).await.unwrap().rows.len(), 1);
    let of_parents = |(name, (_, most)): (&String, &(u64, u64))| {
        let is_theirs = name == "values of parents of connection `api`";
        is_theirs.then_some(most >> 20)
    };
    let most = holders.lock().unwrap().iter().find_map(of_parents).unwrap();
    assert!((7..12).contains(&most), "{most} MB");
    assert!(holders.lock().unwrap().values().all(|(now, _)| *now == 0));
    // A wait for memory that nobody returns ends.
    for limit in [8 << 20, 1] {
        api.context.memory = memory(limit);
        assert_eq!(api.read(&spec, None).await.unwrap_err().code, "R0727");
    }
}
