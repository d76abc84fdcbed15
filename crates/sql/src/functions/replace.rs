//! `replace` and `regexp_replace`, with the replacement texts of PostgreSQL and a limit of length.
//!
//! Promise: in the replacement of a regular expression, `\1` to `\9` are its groups, `\&` is the whole match
//! and `\\` is a backslash; everything else, `$1` too, is written as it is. A text that becomes too long is
//! an error before its memory is taken. It does not know how patterns are rewritten. Read next:
//! `comparison.rs`.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_schema::DataType;
use datafusion_common::cast::as_string_array;
use datafusion_common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion_expr::ScalarUDF;
use regex::{Captures, Regex, RegexBuilder};

use super::checked::{LONGEST, MOST_BYTES};
use super::define::{argument, count_is, define};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        define(
            "replace",
            |types| texts("replace", 3, 3, types),
            |_| Ok(DataType::Utf8),
            |args, _| replaced(args),
        ),
        define(
            "regexp_replace",
            |types| texts("regexp_replace", 3, 4, types),
            |_| Ok(DataType::Utf8),
            |args, _| searched(args),
        ),
    ]
}

/// So many patterns of a batch are kept.
const KEPT: usize = 32;

fn texts(name: &str, least: usize, most: usize, types: &[DataType]) -> Result<Vec<DataType>> {
    if types.len() < least || types.len() > most {
        return Err(count_is(name, &format!("{least} texts"), types.len()));
    }
    match types
        .iter()
        .find(|given| !given.is_string() && !given.is_null())
    {
        Some(other) => plan_err!("`{name}` takes texts, here is {other}"),
        None => Ok(vec![DataType::Utf8; types.len()]),
    }
}

/// The texts of one batch, which may not become too long.
struct Texts {
    name: &'static str,
    made: StringBuilder,
    total: usize,
    most: usize,
}

impl Texts {
    fn new(name: &'static str, given: &StringArray) -> Self {
        let bytes = given.value_data().len();
        let most = MOST_BYTES.max(bytes.saturating_mul(2)).min(0x7fff_ffff);
        Self {
            name,
            made: StringBuilder::with_capacity(given.len(), bytes.min(MOST_BYTES)),
            total: 0,
            most,
        }
    }

    /// Fails if a text of so many bytes, made of `given`, is too long.
    fn fits(&self, bytes: usize, given: &str) -> Result<()> {
        let longest = usize::try_from(LONGEST).unwrap_or(usize::MAX);
        let longest = longest.max(given.len().saturating_mul(2));
        if bytes > longest || self.total.saturating_add(bytes) > self.most {
            return exec_err!(
                "`{}` makes a text of at least {bytes} bytes, which is too long; at most {longest} are made",
                self.name
            );
        }
        Ok(())
    }

    fn push(&mut self, text: &str) {
        self.total += text.len();
        self.made.append_value(text);
    }
}

fn replaced(args: &[ArrayRef]) -> Result<ArrayRef> {
    let texts = as_string_array(argument(args, 0)?)?;
    let (sought, others) = (
        as_string_array(argument(args, 1)?)?,
        as_string_array(argument(args, 2)?)?,
    );
    let mut out = Texts::new("replace", texts);
    let mut made = String::new();
    for row in 0..texts.len() {
        if texts.is_null(row) || sought.is_null(row) || others.is_null(row) {
            out.made.append_null();
            continue;
        }
        let (text, sought, other) = (texts.value(row), sought.value(row), others.value(row));
        if sought.is_empty() {
            out.fits(text.len(), text)?;
            out.push(text);
            continue;
        }
        made.clear();
        let mut from = 0;
        for (at, _) in text.match_indices(sought) {
            made.push_str(text.get(from..at).unwrap_or_default());
            out.fits(made.len() + other.len(), text)?;
            made.push_str(other);
            from = at + sought.len();
        }
        made.push_str(text.get(from..).unwrap_or_default());
        out.fits(made.len(), text)?;
        out.push(&made);
    }
    Ok(Arc::new(out.made.finish()))
}

/// A part of a replacement.
enum Part {
    Text(String),
    Group(usize),
}

