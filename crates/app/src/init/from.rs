//! Drafts a project for existing data: a database by its URL, or a folder of files.
//!
//! Promise: each table that can be read becomes a load, which is incremental if a key and a cursor column
//! are known. The URL is used here only; the project names an environment variable that holds it. Read
//! next: `start.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use towpath_ports::{Discovered, System};
use towpath_project::{ReadOptions, write_schemas, yaml_text};
use towpath_vocab::{
    ConnectionPlan, Failure, Naming, OptionValue, Remedy, SecretTemplate, TableFact,
};

use super::start::{Draft, Variable};
use crate::Result;
use crate::copy::{is_of_files, refuse_address};
use crate::external_systems::{DiscoveryResult, ExternalSystems, describe_tables, fact};
use crate::services::{connector_specs, files_kind, of_scheme};

/// The lakehouse schema of the loaded tables.
const INTO: &str = "raw";
/// All tables of all schemas, and all files with an ending.
const ALL: &str = "*.*";

/// The connection of the new project, and its plan for the discovery.
struct DraftConnection {
    name: String,
    text: String,
    plan: ConnectionPlan,
    variable: Option<Variable>,
}

/// Discovers the tables, and drafts the project's files.
pub(super) async fn draft(dir: &Path, name: &str, id: &str, from: &str) -> Result<Draft> {
    let systems = ExternalSystems::new(dir);
    let there = match from.split_once("://") {
        Some((scheme, _)) if is_of_files(scheme, &connector_specs()) && scheme != "file" => {
            bucket(from)
        }
        Some((scheme, _)) => database(from, scheme, &systems)?,
        None => {
            refuse_address(from, Path::new("."))?;
            folder(dir, Path::new(from))?
        }
    };
    let discover = systems.discover(&there.plan)?;
    let (found, failed) = describe_tables(discover.as_ref(), from_shown(from, &there), ALL).await?;
    if found.is_empty() {
        let (_, failure) = failed.into_iter().next().ok_or_else(|| {
            Failure::new(
                "R0946",
                Remedy::Bug,
                "the discovery found no table and reported no error",
            )
        })?;
        return Err(failure);
    }
    let now = systems.now();
    let facts: Vec<(String, TableFact, ReadOptions)> = found
        .iter()
        .map(|table| (table.object.clone(), fact(table, &now), ReadOptions::new()))
        .collect();
    let names = if collides(&found) {
        Naming::Exact
    } else {
        Naming::Snake
    };
    let notes = found.iter().flat_map(|table| {
        let notes = table.notes.iter();
        notes.map(|note| format!("{}: {note}", table.object))
    });
    let failures = failed
        .iter()
        .map(|(table, failure)| format!("{table} is left out: {}", failure.message));
    let unread = not_read(&there, &found, &failed);
    Ok(Draft {
        notes: notes.chain(failures).chain(unread).collect(),
        tables: found.len(),
        variable: there.variable.clone(),
        files: vec![
            ("towpath.yml".to_owned(), root(name, id, &there, names)),
            (
                format!("pipelines/{name}.yml"),
                pipeline(&there.name, &(found, failed), names),
            ),
            (
                format!("schemas/{}.yml", there.name),
                write_schemas(&there.name, &facts),
            ),
        ],
    })
}

/// The name of the source in messages: never the URL.
fn from_shown<'a>(from: &'a str, there: &'a DraftConnection) -> &'a str {
    if there.variable.is_some() {
        &there.name
    } else {
        from
    }
}

fn database(url: &str, scheme: &str, systems: &ExternalSystems) -> Result<DraftConnection> {
    let specs = connector_specs();
    let spec = of_scheme(&specs, scheme).map_err(|failure| {
        failure.help("write the path of a folder of files: towpath init --from data")
    })?;
    let name = match database_name(url) {
        Some(database) => format!("{}_db", database.trim_end_matches("_db")),
        None => format!("{}_db", spec.kind),
    };
    let environment = systems.system.environment();
    let holder = environment
        .iter()
        .find(|(variable, value)| value.as_str() == url && is_variable(variable));
    let variable = match holder {
        Some((variable, _)) => Variable {
            name: variable.clone(),
            is_set: true,
        },
        None => {
            let name = format!("{}_URL", name.to_uppercase());
            Variable {
                is_set: environment.get(&name).is_some_and(|value| value == url),
                name,
            }
        }
    };
    let text = format!(
        "  {name}:\n    type: {}\n    url: ${{env:{}}}\n",
        spec.kind, variable.name
    );
    let url = OptionValue::Secret(SecretTemplate::new(url));
    Ok(DraftConnection {
        plan: ConnectionPlan {
            name: name.clone(),
            kind: spec.kind.clone(),
            writable: false,
            options: BTreeMap::from([("url".to_owned(), url)]),
        },
        name,
        text,
        variable: Some(variable),
    })
}

