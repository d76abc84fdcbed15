//! JSON in text: `->`, `->>`, paths and elements, with the results of PostgreSQL's type `json`.
//!
//! Promise: an extracted value is the original text, with its blanks and digits. If a key repeats, the last one
//! counts. A missing value is NULL; a text that is not valid JSON is an error. Read next: `nested.rs` (lists and
//! structs).

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{Array, ArrayRef, Int32Array, StringArray};
use arrow_schema::{DataType, Field};
use datafusion_common::cast::{as_int64_array, as_string_array};
use datafusion_common::{DataFusionError, Result, exec_datafusion_err, exec_err, plan_err};
use datafusion_expr::ScalarUDF;

use super::define::{also, argument, count_is, define, operator};

pub(crate) const JSON_GET: &str = "json_get";
pub(crate) const JSON_GET_TEXT: &str = "json_get_text";
pub(crate) const JSON_AT: &str = "json_at";
pub(crate) const JSON_AT_TEXT: &str = "json_at_text";
/// Functions that return rows, each with the function that returns the list.
pub(crate) const ELEMENTS: &[(&str, &str)] = &[
    ("json_array_elements", "json_elements"),
    ("jsonb_array_elements", "json_elements"),
    ("json_array_elements_text", "json_elements_text"),
    ("jsonb_array_elements_text", "json_elements_text"),
    ("json_object_keys", "json_keys"),
    ("jsonb_object_keys", "json_keys"),
];

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let text: super::define::Gives = |_| Ok(DataType::Utf8);
    vec![
        operator(JSON_GET, "->", text_and_key, text, |args, _| {
            got(args, false)
        }),
        operator(JSON_GET_TEXT, "->>", text_and_key, text, |args, _| {
            got(args, true)
        }),
        operator(JSON_AT, "#>", texts, text, |args, _| at(args, false)),
        operator(JSON_AT_TEXT, "#>>", texts, text, |args, _| at(args, true)),
        also(
            "json_extract_path",
            &["jsonb_extract_path"],
            texts,
            text,
            |args, _| path(args, false),
        ),
        also(
            "json_extract_path_text",
            &["jsonb_extract_path_text"],
            texts,
            text,
            |args, _| path(args, true),
        ),
        define("json_extract", texts, text, |args, _| extracted(args)),
        also("json_typeof", &["jsonb_typeof"], texts, text, |args, _| {
            typed(args)
        }),
        also(
            "json_array_length",
            &["jsonb_array_length"],
            texts,
            |_| Ok(DataType::Int32),
            |args, _| lengths(args),
        ),
        define("json_elements", texts, list_of_text, |args, _| {
            elements(args, false)
        }),
        define("json_elements_text", texts, list_of_text, |args, _| {
            elements(args, true)
        }),
        define("json_keys", texts, list_of_text, |args, _| keys(args)),
        define("json", texts, text, |args, _| {
            by_row(args, |row, texts| {
                parse(texts.value(row)).map(|_| Some(texts.value(row).to_owned()))
            })
        }),
        define(
            "json_valid",
            texts,
            |_| Ok(DataType::Boolean),
            |args, _| valid(args),
        ),
    ]
}

fn list_of_text(_: &[DataType]) -> Result<DataType> {
    Ok(DataType::List(Arc::new(Field::new_list_field(
        DataType::Utf8,
        true,
    ))))
}

fn texts(types: &[DataType]) -> Result<Vec<DataType>> {
    match types
        .iter()
        .find(|given| !given.is_string() && !given.is_null())
    {
        Some(other) => plan_err!("JSON and its keys must be text, but this is {other}"),
        None if types.is_empty() => Err(count_is("json_…", "a text", 0)),
        None => Ok(vec![DataType::Utf8; types.len()]),
    }
}

/// The argument types: a key is a text, a position an integer.
fn text_and_key(types: &[DataType]) -> Result<Vec<DataType>> {
    let [text, key] = types else {
        return Err(count_is("->", "a text and a key", types.len()));
    };
    if !text.is_string() && !text.is_null() {
        return plan_err!("`->` takes JSON text, a struct or a list, here is {text}");
    }
    let key = match key {
        key if key.is_integer() => DataType::Int64,
        key if key.is_string() || key.is_null() => DataType::Utf8,
        other => return plan_err!("`->` takes a key or a place, here is {other}"),
    };
    Ok(vec![DataType::Utf8, key])
}

