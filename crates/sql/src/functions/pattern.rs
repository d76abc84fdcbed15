//! PostgreSQL's patterns: `SIMILAR TO`, and `LIKE` with an escape character.
//!
//! A pattern of `SIMILAR TO` becomes a regular expression that must match the whole text. Characters
//! without a meaning in SQL patterns (`.`, `^`, `$`) match themselves. `~` is not handled here: its
//! patterns are regular expressions already.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, StringArray};
use arrow_schema::DataType;
use datafusion_common::cast::as_string_array;
use datafusion_common::{Result, exec_datafusion_err, exec_err};
use datafusion_expr::ScalarUDF;
use regex::Regex;

use super::define::{argument, define};

/// The function in place of `SIMILAR TO`.
pub(crate) const SIMILAR_TO: &str = "similar_to";
/// The function that rewrites a pattern with the usual escape.
pub(crate) const LIKE_ESCAPE: &str = "like_escape";

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        define(SIMILAR_TO, texts, |_| Ok(DataType::Boolean), similar),
        define(LIKE_ESCAPE, texts, |_| Ok(DataType::Utf8), escaped),
    ]
}

fn texts(types: &[DataType]) -> Result<Vec<DataType>> {
    Ok(vec![DataType::Utf8; types.len()])
}

/// The escape character of the third argument; `None` if there is none.
fn escape(args: &[ArrayRef], place: usize, row: usize) -> Result<Option<Option<char>>> {
    let Some(array) = args.get(place) else {
        return Ok(Some(Some('\\')));
    };
    let texts = as_string_array(array)?;
    if texts.is_null(row) {
        return Ok(None);
    }
    let mut chars = texts.value(row).chars();
    match (chars.next(), chars.next()) {
        (first, None) => Ok(Some(first)),
        _ => exec_err!(
            "the escape of a pattern is one character, here is `{}`",
            texts.value(row)
        ),
    }
}

fn similar(args: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
    let (texts, patterns) = (
        as_string_array(argument(args, 0)?)?,
        as_string_array(argument(args, 1)?)?,
    );
    let mut known: HashMap<(String, Option<char>), Regex> = HashMap::new();
    let mut out = Vec::with_capacity(texts.len());
    for row in 0..texts.len() {
        let escape = escape(args, 2, row)?;
        let (Some(escape), false) = (escape, texts.is_null(row) || patterns.is_null(row)) else {
            out.push(None);
            continue;
        };
        let key = (patterns.value(row).to_owned(), escape);
        if !known.contains_key(&key) {
            let made = expression(&key.0, escape)?;
            known.insert(key.clone(), made);
        }
        out.push(
            known
                .get(&key)
                .map(|regex| regex.is_match(texts.value(row))),
        );
    }
    Ok(Arc::new(BooleanArray::from(out)))
}

fn expression(pattern: &str, escape: Option<char>) -> Result<Regex> {
    let mut out = String::from("(?s)\\A(?:");
    let mut chars = pattern.chars();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            match chars.next() {
                Some(next) => out.push_str(&regex::escape(&next.to_string())),
                None => return exec_err!("the pattern `{pattern}` ends with its escape"),
            }
            continue;
        }
        match c {
            '[' if in_class => out.push_str("\\["),
            '[' => {
                in_class = true;
                out.push('[');
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            c if in_class => match c {
                '\\' | '&' | '~' => {
                    out.push('\\');
                    out.push(c);
                }
                c => out.push(c),
            },
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '(' => out.push_str("(?:"),
            '.' | '^' | '$' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.push_str(")\\z");
    Regex::new(&out)
        .map_err(|_| exec_datafusion_err!("`{pattern}` is not a pattern of `SIMILAR TO`"))
}

/// Rewrites the pattern with a backslash as its escape.
fn escaped(args: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
    let patterns = as_string_array(argument(args, 0)?)?;
    let mut out = Vec::with_capacity(patterns.len());
    for row in 0..patterns.len() {
        let escape = escape(args, 1, row)?;
        let (Some(escape), false) = (escape, patterns.is_null(row)) else {
            out.push(None);
            continue;
        };
        out.push(Some(rewritten(patterns.value(row), escape)));
    }
    Ok(Arc::new(StringArray::from(out)))
}

fn rewritten(pattern: &str, escape: Option<char>) -> String {
    let mut out = String::with_capacity(pattern.len() + 4);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            out.push('\\');
            out.extend(chars.next());
        } else {
            if c == '\\' {
                out.push('\\');
            }
            out.push(c);
        }
    }
    out
}