/// The name of the database in a URL: `shop` for `postgres://u:p@h/shop?x=y`.
fn database_name(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let rest = rest.split(['?', '#']).next()?;
    let (_, database) = rest.rsplit_once('/')?;
    let name = Naming::Snake.apply(database);
    let good = !database.is_empty() && name.starts_with(|c: char| c.is_ascii_lowercase());
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (good && plain).then_some(name)
}

/// Notes about files of a folder that no table reads, with what the user can do.
fn not_read(
    there: &DraftConnection,
    found: &[Discovered],
    failed: &[(String, Failure)],
) -> Vec<String> {
    let Some(folder) = there.plan.text("path").filter(|_| there.variable.is_none()) else {
        return Vec::new();
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.path().is_file());
    let mut names: Vec<String> = files
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .filter(|name| !found.iter().any(|table| table.object == *name))
        .filter(|name| !failed.iter().any(|(table, _)| table == name))
        .collect();
    names.sort();
    let note = |name: String| {
        let lower = name.to_lowercase();
        let is_sheet = [".xls", ".xlsb", ".ods"]
            .iter()
            .any(|end| lower.ends_with(end));
        match is_sheet {
            true => format!("{name} is not read: save it as .xlsx, or its sheets as CSV"),
            false => format!(
                "{name} is not read: its name does not show its format; a table with `from: {name}` and `format: csv` reads it"
            ),
        }
    };
    names.into_iter().map(note).collect()
}

fn is_variable(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn folder(dir: &Path, from: &Path) -> Result<DraftConnection> {
    let root = from.canonicalize().map_err(|error| {
        Failure::new(
            "R0933",
            Remedy::FixConfig,
            format!("{} cannot be read: {error}", from.display()),
        )
        .help("--from takes a folder of files, or the URL of a database: postgres://user@host/name")
    })?;
    let stem = root.file_stem().map(|name| name.to_string_lossy());
    let path = relative(dir, &root);
    let path = path.display().to_string();
    Ok(files(stem.as_deref(), &path, root.display().to_string()))
}

/// The files below a prefix of a bucket.
fn bucket(from: &str) -> DraftConnection {
    let last = from.trim_end_matches('/').rsplit('/').next();
    let stem = last.and_then(|last| last.split('.').next());
    files(stem, from, from.to_owned())
}

/// A connection whose files are at `path`, which the project names as `shown`.
fn files(stem: Option<&str>, shown: &str, path: String) -> DraftConnection {
    let name = stem.map(|stem| Naming::Snake.apply(stem));
    let name = match name {
        Some(name) if name != INTO && !name.is_empty() && !name.starts_with('_') => name,
        _ => "files".to_owned(),
    };
    let options = BTreeMap::from([(
        "path".to_owned(),
        OptionValue::Plain(serde_json::Value::from(path)),
    )]);
    DraftConnection {
        text: format!("  {name}: {{ type: files, path: {} }}\n", yaml_text(shown)),
        plan: ConnectionPlan {
            name: name.clone(),
            kind: files_kind(),
            writable: false,
            options,
        },
        name,
        variable: None,
    }
}

/// The path in the files of a project in `dir`: relative if it is in the project or next to it.
fn relative(dir: &Path, path: &Path) -> PathBuf {
    if let Ok(inside) = path.strip_prefix(dir) {
        return match inside.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => inside.to_path_buf(),
        };
    }
    let beside = dir
        .parent()
        .and_then(|parent| path.strip_prefix(parent).ok());
    beside.map_or_else(|| path.to_path_buf(), |beside| Path::new("..").join(beside))
}

fn root(name: &str, id: &str, there: &DraftConnection, names: Naming) -> String {
    let names = match names {
        Naming::Snake => "",
        Naming::Exact => {
            "names: exact      # in snake case two columns of a table would have the same name\n"
        }
    };
    format!(
        "\
# yaml-language-server: $schema=.towpath/schemas/towpath.json
towpath: 1
name: {name}
id: {id}      # part of every commit; never change it
lakehouse: ./lake
{names}
connections:
{}",
        there.text
    )
}

fn pipeline(connection: &str, (found, failed): &DiscoveryResult, names: Naming) -> String {
    let mut out = format!(
        "\
# yaml-language-server: $schema=../.towpath/schemas/pipeline.json
# With `cursor` and `key`, only changed rows are read, and merged by key; without them everything is read again.
steps:
  extract:
    load: {connection}
    into: {INTO}
    tables:
"
    );
    let mut taken = BTreeSet::new();
    for table in found {
        let name = table_name(&table.object, &mut taken);
        // Writing to a String cannot fail.
        let _ = writeln!(out, "      {name}: {}", entry(&name, table, names));
    }
    for (table, failure) in failed {
        let reason = failure.message.replace(['\n', '\r'], " ");
        let _ = writeln!(out, "      # {table} is left out: {reason}");
    }
    out.push_str(BUILD);
    out
}

