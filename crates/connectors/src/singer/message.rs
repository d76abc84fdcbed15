//! One line of a tap's output as a message of the Singer specification.
//!
//! Promise: the text of a record and of a state is given as it came, each digit of it. What is no message is
//! refused with what was expected where, never with the line itself, which may hold data. Read next:
//! `feed.rs`, which acts on messages.

use std::borrow::Cow;

use crate::files::{MemberValue, NoObject, members};

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'l> {
    Schema {
        stream: Cow<'l, str>,
        /// Its JSON Schema, as text.
        schema: &'l [u8],
    },
    Record {
        stream: Cow<'l, str>,
        record: &'l [u8],
        version: Option<i64>,
    },
    State(&'l [u8]),
    ActivateVersion {
        stream: Cow<'l, str>,
        version: i64,
    },
}

/// Why a line is no message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    NoJson(NoObject),
    NoType,
    Unknown(String),
    Lacks {
        message: &'static str,
        member: &'static str,
    },
}

impl Flaw {
    /// What is wrong, in words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::NoJson(NoObject { expected, at }) => {
                format!("is no JSON object: expected {expected} at byte {at}")
            }
            Self::NoType => "has no `type`".to_owned(),
            Self::Unknown(kind) => {
                let known = "RECORD, SCHEMA, STATE and ACTIVATE_VERSION";
                format!("is a message of type `{kind}`, but only {known} are read")
            }
            Self::Lacks { message, member } => {
                format!("is a {message} without a valid `{member}`")
            }
        }
    }
}

/// The members that messages have.
#[derive(Default)]
struct Parts<'l> {
    kind: Option<Cow<'l, str>>,
    stream: Option<Cow<'l, str>>,
    record: Option<&'l [u8]>,
    schema: Option<&'l [u8]>,
    value: Option<MemberValue<'l>>,
    version: Option<MemberValue<'l>>,
}

/// Reads a line.
pub(super) fn read(line: &[u8]) -> Result<Message<'_>, Flaw> {
    let mut parts = Parts::default();
    for (name, value) in members(line).map_err(Flaw::NoJson)? {
        match name.as_ref() {
            "type" => parts.kind = value.string(),
            "stream" => parts.stream = value.string(),
            "record" => parts.record = value.object(),
            "schema" => parts.schema = value.object(),
            "value" => parts.value = Some(value),
            "version" => parts.version = Some(value),
            _ => {}
        }
    }
    let kind = parts.kind.ok_or(Flaw::NoType)?;
    let lacks = |message, member| Flaw::Lacks { message, member };
    match kind.as_ref() {
        "RECORD" => Ok(Message::Record {
            stream: parts.stream.ok_or(lacks("RECORD", "stream"))?,
            record: parts.record.ok_or(lacks("RECORD", "record"))?,
            version: match parts.version.filter(|version| version.raw().is_some()) {
                None => None,
                Some(given) => Some(version(given).ok_or(lacks("RECORD", "version"))?),
            },
        }),
        "SCHEMA" => Ok(Message::Schema {
            stream: parts.stream.ok_or(lacks("SCHEMA", "stream"))?,
            schema: parts.schema.ok_or(lacks("SCHEMA", "schema"))?,
        }),
        "STATE" => {
            let value = parts.value.ok_or(lacks("STATE", "value"))?;
            let value = value.object().ok_or(lacks("STATE", "value"))?;
            match std::str::from_utf8(value).is_ok() {
                true => Ok(Message::State(value)),
                false => Err(lacks("STATE", "value")),
            }
        }
        "ACTIVATE_VERSION" => Ok(Message::ActivateVersion {
            stream: parts.stream.ok_or(lacks("ACTIVATE_VERSION", "stream"))?,
            version: parts
                .version
                .and_then(version)
                .ok_or(lacks("ACTIVATE_VERSION", "version"))?,
        }),
        other => Err(Flaw::Unknown(other.chars().take(40).collect())),
    }
}

fn version(value: MemberValue<'_>) -> Option<i64> {
    std::str::from_utf8(value.raw()?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn messages_keep_the_text_of_their_values() {
        let line = br#"{"record": {"a": 1.50, "b": "\u00e9"}, "type": "RECORD", "stream": "s", "time_extracted": "x", "version": 7}"#;
        let Message::Record {
            stream,
            record,
            version,
        } = read(line).unwrap()
        else {
            panic!("a record");
        };
        assert_eq!((stream.as_ref(), version), ("s", Some(7)));
        assert_eq!(record, br#"{"a": 1.50, "b": "\u00e9"}"#);
        let state = read(br#"{"type":"STATE","value":{"n":1e400}}"#).unwrap();
        assert_eq!(state, Message::State(br#"{"n":1e400}"#));
    }

    #[test]
    fn what_is_no_message_is_refused_without_its_text() {
        for (line, words) in [
            (
                "INFO hunter2",
                "is no JSON object: expected an object at byte 1",
            ),
            (
                "{\"a\": NaN}",
                "is no JSON object: expected a value at byte 7",
            ),
            ("{\"stream\": \"s\"}", "has no `type`"),
            (
                "{\"type\": \"BATCH\"}",
                "is a message of type `BATCH`, but only RECORD, SCHEMA, STATE and ACTIVATE_VERSION are read",
            ),
            (
                "{\"type\": \"RECORD\", \"stream\": \"s\", \"record\": [1]}",
                "is a RECORD without a valid `record`",
            ),
            (
                "{\"type\": \"RECORD\", \"stream\": \"s\", \"record\": {}, \"version\": 1.7e12}",
                "is a RECORD without a valid `version`",
            ),
            (
                "{\"type\": \"STATE\", \"value\": 7}",
                "is a STATE without a valid `value`",
            ),
        ] {
            assert_eq!(read(line.as_bytes()).unwrap_err().words(), words);
        }
    }
}
