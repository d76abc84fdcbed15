//! The rules of columns: the key of each, how it is read, and whether it fits the column's type.
//!
//! Promise: the run can evaluate every rule in the plan: its pattern compiles, and its limits parse as the
//! column's type. This file is all that this crate knows of a single rule. It does not know rows. Read next:
//! `checks.rs`, for checks of whole tables.

use std::cmp::Ordering;

use arrow_schema::{DataType, SchemaRef};
use towpath_vocab::{Naming, Rule, RuleKind, Severity, types};

use crate::columns::{self, Columns};
use crate::keys::{BOUNDS, Key, KeySchema, Kind, key};
use crate::literal;
use crate::report::{FileRange, Report};
use crate::sqltext;
use crate::yaml::Node;

/// The rules, in the order of the reference page.
pub(crate) static KINDS: &[RuleKey] = &[
    RuleKey::new(
        key(
            "required",
            Kind::Boolean,
            "True: a row without a value is bad.",
        ),
        required,
        ["true", "false"],
    ),
    RuleKey::new(
        key("min", Kind::Text, "The smallest allowed value."),
        min,
        ["\"1\"", "\"2\""],
    ),
    RuleKey::new(
        key("max", Kind::Text, "The largest allowed value."),
        max,
        ["\"1\"", "\"2\""],
    ),
    RuleKey::new(
        key("in", Kind::Texts, "The allowed values."),
        among,
        ["[a]", "[b]"],
    ),
    RuleKey::new(
        key(
            "pattern",
            Kind::Text,
            "A regular expression that text must match somewhere.",
        ),
        matches,
        ["\"1\"", "\"2\""],
    ),
    RuleKey::new(
        key(
            "length",
            Kind::Either(&[Kind::Integer, Kind::Map(&BOUNDS)]),
            "Number of characters: exactly, or `{ min: 1, max: 10 }`.",
        ),
        length,
        ["1", "{ max: 2 }"],
    ),
    RuleKey::new(
        key(
            "expression",
            Kind::Sql,
            "An SQL expression that must be true.",
        ),
        expression,
        ["c = 'x'", "c = 'y'"],
    ),
];

