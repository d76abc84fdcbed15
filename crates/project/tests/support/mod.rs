//! Projects as text: reads a case, checks it, and prints the result as a user sees it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests"
)]
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use towpath_project::{CheckInputs, CheckedProject, check};
use towpath_vocab::{
    Action, Capability, ConnectorSpec, Diagnostic, Facts, Guarantee, Level, ObjectKind, OptionKind,
    OptionSpec, OptionUse, ReadMode, WriteMode,
};

pub(crate) fn option(name: &str, kind: OptionKind, required: bool, per_table: bool) -> OptionSpec {
    OptionSpec {
        name: name.into(),
        kind,
        required,
        per_table,
        table_only: false,
        used_by: OptionUse::Always,
        doc: format!("the {name}"),
    }
}

/// Connectors like the real ones, as data.
pub(crate) fn specs() -> Vec<ConnectorSpec> {
    let capabilities = vec![
        Capability::Source,
        Capability::Destination,
        Capability::Discover,
    ];
    vec![
        ConnectorSpec {
            kind: "files".into(),
            doc: "A folder of files.".into(),
            objects: ObjectKind::Files,
            capabilities: capabilities.clone(),
            options: vec![
                option("path", OptionKind::Path, true, false),
                option(
                    "format",
                    OptionKind::OneOf(vec!["csv".into(), "parquet".into(), "json".into()]),
                    false,
                    true,
                ),
                option("null_values", OptionKind::TextList, false, true),
                option(
                    "missing_columns",
                    OptionKind::OneOf(vec!["fail".into(), "null".into()]),
                    false,
                    true,
                ),
                option("header", OptionKind::Boolean, false, true),
                OptionSpec {
                    used_by: OptionUse::Reads,
                    ..option("records", OptionKind::Text, false, true)
                },
            ],
            limits: Vec::new(),
            reads: vec![ReadMode::Full, ReadMode::Incremental],
            needs_cursor: false,
            tells_version: true,
            keeps_text: true,
            writes: vec![WriteMode::Replace, WriteMode::Append],
            guarantee: Guarantee::AtomicFile,
            proven: Vec::new(),
            schemes: vec!["file".into()],
            endings: Vec::new(),
        },
        ConnectorSpec {
            kind: "postgres".into(),
            doc: "PostgreSQL.".into(),
            objects: ObjectKind::Tables,
            capabilities: [capabilities.clone(), vec![Capability::Sql]].concat(),
            options: vec![
                option("url", OptionKind::Secret, true, false),
                option("schema", OptionKind::Text, false, false),
                OptionSpec {
                    used_by: OptionUse::Writes,
                    ..option("replace", OptionKind::Text, false, true)
                },
                OptionSpec {
                    table_only: true,
                    ..option("zone", OptionKind::Text, false, true)
                },
            ],
            limits: vec!["connections".into()],
            reads: vec![ReadMode::Full, ReadMode::Incremental],
            needs_cursor: true,
            tells_version: false,
            keeps_text: false,
            writes: vec![WriteMode::Replace, WriteMode::Append, WriteMode::Merge],
            guarantee: Guarantee::ExactlyOnce,
            proven: Vec::new(),
            schemes: vec!["postgres".into(), "pgsql".into()],
            endings: Vec::new(),
        },
    ]
}

/// A check of files with nothing known of the outside.
pub(crate) fn run(files: &BTreeMap<String, String>, environment: Option<&str>) -> CheckedProject {
    run_with(
        files,
        environment,
        &Facts::default(),
        &BTreeMap::new(),
        &BTreeMap::new(),
    )
}

pub(crate) fn run_with(
    files: &BTreeMap<String, String>,
    environment: Option<&str>,
    facts: &Facts,
    variables: &BTreeMap<String, String>,
    params: &BTreeMap<String, String>,
) -> CheckedProject {
    check(&CheckInputs {
        files,
        specs: &specs(),
        facts,
        environment,
        variables,
        params,
    })
}