/// The kind of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Object,
    List,
    Text,
    Number,
    Truth,
    Null,
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::List => "array",
            Self::Text => "string",
            Self::Number => "number",
            Self::Truth => "boolean",
            Self::Null => "null",
        }
    }
}

/// A value inside a text, and its members.
struct Value<'a> {
    raw: &'a str,
    shape: Shape,
    /// Keys as in the text, with quotes, and values; keys of lists are empty.
    members: Vec<(&'a str, &'a str)>,
}

/// The largest depth of nested values.
const DEEPEST: usize = 512;

/// Parses a text; only the members of the outermost value are kept.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

fn parse(text: &str) -> Result<Value<'_>> {
    let mut reader = Reader { text, at: 0 };
    reader.blanks();
    let value = reader.value(0).filter(|_| {
        reader.blanks();
        reader.at == text.len()
    });
    value.ok_or_else(|| not_json(text))
}

fn not_json(text: &str) -> DataFusionError {
    let short: String = text.chars().take(60).collect();
    exec_datafusion_err!("`{short}` is not valid JSON")
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn takes(&mut self, byte: u8) -> bool {
        self.blanks();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        if depth > DEEPEST {
            return None;
        }
        self.blanks();
        let start = self.at;
        let mut members = Vec::new();
        let shape = match self.peek()? {
            b'{' => {
                self.at += 1;
                self.members(depth, true, b'}', &mut members)?;
                Shape::Object
            }
            b'[' => {
                self.at += 1;
                self.members(depth, false, b']', &mut members)?;
                Shape::List
            }
            b'"' => {
                self.string()?;
                Shape::Text
            }
            b't' => self.word("true", Shape::Truth)?,
            b'f' => self.word("false", Shape::Truth)?,
            b'n' => self.word("null", Shape::Null)?,
            _ => self.number()?,
        };
        Some(Value {
            raw: self.since(start),
            shape,
            members,
        })
    }

    fn members(
        &mut self,
        depth: usize,
        keyed: bool,
        end: u8,
        out: &mut Vec<(&'a str, &'a str)>,
    ) -> Option<()> {
        if self.takes(end) {
            return Some(());
        }
        loop {
            let mut key = "";
            if keyed {
                self.blanks();
                let start = self.at;
                self.string()?;
                key = self.since(start);
                if !self.takes(b':') {
                    return None;
                }
            }
            let value = self.value(depth + 1)?.raw;
            if depth == 0 {
                out.push((key, value));
            }
            if self.takes(end) {
                return Some(());
            }
            if !self.takes(b',') {
                return None;
            }
        }
    }

    fn word(&mut self, word: &str, shape: Shape) -> Option<Shape> {
        let found = self.text.get(self.at..)?.starts_with(word);
        self.at += word.len();
        found.then_some(shape)
    }

    fn string(&mut self) -> Option<()> {
        if self.peek() != Some(b'"') {
            return None;
        }
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => {
                    self.at += 1;
                    match self.peek()? {
                        b'u' => {
                            let digits = self.text.as_bytes().get(self.at + 1..self.at + 5)?;
                            if !digits.iter().all(u8::is_ascii_hexdigit) {
                                return None;
                            }
                            self.at += 5;
                        }
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                        _ => return None,
                    }
                }
                0..=0x1f => return None,
                _ => self.at += 1,
            }
        }
    }

    fn number(&mut self) -> Option<Shape> {
        let start = self.at;
        while matches!(
            self.peek(),
            Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
        ) {
            self.at += 1;
        }
        let text = self.since(start);
        let is_number = serde_json::from_str::<serde_json::Number>(text).is_ok();
        is_number.then_some(Shape::Number)
    }
}

/// The text of a JSON string.
fn unquoted(raw: &str) -> Result<String> {
    serde_json::from_str(raw).map_err(|_| not_json(raw))
}