/// The key of one kind of rule.
pub(crate) struct RuleKey {
    pub(crate) key: Key,
    read: fn(&mut Reading<'_>, &Node) -> Option<RuleKind>,
    /// Two values that must give different plans (`keys/obeyed.rs`).
    #[cfg_attr(not(test), expect(dead_code, reason = "a test tries them"))]
    pub(crate) values: [&'static str; 2],
}

impl RuleKey {
    const fn new(
        key: Key,
        read: fn(&mut Reading<'_>, &Node) -> Option<RuleKind>,
        values: [&'static str; 2],
    ) -> Self {
        Self { key, read, values }
    }
}

static KEYS: [Key; KINDS.len()] = {
    let mut keys = [KINDS[0].key; KINDS.len()];
    let mut at = 0;
    while at < keys.len() {
        keys[at] = KINDS[at].key;
        at += 1;
    }
    keys
};

/// Rules of a column, which are also allowed under `warn`.
pub(crate) static RULES: KeySchema = KeySchema {
    noun: "rules",
    keys: &KEYS,
    also: &[],
};

/// The table of the rules.
pub(crate) struct Subject<'a> {
    /// The target's columns, if known.
    pub(crate) schema: Option<&'a SchemaRef>,
    /// False if the columns may have changed since they were observed.
    pub(crate) firm: bool,
    /// How the columns of a loaded table get their names; `None` for a table with names of its own.
    pub(crate) loaded: Option<(&'a Columns, Naming)>,
}

impl Subject<'_> {
    /// The name in the table of a column that the project names in either spelling.
    pub(crate) fn own_name(&self, column: &str) -> String {
        if let Some((columns, naming)) = self.loaded {
            return columns.own_name(column, naming);
        }
        let field = self.schema.and_then(|schema| columns::find(schema, column));
        field.map_or(column, |field| field.name()).to_owned()
    }

    /// A column's type, if known.
    pub(crate) fn data_type(&self, column: &str) -> Option<DataType> {
        let field = columns::find(self.schema?, &self.own_name(column))?;
        Some(field.data_type().clone()).filter(|data_type| data_type != &DataType::Null)
    }
}

/// What a rule is read with.
struct Reading<'a> {
    column: &'a str,
    data_type: Option<&'a DataType>,
    subject: &'a Subject<'a>,
    report: &'a mut Report,
}

/// Reads the rules of all columns.
pub(crate) fn read(node: Option<&Node>, subject: &Subject<'_>, report: &mut Report) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (written, entry) in node.into_iter().flat_map(Node::entries) {
        let column = &subject.own_name(written);
        let declared = entry
            .value
            .get_text("type")
            .or(entry.value.text())
            .and_then(|text| types::parse(text).ok());
        let data_type = declared.or_else(|| subject.data_type(column));
        let mut reading = Reading {
            column,
            data_type: data_type.as_ref(),
            subject,
            report,
        };
        rules.extend(of_column(&mut reading, &entry.value, Severity::Error));
        if let Some(warn) = entry.value.get("warn") {
            rules.extend(of_column(&mut reading, warn, Severity::Warn));
        }
    }
    rules
}

fn of_column(reading: &mut Reading<'_>, node: &Node, severity: Severity) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (name, entry) in node.entries() {
        let Some(known) = KINDS.iter().find(|known| known.key.name == name) else {
            continue;
        };
        if let Some(kind) = (known.read)(reading, &entry.value) {
            rules.push(Rule {
                column: reading.column.to_owned(),
                kind,
                severity,
                span: Some(reading.report.span(entry.key_at)),
            });
        }
    }
    if let Some((min, max)) = bounds(&rules) {
        let at = node.get("max").or(node.get("min"));
        let at = at.map_or(node.at, |node| node.at);
        order(&min, &max, reading.data_type, at, reading.report);
    }
    rules
}

fn required(_: &mut Reading<'_>, node: &Node) -> Option<RuleKind> {
    node.as_bool()
        .filter(|required| *required)
        .map(|_| RuleKind::Required)
}

fn min(reading: &mut Reading<'_>, node: &Node) -> Option<RuleKind> {
    bound(reading, node).map(RuleKind::Min)
}

fn max(reading: &mut Reading<'_>, node: &Node) -> Option<RuleKind> {
    bound(reading, node).map(RuleKind::Max)
}

fn bound(reading: &mut Reading<'_>, node: &Node) -> Option<String> {
    let text = node.text()?;
    let Reading {
        column,
        data_type,
        report,
        ..
    } = reading;
    reads(column, text, node.at, *data_type, report).then(|| text.to_owned())
}

fn among(reading: &mut Reading<'_>, node: &Node) -> Option<RuleKind> {
    for item in node.items() {
        bound(reading, item);
    }
    Some(RuleKind::In(node.texts()))
}

fn matches(reading: &mut Reading<'_>, node: &Node) -> Option<RuleKind> {
    let Reading {
        column,
        data_type,
        report,
        ..
    } = reading;
    pattern(column, node, *data_type, report).map(RuleKind::Pattern)
}

fn bounds(rules: &[Rule]) -> Option<(String, String)> {
    let min = rules.iter().find_map(|rule| {
        if let RuleKind::Min(text) = &rule.kind {
            Some(text)
        } else {
            None
        }
    })?;
    let max = rules.iter().find_map(|rule| {
        if let RuleKind::Max(text) = &rule.kind {
            Some(text)
        } else {
            None
        }
    })?;
    Some((min.clone(), max.clone()))
}

