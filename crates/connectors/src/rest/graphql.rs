//! GraphQL: a query with variables as the body of a request, and errors in an answer that says 200.
//!
//! Promise: an answer with errors is a failure, also when it holds data beside them: a part of the data
//! would be missing. Variables are texts, and numbers of pages are numbers. Read next: `listing.rs`.

use serde_json::{Map, Value, json};

use super::raw::Raw;

/// A query and its variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    text: String,
    variables: Map<String, Value>,
}

impl Query {
    pub(super) fn new(text: &str, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables = variables.into_iter();
        Self {
            text: text.to_owned(),
            variables: variables
                .map(|(name, value)| (name, Value::from(value)))
                .collect(),
        }
    }

    /// With the parameters of a page.
    pub(super) fn with(&self, parameters: Vec<(String, String)>, are_numbers: bool) -> Self {
        let mut query = self.clone();
        for (name, text) in parameters {
            let number = text.parse::<u64>().ok().filter(|_| are_numbers);
            let value = number.map_or_else(|| Value::from(text), Value::from);
            query.variables.insert(name, value);
        }
        query
    }

    /// The body of a request.
    pub(super) fn body(&self) -> String {
        json!({ "query": self.text, "variables": self.variables }).to_string()
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
    fn a_page_is_a_variable() {
        let query = Query::new("query Q { a }", [("id".to_owned(), "7".to_owned())]);
        let page = |are_numbers| {
            query
                .with(vec![("page".into(), "2".into())], are_numbers)
                .body()
        };
        assert!(page(false).contains("\"variables\":{\"id\":\"7\",\"page\":\"2\"}"));
        assert!(page(true).contains("\"page\":2}"));
    }
}
