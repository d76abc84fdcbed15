//! `->` and `->>` on struct and list columns.
//!
//! A key selects the field of a struct. A number selects an item of a list, counted from 0, or from the end
//! if it is negative, as in JSON. `->` keeps the type of the value; `->>` returns its text, nested values
//! as JSON. For JSON in text see `json.rs`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_schema::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{Expr, ScalarUDF, lit};

use super::define::{argument, define};

/// The text of a value; nested values are JSON.
pub(crate) const PLAIN_TEXT: &str = "plain_text";

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let texts: super::define::Computes = |args, _| {
        let values = argument(args, 0)?;
        let all = (0..values.len()).map(|row| match values.data_type().is_nested() {
            true if values.is_null(row) => Ok(None),
            true => json(values.as_ref(), row).map(Some),
            false => super::text::text(values.as_ref(), row),
        });
        Ok(Arc::new(all.collect::<Result<StringArray>>()?))
    };
    vec![
        define(
            PLAIN_TEXT,
            |types| Ok(types.to_vec()),
            |_| Ok(DataType::Utf8),
            texts,
        ),
        define(
            "to_json",
            |types| Ok(types.to_vec()),
            |_| Ok(DataType::Utf8),
            |args, _| {
                let values: &ArrayRef = argument(args, 0)?;
                let all = (0..values.len()).map(|row| match values.is_null(row) {
                    true => Ok(None),
                    false => json(values.as_ref(), row).map(Some),
                });
                Ok(Arc::new(all.collect::<Result<StringArray>>()?))
            },
        ),
    ]
}

/// The field of a struct or the item of a list for a literal key.
pub(crate) fn step(given: &DataType, value: Expr, key: &Expr) -> Option<Expr> {
    let Expr::Literal(key, _) = key else {
        return None;
    };
    match (given, key) {
        (DataType::Struct(fields), ScalarValue::Utf8(Some(name))) => {
            let field = fields.iter().find(|field| field.name() == name);
            match field {
                Some(_) => called("get_field", vec![value, lit(name.clone())]),
                None => Some(Expr::Literal(ScalarValue::Utf8(None), None)),
            }
        }
        (DataType::Map(..), ScalarValue::Utf8(Some(name))) => called(
            "array_element",
            vec![
                called("map_extract", vec![value, lit(name.clone())])?,
                lit(1_i64),
            ],
        ),
        (DataType::List(_) | DataType::LargeList(_), ScalarValue::Int64(Some(place))) => {
            let from_one = if *place < 0 { *place } else { place + 1 };
            called("array_element", vec![value, lit(from_one)])
        }
        _ => None,
    }
}

fn called(name: &str, args: Vec<Expr>) -> Option<Expr> {
    Some(Expr::ScalarFunction(ScalarFunction::new_udf(
        super::scalar(name)?,
        args,
    )))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A value as JSON.
fn json(values: &dyn Array, row: usize) -> Result<String> {
    if values.is_null(row) {
        return Ok("null".to_owned());
    }
    let all = |items: &dyn Array| -> Result<String> {
        let items = (0..items.len())
            .map(|row| json(items, row))
            .collect::<Result<Vec<_>>>()?;
        Ok(format!("[{}]", items.join(",")))
    };
    Ok(match values.data_type() {
        DataType::List(_) => all(values.as_list::<i32>().value(row).as_ref())?,
        DataType::LargeList(_) => all(values.as_list::<i64>().value(row).as_ref())?,
        DataType::FixedSizeList(..) => all(values.as_fixed_size_list().value(row).as_ref())?,
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(values.as_struct().columns());
            let members = columns
                .map(|(field, column)| {
                    Ok(format!(
                        "{}:{}",
                        quoted(field.name()),
                        json(column.as_ref(), row)?
                    ))
                })
                .collect::<Result<Vec<_>>>()?;
            format!("{{{}}}", members.join(","))
        }
        DataType::Map(..) => {
            let entries = values.as_map().value(row);
            let members = (0..entries.len())
                .map(|at| {
                    let name =
                        super::text::text(entries.column(0).as_ref(), at)?.unwrap_or_default();
                    Ok(format!(
                        "{}:{}",
                        quoted(&name),
                        json(entries.column(1).as_ref(), at)?
                    ))
                })
                .collect::<Result<Vec<_>>>()?;
            format!("{{{}}}", members.join(","))
        }
        plain => {
            let text = super::text::text(values, row)?.unwrap_or_default();
            let bare =
                plain.is_numeric() && serde_json::from_str::<serde_json::Number>(&text).is_ok();
            match bare || *plain == DataType::Boolean {
                true => text,
                false => quoted(&text),
            }
        }
    })
}
