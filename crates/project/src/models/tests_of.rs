//! dbt's tests of a model or source, as checks.
//!
//! Promise: `tests` and `data_tests`, with and without `arguments:`, mean the same as in dbt. A test that
//! this version does not run is reported, never silently dropped. Read next: `vocab/src/check.rs`.

use towpath_vocab::{Action, Check, CheckKind, Severity, TableName, Tolerance};

use super::draft::Models;
use super::properties::Properties;
use crate::checks::{self, Checks, Reference, Table, kinds};
use crate::dbt;
use crate::report::{FileRange, Report};
use crate::rules::{self, Subject};
use crate::sqltext;
use crate::step::Node as Task;
use crate::yaml::{Map, Node, Value};

const DISTINCT_COUNT: &str = "dbt_expectations.expect_column_unique_value_count_to_be_between";

/// The tests of one column that are run.
const OF_COLUMNS: [&str; 7] = [
    "not_null",
    "unique",
    "accepted_values",
    "relationships",
    "dbt_utils.accepted_range",
    "dbt_utils.at_least_one",
    DISTINCT_COUNT,
];

/// The target in `to:` of a relationship test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RelationshipTarget {
    Ref(String),
    Source(String, String),
    Table(TableName),
}

/// Reads all tests of one entry.
pub(crate) fn read(
    node: Option<&Node>,
    table: &Table<'_>,
    resolve: &dyn Fn(&RelationshipTarget) -> Option<TableName>,
    report: &mut Report,
) -> Checks {
    let mut reader = Reader {
        table,
        resolve,
        checks: Checks::default(),
        report,
    };
    let Some(node) = node else {
        return reader.checks;
    };
    for test in tests(node) {
        reader.test(test, None);
    }
    for column in node.get("columns").map(Node::items).unwrap_or_default() {
        let Some(name) = column.get("name") else {
            continue;
        };
        let Some(text) = name.text() else { continue };
        let tests: Vec<&Node> = tests(column).collect();
        // A column that is only described may be missing; a tested one may not.
        match tests.is_empty() {
            true => reader.column(text, name.at),
            false => table.column(text, name.at, reader.report),
        }
        for test in tests {
            reader.test(test, Some((text, name.at)));
        }
    }
    reader.checks
}

fn tests(node: &Node) -> impl Iterator<Item = &Node> {
    let keys = ["data_tests", "tests"].into_iter();
    keys.flat_map(|key| node.get(key).map(Node::items).unwrap_or_default())
}

/// Reports that the tests of an ephemeral model cannot run, because it has no table.
pub(super) fn say_ephemeral(name: &str, node: Option<&Node>, report: &mut Report) {
    let Some(node) = node else { return };
    let columns = node.get("columns").map(Node::items).unwrap_or_default();
    let mut all = tests(node).chain(columns.iter().flat_map(tests));
    let Some(first) = all.next() else { return };
    let count = 1 + all.count();
    report
        .warning(
            "M0339",
            first.at,
            format!("{count} tests of `{name}` are never run: an ephemeral model is not a table"),
        )
        .help("make it a view, which is tested before it is stored: config(materialized='view')")
        .help("or put the tests on the models that read it");
}

/// Adds the tests of `sources:` to the loads of these tables.
pub(crate) fn source_tests(
    tasks: &mut [Task],
    models: &Models,
    properties: &Properties,
    report: &mut Report,
) {
    for source in properties.sources() {
        let Some(task) = tasks
            .iter_mut()
            .find(|task| task.writes.contains(&source.table))
        else {
            continue;
        };
        let subject = Subject {
            schema: task.schema.as_ref(),
            firm: task.firm,
            loaded: None,
        };
        let table = Table {
            name: &source.table,
            subject,
            origin: "as it is loaded",
        };
        let resolve = |to: &RelationshipTarget| match to {
            RelationshipTarget::Ref(name) => models.refs.get(name).cloned(),
            RelationshipTarget::Source(name, table) => properties
                .source(name, table)
                .or_else(|| Some(TableName::new(name, table))),
            RelationshipTarget::Table(table) => Some(table.clone()),
        };
        let checks = read(Some(&source.node), &table, &resolve, report);
        task.references.extend(checks.references);
        if let Some(Action::Load(load)) = &mut task.action {
            load.table.checks.extend(checks.list);
            checks::name_apart(&mut load.table.checks, report);
        }
    }
}

struct Reader<'a> {
    table: &'a Table<'a>,
    resolve: &'a dyn Fn(&RelationshipTarget) -> Option<TableName>,
    checks: Checks,
    report: &'a mut Report,
}

