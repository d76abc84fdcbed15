//! Values of all types: exact, or rejected with their text.

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use serde_json::json;
use towpath_ports::RejectedRecord;
use towpath_vocab::RawRecord;

use super::*;

#[tokio::test]
async fn values_of_all_types_are_exact() {
    let tap = FakeTap::new(
        r#"
schema({
  "id": {"type": "integer"},
  "big": {"type": ["null", "integer"], "maximum": 99999999999999999999999999},
  "amount": {"type": ["null", "number"], "multipleOf": 0.000000000001},
  "rate": {"type": "number"},
  "flag": {"type": ["boolean", "null"]},
  "day": {"type": ["null", "string"], "format": "date"},
  "at": {"type": ["null", "string"], "format": "date-time"},
  "text": {"type": ["null", "string"]},
  "nested": {"type": ["null", "object"], "properties": {"a": {}}},
  "any": {},
})
line('{"type": "RECORD", "stream": "items", "record": {"id": 9223372036854775807, "big": 12345678901234567890123456, "amount": 12345678901234567890.123456789012, "rate": 0.30000000000000004, "flag": true, "day": "2026-02-28", "at": "2026-02-28T23:59:59.123456+01:00", "text": "\\u00e9\\n\\"x\\"", "nested": {"a": [1.10, null]}, "any": 1.50}}')
line('{"type": "RECORD", "stream": "items", "record": {"id": 2, "any": "x"}}')
"#,
    );
    let read = tap.all().await;
    assert_eq!(
        read.columns,
        [
            "id bigint",
            "big decimal(38,0)",
            "amount decimal(38,12)",
            "rate double",
            "flag bool",
            "day date",
            "at timestamptz",
            "text text",
            "nested text",
            "any text",
        ]
    );
    let row: Value = serde_json::from_str(&read.rows[0]).unwrap();
    assert_eq!(
        row,
        json!({
            "id": "9223372036854775807",
            "big": "12345678901234567890123456",
            "amount": "12345678901234567890.123456789012",
            "rate": "0.30000000000000004",
            "flag": "true",
            "day": "2026-02-28",
            "at": "2026-02-28T22:59:59.123456Z",
            "text": "é\n\"x\"",
            "nested": "{\"a\": [1.10, null]}",
            "any": "1.50",
        })
    );
    let row: Value = serde_json::from_str(&read.rows[1]).unwrap();
    assert_eq!((&row["big"], &row["any"]), (&Value::Null, &json!("x")));
    assert_eq!(read.rejects, []);
}

#[tokio::test]
async fn what_does_not_fit_is_rejected_with_its_text() {
    let tap = FakeTap::new(
        r#"
schema({"id": {"type": "integer"}, "amount": {"type": "number", "multipleOf": 0.01}, "at": {"type": "string", "format": "date-time"}, "rate": {"type": "number"}})
for number in range(1000): record({"id": number, "amount": 1.5, "at": "2026-01-01T00:00:00Z", "rate": 1})
line('{"type": "RECORD", "stream": "items", "record": {"id": 18446744073709551616, "amount": 1}}')
line('{"type": "RECORD", "stream": "items", "record": {"id": 3, "amount": 1.505}}')
record({"id": 4, "at": "2026-01-01T00:00:00"})
line('{"type": "RECORD", "stream": "items", "record": {"id": 5, "rate": 0.12345678901234567890123}}')
record({"id": 6})
"#,
    );
    let read = tap.all().await;
    assert_eq!(read.rows.len(), 1001);
    let said: Vec<(String, String)> = read
        .rejects
        .iter()
        .map(|reject| {
            let RawRecord::Text(text) = &reject.raw else {
                panic!("{reject:?}")
            };
            (text.clone(), reject.reasons[0].text())
        })
        .collect();
    assert_eq!(said.len(), 4, "{said:?}");
    let has = |at: usize, text: &str, why: &str| {
        let (raw, reason) = &said[at];
        assert!(raw.contains(text) && reason.contains(why), "{said:?}");
    };
    has(0, "18446744073709551616", "out of range for `bigint`");
    has(1, "1.505", "does not fit `decimal(38,2)` exactly");
    has(2, "2026-01-01T00:00:00", "it has no offset");
    has(3, "0.12345678901234567890123", "does not fit `double`");
    assert_eq!(read.rejects[0].place.object, "shop/items");
    assert_eq!(read.rejects[0].place.line, Some(1001));
}

