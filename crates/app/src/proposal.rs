//! Proposes the table of an endpoint that a connection does not declare.
//!
//! Promise: the blocks are YAML that can be pasted into the project's files as they are; what is a guess is
//! a comment behind its key. It writes nothing. Read next: `external_systems.rs`, and the connector's own
//! `probe/`.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;
use towpath_ports::{Proposal, ProposedKey};
use towpath_vocab::{Failure, Remedy};

use crate::Result;
use crate::external_systems::{ExternalSystems, find};
use crate::folder::ProjectFolder;

/// The request of a proposal.
#[derive(Clone, Debug)]
pub struct ProposeRequest {
    /// The project folder.
    pub dir: PathBuf,
    /// `--env`.
    pub environment: Option<String>,
    /// The connection.
    pub connection: String,
    /// What is asked for, as the user writes it.
    pub path: String,
}

/// What is proposed.
#[derive(Clone, Debug, Serialize)]
pub struct ProposalReport {
    /// Version of this form; 1.
    pub version: u32,
    /// The connection.
    pub connection: String,
    /// The name of the table.
    pub table: String,
    /// The table, for `tables` of the connection, as YAML.
    pub block: String,
    /// The table in a pipeline, as YAML.
    pub load: String,
    /// Keys that the system has not shown.
    pub guesses: Vec<String>,
    /// What was not found, and other notes.
    pub notes: Vec<String>,
}

/// Asks a connection for an object, and proposes its table.
///
/// # Errors
/// If the connection needs no declarations, or the object cannot be read.
pub async fn propose(request: &ProposeRequest) -> Result<ProposalReport> {
    let folder = ProjectFolder::read(&request.dir)?;
    let connection = find(&folder, request.environment.as_deref(), &request.connection)?;
    let systems = ExternalSystems::new(&request.dir);
    let there = systems.discover(&connection)?;
    let Some(proposal) = there.propose(&request.path).await? else {
        let name = &request.connection;
        let what = format!(
            "connection `{name}` of type `{}` has no endpoints to probe",
            connection.kind
        );
        let help = format!("its tables need no options: towpath connection discover {name}");
        return Err(Failure::new("R0994", Remedy::FixConfig, what).help(help));
    };
    Ok(report(&request.connection, &proposal))
}

fn report(connection: &str, proposal: &Proposal) -> ProposalReport {
    let keys = proposal.options.iter().chain(&proposal.load);
    let guesses = keys.filter(|key| key.is_guess);
    ProposalReport {
        version: 1,
        connection: connection.to_owned(),
        table: proposal.table.clone(),
        block: block(&proposal.table, &proposal.options),
        load: block(&proposal.table, &proposal.load),
        guesses: guesses.map(|key| key.name.clone()).collect(),
        notes: proposal.notes.clone(),
    }
}

/// A table and its keys, one a line, each with what shows it.
fn block(table: &str, keys: &[ProposedKey]) -> String {
    if keys.is_empty() {
        return format!("{}: {{}}\n", text(table));
    }
    let lines: Vec<(String, String)> = keys
        .iter()
        .map(|key| {
            let line = format!("  {}: {}", key.name, value(&key.value));
            let why = match (key.is_guess, key.why.as_str()) {
                (false, "") => String::new(),
                (false, why) => format!("# {why}"),
                (true, "") => "# guess".to_owned(),
                (true, why) => format!("# guess: {why}"),
            };
            (line, why)
        })
        .collect();
    let widest = lines.iter().map(|(line, _)| line.chars().count()).max();
    let widest = widest.unwrap_or(0);
    let mut block = format!("{}:\n", text(table));
    for (line, why) in lines {
        let line = format!("{line:widest$} {why}");
        block.push_str(line.trim_end());
        block.push('\n');
    }
    block
}

/// A value in YAML on one line.
fn value(of: &Value) -> String {
    match of {
        Value::String(of) => text(of),
        Value::Object(map) => {
            let pairs = map.iter();
            let pairs = pairs.map(|(key, of)| format!("{}: {}", text(key), value(of)));
            let pairs: Vec<String> = pairs.collect();
            match pairs.is_empty() {
                true => "{}".to_owned(),
                false => format!("{{ {} }}", pairs.join(", ")),
            }
        }
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(value).collect();
            format!("[{}]", items.join(", "))
        }
        plain => plain.to_string(),
    }
}

/// A text in YAML: in quotes unless it can only be a text.
fn text(of: &str) -> String {
    let is_word = of.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && of
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "_-./".contains(letter));
    let lower = of.to_ascii_lowercase();
    let means_more = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    match is_word && !means_more.contains(&lower.as_str()) {
        true => of.to_owned(),
        false => Value::from(of).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(name: &str, value: Value, why: &str, is_guess: bool) -> ProposedKey {
        ProposedKey {
            name: name.to_owned(),
            value,
            why: why.to_owned(),
            is_guess,
        }
    }

    #[test]
    fn keys_are_yaml_with_what_shows_them() {
        let keys = [
            key("path", json!("v1/x"), "", false),
            key(
                "params",
                json!({ "since": "{cursor}", "size": "1" }),
                "",
                false,
            ),
            key("records", json!("$"), "the only one", true),
            key(
                "paginate",
                json!({ "type": "page", "start": 0 }),
                "two",
                false,
            ),
        ];
        let block = block("invoices", &keys);
        let lines = block.lines().map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.join(" ")
        });
        let expected = [
            "invoices:",
            "path: v1/x",
            "params: { since: \"{cursor}\", size: \"1\" }",
            "records: \"$\" # guess: the only one",
            "paginate: { type: page, start: 0 } # two",
        ];
        assert_eq!(lines.collect::<Vec<_>>(), expected);
        assert_eq!(super::block("x", &[]), "x: {}\n");
        let list = value(&json!([1, "no", "a b", true]));
        assert_eq!(list, "[1, \"no\", \"a b\", true]");
    }
}
