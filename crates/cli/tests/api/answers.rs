//! Answers have the form that commands print with `--format json`, and the one of the OpenAPI document.

use serde_json::Value;

use crate::client::{Server, name, token};
use crate::test_project::TestProject;

/// A pipeline that loads rows of which one is rejected, with a schedule that is not due for long.
fn loads() -> TestProject {
    let desk = TestProject::with_pipeline(
        "schedule: { cron: 0 0 1 1 * }
steps:
  extract: { load: data, into: raw, tables: { t: { from: t.csv, write: replace, columns: { id: bigint }, checks: [ { row_count: { min: 1 } } ] } } }
",
    );
    desk.write(
        "data/t.csv",
        "id,v\n1,a\nx,b\n3,c\n4,d\n5,e\n6,f\n7,g\n8,h\n9,i\n10,j\n11,k\n",
    );
    desk
}

#[test]
fn answers_are_what_commands_print() {
    let desk = loads();
    let read = token(&desk, "look", "read");
    desk.ok(".", &["run"]);
    let range = ["--from", "2024-01-01", "--to", "2025-12-31"];
    desk.ok(".", &[&["backfill", "p"], &range[..]].concat());
    // Nothing changes while both are asked.
    desk.ok(".", &["backfill", "pause", "1"]);
    desk.ok(".", &["schedule", "pause", "p", "--reason", "a test"]);
    let server = Server::start(&desk);
    for (path, command) in [
        ("/runs/p%231/logs", &["logs", "p#1"][..]),
        ("/runs/p%231/logs?task=raw.t", &["logs", "p#1.raw.t"]),
        ("/schedules", &["schedule", "ls"]),
        (
            "/pipelines/p/schedule/preview?count=3",
            &["schedule", "preview", "p", "--next", "3"],
        ),
        ("/lineage?subject=raw.t", &["lineage", "raw.t"]),
        (
            "/lineage?subject=raw.t.v&direction=up",
            &["lineage", "raw.t.v"],
        ),
        ("/backfills", &["backfill", "ls"]),
        ("/tables/raw.t", &["lake", "describe", "raw.t"]),
        ("/tables/raw.t/versions", &["lake", "history", "raw.t"]),
        ("/quarantine", &["quarantine", "ls"]),
        ("/quarantine/raw.t", &["quarantine", "show", "raw.t"]),
    ] {
        let answer = server.get(&read, path);
        assert_eq!(answer.status, 200, "{path} {answer:?}");
        let printed = desk.json(".", &[command, &["--format", "json"]].concat());
        assert_eq!(answer.json(), printed, "{path}");
    }
    let run = server.get(&read, "/runs/p%231").json();
    let runs = server.get(&read, "/runs").json();
    let printed = desk.json(".", &["runs", "--format", "json"]);
    let printed = printed["runs"][0].as_object().unwrap();
    for (member, value) in printed {
        assert_eq!(&run[member], value, "{member}");
    }
    let line = runs["runs"][0].as_object().unwrap();
    for (member, value) in line
        .iter()
        .filter(|(member, _)| !member.starts_with("task"))
    {
        assert_eq!(&run[member], value, "{member}");
    }
    assert_eq!(line["task_states"], serde_json::json!({ "succeeded": 1 }));
    let (task, whole) = (&line["tasks"][0], &run["tasks"][0]);
    assert_eq!(
        (&task["id"], &task["state"]),
        (&whole["id"], &whole["state"])
    );
    assert!(task.get("outcome").is_none(), "{task}");
    assert_eq!(
        run["counts"],
        serde_json::json!({ "rows_in": 11, "rows_loaded": 10, "rows_rejected": 1 })
    );
    assert!(run["duration_us"].as_u64().unwrap() > 0);
    assert_eq!(run["waits"], serde_json::json!([]));
    assert_eq!(
        (run["version"].as_u64(), run["state"].as_str()),
        (Some(1), Some("succeeded"))
    );
    let tables = server.get(&read, "/tables").json();
    let line = tables["tables"].as_array().unwrap().iter();
    let line = line
        .filter(|line| line["table"] == "raw.t")
        .collect::<Vec<_>>();
    assert_eq!(line[0]["rows"], 10, "{tables}");
    assert_eq!(
        (&line[0]["columns"], &line[0]["run"]),
        (&2.into(), &"p#1".into())
    );
    let checks = serde_json::json!({ "passed": 1, "warned": 0, "failed": 0 });
    assert_eq!(line[0]["checks"], checks);
    let quality = server.get(&read, "/quality?table=raw.t").json();
    assert_eq!(quality["checks"][0]["kind"], "row_count", "{quality}");
    let pipeline = server.get(&read, "/pipelines/p").json();
    assert_eq!(pipeline["graph"][0]["id"], "extract/raw.t", "{pipeline}");
    assert_eq!(name(&pipeline["last"]["name"]), "p#1");
    assert_eq!(pipeline["recent"][0], pipeline["last"]);
    assert_eq!(pipeline["graph"][0]["kind"], "load");
    assert_eq!(pipeline["graph"][0]["tables"], serde_json::json!(["raw.t"]));
    assert_eq!(pipeline["paused"]["reason"], "a test");
    let rows = server.get(&read, "/quarantine/raw.t").json();
    assert_eq!(rows["rows"].as_array().unwrap().len(), 1, "{rows}");
    let reason = &rows["reasons"][0];
    assert_eq!(
        (&reason["code"], &reason["column"], &reason["rows"]),
        (&"type".into(), &"id".into(), &1.into()),
        "{rows}"
    );
    assert_eq!(rows["reasons_are_complete"], true);
    assert_answers_have_their_schema(&server, &read);
}

