//! `seeds/*.csv`: small tables of the project, loaded by the steps that build models.
//!
//! Promise: a seed is read as in dbt: in full, `null` and empty fields as NULL, column names in lower case
//! unless `quote_columns` says otherwise, types from `column_types` or else from the data. It opens no file
//! and knows only the header of a seed. Read next: `models/check.rs`.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value as Json};
use towpath_vocab::{
    Action, BadRows, ConnectionPlan, LoadPlan, Naming, OptionValue, ReadMode, Selection, TableName,
    types,
};

use super::judge::{ConfigReaders, Setting, config};
use super::keys::SEED_CONFIG;
use super::project_file::DbtProject;
use crate::checks::{Checks, Table};
use crate::context::StepContext;
use crate::inputs::CheckInputs;
use crate::load::{is_name, is_named_schema, is_schema};
use crate::models::{Model, Properties};
use crate::parsed::TextFile;
use crate::report::{FileRange, Report};
use crate::rules::Subject;
use crate::table::{self, Frame};
use crate::yaml::{Entry, Map as Tree, Node, Value};

/// The name of the folder, of the connection that reads it, and of the schema of seeds without a folder.
const SEEDS: &str = "seeds";

/// A seed before its tests are read.
pub(crate) struct Seed {
    pub(crate) name: String,
    pub(crate) table: TableName,
    /// The file, relative to the project folder.
    file: String,
    header: Option<Vec<String>>,
    config: Map<String, Json>,
    pub(crate) properties: Option<Node>,
    at: FileRange,
}

/// The context in which seeds are read.
pub(crate) struct SeedContext<'a> {
    pub(crate) inputs: &'a CheckInputs<'a>,
    pub(crate) context: &'a StepContext<'a>,
    pub(crate) project: &'a DbtProject,
    pub(crate) properties: &'a Properties,
}

/// Reads all seeds.
pub(crate) fn read(
    files: &[TextFile<'_>],
    given: &SeedContext<'_>,
    asked: &ConfigReaders<'_>,
    report: &mut Report,
) -> Vec<Seed> {
    let mut seeds: Vec<Seed> = Vec::new();
    let mut seen: HashMap<String, String> = HashMap::new();
    for file in files {
        let Some(seed) = seed(file, given, asked, report) else {
            continue;
        };
        if let Some(first) = seen.insert(seed.name.clone(), seed.file.clone()) {
            report
                .error(
                    "M0331",
                    seed.at,
                    format!("two seeds are named `{}`", seed.name),
                )
                .help(format!("the other one is {first}: rename one of the files"));
            continue;
        }
        seeds.push(seed);
    }
    for (name, node) in given.properties.seeds() {
        if !files.iter().any(|file| stem(file.path) == name) {
            let at = node.get("name").map_or(node.at, |name| name.at);
            report
                .warning(
                    "M0333",
                    at,
                    format!("there is no seed `{name}` for this description"),
                )
                .suggest(name, files.iter().map(|file| stem(file.path)), "seeds");
        }
    }
    seeds
}

fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".csv").unwrap_or(name)
}

fn seed(
    file: &TextFile<'_>,
    given: &SeedContext<'_>,
    asked: &ConfigReaders<'_>,
    report: &mut Report,
) -> Option<Seed> {
    let at = FileRange {
        file: file.file,
        line: 1,
        column: 1,
        ..FileRange::default()
    };
    let path = file.path.strip_prefix("seeds/")?;
    let name = stem(path);
    let properties = given.properties.seed(name).cloned();
    let mut settings = given
        .project
        .seed(path.strip_suffix(".csv").unwrap_or(path));
    let said = properties.as_ref().and_then(|node| node.get("config"));
    for (key, entry) in said.into_iter().flat_map(Node::entries) {
        let setting = Setting {
            key,
            at: entry.key_at,
            value: entry.value.json(),
            is_yaml: true,
        };
        config([setting], &SEED_CONFIG, asked, report);
        settings.insert(key.to_owned(), entry.value.json());
    }
    if settings.get("enabled") == Some(&Json::Bool(false)) {
        return None;
    }
    let text = |key: &str| settings.get(key).and_then(Json::as_str);
    let folder = path.split_once('/').map_or(SEEDS, |(folder, _)| folder);
    let schema = text("schema").unwrap_or(folder).to_owned();
    let table = text("alias").unwrap_or(name).to_owned();
    let is_kept = text("schema").map_or_else(|| is_schema(folder), is_named_schema)
        && text("alias").map_or_else(|| is_name(name), |alias| !alias.is_empty());
    if !is_kept {
        report
            .error(
                "M0332",
                at,
                format!("`{schema}.{table}` cannot be the name of a table"),
            )
            .help("folder and file are letters, digits and `_`, starting with a letter")
            .help("or name it in YAML: seeds: [{ name: …, config: { alias: … } }]");
        return None;
    }
    if given.context.connections.contains_key(&schema) {
        report
            .error(
                "P0123",
                at,
                format!(
                    "`{schema}` is a connection, so it cannot be a schema of the lakehouse too"
                ),
            )
            .help("rename the connection, or give the seed a different `schema` in its config");
    }
    let delimiter = text("delimiter").unwrap_or(",").to_owned();
    Some(Seed {
        name: name.to_owned(),
        table: TableName::new(schema, table),
        file: file.path.to_owned(),
        header: header(file.text, &delimiter),
        config: settings,
        properties,
        at,
    })
}