/// Reports two limits between which there is no value.
pub(crate) fn order(
    min: &str,
    max: &str,
    data_type: Option<&DataType>,
    at: FileRange,
    report: &mut Report,
) {
    let order = match data_type {
        Some(data_type) => match (literal::read(min, data_type), literal::read(max, data_type)) {
            (Ok(min), Ok(max)) => literal::compare(&min, &max),
            _ => None,
        },
        None => literal::compare_untyped(min, max),
    };
    if order == Some(Ordering::Greater) {
        report
            .error("T0404", at, format!("no value is between {min} and {max}"))
            .label("`min` is above `max`")
            .help(format!(
                "write min: {max} and max: {min}, if they were swapped"
            ));
    }
}

/// Reports a text that does not parse as a column's type.
pub(crate) fn reads(
    column: &str,
    text: &str,
    at: FileRange,
    data_type: Option<&DataType>,
    report: &mut Report,
) -> bool {
    let Some(data_type) = data_type else {
        return true;
    };
    if literal::read(text, data_type).is_ok() {
        return true;
    }
    let name = types::name(data_type);
    report
        .error(
            "T0403",
            at,
            format!("`{text}` is not a valid {name}, the type of column `{column}`"),
        )
        .label(format!("must be a valid {name}"));
    false
}

/// Checks that a pattern compiles and that its column is text.
pub(crate) fn pattern(
    column: &str,
    node: &Node,
    data_type: Option<&DataType>,
    report: &mut Report,
) -> Option<String> {
    let text = node.text()?;
    if let Err(error) = regex::Regex::new(text) {
        let last = error.to_string();
        let reason = last
            .lines()
            .next_back()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned();
        report
            .error("K0602", node.at, "this regular expression cannot be read")
            .label(reason)
            .help("put a backslash before a special character that stands for itself: \\. \\( \\[");
        return None;
    }
    needs_text("pattern", column, node.at, data_type, report).then(|| text.to_owned())
}

/// Reports a rule about text on a column of another type.
fn needs_text(
    rule: &str,
    column: &str,
    at: FileRange,
    data_type: Option<&DataType>,
    report: &mut Report,
) -> bool {
    let other = data_type
        .filter(|t| !matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View));
    let Some(other) = other else { return true };
    let name = types::name(other);
    report
        .error(
            "T0406",
            at,
            format!("a {rule} needs text, but column `{column}` is {name}"),
        )
        .help("use min, max or in; or give the column `type: text`");
    false
}

fn length(reading: &mut Reading<'_>, node: &Node) -> Option<RuleKind> {
    let Reading {
        column,
        data_type,
        report,
        ..
    } = reading;
    if !needs_text("length", column, node.at, *data_type, report) {
        return None;
    }
    if let Some(text) = node.text() {
        let exact = text.parse().ok()?;
        return Some(RuleKind::Length {
            min: Some(exact),
            max: Some(exact),
        });
    }
    let mut read = |key: &str| -> Option<Option<u64>> {
        let Some(bound) = node.get(key) else {
            return Some(None);
        };
        let text = bound.text()?;
        let number = text.parse().ok();
        if number.is_none() {
            report
                .error("P0127", bound.at, format!("`{text}` is not a whole number"))
                .help("write a number of characters");
        }
        number.map(Some)
    };
    let (min, max) = (read("min")?, read("max")?);
    if let (Some(least), Some(most)) = (min, max) {
        order(
            &least.to_string(),
            &most.to_string(),
            Some(&DataType::UInt64),
            node.at,
            report,
        );
    }
    Some(RuleKind::Length { min, max })
}

fn expression(reading: &mut Reading<'_>, node: &Node) -> Option<RuleKind> {
    let text = node.text()?;
    let Subject { schema, firm, .. } = *reading.subject;
    match schema {
        Some(schema) => sqltext::condition(text, node.at, schema, firm, reading.report),
        None => sqltext::syntax(text, node.at, reading.report),
    }
    Some(RuleKind::Expression(text.to_owned()))
}
