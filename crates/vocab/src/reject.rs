//! A rejected record: its raw form, its location and all reasons.
//!
//! Promise: the raw form is sufficient to read the record again. Connectors and `flow/src/validator.rs`
//! reject records; `flow/src/quarantine.rs` stores them.

use serde::{Deserialize, Serialize};

use crate::{RecordLocation, TableName};

/// A record as it came, so that it can be replayed after a fix.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "form", content = "data")]
pub enum RawRecord {
    /// The text in the source (one CSV record, one JSON line), without its line end. Bytes that are not
    /// UTF-8 are written as `\xNN`.
    Text(String),
    /// Column values before any operator: a JSON object whose values are exact text or null.
    Row(String),
}

/// Why a record was rejected.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reason {
    /// Stable code of the rule or parse error: `required`, `min`, `max`, `in`, `pattern`, `length`,
    /// `expression`, `type`, `columns`, `quote`, `encoding`, `key_null`, `key_duplicate`.
    pub code: String,
    /// The column, if the reason is about one.
    pub column: Option<String>,
    /// The value that breaks the rule, as text of at most 200 characters.
    pub value: Option<String>,
    /// What the rule says, in words: `the rule says at most 200`.
    pub message: String,
}

impl Reason {
    /// The reason as one sentence: `wind_speed is 1048.36058, the rule says at most 200`.
    pub fn text(&self) -> String {
        // `is not a valid date` goes on about the value, `the rule says at most 200` does not.
        let verbs = ["is ", "has ", "contains ", "does "];
        let is_about_value = verbs.iter().any(|verb| self.message.starts_with(verb));
        match (&self.column, &self.value) {
            (Some(column), Some(value)) if is_about_value => {
                format!("{column}: `{value}` {}", self.message)
            }
            (Some(column), Some(value)) => format!("{column} is {value}, {}", self.message),
            (Some(column), None) => format!("{column}: {}", self.message),
            _ => self.message.clone(),
        }
    }
}

/// One rejected record, with all its reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The target table.
    pub table: TableName,
    /// Its location in the source.
    pub place: RecordLocation,
    /// The record itself.
    pub raw: RawRecord,
    /// Every reason, at least one.
    pub reasons: Vec<Reason>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_sentence() {
        let text = |value: Option<&str>, message: &str| {
            let reason = Reason {
                code: "type".to_owned(),
                column: Some("d".to_owned()),
                value: value.map(str::to_owned),
                message: message.to_owned(),
            };
            reason.text()
        };
        let rule = "the rule says at most 2";
        assert_eq!(text(Some("3"), rule), "d is 3, the rule says at most 2");
        let date = "is not a valid `date`";
        assert_eq!(text(Some("x"), date), "d: `x` is not a valid `date`");
        assert_eq!(text(None, date), "d: is not a valid `date`");
    }
}
