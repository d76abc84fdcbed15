//! Texts with placeholders in paths, parameters and bodies: `invoices/{invoices.id}`, `{cursor}`.
//!
//! Promise: a value that goes into a path is one segment of it, whatever it holds; into a JSON body, one
//! JSON value. `{{` and `}}` are braces. A segment of dots alone cannot be sent in a URL: `has_dot_segment`
//! tells. It does not know where values come from.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a segment of a path may hold as it is.
pub(super) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot {
    /// Where the last read ended: `{cursor}`.
    Cursor,
    /// A value of the record that this listing belongs to: `{invoices.id}`.
    Parent { table: String, at: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Slot(Slot),
}

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Into {
    /// One segment of a path.
    Path,
    /// As it is: the client encodes parameters.
    Plain,
    /// Inside a text of a JSON body.
    Json,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cursor => write!(f, "{{cursor}}"),
            Self::Parent { table, at } => write!(f, "{{{table}.{at}}}"),
        }
    }
}

impl Template {
    /// Reads a text; the error is what is wrong with it.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            let brace = if from.starts_with('{') { "{" } else { "}" };
            if let Some(behind) = from.strip_prefix(&brace.repeat(2)) {
                plain.push_str(brace);
                rest = behind;
                continue;
            }
            let Some((name, behind)) = from.strip_prefix('{').and_then(|from| from.split_once('}'))
            else {
                return Err(format!(
                    "`{text}` has a `{brace}` without its other half; write `{brace}{brace}` for a brace"
                ));
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Slot(slot(name.trim(), text)?));
            rest = behind;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// True when its text begins with one of these letters.
    pub(super) fn begins_with<const N: usize>(&self, letters: [char; N]) -> bool {
        matches!(self.0.first(), Some(Part::Text(text)) if text.trim_start().starts_with(letters))
    }

    /// Its placeholders.
    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.0.iter().filter_map(|part| match part {
            Part::Slot(slot) => Some(slot),
            Part::Text(_) => None,
        })
    }

    /// The text with values; `None` when one of them is not there.
    pub(super) fn fill<'v>(
        &self,
        into: Into,
        value: impl Fn(&Slot) -> Option<&'v str>,
    ) -> Option<String> {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Slot(slot) => out.push_str(&written(value(slot)?, into)),
            }
        }
        Some(out)
    }
}

/// True when a segment of a path is `.` or `..`, which clients take for "here" and "up", also encoded.
pub(super) fn has_dot_segment(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    path.split(['/', '\\']).any(|segment| {
        let plain = segment.replace("%2e", ".").replace("%2E", ".");
        plain == "." || plain == ".."
    })
}

fn slot(name: &str, text: &str) -> Result<Slot, String> {
    if name == "cursor" {
        return Ok(Slot::Cursor);
    }
    match name.split_once('.') {
        Some((table, at)) if !table.is_empty() && !at.is_empty() => Ok(Slot::Parent {
            table: table.to_owned(),
            at: at.to_owned(),
        }),
        _ => Err(format!(
            "`{{{name}}}` in `{text}` is not `{{cursor}}` or a column of another table, such as `{{invoices.id}}`"
        )),
    }
}

fn written(value: &str, into: Into) -> String {
    match into {
        Into::Path => utf8_percent_encode(value, SEGMENT).to_string(),
        Into::Plain => value.to_owned(),
        Into::Json => {
            let quoted = serde_json::Value::from(value).to_string();
            let inner = quoted.get(1..quoted.len().saturating_sub(1));
            inner.unwrap_or_default().to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn values_never_change_the_text_around_them() {
        let path = Template::new("invoices/{invoices.id}/lines").unwrap();
        let fill = |value: &'static str| path.fill(Into::Path, |_| Some(value)).unwrap();
        assert_eq!(fill("7"), "invoices/7/lines");
        assert_eq!(fill("../x?y"), "invoices/..%2Fx%3Fy/lines");
        assert!(has_dot_segment(&fill("..")) && has_dot_segment(&fill(".")));
        for up in ["a/%2e%2E", "a/.%2e/b", "..", "a/..?x", "a\\..\\b"] {
            assert!(has_dot_segment(up), "{up}");
        }
        for fine in ["a/..b", "a/...", "a/b.json", "a?x=/../"] {
            assert!(!has_dot_segment(fine), "{fine}");
        }
        assert_eq!(path.fill(Into::Path, |_| None), None);
        let body = Template::new("{{\"since\": \"{cursor}\"}}").unwrap();
        let filled = body.fill(Into::Json, |_| Some("a\"b")).unwrap();
        assert_eq!(filled, "{\"since\": \"a\\\"b\"}");
    }

    #[test]
    fn mistakes_are_named() {
        for wrong in ["a{b", "a}b", "{id}", "{.x}", "{x.}"] {
            assert!(Template::new(wrong).is_err(), "{wrong}");
        }
    }
}
