//! Measures checks with queries on a candidate, if they were not measured while rows were written.
//!
//! Promise: the checks that count rows share one statement, so the candidate is read once. If that
//! statement fails, each check gets its own, so that the failure names the check. For `unique`, the engine
//! only reads the keys; they are compared in `repeats.rs`, so the number of keys is not limited by memory.
//! It judges nothing: see `audit.rs`.

use std::collections::BTreeMap;

use arrow_array::{Array, RecordBatch};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, SchemaRef};
use futures::TryStreamExt;
use towpath_ports::{Candidate, Clock, Query, Result};
use towpath_vocab::{Check, CheckKind, Failure, Remedy, TableName, literal, quote, quote_table};

use crate::metrics::{Known, Measured, SAMPLES};
use crate::projection::value_text;
use crate::repeats::suspects;
use crate::services::MemoryShare;

/// The age of a table without any value, in seconds.
pub(crate) const NEVER: f64 = 9e15;

/// The candidate of one table, and the engine that queries it.
pub(crate) struct CheckRunner<'a> {
    pub(crate) table: &'a TableName,
    pub(crate) candidates: &'a BTreeMap<TableName, Candidate>,
    pub(crate) query: &'a dyn Query,
    pub(crate) clock: &'a dyn Clock,
    /// The memory of one unique check.
    pub(crate) share: MemoryShare,
}

/// The measured value of a check, and how long the query took.
#[derive(Clone, Debug, Default)]
pub(crate) struct CheckMeasurement {
    pub(crate) measured: Measured,
    pub(crate) elapsed_ms: u64,
}

