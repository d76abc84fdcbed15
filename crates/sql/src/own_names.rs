//! Replaces the columns of an expression by the names that the table has for them.
//!
//! Promise: a column may be written with its name in the table or in the source; case does not matter if
//! only one column matches. A name that the table has always means that column. The check and the run share
//! this rule. Read next: `vocab/src/naming.rs`, which finds a column.

use std::ops::ControlFlow;

use arrow_schema::{FieldRef, Schema};
use datafusion_sql::sqlparser::ast::{Expr, Ident, VisitMut, VisitorMut};
use datafusion_sql::sqlparser::tokenizer::Span;
use towpath_vocab::Naming;
use towpath_vocab::types::SOURCE_NAME;

use crate::names::fold;
use crate::problem::SqlProblem;
use crate::{place, quote, statement};

/// The text of an expression with the column names of the table, for use in a statement.
///
/// # Errors
/// If the text is not an expression.
pub fn in_own_names(text: &str, schema: &Schema) -> Result<String, SqlProblem> {
    let mut parsed = statement::expression(text)?;
    let mut written = text.to_owned();
    let mut changed = give_own_names(&mut parsed, schema);
    changed.sort_by_key(|(span, _)| (span.start.line, span.start.column));
    // From the end, so that earlier positions stay valid.
    for (span, name) in changed.into_iter().rev() {
        if let Some((start, end)) = place::of_parse(text, span) {
            written.replace_range(start..end, &quote(&name));
        }
    }
    Ok(written)
}

/// Replaces the columns of an expression by their names in the table; returns the positions and the names.
pub(crate) fn give_own_names(expr: &mut Expr, schema: &Schema) -> Vec<(Span, String)> {
    let mut names = OwnNames {
        schema,
        changed: Vec::new(),
    };
    // The visitor never breaks.
    let _ = VisitMut::visit(expr, &mut names);
    names.changed
}

struct OwnNames<'s> {
    schema: &'s Schema,
    changed: Vec<(Span, String)>,
}

impl VisitorMut for OwnNames<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let ident = match expr {
            Expr::Identifier(ident) => Some(ident),
            // A member of a struct.
            Expr::CompoundIdentifier(parts) => parts.first_mut(),
            _ => None,
        };
        if let Some(ident) = ident
            && let Some(name) = own_name(self.schema, ident)
        {
            let span = ident.span;
            self.changed.push((span, name.clone()));
            *ident = Ident::with_quote_and_span('"', span, name);
        }
        ControlFlow::Continue(())
    }
}

/// The name of a column in the table, if the expression has another one.
fn own_name<'s>(schema: &'s Schema, ident: &Ident) -> Option<String> {
    let fields = schema.fields();
    let folded = fold(ident);
    if fields.iter().any(|field| *field.name() == folded) {
        return None;
    }
    let source_name = |field: &'s FieldRef| -> &'s str {
        let own = field.metadata().get(SOURCE_NAME);
        own.unwrap_or(field.name())
    };
    let of_source = Naming::Snake.find(fields.iter().map(source_name), &ident.value);
    let own = fields.iter().map(|field| field.name().as_str());
    let at = of_source.or_else(|| Naming::Snake.find(own, &ident.value))?;
    Some(schema.field(at).name().clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::HashMap;

    use arrow_schema::{DataType, Field};

    use super::*;

    #[test]
    fn columns_are_found_in_either_spelling() {
        let field = |name: &str, source: &str| {
            let source = HashMap::from([(SOURCE_NAME.to_owned(), source.to_owned())]);
            Field::new(name, DataType::Int64, true).with_metadata(source)
        };
        let schema = Schema::new(vec![
            field("sku", "SKU"),
            field("grosse_cm", "Größe (cm)"),
            field("a", "b"),
            field("b", "a"),
            Field::new("Exact", DataType::Int64, true),
        ]);
        for (text, own) in [
            ("\"SKU\" > 1", "\"sku\" > 1"),
            ("SKU > 1 and sku < 2", "SKU > 1 and sku < 2"),
            (
                "'é' = 'é' and\n abs(\"Größe (cm)\") + \"Größe (cm)\" * grosse_cm > 0",
                "'é' = 'é' and\n abs(\"grosse_cm\") + \"grosse_cm\" * grosse_cm > 0",
            ),
            ("a + b", "a + b"),
            ("exact is null", "\"Exact\" is null"),
            (
                "\"Grosse Cm\" > 0 or nothing = 1",
                "\"grosse_cm\" > 0 or nothing = 1",
            ),
        ] {
            assert_eq!(in_own_names(text, &schema).unwrap(), own);
        }
    }
}
