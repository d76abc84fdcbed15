//! Texts in, trees and diagnostics out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use super::*;
use crate::report::Report;

fn read(text: &str) -> (Option<Node>, Vec<String>) {
    read_as(text, Dialect::Ours)
}

fn read_as(text: &str, dialect: Dialect) -> (Option<Node>, Vec<String>) {
    let mut report = Report::default();
    let node = parse("f.yml", text, dialect, &mut report);
    let said = report.finish().into_iter().map(|d| {
        let span = d.span.unwrap();
        let under = text.get(span.start..span.end).unwrap();
        format!(
            "{} {}:{} `{under}` {} | {}",
            d.code,
            span.line,
            span.column,
            d.message,
            d.label.unwrap_or_default()
        )
    });
    (node, said.collect())
}

#[test]
fn scalars_know_their_bytes_and_columns() {
    let text = "ä: { ö: ü, key: \"a b\" }\n";
    let (node, said) = read(text);
    assert!(said.is_empty());
    let node = node.unwrap();
    let key = node.get("ä").unwrap().get("key").unwrap();
    assert_eq!(&text[key.at.start..key.at.end], "\"a b\"");
    assert_eq!((key.at.line, key.at.column), (1, 17));
    assert_eq!(key.text(), Some("a b"));
}

#[test]
fn duplicate_keys_name_both_places() {
    let (node, said) = read("a: 1\nb: 2\na: 3\n");
    assert_eq!(
        said,
        ["P0103 3:1 `a` key `a` appears twice | the second one"]
    );
    assert_eq!(node.unwrap().get_text("a"), Some("1"));
}

#[test]
fn traps_are_named() {
    let cases = [
        (
            "c: { type: decimal(18,2), key: x }",
            "P0107 1:12 `decimal(18,2)` `decimal(18,2)` inside braces is split at its comma | YAML reads two entries here",
        ),
        (
            "c: { url: ${env:X} }",
            "P0108 1:11 `${env:X}` `${env:X}` inside braces must be in quotes | YAML reads this `{` as the start of a map",
        ),
        (
            "key: @x",
            "P0110 1:6 `@` a value cannot start with `@` without quotes | ",
        ),
        (
            "key: %x",
            "P0110 1:6 `%` a value cannot start with `%` without quotes | ",
        ),
        ("key: *", "P0110"),
        ("a:\n\tb: 1", "P0105 2:2 `b` a tab cannot indent YAML | "),
        (
            "a:\n  b: 1\n c: 2",
            "P0105 3:2 `c` this line is not indented like the lines around it | ",
        ),
        (
            "a: \"b\nc: d",
            "P0101 1:4 `\"` this quote is never closed | ",
        ),
        ("a: { b: c\nd: e", "P0101"),
        (
            "a: b: c",
            "P0101 1:5 `:` a second `: ` in one line, or the line above is not finished | ",
        ),
        ("a: 1\n---\nb: 2", "P0101"),
        ("? [a]\n: b", "P0101"),
    ];
    for (text, expected) in cases {
        let (_, said) = read(text);
        assert_eq!(said.len(), 1, "{text}: {said:?}");
        assert!(said[0].starts_with(expected), "{text}: {said:?}");
    }
}

#[test]
fn aliases_are_copied_up_to_a_limit() {
    let (node, said) = read("a: &x { p: 1 }\nb: *x\n");
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(node.unwrap().get("b").unwrap().get_text("p"), Some("1"));
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let (node, said) = read(&bomb);
    assert!(node.is_none());
    assert!(said[0].starts_with("P0114"), "{said:?}");
}

#[test]
fn dbts_yaml_is_older() {
    let (node, _) = read_as(
        "base: &b { x: yes }\nm:\n  <<: *b\n  y: off\n",
        Dialect::Dbt,
    );
    let m = node.unwrap().get("m").unwrap().clone();
    assert_eq!(
        (m.get_bool("x"), m.get_bool("y")),
        (Some(true), Some(false))
    );
    let (node, _) = read("x: yes\n");
    assert_eq!(node.unwrap().get_bool("x"), None);
}

#[test]
fn no_text_panics() {
    for text in [
        "",
        "\u{feff}a: 1",
        "[",
        "]",
        "{",
        "a: |",
        "&a",
        "*a",
        "--- ",
        "\0",
        "- - - x",
        "'",
        "\u{1F600}: {",
        "!!",
        "%YAML",
    ] {
        let _ = read(text);
        let _ = read_as(text, Dialect::Dbt);
    }
    let _ = read(&"[".repeat(5000));
}

#[test]
fn layers_merge() {
    let base = read("a: 1\nm: { x: 1, y: 2 }\nl: [1]\n").0.unwrap();
    let over = read("m: { y: 3, x: null }\nl: [2]\n").0.unwrap();
    let merged = base.merged(&over);
    assert_eq!(
        merged.json(),
        serde_json::json!({ "a": 1, "m": { "y": 3 }, "l": [2] })
    );
}