impl CheckRunner<'_> {
    /// One value per check: the known one, or otherwise the result of a query on the candidate.
    pub(crate) async fn complete(
        &self,
        checks: &[Check],
        known: Vec<Known>,
    ) -> Result<Vec<CheckMeasurement>> {
        let mut answers = Vec::with_capacity(checks.len());
        for (check, known) in checks.iter().zip(known) {
            let began = self.clock.monotonic_us();
            let measured = match known {
                Known::Measured(measured) => Some(measured),
                Known::Values(values, rows) => self.related(check, &values, rows).await?,
                Known::Nothing => None,
            };
            let elapsed_ms = self.clock.monotonic_us().saturating_sub(began) / 1000;
            answers.push(measured.map(|measured| CheckMeasurement {
                measured,
                elapsed_ms,
            }));
        }
        self.together(checks, &mut answers).await?;
        let mut all = Vec::with_capacity(checks.len());
        for (check, answer) in checks.iter().zip(answers) {
            all.push(match answer {
                Some(answer) => answer,
                None => self.timed(check).await?,
            });
        }
        Ok(all)
    }

    /// Measures all checks that count rows with one statement. If it fails, there is no result: then each
    /// check gets its own statement, so the failure names the check.
    async fn together(
        &self,
        checks: &[Check],
        answers: &mut [Option<CheckMeasurement>],
    ) -> Result<()> {
        let began = self.clock.monotonic_us();
        let mut open = Vec::new();
        for (at, check) in checks.iter().enumerate() {
            let asked = self.asked(check);
            let question = question(&asked, &check.kind, 0);
            if let (Count::Rows { breaks }, Some(None)) = (&question.count, answers.get(at)) {
                open.push((at, check, asked.sums(breaks, at)));
            }
        }
        if open.len() < 2 {
            return Ok(());
        }
        let sums: Vec<&str> = open.iter().map(|(_, _, sums)| sums.as_str()).collect();
        let sql = format!(
            "select {} from {} as t",
            sums.join(", "),
            quote_table(self.table)
        );
        let Ok(counted) = fetch(self.query, &sql, self.candidates).await else {
            return Ok(());
        };
        let took_ms = self.clock.monotonic_us().saturating_sub(began) / 1000;
        let elapsed_ms = took_ms / open.len() as u64;
        for (column, (at, check, _)) in open.iter().enumerate() {
            let mut measured = Measured {
                value: number(&counted, 2 * column, check)?.unwrap_or(0.0),
                rows: number(&counted, 2 * column + 1, check)?.unwrap_or(0.0) as u64,
                ..Measured::default()
            };
            self.sample(check, &mut measured).await?;
            if let Some(answer) = answers.get_mut(*at) {
                *answer = Some(CheckMeasurement {
                    measured,
                    elapsed_ms,
                });
            }
        }
        Ok(())
    }

    async fn timed(&self, check: &Check) -> Result<CheckMeasurement> {
        let began = self.clock.monotonic_us();
        let measured = self.alone(check).await.map_err(|mut failure| {
            failure.message = format!("check `{}`: {}", check.name, failure.message);
            failure
        })?;
        Ok(CheckMeasurement {
            measured,
            elapsed_ms: self.clock.monotonic_us().saturating_sub(began) / 1000,
        })
    }

    async fn alone(&self, check: &Check) -> Result<Measured> {
        match &check.kind {
            CheckKind::Unique { columns } if self.is_comparable(columns) => {
                self.repeated(check, columns).await
            }
            _ => self.ask(check).await,
        }
    }

    /// False for rare types that only the engine can compare.
    fn is_comparable(&self, columns: &[String]) -> bool {
        let candidate = self.candidates.get(self.table);
        columns.iter().all(|column| {
            let field = candidate.and_then(|c| c.schema.field_with_name(column).ok());
            let sort = field.map(|field| SortField::new(field.data_type().clone()));
            sort.is_some_and(|sort| RowConverter::supports_fields(&[sort]))
        })
    }

    /// How many keys of the candidate occur more than once.
    async fn repeated(&self, check: &Check, columns: &[String]) -> Result<Measured> {
        let names: Vec<String> = (0..columns.len()).map(|at| format!("k{at}")).collect();
        let key: Vec<String> = columns
            .iter()
            .zip(&names)
            .map(|(column, name)| format!("{} as {name}", quote(column)))
            .collect();
        let sql = format!(
            "select {} from {} as t{}",
            key.join(", "),
            quote_table(self.table),
            self.asked(check).where_clause()
        );
        let keys = self.query.query(&sql, self.candidates).await?;
        match suspects(keys, &names, &self.share).await? {
            Err(measured) => Ok(measured),
            Ok(suspects) => {
                let again = self.query.query(&sql, self.candidates).await?;
                suspects.measure(again).await
            }
        }
    }

    /// How many rows refer to nothing, from the few values that they refer to. `None` if the query fails;
    /// then the check gets its own statement, which says why.
    async fn related(
        &self,
        check: &Check,
        values: &[(String, u64)],
        rows: u64,
    ) -> Result<Option<Measured>> {
        let CheckKind::Relationships { column, to, field } = &check.kind else {
            return Ok(None);
        };
        let mut measured = Measured {
            rows,
            ..Measured::default()
        };
        if values.is_empty() {
            return Ok(Some(measured));
        }
        let asked = self.asked(check);
        let listed: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(at, (value, _))| format!("({at}, {})", asked.value(column, value)))
            .collect();
        let (field, to) = (quote(field), quote_table(to));
        let sql = format!(
            "select place from (values {}) as v(place, value) where value not in \
             (select {field} from {to} where {field} is not null) order by value",
            listed.join(", ")
        );
        let Ok(missing) = fetch(self.query, &sql, self.candidates).await else {
            return Ok(None);
        };
        for batch in &missing {
            for row in 0..batch.num_rows() {
                let place = value_text(batch.column(0), row).parse::<usize>().ok();
                let Some((value, count)) = place.and_then(|place| values.get(place)) else {
                    return Err(no_number(check));
                };
                measured.value += *count as f64;
                if measured.samples.len() < SAMPLES {
                    measured.samples.push(value.clone());
                }
            }
        }
        Ok(Some(measured))
    }

    /// Measures one check by a statement of its own.
    async fn ask(&self, check: &Check) -> Result<Measured> {
        let asked = self.asked(check);
        let question = question(&asked, &check.kind, self.clock.now_us());
        let sql = asked.statement(&question.count);
        let counted = fetch(self.query, &sql, self.candidates).await?;
        let mut measured = Measured {
            value: number(&counted, 0, check)?.unwrap_or(0.0),
            rows: number(&counted, 1, check)?.unwrap_or(0.0) as u64,
            ..Measured::default()
        };
        self.sample(check, &mut measured).await?;
        Ok(measured)
    }

    /// Adds a few of the values that break a check.
    async fn sample(&self, check: &Check, measured: &mut Measured) -> Result<()> {
        let question = question(&self.asked(check), &check.kind, self.clock.now_us());
        let Some(samples) = question.samples.filter(|_| measured.value > 0.0) else {
            return Ok(());
        };
        for batch in fetch(self.query, &samples, self.candidates).await? {
            for row in 0..batch.num_rows() {
                let values: Vec<String> = batch
                    .columns()
                    .iter()
                    .map(|column| value_text(column, row))
                    .collect();
                measured.samples.push(match values.len() {
                    1 => values.concat(),
                    _ => format!("({})", values.join(", ")),
                });
            }
        }
        Ok(())
    }

    fn asked<'c>(&self, check: &'c Check) -> CheckQuery<'c> {
        let schema = self.candidates.get(self.table);
        CheckQuery {
            table: quote_table(self.table),
            schema: schema.map_or_else(no_columns, |c| SchemaRef::clone(&c.schema)),
            filter: check.filter.as_deref(),
        }
    }
}