/// The step that builds all models in `models/`.
const BUILD: &str = "  build:                                   # every query under models/, such as models/marts/orders.sql
    models: all
";

/// A project for an existing dbt project, whose files are not changed.
pub(super) fn around_dbt(name: &str, id: &str) -> Draft {
    let root = format!(
        "\
# yaml-language-server: $schema=.towpath/schemas/towpath.json
towpath: 1
name: {name}
id: {id}      # part of every commit; never change it
lakehouse: ./lake
"
    );
    let pipeline = format!(
        "\
# yaml-language-server: $schema=../.towpath/schemas/pipeline.json
# Sources are tables that a step loads: extract: {{ load: CONNECTION, into: SCHEMA, tables: {{ … }} }}
steps:
{BUILD}"
    );
    Draft {
        files: vec![
            ("towpath.yml".to_owned(), root),
            (format!("pipelines/{name}.yml"), pipeline),
        ],
        notes: vec![
            "your dbt files are unchanged; `towpath check` lists what is not read of them"
                .to_owned(),
        ],
        ..Draft::default()
    }
}

fn entry(name: &str, table: &Discovered, names: Naming) -> String {
    let mut parts = Vec::new();
    if name != table.object {
        parts.push(format!("from: {}", yaml_text(&table.object)));
    }
    let key: Vec<String> = table
        .key
        .iter()
        .map(|column| yaml_text(&names.apply(column)))
        .collect();
    if let Some(cursor) = table.cursor.as_ref().filter(|_| !key.is_empty()) {
        parts.push(format!("cursor: {}", yaml_text(cursor)));
    }
    match key.as_slice() {
        [] => {}
        [one] => parts.push(format!("key: {one}")),
        many => parts.push(format!("key: [{}]", many.join(", "))),
    }
    if parts.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{ {} }}", parts.join(", "))
    }
}

/// The table name for an object: `Order Details` -> `order_details`, `orders.csv.gz` -> `orders`,
/// `sales.orders` -> `orders`, or `sales_orders` if there is another `orders`.
fn table_name(object: &str, taken: &mut BTreeSet<String>) -> String {
    let file = object.rsplit('/').next().unwrap_or(object);
    let endings = [
        ".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".xml", ".parquet", ".avro", ".arrow",
        ".feather", ".ipc", ".xlsx", ".xlsm",
    ];
    let lower = file.to_lowercase();
    let short = endings
        .iter()
        .find_map(|ending| file.get(..lower.find(ending)?))
        .unwrap_or_else(|| file.rsplit('.').next().unwrap_or(file));
    let long = Naming::Snake.apply(object);
    let short = Naming::Snake.apply(short);
    let numbered = (2..).map(|number| format!("{long}_{number}"));
    let name = [short, long.clone()]
        .into_iter()
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .unwrap_or(long);
    taken.insert(name.clone());
    name
}

fn collides(found: &[Discovered]) -> bool {
    found.iter().any(|table| {
        let mut names = BTreeSet::new();
        let fields = table.schema.fields().iter();
        fields
            .map(|field| Naming::Snake.apply(field.name()))
            .any(|name| !names.insert(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_become_tables_with_names_of_their_own() {
        let mut taken = BTreeSet::new();
        let names: Vec<String> = [
            "orders",
            "sales.orders",
            "Order Details",
            "orders.csv.gz",
            "2024.parquet",
            "in/events.avro",
            "points.arrows",
            "feed.xml.gz",
            "plan.xlsx",
        ]
        .iter()
        .map(|object| table_name(object, &mut taken))
        .collect();
        assert_eq!(
            names,
            [
                "orders",
                "sales_orders",
                "order_details",
                "orders_csv_gz",
                "_2024",
                "events",
                "points",
                "feed",
                "plan"
            ]
        );
    }

    #[test]
    fn a_database_is_named_without_its_password() {
        let name = |url| database_name(url);
        assert_eq!(
            name("postgres://me:p%2Fw@host:5432/shop?sslmode=require"),
            Some("shop".to_owned())
        );
        assert_eq!(name("postgres://host/"), None);
        assert_eq!(name("postgres://me:pw@host"), None);
    }

    #[test]
    fn paths_beside_the_project_are_relative() {
        let of = |path: &str| relative(Path::new("/a/shop"), Path::new(path));
        assert_eq!(of("/a/shop/data"), Path::new("data"));
        assert_eq!(of("/a/data/in"), Path::new("../data/in"));
        assert_eq!(of("/b/data"), Path::new("/b/data"));
    }
}
