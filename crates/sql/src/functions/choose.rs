//! `greatest` and `least` of intervals: the longest and the shortest one; NULL is skipped.
//!
//! For other types the functions of the engine are used.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::IntervalMonthDayNanoType;
use arrow_array::{Array, ArrayRef, IntervalMonthDayNanoArray};
use datafusion_common::Result;
use datafusion_expr::ScalarUDF;

use super::define::define;
use super::span::{key, span};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        define(
            "greatest_interval",
            |types| Ok(vec![span(); types.len()]),
            |_| Ok(span()),
            |args, _| best(args, true),
        ),
        define(
            "least_interval",
            |types| Ok(vec![span(); types.len()]),
            |_| Ok(span()),
            |args, _| best(args, false),
        ),
    ]
}

fn best(args: &[ArrayRef], greatest: bool) -> Result<ArrayRef> {
    let rows = args.first().map_or(0, |array| array.len());
    let columns: Vec<_> = args
        .iter()
        .map(|array| array.as_primitive::<IntervalMonthDayNanoType>())
        .collect();
    let one = |row: usize| {
        let values = columns
            .iter()
            .filter(|column| column.is_valid(row))
            .map(|column| column.value(row));
        values.reduce(|best, value| {
            let better = if greatest {
                key(value) > key(best)
            } else {
                key(value) < key(best)
            };
            if better { value } else { best }
        })
    };
    Ok(Arc::new(
        (0..rows).map(one).collect::<IntervalMonthDayNanoArray>(),
    ))
}
