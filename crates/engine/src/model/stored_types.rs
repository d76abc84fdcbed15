//! An incremental model keeps the number types of its table, where the query gives decimals of another form.
//!
//! Promise: a column that is floating point in the table takes decimals as the nearest floating point
//! number, as it took them when the query computed in floating point. A decimal with more digits after the
//! point than the query's keeps them; a value that does not fit is an error. Each such column has a note.
//! Other differences are the writer's to judge. It knows no table; see `run.rs`.

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::{Column, DataFusionError};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use towpath_vocab::types;

/// A plan whose columns have the types of the table, with a note for each column that changes.
pub(super) fn in_stored_types(
    plan: LogicalPlan,
    stored: &Schema,
) -> Result<(LogicalPlan, Vec<String>), DataFusionError> {
    let mut notes = Vec::new();
    let mut columns = Vec::with_capacity(plan.schema().fields().len());
    for (qualifier, field) in plan.schema().iter() {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        let mut known = stored.fields().iter();
        let kept = known
            .find(|known| known.name().eq_ignore_ascii_case(field.name()))
            .map(|known| known.data_type())
            .filter(|known| takes(known, field.data_type()));
        columns.push(match kept {
            Some(kept) => {
                notes.push(format!(
                    "column `{}` stays `{}`, as in the table; the query gives `{}`, and a run with `--full-refresh` stores that",
                    field.name(),
                    types::name(kept),
                    types::name(field.data_type())
                ));
                cast(column, kept.clone()).alias(field.name())
            }
            None => column,
        });
    }
    if notes.is_empty() {
        return Ok((plan, notes));
    }
    let plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
    Ok((plan, notes))
}

/// True if a column of the first type takes decimals of the second one, and no type of both is wider.
fn takes(stored: &DataType, given: &DataType) -> bool {
    match (stored, given) {
        (DataType::Float64, DataType::Decimal128(..)) => true,
        (DataType::Decimal128(digits, places), DataType::Decimal128(other, fewer)) => {
            let before = |digits: u8, places: i8| i16::from(digits) - i16::from(places);
            let both = before(*digits, *places).max(before(*other, *fewer)) + i16::from(*places);
            places >= fewer && both > 38
        }
        _ => false,
    }
}