/// The names in the first line, if no quote is open at its end.
fn header(text: &str, delimiter: &str) -> Option<Vec<String>> {
    let line = text.trim_start_matches('\u{feff}').lines().next()?;
    let mut names = vec![String::new()];
    let mut quoted = false;
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            if quoted && rest.starts_with("\"\"") {
                names.last_mut()?.push('"');
                rest = rest.get(2..)?;
                continue;
            }
            quoted = !quoted;
        } else if !quoted && !delimiter.is_empty() && rest.starts_with(delimiter) {
            names.push(String::new());
            rest = rest.get(delimiter.len()..)?;
            continue;
        } else {
            names.last_mut()?.push(first);
        }
        rest = rest.get(first.len_utf8()..)?;
    }
    let good = !quoted && names.iter().all(|name| !name.trim().is_empty());
    good.then_some(names)
}

impl Seed {
    /// The load task for a seed in a step.
    pub(crate) fn plan(
        &self,
        given: &SeedContext<'_>,
        tests: &dyn Fn(&Table<'_>, &mut Report) -> Checks,
        report: &mut Report,
    ) -> Option<Model> {
        // Whoever reads `file://…` reads the project's own files.
        let is_local = |scheme: &String| scheme == "file";
        let mut specs = given.inputs.specs.iter();
        let spec = specs.find(|spec| spec.schemes.iter().any(is_local))?;
        let settings = self.settings(report);
        let object = self.file.strip_prefix("seeds/")?.to_owned();
        let planned = table::plan(
            &settings,
            &Frame {
                target: &self.table,
                object: format!("{SEEDS}:{object}"),
                known: None,
                names: Naming::Exact,
                mask_key: None,
                needs_cursor: spec.needs_cursor,
                reads_text: true,
                at: self.at,
            },
            report,
        );
        let schema = given
            .context
            .lakehouse(&self.table)
            .map(|fact| fact.schema.clone());
        let table = Table {
            name: &self.table,
            subject: Subject {
                schema: schema.as_ref(),
                firm: false,
                loaded: None,
            },
            origin: "as it was loaded last",
        };
        let checks = tests(&table, report);
        let mut plan = planned.plan;
        plan.checks.extend(checks.list);
        crate::checks::name_apart(&mut plan.checks, report);
        plan.bad_rows = BadRows::Fail;
        let path = OptionValue::Plain(Json::from(SEEDS));
        let action = Action::Load(Box::new(LoadPlan {
            connection: ConnectionPlan {
                name: SEEDS.to_owned(),
                kind: spec.kind.clone(),
                writable: false,
                options: BTreeMap::from([("path".to_owned(), path)]),
            },
            selection: Selection::Object(object),
            options: self.options(),
            read: ReadMode::Full,
            cursor: None,
            known: None,
            table: plan,
        }));
        Some(Model {
            name: self.name.clone(),
            file: self.file.clone(),
            table: self.table.clone(),
            action,
            reads: Vec::new(),
            references: checks.references,
            at: self.at,
        })
    }

    /// The options with which it is read.
    fn options(&self) -> BTreeMap<String, Json> {
        let delimiter = self.config.get("delimiter").and_then(Json::as_str);
        let mut options = BTreeMap::from([
            ("format".to_owned(), Json::from("csv")),
            ("delimiter".to_owned(), Json::from(delimiter.unwrap_or(","))),
        ]);
        // As dbt reads them, quoted or not.
        let nulls = ["null", "NULL", "Null", ""];
        options.insert("null_values".to_owned(), Json::from(nulls.to_vec()));
        options
    }

    /// The types and names of its columns, as settings of a table.
    fn settings(&self, report: &mut Report) -> Node {
        let exact = self.config.get("quote_columns") == Some(&Json::Bool(true));
        let mut columns = Tree::new();
        for name in self.header.iter().flatten().filter(|_| !exact) {
            let lower = name.to_lowercase();
            if lower == *name {
                continue;
            }
            let from = self.entry(Value::Scalar {
                text: name.clone(),
                plain: false,
            });
            let column = Tree::from_iter([("from".to_owned(), from)]);
            if columns
                .insert(lower.clone(), self.entry(Value::Map(column)))
                .is_some()
            {
                report
                    .error(
                        "P0122",
                        self.at,
                        format!("two columns of `{}` become `{lower}`", self.file),
                    )
                    .help("rename one in the file, or set `quote_columns: true`");
            }
        }
        self.types(exact, &mut columns, report);
        let mut settings = Tree::new();
        if !columns.is_empty() {
            settings.insert("columns".to_owned(), self.entry(Value::Map(columns)));
        }
        Node::map(self.at, settings)
    }

    fn types(&self, exact: bool, columns: &mut Tree, report: &mut Report) {
        let Some(Json::Object(said)) = self.config.get("column_types") else {
            return;
        };
        for (column, word) in said {
            let name = match exact {
                true => column.clone(),
                false => column.to_lowercase(),
            };
            self.check_column(column, &name, exact, report);
            let word = word.as_str().unwrap_or_default();
            let (word, length) = text_of(word);
            if types::parse(word).is_err() {
                report
                    .error(
                        "T0401",
                        self.at_of("column_types"),
                        format!("`{word}` is not a type that seeds can have"),
                    )
                    .suggest(word, crate::value::type_words(), "types")
                    .help("a number with a fixed point has both digits: numeric(18, 2)");
                continue;
            }
            let scalar = |text: String| self.entry(Value::Scalar { text, plain: true });
            let entry = columns
                .entry(name)
                .or_insert_with(|| self.entry(Value::Map(Tree::new())));
            if let Value::Map(column) = &mut entry.value.value {
                column.insert("type".to_owned(), scalar(word.to_owned()));
                if let Some(length) = length {
                    let bounds = Tree::from_iter([("max".to_owned(), scalar(length.to_owned()))]);
                    column.insert("length".to_owned(), self.entry(Value::Map(bounds)));
                }
            }
        }
    }

    fn check_column(&self, column: &str, name: &str, exact: bool, report: &mut Report) {
        let Some(header) = &self.header else { return };
        let there = |known: &String| match exact {
            true => known == name,
            false => known.to_lowercase() == name,
        };
        if !header.iter().any(there) {
            report
                .error(
                    "T0402",
                    self.at_of("column_types"),
                    format!("`{}` has no column `{column}`", self.file),
                )
                .suggest(column, header.iter().map(String::as_str), "there is")
                .help(format!("it has: {}", header.join(", ")));
        }
    }

    /// The position of a key of its config in YAML, or otherwise the start of the file.
    fn at_of(&self, key: &str) -> FileRange {
        let config = self.properties.as_ref().and_then(|node| node.get("config"));
        config
            .and_then(|config| config.get(key))
            .map_or(self.at, |node| node.at.head())
    }

    fn entry(&self, value: Value) -> Entry {
        Entry {
            key_at: self.at,
            value: Node { value, at: self.at },
        }
    }
}

/// `varchar(20)` is text of at most 20 characters.
fn text_of(word: &str) -> (&str, Option<&str>) {
    let Some((base, rest)) = word.split_once('(') else {
        return match word.trim().to_lowercase().as_str() {
            "character varying" | "nvarchar" => ("text", None),
            _ => (word.trim(), None),
        };
    };
    let is_text = matches!(
        base.trim().to_lowercase().as_str(),
        "varchar" | "character varying" | "nvarchar" | "string" | "text"
    );
    let length = rest.trim_end().strip_suffix(')').map(str::trim);
    match length.filter(|length| is_text && length.parse::<u32>().is_ok()) {
        Some(length) => ("text", Some(length)),
        None => (word.trim(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_where_they_can_be_told() {
        let names = |text: &str, delimiter: &str| header(text, delimiter);
        let all = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(names("a,B c\n1,2\n", ","), all(&["a", "B c"]));
        assert_eq!(names("\u{feff}\"x,y\";z", ";"), all(&["x,y", "z"]));
        assert_eq!(names("\"a \"\"b\"\"\",c", ","), all(&["a \"b\"", "c"]));
        assert_eq!(names("\"open,\nb\",c", ","), None);
        assert_eq!(names("a,,c", ","), None);
        assert_eq!(names("", ","), None);
    }

    #[test]
    fn lengths_of_text_are_kept() {
        assert_eq!(text_of("varchar(20)"), ("text", Some("20")));
        assert_eq!(text_of("numeric(10, 2)"), ("numeric(10, 2)", None));
        assert_eq!(text_of("character varying"), ("text", None));
        assert_eq!(text_of("bigint"), ("bigint", None));
    }
}
