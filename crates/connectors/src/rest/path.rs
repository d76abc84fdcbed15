//! Where a value is inside a JSON text: `data.items`, `links.0.href`.
//!
//! Promise: the text of the value as the server wrote it; numbers keep every digit. A path that leads
//! nowhere gives `None`; it is the caller's to say whether that is an error.

use super::raw::Raw;

/// The keys that lead to a value; none for the whole text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct JsonPath(Vec<String>);

impl JsonPath {
    /// Keys joined by dots; `$` or nothing means the whole text. A key in quotes may hold dots:
    /// `"@odata.nextLink"`.
    pub(super) fn new(text: &str) -> Self {
        let text = text.trim();
        let text = text.strip_prefix("$.").unwrap_or(text);
        if text.is_empty() || text == "$" {
            return Self::default();
        }
        let mut keys = vec![String::new()];
        let mut is_quoted = false;
        for letter in text.chars() {
            match letter {
                '"' => is_quoted = !is_quoted,
                '.' if !is_quoted => keys.push(String::new()),
                _ => {
                    if let Some(key) = keys.last_mut() {
                        key.push(letter);
                    }
                }
            }
        }
        Self(keys)
    }

    /// One member by its name, whatever letters it has.
    pub(super) fn key(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    /// The value at the path.
    pub(super) fn find<'j>(&self, json: Raw<'j>) -> Option<Raw<'j>> {
        self.0.iter().try_fold(json, |at, key| at.member(key))
    }

    /// The scalar at the path, as `Raw::scalar` says.
    pub(super) fn scalar(&self, json: Raw<'_>) -> Option<String> {
        self.find(json)?.scalar()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn paths_find_values_and_keep_their_text() {
        let body = Raw::read(
            r#"{"a":{"b":[{"c":1.10},{"c":"x\ny"}]},"@odata.nextLink":"u","n":null,"e":""}"#,
        )
        .unwrap();
        let at = |path: &str| JsonPath::new(path).scalar(body);
        assert_eq!(at("a.b.0.c").as_deref(), Some("1.10"));
        assert_eq!(at("$.a.b.1.c").as_deref(), Some("x\ny"));
        assert_eq!(at("\"@odata.nextLink\"").as_deref(), Some("u"));
        for nothing in ["n", "e", "a", "a.b", "zz", "a.b.7.c", "a.b.0.c.d"] {
            assert_eq!(at(nothing), None, "{nothing}");
        }
        assert_eq!(JsonPath::new("$").find(body), Some(body));
    }
}
