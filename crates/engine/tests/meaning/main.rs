//! Every function and operator means the same as in PostgreSQL, or is refused with a code.
//!
//! Generated expressions over edge values of every type run on a real PostgreSQL and on the engine. A
//! difference fails the test, unless `permitted.rs` lists it with its reason; an entry that is not needed
//! fails too. Read next: `expressions.rs` (the expressions), `compare.rs` (when results are equal).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::wildcard_imports,
    clippy::too_many_lines,
    reason = "tests"
)]

mod cases;
mod compare;
mod coverage;
mod expressions;
mod joins;
mod ours;
mod permitted;
mod postgres;
mod precedence;
mod statements;
mod values;

use std::collections::BTreeMap;

use towpath_engine::{Engine, EngineLimits, EngineOptions, Lake};

use crate::cases::Statement;
use crate::compare::Difference;
use crate::postgres::Postgres;

/// At most so many rows in one case.
const ROWS: usize = 260;

fn engine(folder: &std::path::Path) -> Engine {
    let lake = Lake::open(folder.join("lake").to_str().unwrap(), 64 << 20).unwrap();
    Engine::open(EngineOptions {
        lake,
        limits: EngineLimits {
            memory_bytes: 256 << 20,
            spill_folder: folder.join("spill"),
            spill_bytes: 1 << 30,
            partitions: 2,
            statement_timeout: None,
        },
        files: None,
        variables: BTreeMap::new(),
        environment: "dev".into(),
    })
    .unwrap()
}

#[test]
fn expressions_mean_what_they_mean_in_postgresql() {
    let cases = cases::all(ROWS);
    let rows: usize = cases.iter().map(|case| case.rows.len()).sum();
    assert!(rows > 80_000, "only {rows} expressions");
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let theirs = Postgres::start().ask(&cases);
    let mut differences: Vec<Difference> = Vec::new();
    for (case, theirs) in cases.iter().zip(&theirs) {
        let ours = ours::ask(&engine, case);
        differences.extend(compare::compare(case, theirs, &ours));
    }
    let (unexpected, unneeded) = permitted::judge(&differences);
    let report: Vec<String> = unexpected
        .iter()
        .map(|difference| difference.to_string())
        .collect();
    if let Some(file) = std::env::var_os("TOWPATH_DIFFERENCES") {
        std::fs::write(file, report.join("\n")).unwrap();
    }
    eprintln!("{} expressions in {} cases", rows, cases.len());
    assert!(
        report.is_empty(),
        "{} of {} cases differ:\n{}",
        report.len(),
        cases.len(),
        report
            .iter()
            .take(40)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );
    assert!(
        unneeded.is_empty(),
        "permitted, and nothing differs: {unneeded:?}"
    );
}