/// The SQL of one check: it returns a row `(breaking, checked)`, and a few breaking values.
struct CheckSql {
    count: Count,
    samples: Option<String>,
}

enum Count {
    /// Rows for which a condition holds: many of these are one statement.
    Rows { breaks: String },
    /// A statement of its own.
    Statement(String),
}

struct CheckQuery<'a> {
    table: String,
    schema: SchemaRef,
    filter: Option<&'a str>,
}

impl CheckQuery<'_> {
    /// A value from the project files as a SQL value of the column's type: `1` and `1.0` are one double.
    fn value(&self, column: &str, text: &str) -> String {
        let field = self.schema.field_with_name(column);
        match field.ok().and_then(|field| sql_type(field.data_type())) {
            Some(sql_type) => format!("cast({} as {sql_type})", literal(text)),
            None => literal(text),
        }
    }

    /// Two sums over the whole table: the rows that break the check, and the rows checked.
    fn sums(&self, breaks: &str, at: usize) -> String {
        let filter = self.filter.unwrap_or("true");
        format!(
            "count(*) filter (where ({filter}) and ({breaks})) as broken_{at}, \
             count(*) filter (where ({filter})) as seen_{at}"
        )
    }

    /// The statement for one check alone.
    fn statement(&self, count: &Count) -> String {
        match count {
            Count::Statement(sql) => sql.clone(),
            Count::Rows { breaks } => format!(
                "select count(*) filter (where {breaks}) as broken, count(*) as seen from {} as t{}",
                self.table,
                self.where_clause()
            ),
        }
    }

    fn where_clause(&self) -> String {
        self.filter
            .map_or_else(String::new, |filter| format!(" where ({filter})"))
    }

    fn rows_breaking(&self, column: Option<&str>, breaks: &str) -> CheckSql {
        let CheckQuery { table, .. } = self;
        let count = Count::Rows {
            breaks: breaks.to_owned(),
        };
        let samples = column.map(|column| {
            let also = self.filter.map_or_else(String::new, |f| format!(" and ({f})"));
            format!("select distinct {column} from {table} as t where {breaks}{also} order by 1 limit {SAMPLES}")
        });
        CheckSql { count, samples }
    }
}

