//! The kinds of checks: the key of each, how its value is read, and a proof that it is obeyed.
//!
//! Promise: this file is all that this crate knows of a single kind; the parser, the JSON Schema, the
//! reference page and the test of obeyed keys use the list. It runs nothing. Read next: `vocab/src/check.rs`
//! (what a kind requires), `flow/src/checks/kinds.rs` (how it is measured).

use arrow_schema::DataType;
use towpath_vocab::{CheckKind, TableName, types};

use super::table::{Reference, Table};
use crate::keys::{BOUNDS, CHECK_SETTINGS, Key, KeySchema, Kind, key};
use crate::report::{FileRange, Report};
use crate::rules;
use crate::sqltext;
use crate::value;
use crate::yaml::{Entry, Node};

/// The kinds, in the order of the reference page; each entry of `checks` has exactly one.
pub(crate) static KINDS: &[KindKey] = &[
    KindKey::new(
        key("not_null", Kind::Texts, "No null in these columns."),
        not_null,
        ["c", "d"],
    ),
    KindKey::new(
        key(
            "unique",
            Kind::Texts,
            "No value, or combination of values, occurs twice.",
        ),
        unique,
        ["c", "d"],
    ),
    KindKey::new(
        key(
            "accepted_values",
            Kind::Named(&Kind::Texts),
            "The allowed values: `{ status: [open, paid] }`.",
        ),
        accepted_values,
        ["{ c: [a] }", "{ c: [b] }"],
    ),
    KindKey::new(
        key(
            "pattern",
            Kind::Named(&Kind::Text),
            "A regular expression: `{ email: '@' }`.",
        ),
        pattern,
        ["{ c: x }", "{ c: y }"],
    ),
    KindKey::new(
        key(
            "range",
            Kind::Named(&Kind::Map(&BOUNDS)),
            "Bounds: `{ total: { min: 0, max: 1000 } }`.",
        ),
        range,
        ["{ c: { min: \"1\" } }", "{ c: { max: \"1\" } }"],
    ),
    KindKey::new(
        key(
            "relationships",
            Kind::Named(&Kind::Text),
            "Every value is in a column of another table: `{ country: raw.countries.code }`.",
        ),
        relationships,
        ["{ c: marts.m.v }", "{ c: other.n.n }"],
    ),
    KindKey::new(
        key(
            "row_count",
            Kind::Map(&ROW_COUNT),
            "Number of rows: `{ min: 1 }`.",
        ),
        row_count,
        ["{ min: 1 }", "{ max: 1 }"],
    )
    .no_tolerance("remove it, and write a wider range: row_count: { min: 95, max: 105 }"),
    KindKey::new(
        key(
            "distinct_count",
            Kind::Named(&Kind::Map(&DISTINCT_COUNT)),
            "Number of different values, without null: `{ status: { min: 2, max: 5 } }`.",
        ),
        distinct_count,
        ["{ c: { min: 1 } }", "{ c: { max: 1 } }"],
    )
    .no_tolerance(
        "remove it, and write a wider range: distinct_count: { status: { min: 2, max: 8 } }",
    ),
    KindKey::new(
        key(
            "freshness",
            Kind::Named(&Kind::Duration),
            "The maximum age of the newest value: `{ updated_at: 24h }`.",
        ),
        freshness,
        ["{ c: 1h }", "{ c: 2h }"],
    )
    .no_tolerance("remove it, and allow a greater age"),
    KindKey::new(
        key(
            "expression",
            Kind::Sql,
            "An SQL expression that is true for every row.",
        ),
        expression,
        ["c = 'x'", "c = 'y'"],
    ),
    KindKey::new(
        key(
            "sql",
            Kind::Sql,
            "A query that must return no row; `{table}` is the table as it would be after the commit.",
        ),
        sql,
        ["select 1", "select 2"],
    ),
];

static ROW_COUNT: KeySchema = KeySchema {
    noun: "row_count",
    keys: &[
        key("min", Kind::Integer, "At least."),
        key("max", Kind::Integer, "At most."),
    ],
    also: &[],
};

static DISTINCT_COUNT: KeySchema = KeySchema {
    noun: "distinct_count",
    keys: &[
        key("min", Kind::Integer, "At least."),
        key("max", Kind::Integer, "At most."),
    ],
    also: &[],
};

