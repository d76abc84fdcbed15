//! Endpoints that depend on others, read by a cursor in several runs: no listing begins behind a record
//! that was not read, whatever its parents and its failures do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use towpath_testkit::http::HttpAnswer;
use towpath_vocab::{Position, SplitPosition};

use crate::{Api, by_cursor, ids};

/// What the server gives now: paths and their JSON; a path that is not there gives its status.
#[derive(Clone, Default)]
struct Given(Arc<Mutex<BTreeMap<String, Answer>>>);

type Answer = Result<String, u16>;

impl Given {
    fn set(&self, path: &str, body: impl Into<String>) {
        self.put(path, Ok(body.into()));
    }

    fn fail(&self, path: &str, status: u16) {
        self.put(path, Err(status));
    }

    fn put(&self, path: &str, given: Answer) {
        self.0.lock().unwrap().insert(path.to_owned(), given);
    }

    /// An API of `items` and their `lines`, which have these options more.
    fn api(&self, more: &Value) -> Api {
        let given = self.clone();
        let api = Api::new(json!({}), move |request| {
            let all = given.0.lock().unwrap();
            let path = request.path().trim_start_matches("/v1/");
            let page = request.parameter("page").filter(|page| *page != "1");
            if let Some(page) = page {
                let given = all.get(&format!("{path}?page={page}"));
                let body = given.map_or("[]", |given| given.as_deref().unwrap());
                return HttpAnswer::json(body.to_owned());
            }
            match all.get(path) {
                Some(Ok(body)) => {
                    HttpAnswer::json(body.clone()).header("date", "Thu, 01 Jan 2026 12:00:00 GMT")
                }
                Some(Err(status)) => HttpAnswer::new(*status, "no"),
                None => HttpAnswer::new(404, "no"),
            }
        });
        api.option("retries", json!(0)).table("lines", lines(more))
    }
}

fn lines(more: &Value) -> Value {
    let mut lines = json!({ "path": "lines/{items.id}", "params": { "after": "{cursor}" } });
    for (name, value) in more.as_object().unwrap() {
        lines[name] = value.clone();
    }
    lines
}

/// What the last request of a listing began at.
fn begin(api: &Api, item: u64) -> Option<String> {
    let asked = api.asked(&format!("/v1/lines/{item}"));
    asked.last().unwrap().parameter("after").map(str::to_owned)
}

fn stored(resume: Value) -> Position {
    Position::single("cursor", SplitPosition { order: 1, resume })
}

fn resume(position: &Position) -> Value {
    position
        .get(&towpath_vocab::SplitId("cursor".into()))
        .unwrap()
        .resume
        .clone()
}

fn at(day: u64) -> String {
    format!("[{{\"id\":{day},\"at\":\"2025-12-{day}T00:00:00Z\"}}]")
}

#[tokio::test]
async fn a_parent_that_appears_late_gives_its_older_children() {
    let given = Given::default();
    given.set("items", ids([1]));
    given.set("lines/1", at(20));
    given.set("lines/2", at(11));
    let (api, spec) = (given.api(&json!({})), by_cursor("lines", "at", 0));
    let first = api.read(&spec, None).await.unwrap().position;
    given.set("items", ids([1, 2]));
    let second = api.read(&spec, Some(&first)).await.unwrap();
    assert_eq!(second.rows.len(), 2);
    assert_eq!(begin(&api, 1).as_deref(), Some("2025-12-20T00%3A00%3A00Z"));
    assert_eq!(begin(&api, 2), None);
    // Times of one clock have one begin.
    let third = api.read(&spec, Some(&second.position)).await.unwrap();
    assert_eq!(begin(&api, 2), begin(&api, 1));
    assert_eq!(third.position, second.position);
    // A parent that went and came again may have changed in between.
    given.set("items", ids([1]));
    let without = api
        .read(&spec, Some(&second.position))
        .await
        .unwrap()
        .position;
    given.set("items", ids([1, 2]));
    api.read(&spec, Some(&without)).await.unwrap();
    assert_eq!(begin(&api, 2), None);
}

#[tokio::test]
async fn numbers_have_a_cursor_for_each_listing() {
    let given = Given::default();
    given.set("items", ids([1, 2, 3]));
    given.set("lines/1", ids([98, 99]));
    given.set("lines/2", ids([3]));
    given.set("lines/3", "[]");
    let (api, spec) = (given.api(&json!({})), by_cursor("lines", "id", 1));
    let first = api.read(&spec, None).await.unwrap().position;
    let second = api.read(&spec, Some(&first)).await.unwrap().position;
    assert_eq!(second, first);
    let begins = [1, 2, 3].map(|item| begin(&api, item));
    assert_eq!(begins, [Some("98".into()), Some("2".into()), None]);
    // A listing that gives nothing new keeps its place.
    given.set("lines/2", "[]");
    let third = api.read(&spec, Some(&second)).await.unwrap().position;
    api.read(&spec, Some(&third)).await.unwrap();
    assert_eq!(begin(&api, 2).as_deref(), Some("2"));
}

