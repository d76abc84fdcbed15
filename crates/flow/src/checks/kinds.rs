//! The definition of each kind of check, one after the other.
//!
//! Promise: a check has the same value whether it is measured while rows are written (`watch`) or with a
//! query (`question`); what cannot be watched is asked. It runs nothing. Read next: `definition.rs` (what a
//! kind must answer), `vocab/src/check.rs` (what a kind requires).

use towpath_vocab::{CheckKind, RuleKind, TableName, Tolerance, literal, quote, quote_table};

use super::definition::{
    CheckSql, CheckedTable, Count, Definition, Found, Known, Measured, SAMPLES, Watch, within,
};
use super::words::{exact_time, rough_time};

/// The definition of a check.
pub(crate) fn definition(kind: &CheckKind) -> Box<dyn Definition + '_> {
    match kind {
        CheckKind::NotNull { column } => Box::new(NotNull { column }),
        CheckKind::Unique { columns } => Box::new(Unique { columns }),
        CheckKind::AcceptedValues { column, values } => Box::new(AcceptedValues { column, values }),
        CheckKind::Pattern { column, pattern } => Box::new(Pattern { column, pattern }),
        CheckKind::Range { column, min, max } => Box::new(Range {
            column,
            min: min.as_deref(),
            max: max.as_deref(),
        }),
        CheckKind::Relationships { column, to, field } => {
            Box::new(Relationships { column, to, field })
        }
        CheckKind::RowCount { min, max } => Box::new(RowCount {
            bounds: (*min, *max),
        }),
        CheckKind::DistinctCount { column, min, max } => Box::new(DistinctCount {
            column,
            bounds: (*min, *max),
        }),
        CheckKind::Freshness { column, max_age_s } => Box::new(Freshness {
            column,
            max_age_s: *max_age_s,
        }),
        CheckKind::Expression { expression } => Box::new(Expression { expression }),
        CheckKind::Sql { query } => Box::new(Sql { query }),
    }
}

struct NotNull<'a> {
    column: &'a str,
}

impl Definition for NotNull<'_> {
    fn watch(&self) -> Watch<'_> {
        Watch::Broken {
            rules: vec![(self.column, RuleKind::Required)],
            shown: None,
        }
    }

    fn question(&self, table: &CheckedTable<'_>) -> CheckSql {
        table.rows_breaking(None, &format!("{} is null", quote(self.column)))
    }

    fn failure(&self, found: &Found<'_>) -> String {
        format!("{} without `{}`", found.rows(), self.column)
    }
}

struct Unique<'a> {
    columns: &'a [String],
}

impl Definition for Unique<'_> {
    fn watch(&self) -> Watch<'_> {
        Watch::Unique(self.columns)
    }

    fn question(&self, table: &CheckedTable<'_>) -> CheckSql {
        let key: Vec<String> = self.columns.iter().map(|column| quote(column)).collect();
        let whole: Vec<String> = key
            .iter()
            .map(|part| format!("{part} is not null"))
            .collect();
        let (key, name) = (key.join(", "), &table.name);
        let rows = table.where_also(&whole.join(" and "));
        let groups = format!(
            "select {key}, count(*) as towpath_count from {name} as t{rows} group by {key}"
        );
        CheckSql {
            count: Count::Repeats {
                columns: self.columns.to_vec(),
                statement: format!(
                    "select count(*) filter (where towpath_count > 1) as broken, sum(towpath_count) as seen from ({groups}) as g"
                ),
            },
            samples: Some(format!(
                "select {key} from ({groups}) as g where towpath_count > 1 order by {key} limit {SAMPLES}"
            )),
        }
    }

    fn failure(&self, found: &Found<'_>) -> String {
        let keys = found.counted("key", "keys");
        let occur = if found.value() == 1.0 {
            "occurs"
        } else {
            "occur"
        };
        let (columns, samples) = (self.columns.join(", "), found.samples());
        format!("{keys} ({columns}) {occur} more than once{samples}")
    }
}

struct AcceptedValues<'a> {
    column: &'a str,
    values: &'a [String],
}

