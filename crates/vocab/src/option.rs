//! The options of a connection in a plan: secrets stay templates.
//!
//! Promise: no value of a secret is in a plan, a log or a stored form. Only `ports::Secrets` resolves a
//! template, when the connector connects. Read next: `spec.rs`, which says which options are secret.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The text of a secret option, with its `${env:…}` and `${secret:…}` unresolved.
///
/// Only the `Secrets` port resolves it, when a connector connects. When it is shown or stored (Debug,
/// JSON), only its placeholders remain: literal text of the file never leaves the memory, so a stored
/// template cannot be resolved.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct SecretTemplate(String);

impl SecretTemplate {
    /// Wraps the text from the file.
    pub fn new(template: impl Into<String>) -> Self {
        Self(template.into())
    }

    /// The template, for the `Secrets` port only.
    pub fn template(&self) -> &str {
        &self.0
    }

    /// The placeholders, with `…` for all literal text and defaults.
    pub fn shown(&self) -> String {
        let mut out = String::new();
        let mut rest = self.0.as_str();
        while !rest.is_empty() {
            let literal = rest.find("${").unwrap_or(rest.len());
            if literal > 0 {
                out.push('…');
            }
            rest = rest.get(literal..).unwrap_or_default();
            let Some(end) = rest.find('}') else { break };
            let placeholder = rest.get(..=end).unwrap_or_default();
            match placeholder.split_once(":-") {
                // A default is literal text too.
                Some((name, _)) => out.push_str(&format!("{name}:-…}}")),
                None => out.push_str(placeholder),
            }
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        out
    }
}

impl Serialize for SecretTemplate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

impl fmt::Debug for SecretTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretTemplate({})", self.shown())
    }
}

/// The value of one connection option.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptionValue {
    /// Bound at check time.
    Plain(serde_json::Value),
    /// Resolved at connect.
    Secret(SecretTemplate),
}

/// A connection in a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionPlan {
    /// Its name in the project.
    pub name: String,
    /// The kind of its connector: `postgres`, `files`, `sqlite`.
    pub kind: String,
    /// False unless the project says `writable: true`.
    pub writable: bool,
    /// Its options, by the names in the connector's spec.
    pub options: BTreeMap<String, OptionValue>,
}

impl ConnectionPlan {
    /// A plain option as text.
    pub fn text(&self, option: &str) -> Option<&str> {
        match self.options.get(option)? {
            OptionValue::Plain(value) => value.as_str(),
            OptionValue::Secret(_) => None,
        }
    }

    /// A plain option as JSON.
    pub fn plain(&self, option: &str) -> Option<&serde_json::Value> {
        match self.options.get(option)? {
            OptionValue::Plain(value) => Some(value),
            OptionValue::Secret(_) => None,
        }
    }

    /// A secret option's template.
    pub fn secret(&self, option: &str) -> Option<&SecretTemplate> {
        match self.options.get(option)? {
            OptionValue::Secret(template) => Some(template),
            OptionValue::Plain(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn literal_text_of_a_secret_is_never_shown() {
        let shown = |text: &str| SecretTemplate::new(text).shown();
        assert_eq!(shown("${env:URL}"), "${env:URL}");
        assert_eq!(
            shown("postgres://u:hunter2@${env:HOST}/db"),
            "…${env:HOST}…"
        );
        assert_eq!(shown("postgres://u:hunter2@h/db"), "…");
        assert_eq!(shown("hunter2${env:X"), "…");
        assert_eq!(shown("${env:PW:-hunter2}"), "${env:PW:-…}");
        assert_eq!(shown(""), "");
        let value = OptionValue::Secret(SecretTemplate::new("hunter2"));
        assert!(!format!("{value:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&value).is_ok_and(|json| json.contains("hunter2")));
    }
}
