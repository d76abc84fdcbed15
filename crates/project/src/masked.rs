//! Rules and checks of masked columns, which would judge the mask and not the value.
//!
//! Promise: a rule or check that cannot mean what it says is an error; `required` and `unique` mean the same
//! for a hash as for its value. It reads a finished plan. Read next: `columns.rs`, which reads masks.

use arrow_schema::SchemaRef;
use towpath_vocab::{CheckKind, DecidedBy, Diagnostic, Mask, RuleKind, Span, TablePlan};

use crate::report::Report;

/// Reports rules and checks about the values of masked columns.
pub(crate) fn judge(plan: &TablePlan, schema: Option<&SchemaRef>, report: &mut Report) {
    for column in &plan.columns {
        let Some(mask) = &column.mask else { continue };
        let masked = Masked {
            name: &column.name,
            is_hash: matches!(mask, Mask::Hash(_)),
            schema,
        };
        for rule in &plan.rules {
            let is_meant = match &rule.kind {
                RuleKind::Expression(text) => masked.is_in(text),
                RuleKind::Required => rule.column == column.name && !masked.is_hash,
                _ => rule.column == column.name,
            };
            if is_meant {
                masked.say(rule.kind.code(), rule.span.clone(), report);
            }
        }
        for check in &plan.checks {
            if masked.is_judged_by(&check.kind) {
                masked.say(check.kind.code(), check.span.clone(), report);
            }
        }
    }
}

/// A masked column.
struct Masked<'a> {
    name: &'a str,
    is_hash: bool,
    schema: Option<&'a SchemaRef>,
}

impl Masked<'_> {
    /// Whether an expression reads the column, as far as the columns are known.
    fn is_in(&self, text: &str) -> bool {
        let info = self
            .schema
            .and_then(|schema| towpath_sql::expression(text, schema).ok());
        info.is_some_and(|info| info.columns.iter().any(|column| column == self.name))
    }

    fn is_judged_by(&self, kind: &CheckKind) -> bool {
        let is_named = || kind.columns().iter().any(|column| column == self.name);
        match kind.decided_by() {
            DecidedBy::Values => is_named(),
            DecidedBy::Presence => is_named() && !self.is_hash,
            DecidedBy::Expression(text) => self.is_in(text),
            // A hash is the same for the same value, also in another table. A query is free.
            DecidedBy::Equality | DecidedBy::Table => false,
        }
    }

    fn say(&self, rule: &str, span: Option<Span>, report: &mut Report) {
        let name = self.name;
        let instead = if self.is_hash { "the hash" } else { "NULL" };
        let mut diagnostic = Diagnostic::error(
            "T0407",
            format!("`{rule}` would judge {instead} in the masked column `{name}`, not its value"),
        )
        .help(format!(
            "judge the value before it is masked: a column `{name}_is_good: {{ set: EXPRESSION, in: [true] }}`, or `where: EXPRESSION`"
        ));
        diagnostic.span = span;
        report.say(diagnostic);
    }
}