impl Definition for AcceptedValues<'_> {
    fn watch(&self) -> Watch<'_> {
        Watch::Broken {
            rules: vec![(self.column, RuleKind::In(self.values.to_vec()))],
            shown: Some(self.column),
        }
    }

    fn question(&self, table: &CheckedTable<'_>) -> CheckSql {
        let column = quote(self.column);
        let values = self.values.iter();
        let values: Vec<String> = values.map(|text| table.value(self.column, text)).collect();
        let values = values.join(", ");
        let breaks = format!("{column} is not null and {column} not in ({values})");
        table.rows_breaking(Some(&column), &breaks)
    }

    fn failure(&self, found: &Found<'_>) -> String {
        let (rows, samples) = (found.rows(), found.samples());
        format!(
            "{rows} with a `{}` that is not accepted{samples}",
            self.column
        )
    }
}

struct Pattern<'a> {
    column: &'a str,
    pattern: &'a str,
}

impl Definition for Pattern<'_> {
    fn watch(&self) -> Watch<'_> {
        Watch::Broken {
            rules: vec![(self.column, RuleKind::Pattern(self.pattern.to_owned()))],
            shown: Some(self.column),
        }
    }

    fn question(&self, table: &CheckedTable<'_>) -> CheckSql {
        let column = quote(self.column);
        let breaks = format!("not regexp_like({column}, {})", literal(self.pattern));
        table.rows_breaking(Some(&column), &breaks)
    }

    fn failure(&self, found: &Found<'_>) -> String {
        let Self { column, pattern } = self;
        let (rows, samples) = (found.rows(), found.samples());
        format!("{rows} with a `{column}` that does not match `{pattern}`{samples}")
    }
}

struct Range<'a> {
    column: &'a str,
    min: Option<&'a str>,
    max: Option<&'a str>,
}

impl Definition for Range<'_> {
    fn watch(&self) -> Watch<'_> {
        let min = self.min.map(|min| RuleKind::Min(min.to_owned()));
        let max = self.max.map(|max| RuleKind::Max(max.to_owned()));
        let bounds = min.into_iter().chain(max);
        Watch::Broken {
            rules: bounds.map(|bound| (self.column, bound)).collect(),
            shown: Some(self.column),
        }
    }

    fn question(&self, table: &CheckedTable<'_>) -> CheckSql {
        let column = quote(self.column);
        let value = |text| table.value(self.column, text);
        let below = self.min.map(|min| format!("{column} < {}", value(min)));
        let above = self.max.map(|max| format!("{column} > {}", value(max)));
        let breaks: Vec<String> = below.into_iter().chain(above).collect();
        table.rows_breaking(Some(&column), &format!("({})", breaks.join(" or ")))
    }

    fn failure(&self, found: &Found<'_>) -> String {
        let (rows, samples) = (found.rows(), found.samples());
        format!("{rows} with `{}` out of range{samples}", self.column)
    }
}

struct Relationships<'a> {
    column: &'a str,
    to: &'a TableName,
    field: &'a str,
}

impl Definition for Relationships<'_> {
    fn watch(&self) -> Watch<'_> {
        Watch::Values {
            column: self.column,
            tell: Known::Values,
        }
    }

    fn breaking(&self, values: &[(String, u64)], table: &CheckedTable<'_>) -> Option<String> {
        let listed: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(at, (value, _))| format!("({at}, {})", table.value(self.column, value)))
            .collect();
        let (field, to) = (quote(self.field), quote_table(self.to));
        Some(format!(
            "select place from (values {}) as v(place, value) where value not in \
             (select {field} from {to} where {field} is not null) order by value",
            listed.join(", ")
        ))
    }

    fn question(&self, table: &CheckedTable<'_>) -> CheckSql {
        let (column, field) = (quote(self.column), quote(self.field));
        let (name, to) = (&table.name, quote_table(self.to));
        let breaks = format!(
            "{column} is not null and {column} not in (select {field} from {to} where {field} is not null)"
        );
        let (broken, seen) = (table.where_also(&breaks), table.where_clause());
        CheckSql {
            count: Count::Statement(format!(
                "select (select count(*) from {name} as t{broken}) as broken, (select count(*) from {name} as t{seen}) as seen"
            )),
            samples: Some(table.values_breaking(&column, &breaks)),
        }
    }

    fn failure(&self, found: &Found<'_>) -> String {
        let Self { column, to, .. } = self;
        let (rows, samples) = (found.rows(), found.samples());
        format!("{rows} with a `{column}` that is not in `{to}`{samples}")
    }
}

struct RowCount {
    bounds: (Option<u64>, Option<u64>),
}

impl Definition for RowCount {
    fn watch(&self) -> Watch<'_> {
        Watch::RowCount
    }

    fn question(&self, table: &CheckedTable<'_>) -> CheckSql {
        table.rows_breaking(None, "true")
    }

    fn judge(&self, measured: &Measured, _: Tolerance) -> (bool, String) {
        within(measured.value, self.bounds, "rows")
    }

    fn failure(&self, found: &Found<'_>) -> String {
        format!("the table would hold {}", found.rows())
    }
}