impl Reader<'_> {
    /// Reports a column that is described but does not exist.
    fn column(&mut self, column: &str, at: FileRange) {
        let Some(schema) = self.table.subject.schema else {
            return;
        };
        if crate::columns::find(schema, column).is_none() {
            let names: Vec<&str> = schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            self.report
                .warning(
                    "M0334",
                    at,
                    format!("`{}` has no column `{column}`", self.table.name),
                )
                .suggest(column, names.iter().copied(), "there is")
                .help(format!(
                    "{} has: {}",
                    self.table.name,
                    crate::suggest::listing(&names)
                ));
        }
    }

    /// Reports a condition that cannot be read, or that names a column that does not exist. It may contain
    /// queries, which are judged at the run.
    fn condition(&mut self, text: &str, at: FileRange) {
        let subject = &self.table.subject;
        // A template is reported where it stands.
        if text.contains("{{") {
            return;
        }
        match subject.schema {
            Some(schema) => sqltext::names(text, at, schema, subject.firm, self.report),
            None => sqltext::syntax(text, at, self.report),
        }
    }

    fn test(&mut self, test: &Node, column: Option<(&str, FileRange)>) {
        let (name, at, body) = match &test.value {
            Value::Scalar { text, .. } => (text.as_str(), test.at, None),
            Value::Map(map) => match map.iter().find(|(key, _)| !is_setting(key)) {
                Some((key, entry)) => (key.as_str(), entry.key_at, Some(&entry.value)),
                None => return,
            },
            _ => return,
        };
        let setting = |key: &str| setting_of(test, body, key);
        if setting("enabled").and_then(Node::as_bool) == Some(false) {
            return;
        }
        let argument = |key: &str| {
            let body = body?;
            body.get("arguments")
                .and_then(|arguments| arguments.get(key))
                .or_else(|| body.get(key))
        };
        let named = argument("column_name").and_then(|node| Some((node.text()?, node.at)));
        if let (None, Some((missing, at))) = (column, named) {
            self.table.column(missing, at, self.report);
        }
        let column = column.or(named);
        let Some(kind) = self.kind(name, at, column, &argument) else {
            return;
        };
        let filter = setting("where").filter(|node| node.text().is_some());
        if let Some(filter) = filter {
            self.condition(filter.text().unwrap_or_default(), filter.at);
        }
        self.judge_settings(test, body);
        self.judge_arguments(name, body);
        let check_name = setting("name")
            .and_then(Node::text)
            .map_or_else(|| checks::name(&kind, self.table.name), str::to_owned);
        let base = Check {
            name: check_name,
            kind,
            severity: if setting("severity")
                .and_then(Node::text)
                .is_some_and(|word| word.eq_ignore_ascii_case("warn"))
            {
                Severity::Warn
            } else {
                Severity::Error
            },
            filter: filter.and_then(Node::text).map(str::to_owned),
            tolerance: Tolerance::default(),
            span: Some(self.report.span(at)),
        };
        let kind = base.kind.code();
        let error_if = setting("error_if").and_then(|node| self.tolerance(node, kind));
        let warn_if = setting("warn_if").and_then(|node| self.tolerance(node, kind));
        self.push(base, error_if, warn_if);
    }

    /// Adds a test as a check; a test with both limits becomes two checks.
    fn push(&mut self, base: Check, error_if: Option<Tolerance>, warn_if: Option<Tolerance>) {
        if base.severity == Severity::Error
            && let Some(tolerance) = error_if
        {
            self.checks.list.push(Check {
                tolerance,
                ..base.clone()
            });
            let name = format!("{}_warn", base.name);
            let tolerance = warn_if.unwrap_or_default();
            self.checks.list.push(Check {
                name,
                severity: Severity::Warn,
                tolerance,
                ..base
            });
        } else {
            let tolerance = warn_if
                .filter(|_| base.severity == Severity::Warn)
                .unwrap_or_default();
            self.checks.list.push(Check { tolerance, ..base });
        }
    }

    /// Reports settings of a test that have no effect.
    fn judge_settings(&mut self, test: &Node, body: Option<&Node>) {
        let configs = [test.get("config"), body.and_then(|body| body.get("config"))];
        for config in configs.into_iter().flatten() {
            dbt::entry(config, &dbt::TEST_CONFIG, self.report);
        }
        for (key, entry) in [Some(test), body]
            .into_iter()
            .flatten()
            .flat_map(Node::entries)
        {
            if dbt::TEST_CONFIG.find(key).is_some() {
                let one = Map::from_iter([(key.to_owned(), entry.clone())]);
                dbt::entry(
                    &Node::map(entry.key_at, one),
                    &dbt::TEST_CONFIG,
                    self.report,
                );
            }
        }
    }

    /// Reports arguments that a test does not have.
    fn judge_arguments(&mut self, test: &str, body: Option<&Node>) {
        let Some(body) = body else { return };
        let takes = arguments_of(test);
        let inside = body.get("arguments").into_iter().flat_map(Node::entries);
        let beside = body.entries().filter(|(key, _)| {
            !matches!(*key, "arguments" | "config") && dbt::TEST_CONFIG.find(key).is_none()
        });
        for (key, entry) in inside.chain(beside) {
            let known = ["column_name", "model"].contains(&key) || takes.contains(&key);
            if !known {
                self.report
                    .error(
                        "P0102",
                        entry.key_at,
                        format!("test `{test}` does not take `{key}`"),
                    )
                    .suggest(key, takes.iter().copied().chain(["config"]), "it takes");
            }
            if key == "inclusive" && entry.value.as_bool() == Some(false) {
                self.report
                    .error(
                        "P0115",
                        entry.key_at,
                        "`inclusive: false` is not supported in this version",
                    )
                    .help("write it as dbt_utils.expression_is_true: { expression: '> 0' }");
            }
        }
    }

    /// `> 10`, `>= 10` and `!= 0` as the number of rows that may break the test.
    fn tolerance(&mut self, node: &Node, kind: &str) -> Option<Tolerance> {
        let text: String = node
            .text()?
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect();
        let rows = match text.strip_prefix(">=") {
            Some(number) => number
                .parse::<u64>()
                .ok()
                .map(|number| number.saturating_sub(1)),
            None if text == "!=0" || text == "<>0" => Some(0),
            None => text
                .strip_prefix('>')
                .and_then(|number| number.parse().ok()),
        };
        if rows.is_none() {
            self.report
                .error(
                    "K0601",
                    node.at,
                    format!("`{text}` is not a valid limit of a test"),
                )
                .help("write \">10\", \">=10\" or \"!=0\"");
        }
        let counts_rows = kinds::find(kind).is_some_and(|kind| kind.no_tolerance.is_none());
        if !counts_rows && rows.is_some_and(|rows| rows > 0) {
            self.report
                .error(
                    "P0160",
                    node.at,
                    "this test has one result, not a number of rows",
                )
                .help("remove the limit: with it the test never fails");
        }
        rows.map(|rows| Tolerance {
            rows: Some(rows),
            percent: None,
        })
    }

    fn kind<'n>(
        &mut self,
        name: &str,
        at: FileRange,
        column: Option<(&str, FileRange)>,
        argument: &dyn Fn(&str) -> Option<&'n Node>,
    ) -> Option<CheckKind> {
        let list = |key: &str| argument(key).map(Node::texts).unwrap_or_default();
        let text = |key: &str| argument(key).and_then(Node::text).map(str::to_owned);
        if name == "dbt_utils.unique_combination_of_columns" {
            let columns = argument("combination_of_columns").map(Node::items);
            for item in columns.unwrap_or_default() {
                if let Some(column) = item.text() {
                    self.table.column(column, item.at, self.report);
                }
            }
            return Some(CheckKind::Unique {
                columns: list("combination_of_columns"),
            });
        }
        if name == "dbt_utils.expression_is_true" {
            let written = text("expression")?;
            let expression = column.map_or_else(
                || written.clone(),
                |(column, _)| format!("{column} {written}"),
            );
            // The column is judged already; here its name is before the text of the file.
            if column.is_none() {
                let place = argument("expression").map_or(at, |node| node.at);
                self.condition(&written, place);
            }
            return Some(CheckKind::Expression { expression });
        }
        if !OF_COLUMNS.contains(&name) {
            self.report
                .warning(
                    "M0335",
                    at,
                    format!("test `{name}` is not run in this version"),
                )
                .suggest(name, OF_COLUMNS.iter().copied(), "tests");
            return None;
        }
        let Some((column, _)) = column else {
            self.report
                .error("K0601", at, format!("test `{name}` does not name a column"))
                .help("put it under a column, or give it `column_name`");
            return None;
        };
        self.of_column(name, at, column.to_owned(), argument)
    }

    /// A test of `OF_COLUMNS`.
    fn of_column<'n>(
        &mut self,
        name: &str,
        at: FileRange,
        column: String,
        argument: &dyn Fn(&str) -> Option<&'n Node>,
    ) -> Option<CheckKind> {
        let text = |key: &str| argument(key).and_then(Node::text).map(str::to_owned);
        Some(match name {
            "not_null" => CheckKind::NotNull { column },
            "unique" => CheckKind::Unique {
                columns: vec![column],
            },
            "accepted_values" => {
                let data_type = self.table.subject.data_type(&column);
                for item in argument("values").map(Node::items).unwrap_or_default() {
                    item.text().into_iter().for_each(|text| {
                        rules::reads(&column, text, item.at, data_type.as_ref(), self.report);
                    });
                }
                CheckKind::AcceptedValues {
                    column,
                    values: argument("values").map(Node::texts).unwrap_or_default(),
                }
            }
            "relationships" => self.relationship(column, at, argument)?,
            "dbt_utils.at_least_one" => CheckKind::DistinctCount {
                column,
                min: Some(1),
                max: None,
            },
            DISTINCT_COUNT => {
                let (min, max) = (argument("min_value"), argument("max_value"));
                if min.is_none() && max.is_none() {
                    self.report
                        .error("K0601", at, format!("test `{name}` has no bound"))
                        .help("give it `min_value` or `max_value`");
                    return None;
                }
                CheckKind::DistinctCount {
                    column,
                    min: self.count(min)?,
                    max: self.count(max)?,
                }
            }
            _ => CheckKind::Range {
                column,
                min: text("min_value"),
                max: text("max_value"),
            },
        })
    }

    /// A number of values, if it is given; `None` if it is not a whole number.
    fn count(&mut self, node: Option<&Node>) -> Option<Option<u64>> {
        let Some(node) = node else { return Some(None) };
        let text = node.text().unwrap_or_default();
        let number = text.parse().ok();
        if number.is_none() {
            self.report
                .error("P0127", node.at, format!("`{text}` is not a whole number"))
                .help("write a number of values");
        }
        number.map(Some)
    }

    fn relationship<'n>(
        &mut self,
        column: String,
        at: FileRange,
        argument: &dyn Fn(&str) -> Option<&'n Node>,
    ) -> Option<CheckKind> {
        let (Some(to), Some(field)) = (argument("to"), argument("field")) else {
            self.report
                .error("K0601", at, "a relationships test needs `to` and `field`")
                .help("relationships: { to: ref('customers'), field: id }");
            return None;
        };
        let text = to.text()?;
        let target = parse_to(text);
        let Some(table) = target.as_ref().and_then(|to| (self.resolve)(to)) else {
            self.report
                .error("K0603", to.at, format!("`{text}` does not name a table"))
                .help("to: ref('MODEL') or source('SCHEMA', 'TABLE')");
            return None;
        };
        let field_text = field.text()?.to_owned();
        self.checks.references.push(Reference {
            table: table.clone(),
            field: field_text.clone(),
            at: field.at,
        });
        Some(CheckKind::Relationships {
            column,
            to: table,
            field: field_text,
        })
    }
}

