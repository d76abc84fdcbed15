//! Phase one: parses the files, each by its kind.
//!
//! Promise: every file of the project is parsed once; other files are ignored. It binds nothing and checks
//! no key. Read next: `bound.rs`.

use std::collections::BTreeMap;

use towpath_vocab::{Diagnostic, Level};

use crate::report::{FileRange, Report};
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
    /// dbt's YAML files next to models.
    pub(crate) properties: Vec<Node>,
    pub(crate) models: Vec<TextFile<'a>>,
    pub(crate) macros: Vec<TextFile<'a>>,
    /// CSV files in `seeds/`, of which the first line is known.
    pub(crate) seeds: Vec<TextFile<'a>>,
    /// `dbt_project.yml`.
    pub(crate) dbt_project: Option<Node>,
    /// Paths of all files.
    pub(crate) paths: Vec<&'a str>,
    /// The number of files of the project.
    pub(crate) files: usize,
}

/// The kind of a file, by its path.
enum Part {
    Root,
    Connection(String),
    Pipeline(String),
    Schema(String),
    Property,
    Model,
    Macro,
    Seed,
    DbtProject,
    /// A folder or a kind of file that this version does not support, and whether rows differ without it.
    Later(&'static str, Level),
}

/// Parses all files.
pub(crate) fn parse<'a>(files: &'a BTreeMap<String, String>, report: &mut Report) -> Parsed<'a> {
    let mut parsed = Parsed::default();
    let mut later: BTreeMap<&str, (usize, String, Level)> = BTreeMap::new();
    parsed.paths = files.keys().map(String::as_str).collect();
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
            Part::Seed => {
                let file = report.file(path);
                parsed.seeds.push(TextFile { path, text, file });
            }
            Part::DbtProject => {
                parsed.dbt_project = yaml::parse(path, text, Dialect::Dbt, report);
            }
            Part::Later(what, level) => {
                let entry = later.entry(what).or_insert((0, path.clone(), level));
                entry.0 += 1;
            }
        }
    }
    for (what, (count, path, level)) in later {
        let at = head(&path, report);
        report
            .say(Diagnostic {
                level,
                ..Diagnostic::error("P0115", format!("{what} are not supported in this version"))
                    .at(report.span(at))
            })
            .help(match count {
                1 => "the file is not read".to_owned(),
                _ => format!("{count} files are not read"),
            });
    }
    parsed
}

fn push(into: &mut Vec<(String, Node)>, name: String, path: &str, text: &str, report: &mut Report) {
    into.extend(yaml::parse(path, text, Dialect::Ours, report).map(|node| (name, node)));
}

fn head(path: &str, report: &mut Report) -> FileRange {
    FileRange {
        file: report.file(path),
        line: 1,
        column: 1,
        ..FileRange::default()
    }
}

fn part(path: &str, report: &mut Report) -> Option<Part> {
    match path {
        "towpath.yml" => return Some(Part::Root),
        "dbt_project.yml" => return Some(Part::DbtProject),
        "towpath.yaml" => {
            let at = head(path, report);
            report
                .warning("P0128", at, "`towpath.yaml` is not read")
                .help("the name of the project file is towpath.yml");
            return None;
        }
        _ => {}
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
                let at = head(path, report);
                report
                    .warning("P0128", at, format!("`{path}` is not read"))
                    .help(format!("files must be directly in `{folder}/`"));
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
        ("macros", _) if yaml => Some(Part::Property),
        ("seeds", "csv") => Some(Part::Seed),
        ("seeds", _) if yaml => Some(Part::Property),
        ("models", "py") => Some(Part::Later("models in Python", Level::Error)),
        ("snapshots", "sql" | "yml" | "yaml") => Some(Part::Later("snapshots", Level::Warning)),
        ("tests", "sql" | "yml" | "yaml") => {
            Some(Part::Later("tests in files of their own", Level::Warning))
        }
        ("contracts", _) if yaml => Some(Part::Later("contracts", Level::Warning)),
        _ => None,
    }
}