impl<'a> Value<'a> {
    fn member(&self, key: &str) -> Result<Option<&'a str>> {
        if self.shape != Shape::Object {
            return Ok(None);
        }
        for (name, value) in self.members.iter().rev() {
            if unquoted(name)? == key {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn item(&self, place: i64) -> Option<&'a str> {
        if self.shape != Shape::List {
            return None;
        }
        let length = i64::try_from(self.members.len()).ok()?;
        let place = if place < 0 { place + length } else { place };
        self.members
            .get(usize::try_from(place).ok()?)
            .map(|(_, value)| *value)
    }

    /// Follows a key of an object, or a position of a list in the form of a key.
    fn step(&self, word: &str) -> Result<Option<&'a str>> {
        match self.shape {
            Shape::List => Ok(word.parse().ok().and_then(|place| self.item(place))),
            _ => self.member(word),
        }
    }
}

/// A value for the result: JSON, or its text.
fn given(raw: Option<&str>, as_text: bool) -> Result<Option<String>> {
    let Some(raw) = raw else { return Ok(None) };
    if !as_text {
        return Ok(Some(raw.to_owned()));
    }
    match raw.as_bytes().first() {
        Some(b'"') => unquoted(raw).map(Some),
        _ if raw == "null" => Ok(None),
        _ => Ok(Some(raw.to_owned())),
    }
}

fn got(args: &[ArrayRef], as_text: bool) -> Result<ArrayRef> {
    let texts = as_string_array(argument(args, 0)?)?;
    let keys = argument(args, 1)?;
    let places = match keys.data_type() {
        DataType::Int64 => Some(as_int64_array(keys)?),
        _ => None,
    };
    let mut out = StringBuilder::new();
    for row in 0..texts.len() {
        if texts.is_null(row) || keys.is_null(row) {
            out.append_null();
            continue;
        }
        let value = parse(texts.value(row))?;
        let found = match places {
            Some(places) => value.item(places.value(row)),
            None => value.member(as_string_array(keys)?.value(row))?,
        };
        out.append_option(given(found, as_text)?);
    }
    Ok(Arc::new(out.finish()))
}

/// The value at a path.
fn along<'a>(text: &'a str, words: &[String]) -> Result<Option<&'a str>> {
    let mut raw = parse(text)?.raw;
    for word in words {
        match parse(raw)?.step(word)? {
            Some(next) => raw = next,
            None => return Ok(None),
        }
    }
    Ok(Some(raw))
}

/// Follows `'{a,b,0}'` after `#>`.
fn at(args: &[ArrayRef], as_text: bool) -> Result<ArrayRef> {
    by_row(args, |row, texts| {
        let path = as_string_array(argument(args, 1)?)?;
        if path.is_null(row) {
            return Ok(None);
        }
        let inner = path.value(row).trim();
        let inner = inner
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        let Some(inner) = inner else {
            return exec_err!(
                "a path after `#>` is written `'{{a,b,0}}'`, here is `{}`",
                path.value(row)
            );
        };
        let words: Vec<String> = match inner.trim().is_empty() {
            true => Vec::new(),
            false => inner
                .split(',')
                .map(|word| word.trim().trim_matches('"').to_owned())
                .collect(),
        };
        given(along(texts.value(row), &words)?, as_text)
    })
}

/// Follows keys that are arguments.
fn path(args: &[ArrayRef], as_text: bool) -> Result<ArrayRef> {
    by_row(args, |row, texts| {
        let mut words = Vec::new();
        for array in args.iter().skip(1) {
            let array = as_string_array(array)?;
            if array.is_null(row) {
                return Ok(None);
            }
            words.push(array.value(row).to_owned());
        }
        given(along(texts.value(row), &words)?, as_text)
    })
}

/// Follows `'$.a.b[0]'`, a path as in SQLite, MySQL and DuckDB.
fn extracted(args: &[ArrayRef]) -> Result<ArrayRef> {
    by_row(args, |row, texts| {
        let paths = as_string_array(argument(args, 1)?)?;
        if paths.is_null(row) {
            return Ok(None);
        }
        let Some(words) = dollar_path(paths.value(row)) else {
            return exec_err!(
                "a path of `json_extract` is written `$.a.b[0]`, here is `{}`",
                paths.value(row)
            );
        };
        given(along(texts.value(row), &words)?, false)
    })
}

