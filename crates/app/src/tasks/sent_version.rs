//! Remembers what a publish sent: which commit of the lakehouse the destination has, and how it was sent.
//!
//! Promise: this is an annotation of the token, which is valid with the rows, so both are restored
//! together. Tokens of version 1 have it in a split of the position, which is read too. A
//! lakehouse version is identified by its commit, not by its number: numbers repeat if a lakehouse is
//! restored or copied. It compares no rows: `changes.rs` does.

use serde::Deserialize;
use serde_json::json;
use towpath_engine::Lake;
use towpath_ports::{TableState, TableStates, TaskOutcome};
use towpath_sql::changing_in_expression;
use towpath_vocab::{
    Annotations, Generation, PlannedTask, Position, SplitId, SplitPosition, TableName,
};

use super::changes::Pinned;
use super::executor::RunExecutor;
use super::generation::GenerationClaim;
use crate::Result;

/// The annotation that says what was sent.
const NOTE: &str = "sent";
/// The split whose position is the version that was sent; in version 1 it also had the rest.
const LAKE: &str = "lake";

/// What a commit in a destination was made from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Sent {
    #[serde(skip)]
    pub(super) version: u64,
    /// Delta's id of the table.
    pub(super) table: String,
    /// The commit of the version.
    #[serde(default)]
    pub(super) commit: Option<String>,
    /// The identity of the task without its inputs.
    pub(super) task: String,
    /// Which rows were sent.
    #[serde(default, rename = "where")]
    pub(super) filter: Option<String>,
    #[serde(default)]
    pub(super) key: Vec<String>,
    #[serde(default)]
    pub(super) columns: Vec<String>,
    /// The number of rows of the version that should be in the destination afterwards, for a table with a
    /// key.
    #[serde(default)]
    pub(super) rows: Option<u64>,
    /// True if this task has sent every row of the target.
    #[serde(default)]
    pub(super) sole: bool,
}

impl Sent {
    /// Reads what was sent from the last commit in the destination.
    pub(super) fn of(claim: &GenerationClaim) -> Option<Self> {
        let token = &claim.last.as_ref()?.token;
        let pinned = token.position.get(&SplitId(LAKE.to_owned()))?;
        let noted: Option<Self> = token.annotations.read(NOTE).ok()?;
        let sent = match noted {
            Some(sent) => sent,
            None => serde_json::from_value(pinned.resume.clone()).ok()?,
        };
        Some(Self {
            version: pinned.order,
            ..sent
        })
    }

    /// True if its `where` does not say which rows were sent. Since the clock in it is replaced by the moment
    /// of the run, only random numbers are left; earlier versions stored the clock too.
    pub(super) fn depends_on_time(&self) -> bool {
        let filter = self.filter.as_deref();
        filter.is_some_and(|text| !changing_in_expression(text).is_empty())
    }

    /// The position: the version that was sent.
    pub(super) fn position(&self) -> Position {
        Position::single(LAKE, SplitPosition::at(self.version))
    }

    /// The annotations: everything else.
    pub(super) fn annotations(&self) -> Annotations {
        let note = json!({
            "table": self.table,
            "commit": self.commit,
            "task": self.task,
            "where": self.filter,
            "key": self.key,
            "columns": self.columns,
            "rows": self.rows,
            "sole": self.sole,
        });
        Annotations::single(NOTE, note)
    }
}

/// True if the present history of a table has this commit at this version.
pub(super) async fn is_in_history(
    lake: &Lake,
    table: &TableName,
    (version, commit): (u64, Option<&str>),
) -> Result<bool> {
    let now = lake.commit_id(table, version).await?;
    Ok(commit.is_some() && now.as_deref() == commit)
}

/// What the state store keeps: a later version had the same rows as the one in the destination's commit.
#[derive(Clone, Debug)]
pub(super) struct Same {
    generation: Generation,
    pub(super) version: u64,
    pub(super) commit: Option<String>,
    pub(super) fingerprint: Option<String>,
}

impl Same {
    pub(super) fn of(claim: &GenerationClaim, now: &Pinned) -> Option<Self> {
        Some(Self {
            generation: claim.last.as_ref()?.token.generation,
            version: now.version,
            commit: now.commit.clone(),
            fingerprint: None,
        })
    }

