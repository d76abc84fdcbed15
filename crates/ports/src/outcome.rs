//! What a task did, as the state store keeps it for later runs.
//!
//! Promise: what other code decides by (the version of a view, the reason for a skip, a recovered commit)
//! is a field, never a word in a JSON value. The summary of a table's rows belongs to `flow` and is not
//! interpreted here. Version 1 of the stored form, a JSON value with the words `skipped`, `view`, `same_as`
//! and `recovered`, is read. Read next: `state.rs`.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use towpath_vocab::Generation;

/// What a task did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "snake_case")]
pub enum TaskOutcome {
    /// Nothing to report: it was unchanged, a program ran, or it failed without a result.
    #[default]
    Nothing,
    /// It wrote rows to a table, or its rows stopped it.
    Table {
        /// The summary that `flow` made.
        summary: Value,
        /// True if its commit was made by a process that died before it could report it.
        recovered: bool,
    },
    /// It stored a view.
    View {
        /// The view's version.
        version: u64,
    },
    /// There was nothing to send: a later version has the same rows as the one that was sent.
    Same {
        /// The generation in the destination.
        generation: Generation,
        /// The version with the same rows.
        version: u64,
        /// Its commit; version numbers repeat if a lakehouse is restored or copied.
        #[serde(default)]
        commit: Option<String>,
    },
    /// It asked for new rows of its table, and there were none.
    NoNewRows {
        /// The version of the table, with its commit.
        at: String,
    },
    /// It was skipped.
    Skipped {
        /// The reason.
        reason: String,
    },
}

impl TaskOutcome {
    /// Reads version 1 of the stored form.
    pub fn from_version_1(value: Value) -> Self {
        if let Some(reason) = value["skipped"].as_str() {
            return TaskOutcome::Skipped {
                reason: reason.to_owned(),
            };
        }
        if let Some(version) = value["view"].as_u64() {
            return TaskOutcome::View { version };
        }
        let same = &value["same_as"];
        if let (Some(generation), Some(version)) =
            (same["generation"].as_i64(), same["version"].as_u64())
        {
            return TaskOutcome::Same {
                generation: Generation(generation),
                version,
                commit: same["commit"].as_str().map(str::to_owned),
            };
        }
        let Value::Object(mut summary) = value else {
            return TaskOutcome::Nothing;
        };
        let recovered = summary.remove("recovered") == Some(Value::Bool(true));
        TaskOutcome::Table {
            summary: Value::Object(summary),
            recovered,
        }
    }

    /// The form in the JSON output for users, which is version 1.
    pub fn shown(&self) -> Value {
        match self {
            TaskOutcome::Nothing => Value::Null,
            TaskOutcome::Table { summary, recovered } => {
                let mut shown = summary.clone();
                if let (Value::Object(fields), true) = (&mut shown, *recovered) {
                    fields.insert("recovered".to_owned(), Value::Bool(true));
                }
                shown
            }
            TaskOutcome::View { version } => json!({ "view": version }),
            TaskOutcome::Same {
                generation,
                version,
                commit,
            } => {
                json!({ "same_as": { "generation": generation, "version": version, "commit": commit } })
            }
            TaskOutcome::NoNewRows { at } => json!({ "no_new_rows_at": at }),
            TaskOutcome::Skipped { reason } => json!({ "skipped": reason }),
        }
    }

    /// The summary of the rows, if there are any.
    pub fn summary(&self) -> Option<&Value> {
        match self {
            TaskOutcome::Table { summary, .. } => Some(summary),
            _ => None,
        }
    }
}

/// Serialises an outcome for the JSON output.
pub(crate) fn shown<S: Serializer>(outcome: &TaskOutcome, to: S) -> Result<S::Ok, S::Error> {
    outcome.shown().serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_read_and_shown() {
        let summary = json!({ "table": "raw.a", "rows_loaded": 3 });
        let recovered = json!({ "table": "raw.a", "rows_loaded": 3, "recovered": true });
        let same = json!({ "same_as": { "generation": 4, "version": 9, "commit": null } });
        let cases = [
            (Value::Null, TaskOutcome::Nothing),
            (json!({ "view": 7 }), TaskOutcome::View { version: 7 }),
            (
                same,
                TaskOutcome::Same {
                    generation: Generation(4),
                    version: 9,
                    commit: None,
                },
            ),
            (
                json!({ "skipped": "read-only" }),
                TaskOutcome::Skipped {
                    reason: "read-only".to_owned(),
                },
            ),
            (
                summary.clone(),
                TaskOutcome::Table {
                    summary: summary.clone(),
                    recovered: false,
                },
            ),
            (
                recovered,
                TaskOutcome::Table {
                    summary,
                    recovered: true,
                },
            ),
        ];
        for (stored, outcome) in cases {
            assert_eq!(TaskOutcome::from_version_1(stored.clone()), outcome);
            assert_eq!(outcome.shown(), stored);
            let text = serde_json::to_string(&outcome).unwrap_or_default();
            assert_eq!(
                serde_json::from_str::<TaskOutcome>(&text).ok(),
                Some(outcome)
            );
        }
    }
}
