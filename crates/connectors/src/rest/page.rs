//! The records of one response.
//!
//! Promise: each record is the text that the server sent, on one line, with the columns of `include`
//! before its own. Where the records are is said by the project or clear from the first response; else it
//! is an error, never an empty page. A next page that nobody asked for is an error too. Read next:
//! `evidence.rs` for what shows that there are more pages.

use std::hash::{DefaultHasher, Hasher as _};

use reqwest::header::{HeaderMap, LINK};

use super::error::{Address, RestError, Result};
use super::evidence;
use super::path::JsonPath;
use super::raw::Raw;

/// The records of a response, and what the response says beside them.
pub(super) struct Page<'b> {
    pub(super) body: Raw<'b>,
    pub(super) records: Vec<Raw<'b>>,
    /// Where they were, when the project does not say it.
    pub(super) found_at: Option<Records>,
    /// The response, and what is around the records in it: there it says whether there are more.
    around: Vec<Raw<'b>>,
    /// The URL of the header `Link` with `rel="next"`.
    pub(super) link: Option<String>,
    /// The server answered that there is nothing (204).
    pub(super) is_nothing: bool,
}

/// Where records are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Records {
    /// At this path: an array, or one record.
    At {
        path: JsonPath,
        /// Null there means that there are none.
        may_be_null: bool,
    },
    /// At this path, where the first response had an array.
    Array(JsonPath),
    /// The response, or its only array that may hold records.
    Found,
}

impl<'b> Page<'b> {
    /// An answer that there is nothing.
    pub(super) fn nothing() -> Self {
        Self {
            body: Raw::NULL,
            records: Vec::new(),
            found_at: None,
            around: Vec::new(),
            link: None,
            is_nothing: true,
        }
    }

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
        let (records, found_at, around) = match records {
            Records::Found => {
                let path = choose(body, address)?;
                let records = array(body, &path, address)?;
                (records, Some(Records::Array(path)), vec![body])
            }
            Records::Array(path) => (array(body, path, address)?, None, path.way(body)),
            Records::At { path, may_be_null } => {
                let records = said(body, path, *may_be_null, address)?;
                // A response that is one record says nothing beside it.
                let is_record = body.is_object() && *path == JsonPath::default();
                let around = if is_record {
                    Vec::new()
                } else {
                    path.way(body)
                };
                (records, None, around)
            }
        };
        Ok(Self {
            body,
            records,
            found_at,
            around,
            link: next_link_of(headers),
            is_nothing: false,
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
        self.around.iter().find_map(|at| evidence::next_page(*at))
    }

    /// The same, also where the response only counts more records than it has.
    pub(super) fn more_than_this(&self) -> Option<(String, String)> {
        let next = self.next_page();
        let count = self.records.len() as u64;
        let more = |at: &Raw<'_>| evidence::more_records(*at, count);
        next.or_else(|| self.around.iter().find_map(more))
    }

    /// How many records there are, as the response says it, and where it does.
    pub(super) fn counted(&self) -> Option<(String, u64)> {
        let counts = self.around.iter().filter_map(|at| evidence::count(*at));
        counts.max_by_key(|(_, count)| *count)
    }
}

/// The records at a path that the project names.
fn said<'b>(
    body: Raw<'b>,
    path: &JsonPath,
    may_be_null: bool,
    address: &Address,
) -> Result<Vec<Raw<'b>>> {
    let missing = || missing(body, Some(path), address);
    let at = path.find(body).ok_or_else(missing)?;
    match at.text().as_bytes().first() {
        Some(b'[') => Ok(at.items().collect()),
        Some(b'{') => Ok(vec![at]),
        Some(b'n') if may_be_null => Ok(Vec::new()),
        Some(b'n') => Err(RestError::NullRecords {
            request: address.clone(),
            path: path.to_string(),
        }),
        _ => Err(missing()),
    }
}

/// The items of the array at a path.
fn array<'b>(body: Raw<'b>, path: &JsonPath, address: &Address) -> Result<Vec<Raw<'b>>> {
    match path.find(body).filter(|at| at.is_array()) {
        Some(at) => Ok(at.items().collect()),
        None => Err(missing(body, Some(path), address)),
    }
}

/// The path of the response's records: itself, or its only array that may hold records. An empty array
/// may; one of texts or numbers does not; an only one of errors is not taken for records.
fn choose(body: Raw<'_>, address: &Address) -> Result<JsonPath> {
    if body.is_array() {
        return Ok(JsonPath::default());
    }
    let may_hold = |list: &Raw<'_>| list.is_array() && list.items().all(Raw::is_object);
    let mut lists = body.members().filter(|(_, value)| may_hold(value));
    match (lists.next(), lists.next()) {
        (Some((name, _)), None) if !names_trouble(&name) => Ok(JsonPath::key(&name)),
        _ => Err(missing(body, None, address)),
    }
}

/// True for an array that tells what went wrong: alone it does not say that there are no records.
fn names_trouble(name: &str) -> bool {
    let names = ["error", "errors", "warnings", "messages"];
    names.iter().any(|other| name.eq_ignore_ascii_case(other))
}

fn missing(body: Raw<'_>, path: Option<&JsonPath>, address: &Address) -> RestError {
    RestError::NoRecords {
        request: address.clone(),
        path: path.map(JsonPath::to_string),
        arrays: arrays(body),
    }
}

/// The names of the arrays of an object.
fn arrays(body: Raw<'_>) -> Vec<String> {
    let arrays = body.members().filter(|(_, value)| value.is_array());
    arrays.map(|(name, _)| name.into_owned()).collect()
}

/// The URL of the header `Link` with `rel="next"`.
pub(super) fn next_link_of(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK);
    links.iter().find_map(|link| next_link(link.to_str().ok()?))
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
            Some(path) => Records::At {
                path: JsonPath::new(path),
                may_be_null: false,
            },
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
        // Whoever names them has them.
        assert!(texts("{\"errors\":[]}", Some("errors")).unwrap().is_empty());
        assert!(matches!(
            texts("{\"data\":null}", Some("data")),
            Err(RestError::NullRecords { .. })
        ));
        assert_eq!(texts("{\"a\":1}", Some("$")).unwrap(), ["{\"a\":1}"]);
        for unclear in [
            "{\"a\":[{}],\"b\":[{}]}",
            "{\"a\":[],\"b\":[]}",
            "{\"data\":[],\"warnings\":[{}]}",
            "{\"error\":\"x\"}",
            "{\"errors\":[{\"code\":7}]}",
            "{\"errors\":[]}",
            "{\"Messages\":[{}],\"data\":null}",
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
