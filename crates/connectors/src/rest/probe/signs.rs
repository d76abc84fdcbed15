//! What the first page says of others: links, cursors, flags and counts, with their paths.
//!
//! Promise: paths from the root of the answer, as options name them. It asks nobody. Read next:
//! `evidence.rs`, which knows the usual names; `pages.rs`, which tries what is found.

use serde_json::Value;

use super::asker::{Asked, Options};
use crate::rest::evidence::{self, Sign};
use crate::rest::page::next_link_of;
use crate::rest::path::JsonPath;
use crate::rest::raw::Raw;

/// Levels of maps in which unusual names are looked for.
const DEEPEST: usize = 3;

/// What a page says of others.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// The header `Link` names the next page.
    pub(super) has_link: bool,
    /// Where the URL of the next page is.
    pub(super) url: Option<JsonPath>,
    /// Where its cursor is, and the cursor.
    pub(super) cursor: Option<(JsonPath, Value)>,
    /// Where a flag says whether there are more, and what it says.
    pub(super) more: Option<(JsonPath, bool)>,
    /// Where the number of pages is.
    pub(super) pages: Option<JsonPath>,
    /// Where the number of all records is, and the number.
    pub(super) total: Option<(JsonPath, u64)>,
}

/// The option `records`; none where the answer is the list.
pub(super) fn records_path(options: &Options) -> Option<JsonPath> {
    let text = options.get("records").and_then(Value::as_str)?;
    Some(JsonPath::new(text))
}

fn below(prefix: &JsonPath, path: &JsonPath) -> JsonPath {
    let keys = path.keys().iter();
    keys.fold(prefix.clone(), |path, key| path.child(key))
}

impl Signs {
    /// What a page says.
    pub(super) fn of(asked: &Asked, records: Option<&JsonPath>) -> Self {
        let mut signs = Self {
            has_link: next_link_of(&asked.headers).is_some(),
            ..Self::default()
        };
        let text = std::str::from_utf8(&asked.body).unwrap_or_default();
        let Ok(body) = Raw::read(text) else {
            return signs;
        };
        // An answer that is one record says nothing beside it.
        let Some(records) = records.filter(|path| !path.keys().is_empty()) else {
            return signs;
        };
        for (depth, at) in records.way(body).into_iter().enumerate() {
            let keys = records.keys().iter().take(depth);
            let prefix = keys.fold(JsonPath::default(), |path, key| path.child(key));
            signs.add(&prefix, at, asked.records.len() as u64);
        }
        if signs.url.is_none() && signs.cursor.is_none() {
            signs.unusual(body, &JsonPath::default(), records);
        }
        signs
    }

    /// What one of the maps around the records says, by usual names.
    fn add(&mut self, prefix: &JsonPath, at: Raw<'_>, records: u64) {
        let path = |text: &str| JsonPath::new(text);
        match evidence::sign(at) {
            Some(Sign::Url(text)) if self.url.is_none() => {
                self.url = Some(below(prefix, &path(text)));
            }
            Some(Sign::Cursor(text)) if self.cursor.is_none() => {
                let value = path(text).find(at);
                let value = value.and_then(|value| serde_json::from_str(value.text()).ok());
                self.cursor = value.map(|value| (below(prefix, &path(text)), value));
            }
            _ => {}
        }
        if let (None, Some((text, more))) = (&self.more, evidence::flag(at)) {
            self.more = Some((below(prefix, &path(text)), more));
        }
        let count = evidence::count_at(at).filter(|(_, count)| *count >= records);
        if let (None, Some((text, count))) = (&self.total, count) {
            self.total = Some((below(prefix, &path(text)), count));
        }
        let total = self.total.as_ref().map(|(_, total)| *total);
        let pages = evidence::pages_at(at).filter(|(_, pages)| {
            // A number that the counts contradict is of something else.
            total.is_none_or(|total| records > 0 && total.div_ceil(records) == *pages)
        });
        if let (None, Some((text, _))) = (&self.pages, pages) {
            self.pages = Some(below(prefix, &path(text)));
        }
    }

    /// Members with `next` in their names.
    fn unusual(&mut self, at: Raw<'_>, prefix: &JsonPath, records: &JsonPath) {
        for (name, value) in at.members() {
            let path = prefix.child(&name);
            if path == *records {
                continue;
            }
            if value.is_object() && path.keys().len() < DEEPEST {
                self.unusual(value, &path, records);
                continue;
            }
            let is_next = name.to_ascii_lowercase().contains("next")
                || prefix.keys().last().is_some_and(|key| key == "next");
            let Some(text) = value.scalar().filter(|_| is_next) else {
                continue;
            };
            if evidence::is_url(&text) {
                self.url.get_or_insert(path);
            } else if !matches!(text.as_str(), "true" | "false" | "0") && self.cursor.is_none() {
                let value = serde_json::from_str(value.text()).ok();
                self.cursor = value.map(|value| (path, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use reqwest::header::HeaderMap;

    use super::*;

    fn signs(body: &str, records: &str) -> Signs {
        let path = JsonPath::new(records);
        let at = path.find(Raw::read(body).unwrap()).unwrap();
        let asked = Asked {
            body: body.as_bytes().to_vec(),
            headers: HeaderMap::new(),
            records: at.items().map(|one| one.text().to_owned()).collect(),
        };
        Signs::of(&asked, Some(&path))
    }

    #[test]
    fn paths_begin_at_the_root_of_the_answer() {
        let found = signs(
            r#"{"result":{"items":[{}],"next":"https://a/x","total":9,"pages":9,"has_more":true}}"#,
            "result.items",
        );
        let shown = |path: Option<JsonPath>| path.unwrap().to_string();
        assert_eq!(shown(found.url), "result.next");
        assert_eq!(shown(found.total.map(|(path, _)| path)), "result.total");
        assert_eq!(shown(found.pages), "result.pages");
        assert_eq!(found.more, Some((JsonPath::new("result.has_more"), true)));
    }

    #[test]
    fn other_names_are_seen_and_other_numbers_are_not() {
        let found = signs(r#"{"d":[{}],"nav":{"nextHref":"/x?p=2"}}"#, "d");
        assert_eq!(found.url.unwrap().to_string(), "nav.nextHref");
        let found = signs(r#"{"d":[{}],"page":{"nextKey":"k7"}}"#, "d");
        assert_eq!(found.cursor.unwrap().0.to_string(), "page.nextKey");
        // Nine pages of two records are not nine records.
        let found = signs(r#"{"d":[{},{}],"pages":9,"total":9}"#, "d");
        assert!(found.pages.is_none());
    }
}