    pub(super) async fn remembered(
        executor: &RunExecutor,
        task: &PlannedTask,
        claim: &GenerationClaim,
    ) -> Result<Option<Self>> {
        let store = executor.services.store.as_ref();
        let last = store
            .last_success(&executor.environment, &executor.pipeline, &task.id)
            .await?;
        let Some((_, record)) = last else {
            return Ok(None);
        };
        let TaskOutcome::Same {
            generation,
            version,
            commit,
        } = record.outcome
        else {
            return Ok(None);
        };
        let holds = claim.last.as_ref().map(|last| last.token.generation);
        Ok((holds == Some(generation)).then_some(Self {
            generation,
            version,
            commit,
            fingerprint: record.fingerprint,
        }))
    }

    pub(super) fn outcome(&self) -> TaskOutcome {
        TaskOutcome::Same {
            generation: self.generation,
            version: self.version,
            commit: self.commit.clone(),
        }
    }
}

/// A target, compared with its state after the last commit of the task.
pub(super) struct TargetComparison {
    states: TableStates,
    /// The version of that commit in the destination.
    commit: String,
    /// True if all rows after it belonged to this task.
    was_sole: bool,
}

impl TargetComparison {
    pub(super) fn new(states: TableStates, claim: &GenerationClaim) -> Self {
        let last = claim.last.as_ref();
        let left = states.committed.as_ref().and_then(|left| left.rows);
        // The count decides if there is one, because others may have added a row during the last write.
        let was_sole = Sent::of(claim).is_some_and(|sent| match sent.rows {
            Some(rows) => left == Some(rows),
            None => sent.sole,
        });
        Self {
            states,
            commit: last.map_or_else(String::new, |last| last.version.clone()),
            was_sole,
        }
    }

    /// The present state of the table.
    pub(super) fn now(&self) -> Option<&TableState> {
        self.states.now.as_ref()
    }

    /// False if there is no table.
    pub(super) fn exists(&self) -> bool {
        self.states.now.is_some()
    }

    /// True if there is no table, or it has no rows.
    pub(super) fn is_empty(&self) -> bool {
        let now = self.states.now.as_ref();
        now.is_none_or(|now| now.rows == Some(0))
    }

    /// True if all rows of the last commit are gone.
    pub(super) fn is_emptied(&self) -> bool {
        let committed = self.states.committed.as_ref();
        committed.is_some_and(|left| left.rows != Some(0)) && self.is_empty()
    }

    /// What others did to it since the last commit, as far as this can be known.
    pub(super) fn drift(&self) -> Option<String> {
        let left = self.states.committed.as_ref()?;
        let is = match &self.states.now {
            None => "it is gone".to_owned(),
            Some(TableState {
                rows: Some(now), ..
            }) if left.rows.is_some_and(|left| left != *now) => {
                let left = left.rows.unwrap_or_default();
                format!("it had {left} rows, now {now}")
            }
            Some(now) if left.identity != now.identity => {
                "it was emptied, rewritten or recreated".to_owned()
            }
            // If rows of others are expected, their changes do not matter.
            Some(TableState {
                newer: Some(newer @ 1..),
                ..
            }) if self.was_sole => format!("others wrote {newer} of its rows"),
            Some(_) => return None,
        };
        Some(format!("not as {} left it: {is}", self.commit))
    }

    /// True if this task has sent each of its rows, as far as its commits and its rows show. This stays
    /// true if others only deleted rows, or rewrote them unchanged.
    pub(super) fn is_sole(&self) -> bool {
        let (left, now) = (&self.states.committed, &self.states.now);
        let is_untouched = match (left, now) {
            (Some(left), Some(now)) => match now.newer {
                Some(newer) => {
                    let counts = left.rows.zip(now.rows);
                    newer == 0
                        && left.identity == now.identity
                        && counts.is_none_or(|(left, now)| now <= left)
                }
                // A table that cannot be counted any more may have rows of others.
                None => self.drift().is_none() && left.rows == now.rows,
            },
            _ => false,
        };
        self.is_empty() || is_untouched && self.was_sole
    }
}

#[cfg(test)]
mod tests;
