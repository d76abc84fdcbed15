//! SQL means the same as in PostgreSQL: each statement of `cases.sql` runs on both.
//!
//! The same tables are in a PostgreSQL server and, loaded from it, in a lakehouse. Both return the same
//! rows, or Towpath refuses the statement with the code in its mark. A statement that is marked as
//! different must differ, so that the mark is removed with the difference.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "../test_project/mod.rs"]
mod test_project;

use serde_json::Value;
use towpath_testkit::postgres::PostgresServer;

use crate::test_project::{TestProject, text};

const TABLES: &str = include_str!("tables.sql");
const CASES: &str = include_str!("cases.sql");

/// What a mark before a statement says of it.
#[derive(Debug, PartialEq)]
enum Expectation<'a> {
    Same,
    Refused(&'a str),
    Differs,
}

struct Case<'a> {
    mark: Expectation<'a>,
    statement: &'a str,
}

/// Statements stand apart by an empty line; a comment before one may mark it.
fn cases() -> Vec<Case<'static>> {
    let blocks = CASES.split("\n\n").map(str::trim);
    let blocks = blocks.filter(|block| block.lines().any(|line| !line.starts_with("--")));
    let case = |block: &'static str| {
        let marked = |word: &str| {
            let mut lines = block.lines().filter(|line| line.starts_with("--"));
            lines.find_map(|line| line.strip_prefix(word))
        };
        let mark = match (marked("-- refused: "), marked("-- differs: ")) {
            (Some(code), None) => Expectation::Refused(code.trim()),
            (None, Some(_)) => Expectation::Differs,
            (None, None) => Expectation::Same,
            _ => panic!("two marks: {block}"),
        };
        let start = block
            .lines()
            .position(|line| !line.starts_with("--"))
            .unwrap();
        let statement = block
            .lines()
            .skip(start)
            .map(|l| l.len() + 1)
            .sum::<usize>()
            - 1;
        Case {
            mark,
            statement: block[block.len() - statement..].trim_end_matches(';'),
        }
    };
    blocks.map(case).collect()
}

fn postgres(
    server: &PostgresServer,
    database: &str,
    statement: &str,
) -> Result<Vec<String>, String> {
    let asked = format!(
        "set timezone to 'UTC'; select coalesce(json_agg(row_to_json(answer)), '[]') from ({statement}\n) answer"
    );
    let answer = server
        .psql(database, &asked)
        .map_err(|error| error.to_string())?;
    let json = answer.get(answer.find('[').unwrap()..).unwrap();
    Ok(rows(&serde_json::from_str(json).unwrap()))
}

fn towpath(desk: &TestProject, statement: &str) -> Result<Vec<String>, String> {
    let output = desk.towpath(".", &["query", "--format", "json", statement]);
    match output.status.success() {
        true => Ok(rows(&serde_json::from_slice(&output.stdout).unwrap())),
        false => Err(text(&output.stderr)),
    }
}

/// Rows as text that does not depend on how either writes a value, in an order of their own.
fn rows(answer: &Value) -> Vec<String> {
    let row = |row: &Value| {
        let cells = row.as_object().unwrap().iter();
        let cells: Vec<String> = cells
            .map(|(name, value)| format!("{name}={}", plain(value)))
            .collect();
        cells.join(" ")
    };
    let mut rows: Vec<String> = answer.as_array().unwrap().iter().map(row).collect();
    rows.sort();
    rows
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => {
            moment(text).unwrap_or_else(|| number(text).unwrap_or_else(|| format!("{text:?}")))
        }
        Value::Number(given) => number(&given.to_string()).unwrap(),
        other => other.to_string(),
    }
}

/// A number without zeros that say nothing; beyond what a double holds, as it was written.
fn number(text: &str) -> Option<String> {
    let double: f64 = text.parse().ok()?;
    let plain = match text.split_once('.') {
        Some((whole, part)) if !text.contains(['e', 'E']) => {
            let part = part.trim_end_matches('0');
            let dot = if part.is_empty() { "" } else { "." };
            format!("{whole}{dot}{part}")
        }
        _ => text.to_owned(),
    };
    let is_exact = plain.len() > 15 && !text.contains(['e', 'E']);
    Some(if is_exact { plain } else { format!("{double}") })
}

/// A date with a time, in one way of writing.
fn moment(text: &str) -> Option<String> {
    let looks = text.len() >= 19
        && text.as_bytes().get(4) == Some(&b'-')
        && text.as_bytes().get(13) == Some(&b':');
    looks.then(|| {
        let text = text
            .replace('T', " ")
            .replace("+00:00", "")
            .replace('Z', "");
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    })
}

#[test]
fn statements_mean_what_they_mean_in_postgresql() {
    let server = PostgresServer::shared().unwrap();
    let database = server.new_database().unwrap();
    server.psql(&database, TABLES).unwrap();
    let mut desk = TestProject::new();
    desk.set("PG", &server.url(&database));
    desk.write(
        "towpath.yml",
        "towpath: 1\nname: p\nid: 1\nconnections: { pg: { type: postgres, url: \"${secret:PG}\" } }\n",
    );
    desk.write(
        "pipelines/p.yml",
        "steps:\n  extract:\n    load: pg\n    into: raw\n    tables: { customers: { from: raw.customers }, \
         orders: { from: raw.orders }, numbers: { from: raw.numbers }, times: { from: raw.times } }\n",
    );
    desk.ok(".", &["run"]);
    let mut wrong = Vec::new();
    let cases = cases();
    for case in &cases {
        let theirs = postgres(&server, &database, case.statement);
        let ours = towpath(&desk, case.statement);
        let is_right = match (&case.mark, &ours) {
            (Expectation::Same, Ok(ours)) => theirs.as_ref() == Ok(ours),
            // What PostgreSQL refuses is refused here too, each in its own words.
            (Expectation::Same, Err(_)) => theirs.is_err(),
            (Expectation::Refused(code), Err(said)) => said.contains(&format!("[{code}]")),
            (Expectation::Differs, Ok(ours)) => theirs.as_ref() != Ok(ours),
            _ => false,
        };
        if !is_right {
            wrong.push(format!(
                "{}\n  marked {:?}\n  PostgreSQL {theirs:?}\n  Towpath    {ours:?}",
                case.statement, case.mark
            ));
        }
    }
    assert!(cases.len() > 100, "only {} statements", cases.len());
    assert!(
        wrong.is_empty(),
        "{} of {}\n\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n\n")
    );
}