#[tokio::test]
async fn numbered_pages_have_a_cursor_for_each_listing() {
    let given = Given::default();
    given.set("items", ids([1, 2]));
    given.set("lines/1", at(20));
    given.set("lines/2", at(11));
    let api = given.api(&json!({ "paginate": { "type": "page", "size": 9 } }));
    let spec = by_cursor("lines", "at", 0);
    let first = api.read(&spec, None).await.unwrap().position;
    api.read(&spec, Some(&first)).await.unwrap();
    assert_eq!(begin(&api, 2).as_deref(), Some("2025-12-11T00%3A00%3A00Z"));
}

#[tokio::test]
async fn a_listing_whose_pages_shift_begins_where_it_began() {
    let given = Given::default();
    given.set("items", ids([1, 2]));
    given.set("lines/1", at(20));
    given.set("lines/2", at(11));
    let api = given.api(&json!({ "paginate": { "type": "page", "size": 9 } }));
    let spec = by_cursor("lines", "at", 0);
    let first = api.read(&spec, None).await.unwrap().position;
    let record = |day: u64| at(day).trim_matches(['[', ']']).to_owned();
    given.set("items", ids([1, 2, 3]));
    given.set("lines/2", format!("[{},{}]", record(16), record(15)));
    given.set("lines/2?page=2", format!("[{},{}]", record(15), record(14)));
    given.set("lines/3", at(17));
    let second = api.read(&spec, Some(&first)).await.unwrap();
    assert!(
        second
            .notes
            .iter()
            .any(|note| note.contains("two numbered pages: 1")),
        "{second:?}"
    );
    api.read(&spec, Some(&second.position)).await.unwrap();
    assert_eq!(begin(&api, 2).as_deref(), Some("2025-12-11T00%3A00%3A00Z"));
    assert_eq!(begin(&api, 3), None);
}

#[tokio::test]
async fn a_cursor_of_the_future_is_not_believed_of_any_listing() {
    let given = Given::default();
    given.set("items", ids([1, 2, 3]));
    for (path, day) in [("lines/1", 20), ("lines/2", 11), ("lines/3", 12)] {
        given.set(path, at(day));
    }
    let next_run = json!({
        "failed_listings": "next_run",
        "paginate": { "type": "page", "size": 9 },
    });
    let (api, spec) = (given.api(&next_run), by_cursor("lines", "at", 0));
    let first = api.read(&spec, None).await.unwrap().position;
    given.fail("lines/3", 500);
    let second = api.read(&spec, Some(&first)).await.unwrap().position;
    let future = |text: String| {
        let text = text.replace("2025-12-11", "2999-12-11");
        stored(serde_json::from_str(&text.replace("2025-12-12", "2999-12-12")).unwrap())
    };
    let wrong = future(resume(&second).to_string());
    let third = api.read(&spec, Some(&wrong)).await.unwrap();
    let begins = [1, 2, 3].map(|item| begin(&api, item));
    assert_eq!(
        begins,
        [Some("2025-12-20T00%3A00%3A00Z".into()), None, None]
    );
    assert!(
        third
            .notes
            .iter()
            .any(|note| note.contains("in the future")),
        "{third:?}"
    );
    assert!(!resume(&third.position).to_string().contains("2999"));
}

#[tokio::test]
async fn a_position_that_does_not_name_its_listings_is_read_from_the_beginning_once() {
    let given = Given::default();
    given.set("items", ids([1, 2]));
    given.set("lines/1", at(20));
    given.set("lines/2", at(11));
    let (api, spec) = (given.api(&json!({})), by_cursor("lines", "at", 0));
    let old = stored(json!({
        "cursor": "2025-12-20T00:00:00Z",
        "failed": [{ "of": { "id": "2" }, "from": "2025-12-15T00:00:00Z" }],
    }));
    let first = api.read(&spec, Some(&old)).await.unwrap();
    assert_eq!((begin(&api, 1), begin(&api, 2)), (None, None));
    assert_eq!(first.rows.len(), 2);
    api.read(&spec, Some(&first.position)).await.unwrap();
    assert!(begin(&api, 1).is_some() && begin(&api, 2).is_some());
}

#[tokio::test]
async fn a_failed_listing_is_the_same_when_its_included_values_change() {
    let given = Given::default();
    let next_run = json!({
        "failed_listings": "next_run",
        "include": { "item": "items.id", "status": "items.status" },
    });
    let items = |status: &str| {
        format!("[{{\"id\":1,\"status\":\"a\"}},{{\"id\":2,\"status\":\"{status}\"}}]")
    };
    given.set("items", items("open"));
    given.set("lines/1", at(20));
    given.set("lines/2", at(11));
    let (api, spec) = (given.api(&next_run), by_cursor("lines", "at", 0));
    let zero = api.read(&spec, None).await.unwrap().position;
    given.fail("lines/2", 500);
    given.set("lines/1", at(25));
    let first = api.read(&spec, Some(&zero)).await.unwrap().position;
    given.set("items", items("paid"));
    given.set("lines/2", at(21));
    let before = api.asked("/v1/lines/2").len();
    let second = api.read(&spec, Some(&first)).await.unwrap();
    // Asked once, from where it had begun before, with the value of now.
    assert_eq!(api.asked("/v1/lines/2").len(), before + 1);
    assert_eq!(begin(&api, 2).as_deref(), Some("2025-12-20T00%3A00%3A00Z"));
    assert!(
        second.rows.iter().any(|row| row.contains("paid")),
        "{second:?}"
    );
    assert_eq!(resume(&second.position).get("failed"), None);
}

