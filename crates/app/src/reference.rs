//! Writes the reference pages as Markdown, from the declarations that the program itself uses.
//!
//! Promise: a code, key, connector or option is on its page exactly if the binary knows it. It writes no
//! file: `cli` prints the page, and `cargo xtask generate` stores it.

use std::fmt::Write as _;

use towpath_project::keys_page;
use towpath_vocab::{
    Capability, CodeEntry, ConnectorSpec, Guarantee, OptionKind, OptionSpec, OptionUse, Proof,
    WriteMode,
};

use crate::services::connector_specs;

/// The page with every key of every project file.
pub fn project_files_page() -> String {
    keys_page()
}

/// The tables of codes of every crate except `cli`.
const TABLES: &[&[CodeEntry]] = &[
    towpath_project::CODES,
    towpath_sql::CODES,
    towpath_template::CODES,
    towpath_orchestrator::CODES,
    towpath_ports::CODES,
    towpath_flow::CODES,
    towpath_quarantine::CODES,
    towpath_engine::CODES,
    towpath_state::CODES,
    crate::codes::CODES,
    crate::tasks::codes::CODES,
];

/// All codes, sorted; `front` is the table of `cli`.
pub fn all_codes(front: &[&[CodeEntry]]) -> Vec<CodeEntry> {
    let tables = TABLES.iter().chain(towpath_connectors::CODES);
    let tables = tables.chain(front);
    let mut codes: Vec<CodeEntry> = tables.flat_map(|table| *table).copied().collect();
    codes.sort_by_key(|entry| entry.code);
    codes
}

/// The page with every code and its meaning: first those of `check`, then those of commands that run
/// something.
pub fn codes_page(front: &[&[CodeEntry]]) -> String {
    let (found, failed): (Vec<_>, Vec<_>) = all_codes(front)
        .into_iter()
        .partition(|entry| entry.remedy.is_none());
    let mut out = String::from(
        "# Codes\n\nEvery mistake and failure has a code. In the terminal: `towpath check --explain CODE`.\n\n## What `check` finds\n",
    );
    found.iter().for_each(|entry| code(&mut out, entry));
    out.push_str("\n## What commands that run report\n");
    failed.iter().for_each(|entry| code(&mut out, entry));
    out
}

fn code(out: &mut String, entry: &CodeEntry) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\n### {}\n\n{}\n", entry.code, entry.summary);
    if let Some(remedy) = entry.remedy {
        let _ = writeln!(out, "*{}*", remedy.words());
    }
    if entry.explanation.is_empty() {
        return;
    }
    out.push('\n');
    for line in entry.explanation.lines() {
        // Two blanks mark an example in the terminal, four in Markdown.
        let _ = match line.strip_prefix("  ") {
            Some(example) => writeln!(out, "    {example}"),
            None => writeln!(out, "{line}"),
        };
    }
}

/// The page with every connector and its options.
pub fn connectors_page() -> String {
    let mut out = String::from(
        "# Connectors\n\nThe same facts in the terminal: `towpath connection types --format json`.\n",
    );
    write_modes(&mut out);
    for spec in connector_specs() {
        connector(&mut out, &spec);
    }
    out
}

/// The table of write modes by destination. The conformance suite of a destination tries each mode that is
/// declared here; a mode that is not is refused.
fn write_modes(out: &mut String) {
    let all = towpath_engine::Lake::WRITES;
    out.push_str(
        "\n## Write modes\n\nWhat a mode does: [write modes](../how-to/write-modes.md).\n\n| |",
    );
    for mode in all {
        let _ = write!(out, " {} |", words(&[*mode]));
    }
    let _ = writeln!(out, "\n|---|{}", "---|".repeat(all.len()));
    let mut row = |name: &str, modes: &[WriteMode]| {
        let _ = write!(out, "| {name} |");
        for mode in all {
            let _ = write!(out, "{}|", if modes.contains(mode) { " yes " } else { " " });
        }
        out.push('\n');
    };
    row("lakehouse", all);
    for spec in connector_specs() {
        if spec.capabilities.contains(&Capability::Destination) {
            row(&format!("`{}`", spec.kind), &spec.writes);
        }
    }
}

fn connector(out: &mut String, spec: &ConnectorSpec) {
    let _ = write!(out, "\n## `{}`\n\n{}\n\n", spec.kind, spec.doc);
    for (name, fact) in connector_facts(spec) {
        let _ = writeln!(out, "- {name}: {fact}.");
    }
    if let Some(page) = how_to(&spec.kind) {
        let _ = writeln!(
            out,
            "- Examples that a test runs: [how to](../how-to/{page}.md)."
        );
    }
    out.push_str("\n| option | takes | |\n|---|---|---|\n");
    for option in &spec.options {
        let _ = writeln!(
            out,
            "| `{}` | {} | {}{} |",
            option.name,
            takes(option),
            option.doc.replace('|', "\\|"),
            if option.required { " Required." } else { "" }
        );
    }
    for option in &spec.options {
        variants_of(option, out);
    }
    let mut sentence = |text: &str, is_meant: &dyn Fn(&OptionSpec) -> bool| {
        let meant = spec.options.iter().filter(|option| is_meant(option));
        let names: Vec<String> = meant.map(|option| format!("`{}`", option.name)).collect();
        if !names.is_empty() {
            let _ = write!(out, "\n{}\n", text.replace("{}", &names.join(", ")));
        }
    };
    let of_both = |option: &OptionSpec| option.per_table && !option.table_only;
    sentence(
        "A table's entry may set {} too, over the connection's value.",
        &of_both,
    );
    sentence("Only a table's entry may set {}.", &|option| {
        option.table_only
    });
    let has = |capability| spec.capabilities.contains(&capability);
    let has_both = has(Capability::Source) && has(Capability::Destination);
    sentence("Only tables that are read use {}.", &|option| {
        has_both && option.used_by == OptionUse::Reads
    });
    sentence("Only tables that are written use {}.", &|option| {
        option.used_by == OptionUse::Writes
    });
}

