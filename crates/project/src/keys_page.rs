//! The reference page of project files, from the declaration that the parser uses.
//!
//! Promise: a key is on the page exactly if the parser knows it, with the text of its declaration. Read
//! next: `keys/mod.rs`.

use std::fmt::Write as _;

use crate::keys::{self, Key, KeySchema, Kind};

/// The files, with the shape at the root of each.
const FILES: &[(&str, &str, &KeySchema)] = &[
    ("`towpath.yml`", "The project.", &keys::ROOT),
    (
        "`connections/NAME.yml`",
        "One connection; the same as under `connections` in towpath.yml. Each connector adds its own options: see [connectors](connectors.md).",
        &keys::CONNECTION,
    ),
    (
        "`pipelines/NAME.yml`",
        "A pipeline. The name of the file is the name of the pipeline.",
        &keys::PIPELINE,
    ),
    (
        "`schemas/CONNECTION.yml`",
        "The columns of external tables; written by `towpath connection discover CONNECTION --write`.",
        &keys::SCHEMAS,
    ),
];

/// All keys of all project files, as Markdown.
pub fn keys_page() -> String {
    let mut out = String::from("# Project files\n");
    let mut waiting: Vec<&'static KeySchema> = Vec::new();
    let mut listed: Vec<&'static str> = Vec::new();
    for (file, what, shape) in FILES {
        // Writing to a String cannot fail.
        let _ = write!(out, "\n## {file}\n\n{what}\n\n");
        table(&mut out, shape, &mut waiting);
        listed.push(shape.noun);
        while let Some(shape) = next(&mut waiting, &listed) {
            let _ = write!(out, "\n### {}\n\n", title(shape.noun));
            table(&mut out, shape, &mut waiting);
            listed.push(shape.noun);
        }
    }
    out
}

fn next(waiting: &mut Vec<&'static KeySchema>, listed: &[&str]) -> Option<&'static KeySchema> {
    waiting.retain(|shape| !listed.contains(&shape.noun));
    (!waiting.is_empty()).then(|| waiting.remove(0))
}

fn title(noun: &str) -> String {
    let mut letters = noun.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

fn table(out: &mut String, shape: &KeySchema, waiting: &mut Vec<&'static KeySchema>) {
    out.push_str("| key | takes | |\n|---|---|---|\n");
    for key in shape.all() {
        let _ = writeln!(
            out,
            "| `{}` | {} | {} |",
            key.name,
            takes(key.kind, waiting),
            doc(key)
        );
    }
}

fn doc(key: &Key) -> String {
    let mut doc = key.doc.replace('|', "\\|");
    if key.required {
        doc.push_str(" Required.");
    }
    if key.inactive.is_some() {
        doc.push_str(" *Not supported in this version.*");
    }
    doc
}

fn takes(kind: Kind, waiting: &mut Vec<&'static KeySchema>) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Sql => "SQL".to_owned(),
        Kind::AtRun => "text, `${run:…}` allowed".to_owned(),
        Kind::Secret => "secret: `${secret:…}` or `${env:…}`".to_owned(),
        Kind::Integer => "whole number".to_owned(),
        Kind::Boolean => "`true`, `false`".to_owned(),
        Kind::Duration => "duration: `30s`, `10m`".to_owned(),
        Kind::Size => "size: `512MB`".to_owned(),
        Kind::Limit => "`1%`, rows, or `{ percent: 1, rows: 10 }`".to_owned(),
        Kind::Type => "type".to_owned(),
        Kind::OneOf(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(", ")
        }
        Kind::Texts => "text or list of texts".to_owned(),
        Kind::TextList => "list of texts".to_owned(),
        Kind::AtRunList => "list of texts, `${run:…}` allowed".to_owned(),
        Kind::Statements => "SQL, or a list, `${run:…}` allowed".to_owned(),
        Kind::AtRunValue => "any, `${run:…}` allowed".to_owned(),
        Kind::Value => "anything".to_owned(),
        Kind::Map(shape) => named(shape, waiting),
        Kind::Named(inner) => format!("names, each: {}", takes(*inner, waiting)),
        Kind::List(inner) => format!("list, each: {}", takes(*inner, waiting)),
        Kind::Either(kinds) => {
            let kinds: Vec<String> = kinds.iter().map(|kind| takes(*kind, waiting)).collect();
            kinds.join(", or ")
        }
        Kind::Connection => named(&keys::CONNECTION, waiting),
        Kind::Step => named(&keys::STEP, waiting),
        Kind::Table => named(&keys::TABLE, waiting),
        Kind::Check => named(&keys::CHECK, waiting),
    }
}

fn named(shape: &'static KeySchema, waiting: &mut Vec<&'static KeySchema>) -> String {
    waiting.push(shape);
    shape.noun.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_a_table_and_of_a_check_is_on_the_page() {
        let page = keys_page();
        let shapes: [&KeySchema; 4] = [&keys::TABLE, &keys::CHECK, &keys::STEP, &keys::ROOT];
        for key in shapes.iter().flat_map(|shape| shape.all()) {
            assert!(
                page.contains(&format!("| `{}` |", key.name)),
                "{}",
                key.name
            );
        }
        assert_eq!(page.matches("### Table\n").count(), 1, "{page}");
    }
}