/// Compares the answer of each GET with its schema.
fn assert_answers_have_their_schema(server: &Server, read: &str) {
    let document = server.get(read, "/openapi.json").json();
    let (mut compared, mut wrong) = (0, Vec::new());
    for (path, methods) in document["paths"].as_object().unwrap() {
        // The tokens are for `admin` only, and what is no JSON has tests of its own.
        let others = ["/events", "/metrics", "/tokens"];
        let is_other = others.iter().any(|other| path.ends_with(other));
        let Some(get) = methods.get("get").filter(|_| !is_other) else {
            continue;
        };
        let value = match path.split('/').nth(3).unwrap() {
            "pipelines" => "p",
            "runs" => "p%231",
            _ => "raw.t",
        };
        let mut asked = path.replace("{name}", value).replace("{id}", value);
        if ["lineage", "why"].iter().any(|name| path.ends_with(name)) {
            asked.push_str("?subject=raw.t");
        }
        let answer = server.get(read, asked.strip_prefix("/api/v1").unwrap());
        assert_eq!(answer.status, 200, "{asked} {answer:?}");
        let schema = &get["responses"]["200"]["content"]["application/json"]["schema"];
        compare(&document, schema, &answer.json(), path, &mut wrong);
        compared += 1;
    }
    assert!(compared >= 19, "{compared}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    let refused = server.get("x", "/runs").json();
    let mut wrong = Vec::new();
    let problem = serde_json::json!({ "$ref": "#/components/schemas/Problem" });
    compare(&document, &problem, &refused, "problem", &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The part of JSON Schema that the document uses. A member that no schema names is wrong: it would be missing in
/// clients that are generated.
fn compare(document: &Value, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    if let Some(to) = schema["$ref"].as_str() {
        let to = document.pointer(to.strip_prefix('#').unwrap()).unwrap();
        return compare(document, to, value, at, wrong);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = any.iter().any(|one| {
            let mut found = Vec::new();
            compare(document, one, value, at, &mut found);
            found.is_empty()
        });
        if !fits {
            wrong.push(format!("{at}: {value} fits no choice"));
        }
        return;
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().map(|one| one.as_str().unwrap()).collect(),
        _ => return,
    };
    let real = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !types.contains(&real) {
        wrong.push(format!("{at}: {real} is none of {types:?}"));
        return;
    }
    if schema.get("const").is_some_and(|only| only != value)
        || schema["enum"]
            .as_array()
            .is_some_and(|words| !words.contains(value))
    {
        wrong.push(format!("{at}: {value} is not allowed"));
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for (number, value) in values.iter().enumerate() {
            compare(document, items, value, &format!("{at}[{number}]"), wrong);
        }
    }
    let (Some(members), Some(known)) = (value.as_object(), schema["properties"].as_object()) else {
        return;
    };
    for required in schema["required"].as_array().into_iter().flatten() {
        if !members.contains_key(required.as_str().unwrap()) {
            wrong.push(format!("{at}: {required} is missing"));
        }
    }
    for (member, value) in members {
        match known.get(member) {
            Some(schema) => compare(document, schema, value, &format!("{at}.{member}"), wrong),
            None => wrong.push(format!("{at}.{member} is in no schema")),
        }
    }
}

#[test]
fn pages_of_runs_lead_to_each_other() {
    let desk = crate::project();
    let read = token(&desk, "look", "read");
    for _ in 0..5 {
        desk.ok(".", &["run", "--full-refresh"]);
    }
    let server = Server::start(&desk);
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&read, &format!("/runs?limit=2{cursor}")).json();
        let runs = page["runs"].as_array().unwrap();
        assert!((1..=2).contains(&runs.len()), "{page}");
        found.extend(
            runs.iter()
                .map(|run| run["name"]["number"].as_u64().unwrap()),
        );
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={}", next.replace('#', "%23")),
            None => break,
        }
    }
    assert_eq!(found, [5, 4, 3, 2, 1]);
    let failed = server.get(&read, "/runs?state=failed").json();
    assert_eq!(failed["runs"].as_array().unwrap().len(), 0, "{failed}");
    let well = server
        .get(&read, "/runs?state=succeeded&pipeline=often")
        .json();
    assert_eq!(well["runs"].as_array().unwrap().len(), 5);
}