/// The parts of a replacement, as PostgreSQL reads them.
fn parts(replacement: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut chars = replacement.chars().peekable();
    while let Some(c) = chars.next() {
        let group = match (c, chars.peek()) {
            ('\\', Some('\\')) => {
                chars.next();
                text.push('\\');
                continue;
            }
            ('\\', Some('&')) => Some(0),
            ('\\', Some(digit @ '1'..='9')) => digit
                .to_digit(10)
                .and_then(|digit| usize::try_from(digit).ok()),
            _ => None,
        };
        match group {
            Some(group) => {
                chars.next();
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Group(group));
            }
            None => text.push(c),
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    parts
}

/// A pattern with its flags and replacement, ready for texts.
struct Search {
    regex: Regex,
    everywhere: bool,
    parts: Vec<Part>,
}

impl Search {
    fn new(pattern: &str, replacement: &str, flags: &str) -> Result<Self> {
        let mut everywhere = false;
        let (mut folds, mut spaced, mut lines) = (false, false, false);
        for flag in flags.chars() {
            match flag {
                'g' => everywhere = true,
                'i' => folds = true,
                'c' => folds = false,
                'x' => spaced = true,
                's' => lines = false,
                'n' | 'm' if !pattern.contains("[^") => lines = true,
                other => {
                    return exec_err!(
                        "the flag `{other}` of `regexp_replace` is not supported for this pattern; the flags are `g`, `i`, `n`, `s` and `x`"
                    );
                }
            }
        }
        // A pattern by lines has no dot that matches a line break.
        let pattern = match lines {
            true => pattern.strip_prefix("(?s)").unwrap_or(pattern),
            false => pattern,
        };
        let regex = RegexBuilder::new(pattern)
            .case_insensitive(folds)
            .ignore_whitespace(spaced)
            .multi_line(lines)
            .build()
            .map_err(|error| exec_datafusion_err!("`{pattern}` is not a valid pattern: {error}"))?;
        Ok(Self {
            regex,
            everywhere,
            parts: parts(replacement),
        })
    }

    fn write(&self, text: &str, out: &Texts, made: &mut String) -> Result<()> {
        let mut from = 0;
        let most = if self.everywhere { usize::MAX } else { 1 };
        let plain = match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text.as_str()),
            _ => None,
        };
        if let Some(plain) = plain {
            for found in self.regex.find_iter(text).take(most) {
                made.push_str(text.get(from..found.start()).unwrap_or_default());
                out.fits(made.len() + plain.len(), text)?;
                made.push_str(plain);
                from = found.end();
            }
        } else {
            for found in self.regex.captures_iter(text).take(most) {
                let Some(whole) = found.get(0) else { continue };
                made.push_str(text.get(from..whole.start()).unwrap_or_default());
                self.filled(&found, text, out, made)?;
                from = whole.end();
            }
        }
        made.push_str(text.get(from..).unwrap_or_default());
        out.fits(made.len(), text)
    }

    fn filled(
        &self,
        found: &Captures<'_>,
        text: &str,
        out: &Texts,
        made: &mut String,
    ) -> Result<()> {
        for part in &self.parts {
            let part = match part {
                Part::Text(text) => text.as_str(),
                Part::Group(group) => found.get(*group).map_or("", |found| found.as_str()),
            };
            out.fits(made.len() + part.len(), text)?;
            made.push_str(part);
        }
        Ok(())
    }
}

fn searched(args: &[ArrayRef]) -> Result<ArrayRef> {
    let columns = args
        .iter()
        .map(|array| as_string_array(array))
        .collect::<Result<Vec<_>>>()?;
    let texts = as_string_array(argument(args, 0)?)?;
    let mut out = Texts::new("regexp_replace", texts);
    let mut made = String::new();
    let mut known: Vec<([String; 3], Search)> = Vec::new();
    for row in 0..texts.len() {
        if columns.iter().any(|column| column.is_null(row)) {
            out.made.append_null();
            continue;
        }
        let value = |at: usize| columns.get(at).map_or("", |column| column.value(row));
        let key = [value(1), value(2), value(3)];
        let at = match known.iter().position(|(known, _)| *known == key) {
            Some(at) => at,
            None => {
                let [pattern, replacement, flags] = key;
                let search = Search::new(pattern, replacement, flags)?;
                known.truncate(KEPT);
                known.push((key.map(str::to_owned), search));
                known.len() - 1
            }
        };
        if let Some((_, search)) = known.get(at) {
            made.clear();
            search.write(value(0), &out, &mut made)?;
            out.push(&made);
        }
    }
    Ok(Arc::new(out.made.finish()))
}
