//! The token: what a destination stores so that it is valid exactly when the rows are, and a load happens
//! exactly once.
//!
//! Promise: the first commit of a generation wins. A token says which task wrote (`TaskKey`), in which of its
//! generations (`Generation`), how far the source was read (`Position`), what was read (the fingerprint), and
//! what the writer noted (`Annotations`). A retry uses the same generation, a new run the next one. It does
//! not know how a destination stores the token: see `ports/src/destination.rs`; `token/stored.rs` reads older
//! stored forms.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Environment, PipelineName, ProjectId, StepName, TableName};

mod stored;

/// The kind of a task that writes: the step itself, or other work on its table that has generations of its
/// own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// The step in a run.
    Step,
    /// A replay of rejected records into the step's table.
    Replay,
    /// The change of the status of records after a replay.
    #[serde(rename = "replay_mark")]
    ReplayStatus,
    /// The discarding of records by a user.
    Discard,
    /// The marking of records as outdated, because the step reads them again.
    Outdate,
}

impl TaskKind {
    /// All kinds.
    pub const ALL: [TaskKind; 5] = [
        TaskKind::Step,
        TaskKind::Replay,
        TaskKind::ReplayStatus,
        TaskKind::Discard,
        TaskKind::Outdate,
    ];

    /// The suffix of the step's name in the task's id.
    fn suffix(self) -> &'static str {
        match self {
            TaskKind::Step => "",
            TaskKind::Replay => " replay",
            TaskKind::ReplayStatus => " replay mark",
            TaskKind::Discard => " discard",
            TaskKind::Outdate => " outdate",
        }
    }
}

/// Identifies the task that writes a table. Two tasks never have the same key; two attempts of a task
/// always do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "stored::StoredKey")]
pub struct TaskKey {
    /// The project's id.
    pub project: ProjectId,
    /// The environment.
    pub environment: Environment,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The step.
    pub step: StepName,
    /// Its kind.
    pub kind: TaskKind,
    /// The table written.
    pub table: TableName,
}

impl TaskKey {
    /// The key of another kind for the same step and table.
    #[must_use]
    pub fn beside(&self, kind: TaskKind) -> Self {
        Self {
            kind,
            ..self.clone()
        }
    }

    /// The key as one line of text that is safe as a file name: letters, digits, `.`, `_`, `-` are
    /// kept, each other byte becomes `~` and two hex digits, parts are joined by `+`. Injective, as names
    /// of steps have no spaces. Destinations store it, so it never changes.
    pub fn app_id(&self) -> String {
        let table = self.table.to_string();
        let step = format!("{}{}", self.step, self.kind.suffix());
        let parts = [
            self.project.as_str(),
            self.environment.as_str(),
            self.pipeline.as_str(),
            &step,
            &table,
        ];
        parts.map(escape).join("+")
    }
}

fn escape(part: &str) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "~{byte:02x}");
        }
    }
    out
}

/// The number of a task's commit, from 1. Only a retry reuses a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub i64);

impl Generation {
    /// The generation after this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one split of a source: a file, a ctid range, a Kafka partition, a replication slot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SplitId(pub String);

/// How far one split was read: everything up to it, and including it, is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitPosition {
    /// Orders the positions of one split: an LSN, an offset, a byte position, a counter.
    pub order: u64,
    /// What the source needs to continue from here; only the source interprets it.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub resume: serde_json::Value,
}

impl SplitPosition {
    /// A position for sources that need only the order.
    pub fn at(order: u64) -> Self {
        Self {
            order,
            resume: serde_json::Value::Null,
        }
    }
}

/// How far a source was read, for each split. Version 1 of its stored form is this map as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position {
    splits: BTreeMap<SplitId, SplitPosition>,
}

impl Position {
    /// The position of a source with one split.
    pub fn single(split: impl Into<String>, position: SplitPosition) -> Self {
        Self {
            splits: BTreeMap::from([(SplitId(split.into()), position)]),
        }
    }

    /// True if nothing was read, or the source has no positions.
    pub fn is_empty(&self) -> bool {
        self.splits.is_empty()
    }

