//! GraphQL: a query with variables as the body of a request, and what an answer that says 200 holds back.
//!
//! Promise: an answer with errors is a failure, also when it holds data beside them: a part of the data
//! would be missing. So is a record with a list inside it that has another page. A variable has the type
//! that the query declares for it. Read next: `request.rs`.

use serde_json::{Map, Value, json};

use super::path::JsonPath;
use super::raw::Raw;
use super::template::{Into, Template};

/// A query and its variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    text: String,
    variables: Value,
}

/// What a query declares a variable as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Declared {
    Number,
    Boolean,
    Text,
    /// A list, an input, or a scalar of the API's own.
    Other,
}

impl Query {
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            variables: Value::Object(Map::new()),
        }
    }

    /// How the value of a variable is written: a list or map as JSON, anything else as it is.
    pub(super) fn form_of(&self, name: &str, template: &Template) -> Into {
        let is_json = template.begins_with(['[', '{']);
        match declared(&self.text, name) {
            Some(Declared::Other) if is_json => Into::Json,
            _ => Into::Plain,
        }
    }

    /// Sets a variable, or a value inside one: `input.after`. The error is what is wrong with it.
    pub(super) fn set(&mut self, name: &str, value: Value) -> Result<(), String> {
        let value = match declared(&self.text, name) {
            Some(declared) => as_declared(declared, name, value)?,
            None => value,
        };
        let put = JsonPath::new(name).put(&mut self.variables, value);
        put.map_err(|why| format!("sets the variable `{name}` of the query, which {why}"))
    }

    /// The body of a request.
    pub(super) fn body(&self) -> String {
        json!({ "query": self.text, "variables": self.variables }).to_string()
    }
}

/// What a query declares `$name` as.
fn declared(query: &str, name: &str) -> Option<Declared> {
    let sign = format!("${name}");
    let behind = query.match_indices(&sign).find_map(|(at, _)| {
        let behind = query.get(at + sign.len()..)?.trim_start();
        behind.strip_prefix(':')
    })?;
    let behind = behind.trim_start();
    if behind.starts_with('[') {
        return Some(Declared::Other);
    }
    let is_end = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
    Some(match behind.split(is_end).next() {
        Some("Int" | "Float") => Declared::Number,
        Some("Boolean") => Declared::Boolean,
        Some("String" | "ID") => Declared::Text,
        _ => Declared::Other,
    })
}

fn as_declared(declared: Declared, name: &str, value: Value) -> Result<Value, String> {
    let wrong = |what: &str, text: &str| {
        format!("has `{text}` for the variable `{name}`, which the query declares as {what}")
    };
    let parsed = |text: &str| serde_json::from_str::<Value>(text.trim()).ok();
    match (declared, &value) {
        (Declared::Number, Value::String(text)) => {
            let number = parsed(text).filter(Value::is_number);
            number.ok_or_else(|| wrong("a number", text))
        }
        (Declared::Boolean, Value::String(text)) => {
            let flag = parsed(text).filter(Value::is_boolean);
            flag.ok_or_else(|| wrong("a Boolean", text))
        }
        (Declared::Text, Value::Number(number)) => Ok(Value::String(number.to_string())),
        (Declared::Other, Value::String(text)) if text.trim_start().starts_with(['[', '{']) => {
            parsed(text).ok_or_else(|| wrong("a list or an input", text))
        }
        _ => Ok(value),
    }
}

/// The first message of an answer that is JSON and has errors.
pub(super) fn error_of(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    error(Raw::read(text.trim_start_matches('\u{feff}')).ok()?)
}

/// The first message of an answer with errors.
pub(super) fn error(body: Raw<'_>) -> Option<String> {
    let errors = body.member("errors").filter(|errors| !errors.is_null())?;
    if errors.is_array() && errors.items().next().is_none() {
        return None;
    }
    let first = errors.items().next().unwrap_or(errors);
    let message = first.member("message").and_then(Raw::scalar);
    Some(message.unwrap_or_else(|| first.text().to_owned()))
}

/// Where a record has a list inside it that has another page: the path of its `pageInfo`.
pub(super) fn more_inside(record: Raw<'_>) -> Option<String> {
    // Most records have none: the names are looked for before anything is cut.
    let text = record.text();
    if !text.contains("hasNextPage") && !text.contains("\\u") {
        return None;
    }
    let within = |name: &str, inner: Raw<'_>| {
        let path = more_inside(inner)?;
        Some(match path.is_empty() {
            true => name.to_owned(),
            false => format!("{name}.{path}"),
        })
    };
    if record.is_array() {
        return record.items().find_map(more_inside);
    }
    record.members().find_map(|(name, inner)| match &*name {
        "hasNextPage" => (inner.text() == "true").then(String::new),
        name => within(name, inner),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn errors_are_seen_whatever_form_they_have() {
        let seen = |text: &str| error(Raw::read(text).unwrap());
        assert_eq!(seen(r#"{"data":{}}"#), None);
        assert_eq!(seen(r#"{"data":{},"errors":null}"#), None);
        assert_eq!(seen(r#"{"data":{},"errors":[]}"#), None);
        let one = r#"{"data":{"a":[]},"errors":[{"message":"no such field"}]}"#;
        assert_eq!(seen(one).as_deref(), Some("no such field"));
        assert!(seen(r#"{"errors":["x"]}"#).is_some() && seen(r#"{"errors":"x"}"#).is_some());
    }

    #[test]
    fn a_variable_has_the_type_that_the_query_declares() {
        let text = "query Q($first: Int!, $after: String, $on:Boolean=true, $ids: [ID!]!, $f : Filter, $x: Money) { a }";
        let set = |name: &str, value: Value| {
            let mut query = Query::new(text);
            query.set(name, value).map(|()| query.variables.to_string())
        };
        assert_eq!(set("first", json!("100")).unwrap(), r#"{"first":100}"#);
        assert_eq!(set("after", json!(7)).unwrap(), r#"{"after":"7"}"#);
        assert_eq!(set("on", json!("false")).unwrap(), r#"{"on":false}"#);
        assert_eq!(set("ids", json!("[1]")).unwrap(), r#"{"ids":[1]}"#);
        assert_eq!(set("f", json!("{\"a\":1}")).unwrap(), r#"{"f":{"a":1}}"#);
        assert_eq!(set("x", json!("1.10")).unwrap(), r#"{"x":"1.10"}"#);
        assert_eq!(
            set("f.after", json!("c")).unwrap(),
            r#"{"f":{"after":"c"}}"#
        );
        assert_eq!(set("unknown", json!("1")).unwrap(), r#"{"unknown":"1"}"#);
        for (name, wrong) in [("first", "ten"), ("on", "yes"), ("ids", "[1")] {
            assert!(set(name, json!(wrong)).is_err(), "{name}");
        }
    }

    #[test]
    fn a_list_inside_a_record_may_have_another_page() {
        let inside = |text: &str| more_inside(Raw::read(text).unwrap());
        let more = r#"{"id":1,"lines":{"nodes":[],"pageInfo":{"hasNextPage":true}}}"#;
        assert_eq!(inside(more).as_deref(), Some("lines.pageInfo"));
        let deep = r#"{"a":[{"b":{"pageInfo":{"hasNextPage": true }}}]}"#;
        assert_eq!(inside(deep).as_deref(), Some("a.b.pageInfo"));
        assert_eq!(inside(&more.replace("true", "false")), None);
        assert_eq!(inside(r#"{"t":"hasNextPage: true"}"#), None);
    }
}
