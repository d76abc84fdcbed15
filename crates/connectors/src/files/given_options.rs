//! The values of options as a project gives them: a table's own ones over those of its connection.
//!
//! Promise: a value of another kind is refused by the name of its option. What the options mean, `options.rs` says.

use std::collections::BTreeMap;

use serde_json::Value;
use towpath_vocab::OptionValue;

use super::error::FilesError;

/// The options of a connection and of one of its tables.
pub(super) struct GivenOptions<'a> {
    pub(super) connection: &'a BTreeMap<String, OptionValue>,
    pub(super) table: &'a BTreeMap<String, Value>,
}

impl GivenOptions<'_> {
    pub(super) fn value(&self, option: &str) -> Option<&Value> {
        let of_connection = || match self.connection.get(option) {
            Some(OptionValue::Plain(value)) => Some(value),
            _ => None,
        };
        self.table
            .get(option)
            .or_else(of_connection)
            .filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, option: &'static str) -> Result<Option<String>, FilesError> {
        match self.value(option) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(other.to_string())),
            Some(other) => Err(wrong(option, other, "a text")),
        }
    }

    pub(super) fn boolean(&self, option: &'static str, default: bool) -> Result<bool, FilesError> {
        match self.value(option) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(other) => Err(wrong(option, other, "true or false")),
        }
    }

    pub(super) fn number(&self, option: &'static str, default: u64) -> Result<u64, FilesError> {
        match self.text(option)? {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| FilesError::Option {
                option,
                value: text,
                expected: "a whole number".to_owned(),
            }),
        }
    }

    /// One ASCII character; `Some(None)` for an empty text.
    pub(super) fn character(&self, option: &'static str) -> Result<Option<Option<u8>>, FilesError> {
        let Some(text) = self.text(option)? else {
            return Ok(None);
        };
        let byte = match text.as_str() {
            "" => return Ok(Some(None)),
            "tab" | "\\t" => b'\t',
            one if one.len() == 1 => one.as_bytes().first().copied().unwrap_or(0),
            _ => 0,
        };
        if byte == 0 || !byte.is_ascii() || matches!(byte, b'\r' | b'\n') {
            return Err(FilesError::Option {
                option,
                value: text,
                expected: "one ASCII character".to_owned(),
            });
        }
        Ok(Some(Some(byte)))
    }

    pub(super) fn texts(&self, option: &'static str) -> Result<Vec<String>, FilesError> {
        let one = |value: &Value| match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
            other => Err(wrong(option, other, "a list of texts")),
        };
        match self.value(option) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => values.iter().map(one).collect(),
            Some(value) => Ok(vec![one(value)?]),
        }
    }
}

fn wrong(option: &'static str, value: &Value, expected: &str) -> FilesError {
    FilesError::Option {
        option,
        value: value.to_string(),
        expected: expected.to_owned(),
    }
}

pub(super) fn word<T: Copy>(
    given: &GivenOptions<'_>,
    option: &'static str,
    words: &[(&str, T)],
) -> Result<Option<T>, FilesError> {
    let Some(text) = given.text(option)? else {
        return Ok(None);
    };
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(Some(*value)),
        None => {
            let all = words
                .iter()
                .map(|(word, _)| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", ");
            Err(FilesError::Option {
                option,
                value: text,
                expected: format!("one of {all}"),
            })
        }
    }
}
