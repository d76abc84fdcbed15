//! What goes wrong in a tap: each thing has a code, and nothing of the read counts.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

/// The failure of a tap that does this.
async fn failure(run: &str) -> Failure {
    FakeTap::new(run).failure().await
}

#[tokio::test]
async fn a_tap_that_does_not_end_well_gives_nothing() {
    let ended = failure("schema()\nids(1, 3)\nstate({})\nsay('no such host')\nsys.exit(7)").await;
    assert_eq!(ended.code, "R1203");
    assert_eq!(ended.message, "`python3` ended with exit code 7");
    assert!(ended.help[0].contains("no such host"), "{:?}", ended.help);
    let killed = failure("schema()\nids(1, 3)\nsys.stdout.flush()\nos.kill(os.getpid(), 9)").await;
    assert_eq!(
        (killed.code.as_str(), killed.message.contains("signal 9")),
        ("R1203", true)
    );
    // A crash in the middle of a line says how it ended, not that the line is not whole.
    let cut =
        failure("schema()\nsys.stdout.write('{\"type\": \"REC')\nsys.stdout.flush()\nos._exit(3)")
            .await;
    assert_eq!(cut.code, "R1203", "{cut}");
}

#[tokio::test]
async fn what_is_no_message_is_refused_and_not_repeated() {
    for (run, what) in [
        (
            "line('INFO hunter2 is here')",
            "expected an object at byte 1",
        ),
        (
            "line('{\"type\": \"RECORD\", \"stream\": \"items\", \"record\": {\"id\": NaN}}')",
            "expected a value",
        ),
        ("line('{\"stream\": \"items\"}')", "has no `type`"),
        (
            "put('BATCH', stream='items', manifest=['file:///x'])",
            "type `BATCH`",
        ),
        (
            "put('RECORD', record={'id': 1})",
            "RECORD without a valid `stream`",
        ),
    ] {
        let failure = failure(&format!("schema()\n{run}")).await;
        assert_eq!(failure.code, "R1204", "{failure}");
        assert!(failure.message.contains(what), "{failure}");
        assert!(failure.message.contains("line 2"), "{failure}");
        assert!(!format!("{failure:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn half_a_line_at_the_end_is_no_end() {
    let half =
        failure("schema()\nids(1, 2)\nsys.stdout.write('{\"type\": \"RECORD\", \"str')").await;
    assert_eq!(
        (half.code.as_str(), half.message.contains("line 4")),
        ("R1219", true),
        "{half}"
    );
    // A last line without a line feed is whole if it is a message.
    let tap = FakeTap::new(
        "schema()\nids(1, 1)\nsys.stdout.write('{\"type\": \"RECORD\", \"stream\": \"items\", \"record\": {\"id\": 2}}')",
    );
    assert_eq!(tap.all().await.rows, rows(1..=2));
}

#[tokio::test]
async fn schemas_come_first_and_stay() {
    let early = failure("record({'id': 1})\nschema()").await;
    assert_eq!(
        (early.code.as_str(), early.message.contains("line 1")),
        ("R1206", true)
    );
    let changed = failure(
        "schema()\nrecord({'id': 1})\nschema({'id': {'type': 'integer'}, 'note': {'type': 'string'}})\nrecord({'id': 2, 'note': 'x'})",
    )
    .await;
    assert_eq!(changed.code, "R1207");
    assert!(
        changed.message.contains("`note` is new (text)"),
        "{changed}"
    );
    let retyped = failure(
        "schema()\nrecord({'id': 1})\nschema({'id': {'type': 'string'}})\nrecord({'id': 'x'})",
    )
    .await;
    assert!(
        retyped.message.contains("`id` was bigint, and is text now"),
        "{retyped}"
    );
    // The same again, one before all records, and one whose types are declared do no harm.
    let tap = FakeTap::new(
        "schema()\nschema({'id': {'type': 'string'}})\nrecord({'id': 1})\nschema({'id': {'type': 'integer'}})\nrecord({'id': 2})",
    );
    assert_eq!(tap.failure().await.code, "R1207");
    let read = tap
        .read(&declared(&[("id", "bigint")]), None)
        .await
        .unwrap();
    assert_eq!(read.rows, rows(1..=2));
    for (properties, code) in [("{}", "R1211"), ("None", "R1211")] {
        let run = format!(
            "put('SCHEMA', stream='items', schema={{'properties': {properties}}}, key_properties=[])"
        );
        assert_eq!(failure(&run).await.code, code);
    }
}

#[tokio::test]
async fn records_of_other_streams_are_left_out_and_counted() {
    let tap = FakeTap::new(
        "schema()\nschema(stream='others')\nids(1, 2)\nrecord({'id': 7}, stream='others')\nrecord({'id': 8}, stream='unknown')",
    );
    let read = tap.all().await;
    assert_eq!(read.rows, rows(1..=2));
    assert!(
        read.notes[0].contains("`others` (1), `unknown` (1)"),
        "{:?}",
        read.notes
    );
}

#[tokio::test]
async fn a_silent_tap_is_stopped() {
    let tap =
        FakeTap::new("schema()\nids(1, 2)\nsys.stdout.flush()\nsay('waiting')\ntime.sleep(600)")
            .option("timeout_s", json!(1));
    let began = Instant::now();
    let failure = tap.failure().await;
    assert_eq!(failure.code, "R1208");
    assert!(failure.help[0].contains("waiting"), "{:?}", failure.help);
    assert!(began.elapsed() < Duration::from_secs(60));
    // It closes its output, and does not end.
    let tap = FakeTap::new("schema()\nsys.stdout.flush()\nos.close(1)\ntime.sleep(600)")
        .option("timeout_s", json!(1));
    assert_eq!(tap.failure().await.code, "R1208");
    // What it says on standard error shows that it works.
    let tap = FakeTap::new(
        "schema()\nids(1, 1)\nsys.stdout.flush()\nfor _ in range(14):\n  say('working')\n  time.sleep(0.5)\nids(2, 2)",
    )
    .option("timeout_s", json!(5));
    assert_eq!(tap.all().await.rows, rows(1..=2));
    let silent = FakeTap::new("").config("catalog", json!({}));
    assert_eq!(silent.failure().await.code, "R1210");
}

#[tokio::test]
async fn a_huge_record_is_read_up_to_the_limit() {
    let run = "schema({'id': {'type': 'integer'}, 'text': {'type': 'string'}})\nrecord({'id': 1, 'text': 'x' * 3000000})\nrecord({'id': 2})";
    let tap = FakeTap::new(run);
    let read = tap.all().await;
    assert_eq!(read.rows.len(), 2);
    assert!(read.rows[0].len() > 3_000_000);
    let tap = tap.option("max_record_bytes", json!(1_000_000));
    let failure = tap.failure().await;
    assert_eq!(
        (failure.code.as_str(), failure.message.contains("line 2")),
        ("R1205", true)
    );
}

#[tokio::test]
async fn programs_catalogs_and_streams_that_are_not_there() {
    let run = "schema()\nids(1, 1)";
    let missing = FakeTap::new(run).option("command", json!(["no-such-tap"]));
    let failure = missing.failure().await;
    assert_eq!(failure.code, "R1202");
    assert!(
        failure.help[0].contains("pip install"),
        "{:?}",
        failure.help
    );
    let nobody = FakeTap::new(run).option("command", json!([]));
    assert_eq!(nobody.source().err().unwrap().code, "R1201");
    let spec = |name: &str| ReadSpec {
        selection: Selection::Object(name.into()),
        ..table()
    };
    let tap = FakeTap::new(run);
    let unknown = tap.read(&spec("item"), None).await.unwrap_err();
    assert_eq!(unknown.code, "R1209");
    assert_eq!(unknown.help[0], "did you mean `items`?");
    let query = ReadSpec {
        selection: Selection::Query("select 1".into()),
        ..table()
    };
    assert_eq!(tap.read(&query, None).await.unwrap_err().code, "R1217");
    let wrong = FakeTap::new(run).config("catalog", json!([1]));
    assert_eq!(wrong.failure().await.code, "R1210");
    let discovery = FakeTap::new(run).option("command", json!(["sh", "-c", "echo oh >&2; exit 3"]));
    let failure = discovery.failure().await;
    assert_eq!(
        (failure.code.as_str(), failure.help[0].contains("oh")),
        ("R1203", true)
    );
}

#[tokio::test]
async fn settings_without_effect_are_refused() {
    let tap = FakeTap::new("schema()").option("max_record_bytes", json!(100));
    assert_eq!(tap.source().err().unwrap().code, "R1201");
    let tap = FakeTap::new("schema()").option("discover", json!(false));
    let keyed = ReadSpec {
        options: BTreeMap::from([("replication_key".to_owned(), json!("id"))]),
        ..table()
    };
    let failure = tap.read(&keyed, None).await.unwrap_err();
    assert_eq!(failure.code, "R1201");
    assert!(failure.message.contains("`replication_key`"), "{failure}");
}

#[tokio::test]
async fn a_catalog_may_come_from_a_file_or_not_at_all() {
    let run = "assert ('--catalog' in sys.argv) == config['given']\nassert ('--properties' in sys.argv) == config.get('old', False)\nschema()\nids(1, 2)";
    let without = FakeTap::new(run)
        .config("given", json!(false))
        .option("discover", json!(false));
    assert_eq!(without.all().await.rows, rows(1..=2));
    assert_eq!(
        without.discover().tables("*").await.unwrap_err().code,
        "R1210"
    );
    let file = FakeTap::new(run)
        .config("given", json!(true))
        .config("catalog", json!(null))
        .option("catalog", json!("streams.json"));
    assert_eq!(file.failure().await.code, "R1210");
    let text = catalog(json!({ "id": { "type": "integer" } })).to_string();
    std::fs::write(file.folder.path().join("streams.json"), text).unwrap();
    assert_eq!(file.all().await.rows, rows(1..=2));
    let old = file
        .option("catalog_argument", json!("properties"))
        .config("given", json!(false))
        .config("old", json!(true));
    assert_eq!(old.all().await.rows, rows(1..=2));
}

#[tokio::test]
async fn a_stream_that_comes_under_another_name_is_no_empty_one() {
    let tap = FakeTap::new(
        "schema(stream='o')\nrecord({'id': 1}, stream='o')\nrecord({'id': 2}, stream='o')\nstate({'id': 2})",
    );
    let failure = tap.failure().await;
    assert_eq!(failure.code, "R1209");
    assert!(failure.message.contains("messages of o"), "{failure}");
    let named = ReadSpec {
        options: BTreeMap::from([("stream".to_owned(), json!("o"))]),
        ..table()
    };
    assert_eq!(tap.read(&named, None).await.unwrap().rows, rows(1..=2));
    // A tap that gives nothing at all has an empty stream.
    assert_eq!(FakeTap::new("").all().await.rows, rows([]));
}
