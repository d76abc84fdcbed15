//! Judges rows by their rules: a row that breaks one is set aside with every reason, or only counted
//! when the rule warns. A batch without a broken row passes untouched.

use arrow_array::{BooleanArray, RecordBatch};
use arrow_buffer::BooleanBuffer;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use towpath_ports::{ExpressionCompiler, Operator, Output, Result, Rows};
use towpath_vocab::{Reason, Rule, RuleKind, Severity};

use crate::predicate::{Broken, Test};
use crate::projection::{keep_rows, reject, value_text};
use crate::summary::RuleCount;

/// The operator that judges rows.
pub(crate) struct RuleValidator {
    schema: SchemaRef,
    rules: Vec<CompiledRule>,
}

struct CompiledRule {
    rule: Rule,
    test: Test,
    count: RuleCount,
}

impl RuleValidator {
    /// Compiles rules against the columns rows have after shaping.
    ///
    /// # Errors
    /// `FixConfig` when a rule does not fit its column.
    pub(crate) fn compile(
        rules: &[Rule],
        schema: SchemaRef,
        expressions: &dyn ExpressionCompiler,
    ) -> Result<Self> {
        let rules = rules
            .iter()
            .map(|rule| {
                let test = Test::compile(&rule.column, &rule.kind, &schema, expressions)?;
                let count = RuleCount {
                    column: rule.column.clone(),
                    code: rule.kind.code().to_owned(),
                    message: says(&rule.kind),
                    warns: rule.severity == Severity::Warn,
                    rows: 0,
                    example: None,
                };
                Ok(CompiledRule {
                    rule: rule.clone(),
                    test,
                    count,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { schema, rules })
    }

    /// How often each rule was broken so far; rules never broken are left out.
    pub(crate) fn counts(&self) -> Vec<RuleCount> {
        self.rules
            .iter()
            .map(|rule| &rule.count)
            .filter(|count| count.rows > 0)
            .cloned()
            .collect()
    }

    /// Every rule's broken rows; `None` when no rule is broken.
    fn judge(&mut self, rows: &Rows) -> Result<Option<Vec<Broken>>> {
        let mut verdicts = Vec::with_capacity(self.rules.len());
        let mut any = false;
        for compiled in &mut self.rules {
            let broken = compiled.test.broken(&rows.batch)?;
            if broken.count > 0 {
                any = true;
                compiled.count.rows += broken.count as u64;
                if compiled.count.example.is_none()
                    && let Some(row) = broken.bits.set_indices().next()
                {
                    let value = told_value(&rows.batch, &compiled.rule.column, row);
                    let place = rows.origin.place(rows.ordinals.value(row));
                    compiled.count.example = Some(format!("{value} at {place}"));
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
                value: Some(told_value(batch, &compiled.rule.column, row)),
                message: says(&compiled.rule.kind),
            })
            .collect()
    }
}

#[async_trait]
impl Operator for RuleValidator {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    async fn process(&mut self, rows: Rows) -> Result<Output> {
        let Some(verdicts) = self.judge(&rows)? else {
            return Ok(Output {
                rows: vec![rows],
                rejects: Vec::new(),
            });
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
        Ok(Output {
            rows: vec![keep_rows(rows, &keep)?],
            rejects,
        })
    }

    async fn watermark(&mut self, _event_time_us: i64) -> Result<Output> {
        Ok(Output::default())
    }

    async fn finish(&mut self) -> Result<Output> {
        Ok(Output::default())
    }

    fn freeze(&self) -> Result<serde_json::Value> {
        Ok(serde_json::Value::Null)
    }

    fn restore(&mut self, _state: serde_json::Value) -> Result<()> {
        Ok(())
    }
}

fn told_value(batch: &RecordBatch, column: &str, row: usize) -> String {
    batch
        .column_by_name(column)
        .map_or_else(String::new, |array| value_text(array, row))
}

/// What a rule demands, in words.
fn says(kind: &RuleKind) -> String {
    match kind {
        RuleKind::Required => "the rule says a value is required".to_owned(),
        RuleKind::Min(bound) => format!("the rule says at least {bound}"),
        RuleKind::Max(bound) => format!("the rule says at most {bound}"),
        RuleKind::In(values) => format!("the rule says one of {}", values.join(", ")),
        RuleKind::Pattern(pattern) => format!("the rule says it matches `{pattern}`"),
        RuleKind::Length { min, max } => match (min, max) {
            (Some(min), Some(max)) => format!("the rule says {min} to {max} characters"),
            (Some(min), None) => format!("the rule says at least {min} characters"),
            (None, Some(max)) => format!("the rule says at most {max} characters"),
            (None, None) => "the rule says nothing about its length".to_owned(),
        },
        RuleKind::Expression(text) => format!("the rule says `{text}`"),
    }
}
