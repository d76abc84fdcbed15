//! PostgreSQL's patterns: `SIMILAR TO`, and `LIKE` with an escape character.
//!
//! A pattern of `SIMILAR TO` becomes a regular expression that must match the whole text. Characters
//! without a meaning in SQL patterns (`.`, `^`, `$`) match themselves. `~` is not handled here: its
//! patterns are regular expressions already.

use std::borrow::Cow;
use std::collections::HashMap;
use std::str::Chars;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, StringArray};
use arrow_schema::DataType;
use datafusion_common::cast::as_string_array;
use datafusion_common::{DataFusionError, Result, exec_datafusion_err, exec_err};
use datafusion_expr::ScalarUDF;
use regex::Regex;

use super::define::{argument, define};
use crate::alternation::longest_first;

/// The function in place of `SIMILAR TO`.
pub(crate) const SIMILAR_TO: &str = "similar_to";
/// The function that puts the longest branch of an alternation first.
pub(crate) const LONGEST_FIRST: &str = "longest_first";
/// The function that rewrites a pattern with the usual escape.
pub(crate) const LIKE_ESCAPE: &str = "like_escape";

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        define(SIMILAR_TO, texts, |_| Ok(DataType::Boolean), similar),
        define(LIKE_ESCAPE, texts, |_| Ok(DataType::Utf8), escaped),
        define(LONGEST_FIRST, texts, |_| Ok(DataType::Utf8), sorted),
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

fn sorted(args: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
    let patterns = as_string_array(argument(args, 0)?)?;
    let all = patterns.iter().map(|pattern| {
        pattern.map(|pattern| match longest_first(pattern) {
            Some(sorted) => Cow::Owned(sorted),
            None => Cow::Borrowed(pattern),
        })
    });
    Ok(Arc::new(all.collect::<StringArray>()))
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
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            out.push_str(&escaped_as(pattern, chars.next(), false)?);
            continue;
        }
        match c {
            '[' => out.push_str(&class(pattern, &mut chars, escape)?),
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
    Regex::new(&out).map_err(|_| not_a_pattern(pattern))
}

fn not_a_pattern(pattern: &str) -> DataFusionError {
    exec_datafusion_err!("`{pattern}` is not a pattern of `SIMILAR TO`")
}

/// A bracket expression behind its `[`: a `]` at its start is a character, and so is all in `[:alpha:]`.
fn class(pattern: &str, chars: &mut Chars<'_>, escape: Option<char>) -> Result<String> {
    let mut out = String::from("[");
    let mut rest = chars.clone();
    if rest.next() == Some('^') {
        out.push('^');
        *chars = rest.clone();
    } else {
        rest = chars.clone();
    }
    if rest.next() == Some(']') {
        out.push_str("\\]");
        *chars = rest;
    }
    let mut before = None;
    while let Some(c) = chars.next() {
        match c {
            c if Some(c) == escape => out.push_str(&escaped_as(pattern, chars.next(), true)?),
            ']' => {
                out.push(']');
                return Ok(out);
            }
            '[' => out.push_str(&inner_class(pattern, chars)?),
            '-' if before == Some('-') => out.push_str("\\-"),
            '\\' | '&' | '~' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
        before = Some(c);
    }
    Err(not_a_pattern(pattern))
}

/// What follows a `[` in a bracket expression: `[:alpha:]`, `[.x.]`, `[=x=]`, or the character itself.
fn inner_class(pattern: &str, chars: &mut Chars<'_>) -> Result<String> {
    let rest = chars.as_str();
    let Some(kind) = rest.chars().next().filter(|c| ":.=".contains(*c)) else {
        return Ok("\\[".to_owned());
    };
    let body = &rest[kind.len_utf8()..];
    let (name, after) = body
        .split_once(&format!("{kind}]"))
        .ok_or_else(|| not_a_pattern(pattern))?;
    *chars = after.chars();
    let mut letters = name.chars();
    match (kind, letters.next(), letters.next()) {
        (':', ..) => Ok(format!("[:{name}:]")),
        (_, Some(only), None) => Ok(regex::escape(&only.to_string())),
        _ => exec_err!("`[{kind}{name}{kind}]` in a pattern of `SIMILAR TO` is not supported"),
    }
}

/// An escaped character: a letter has the meaning it has in regular expressions of PostgreSQL.
fn escaped_as(pattern: &str, next: Option<char>, in_class: bool) -> Result<String> {
    let Some(next) = next else {
        return exec_err!("the pattern `{pattern}` ends with its escape");
    };
    let meaning = match next {
        'd' | 's' | 'w' | 'n' | 't' | 'r' | 'f' | 'v' | 'a' => format!("\\{next}"),
        'e' => "\\x1B".to_owned(),
        'b' => "\\x08".to_owned(),
        'B' => "\\\\".to_owned(),
        'D' | 'S' | 'W' | 'A' if !in_class => format!("\\{next}"),
        'Z' if !in_class => "\\z".to_owned(),
        'y' if !in_class => "\\b".to_owned(),
        'Y' if !in_class => "\\B".to_owned(),
        'm' if !in_class => "\\b{start}".to_owned(),
        'M' if !in_class => "\\b{end}".to_owned(),
        c if c.is_ascii_alphanumeric() => {
            return exec_err!(
                "the escape of `{c}` in the pattern `{pattern}` of `SIMILAR TO` is not supported"
            );
        }
        c => regex::escape(&c.to_string()),
    };
    Ok(meaning)
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
