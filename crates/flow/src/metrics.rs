//! Measures checks while rows are written, so that they need no second read of the data.
//!
//! Promise: this is done only if the written rows are the whole table afterwards. Each predicate and each
//! `where` is evaluated once per batch, however many checks use it. A check that cannot be measured here
//! (another table, a repeated key to name, an expression that fails) is left to `audit.rs`, and so are all
//! checks of a change feed, which is written by key. It does not know the kinds of checks. Read next:
//! `checks/kinds.rs`, which says how each is watched.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{DataType, SchemaRef};
use async_trait::async_trait;
use towpath_ports::{ExpressionCompiler, Operator, OperatorOutput, Result, RowExpression, Rows};
use towpath_vocab::{Check, RuleKind};

use crate::checks::{Known, Measured, SAMPLES, Watch, definition};
use crate::predicate::{Broken, Predicate, column_index};
use crate::projection::value_text;
use crate::services::MemoryShare;
use crate::unique::Unique;
use crate::values::Values;

/// The most breaking rows of a batch that are searched for new values to show.
const LOOKED_AT: usize = 64;

/// One watcher per check, in the order of the checks; `None` for a check that needs a query.
#[derive(Default)]
pub(crate) struct Metrics {
    /// Each predicate of any check, once.
    tests: Vec<((String, RuleKind), Predicate)>,
    /// Each `where` of any check, once.
    filters: Vec<(String, Arc<dyn RowExpression>)>,
    watchers: Vec<Option<Watcher>>,
}

struct Watcher {
    /// The filter that it uses.
    filter: Option<usize>,
    /// Rows checked.
    rows: u64,
    watched: Watched,
}

enum Watched {
    Broken {
        /// The predicates that it uses; a row that breaks one of them breaks the check.
        tests: Vec<usize>,
        /// The column whose values are shown.
        column: Option<usize>,
        count: u64,
        samples: Vec<String>,
    },
    Unique(Unique),
    Values(Values, fn(Vec<(String, u64)>, u64) -> Known),
    RowCount,
}

/// The results of predicates and filters for one batch; `None` if one could not be evaluated.
struct Answers<'a> {
    batch: &'a RecordBatch,
    broken: Vec<Option<Broken>>,
    kept: Vec<Option<BooleanBuffer>>,
}

/// What is needed to compile watchers.
struct Setting<'a> {
    schema: &'a SchemaRef,
    expressions: &'a dyn ExpressionCompiler,
    /// The memory of one unique check.
    share: MemoryShare,
}

impl Metrics {
    /// Chooses the checks that are measured here. `share` is the memory of all unique checks together.
    pub(crate) fn new(
        checks: &[Check],
        covers_table: bool,
        schema: &SchemaRef,
        expressions: &dyn ExpressionCompiler,
        share: MemoryShare,
    ) -> Result<Self> {
        let uniques = checks
            .iter()
            .filter(|check| matches!(definition(&check.kind).watch(), Watch::Unique(_)))
            .count();
        let setting = Setting {
            schema,
            expressions,
            share: MemoryShare {
                bytes: share.bytes / uniques.max(1) as u64,
                ..share
            },
        };
        let mut metrics = Self::default();
        for check in checks {
            let watcher = match covers_table {
                true => metrics.watcher(check, &setting)?,
                false => None,
            };
            metrics.watchers.push(watcher);
        }
        Ok(metrics)
    }

    /// Measures one batch on its way to the writer.
    pub(crate) fn observe(&mut self, batch: &RecordBatch) -> Result<()> {
        let answers = Answers {
            batch,
            broken: self
                .tests
                .iter()
                .map(|(_, t)| t.broken(batch).ok())
                .collect(),
            kept: self
                .filters
                .iter()
                .map(|(_, f)| kept(f.as_ref(), batch))
                .collect(),
        };
        for slot in &mut self.watchers {
            if let Some(watcher) = slot
                && !watcher.observe(&answers)?
            {
                *slot = None;
            }
        }
        Ok(())
    }

    /// The measured values, for each check.
    pub(crate) fn finish(self) -> Result<Vec<Known>> {
        let known = self.watchers.into_iter();
        known
            .map(|watcher| watcher.map_or(Ok(Known::Nothing), Watcher::finish))
            .collect()
    }

    fn watcher(&mut self, check: &Check, setting: &Setting<'_>) -> Result<Option<Watcher>> {
        let Some(watched) = self.watched(definition(&check.kind).watch(), setting)? else {
            return Ok(None);
        };
        let filter = match &check.filter {
            None => None,
            Some(text) => match self.filter(text, setting) {
                Some(filter) => Some(filter),
                None => return Ok(None),
            },
        };
        Ok(Some(Watcher {
            filter,
            rows: 0,
            watched,
        }))
    }

    fn watched(&mut self, watch: Watch<'_>, setting: &Setting<'_>) -> Result<Option<Watched>> {
        let schema = setting.schema;
        Ok(Some(match watch {
            Watch::Nothing => return Ok(None),
            Watch::RowCount => Watched::RowCount,
            Watch::Broken { rules, shown } => Watched::Broken {
                tests: rules
                    .into_iter()
                    .map(|rule| self.test(rule, setting))
                    .collect::<Result<_>>()?,
                column: shown.map(|name| column_index(schema, name)).transpose()?,
                count: 0,
                samples: Vec::new(),
            },
            Watch::Unique(key) => Watched::Unique(Unique::new(key, schema, setting.share.clone())?),
            Watch::Values { column, tell } => {
                let values = Values::new(column_index(schema, column)?, schema);
                return Ok(values.map(|values| Watched::Values(values, tell)));
            }
        }))
    }