/// A setting of a test: in its `config`, next to its arguments, or next to its name.
fn setting_of<'n>(test: &'n Node, body: Option<&'n Node>, key: &str) -> Option<&'n Node> {
    let config = |node: &'n Node| node.get("config").and_then(|config| config.get(key));
    let inside = body.and_then(|body| config(body).or_else(|| body.get(key)));
    inside.or_else(|| config(test)).or_else(|| test.get(key))
}

/// True for a key next to a test's name that is not a test.
fn is_setting(key: &str) -> bool {
    key == "config" || dbt::TEST_CONFIG.find(key).is_some()
}

/// The arguments of the tests that are run.
fn arguments_of(test: &str) -> &'static [&'static str] {
    match test {
        "accepted_values" => &["values", "quote"],
        "relationships" => &["to", "field"],
        "dbt_utils.accepted_range" => &["min_value", "max_value", "inclusive"],
        DISTINCT_COUNT => &["min_value", "max_value"],
        "dbt_utils.expression_is_true" => &["expression"],
        "dbt_utils.unique_combination_of_columns" => &["combination_of_columns", "quote_columns"],
        _ => &[],
    }
}

/// Reads `ref('x')`, `source('a', 'b')` or `schema.table`.
fn parse_to(text: &str) -> Option<RelationshipTarget> {
    let text = text
        .trim()
        .trim_start_matches("{{")
        .trim_end_matches("}}")
        .trim();
    let Some((function, rest)) = text.split_once('(') else {
        return text.parse().ok().map(RelationshipTarget::Table);
    };
    let parts: Vec<String> = rest
        .trim_end()
        .strip_suffix(')')?
        .split(',')
        .map(|part| {
            part.trim()
                .trim_matches(|c| c == '\'' || c == '"')
                .to_owned()
        })
        .collect();
    match (function.trim(), parts.as_slice()) {
        ("ref", [.., name]) => Some(RelationshipTarget::Ref(name.clone())),
        ("source", [name, table]) => Some(RelationshipTarget::Source(name.clone(), table.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        assert_eq!(
            parse_to("ref('x')"),
            Some(RelationshipTarget::Ref("x".into()))
        );
        assert_eq!(
            parse_to("{{ ref( \"p\", 'x' ) }}"),
            Some(RelationshipTarget::Ref("x".into()))
        );
        assert_eq!(
            parse_to("source('a', 'b')"),
            Some(RelationshipTarget::Source("a".into(), "b".into()))
        );
        assert_eq!(
            parse_to("raw.x"),
            Some(RelationshipTarget::Table(TableName::new("raw", "x")))
        );
        assert_eq!(parse_to("nothing"), None);
    }
}
