//! The records of one response.
//!
//! Promise: each record is the text that the server sent, on one line, with the columns of `include`
//! before its own. Where the records are is said by the project or clear from the response; else it is
//! an error, never an empty page. A next page that nobody asked for is an error too.

use std::hash::{DefaultHasher, Hasher as _};

use reqwest::header::{HeaderMap, LINK};

use super::error::{Address, RestError, Result};
use super::path::JsonPath;
use super::raw::Raw;

/// Members that usually hold the URL or the cursor of the next page.
const NEXT: [&str; 9] = [
    "next",
    "next_page_url",
    "next_url",
    "links.next",
    "_links.next.href",
    "paging.next.link",
    "pagination.next",
    "meta.next",
    "\"@odata.nextLink\"",
];

/// The records of a response, and what the response says beside them.
pub(super) struct Page<'b> {
    pub(super) body: Raw<'b>,
    pub(super) records: Vec<Raw<'b>>,
    /// The URL of the header `Link` with `rel="next"`.
    pub(super) link: Option<String>,
}

/// Where records are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Records {
    /// At this path.
    At(JsonPath, String),
    /// The response, or its only array of objects.
    Found,
}

impl<'b> Page<'b> {
    /// Reads a response.
    pub(super) fn read(
        body: &'b [u8],
        headers: &HeaderMap,
        records: &Records,
        address: &Address,
    ) -> Result<Self> {
        let not_json = |why: String| RestError::NotJson {
            request: address.clone(),
            why,
        };
        let text = std::str::from_utf8(body).map_err(|_| not_json("it is not UTF-8".to_owned()))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim().is_empty() {
            return Err(not_json("it is empty".to_owned()));
        }
        let body = Raw::read(text).map_err(not_json)?;
        Ok(Self {
            body,
            records: found(body, records, address)?,
            link: headers
                .get_all(LINK)
                .iter()
                .find_map(|link| next_link(link.to_str().ok()?)),
        })
    }

    /// A number for the records of the page: two pages with the same records have the same.
    pub(super) fn identity(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for record in &self.records {
            hasher.write(record.text().as_bytes());
            hasher.write_u8(b'\n');
        }
        hasher.finish()
    }

    /// Where the response names a next page, and how the project would say so.
    pub(super) fn next_page(&self) -> Option<(String, String)> {
        if self.link.is_some() {
            let proposal = "{ type: link_header }".to_owned();
            return Some(("the header `Link`".to_owned(), proposal));
        }
        let is_url = |text: &String| text.contains("://") || text.starts_with('/');
        let found = NEXT.iter().find(|path| {
            let value = JsonPath::new(path).scalar(self.body);
            value.as_ref().is_some_and(is_url)
        });
        if let Some(path) = found {
            let path = path.trim_matches('"');
            return Some((path.to_owned(), format!("{{ type: next_url, at: {path} }}")));
        }
        let more = [
            "has_more",
            "meta.has_more",
            "has_next_page",
            "pagination.has_more",
        ];
        let more = more.iter().find(|path| {
            let value = JsonPath::new(path).scalar(self.body);
            value.as_deref() == Some("true")
        })?;
        let proposal = format!("{{ type: cursor, at: …, more: {more} }}");
        Some(((*more).to_owned(), proposal))
    }
}

fn found<'b>(body: Raw<'b>, records: &Records, address: &Address) -> Result<Vec<Raw<'b>>> {
    let missing = |path: Option<&String>, arrays| RestError::NoRecords {
        request: address.clone(),
        path: path.cloned(),
        arrays,
    };
    match records {
        Records::At(path, shown) => {
            let at = path
                .find(body)
                .ok_or_else(|| missing(Some(shown), arrays(body)))?;
            match at.text().as_bytes().first() {
                Some(b'[') => Ok(at.items().collect()),
                Some(b'{') => Ok(vec![at]),
                Some(b'n') => Ok(Vec::new()),
                _ => Err(missing(Some(shown), arrays(body))),
            }
        }
        Records::Found if body.is_array() => Ok(body.items().collect()),
        Records::Found => {
            let lists = body
                .members()
                .map(|(_, value)| value)
                .filter(|value| value.is_array());
            let lists: Vec<Raw<'_>> = lists.collect();
            let of_objects = |list: &&Raw<'_>| list.items().next().is_some_and(Raw::is_object);
            let filled: Vec<&Raw<'_>> = lists.iter().filter(of_objects).collect();
            match (filled.as_slice(), lists.as_slice()) {
                ([only], _) => Ok(only.items().collect()),
                ([], [only]) => Ok(only.items().collect()),
                _ => Err(missing(None, arrays(body))),
            }
        }
    }
}

/// The names of the arrays of an object.
fn arrays(body: Raw<'_>) -> Vec<String> {
    let arrays = body.members().filter(|(_, value)| value.is_array());
    arrays.map(|(name, _)| name.into_owned()).collect()
}

