//! The stored forms of tokens and task keys, and how older ones are read.
//!
//! Promise: version 2 is written; version 1 is read everywhere, and a version above 2 is refused. In
//! version 1 a token had no version number: its fingerprint was a split of the position, the records of a
//! replay were the mark of another split, and the kind of the task was the end of the step's name.
//! Databases stored only the position: see `Token::from_position`. Read next: `token.rs`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Annotations, Generation, Position, SplitId, SplitPosition, TaskKey, TaskKind, Token};
use crate::{Environment, PipelineName, ProjectId, StepName, TableName};

/// The version of the form that is written.
const VERSION: u32 = 2;
/// The split with the fingerprint in version 1.
const FINGERPRINT: &str = "towpath:fingerprint";
/// The split with the records of a replay in version 1, and the annotation with them since version 2.
const REPLAY: &str = "replay";

/// The stored form of a task key; version 1 has no kind.
#[derive(Deserialize)]
pub(super) struct StoredKey {
    project: ProjectId,
    environment: Environment,
    pipeline: PipelineName,
    step: StepName,
    #[serde(default)]
    kind: Option<TaskKind>,
    table: TableName,
}

impl From<StoredKey> for TaskKey {
    fn from(stored: StoredKey) -> Self {
        let (step, kind) = match stored.kind {
            Some(kind) => (stored.step, kind),
            None => kind_of(stored.step),
        };
        Self {
            project: stored.project,
            environment: stored.environment,
            pipeline: stored.pipeline,
            step,
            kind,
            table: stored.table,
        }
    }
}

/// The kind of a task from its step's name in version 1.
fn kind_of(step: StepName) -> (StepName, TaskKind) {
    let others = TaskKind::ALL
        .into_iter()
        .filter(|kind| *kind != TaskKind::Step);
    for kind in others {
        if let Some(name) = step.as_str().strip_suffix(kind.suffix()) {
            return (StepName::new(name), kind);
        }
    }
    (step, TaskKind::Step)
}

/// The stored form of a token.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredToken {
    #[serde(default = "version_1")]
    version: u32,
    task: TaskKey,
    generation: Generation,
    position: Position,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    annotations: Annotations,
}

fn version_1() -> u32 {
    1
}

impl From<Token> for StoredToken {
    fn from(token: Token) -> Self {
        Self {
            version: VERSION,
            task: token.task,
            generation: token.generation,
            position: token.position,
            fingerprint: token.fingerprint,
            annotations: token.annotations,
        }
    }
}

impl TryFrom<StoredToken> for Token {
    type Error = String;

    fn try_from(stored: StoredToken) -> Result<Self, String> {
        match stored.version {
            1 => Ok(Self::from_position(
                stored.task,
                stored.generation,
                stored.position,
            )),
            VERSION => Ok(Self {
                task: stored.task,
                generation: stored.generation,
                position: stored.position,
                fingerprint: stored.fingerprint,
                annotations: stored.annotations,
            }),
            newer => Err(format!(
                "its token has version {newer}, this Towpath reads up to {VERSION}"
            )),
        }
    }
}

impl Token {
    /// The token for a position that a destination stored in version 1.
    pub fn from_position(task: TaskKey, generation: Generation, mut position: Position) -> Self {
        let stored = position.take(FINGERPRINT);
        let fingerprint = stored.and_then(|stored| match stored.resume {
            Value::String(fingerprint) => Some(fingerprint),
            _ => None,
        });
        let mut annotations = Annotations::default();
        if task.kind == TaskKind::Replay
            && let Some(stored) = position.take(REPLAY)
        {
            annotations.0.insert(REPLAY.to_owned(), stored.resume);
            position.advance(&SplitId(REPLAY.to_owned()), SplitPosition::at(stored.order));
        }
        Self {
            task,
            generation,
            position,
            fingerprint,
            annotations,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// As a load stored it.
    const LOAD: &str = r#"{"task":{"project":"p","environment":"dev","pipeline":"shop","step":"pull","table":"raw.a"},"generation":3,"position":{"a.csv":{"order":7,"resume":{"bytes":7}},"towpath:fingerprint":{"order":3,"resume":"sha256:abc"}}}"#;
    /// As its replay stored it.
    const REPLAYED: &str = r#"{"task":{"project":"p","environment":"dev","pipeline":"shop","step":"pull replay","table":"raw.a"},"generation":2,"position":{"replay":{"order":2,"resume":{"of":3,"ids":["x"],"failed":[]}}}}"#;

    fn read(text: &str) -> Token {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_fingerprint_of_version_1_is_no_split_any_more() {
        let token = read(LOAD);
        assert_eq!(token.fingerprint.as_deref(), Some("sha256:abc"));
        assert_eq!(token.position.splits().count(), 1);
        assert_eq!(token.task.kind, TaskKind::Step);
        assert!(token.annotations.is_empty());
        assert_eq!(read(&serde_json::to_string(&token).unwrap()), token);
    }

    #[test]
    fn a_replay_of_version_1_is_known_by_its_kind() {
        let token = read(REPLAYED);
        assert_eq!(token.task.kind, TaskKind::Replay);
        assert_eq!(token.task.step.as_str(), "pull");
        assert_eq!(token.task.app_id(), "p+dev+shop+pull~20replay+raw.a");
        assert_eq!(
            token.position,
            Position::single("replay", SplitPosition::at(2))
        );
        let note: Option<Value> = token.annotations.read("replay").unwrap();
        assert_eq!(note.unwrap()["ids"][0], "x");
        let text = serde_json::to_string(&token).unwrap();
        assert!(text.contains(r#""version":2"#), "{text}");
        assert_eq!(read(&text), token);
        // The same split of a load is its source's.
        let load = REPLAYED.replace("pull replay", "pull");
        assert!(read(&load).annotations.is_empty());
    }

    #[test]
    fn a_newer_token_is_refused() {
        let newer = LOAD.replacen('{', r#"{"version":3,"#, 1);
        let error = serde_json::from_str::<Token>(&newer).unwrap_err();
        assert!(error.to_string().contains("has version 3"), "{error}");
    }
}