    fn test(&mut self, (column, kind): (&str, RuleKind), setting: &Setting<'_>) -> Result<usize> {
        let known = |((c, k), _): &((String, RuleKind), Predicate)| c == column && *k == kind;
        if let Some(place) = self.tests.iter().position(known) {
            return Ok(place);
        }
        let test = Predicate::compile(column, &kind, setting.schema, setting.expressions)?;
        self.tests.push(((column.to_owned(), kind), test));
        Ok(self.tests.len() - 1)
    }

    /// `None` for SQL that needs more than the row itself, which only the engine can run.
    fn filter(&mut self, text: &str, setting: &Setting<'_>) -> Option<usize> {
        if let Some(place) = self.filters.iter().position(|(known, _)| known == text) {
            return Some(place);
        }
        let filter = setting.expressions.compile(text, setting.schema).ok()?;
        if *filter.data_type() != DataType::Boolean {
            return None;
        }
        self.filters.push((text.to_owned(), filter));
        Some(self.filters.len() - 1)
    }
}

/// The operator that measures checks on rows on their way to the writer.
pub(crate) struct Measure {
    schema: SchemaRef,
    metrics: SharedMetrics,
}

/// The measured values, shared with the operator and read at the commit.
#[derive(Clone, Default)]
pub(crate) struct SharedMetrics(Arc<Mutex<Metrics>>);

impl SharedMetrics {
    /// The measured values, for each check.
    pub(crate) fn finish(&self) -> Result<Vec<Known>> {
        let mut metrics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *metrics).finish()
    }
}

impl Measure {
    pub(crate) fn new(schema: SchemaRef, metrics: Metrics) -> (Self, SharedMetrics) {
        let shared = SharedMetrics(Arc::new(Mutex::new(metrics)));
        let operator = Self {
            schema,
            metrics: shared.clone(),
        };
        (operator, shared)
    }
}

#[async_trait]
impl Operator for Measure {
    fn name(&self) -> &'static str {
        "metrics"
    }

    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    async fn process(&mut self, rows: Rows) -> Result<OperatorOutput> {
        let mut metrics = self
            .metrics
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        metrics.observe(&rows.batch)?;
        Ok(OperatorOutput::of(rows))
    }
}

impl Watcher {
    /// False if this batch could not be measured; then the check needs a query.
    fn observe(&mut self, answers: &Answers<'_>) -> Result<bool> {
        let kept = match self.filter {
            None => None,
            Some(filter) => match answers.kept.get(filter) {
                Some(Some(kept)) => Some(kept),
                _ => return Ok(false),
            },
        };
        let rows = kept.map_or(answers.batch.num_rows(), BooleanBuffer::count_set_bits);
        self.rows += rows as u64;
        match &mut self.watched {
            Watched::RowCount => Ok(true),
            Watched::Unique(unique) => {
                unique.observe(answers.batch, kept)?;
                Ok(true)
            }
            Watched::Values(values, _) => Ok(values.observe(answers.batch, kept)),
            Watched::Broken {
                tests,
                column,
                count,
                samples,
            } => {
                let Some(broken) = answers.broken(tests, kept) else {
                    return Ok(false);
                };
                *count += broken.count_set_bits() as u64;
                if let Some(column) = column {
                    add_samples(samples, answers.batch, *column, &broken);
                }
                Ok(true)
            }
        }
    }

    fn finish(self) -> Result<Known> {
        let rows = self.rows;
        let (value, samples) = match self.watched {
            Watched::RowCount => (rows as f64, Vec::new()),
            Watched::Broken { count, samples, .. } => (count as f64, samples),
            Watched::Values(values, tell) => return Ok(tell(values.counts(), rows)),
            Watched::Unique(unique) => match unique.proves()? {
                true => (0.0, Vec::new()),
                false => return Ok(Known::Nothing),
            },
        };
        Ok(Known::Measured(Measured {
            value,
            rows,
            samples,
        }))
    }
}

impl Answers<'_> {
    /// The rows that break any of the predicates, among those that the filter keeps.
    fn broken(&self, tests: &[usize], kept: Option<&BooleanBuffer>) -> Option<BooleanBuffer> {
        let mut all = BooleanBuffer::new_unset(self.batch.num_rows());
        for test in tests {
            let broken = self.broken.get(*test)?.as_ref()?;
            if broken.count > 0 {
                all = &all | &broken.bits;
            }
        }
        Some(match kept {
            Some(kept) => &all & kept,
            None => all,
        })
    }
}

/// The rows for which a filter is true.
fn kept(filter: &dyn RowExpression, batch: &RecordBatch) -> Option<BooleanBuffer> {
    let truth = filter.evaluate(batch).ok()?;
    let truth = truth.as_boolean_opt()?;
    Some(match truth.nulls() {
        None => truth.values().clone(),
        Some(nulls) => truth.values() & nulls.inner(),
    })
}

/// Shows each breaking value once.
fn add_samples(
    samples: &mut Vec<String>,
    batch: &RecordBatch,
    column: usize,
    broken: &BooleanBuffer,
) {
    for row in broken.set_indices().take(LOOKED_AT) {
        if samples.len() >= SAMPLES {
            break;
        }
        let value = value_text(batch.column(column), row);
        if !samples.contains(&value) {
            samples.push(value);
        }
    }
}