#[tokio::test]
async fn statements_mean_what_they_mean_in_postgresql() {
    let statements = cases::statements();
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let theirs = Postgres::start().ask_statements(&statements);
    let mut wrong = Vec::new();
    for (statement, theirs) in statements.iter().zip(theirs) {
        let ours = ours::ask_statement(&engine, &statement.ours).await;
        let is_right = match (&theirs, &ours) {
            _ if statement.theirs == "refused" => {
                let codes = ["R0504", "R0509", "R0510"];
                ours.as_ref()
                    .is_err_and(|why| codes.iter().any(|code| why.starts_with(code)))
            }
            (Ok(theirs), Ok(ours)) => same_rows(theirs, ours),
            (Err(_), Err(why)) => !why.starts_with("R0515"),
            _ => false,
        };
        if !is_right {
            wrong.push(format!(
                "{}\n  theirs {theirs:?}\n  ours   {ours:?}",
                statement.ours
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}\n{}",
        wrong.len(),
        statements.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn expressions_without_parentheses_group_as_in_postgresql() {
    let texts = precedence::expressions();
    let select = |text: &str| format!("select ({text})::text as x from {}", precedence::ROW);
    let grouped: Vec<Option<String>> = texts.iter().map(|text| precedence::grouped(text)).collect();
    let asked: Vec<Statement> = texts
        .iter()
        .map(String::as_str)
        .chain(grouped.iter().map(|text| text.as_deref().unwrap_or("null")))
        .map(|text| Statement {
            ours: String::new(),
            theirs: select(text),
        })
        .collect();
    let theirs = Postgres::start().ask_statements(&asked);
    let (plain, parenthesised) = theirs.split_at(texts.len());
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let (mut wrong, mut accepted, mut computed) = (Vec::new(), 0, 0);
    for (at, text) in texts.iter().enumerate() {
        let syntax = plain[at].as_ref().is_err_and(|code| code == "42601");
        accepted += usize::from(plain[at].is_ok());
        match &grouped[at] {
            None if plain[at].is_ok() => wrong.push(format!("{text}: refused")),
            Some(grouped) if syntax || plain[at] != parenthesised[at] => wrong.push(format!(
                "{text}: read as {grouped}: {:?}, theirs {:?}",
                parenthesised[at], plain[at]
            )),
            _ => {}
        }
        // A written integer has 64 bits here, and 32 there: they are shifted by other numbers of bits.
        if let Ok(theirs) = &plain[at]
            && !text.contains("<<")
            && !text.contains(">>")
            && let Ok(ours) = ours::ask_statement(&engine, &select(text)).await
        {
            computed += 1;
            if !same_rows(theirs, &ours) {
                wrong.push(format!("{text}: {:?}, theirs {theirs:?}", ours.rows));
            }
        }
    }
    eprintln!(
        "{} expressions, {accepted} accepted, {computed} computed",
        texts.len()
    );
    assert!(
        accepted > 1_000 && computed > 300,
        "{accepted} accepted, {computed} computed"
    );
    let first: Vec<String> = wrong.iter().take(60).cloned().collect();
    assert!(
        wrong.is_empty(),
        "{} of {}\n{}",
        wrong.len(),
        texts.len(),
        first.join("\n")
    );
}

#[tokio::test]
async fn joins_of_columns_with_one_name_have_the_rows_of_postgresql() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path().join("lake").to_str().unwrap(), 64 << 20).unwrap();
    joins::write(&lake).await;
    let engine = engine(folder.path());
    let texts = joins::statements(700);
    let asked: Vec<Statement> = texts
        .iter()
        .map(|text| Statement {
            ours: text.clone(),
            theirs: text.clone(),
        })
        .collect();
    let postgres = Postgres::start();
    postgres.run(&joins::ddl());
    let theirs = postgres.ask_statements(&asked);
    let (mut wrong, mut rows) = (Vec::new(), 0);
    for (text, theirs) in texts.iter().zip(theirs) {
        let theirs = theirs.unwrap_or_else(|code| panic!("{text}: {code}"));
        rows += usize::from(!theirs.is_empty());
        match ours::ask_statement(&engine, text).await {
            Ok(ours) if same_rows(&theirs, &ours) => {}
            Ok(ours) => wrong.push(format!(
                "{text}: {} rows, theirs {}",
                ours.rows.len(),
                theirs.len()
            )),
            Err(why) => wrong.push(format!("{text}: {why}")),
        }
    }
    assert!(rows > 300, "only {rows} of {} have rows", texts.len());
    let first: Vec<String> = wrong.iter().take(40).cloned().collect();
    assert!(
        wrong.is_empty(),
        "{} of {}\n{}",
        wrong.len(),
        texts.len(),
        first.join("\n")
    );
}

#[tokio::test]
async fn a_text_that_grows_too_long_is_an_error_before_its_memory_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    for sql in [
        "select length(replace(repeat('a', 5000), 'a', repeat('b', 100000))) as x",
        "select length(replace(repeat('a', 100000), 'a', repeat('b', 100000))) as x",
        "select length(regexp_replace(repeat('a', 21500), 'a', repeat('b', 100000), 'g')) as x",
    ] {
        let why = ours::ask_statement(&engine, sql).await.unwrap_err();
        assert!(
            why.contains("too long") && !why.starts_with("R0515"),
            "{sql}: {why}"
        );
    }
    let fits = "select length(replace(repeat('ab', 400000), 'b', 'bb')) as x";
    let rows = ours::ask_statement(&engine, fits).await.unwrap();
    assert_eq!(rows.rows, vec![vec![Some("1200000".to_owned())]]);
}

/// The same rows, whatever their order.
fn same_rows(theirs: &[Vec<Option<String>>], ours: &ours::Rows) -> bool {
    let mut left: Vec<&Vec<Option<String>>> = ours.rows.iter().collect();
    let like = |a: &[Option<String>], b: &[Option<String>]| {
        let mut cells = a.iter().zip(b).zip(&ours.written);
        a.len() == b.len() && cells.all(|((a, b), written)| compare::alike(a, b, *written))
    };
    for row in theirs {
        match left.iter().position(|other| like(row, other)) {
            Some(at) => left.remove(at),
            None => return false,
        };
    }
    left.is_empty()
}