    /// The position of one split.
    pub fn get(&self, split: &SplitId) -> Option<&SplitPosition> {
        self.splits.get(split)
    }

    /// The positions of all splits.
    pub fn splits(&self) -> impl Iterator<Item = (&SplitId, &SplitPosition)> {
        self.splits.iter()
    }

    /// Moves one split forward; a position before the present one changes nothing.
    pub fn advance(&mut self, split: &SplitId, position: SplitPosition) {
        match self.splits.get(split) {
            Some(present) if present.order > position.order => {}
            _ => {
                self.splits.insert(split.clone(), position);
            }
        }
    }

    /// Removes and returns the position of one split.
    fn take(&mut self, split: &str) -> Option<SplitPosition> {
        self.splits.remove(&SplitId(split.to_owned()))
    }

    /// Advances every split of `other`.
    pub fn merge(&mut self, other: Position) {
        for (split, position) in other.splits {
            self.advance(&split, position);
        }
    }
}

/// Annotations of a commit, in addition to the position, each with a name. The code that adds an annotation
/// defines its form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Annotations(BTreeMap<String, Value>);

impl Annotations {
    /// One annotation.
    ///
    /// # Errors
    /// If it cannot be serialised as JSON.
    pub fn of<T: Serialize>(name: &str, note: &T) -> Result<Self, serde_json::Error> {
        Ok(Self::single(name, serde_json::to_value(note)?))
    }

    /// One annotation that is JSON already.
    pub fn single(name: &str, note: Value) -> Self {
        Self(BTreeMap::from([(name.to_owned(), note)]))
    }

    /// Reads one annotation; `None` if there is none with this name.
    ///
    /// # Errors
    /// If it has another form.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, serde_json::Error> {
        let note = self.0.get(name).cloned();
        note.map(serde_json::from_value).transpose()
    }

    /// True if there is no annotation.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the annotations of `other`; for equal names, that of `other` wins.
    #[must_use]
    pub fn and(mut self, other: Annotations) -> Self {
        self.0.extend(other.0);
        self
    }
}

/// What a destination stores with a commit. A database has it in the transaction of the rows; in the
/// lakehouse the log entry of the rows names the task, the generation and the file that has the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "stored::StoredToken", into = "stored::StoredToken")]
pub struct Token {
    /// The task that wrote.
    pub task: TaskKey,
    /// Which commit of that task this is.
    pub generation: Generation,
    /// How far the source was read.
    pub position: Position,
    /// A hash of what was read and of the task's definition; equal fingerprints mean equal rows.
    pub fingerprint: Option<String>,
    /// Annotations of the writer.
    pub annotations: Annotations,
}

impl Token {
    /// The token of a task that has not read anything.
    pub fn of(task: TaskKey, generation: Generation) -> Self {
        Self {
            task,
            generation,
            position: Position::default(),
            fingerprint: None,
            annotations: Annotations::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(step: &str) -> TaskKey {
        TaskKey {
            project: "p".into(),
            environment: "dev".into(),
            pipeline: "a b".into(),
            step: step.into(),
            kind: TaskKind::Step,
            table: TableName::new("raw", "flights"),
        }
    }

    #[test]
    fn app_ids_are_readable_and_injective() {
        assert_eq!(key("extract").app_id(), "p+dev+a~20b+extract+raw.flights");
        assert_ne!(key("x+y").app_id(), key("x~2by").app_id());
        let marking = key("extract").beside(TaskKind::ReplayStatus);
        assert_eq!(
            marking.app_id(),
            "p+dev+a~20b+extract~20replay~20mark+raw.flights"
        );
    }

    #[test]
    fn positions_only_move_forward() {
        let mut position = Position::single("f", SplitPosition::at(7));
        position.advance(&SplitId("f".into()), SplitPosition::at(3));
        assert_eq!(
            position.get(&SplitId("f".into())),
            Some(&SplitPosition::at(7))
        );
        position.merge(Position::single("g", SplitPosition::at(1)));
        assert_eq!(position.splits().count(), 2);
    }
}