fn dollar_path(text: &str) -> Option<Vec<String>> {
    let mut rest = text.trim().strip_prefix('$')?;
    let mut words = Vec::new();
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (place, after) = inside.split_once(']')?;
            let place = place.trim();
            let quoted = place.trim_matches(['"', '\'']);
            if quoted == place && place.parse::<i64>().is_err() {
                return None;
            }
            words.push(quoted.to_owned());
            rest = after;
        } else {
            let inside = rest.strip_prefix('.')?;
            let (word, after) = match inside.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => {
                    let end = inside.find(['.', '[']).unwrap_or(inside.len());
                    inside.split_at_checked(end)?
                }
            };
            if word.is_empty() || word == "*" {
                return None;
            }
            words.push(word.to_owned());
            rest = after;
        }
    }
    Some(words)
}

fn by_row(
    args: &[ArrayRef],
    one: impl Fn(usize, &StringArray) -> Result<Option<String>>,
) -> Result<ArrayRef> {
    let texts = as_string_array(argument(args, 0)?)?;
    let mut out = StringBuilder::new();
    for row in 0..texts.len() {
        match texts.is_null(row) {
            true => out.append_null(),
            false => out.append_option(one(row, texts)?),
        }
    }
    Ok(Arc::new(out.finish()))
}

fn typed(args: &[ArrayRef]) -> Result<ArrayRef> {
    by_row(args, |row, texts| {
        Ok(Some(parse(texts.value(row))?.shape.name().to_owned()))
    })
}

fn lengths(args: &[ArrayRef]) -> Result<ArrayRef> {
    let texts = as_string_array(argument(args, 0)?)?;
    let length = |text: Option<&str>| {
        let Some(text) = text else { return Ok(None) };
        let value = parse(text)?;
        match value.shape {
            Shape::List => Ok(i32::try_from(value.members.len()).ok()),
            other => exec_err!(
                "this JSON is not an array but {}: it has no length",
                other.name()
            ),
        }
    };
    Ok(Arc::new(
        texts.iter().map(length).collect::<Result<Int32Array>>()?,
    ))
}

fn elements(args: &[ArrayRef], as_text: bool) -> Result<ArrayRef> {
    lists(args, |value, out| {
        if value.shape != Shape::List {
            return exec_err!(
                "this JSON is not an array but {}: it has no elements",
                value.shape.name()
            );
        }
        for (_, item) in &value.members {
            out.append_option(given(Some(item), as_text)?);
        }
        Ok(())
    })
}

fn keys(args: &[ArrayRef]) -> Result<ArrayRef> {
    lists(args, |value, out| {
        if value.shape != Shape::Object {
            return exec_err!(
                "this JSON is no object but {}: it has no keys",
                value.shape.name()
            );
        }
        for (key, _) in &value.members {
            out.append_value(unquoted(key)?);
        }
        Ok(())
    })
}

fn lists(
    args: &[ArrayRef],
    fill: impl Fn(&Value<'_>, &mut StringBuilder) -> Result<()>,
) -> Result<ArrayRef> {
    let texts = as_string_array(argument(args, 0)?)?;
    let mut out = ListBuilder::new(StringBuilder::new());
    for text in texts {
        if let Some(text) = text {
            fill(&parse(text)?, out.values())?;
        }
        out.append(text.is_some());
    }
    Ok(Arc::new(out.finish()))
}

fn valid(args: &[ArrayRef]) -> Result<ArrayRef> {
    let texts = as_string_array(argument(args, 0)?)?;
    let all = texts
        .iter()
        .map(|text| text.map(|text| parse(text).is_ok()));
    Ok(Arc::new(all.collect::<arrow_array::BooleanArray>()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn values_are_taken_out_as_they_stand() {
        let text = r#"{"a": {"b": [1, 2.50, "x\n", null]}, "a b": true}"#;
        let at = |path: &str| along(text, &dollar_path(path).unwrap()).unwrap();
        assert_eq!(at("$.a.b[1]"), Some("2.50"));
        assert_eq!(at("$.a.b[-1]"), Some("null"));
        assert_eq!(at("$.\"a b\""), Some("true"));
        assert_eq!(at("$.a.c"), None);
        assert_eq!(given(at("$.a.b[2]"), true).unwrap().unwrap(), "x\n");
        assert_eq!(given(at("$.a.b[3]"), true).unwrap(), None);
        for wrong in [
            "",
            "{",
            "[1,]",
            "01",
            "{\"a\" 1}",
            "tru",
            "\"\\x\"",
            "1 2",
            "NaN",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
