//! An operator that applies the rules of a table to each row.
//!
//! Promise: a row that breaks a rule is rejected with all of its reasons; if the rule only warns, the row
//! is counted and passes. A batch without a broken rule passes unchanged, and so does every delete of a
//! change feed, because its columns outside the key have no meaning. Read next: `predicate.rs`.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{BooleanArray, RecordBatch};
use arrow_buffer::BooleanBuffer;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use towpath_ports::{ExpressionCompiler, Operator, OperatorOutput, Result, Rows};
use towpath_vocab::{Reason, Rule, Severity};

use crate::ops::NonDeletedRows;
use crate::predicate::{Broken, Predicate, says};
use crate::projection::{keep_rows, reject, value_text};
use crate::summary::RuleCount;

/// How often each rule was broken, shared with the report.
#[derive(Clone, Default)]
pub(crate) struct RuleCounts(Arc<Mutex<Vec<RuleCount>>>);

impl RuleCounts {
    /// The rules that were broken.
    pub(crate) fn broken(&self) -> Vec<RuleCount> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().filter(|c| c.rows > 0).cloned().collect()
    }
}

/// The operator that applies rules to rows.
pub(crate) struct RuleValidator {
    schema: SchemaRef,
    rules: Vec<CompiledRule>,
    /// In the order of `rules`.
    counts: RuleCounts,
}

struct CompiledRule {
    rule: Rule,
    test: Predicate,
}

impl RuleValidator {
    /// Compiles rules for the final columns of rows.
    ///
    /// # Errors
    /// `FixConfig` if a rule does not fit its column.
    pub(crate) fn compile(
        rules: &[Rule],
        schema: SchemaRef,
        expressions: &dyn ExpressionCompiler,
    ) -> Result<Self> {
        let counts = rules.iter().map(|rule| RuleCount {
            column: rule.column.clone(),
            code: rule.kind.code().to_owned(),
            message: says(&rule.kind),
            warns: rule.severity == Severity::Warn,
            rows: 0,
            example: None,
        });
        let counts = RuleCounts(Arc::new(Mutex::new(counts.collect())));
        let rules = rules
            .iter()
            .map(|rule| {
                let test = Predicate::compile(&rule.column, &rule.kind, &schema, expressions)?;
                Ok(CompiledRule {
                    rule: rule.clone(),
                    test,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            schema,
            rules,
            counts,
        })
    }

    /// How often each rule was broken so far; later batches add to it.
    pub(crate) fn counts(&self) -> RuleCounts {
        self.counts.clone()
    }

    /// The rows that break each rule; `None` if no rule is broken.
    fn judge(&self, rows: &Rows) -> Result<Option<Vec<Broken>>> {
        let present = NonDeletedRows::of(rows);
        let judged = match &present {
            None => rows.batch.clone(),
            Some(present) => present.only(&rows.batch)?,
        };
        let mut counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut verdicts = Vec::with_capacity(self.rules.len());
        let mut any = false;
        for (compiled, count) in self.rules.iter().zip(counts.iter_mut()) {
            let mut broken = compiled.test.broken(&judged)?;
            if let Some(present) = &present {
                broken.bits = present.spread_bits(&broken.bits);
            }
            if broken.count > 0 {
                any = true;
                count.rows += broken.count as u64;
                if count.example.is_none()
                    && let Some(row) = broken.bits.set_indices().next()
                {
                    let value = shown_value(&rows.batch, &compiled.rule.column, row);
                    let place = rows.origin.place(rows.ordinals.value(row));
                    count.example = Some(format!("{value} at {place}"));
                }
            }
            verdicts.push(broken);
        }
        Ok(any.then_some(verdicts))
    }

    fn reasons(&self, batch: &RecordBatch, verdicts: &[Broken], row: usize) -> Vec<Reason> {
        self.rules
            .iter()
            .zip(verdicts)
            .filter(|(_, broken)| broken.bits.value(row))
            .map(|(compiled, _)| Reason {
                code: compiled.rule.kind.code().to_owned(),
                column: Some(compiled.rule.column.clone()),
                value: Some(shown_value(batch, &compiled.rule.column, row)),
                message: says(&compiled.rule.kind),
            })
            .collect()
    }
}

#[async_trait]
impl Operator for RuleValidator {
    fn name(&self) -> &'static str {
        "rules"
    }

    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    async fn process(&mut self, rows: Rows) -> Result<OperatorOutput> {
        let Some(verdicts) = self.judge(&rows)? else {
            return Ok(OperatorOutput::of(rows));
        };
        let mut bad = BooleanBuffer::new_unset(rows.len());
        for (compiled, broken) in self.rules.iter().zip(&verdicts) {
            if compiled.rule.severity == Severity::Error {
                bad = &bad | &broken.bits;
            }
        }
        let rejects = bad
            .set_indices()
            .map(|row| reject(&rows, row, self.reasons(&rows.batch, &verdicts, row)))
            .collect();
        let keep = BooleanArray::new(!&bad, None);
        Ok(OperatorOutput {
            rejects,
            ..OperatorOutput::of(keep_rows(rows, &keep)?)
        })
    }
}

fn shown_value(batch: &RecordBatch, column: &str, row: usize) -> String {
    batch
        .column_by_name(column)
        .map_or_else(String::new, |array| value_text(array, row))
}
