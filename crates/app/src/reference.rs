//! Reference pages as Markdown, from the declarations that the program itself reads.
//!
//! Promise: a code, key, connector or option is on its page exactly when the binary knows it.

use std::fmt::Write as _;

use towpath_project::{EXPLANATIONS, keys_page};
use towpath_vocab::{ConnectorSpec, Face, Guarantee, OptionKind, OptionSpec};

use crate::services::connector_specs;

/// Every key of every project file.
pub fn project_files_page() -> String {
    keys_page()
}

/// Every code that `check` can say.
pub fn codes_page() -> String {
    let mut out = String::from(
        "# Codes\n\nWhat `towpath check` can find. In the terminal: `towpath check --explain CODE`. Codes that start with `R` come from runs; their messages say the way out.\n",
    );
    for (code, text) in EXPLANATIONS {
        // Writing to a String cannot fail.
        let _ = write!(out, "\n## {code}\n\n");
        for line in text.lines() {
            // Two blanks mark an example in the terminal, four in Markdown.
            match line.strip_prefix("  ") {
                Some(example) => {
                    let _ = writeln!(out, "    {example}");
                }
                None => {
                    let _ = writeln!(out, "{line}");
                }
            }
        }
    }
    out
}

/// Every connector with its options.
pub fn connectors_page() -> String {
    let mut out = String::from(
        "# Connectors\n\nThe same facts in the terminal: `towpath connection types --format json`.\n",
    );
    for spec in connector_specs() {
        connector(&mut out, &spec);
    }
    out
}

fn connector(out: &mut String, spec: &ConnectorSpec) {
    let _ = write!(out, "\n## `{}`\n\n{}\n\n", spec.kind, spec.doc);
    let has = |face| spec.faces.contains(&face);
    let sides: Vec<&str> = [
        (Face::Source, "read"),
        (Face::Destination, "written"),
        (Face::Discover, "discovered"),
    ]
    .into_iter()
    .filter_map(|(face, word)| has(face).then_some(word))
    .collect();
    let _ = writeln!(out, "- Its tables can be {}.", sides.join(", "));
    let _ = writeln!(out, "- Read modes: {}.", words(&spec.reads));
    if has(Face::Destination) {
        let _ = writeln!(out, "- Writes: {}.", words(&spec.writes));
        let _ = writeln!(
            out,
            "- Guarantee of a write: {}.",
            guarantee(spec.guarantee)
        );
    }
    let schemes: Vec<String> = spec
        .schemes
        .iter()
        .map(|scheme| format!("`{scheme}://`"))
        .collect();
    let _ = writeln!(out, "- URLs: {}.", schemes.join(", "));
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
    if spec.options.iter().any(|option| option.per_table) {
        let names: Vec<String> = spec
            .options
            .iter()
            .filter(|option| option.per_table)
            .map(|option| format!("`{}`", option.name))
            .collect();
        let _ = write!(
            out,
            "\nA table's entry may set {} too, over the connection's value.\n",
            names.join(", ")
        );
    }
}

/// Words of the project files for modes.
fn words<T: serde::Serialize>(modes: &[T]) -> String {
    let words: Vec<String> = modes
        .iter()
        .filter_map(|mode| serde_json::to_value(mode).ok())
        .filter_map(|value| Some(format!("`{}`", value.as_str()?)))
        .collect();
    words.join(", ")
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
        OptionKind::OneOf(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(", ")
        }
    }
}