/// The key of one kind of check.
pub(crate) struct KindKey {
    pub(crate) key: Key,
    /// Reads its value; several columns may be several checks.
    pub(crate) read: fn(&mut Reading<'_>, &Entry) -> Vec<CheckKind>,
    /// For a kind that no single row can break: what to do instead of a `tolerance`.
    pub(crate) no_tolerance: Option<&'static str>,
    /// Two values that must give different plans (`keys/obeyed.rs`).
    #[cfg_attr(not(test), expect(dead_code, reason = "a test tries them"))]
    pub(crate) values: [&'static str; 2],
}

impl KindKey {
    const fn new(
        key: Key,
        read: fn(&mut Reading<'_>, &Entry) -> Vec<CheckKind>,
        values: [&'static str; 2],
    ) -> Self {
        Self {
            key,
            read,
            no_tolerance: None,
            values,
        }
    }

    const fn no_tolerance(mut self, instead: &'static str) -> Self {
        self.no_tolerance = Some(instead);
        self
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

/// One entry of `checks`.
pub(crate) static CHECK: KeySchema = KeySchema {
    noun: "check",
    keys: &KEYS,
    also: &[&CHECK_SETTINGS],
};

/// The names of all kinds, for messages.
pub(crate) fn names() -> String {
    let names: Vec<&str> = KINDS.iter().map(|kind| kind.key.name).collect();
    names.join(", ")
}

/// The kind with this name.
pub(crate) fn find(name: &str) -> Option<&'static KindKey> {
    KINDS.iter().find(|kind| kind.key.name == name)
}

/// What the value of a check is read with.
pub(crate) struct Reading<'a> {
    pub(crate) table: &'a Table<'a>,
    /// The `where` of the check.
    pub(crate) filter: Option<&'a str>,
    pub(crate) references: &'a mut Vec<Reference>,
    pub(crate) report: &'a mut Report,
}

/// One column of a check of columns, with its value.
struct OfColumn<'a> {
    name: String,
    data_type: Option<DataType>,
    value: &'a Node,
    at: FileRange,
}

impl Reading<'_> {
    /// Reads a map of columns: one check for each.
    fn each_column(
        &mut self,
        entry: &Entry,
        read: impl Fn(&mut Self, OfColumn<'_>) -> Option<CheckKind>,
    ) -> Vec<CheckKind> {
        let mut kinds = Vec::new();
        for (name, inner) in entry.value.entries() {
            self.table.column(name, inner.key_at, self.report);
            let column = OfColumn {
                name: name.to_owned(),
                data_type: self.table.subject.data_type(name),
                value: &inner.value,
                at: inner.key_at,
            };
            kinds.extend(read(self, column));
        }
        kinds
    }

    /// Reports listed columns that do not exist.
    fn listed(&mut self, entry: &Entry) {
        for item in entry.value.items() {
            if let Some(column) = item.text() {
                self.table.column(column, item.at, self.report);
            }
        }
    }

    /// Two numbers, of which at least one must be given, as in `example`.
    fn counts(&mut self, node: &Node, at: FileRange, example: &str) -> (Option<u64>, Option<u64>) {
        let bound = |key: &str| node.get_text(key).and_then(|text| text.parse().ok());
        let (min, max): (Option<u64>, Option<u64>) = (bound("min"), bound("max"));
        if let (Some(min), Some(max)) = (min, max) {
            let (min, max) = (min.to_string(), max.to_string());
            rules::order(&min, &max, Some(&DataType::UInt64), node.at, self.report);
        }
        if min.is_none() && max.is_none() && node.as_map().is_some() {
            let name = example.split(':').next().unwrap_or(example);
            self.report
                .error("K0601", at, format!("`{name}` has no bound"))
                .help(format!("write {example}"));
        }
        (min, max)
    }
}

fn not_null(reading: &mut Reading<'_>, entry: &Entry) -> Vec<CheckKind> {
    reading.listed(entry);
    let columns = entry.value.texts().into_iter();
    columns
        .map(|column| CheckKind::NotNull { column })
        .collect()
}

fn unique(reading: &mut Reading<'_>, entry: &Entry) -> Vec<CheckKind> {
    reading.listed(entry);
    vec![CheckKind::Unique {
        columns: entry.value.texts(),
    }]
}

fn accepted_values(reading: &mut Reading<'_>, entry: &Entry) -> Vec<CheckKind> {
    reading.each_column(entry, |reading, column| {
        for item in column.value.items() {
            if let Some(text) = item.text() {
                let data_type = column.data_type.as_ref();
                rules::reads(&column.name, text, item.at, data_type, reading.report);
            }
        }
        Some(CheckKind::AcceptedValues {
            column: column.name,
            values: column.value.texts(),
        })
    })
}

fn pattern(reading: &mut Reading<'_>, entry: &Entry) -> Vec<CheckKind> {
    reading.each_column(entry, |reading, column| {
        let data_type = column.data_type.as_ref();
        let pattern = rules::pattern(&column.name, column.value, data_type, reading.report)?;
        Some(CheckKind::Pattern {
            column: column.name,
            pattern,
        })
    })
}

fn range(reading: &mut Reading<'_>, entry: &Entry) -> Vec<CheckKind> {
    reading.each_column(entry, |reading, column| {
        let data_type = column.data_type.as_ref();
        let mut bound = |key: &str| {
            let node = column.value.get(key)?;
            let text = node.text()?;
            rules::reads(&column.name, text, node.at, data_type, reading.report)
                .then(|| text.to_owned())
        };
        let (min, max) = (bound("min"), bound("max"));
        if let (Some(min), Some(max)) = (&min, &max) {
            rules::order(min, max, data_type, column.value.at, reading.report);
        }
        Some(CheckKind::Range {
            column: column.name,
            min,
            max,
        })
    })
}

fn relationships(reading: &mut Reading<'_>, entry: &Entry) -> Vec<CheckKind> {
    reading.each_column(entry, |reading, column| {
        let (to, field) = relationship(column.value, reading.report)?;
        reading.references.push(Reference {
            table: to.clone(),
            field: field.clone(),
            at: field_place(column.value, &field),
        });
        Some(CheckKind::Relationships {
            column: column.name,
            to,
            field,
        })
    })
}

fn relationship(node: &Node, report: &mut Report) -> Option<(TableName, String)> {
    let text = node.text()?;
    let parts: Vec<&str> = text.split('.').collect();
    if let [schema, table, field] = parts.as_slice()
        && parts.iter().all(|part| !part.is_empty())
    {
        return Some((TableName::new(*schema, *table), (*field).to_owned()));
    }
    report
        .error(
            "K0601",
            node.at,
            format!("`{text}` is not of the form `schema.table.column`"),
        )
        .help("write relationships: { country: raw.countries.code }");
    None
}

/// The last part of `schema.table.column`.
fn field_place(node: &Node, field: &str) -> FileRange {
    let text = node.text().unwrap_or_default();
    node.at
        .inside(text, text.len().saturating_sub(field.len()), text.len())
}

fn row_count(reading: &mut Reading<'_>, entry: &Entry) -> Vec<CheckKind> {
    let (min, max) = reading.counts(&entry.value, entry.key_at, "row_count: { min: 1 }");
    vec![CheckKind::RowCount { min, max }]
}

fn distinct_count(reading: &mut Reading<'_>, entry: &Entry) -> Vec<CheckKind> {
    reading.each_column(entry, |reading, column| {
        let example = format!("distinct_count: {{ {}: {{ min: 2 }} }}", column.name);
        let (min, max) = reading.counts(column.value, column.at, &example);
        Some(CheckKind::DistinctCount {
            column: column.name,
            min,
            max,
        })
    })
}

fn freshness(reading: &mut Reading<'_>, entry: &Entry) -> Vec<CheckKind> {
    reading.each_column(entry, |reading, column| {
        is_a_time(&column, reading.report)?;
        Some(CheckKind::Freshness {
            max_age_s: value::duration_ms(column.value.text()?)? / 1000,
            column: column.name,
        })
    })
}

/// Reports a column without times; `None` then.
fn is_a_time(column: &OfColumn<'_>, report: &mut Report) -> Option<()> {
    use DataType::{Date32, Date64, Timestamp};
    match &column.data_type {
        None | Some(Date32 | Date64 | Timestamp(..)) => Some(()),
        Some(other) => {
            let (name, is) = (&column.name, types::name(other));
            let message =
                format!("`freshness` needs a date or timestamp, but column `{name}` is {is}");
            report
                .error("T0406", column.at, message)
                .help("use a column with times, or give this one `type: timestamp`");
            None
        }
    }
}

fn expression(reading: &mut Reading<'_>, entry: &Entry) -> Vec<CheckKind> {
    condition(&entry.value, reading.table, reading.report)
        .map(|expression| CheckKind::Expression { expression })
        .into_iter()
        .collect()
}

/// Reads a condition over a row of the table.
pub(crate) fn condition(node: &Node, table: &Table<'_>, report: &mut Report) -> Option<String> {
    let text = node.text()?;
    match table.subject.schema {
        Some(schema) => sqltext::condition(text, node.at, schema, table.subject.firm, report),
        None => sqltext::syntax(text, node.at, report),
    }
    Some(text.to_owned())
}

fn sql(reading: &mut Reading<'_>, entry: &Entry) -> Vec<CheckKind> {
    let Some(text) = entry.value.text() else {
        return Vec::new();
    };
    sqltext::query(text, entry.value.at, reading.table.name, reading.report);
    if let Some(filter) = reading.filter {
        narrowed(text, filter, entry.value.at, reading.report);
    }
    vec![CheckKind::Sql {
        query: text.to_owned(),
    }]
}

/// Reports a `where` that cannot be applied: it filters `{table}`, so the query must contain `{table}`, and
/// not as the name before a column.
fn narrowed(query: &str, filter: &str, at: FileRange, report: &mut Report) {
    if !query.contains("{table}") {
        report
            .error(
                "K0605",
                at,
                "`where` filters `{table}`, which this query does not use",
            )
            .help(format!(
                "write the condition into the query: where {filter}"
            ))
            .help("or use `{table}` in the query in place of the table's name");
    } else if query.contains("{table}.") {
        report
            .error(
                "K0605",
                at,
                "with `where`, `{table}` cannot be written before a column",
            )
            .help("give it an alias: from {table} as t, then t.column");
    }
}
