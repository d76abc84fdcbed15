//! `x = ANY (array)` and `x > ALL (array)`: a value compared with each item of a list.
//!
//! Promise: three truth values, as in PostgreSQL. `ANY` is true if one comparison is true, NULL if none is
//! true and one is NULL, and false otherwise; `ALL` likewise. A list without items decides without the
//! value. Items that are lists, structs or intervals are refused. It knows no syntax; see
//! `quantified.rs`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, ListArray, UInt64Array};
use arrow_schema::{ArrowError, DataType, Field, TimeUnit};
use arrow_select::take::take;
use datafusion_common::arrow::array::Datum;
use datafusion_common::arrow::compute::kernels::cmp;
use datafusion_common::cast::as_string_array;
use datafusion_common::{Result, plan_datafusion_err, plan_err};
use datafusion_expr::ScalarUDF;
use datafusion_expr::type_coercion::binary::comparison_coercion;

use super::define::{argument, count_is, define};

/// The function in place of `ANY (array)`: value, list, operator.
pub(crate) const ANY_ITEM: &str = "any_item";
/// The function in place of `ALL (array)`.
pub(crate) const ALL_ITEMS: &str = "all_items";
/// At most so many items are compared at once.
const AT_ONCE: usize = 1 << 16;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let truth: super::define::Gives = |_| Ok(DataType::Boolean);
    vec![
        define(ANY_ITEM, takes, truth, |args, _| decided(args, false)),
        define(ALL_ITEMS, takes, truth, |args, _| decided(args, true)),
    ]
}

fn takes(types: &[DataType]) -> Result<Vec<DataType>> {
    let [value, list, _] = types else {
        return Err(count_is("any", "a value and an array", types.len()));
    };
    let item = match list {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            item.data_type()
        }
        DataType::Null => value,
        other => {
            return plan_err!("`ANY` and `ALL` take an array or a query, here is {other}");
        }
    };
    let unknown =
        || plan_datafusion_err!("`ANY` and `ALL` cannot compare {value} with items of {item}");
    let both = match (value, item) {
        (DataType::Null, DataType::Null) => DataType::Int64,
        _ => comparison_coercion(value, item).ok_or_else(unknown)?,
    };
    let texts = |given: &DataType| given.is_string() || given.is_null();
    let reads = both.is_string() && !(texts(value) && texts(item));
    if reads || both.is_nested() || matches!(both, DataType::Interval(_)) {
        return Err(unknown());
    }
    let nanos = |given: &DataType| matches!(given, DataType::Timestamp(TimeUnit::Nanosecond, _));
    let both = match both {
        DataType::Timestamp(TimeUnit::Nanosecond, zone) if !nanos(value) && !nanos(item) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone)
        }
        other => other,
    };
    let list = DataType::List(Arc::new(Field::new_list_field(both.clone(), true)));
    Ok(vec![both, list, DataType::Utf8])
}

type Compares = fn(&dyn Datum, &dyn Datum) -> std::result::Result<BooleanArray, ArrowError>;

fn kernel(symbol: &str) -> Result<Compares> {
    Ok(match symbol {
        "=" => cmp::eq,
        "<>" | "!=" => cmp::neq,
        "<" => cmp::lt,
        "<=" => cmp::lt_eq,
        ">" => cmp::gt,
        ">=" => cmp::gt_eq,
        other => return plan_err!("`{other}` does not compare values"),
    })
}

fn decided(args: &[ArrayRef], all: bool) -> Result<ArrayRef> {
    let values = argument(args, 0)?;
    let lists = argument(args, 1)?.as_list::<i32>();
    let symbols = as_string_array(argument(args, 2)?)?;
    if lists.is_empty() {
        return Ok(Arc::new(BooleanArray::new_null(0)));
    }
    let compares = kernel(symbols.value(0))?;
    let mut out = Vec::with_capacity(lists.len());
    let mut from = 0;
    while from < lists.len() {
        let (mut to, mut items) = (from, 0);
        while to < lists.len() && (to == from || items < AT_ONCE) {
            items += count(lists, to);
            to += 1;
        }
        let (values, lists) = (values.slice(from, to - from), lists.slice(from, to - from));
        some_rows(&values, &lists, compares, all, &mut out)?;
        from = to;
    }
    Ok(Arc::new(BooleanArray::from(out)))
}

fn count(lists: &ListArray, row: usize) -> usize {
    usize::try_from(lists.value_length(row)).unwrap_or_default()
}

fn some_rows(
    values: &ArrayRef,
    lists: &ListArray,
    compares: Compares,
    all: bool,
    out: &mut Vec<Option<bool>>,
) -> Result<()> {
    let first = lists.value_offsets().first().copied().unwrap_or_default();
    let first = usize::try_from(first).unwrap_or_default();
    let counts: Vec<usize> = (0..lists.len()).map(|row| count(lists, row)).collect();
    let items = lists.values().slice(first, counts.iter().sum());
    let places: UInt64Array = (0_u64..)
        .zip(&counts)
        .flat_map(|(row, count)| std::iter::repeat_n(row, *count))
        .collect::<Vec<u64>>()
        .into();
    let repeated = take(values.as_ref(), &places, None)?;
    let compared = compares(&repeated, &items)?;
    let mut results = compared.iter();
    for (row, count) in counts.into_iter().enumerate() {
        let mut outcome = Some(all);
        for result in results.by_ref().take(count) {
            match result {
                Some(result) if result != all => outcome = Some(!all),
                None if outcome == Some(all) => outcome = None,
                _ => {}
            }
        }
        out.push(outcome.filter(|_| lists.is_valid(row)));
    }
    Ok(())
}
