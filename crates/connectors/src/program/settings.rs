//! The options of a connection and of a table, read once, and what a program is started with.
//!
//! Promise: an option that cannot be meant is refused by name before a program is started. It starts
//! nothing. Read next: `run.rs`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use towpath_ports::{Redaction, Secrets};
use towpath_vocab::{ConnectionPlan, OptionValue, SecretTemplate, passwords};

use super::error::{ProgramError, Result};
use super::spec::OF_FILES;

/// How long a program may print nothing.
const TIMEOUT_S: u64 = 900;
/// What a program prints unless it says.
const FORMAT: &str = "jsonl";

/// Variables that tell a program what to print.
const RESERVED: [&str; 2] = ["TOWPATH_TABLE", "TOWPATH_CURSOR"];

const TABLE: &str = "{{ table }}";
const CURSOR: &str = "{{ cursor }}";

/// The options of a connection.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) connection: String,
    argv: Vec<String>,
    env: Option<SecretTemplate>,
    format: String,
    pub(super) timeout: Duration,
    /// How its output is read.
    pub(super) of_files: BTreeMap<String, OptionValue>,
}

/// The environment of a program, with its secrets.
pub(super) struct Environment {
    pub(super) variables: BTreeMap<String, String>,
    pub(super) redaction: Redaction,
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether a variable is one that programs keep secret, by its name.
fn names_secret(name: &str) -> bool {
    const WORDS: [&str; 6] = ["PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH"];
    let name = name.to_ascii_uppercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// The placeholders in a text.
fn placeholders(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find("${") {
        let from = rest.get(begin..).unwrap_or_default();
        let Some(end) = from.find('}') else { break };
        found.extend(from.get(..=end));
        rest = from.get(end + 1..).unwrap_or_default();
    }
    found
}

impl Settings {
    /// Reads the options of a connection.
    pub(super) fn read(plan: &ConnectionPlan) -> Result<Self> {
        let wrong = |option, why: &str| ProgramError::Option {
            place: format!("connection `{}`", plan.name),
            option,
            why: why.to_owned(),
        };
        let argv = texts(plan.plain("command"));
        if argv.first().is_none_or(String::is_empty) {
            return Err(wrong("command", "names no program"));
        }
        let timeout_s = match plan.plain("timeout_s").filter(|value| !value.is_null()) {
            None => TIMEOUT_S,
            Some(value) => value
                .as_u64()
                .filter(|seconds| *seconds > 0)
                .ok_or_else(|| wrong("timeout_s", "has to be a whole number from 1"))?,
        };
        let options = plan.options.iter();
        let of_files = options.filter(|(name, _)| OF_FILES.contains(&name.as_str()));
        Ok(Self {
            connection: plan.name.clone(),
            argv,
            env: plan.secret("env").cloned(),
            format: plan.text("format").unwrap_or(FORMAT).to_owned(),
            timeout: Duration::from_secs(timeout_s),
            of_files: of_files
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        })
    }

    /// What the program prints for a table.
    pub(super) fn format<'s>(&'s self, options: &'s BTreeMap<String, Value>) -> &'s str {
        let own = options.get("format").and_then(Value::as_str);
        own.unwrap_or(&self.format)
    }

    /// The program and its arguments for a table. An argument with the cursor is left out while there is none.
    pub(super) fn argv(
        &self,
        table: &str,
        options: &BTreeMap<String, Value>,
        cursor: Option<&str>,
    ) -> Vec<String> {
        let all = self.argv.iter().cloned();
        all.chain(texts(options.get("arguments")))
            .filter(|text| cursor.is_some() || !text.contains(CURSOR))
            .map(|text| {
                let text = text.replace(TABLE, table);
                text.replace(CURSOR, cursor.unwrap_or_default())
            })
            .collect()
    }

    /// The program, as messages name it: without the folders before it.
    pub(super) fn program(&self) -> String {
        let program = self.argv.first().map(String::as_str).unwrap_or_default();
        let name = Path::new(program).file_name();
        name.map_or_else(
            || program.to_owned(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    /// The environment of the program for a table.
    pub(super) async fn environment(
        &self,
        table: &str,
        cursor: Option<&str>,
        secrets: &dyn Secrets,
    ) -> Result<Environment> {
        let mut variables = BTreeMap::from([("TOWPATH_TABLE".to_owned(), table.to_owned())]);
        if let Some(cursor) = cursor {
            variables.insert("TOWPATH_CURSOR".to_owned(), cursor.to_owned());
        }
        // It has the environment of this process too, and may print it.
        let inherited = secrets.variables("").into_iter();
        let inherited =
            inherited.filter(|(name, value)| names_secret(name) || passwords::has_password(value));
        let mut known: Vec<String> = inherited.map(|(_, value)| value).collect();
        for (name, text) in self.given_variables()? {
            for part in placeholders(&text) {
                let part = SecretTemplate::new(part);
                known.push(secrets.resolve(&part).await.map_err(ProgramError::Port)?);
            }
            let template = SecretTemplate::new(text.clone());
            let value = secrets
                .resolve(&template)
                .await
                .map_err(ProgramError::Port)?;
            if text.contains("${") || names_secret(&name) {
                known.push(value.clone());
            }
            variables.insert(name, value);
        }
        Ok(Environment {
            variables,
            redaction: Redaction::new(known),
        })
    }

    /// `env`, with secrets as templates.
    fn given_variables(&self) -> Result<Vec<(String, String)>> {
        let Some(template) = &self.env else {
            return Ok(Vec::new());
        };
        let wrong = |why: String| ProgramError::Option {
            place: format!("connection `{}`", self.connection),
            option: "env",
            why,
        };
        let map: BTreeMap<String, Value> = serde_json::from_str(template.template())
            .map_err(|_| wrong("is not a map of variables".to_owned()))?;
        map.into_iter()
            .map(|(name, value)| match value {
                _ if RESERVED.contains(&name.as_str()) => Err(wrong(format!(
                    "sets `{name}`, which the program gets from Towpath"
                ))),
                Value::String(text) => Ok((name, text)),
                Value::Number(number) => Ok((name, number.to_string())),
                Value::Bool(truth) => Ok((name, truth.to_string())),
                _ => Err(wrong(format!("has a value of `{name}` that is not a text"))),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_have_the_table_and_the_cursor() {
        let argv = json!(["bin/export", "{{ table }}", "--since={{ cursor }}"]);
        let plan = ConnectionPlan {
            name: "p".to_owned(),
            kind: "program".to_owned(),
            writable: false,
            options: BTreeMap::from([("command".to_owned(), OptionValue::Plain(argv))]),
        };
        let settings = Settings::read(&plan).unwrap();
        let options = BTreeMap::from([("arguments".to_owned(), json!(["-v"]))]);
        assert_eq!(
            settings.argv("t", &options, None),
            ["bin/export", "t", "-v"]
        );
        assert_eq!(
            settings.argv("t", &options, Some("7")),
            ["bin/export", "t", "--since=7", "-v"]
        );
        assert_eq!(settings.program(), "export");
        let none = ConnectionPlan {
            options: BTreeMap::new(),
            ..plan
        };
        assert!(Settings::read(&none).is_err());
    }
}
