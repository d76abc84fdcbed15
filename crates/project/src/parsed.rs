//! Phase one: files to trees, by what each file is.
//!
//! Promise: every file of the project is read once; what is no part of a project is left alone. It
//! binds nothing and judges no key. Read next: `bound.rs`.

use std::collections::BTreeMap;

use crate::report::Report;
use crate::yaml::{self, Dialect, Node};

/// A text file that is not YAML.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextFile<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
    pub(crate) file: u32,
}

/// The project's files, parsed.
#[derive(Debug, Default)]
pub(crate) struct Parsed<'a> {
    pub(crate) root: Option<Node>,
    /// By the file's name.
    pub(crate) connections: Vec<(String, Node)>,
    pub(crate) pipelines: Vec<(String, Node)>,
    pub(crate) schemas: Vec<(String, Node)>,
    /// dbt's YAML beside models.
    pub(crate) properties: Vec<Node>,
    pub(crate) models: Vec<TextFile<'a>>,
    pub(crate) macros: Vec<TextFile<'a>>,
    /// How many files belong to the project.
    pub(crate) files: usize,
}

/// What a path holds.
enum Part {
    Root,
    Connection(String),
    Pipeline(String),
    Schema(String),
    Property,
    Model,
    Macro,
    Later(&'static str),
}

/// Reads all files.
pub(crate) fn parse<'a>(files: &'a BTreeMap<String, String>, report: &mut Report) -> Parsed<'a> {
    let mut parsed = Parsed::default();
    let mut later: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    for (path, text) in files {
        let Some(part) = part(path, report) else {
            continue;
        };
        parsed.files += 1;
        match part {
            Part::Root => parsed.root = yaml::parse(path, text, Dialect::Ours, report),
            Part::Connection(name) => push(&mut parsed.connections, name, path, text, report),
            Part::Pipeline(name) => push(&mut parsed.pipelines, name, path, text, report),
            Part::Schema(name) => push(&mut parsed.schemas, name, path, text, report),
            Part::Property => {
                parsed
                    .properties
                    .extend(yaml::parse(path, text, Dialect::Dbt, report))
            }
            Part::Model => {
                let file = report.file(path);
                parsed.models.push(TextFile { path, text, file });
            }
            Part::Macro => {
                let file = report.file(path);
                parsed.macros.push(TextFile { path, text, file });
            }
            Part::Later(folder) => {
                let entry = later.entry(folder).or_insert((0, path.clone()));
                entry.0 += 1;
            }
        }
    }
    for (folder, (count, path)) in later {
        let file = report.file(&path);
        let at = crate::report::At {
            file,
            line: 1,
            column: 1,
            ..Default::default()
        };
        report
            .note(
                "P0115",
                at,
                format!("`{folder}/` is not active in this version"),
            )
            .help(format!("{count} file(s) there are left alone"));
    }
    parsed
}

fn push(into: &mut Vec<(String, Node)>, name: String, path: &str, text: &str, report: &mut Report) {
    into.extend(yaml::parse(path, text, Dialect::Ours, report).map(|node| (name, node)));
}

fn part(path: &str, report: &mut Report) -> Option<Part> {
    if path == "towpath.yml" {
        return Some(Part::Root);
    }
    let (folder, rest) = path.split_once('/')?;
    let (stem, extension) = rest.rsplit_once('.')?;
    let yaml = matches!(extension, "yml" | "yaml");
    let top = || yaml.then(|| (!stem.contains('/')).then(|| stem.to_owned()));
    let named = match folder {
        "connections" | "pipelines" | "schemas" => top()?,
        _ => None,
    };
    match (folder, extension) {
        ("connections" | "pipelines" | "schemas", _) => {
            let Some(name) = named else {
                let file = report.file(path);
                let at = crate::report::At {
                    file,
                    line: 1,
                    column: 1,
                    ..Default::default()
                };
                report
                    .warning("P0128", at, format!("`{path}` is not read"))
                    .help(format!("files stand directly under `{folder}/`"));
                return None;
            };
            Some(match folder {
                "connections" => Part::Connection(name),
                "pipelines" => Part::Pipeline(name),
                _ => Part::Schema(name),
            })
        }
        ("models", "sql") => Some(Part::Model),
        ("models", _) if yaml => Some(Part::Property),
        ("macros", "sql") => Some(Part::Macro),
        ("seeds", "csv") => Some(Part::Later("seeds")),
        ("snapshots", "sql" | "yml" | "yaml") => Some(Part::Later("snapshots")),
        ("tests", "sql") => Some(Part::Later("tests")),
        ("contracts", _) if yaml => Some(Part::Later("contracts")),
        _ => None,
    }
}
