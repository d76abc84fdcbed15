//! A JSON value as the text that it is: its members and items, without a tree.
//!
//! Promise: values keep the server's text, each digit of it. The whole text is checked once, in `Raw::read`;
//! what is inside it is then cut by its brackets and quotes alone. Read next: `path.rs`.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// A valid JSON value, without blanks around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raw<'j>(&'j str);

impl<'j> Raw<'j> {
    /// Null.
    pub(super) const NULL: Raw<'static> = Raw("null");

    /// Checks a text; the error is where it is wrong.
    pub(super) fn read(text: &'j str) -> Result<Self, String> {
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Ok(Self(text.trim())),
            Err(error) => Err(format!("line {}, column {}", error.line(), error.column())),
        }
    }

    /// The text.
    pub(super) fn text(self) -> &'j str {
        self.0
    }

    pub(super) fn is_null(self) -> bool {
        self.0 == "null"
    }

    pub(super) fn is_array(self) -> bool {
        self.0.starts_with('[')
    }

    pub(super) fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    /// The items of an array; none of anything else.
    pub(super) fn items(self) -> impl Iterator<Item = Raw<'j>> {
        let inner = if self.is_array() { self.inner() } else { "" };
        parts(inner).map(|part| Raw(part.trim()))
    }

    /// The members of an object, in order; none of anything else.
    pub(super) fn members(self) -> impl Iterator<Item = (Cow<'j, str>, Raw<'j>)> {
        let inner = if self.is_object() { self.inner() } else { "" };
        parts(inner).filter_map(|part| {
            let part = part.trim_start();
            let end = quoted(part);
            let (key, rest) = part.split_at_checked(end)?;
            let value = rest.trim_start().strip_prefix(':')?;
            Some((unquoted(key)?, Raw(value.trim())))
        })
    }

    /// A member of an object, or an item of an array by its number.
    pub(super) fn member(self, key: &str) -> Option<Raw<'j>> {
        if self.is_array() {
            return self.items().nth(key.parse().ok()?);
        }
        // The last one of several, as JSON libraries take it.
        self.members()
            .filter(|(name, _)| name == key)
            .last()
            .map(|(_, value)| value)
    }

    /// A scalar as a request writes it: a text without its quotes, a number as it is written. `None` for
    /// null, an empty text, and what is no scalar.
    pub(super) fn scalar(self) -> Option<String> {
        match self.0.as_bytes().first()? {
            b'"' => unquoted(self.0)
                .filter(|text| !text.is_empty())
                .map(Cow::into_owned),
            b'{' | b'[' | b'n' => None,
            _ => Some(self.0.to_owned()),
        }
    }

    fn inner(self) -> &'j str {
        self.0.get(1..self.0.len() - 1).unwrap_or_default()
    }
}

/// The bytes of a text in quotes, with them.
fn quoted(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn unquoted(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    match inner.contains('\\') {
        false => Some(Cow::Borrowed(inner)),
        true => serde_json::from_str::<String>(text).ok().map(Cow::Owned),
    }
}

/// What is between the commas of one level.
fn parts(inner: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(inner).filter(|inner| !inner.trim().is_empty());
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if is_text => is_escaped = true,
                b'"' => is_text = !is_text,
                _ if is_text => {}
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                b',' if depth == 0 => {
                    rest = text.get(at + 1..);
                    return text.get(..at);
                }
                _ => {}
            }
        }
        rest = None;
        Some(text)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn values_are_cut_by_their_brackets() {
        let text =
            " { \"a,\\\"b\" : [1.10, \"],}\\\\\", {\"x\":[]}] , \"n\":null,\"a\":1 ,\"a\": 2 } ";
        let raw = Raw::read(text).unwrap();
        let members: Vec<_> = raw.members().collect();
        assert_eq!(members.len(), 4);
        assert_eq!(members[0].0, "a,\"b");
        let items: Vec<&str> = members[0].1.items().map(Raw::text).collect();
        assert_eq!(items, ["1.10", "\"],}\\\\\"", "{\"x\":[]}"]);
        assert_eq!(raw.member("a").unwrap().text(), "2");
        assert_eq!(raw.member("n").unwrap().scalar(), None);
        assert_eq!(Raw::read("[]").unwrap().items().count(), 0);
        assert_eq!(Raw::read("{ }").unwrap().members().count(), 0);
        assert_eq!(Raw::read("\"a\\u00e9\"").unwrap().scalar().unwrap(), "aé");
        for wrong in ["", "{", "[1,]", "{\"a\"}", "1 2"] {
            assert!(Raw::read(wrong).is_err(), "{wrong}");
        }
    }
}