fn question(asked: &CheckQuery<'_>, kind: &CheckKind, now_us: i64) -> CheckSql {
    let table = &asked.table;
    let filter = asked.where_clause();
    match kind {
        CheckKind::NotNull { column } => {
            asked.rows_breaking(None, &format!("{} is null", quote(column)))
        }
        CheckKind::AcceptedValues {
            column: name,
            values,
        } => {
            let column = quote(name);
            let list: Vec<String> = values.iter().map(|v| asked.value(name, v)).collect();
            let breaks = format!(
                "{column} is not null and {column} not in ({})",
                list.join(", ")
            );
            asked.rows_breaking(Some(&column), &breaks)
        }
        CheckKind::Pattern { column, pattern } => {
            let column = quote(column);
            let breaks = format!("not regexp_like({column}, {})", literal(pattern));
            asked.rows_breaking(Some(&column), &breaks)
        }
        CheckKind::Range {
            column: name,
            min,
            max,
        } => {
            let column = quote(name);
            let below = min
                .as_deref()
                .map(|min| format!("{column} < {}", asked.value(name, min)));
            let above = max
                .as_deref()
                .map(|max| format!("{column} > {}", asked.value(name, max)));
            let breaks: Vec<String> = below.into_iter().chain(above).collect();
            asked.rows_breaking(Some(&column), &format!("({})", breaks.join(" or ")))
        }
        CheckKind::Expression { expression } => {
            asked.rows_breaking(None, &format!("not coalesce(({expression}), true)"))
        }
        CheckKind::RowCount { .. } => asked.rows_breaking(None, "true"),
        CheckKind::Freshness { column, .. } => {
            let now = now_us / 1_000_000;
            let newest = format!("extract(epoch from max({}))", quote(column));
            let age = format!("coalesce({now} - {newest}, {NEVER})");
            let count =
                format!("select {age} as broken, count(*) as seen from {table} as t{filter}");
            CheckSql {
                count: Count::Statement(count),
                samples: None,
            }
        }
        CheckKind::Unique { columns } => unique(asked, columns),
        CheckKind::Relationships { column, to, field } => {
            let (column, field) = (quote(column), quote(field));
            let to = quote_table(to);
            let breaks = format!(
                "{column} is not null and {column} not in (select {field} from {to} where {field} is not null)"
            );
            let also = asked
                .filter
                .map_or_else(String::new, |f| format!(" and ({f})"));
            CheckSql {
                count: Count::Statement(format!(
                    "select (select count(*) from {table} as t where {breaks}{also}) as broken, (select count(*) from {table} as t{filter}) as seen"
                )),
                samples: Some(format!(
                    "select distinct {column} from {table} as t where {breaks}{also} order by 1 limit {SAMPLES}"
                )),
            }
        }
        CheckKind::Sql { query } => {
            // As in dbt, the condition filters the table of the query.
            let asked_table = match asked.filter {
                Some(filter) => format!("(select * from {table} as t where ({filter}))"),
                None => table.clone(),
            };
            let query = query.replace("{table}", &asked_table);
            let query = query.trim().trim_end_matches(';');
            CheckSql {
                count: Count::Statement(format!(
                    "select count(*) as broken, count(*) as seen from ({query}\n) as q"
                )),
                samples: Some(format!("select * from ({query}\n) as q limit {SAMPLES}")),
            }
        }
    }
}

fn no_columns() -> SchemaRef {
    SchemaRef::new(arrow_schema::Schema::empty())
}

/// The SQL word of a type; text and rare types need none.
fn sql_type(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".to_owned(),
        _ => return None,
    })
}

fn unique(asked: &CheckQuery<'_>, columns: &[String]) -> CheckSql {
    let table = &asked.table;
    let key: Vec<String> = columns.iter().map(|c| quote(c)).collect();
    let whole: Vec<String> = key.iter().map(|c| format!("{c} is not null")).collect();
    let also = asked
        .filter
        .map_or_else(String::new, |f| format!(" and ({f})"));
    let key = key.join(", ");
    let groups = format!(
        "select {key}, count(*) as towpath_count from {table} as t where {}{also} group by {key}",
        whole.join(" and ")
    );
    CheckSql {
        count: Count::Statement(format!(
            "select count(*) filter (where towpath_count > 1) as broken, sum(towpath_count) as seen from ({groups}) as g"
        )),
        samples: Some(format!(
            "select {key} from ({groups}) as g where towpath_count > 1 order by {key} limit {SAMPLES}"
        )),
    }
}

async fn fetch(
    query: &dyn Query,
    sql: &str,
    candidates: &BTreeMap<TableName, Candidate>,
) -> Result<Vec<RecordBatch>> {
    query
        .query(sql, candidates)
        .await?
        .batches
        .try_collect()
        .await
}

/// The number in the first row of a column; NULL (a sum over no rows) is `None`.
fn number(batches: &[RecordBatch], column: usize, check: &Check) -> Result<Option<f64>> {
    let found = batches
        .iter()
        .find(|batch| batch.num_rows() > 0)
        .and_then(|batch| batch.columns().get(column));
    let unreadable = || no_number(check);
    let array = found.ok_or_else(unreadable)?;
    if array.is_null(0) {
        return Ok(None);
    }
    value_text(array, 0)
        .parse()
        .map(Some)
        .map_err(|_| unreadable())
}

fn no_number(check: &Check) -> Failure {
    Failure::new(
        "R0621",
        Remedy::Bug,
        format!("check `{}` gave no number", check.name),
    )
    .help("nothing was committed; please report this")
}
