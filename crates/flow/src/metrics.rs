//! Checks that can be answered while rows pass by, so that they cost no second look at the data.
//!
//! Only for writes whose rows are the whole table afterwards. What cannot be answered here (a filter,
//! another table, a repeat to be named) is left to `audit.rs`, which asks the candidate.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use towpath_ports::{ExpressionCompiler, Result};
use towpath_vocab::{Check, CheckKind, RuleKind};

use crate::shape::value_text;
use crate::test::Test;
use crate::unique::Unique;

/// Values shown with a failed check.
pub(crate) const SAMPLES: usize = 5;

/// What was measured for one check.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Measured {
    /// Rows that break it, or the number of rows for `row_count`.
    pub(crate) value: f64,
    /// Rows looked at.
    pub(crate) rows: u64,
    /// A few breaking values.
    pub(crate) samples: Vec<String>,
}

/// One watcher per check, in the order of the checks; `None` where only the candidate can tell.
pub(crate) struct Metrics {
    watchers: Vec<Option<Watcher>>,
    rows: u64,
}

enum Watcher {
    Broken {
        tests: Vec<Test>,
        column: Option<usize>,
        count: u64,
        samples: Vec<String>,
    },
    Unique(Unique),
    RowCount,
}

impl Metrics {
    /// Chooses what to watch. `most_bytes` bounds the memory of all unique checks together.
    pub(crate) fn new(
        checks: &[Check],
        covers_table: bool,
        schema: &SchemaRef,
        expressions: &dyn ExpressionCompiler,
        most_bytes: u64,
    ) -> Result<Self> {
        let uniques = checks
            .iter()
            .filter(|c| matches!(c.kind, CheckKind::Unique { .. }))
            .count();
        let share = most_bytes / uniques.max(1) as u64;
        let watchers = checks
            .iter()
            .map(|check| match covers_table && check.filter.is_none() {
                true => watcher(&check.kind, schema, expressions, share),
                false => Ok(None),
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { watchers, rows: 0 })
    }

    /// Looks at one batch on its way to the writer.
    pub(crate) fn observe(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        for watcher in self.watchers.iter_mut().flatten() {
            watcher.observe(batch)?;
        }
        Ok(())
    }

    /// What was measured, per check.
    pub(crate) fn finish(self) -> Vec<Option<Measured>> {
        let rows = self.rows;
        self.watchers
            .into_iter()
            .map(|watcher| watcher.and_then(|w| w.finish(rows)))
            .collect()
    }
}

impl Watcher {
    fn observe(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Watcher::RowCount => Ok(()),
            Watcher::Unique(unique) => unique.observe(batch),
            Watcher::Broken {
                tests,
                column,
                count,
                samples,
            } => {
                for test in tests {
                    let broken = test.broken(batch)?;
                    if broken.count == 0 {
                        continue;
                    }
                    *count += broken.count as u64;
                    let Some(column) = column else { continue };
                    for row in broken
                        .bits
                        .set_indices()
                        .take(SAMPLES - samples.len().min(SAMPLES))
                    {
                        samples.push(value_text(batch.column(*column), row));
                    }
                }
                Ok(())
            }
        }
    }

    fn finish(self, rows: u64) -> Option<Measured> {
        match self {
            Watcher::RowCount => Some(Measured {
                value: rows as f64,
                rows,
                samples: Vec::new(),
            }),
            Watcher::Unique(unique) => unique.proves().then(|| Measured {
                rows,
                ..Measured::default()
            }),
            Watcher::Broken { count, samples, .. } => Some(Measured {
                value: count as f64,
                rows,
                samples,
            }),
        }
    }
}

fn watcher(
    kind: &CheckKind,
    schema: &SchemaRef,
    expressions: &dyn ExpressionCompiler,
    most_bytes: u64,
) -> Result<Option<Watcher>> {
    let broken = |column: &str, kinds: &[RuleKind]| -> Result<Option<Watcher>> {
        let tests = kinds
            .iter()
            .map(|kind| Test::compile(column, kind, schema, expressions));
        let tests = tests.collect::<Result<Vec<_>>>()?;
        let column = schema.index_of(column).ok();
        Ok(Some(Watcher::Broken {
            tests,
            column,
            count: 0,
            samples: Vec::new(),
        }))
    };
    match kind {
        CheckKind::NotNull { column } => broken(column, &[RuleKind::Required]),
        CheckKind::AcceptedValues { column, values } => {
            broken(column, &[RuleKind::In(values.clone())])
        }
        CheckKind::Pattern { column, pattern } => {
            broken(column, &[RuleKind::Pattern(pattern.clone())])
        }
        CheckKind::Range { column, min, max } => {
            let bounds = [
                min.clone().map(RuleKind::Min),
                max.clone().map(RuleKind::Max),
            ];
            broken(column, &bounds.into_iter().flatten().collect::<Vec<_>>())
        }
        CheckKind::Expression { expression } => {
            let test = Test::holding(expression, schema, expressions)?;
            Ok(Some(Watcher::Broken {
                tests: vec![test],
                column: None,
                count: 0,
                samples: Vec::new(),
            }))
        }
        CheckKind::Unique { columns } => Ok(Some(Watcher::Unique(Unique::new(
            columns, schema, most_bytes,
        )?))),
        CheckKind::RowCount { .. } => Ok(Some(Watcher::RowCount)),
        CheckKind::Relationships { .. } | CheckKind::Freshness { .. } | CheckKind::Sql { .. } => {
            Ok(None)
        }
    }
}
