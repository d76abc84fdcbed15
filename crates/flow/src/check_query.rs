//! Measures checks with queries on a candidate, if they were not measured while rows were written.
//!
//! Promise: the checks that count rows share one statement, so the candidate is read once. If that
//! statement fails, each check gets its own, so that the failure names the check. For `unique`, the engine
//! only reads the keys; they are compared in `repeats.rs`, so the number of keys is not limited by memory.
//! It judges nothing (see `audit.rs`) and does not know the kinds of checks. Read next: `checks/kinds.rs`,
//! which has the SQL of each.

use std::collections::BTreeMap;

use arrow_array::{Array, RecordBatch};
use arrow_row::{RowConverter, SortField};
use arrow_schema::SchemaRef;
use futures::TryStreamExt;
use towpath_ports::{Candidate, Clock, Query, Result};
use towpath_vocab::{Check, Failure, Remedy, TableName, quote, quote_table};

use crate::checks::{CheckedTable, Count, Known, Measured, SAMPLES, definition};
use crate::projection::value_text;
use crate::repeats::suspects;
use crate::services::MemoryShare;

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
            let question = definition(&check.kind).question(&asked);
            if let (Count::Rows { breaks }, Some(None)) = (&question.count, answers.get(at)) {
                open.push((at, check, sums(&asked, breaks, at)));
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
        match definition(&check.kind).question(&self.asked(check)).count {
            Count::Repeats { columns, .. } if self.is_comparable(&columns) => {
                self.repeated(check, &columns).await
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

    /// How many rows break a check, from the few values that they have. `None` if the query fails; then the
    /// check gets its own statement, which says why.
    async fn related(
        &self,
        check: &Check,
        values: &[(String, u64)],
        rows: u64,
    ) -> Result<Option<Measured>> {
        let mut measured = Measured {
            rows,
            ..Measured::default()
        };
        if values.is_empty() {
            return Ok(Some(measured));
        }
        let breaking = definition(&check.kind).breaking(values, &self.asked(check));
        let Some(sql) = breaking else {
            return Ok(None);
        };
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
        let question = definition(&check.kind).question(&asked);
        let sql = statement(&asked, question.count);
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
        let question = definition(&check.kind).question(&self.asked(check));
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

    fn asked<'c>(&self, check: &'c Check) -> CheckedTable<'c> {
        let candidate = self.candidates.get(self.table);
        CheckedTable {
            name: quote_table(self.table),
            schema: candidate.map_or_else(
                || SchemaRef::new(arrow_schema::Schema::empty()),
                |candidate| SchemaRef::clone(&candidate.schema),
            ),
            filter: check.filter.as_deref(),
            now_us: self.clock.now_us(),
        }
    }
}

/// Two sums over the whole table: the rows that break the check, and the rows checked.
fn sums(table: &CheckedTable<'_>, breaks: &str, at: usize) -> String {
    let filter = table.filter.unwrap_or("true");
    format!(
        "count(*) filter (where ({filter}) and ({breaks})) as broken_{at}, \
         count(*) filter (where ({filter})) as seen_{at}"
    )
}

/// The statement for one check alone.
fn statement(table: &CheckedTable<'_>, count: Count) -> String {
    match count {
        Count::Statement(sql) | Count::Repeats { statement: sql, .. } => sql,
        Count::Rows { breaks } => format!(
            "select count(*) filter (where {breaks}) as broken, count(*) as seen from {} as t{}",
            table.name,
            table.where_clause()
        ),
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