/// The target of `<URL>; rel="next"` in a `Link` header.
fn next_link(header: &str) -> Option<String> {
    let mut rest = header;
    loop {
        let (_, from) = rest.split_once('<')?;
        let (url, behind) = from.split_once('>')?;
        let parameters = behind
            .split_once(",")
            .map_or(behind, |(parameters, _)| parameters);
        let is_next = parameters.split(';').any(|parameter| {
            let Some((name, value)) = parameter.split_once('=') else {
                return false;
            };
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel") && value.split(' ').any(|word| word == "next")
        });
        if is_next {
            return Some(url.to_owned());
        }
        rest = behind;
    }
}

/// A record as one line, with other columns before its own. `None` when it has one of them already.
pub(super) fn line(record: Raw<'_>, include: &[(String, String)]) -> Option<Vec<u8>> {
    let text = record.text().as_bytes();
    let mut line = Vec::with_capacity(text.len() + 1);
    let mut rest = text;
    if let (false, Some(inner)) = (include.is_empty(), text.strip_prefix(b"{")) {
        let has = |name: &str| record.members().any(|(own, _)| own == name);
        if include.iter().any(|(name, _)| has(name)) {
            return None;
        }
        for (name, value) in include {
            line.push(if line.is_empty() { b'{' } else { b',' });
            line.extend_from_slice(
                serde_json::Value::from(name.as_str())
                    .to_string()
                    .as_bytes(),
            );
            line.push(b':');
            line.extend_from_slice(value.as_bytes());
        }
        if record.members().next().is_some() {
            line.push(b',');
        }
        rest = inner;
    }
    // Inside a text no line ends as it is: only between values.
    line.extend(rest.iter().map(|&byte| {
        if matches!(byte, b'\n' | b'\r') {
            b' '
        } else {
            byte
        }
    }));
    line.push(b'\n');
    Some(line)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn address() -> Address {
        Address::new("GET", &"http://a.example/x".parse().unwrap())
    }

    fn texts(body: &str, at: Option<&str>) -> Result<Vec<String>> {
        let records = match at {
            Some(path) => Records::At(JsonPath::new(path), path.to_owned()),
            None => Records::Found,
        };
        let page = Page::read(body.as_bytes(), &HeaderMap::new(), &records, &address())?;
        Ok(page
            .records
            .iter()
            .map(|record| record.text().to_owned())
            .collect())
    }

    #[test]
    fn records_are_where_the_project_says_or_where_they_can_only_be() {
        let two = ["{\"a\":1}", "{\"a\":2.50}"];
        assert_eq!(texts("[{\"a\":1},{\"a\":2.50}]", None).unwrap(), two);
        assert_eq!(
            texts(
                "\u{feff}{\"n\":2,\"data\":[{\"a\":1}, {\"a\":2.50}],\"tags\":[\"x\"]}",
                None
            )
            .unwrap(),
            two
        );
        assert_eq!(
            texts("{\"d\":{\"i\":[{\"a\":1},{\"a\":2.50}]}}", Some("d.i")).unwrap(),
            two
        );
        assert!(texts("{\"data\":[]}", None).unwrap().is_empty());
        assert!(texts("{\"data\":null}", Some("data")).unwrap().is_empty());
        assert_eq!(texts("{\"a\":1}", Some("$")).unwrap(), ["{\"a\":1}"]);
        for unclear in [
            "{\"a\":[{}],\"b\":[{}]}",
            "{\"a\":[],\"b\":[]}",
            "{\"error\":\"x\"}",
            "3",
        ] {
            assert!(
                matches!(texts(unclear, None), Err(RestError::NoRecords { .. })),
                "{unclear}"
            );
        }
        for no_json in ["", "<html>", "{\"a\":", "[1] 2"] {
            assert!(
                matches!(texts(no_json, None), Err(RestError::NotJson { .. })),
                "{no_json}"
            );
        }
    }

    #[test]
    fn a_record_is_one_line_with_its_columns() {
        let with = [("id\"x".to_owned(), "7.0".to_owned())];
        let shown = |text: &str, with: &[(String, String)]| {
            line(Raw::read(text).unwrap(), with).map(|line| String::from_utf8(line).unwrap())
        };
        assert_eq!(
            shown("{\n \"a\": \"x\\ny\"\r\n}", &[]).unwrap(),
            "{  \"a\": \"x\\ny\"  }\n"
        );
        assert_eq!(
            shown("{\"a\":1}", &with).unwrap(),
            "{\"id\\\"x\":7.0,\"a\":1}\n"
        );
        assert_eq!(shown("{}", &with).unwrap(), "{\"id\\\"x\":7.0}\n");
        assert_eq!(shown("{\"id\\\"x\":1}", &with), None);
    }

    #[test]
    fn links_name_the_next_page() {
        let github = "<https://a/x?page=1>; rel=\"prev\", <https://a/x?page=3>; rel=\"next\", <https://a/x?page=9>; rel=\"last\"";
        assert_eq!(next_link(github).as_deref(), Some("https://a/x?page=3"));
        assert_eq!(
            next_link("<https://a/x,y>; title=\"a\"; rel=next").as_deref(),
            Some("https://a/x,y")
        );
        assert_eq!(next_link("<https://a/x>; rel=\"prev\""), None);
        assert_eq!(next_link("nonsense"), None);
    }
}
