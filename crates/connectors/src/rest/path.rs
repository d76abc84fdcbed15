//! Where a value is inside a JSON text: `data.items`, `links.0.href`.
//!
//! Promise: the text of the value as the server wrote it; numbers keep every digit. A path that leads
//! nowhere is distinguished from one that leads to null; the caller says whether that is an error. Read
//! next: `raw.rs`.

use std::fmt;

use serde_json::{Map, Value};

use super::raw::Raw;

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At<'j> {
    /// One of its keys is not there.
    Absent,
    /// Null, also on the way to it.
    Null,
    /// A value.
    Value(Raw<'j>),
}

/// The keys that lead to a value; none for the whole text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct JsonPath(Vec<String>);

impl JsonPath {
    /// Keys joined by dots; `$` or nothing means the whole text. A key in quotes may hold dots:
    /// `"@odata.nextLink"`.
    pub(super) fn new(text: &str) -> Self {
        let text = text.trim();
        let text = text.strip_prefix("$.").unwrap_or(text);
        if text.is_empty() || text == "$" {
            return Self::default();
        }
        let mut keys = vec![String::new()];
        let mut is_quoted = false;
        for letter in text.chars() {
            match letter {
                '"' => is_quoted = !is_quoted,
                '.' if !is_quoted => keys.push(String::new()),
                _ => {
                    if let Some(key) = keys.last_mut() {
                        key.push(letter);
                    }
                }
            }
        }
        Self(keys)
    }

    /// One member by its name, whatever letters it has.
    pub(super) fn key(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    /// The keys.
    pub(super) fn keys(&self) -> &[String] {
        &self.0
    }

    /// The path of a member of what is at this one.
    pub(super) fn child(&self, name: &str) -> Self {
        let keys = self.0.iter().cloned();
        Self(keys.chain([name.to_owned()]).collect())
    }

    /// Puts a value where the path leads, in maps that are there or are made; the error is what is in its
    /// way. A number is written as a text where the place holds a text.
    pub(super) fn put(&self, into: &mut Value, value: Value) -> Result<(), String> {
        if self.0.is_empty() {
            return Err("it would replace as a whole".to_owned());
        }
        let mut place = into;
        for (at, key) in self.0.iter().enumerate() {
            if place.is_null() {
                *place = Value::Object(Map::new());
            }
            place = match place {
                Value::Object(map) => map.entry(key.as_str()).or_insert(Value::Null),
                Value::Array(list) => {
                    let item = key.parse().ok().and_then(|at: usize| list.get_mut(at));
                    item.ok_or_else(|| format!("has no item `{key}`"))?
                }
                _ => {
                    let before = Self(self.0.iter().take(at).cloned().collect());
                    return Err(format!("is not a map at `{before}`"));
                }
            };
        }
        *place = match (&*place, value) {
            (Value::String(_), Value::Number(number)) => Value::String(number.to_string()),
            (_, value) => value,
        };
        Ok(())
    }

    /// The value at the path.
    pub(super) fn find<'j>(&self, json: Raw<'j>) -> Option<Raw<'j>> {
        self.0.iter().try_fold(json, |at, key| at.member(key))
    }

    /// The text and the objects on the way to the value, without the value itself.
    pub(super) fn way<'j>(&self, json: Raw<'j>) -> Vec<Raw<'j>> {
        let mut way = vec![json];
        for key in self.0.iter().take(self.0.len().saturating_sub(1)) {
            match way.last().and_then(|at| at.member(key)) {
                Some(inner) => way.push(inner),
                None => break,
            }
        }
        way
    }

    /// The value at the path, or why there is none.
    pub(super) fn at<'j>(&self, json: Raw<'j>) -> At<'j> {
        let mut value = json;
        for key in &self.0 {
            match value.member(key) {
                Some(inner) => value = inner,
                None if value.is_null() => return At::Null,
                None => return At::Absent,
            }
        }
        match value.is_null() {
            true => At::Null,
            false => At::Value(value),
        }
    }

    /// The scalar at the path, as `Raw::scalar` says.
    pub(super) fn scalar(&self, json: Raw<'_>) -> Option<String> {
        self.find(json)?.scalar()
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("$");
        }
        for (at, key) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            match key.contains('.') {
                true => write!(f, "\"{key}\"")?,
                false => f.write_str(key)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn paths_find_values_and_keep_their_text() {
        let body = Raw::read(
            r#"{"a":{"b":[{"c":1.10},{"c":"x\ny"}]},"@odata.nextLink":"u","n":null,"e":""}"#,
        )
        .unwrap();
        let at = |path: &str| JsonPath::new(path).scalar(body);
        assert_eq!(at("a.b.0.c").as_deref(), Some("1.10"));
        assert_eq!(at("$.a.b.1.c").as_deref(), Some("x\ny"));
        assert_eq!(at("\"@odata.nextLink\"").as_deref(), Some("u"));
        for nothing in ["n", "e", "a", "a.b", "zz", "a.b.7.c", "a.b.0.c.d"] {
            assert_eq!(at(nothing), None, "{nothing}");
        }
        assert_eq!(JsonPath::new("$").find(body), Some(body));
        let shown = |path: &str| JsonPath::new(path).to_string();
        assert_eq!(shown("\"@odata.nextLink\""), "\"@odata.nextLink\"");
        assert_eq!((shown("$"), shown("$.a.b")), ("$".into(), "a.b".into()));
    }

    #[test]
    fn values_are_put_into_maps_that_are_there_or_are_made() {
        let put = |body: &str, path: &str, value: &str| {
            let mut body: Value = serde_json::from_str(body).unwrap();
            let value = serde_json::from_str(value).unwrap();
            let done = JsonPath::new(path).put(&mut body, value);
            done.map(|()| body.to_string())
        };
        let made = put(r#"{"b":1.10}"#, "a.c", "[1]").unwrap();
        assert_eq!(made, r#"{"b":1.10,"a":{"c":[1]}}"#);
        assert_eq!(put(r#"[{"p":"1"}]"#, "0.p", "2").unwrap(), r#"[{"p":"2"}]"#);
        assert_eq!(put(r#"{"p":1}"#, "p", "\"x\"").unwrap(), r#"{"p":"x"}"#);
        assert!(put(r#"{"p":1}"#, "p.q", "2").is_err());
        assert!(put("[]", "0", "2").is_err());
        assert!(put("{}", "$", "2").is_err());
    }

    #[test]
    fn what_is_not_there_is_no_null() {
        let body = Raw::read(r#"{"n":null,"m":{"x":null},"a":1}"#).unwrap();
        let at = |path: &str| JsonPath::new(path).at(body);
        assert_eq!(at("n"), At::Null);
        assert_eq!(at("n.x"), At::Null);
        assert_eq!(at("m.x"), At::Null);
        assert_eq!(at("m.y"), At::Absent);
        assert_eq!(at("a.b"), At::Absent);
        assert!(matches!(at("a"), At::Value(_)));
    }
}