/// All text files below a folder.
pub(crate) fn folder(root: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    walk(root, root, &mut files);
    files
}

fn walk(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            if !matches!(
                path.file_name().and_then(|n| n.to_str()),
                Some("data" | "lake" | "out" | ".towpath")
            ) {
                walk(root, &path, files);
            }
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            let name = path
                .strip_prefix(root)
                .expect("below root")
                .to_string_lossy()
                .replace('\\', "/");
            files.insert(name, text);
        }
    }
}

/// Diagnostics as text with the line and a caret.
pub(crate) fn draw(diagnostics: &[Diagnostic], files: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let level = match diagnostic.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "note",
        };
        writeln!(out, "{level}[{}]: {}", diagnostic.code, diagnostic.message).unwrap();
        if let Some(span) = &diagnostic.span {
            writeln!(out, "  --> {}:{}:{}", span.file, span.line, span.column).unwrap();
            let text = files
                .get(&span.file)
                .map(String::as_str)
                .unwrap_or_default();
            if let Some(line) = text.lines().nth(span.line - 1) {
                assert!(
                    span.end <= text.len() && span.start <= span.end,
                    "{diagnostic:?}"
                );
                let under = text.get(span.start..span.end).expect("whole characters");
                let width = under
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .chars()
                    .count()
                    .max(1);
                let label = diagnostic.label.as_deref().unwrap_or_default();
                writeln!(out, "   | {line}").unwrap();
                let caret = format!(
                    "{}{} {label}",
                    " ".repeat(span.column - 1),
                    "^".repeat(width)
                );
                writeln!(out, "   | {}", caret.trim_end()).unwrap();
            }
        }
        for help in &diagnostic.help {
            writeln!(out, "   = {help}").unwrap();
        }
    }
    out
}

/// A plan, one line for each task.
pub(crate) fn outline(checked: &CheckedProject) -> String {
    let mut out = String::new();
    let Some(plan) = &checked.plan else {
        return "no plan\n".to_owned();
    };
    for pipeline in &plan.pipelines {
        for task in &pipeline.tasks {
            let what = match &task.action {
                Action::Load(load) => {
                    let table = &load.table;
                    let rules: Vec<String> = table
                        .rules
                        .iter()
                        .map(|r| format!("{}.{}", r.column, r.kind.code()))
                        .collect();
                    let checks: Vec<&str> = table.checks.iter().map(|c| c.name.as_str()).collect();
                    format!(
                        "load {} {:?} {:?} {:?} key={:?} rules={rules:?} checks={checks:?}",
                        load.connection.name,
                        load.selection,
                        load.read,
                        table.write.mode,
                        table.write.key
                    )
                }
                Action::Model(model) => {
                    let checks: Vec<&str> =
                        model.table.checks.iter().map(|c| c.name.as_str()).collect();
                    format!(
                        "model {:?} deferred={} checks={checks:?}",
                        model.materialized, model.deferred
                    )
                }
                Action::Command(command) => {
                    format!("command {:?} reads={:?}", command.argv, command.reads.len())
                }
                Action::Sql(sql) => format!(
                    "sql in {} transaction={} {:?}",
                    sql.connection.name, sql.transaction, sql.statements
                ),
                Action::Http(http) => format!(
                    "http {} {} expect={:?} {:?}",
                    http.method, http.url, http.expect, http.body
                ),
                Action::Publish(publish) => {
                    format!(
                        "publish {} -> {:?} writable={}",
                        publish.from, publish.table.write.mode, publish.connection.writable
                    )
                }
            };
            let after: Vec<&str> = task
                .after
                .iter()
                .map(towpath_vocab::TaskId::as_str)
                .collect();
            writeln!(out, "{}: {} after={after:?} {what}", pipeline.name, task.id).unwrap();
        }
    }
    out
}
