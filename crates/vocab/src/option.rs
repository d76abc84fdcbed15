//! A configured outside system, as it stands in a plan: secrets stay templates.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The text of an option marked secret, with its `${env:…}` and `${secret:…}` unresolved.
///
/// Only the `Secrets` port turns it into a value, at connect. Showing it shows the template when it
/// holds a placeholder and nothing else; literal secrets are never shown.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretTemplate(String);

impl SecretTemplate {
    /// Wraps the text as it stands in the file.
    pub fn new(template: impl Into<String>) -> Self {
        Self(template.into())
    }

    /// The template, for the `Secrets` port only.
    pub fn template(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.contains("${") {
            "SecretTemplate(${…})"
        } else {
            "SecretTemplate(…)"
        })
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

/// A connection as a plan carries it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionPlan {
    /// Its name in the project.
    pub name: String,
    /// The connector kind: `postgres`, `files`, `sqlite`.
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
