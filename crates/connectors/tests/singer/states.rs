//! States and versions: what is stored of a read, and what the next one does with it.

use serde_json::json;
use towpath_vocab::SplitId;

use super::*;

/// What a position holds.
fn stored(position: &Position) -> Value {
    let split = position.get(&SplitId("stream".into()));
    split.map_or(Value::Null, |split| split.resume.clone())
}

#[tokio::test]
async fn the_last_state_is_handed_back_as_it_came() {
    let tap = FakeTap::new(
        r#"
schema()
if old_state is None:
    ids(1, 3)
    state({"bookmarks": {"items": {"id": 2}}})
    line('{"type": "STATE", "value": {"bookmarks": {"items": {"id": 3, "n": 1.50e400}}}}')
else:
    say(state_text)
    assert state_text == '{"bookmarks": {"items": {"id": 3, "n": 1.50e400}}}', state_text
    ids(3, 5)
    state({"done": True})
"#,
    );
    let first = tap.read(&incremental(), None).await.unwrap();
    assert_eq!(first.rows, rows(1..=3));
    assert_eq!(
        stored(&first.position)["state"],
        r#"{"bookmarks": {"items": {"id": 3, "n": 1.50e400}}}"#
    );
    let second = tap
        .read(&incremental(), Some(&first.position))
        .await
        .unwrap();
    assert_eq!(second.rows, rows(3..=5));
    assert_eq!(stored(&second.position)["state"], r#"{"done": true}"#);
    // A full read begins at the beginning, and leaves nothing.
    let full = tap.read(&table(), Some(&second.position)).await.unwrap();
    assert_eq!((full.rows, full.position.is_empty()), (rows(1..=3), true));
}

#[tokio::test]
async fn a_tap_that_gives_no_state_goes_on_where_it_was() {
    let tap = FakeTap::new("schema()\nids(1, 1)\nif old_state is None: state({'a': 1})");
    let first = tap.read(&incremental(), None).await.unwrap();
    let second = tap
        .read(&incremental(), Some(&first.position))
        .await
        .unwrap();
    assert_eq!(stored(&second.position)["state"], r#"{"a": 1}"#);
    let never = FakeTap::new("schema()\nids(1, 1)");
    let read = never.read(&incremental(), None).await.unwrap();
    assert!(read.notes[0].contains("gave no state"), "{:?}", read.notes);
}

#[tokio::test]
async fn rows_without_a_key_need_a_tap_that_never_repeats() {
    let tap = FakeTap::new("schema()\nids(1, 2)\nstate({'id': 2})");
    let append = ReadSpec {
        may_repeat: false,
        ..incremental()
    };
    assert_eq!(tap.read(&append, None).await.unwrap_err().code, "R1213");
    let never = ReadSpec {
        options: BTreeMap::from([("repeats".to_owned(), json!("never"))]),
        ..append
    };
    assert_eq!(tap.read(&never, None).await.unwrap().rows, rows(1..=2));
    let behind = FakeTap::new("schema()\nids(1, 2)\nstate({'id': 2})\nids(3, 4)");
    let failure = behind.read(&never, None).await.unwrap_err();
    assert_eq!(failure.code, "R1214");
    assert!(failure.message.starts_with("2 records"), "{failure}");
    // By a key they may come again.
    let read = behind.read(&incremental(), None).await.unwrap();
    assert_eq!(read.rows, rows(1..=4));
}

#[tokio::test]
async fn a_new_version_replaces_what_was_there_once_it_is_activated() {
    // The first read activates at its beginning, as taps do.
    let tap = FakeTap::new(
        r#"
schema()
version = 1 if old_state is None else old_state["v"] + 1
if old_state is None: put("ACTIVATE_VERSION", stream="items", version=version)
for number in range(1, 4): record({"id": number}, version=version)
put("ACTIVATE_VERSION", stream="items", version=version)
state({"v": version})
"#,
    );
    let first = tap.read(&incremental(), None).await.unwrap();
    assert_eq!((first.rows, first.emptied_at), (rows(1..=3), vec![]));
    assert_eq!(stored(&first.position)["activated"], 1);
    let second = tap
        .read(&incremental(), Some(&first.position))
        .await
        .unwrap();
    assert_eq!((second.rows, second.emptied_at), (rows(1..=3), vec![0]));
    assert_eq!(stored(&second.position)["activated"], 2);
}

#[tokio::test]
async fn a_version_that_is_not_activated_and_one_without_records() {
    let tap = FakeTap::new(
        r#"
schema()
version = 1 if old_state is None else 2
if old_state is None or not old_state.get("empty"):
    record({"id": 1}, version=version)
if old_state is None or old_state.get("empty"):
    put("ACTIVATE_VERSION", stream="items", version=version)
state({"empty": config.get("empty", False)})
"#,
    );
    let first = tap.read(&incremental(), None).await.unwrap();
    let failure = tap
        .read(&incremental(), Some(&first.position))
        .await
        .unwrap_err();
    assert_eq!(failure.code, "R1216");
    let tap = tap.config("empty", json!(true));
    let first = tap.read(&incremental(), None).await.unwrap();
    let second = tap
        .read(&incremental(), Some(&first.position))
        .await
        .unwrap();
    assert_eq!((second.rows.len(), second.emptied_at), (0, vec![0]));
}

#[tokio::test]
async fn two_versions_in_one_read_keep_the_second() {
    let tap = FakeTap::new(
        r#"
schema()
for version in (1, 2):
    for number in range(1, 3): record({"id": number * version}, version=version)
    put("ACTIVATE_VERSION", stream="items", version=version)
"#,
    );
    let read = tap.all().await;
    // What stood in the chunk before it was emptied is not given at all.
    assert_eq!((read.rows, read.emptied_at), (rows([2, 4]), vec![0]));
}

#[tokio::test]
async fn what_was_stored_and_cannot_be_read_is_refused() {
    let tap = FakeTap::new("schema()");
    let split = towpath_vocab::SplitPosition {
        order: 1,
        resume: json!({ "version": 9 }),
    };
    let position = Position::single("stream", split);
    let failure = tap.read(&incremental(), Some(&position)).await.unwrap_err();
    assert_eq!(failure.code, "R1215");
}

#[tokio::test]
async fn the_way_of_replication_is_put_into_the_catalog() {
    let tap = FakeTap::new(
        r#"
of = catalog["streams"][0]["metadata"][0]["metadata"]
schema({"id": {"type": "integer"}, "how": {"type": "string"}})
record({"id": 1, "how": "%s %s" % (of["replication-method"], of.get("replication-key"))})
"#,
    );
    let how = |options: Value| {
        let options = options.as_object().unwrap().clone();
        let spec = ReadSpec {
            options: options.into_iter().collect(),
            ..table()
        };
        let tap = &tap;
        async move { tap.read(&spec, None).await.map(|read| read.rows[0].clone()) }
    };
    let full = how(json!({})).await.unwrap();
    assert!(full.contains("FULL_TABLE None"), "{full}");
    let keyed = how(json!({ "replication_key": "id" })).await.unwrap();
    assert!(keyed.contains("INCREMENTAL id"), "{keyed}");
    let refused = how(json!({ "replication_key": "id", "replication_method": "LOG_BASED" })).await;
    assert_eq!(refused.unwrap_err().code, "R1201");
}

#[tokio::test]
async fn versions_that_go_back_stop_the_read() {
    for run in [
        "schema()\nrecord({'id': 1}, version=2)\nrecord({'id': 2}, version=1)",
        "schema()\nrecord({'id': 1}, version=6)\nput('ACTIVATE_VERSION', stream='items', version=5)",
    ] {
        let failure = FakeTap::new(run).failure().await;
        assert_eq!(failure.code, "R1216", "{failure}");
    }
}