#[tokio::test]
async fn a_failed_listing_is_asked_for_when_no_parent_gives_it_and_whatever_the_option_says() {
    let given = Given::default();
    let include = json!({ "item": "items.id", "status": "items.status" });
    given.set(
        "items",
        "[{\"id\":1,\"status\":\"a\"},{\"id\":2,\"status\":\"b\"}]",
    );
    given.set("lines/1", at(20));
    given.fail("lines/2", 500);
    let next_run = json!({ "failed_listings": "next_run", "include": include });
    let (api, spec) = (given.api(&next_run), by_cursor("lines", "at", 0));
    let first = api.read(&spec, None).await.unwrap().position;
    given.set("items", "[{\"id\":1,\"status\":\"a\"}]");
    // It stays while it fails.
    let still = api.read(&spec, Some(&first)).await.unwrap().position;
    assert_eq!(resume(&still)["failed"].as_array().unwrap().len(), 1);
    for include in [json!({ "item": "items.id" }), include] {
        let stop = given.api(&json!({ "include": include }));
        given.fail("lines/2", 500);
        let failure = stop.read(&spec, Some(&still)).await.unwrap_err();
        assert_eq!(failure.code, "R0356");
        given.set("lines/2", at(11));
        let read = stop.read(&spec, Some(&still)).await.unwrap();
        assert_eq!(begin(&stop, 2), None);
        let row = read.rows.iter().find(|row| row.contains("\"item\":\"2\""));
        let status = include.get("status").is_some();
        assert_eq!(
            row.unwrap().contains("\"status\":\"b\""),
            status,
            "{read:?}"
        );
        assert_eq!(resume(&read.position).get("failed"), None);
    }
    // The parent is gone, and so is the listing.
    given.fail("lines/2", 404);
    let gone = api.read(&spec, Some(&still)).await.unwrap().position;
    assert_eq!(resume(&gone).get("failed"), None);
    given.set(
        "items",
        "[{\"id\":1,\"status\":\"a\"},{\"id\":2,\"status\":\"b\"}]",
    );
    given.set("lines/2", at(11));
    assert_eq!(api.read(&spec, Some(&gone)).await.unwrap().rows.len(), 2);
    assert_eq!(begin(&api, 2), None);
}

#[tokio::test]
async fn a_stored_position_that_cannot_be_read_is_a_failure() {
    let given = Given::default();
    given.set("items", "[]");
    let api = given.api(&json!({ "include": { "status": "items.status" } }));
    let spec = by_cursor("lines", "at", 0);
    for wrong in [
        json!({ "failed": [{ "of": { "other": "2" }, "include": {}, "from": null }], "read": {} }),
        json!({ "failed": [{ "of": { "id": "2" }, "include": {}, "from": null }], "read": {} }),
        json!({ "failed": [{ "of": { "id": 2 }, "from": null }], "read": {} }),
        json!({ "failed": [{ "of": { "id": "2", "status": "1" }, "from": 7 }], "read": {} }),
        json!({ "failed": [7], "read": {} }),
        json!({ "failed": {}, "read": {} }),
        json!({ "cursor": 7 }),
        json!({ "read": [] }),
        json!({ "read": { "x": 7 } }),
    ] {
        let failure = api
            .read(&spec, Some(&stored(wrong.clone())))
            .await
            .unwrap_err();
        assert_eq!(failure.code, "R0377", "{wrong}");
        assert!(failure.help[0].contains("--full-refresh"), "{failure:?}");
    }
    assert!(
        api.server
            .requests()
            .iter()
            .all(|one| one.path() == "/v1/items")
    );
}

#[tokio::test]
async fn an_endpoint_that_no_longer_depends_on_another_is_read_from_the_beginning() {
    let given = Given::default();
    given.set("items", "[]");
    given.set("lines", at(11));
    let api = given.api(&json!({ "path": "lines" }));
    let before = stored(json!({ "cursor": "2025-12-20T00:00:00Z", "read": {} }));
    let spec = by_cursor("lines", "at", 0);
    let first = api.read(&spec, Some(&before)).await.unwrap().position;
    api.read(&spec, Some(&first)).await.unwrap();
    let asked = api.asked("/v1/lines");
    assert_eq!(asked[0].parameter("after"), None);
    assert!(asked[1].parameter("after").is_some());
}

#[tokio::test]
async fn more_listings_than_can_be_remembered_are_refused() {
    let given = Given::default();
    given.set("items", ids(0..100_001));
    let api = given.api(&json!({}));
    let failure = api
        .read(&by_cursor("lines", "at", 0), None)
        .await
        .unwrap_err();
    assert_eq!(failure.code, "R0379");
    assert!(failure.help[0].contains("mode: full"), "{failure:?}");
    assert_eq!(api.server.requests().len(), 1);
}