#[tokio::test]
async fn rejected_records_are_read_again_with_the_types_of_today() {
    let tap = FakeTap::new("schema({'id': {'type': 'integer'}})\nrecord({'id': 'seven'})");
    let read = tap.all().await;
    let record = RejectedRecord {
        place: read.rejects[0].place.clone(),
        raw: read.rejects[0].raw.clone(),
    };
    let replayed = |spec: ReadSpec| {
        let (source, record) = (tap.source().unwrap(), record.clone());
        async move {
            let mut reader = source.replay(&spec, vec![record]).await.unwrap();
            let mut splits = reader.splits();
            let Some(Ok(Assignment::Assigned(mut split))) = splits.next().await else {
                panic!("a split")
            };
            split.events.next().await.unwrap().unwrap()
        }
    };
    assert!(matches!(replayed(table()).await, Event::Rejects(_)));
    match replayed(declared(&[("id", "text")])).await {
        Event::Rows(rows) => assert_eq!(row_as_json(&rows.batch, 0), r#"{"id":"seven"}"#),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn times_have_the_type_that_their_first_records_show() {
    let of = |times: &str| {
        FakeTap::new(&format!(
            "schema({{'id': {{'type': 'integer'}}, 'at': {{'type': 'string', 'format': 'date-time'}}}})\nfor at in {times}:\n  record({{'id': 1, 'at': at}})"
        ))
    };
    let plain = of("[None, '2026-01-01T00:00:00', '2026-01-02 03:04:05.5']")
        .all()
        .await;
    assert_eq!(plain.columns[1], "at timestamp");
    assert_eq!((plain.rows.len(), plain.rejects.len()), (3, 0));
    let dates = of("['2026-01-01']").all().await;
    assert_eq!(dates.columns[1], "at timestamp");
    assert!(
        dates.rows[0].contains("2026-01-01T00:00:00"),
        "{:?}",
        dates.rows
    );
    let mixed = of("['2026-01-01T00:00:00', '2026-01-01T00:00:00Z']")
        .all()
        .await;
    assert_eq!(mixed.columns[1], "at text");
    assert!(mixed.notes[0].contains("with and without an offset"));
    assert_eq!(mixed.rows.len(), 2);
    assert_eq!(of("[]").all().await.columns[1], "at timestamptz");
    // The table has it already.
    let zoneless = DataType::Timestamp(TimeUnit::Microsecond, None);
    let observed = ReadSpec {
        observed: Some(Arc::new(Schema::new(vec![Field::new(
            "at", zoneless, true,
        )]))),
        ..table()
    };
    let zoned = of("['2026-01-01T00:00:00Z']");
    let read = zoned.read(&observed, None).await.unwrap();
    assert_eq!(
        (read.columns[1].as_str(), read.rejects.len()),
        ("at timestamp", 1)
    );
}

#[tokio::test]
async fn declared_types_win_and_add_columns() {
    let tap = FakeTap::new(
        r#"
schema({"id": {"type": "integer"}, "Amount": {"type": "number"}, "parts": {"type": "array"}})
record({"id": 7, "Amount": 1.10, "parts": [{"n": 1}], "extra": "e", "other": 1, "none": None})
"#,
    );
    let read = tap.all().await;
    assert_eq!(read.columns, ["id bigint", "Amount double", "parts text"]);
    assert!(
        read.notes[0].contains("`extra` (1), `other` (1)") && !read.notes[0].contains("none"),
        "{:?}",
        read.notes
    );
    let spec = declared(&[
        ("id", "text"),
        ("amount", "decimal(9,2)"),
        ("parts", "list(struct(n int))"),
        ("extra", "text"),
    ]);
    let read = tap.read(&spec, None).await.unwrap();
    assert_eq!(
        read.columns,
        [
            "id text",
            "Amount decimal(9,2)",
            "parts list(struct(n int))",
            "extra text"
        ]
    );
    let row: Value = serde_json::from_str(&read.rows[0]).unwrap();
    assert_eq!(
        row,
        json!({"id": "7", "Amount": "1.10", "parts": [{"n": 1}], "extra": "e"})
    );
    let refused = tap.read(&declared(&[("id", "interval")]), None).await;
    assert_eq!(refused.unwrap_err().code, "R1220");
}

#[tokio::test]
async fn streams_are_discovered_with_their_columns_and_keys() {
    let properties = json!({
        "id": { "type": "integer" },
        "at": { "type": "string", "format": "date-time" },
    });
    let mut streams = catalog(properties);
    streams["streams"].as_array_mut().unwrap().push(json!({
        "tap_stream_id": "plain", "stream": "plain", "schema": { "properties": { "a": { "type": "string" } } },
        "metadata": [{ "breadcrumb": [], "metadata": { "table-key-properties": ["a"] } }],
    }));
    // It is not started for a stream.
    let tap = FakeTap::new("sys.exit(1)").config("catalog", streams);
    let discover = tap.discover();
    assert_eq!(discover.tables("*").await.unwrap(), ["items", "plain"]);
    assert_eq!(discover.tables("pl*").await.unwrap(), ["plain"]);
    let found = discover.describe("items").await.unwrap();
    assert_eq!((found.key, found.cursor), (vec!["id".to_owned()], None));
    assert_eq!(
        types::name(found.schema.field(1).data_type()),
        "timestamptz"
    );
    assert!(found.notes[0].starts_with("`at`: "), "{:?}", found.notes);
    let found = discover.describe("plain").await.unwrap();
    assert_eq!(
        (found.key, found.schema.fields().len()),
        (vec!["a".to_owned()], 1)
    );
    let test = discover.test().await.unwrap();
    assert_eq!(
        (test.system.as_str(), test.notes[0].as_str()),
        ("Singer tap python3", "streams: 2")
    );
}

#[tokio::test]
async fn a_limit_stops_the_tap() {
    let tap =
        FakeTap::new("schema()\nids(1, 50)\nsys.stdout.flush()\ntime.sleep(60)\nids(51, 100)");
    let spec = ReadSpec {
        limit: Some(10),
        batch_rows: 20,
        ..table()
    };
    let began = std::time::Instant::now();
    let read = tap.read(&spec, None).await.unwrap();
    assert_eq!(read.rows, rows(1..=10));
    assert!(began.elapsed() < std::time::Duration::from_secs(50));
}
