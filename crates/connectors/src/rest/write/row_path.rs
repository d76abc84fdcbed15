//! The path of a request for one row: `contacts/{id}`.
//!
//! Promise: a value is one segment of the path, whatever it holds. A row whose value is NULL, empty or a
//! segment of dots has no path. `{{` and `}}` are braces. It does not know what is sent there.

use percent_encoding::utf8_percent_encode;

use super::super::template::{SEGMENT, has_dot_segment};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(String),
}

/// A path with columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RowPath(Vec<Part>);

impl RowPath {
    /// Reads a path; the error is what is wrong with it.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let text = text.trim_start_matches('/');
        if has_dot_segment(text) {
            return Err(format!("`{text}` has a `.` or `..` between slashes"));
        }
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(behind) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                plain.push_str(from.get(..1).unwrap_or_default());
                rest = behind;
                continue;
            }
            let column = from.strip_prefix('{').and_then(|from| from.split_once('}'));
            let Some((column, behind)) = column.filter(|(name, _)| !name.trim().is_empty()) else {
                return Err(format!(
                    "`{text}` has a brace that is not around a column; write it twice for a brace"
                ));
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Column(column.trim().to_owned()));
            rest = behind;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// Its columns. A request without one may have several rows.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Column(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// True if each row has a path of its own.
    pub(super) fn is_of_one_row(&self) -> bool {
        self.columns().next().is_some()
    }

    /// The path of a row; the error is the column that has no value for it.
    pub(super) fn of(&self, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
        let mut path = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => path.push_str(text),
                Part::Column(name) => {
                    let value = value(name).filter(|value| !value.is_empty());
                    let value = value.ok_or_else(|| name.clone())?;
                    path.extend(utf8_percent_encode(&value, SEGMENT));
                }
            }
        }
        match has_dot_segment(&path) {
            true => Err(self.columns().next().unwrap_or_default().to_owned()),
            false => Ok(path),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_value_is_one_segment_or_there_is_no_path() {
        let path = RowPath::new("/a/{id}/{{x}}?b={c}").unwrap();
        assert_eq!(path.columns().collect::<Vec<_>>(), ["id", "c"]);
        let of = |id: Option<&str>| {
            let id = id.map(str::to_owned);
            path.of(|name| match name {
                "id" => id.clone(),
                _ => Some("1&d=2".to_owned()),
            })
        };
        assert_eq!(
            of(Some("../x y?é")).unwrap(),
            "a/..%2Fx%20y%3F%C3%A9/{x}?b=1%26d%3D2"
        );
        for none in [None, Some(""), Some("."), Some("..")] {
            assert_eq!(of(none), Err("id".to_owned()), "{none:?}");
        }
        assert!(!RowPath::new("contacts").unwrap().is_of_one_row());
        for wrong in ["a/{", "a/}", "a/{}", "../{id}", "{ }"] {
            assert!(RowPath::new(wrong).is_err(), "{wrong}");
        }
    }
}
