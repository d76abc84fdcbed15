//! What is stored of a read: the tap's state, and the version whose records are valid.
//!
//! Promise: the state is stored as the text that the tap has given, and handed back as that. What is stored
//! and cannot be read is an error. Stored form, version 1: `{"version": 1, "state": TEXT, "activated": N}`.
//! Read next: `source.rs`.

use serde_json::{Value, json};
use towpath_vocab::{Position, SplitId, SplitPosition};

use super::error::{Result, SingerError};

/// The one split of a stream.
pub(super) const SPLIT: &str = "stream";
/// The version of the stored form.
const VERSION: u64 = 1;

/// Where a read goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Resume {
    pub(super) state: Option<String>,
    pub(super) activated: Option<i64>,
    /// The number of reads that moved the position.
    order: u64,
}

impl Resume {
    /// Reads what the last read of a stream left.
    pub(super) fn read(stream: &str, from: Option<&Position>) -> Result<Self> {
        let split = SplitId(SPLIT.to_owned());
        let Some(stored) = from.and_then(|from| from.get(&split)) else {
            return Ok(Self::default());
        };
        let wrong = |what| SingerError::Stored {
            stream: stream.to_owned(),
            what,
        };
        let resume = &stored.resume;
        if resume.get("version").and_then(Value::as_u64) != Some(VERSION) {
            return Err(wrong("has a form of another version"));
        }
        let state = match resume.get("state") {
            None | Some(Value::Null) => None,
            Some(Value::String(state)) => Some(state.clone()),
            Some(_) => return Err(wrong("has a state that is not a text")),
        };
        let activated = match resume.get("activated") {
            None | Some(Value::Null) => None,
            Some(version) => {
                let version = version.as_i64();
                Some(version.ok_or_else(|| wrong("has a version that is not a number"))?)
            }
        };
        Ok(Self {
            state,
            activated,
            order: stored.order,
        })
    }

    /// The position behind a read.
    pub(super) fn next(&self, state: Option<String>, activated: Option<i64>) -> SplitPosition {
        // A tap that gives no state goes on where it was.
        let state = state.or_else(|| self.state.clone());
        SplitPosition {
            order: self.order + 1,
            resume: json!({ "version": VERSION, "state": state, "activated": activated }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_state_comes_back_as_its_text() {
        let state = r#"{"bookmarks": {"a": 1.50e400}}"#;
        let first = Resume::default().next(Some(state.to_owned()), Some(7));
        let position = Position::single(SPLIT, first);
        let read = Resume::read("s", Some(&position)).unwrap();
        assert_eq!(read.state.as_deref(), Some(state));
        assert_eq!((read.activated, read.order), (Some(7), 1));
        let second = read.next(None, None);
        let position = Position::single(SPLIT, second);
        let read = Resume::read("s", Some(&position)).unwrap();
        assert_eq!(read.state.as_deref(), Some(state));
        assert_eq!(read.activated, None);
        assert_eq!(Resume::read("s", None).unwrap(), Resume::default());
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for resume in [
            json!({}),
            json!({"version": 2}),
            json!({"version": 1, "state": 7}),
        ] {
            let split = SplitPosition { order: 1, resume };
            let position = Position::single(SPLIT, split);
            assert!(Resume::read("s", Some(&position)).is_err());
        }
    }
}
