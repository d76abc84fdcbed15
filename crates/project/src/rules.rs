//! Reads the rules of columns, and checks them against the column's type if it is known.
//!
//! Promise: the run can evaluate every rule in the plan: its pattern compiles, and its limits parse as the
//! column's type. It does not know rows. Read next: `checks.rs`, for checks of whole tables.

use std::cmp::Ordering;

use arrow_schema::{DataType, SchemaRef};
use towpath_vocab::{Naming, Rule, RuleKind, Severity, types};

use crate::columns::{self, Columns};
use crate::keys;
use crate::literal;
use crate::report::{FileRange, Report};
use crate::sqltext;
use crate::yaml::{Entry, Node};

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
        of_column(
            column,
            &entry.value,
            Severity::Error,
            data_type.as_ref(),
            subject,
            &mut rules,
            report,
        );
        if let Some(warn) = entry.value.get("warn") {
            of_column(
                column,
                warn,
                Severity::Warn,
                data_type.as_ref(),
                subject,
                &mut rules,
                report,
            );
        }
    }
    rules
}

fn of_column(
    column: &str,
    node: &Node,
    severity: Severity,
    data_type: Option<&DataType>,
    subject: &Subject<'_>,
    rules: &mut Vec<Rule>,
    report: &mut Report,
) {
    let first = rules.len();
    for (key, entry) in node
        .entries()
        .filter(|(key, _)| keys::RULES.find(key).is_some())
    {
        let kind = match key {
            "required" => entry
                .value
                .as_bool()
                .filter(|required| *required)
                .map(|_| RuleKind::Required),
            "min" => bound(column, entry, data_type, report).map(RuleKind::Min),
            "max" => bound(column, entry, data_type, report).map(RuleKind::Max),
            "in" => Some(RuleKind::In(values(
                column,
                &entry.value,
                data_type,
                report,
            ))),
            "pattern" => pattern(column, &entry.value, data_type, report).map(RuleKind::Pattern),
            "length" => needs_text("length", column, entry.value.at, data_type, report)
                .then(|| length(&entry.value, report))
                .flatten(),
            _ => expression(&entry.value, subject, report).map(RuleKind::Expression),
        };
        if let Some(kind) = kind {
            let span = Some(report.span(entry.key_at));
            rules.push(Rule {
                column: column.to_owned(),
                kind,
                severity,
                span,
            });
        }
    }
    let of_this = rules.get(first..).unwrap_or_default();
    if let Some((min, max)) = bounds(of_this) {
        order(
            &min,
            &max,
            data_type,
            node.get("max")
                .or(node.get("min"))
                .map_or(node.at, |n| n.at),
            report,
        );
    }
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

fn bound(
    column: &str,
    entry: &Entry,
    data_type: Option<&DataType>,
    report: &mut Report,
) -> Option<String> {
    let text = entry.value.text()?;
    reads(column, text, entry.value.at, data_type, report).then(|| text.to_owned())
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

fn values(
    column: &str,
    node: &Node,
    data_type: Option<&DataType>,
    report: &mut Report,
) -> Vec<String> {
    let mut values = Vec::new();
    for item in node.items() {
        if let Some(text) = item.text() {
            reads(column, text, item.at, data_type, report);
            values.push(text.to_owned());
        }
    }
    values
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

fn length(node: &Node, report: &mut Report) -> Option<RuleKind> {
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

fn expression(node: &Node, subject: &Subject<'_>, report: &mut Report) -> Option<String> {
    let text = node.text()?;
    match subject.schema {
        Some(schema) => sqltext::condition(text, node.at, schema, subject.firm, report),
        None => sqltext::syntax(text, node.at, report),
    }
    Some(text.to_owned())
}
