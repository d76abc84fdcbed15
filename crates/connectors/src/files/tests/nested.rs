//! Lists and objects of JSON without a declared type: the types they get, and that every value is kept.

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Field, Schema};
use proptest::prelude::*;
use towpath_ports::{ExactValues, exact_json};
use towpath_vocab::Mask;

use super::*;

/// The columns, rows and notes of JSON lines.
/// A connection that gives nested values types.
fn typed() -> Project {
    Project::new().with("nested", json!("types"))
}

fn lines_of(text: &str) -> Outcome {
    typed().file("t.jsonl", text).read("t")
}

fn column(values: &[&str]) -> Outcome {
    let lines = values.iter().map(|value| format!("{{\"v\": {value}}}\n"));
    lines_of(&lines.collect::<String>())
}

/// A read after one that gave these columns.
fn later(text: &str, before: &[(&str, &str)]) -> Outcome {
    let field = |(name, word): &(&str, &str)| Field::new(*name, types::parse(word).unwrap(), true);
    let known = Schema::new(before.iter().map(field).collect::<Vec<_>>());
    let mut spec = spec("t");
    spec.observed = Some(Arc::new(known));
    typed().file("t.jsonl", text).read_as(&spec)
}

fn json_of(array: &ArrayRef, row: usize) -> Value {
    let (values, mut out) = (ExactValues::of(array).unwrap(), Vec::new());
    exact_json(&values, row, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn objects_are_structs_and_arrays_are_lists() {
    for (values, word) in [
        (
            &["{\"a\": {\"b\": 1, \"c\": [1, 2]}}"][..],
            "struct(a struct(b bigint, c list(bigint)))",
        ),
        (&["[1, 2.5]", "[]", "null"], "list(double)"),
        (
            &["[9223372036854775807, 9223372036854775808]"],
            "list(decimal(38,0))",
        ),
        (&["[0.1234567890123456789]"], "list(decimal(20,19))"),
        (
            &["{\"a\": 1}", "{\"b\": \"x\"}", "{}"],
            "struct(a bigint, b text)",
        ),
        (
            &["[{\"at\": \"2026-01-02\"}, {\"at\": null, \"ok\": true}]"],
            "list(struct(at date, ok bool))",
        ),
        (&["[[1], []]", "[[\"x\"]]"], "list(list(text))"),
        // Nothing shows what an item is; days and months are known only of whole columns.
        (&["[]"], "list(text)"),
        (&["[null]"], "list(text)"),
        (&["{\"a\": null}"], "struct(a text)"),
        (&["{\"d\": \"13/01/2026\"}"], "struct(d text)"),
        (
            &["{\"a b\": 1, \"\\u00e4\\\"\": 2}"],
            "struct(\"a b\" bigint, \"ä\"\"\" bigint)",
        ),
    ] {
        let outcome = column(values);
        assert_eq!(outcome.columns, [format!("v {word}")]);
        assert_eq!(
            (outcome.rows.len(), outcome.rejects.len()),
            (values.len(), 0)
        );
        assert_eq!(outcome.notes, Vec::<String>::new());
    }
}

#[test]
fn what_does_not_agree_is_text_and_a_note_says_so() {
    let of_kinds = "its values are of different kinds";
    for (values, word, place, why) in [
        (&["{\"a\": 1}", "7"][..], "text", "v", of_kinds),
        (&["{}", "[]"], "text", "v", of_kinds),
        (
            &["{\"a\": {\"b\": 1}}", "{\"a\": \"x\"}"],
            "struct(a text)",
            "v.a",
            of_kinds,
        ),
        (&["[{\"b\": 1}, [1]]"], "list(text)", "v[]", of_kinds),
        (&["{}"], "text", "v", "its objects have no members"),
        (
            &["{\"a\": 1, \"a\": 2}", "{\"a\": 3}"],
            "text",
            "v",
            "some of its objects have a member twice",
        ),
        (
            &["{\"a\": 1, \"A\": 2}"],
            "text",
            "v",
            "its members have no name, or names that differ only in case",
        ),
        (
            &["{\"\": 1}"],
            "text",
            "v",
            "its members have no name, or names that differ only in case",
        ),
    ] {
        let outcome = column(values);
        assert_eq!(outcome.columns, [format!("v {word}")]);
        assert_eq!(
            outcome.notes,
            [format!("`{place}` is read as JSON text: {why}")]
        );
        assert_eq!(
            (outcome.rows.len(), outcome.rejects.len()),
            (values.len(), 0)
        );
    }
    // The text is the one of the file.
    assert_eq!(
        column(&["{\"a\":  1, \"a\": 2.50}"]).rows,
        ["{\"a\":  1, \"a\": 2.50}"]
    );
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(column(&[&deep(16)]).columns[0].matches("list").count(), 16);
    let deeper = column(&[&deep(18)]);
    assert!(deeper.columns[0].contains("list(text)"));
    assert!(deeper.rows[0].contains("[[1]]"), "{:?}", deeper.rows);
    assert!(
        deeper.notes[0].contains("it is nested too deep"),
        "{:?}",
        deeper.notes
    );
}

#[test]
fn keys_that_are_data_make_no_struct() {
    let object = |keys: std::ops::Range<usize>| {
        let members: Vec<String> = keys.map(|key| format!("\"k{key}\": {key}")).collect();
        format!("{{{}}}", members.join(", "))
    };
    let wide = column(&[&object(0..200)]);
    assert!(wide.columns[0].starts_with("v struct(k0 bigint, "));
    for values in [
        vec![object(0..201)],
        (0..11).map(|at| object(at..at + 1)).collect(),
    ] {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let outcome = column(&values);
        assert_eq!(outcome.columns, ["v text"]);
        assert!(
            outcome.notes[0].contains("too many different members"),
            "{:?}",
            outcome.notes
        );
    }
}

#[test]
fn a_later_load_adds_members_and_widens_numbers() {
    let before = [
        ("id", "bigint"),
        ("v", "struct(a bigint, l list(struct(x bigint)))"),
        ("t", "text"),
    ];
    let text = r#"{"id": 1, "v": {"l": [{"x": 1.5, "y": "new"}], "b": {"c": true}}, "t": {"any": 1}}
{"id": 2, "v": {"a": 7}, "t": "x"}
{"id": 3, "v": {"a": "seven"}}
{"id": 4, "v": [1]}
{"id": 5, "v": {"A": 1}}
{"id": 6, "v": {"a": 1, "a": 2}}
"#;
    let outcome = later(text, &before);
    let word = "struct(a bigint, l list(struct(x double, y text)), b struct(c bool))";
    assert_eq!(
        outcome.columns,
        ["id bigint", &format!("v {word}"), "t text"]
    );
    assert_eq!(outcome.rows.len(), 2);
    assert!(
        outcome.rows[0].ends_with("|{\"any\": 1}"),
        "{:?}",
        outcome.rows
    );
    assert_eq!(
        outcome.notes,
        ["new members, NULL in rows that are not read again: `v.l[].y`, `v.b`"]
    );
    assert_eq!(
        outcome.reasons(),
        ["3: type v", "4: type v", "5: type v", "6: type v"]
    );
    let messages: Vec<&str> = outcome
        .rejects
        .iter()
        .map(|r| r.reasons[0].message.as_str())
        .collect();
    let so_far = "; the column keeps its type, declare a different one to change it";
    assert_eq!(
        messages,
        [
            format!("`a` is not a valid `bigint`{so_far}"),
            format!("is not a valid `{word}`{so_far}"),
            format!("has a member `A`, which its type does not have{so_far}"),
            format!("has the member `a` twice{so_far}"),
        ]
    );
    // Nothing is lost of what was refused.
    assert_eq!(
        outcome.raw_rejects()[0],
        r#"{"id": 3, "v": {"a": "seven"}}"#
    );
}

#[test]
fn a_type_that_is_known_but_not_the_last_one_is_not_changed() {
    let mut spec = spec("t");
    let known = Field::new("v", types::parse("struct(a bigint)").unwrap(), true);
    spec.known = Some(Arc::new(Schema::new(vec![known])));
    let text = "{\"v\": {\"a\": 1}}\n{\"v\": {\"a\": 1, \"b\": 2}}\n";
    let outcome = typed().file("t.jsonl", text).read_as(&spec);
    assert_eq!(
        (outcome.rows.len(), outcome.reasons()),
        (1, vec!["2: type v".to_owned()])
    );
}

#[test]
fn nested_chooses_text() {
    let text = "{\"v\": {\"a\": 1}, \"m\": [1]}\n";
    let usual = Project::new().file("t.jsonl", text);
    assert_eq!(usual.read("t").columns, ["v text", "m text"]);
    let project = Project::new()
        .with("nested", json!("text"))
        .file("t.jsonl", text);
    assert_eq!(project.read("t").columns, ["v text", "m text"]);
    // Also where it was a struct so far.
    let mut asked = spec("t");
    let before = Field::new("v", types::parse("struct(a bigint)").unwrap(), true);
    asked.observed = Some(Arc::new(Schema::new(vec![before])));
    assert_eq!(project.read_as(&asked).columns, ["v text", "m text"]);
    let mut asked = spec("t");
    asked.declared = declared(&[("m", "list(bigint)")]);
    assert_eq!(
        project.read_as(&asked).columns,
        ["v text", "m list(bigint)"]
    );
    // One of a hash keeps the text that is hashed.
    let mut asked = spec("t");
    let secret = SecretTemplate::new("${env:KEY}");
    asked.declared = vec![ColumnPlan {
        name: "v".to_owned(),
        mask: Some(Mask::Hash(secret)),
        ..ColumnPlan::default()
    }];
    let plain = typed().file("t.jsonl", text);
    assert_eq!(plain.read_as(&asked).columns, ["v text", "m list(bigint)"]);
    let mut asked = spec("t.csv");
    asked.options.insert("nested".to_owned(), json!("text"));
    let csv = Project::new().file("t.csv", "a\n1\n");
    let failure = csv.try_read(&asked).unwrap_err();
    assert!(failure.message.contains("`nested`"), "{}", failure.message);
    let wrong = Project::new().with("nested", json!("json")).options_fail();
    assert!(wrong.contains("`nested`"), "{wrong}");
}

/// A file around the rows that has none this time.
#[test]
fn an_object_around_no_rows_is_not_a_row() {
    let mut again = spec("t*.json");
    again.observed = Some(Arc::new(Schema::new(vec![Field::new(
        "a",
        DataType::Int64,
        true,
    )])));
    let of = |text: &str| Project::new().file("t.json", text);
    let read = of(r#"{"count": 0, "rows": []}"#).read_as(&again);
    assert_eq!(
        (read.columns, read.rows.len()),
        (vec!["a bigint".to_owned()], 0)
    );
    // An object that has a column of the table is a row.
    let row = of(r#"{"a": 1, "rows": []}"#).read_as(&again);
    assert_eq!(row.rows, ["1|[]"]);
    for text in [
        r#"{"rows": [{"a": 1}], "errors": [{"e": 1}]}"#,
        r#"{"rows": [], "errors": []}"#,
    ] {
        let failure = of(text).try_read(&again).unwrap_err();
        assert_eq!(failure.code, "R0179");
        assert!(
            failure
                .help
                .join(" ")
                .contains("`records: rows` or `records: errors`")
        );
    }
    // Another file of the same read shows where the rows are, also a later one.
    let both = of(r#"{"count": 0, "rows": []}"#).file("t2.json", r#"{"rows": [{"a": 1}]}"#);
    let read = both.read("t*.json");
    assert_eq!(
        (read.columns, read.rows),
        (vec!["a bigint".to_owned()], vec!["1".to_owned()])
    );
}

fn text_value() -> impl Strategy<Value = Value> {
    "[a-c\\\\\"\\n\\t ä€😀{}\\[\\]0-9]{0,5}".prop_map(Value::from)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-5_i64..5).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(Value::from),
        (-99_i32..99).prop_map(|value| Value::from(f64::from(value) / 4.0)),
        text_value(),
        Just(Value::from("2026-01-02")),
    ]
}

/// Any value, the same kind often.
fn value() -> impl Strategy<Value = Value> {
    let alike = prop_oneof![4 => (-9_i64..9).prop_map(Value::from), 1 => scalar()];
    alike.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![8 => "[a-c]", 1 => Just("A".to_owned()), 1 => "[ä\"\\\\ ]{0,2}"];
        prop_oneof![
            2 => proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            4 => proptest::collection::btree_map(key, inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn documents() -> impl Strategy<Value = Vec<Value>> {
    let document = proptest::collection::btree_map("[xyz]", value(), 1..4);
    let document = document.prop_map(|members| Value::Object(members.into_iter().collect()));
    proptest::collection::vec(document, 1..12)
}

/// Whether a value that was read is the one of the document.
fn same(document: &Value, read: &Value, data_type: &DataType) -> bool {
    match (data_type, document, read) {
        (_, Value::Null, read) => read.is_null(),
        (DataType::Struct(fields), Value::Object(members), Value::Object(read)) => {
            let is_known = |name: &String| fields.find(name).is_some();
            let null = Value::Null;
            members.keys().all(is_known)
                && fields.iter().all(|field| {
                    let document = members.get(field.name()).unwrap_or(&null);
                    same(document, &read[field.name()], field.data_type())
                })
        }
        (DataType::List(item), Value::Array(items), Value::Array(read)) => {
            items.len() == read.len()
                && items
                    .iter()
                    .zip(read)
                    .all(|(a, b)| same(a, b, item.data_type()))
        }
        (DataType::Utf8, Value::String(text), Value::String(read)) => text == read,
        (DataType::Utf8, other, Value::String(read)) => {
            serde_json::from_str::<Value>(read).is_ok_and(|read| read == *other)
        }
        (DataType::Decimal128(..), Value::Number(number), Value::String(read)) => {
            same_number(&number.to_string(), read)
        }
        (_, Value::Number(number), Value::Number(read)) => {
            same_number(&number.to_string(), &read.to_string())
        }
        // A text that is a number is read as one where the column has numbers from an earlier load.
        (_, Value::String(text), Value::Number(read)) => same_number(text, &read.to_string()),
        (DataType::Decimal128(..), Value::String(text), Value::String(read)) => {
            same_number(text, read)
        }
        (_, Value::String(text), read) if data_type.is_temporal() => {
            read.as_str().is_some_and(|read| read.starts_with(text))
        }
        _ => document == read,
    }
}

#[test]
fn a_number_is_not_read_as_a_boolean_that_was_seen_before() {
    let project = typed().file("t.jsonl", "{\"z\": {\"c\": false}}\n");
    let first = project.read("t");
    let mut again = spec("t");
    again.observed = first.schema.clone();
    let documents = [
        serde_json::json!({ "z": { "c": 0 } }),
        serde_json::json!({ "z": { "c": true } }),
    ];
    project.put("t.jsonl", text_of(&documents));
    kept(&documents, &project.read_as(&again)).unwrap();
}

fn same_number(one: &str, other: &str) -> bool {
    super::properties::same_number(one, other)
}

/// Each document is a row with its values, or rejected as it is.
fn kept(documents: &[Value], outcome: &Outcome) -> Result<(), TestCaseError> {
    let schema = outcome.schema.clone().unwrap();
    let mut rows = outcome
        .batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)));
    let mut rejects = outcome.raw_rejects().into_iter().peekable();
    for document in documents {
        if rejects.peek() == Some(&document.to_string()) {
            rejects.next();
            continue;
        }
        let Some((batch, row)) = rows.next() else {
            return Err(TestCaseError::fail(format!("{document} was lost")));
        };
        for (field, array) in schema.fields().iter().zip(batch.columns()) {
            let read = json_of(array, row);
            let given = document.get(field.name()).unwrap_or(&Value::Null);
            prop_assert!(
                same(given, &read, field.data_type()),
                "{} as {}: {}",
                given,
                types::name(field.data_type()),
                read
            );
        }
        let has_column = |name: &String| schema.index_of(name).is_ok();
        prop_assert!(document.as_object().unwrap().keys().all(has_column));
    }
    prop_assert!(rows.next().is_none() && rejects.next().is_none());
    Ok(())
}

fn text_of(documents: &[Value]) -> String {
    documents
        .iter()
        .map(|document| format!("{document}\n"))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_document_is_kept_value_by_value(
        first in documents(),
        second in documents(),
        batch_bytes in 64_usize..400,
    ) {
        let project = typed().file("t.jsonl", text_of(&first));
        let whole = project.read("t");
        prop_assert!(whole.rejects.is_empty(), "{:?} {:?}", whole.columns, whole.rejects);
        kept(&first, &whole)?;
        let mut small = spec("t");
        small.batch_bytes = batch_bytes;
        let parts = project.read_as(&small);
        prop_assert_eq!(&whole.columns, &parts.columns);
        prop_assert_eq!(&whole.rows, &parts.rows);
        // A later load of other documents.
        project.put("t.jsonl", text_of(&second));
        let mut again = spec("t");
        again.observed = whole.schema.clone();
        let outcome = project.read_as(&again);
        kept(&second, &outcome)?;
        // What it knew stays.
        let mut both = spec("t");
        both.observed = outcome.schema.clone();
        project.put("t.jsonl", text_of(&first));
        let outcome = project.read_as(&both);
        kept(&first, &outcome)?;
    }
}
