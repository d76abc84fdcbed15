//! Reads parts of a project that still has mistakes: its environment, state store, id and connections.
//!
//! Promise: the parts are read as `check` reads them, but mistakes are reported only by `check`. So a
//! connection can be tested although the project has a mistake elsewhere. Read next: `bound.rs`.

use std::collections::BTreeMap;

use towpath_vocab::{ConnectionPlan, Diagnostic, Environment, SecretTemplate, Span, TableFact};

use crate::bound;
use crate::inputs::CheckInputs;
use crate::parsed;
use crate::report::{FileRange, Report};
use crate::schemas::{self, ReadOptions};
use crate::yaml::{self, Dialect, Entry, Node};

/// The environment of a command: the requested one, or `default_environment`, or `dev`.
pub fn environment_of(files: &BTreeMap<String, String>, requested: Option<&str>) -> Environment {
    let said = || {
        let text = files.get("towpath.yml")?;
        let root = yaml::parse("towpath.yml", text, Dialect::Ours, &mut Report::default())?;
        root.get_text("default_environment").map(str::to_owned)
    };
    let name = requested.map(str::to_owned).or_else(said);
    Environment::new(name.unwrap_or_else(|| "dev".to_owned()))
}

/// The value of `state:` in an environment, before the rest of the project is checked.
pub fn state_of(
    files: &BTreeMap<String, String>,
    environment: &Environment,
) -> Option<SecretTemplate> {
    let text = files.get("towpath.yml")?;
    let root = yaml::parse("towpath.yml", text, Dialect::Ours, &mut Report::default())?;
    let own = root
        .get("environments")
        .and_then(|all| all.get(environment.as_str()))
        .and_then(|own| own.get_text("state"));
    own.or_else(|| root.get_text("state"))
        .map(SecretTemplate::new)
}

/// The id of a project, before the rest of it is checked.
pub fn project_of(files: &BTreeMap<String, String>) -> Option<String> {
    let text = files.get("towpath.yml")?;
    let root = yaml::parse("towpath.yml", text, Dialect::Ours, &mut Report::default())?;
    root.get_text("id")
        .or_else(|| root.get_text("name"))
        .map(str::to_owned)
}

/// A connection, and where it is declared.
#[derive(Clone, Debug)]
pub struct OutlinedConnection {
    /// Its options.
    pub plan: ConnectionPlan,
    /// The position of its name.
    pub span: Span,
}

/// The project's connections, by name; `None` if `towpath.yml` cannot be read as a project.
pub fn connections_of(inputs: &CheckInputs<'_>) -> Option<BTreeMap<String, OutlinedConnection>> {
    let mut report = Report::default();
    let mut parsed = parsed::parse(inputs.files, &mut report);
    let bound = bound::bind(&mut parsed, inputs, &mut report)?;
    let connections = bound.connections.iter().map(|(name, connection)| {
        let outlined = OutlinedConnection {
            plan: connection.plan.clone(),
            span: report.span(connection.key_at),
        };
        (name.clone(), outlined)
    });
    Some(connections.collect())
}

/// A table of `schemas/CONNECTION.yml`, with the positions of its parts.
#[derive(Clone, Debug)]
pub struct KnownTable {
    /// Its columns and key.
    pub fact: TableFact,
    /// The options of its load with which it was discovered.
    pub options: ReadOptions,
    /// The position of its name.
    pub span: Span,
    /// The position of each column's name.
    pub columns: BTreeMap<String, Span>,
}

/// The tables of one `schemas/CONNECTION.yml`, by name, in the order of the file.
///
/// # Errors
/// The mistakes of a file that cannot be read.
pub fn read_schemas(path: &str, text: &str) -> Result<Vec<(String, KnownTable)>, Vec<Diagnostic>> {
    let mut report = Report::default();
    let node = yaml::parse(path, text, Dialect::Ours, &mut report);
    let facts = node.as_ref().map(|node| schemas::read(node, &mut report));
    let tables = node.as_ref().and_then(|node| node.get("tables"));
    let known: Vec<(String, KnownTable)> = tables
        .into_iter()
        .flat_map(Node::entries)
        .filter_map(|(name, entry)| {
            let fact = facts.as_ref()?.get(name)?.clone();
            Some((name.to_owned(), known(fact, entry, &report)))
        })
        .collect();
    if report.failed() {
        return Err(report.finish());
    }
    Ok(known)
}

fn known(fact: TableFact, entry: &Entry, report: &Report) -> KnownTable {
    let columns = entry.value.get("columns").into_iter();
    let places: BTreeMap<String, FileRange> = columns
        .flat_map(Node::entries)
        .map(|(name, entry)| (name.to_owned(), entry.key_at))
        .collect();
    KnownTable {
        fact,
        options: schemas::options_of(&entry.value),
        span: report.span(entry.key_at),
        columns: places
            .into_iter()
            .map(|(name, at)| (name, report.span(at)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_environment_is_read_as_yaml() {
        let of = |text: &str, requested: Option<&str>| {
            let files = BTreeMap::from([("towpath.yml".to_owned(), text.to_owned())]);
            environment_of(&files, requested).to_string()
        };
        let said = "towpath: 1\n\"default_environment\" : 'prod'   # quoted\n";
        assert_eq!(of(said, None), "prod");
        assert_eq!(of(said, Some("test")), "test");
        let nested = "vars:\n  default_environment: other\n";
        assert_eq!(of(nested, None), "dev");
        assert_eq!(of("{ broken", None), "dev");
    }

    #[test]
    fn tables_know_where_they_stand() {
        let text = "version: 1\ntables:\n  orders:\n    columns:\n      id: bigint\n";
        let tables = read_schemas("schemas/db.yml", text).unwrap();
        let (name, table) = &tables[0];
        assert_eq!((name.as_str(), table.span.line), ("orders", 3));
        assert_eq!(table.columns["id"].line, 5);
        assert!(read_schemas("schemas/db.yml", "tables: [").is_err());
    }
}