/// The keys of each form of an option that is a map.
fn variants_of(option: &OptionSpec, out: &mut String) {
    let OptionKind::Variants(variants) = &option.kind else {
        return;
    };
    for variant in variants {
        let _ = writeln!(
            out,
            "\n`{}: {{ type: {} }}`: {}\n",
            option.name, variant.word, variant.doc
        );
        for key in &variant.keys {
            let required = if key.required { " Required." } else { "" };
            let _ = writeln!(
                out,
                "- `{}` ({}): {}{required}",
                key.name,
                takes(key),
                key.doc
            );
        }
    }
}

/// The words for modes in project files.
fn words<T: serde::Serialize>(modes: &[T]) -> String {
    let words: Vec<String> = modes
        .iter()
        .filter_map(|mode| serde_json::to_value(mode).ok())
        .filter_map(|value| Some(format!("`{}`", value.as_str()?)))
        .collect();
    words.join(", ")
}

/// The page of `docs/how-to` with examples of a connector.
fn how_to(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "adbc" => "adbc",
        "files" => "files",
        "mysql" => "load-mysql",
        "opsgenie" | "pagerduty" | "slack" | "teams" | "webhook" => "alerts",
        "postgres" => "load-postgres",
        "program" => "programs",
        "rest" => "rest",
        "singer" => "singer",
        _ => return None,
    })
}

/// What a connector can do, as pairs of a name and a text in Markdown.
pub fn connector_facts(spec: &ConnectorSpec) -> Vec<(&'static str, String)> {
    let has = |capability| spec.capabilities.contains(&capability);
    let sides = [
        (Capability::Source, "read"),
        (Capability::Destination, "written"),
        (Capability::Discover, "discovered"),
    ];
    let sides = sides
        .into_iter()
        .filter_map(|(capability, word)| has(capability).then_some(word));
    let sides: Vec<&str> = sides.collect();
    let mut facts = Vec::new();
    match has(Capability::Alert) {
        true => facts.push(("Takes", "alerts (`docs/how-to/alerts.md`)".to_owned())),
        false => facts.push(("Tables can be", sides.join(", "))),
    }
    if has(Capability::Source) {
        facts.push(("Read modes", words(&spec.reads)));
    }
    if has(Capability::Destination) {
        facts.push(("Write modes", words(&spec.writes)));
        facts.push(("Guarantee of a write", guarantee(spec.guarantee).to_owned()));
    }
    facts.extend(proven_against(spec).map(|systems| ("Proven against", systems)));
    let required = spec.options.iter().filter(|option| option.required);
    let required: Vec<String> = required
        .map(|option| format!("`{}`", option.name))
        .collect();
    if !required.is_empty() {
        facts.push(("Needs", required.join(", ")));
    }
    let schemes = spec.schemes.iter().map(|scheme| format!("`{scheme}://`"));
    let schemes: Vec<String> = schemes.collect();
    if !schemes.is_empty() {
        facts.push(("URLs", schemes.join(", ")));
    }
    facts
}

/// The systems that the connector was tested with, as text.
fn proven_against(spec: &ConnectorSpec) -> Option<String> {
    let systems = spec.proven.iter().map(|proven| {
        let proof = match proven.proof {
            Proof::RealSystem => "",
            Proof::Emulator => " (emulator)",
            Proof::ProtocolFake => " (a fake of its protocol only)",
        };
        format!("{}{proof}", proven.system)
    });
    let systems: Vec<String> = systems.collect();
    (!systems.is_empty()).then(|| systems.join(", "))
}

fn guarantee(guarantee: Guarantee) -> &'static str {
    match guarantee {
        Guarantee::ExactlyOnce => "exactly once; rows and their token commit together",
        Guarantee::AtLeastOnce => "at least once; a crash at the wrong moment can repeat rows",
        Guarantee::AtomicFile => "one file becomes visible by one rename",
        Guarantee::AtomicManifest => {
            "many files become visible through a manifest; a glob may see them early"
        }
    }
}

fn takes(option: &OptionSpec) -> String {
    match &option.kind {
        OptionKind::Text => "text".to_owned(),
        OptionKind::Path => "path".to_owned(),
        OptionKind::Secret => "secret: `${secret:…}` or `${env:…}`".to_owned(),
        OptionKind::Integer => "whole number".to_owned(),
        OptionKind::Boolean => "`true`, `false`".to_owned(),
        OptionKind::TextList => "text or list of texts".to_owned(),
        OptionKind::TextMap => "map of names to texts".to_owned(),
        OptionKind::SecretMap => "map; its texts may have `${secret:…}` and `${env:…}`".to_owned(),
        OptionKind::Variants(variants) => {
            let words = variants.iter().map(|variant| format!("`{}`", variant.word));
            format!("map with `type`: {}", words.collect::<Vec<_>>().join(", "))
        }
        OptionKind::OneOf(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_one_table_and_each_table_is_sorted() {
        for table in TABLES.iter().chain(towpath_connectors::CODES) {
            assert!(table.is_sorted_by_key(|entry| entry.code));
            assert!(table.iter().all(|entry| entry.summary.ends_with('.')));
        }
        let codes = all_codes(&[]);
        for pair in codes.windows(2) {
            assert_ne!(pair[0].code, pair[1].code);
        }
        assert!(codes.iter().any(|entry| entry.code == "R0507"));
    }
}