struct DistinctCount<'a> {
    column: &'a str,
    bounds: (Option<u64>, Option<u64>),
}

impl Definition for DistinctCount<'_> {
    fn watch(&self) -> Watch<'_> {
        Watch::Values {
            column: self.column,
            tell: |values, rows| {
                Known::Measured(Measured {
                    value: values.len() as f64,
                    rows,
                    samples: Vec::new(),
                })
            },
        }
    }

    fn question(&self, table: &CheckedTable<'_>) -> CheckSql {
        let (name, column) = (&table.name, quote(self.column));
        let rows = table.where_also(&format!("{column} is not null"));
        // Groups go to disk when they are too many for memory; a `count(distinct …)` does not.
        let groups = format!(
            "select {column}, count(*) as towpath_count from {name} as t{rows} group by {column}"
        );
        CheckSql {
            count: Count::Statement(format!(
                "select count(*) as found, sum(towpath_count) as seen from ({groups}) as g"
            )),
            samples: None,
        }
    }

    fn judge(&self, measured: &Measured, _: Tolerance) -> (bool, String) {
        within(measured.value, self.bounds, "distinct values")
    }

    fn failure(&self, found: &Found<'_>) -> String {
        let values = found.counted("distinct value", "distinct values");
        format!("`{}` has {values}", self.column)
    }
}

struct Freshness<'a> {
    column: &'a str,
    max_age_s: u64,
}

impl Freshness<'_> {
    /// The age of a table without any value, in seconds.
    const NEVER: f64 = 9e15;
}

impl Definition for Freshness<'_> {
    fn watch(&self) -> Watch<'_> {
        Watch::Nothing
    }

    fn question(&self, table: &CheckedTable<'_>) -> CheckSql {
        let (name, rows, never) = (&table.name, table.where_clause(), Self::NEVER);
        let now = table.now_us / 1_000_000;
        let newest = format!("extract(epoch from max({}))", quote(self.column));
        let age = format!("coalesce({now} - {newest}, {never})");
        CheckSql {
            count: Count::Statement(format!(
                "select {age} as broken, count(*) as seen from {name} as t{rows}"
            )),
            samples: None,
        }
    }

    fn judge(&self, measured: &Measured, _: Tolerance) -> (bool, String) {
        let passed = measured.value <= self.max_age_s as f64;
        (
            passed,
            format!("at most {} old", exact_time(self.max_age_s)),
        )
    }

    fn failure(&self, found: &Found<'_>) -> String {
        let column = self.column;
        if found.value() >= Self::NEVER {
            return format!("`{column}` has no value");
        }
        let age = rough_time(found.value());
        format!("the newest `{column}` is {age} old")
    }
}

struct Expression<'a> {
    expression: &'a str,
}

impl Definition for Expression<'_> {
    fn watch(&self) -> Watch<'_> {
        Watch::Broken {
            rules: vec![("", RuleKind::Expression(self.expression.to_owned()))],
            shown: None,
        }
    }

    fn question(&self, table: &CheckedTable<'_>) -> CheckSql {
        let breaks = format!("not coalesce(({}), true)", self.expression);
        table.rows_breaking(None, &breaks)
    }

    fn failure(&self, found: &Found<'_>) -> String {
        format!("{} for which `{}` is false", found.rows(), self.expression)
    }
}

struct Sql<'a> {
    query: &'a str,
}

impl Definition for Sql<'_> {
    fn watch(&self) -> Watch<'_> {
        Watch::Nothing
    }

    fn question(&self, table: &CheckedTable<'_>) -> CheckSql {
        let name = &table.name;
        // As in dbt, the condition filters the table of the query.
        let rows = match table.filter {
            Some(filter) => format!("(select * from {name} as t where ({filter}))"),
            None => name.clone(),
        };
        let query = self.query.replace("{table}", &rows);
        let query = query.trim().trim_end_matches(';');
        CheckSql {
            count: Count::Statement(format!(
                "select count(*) as broken, count(*) as seen from ({query}\n) as q"
            )),
            samples: Some(format!("select * from ({query}\n) as q limit {SAMPLES}")),
        }
    }

    fn failure(&self, found: &Found<'_>) -> String {
        format!("the query gives {}{}", found.rows(), found.samples())
    }
}
