//! What shows in a response that there are more pages, whoever asked.
//!
//! Promise: only signs that mean nothing else: a URL or cursor of a next page that is not empty, a flag
//! that is true, a count above the records that are there. Each comes with the `paginate` that would read
//! on. Read next: `paginate.rs`.

use std::borrow::Cow;

use super::path::JsonPath;
use super::raw::Raw;

/// Members that usually hold the URL of the next page.
const URLS: [&str; 11] = [
    "next",
    "next_page",
    "next_page_url",
    "next_url",
    "links.next",
    "links.next.href",
    "_links.next.href",
    "paging.next.link",
    "pagination.next",
    "meta.next",
    "\"@odata.nextLink\"",
];

/// Members that usually hold the cursor of the next page.
const CURSORS: [&str; 14] = [
    "next_cursor",
    "nextCursor",
    "next_page_token",
    "nextPageToken",
    "next_token",
    "nextToken",
    "meta.next_cursor",
    "meta.next_token",
    "pagination.next_cursor",
    "paging.next.after",
    "next_page",
    "meta.next_page",
    "pagination.next_page",
    "response_metadata.next_cursor",
];

/// Flags that are true before the last page.
const FLAGS: [&str; 8] = [
    "has_more",
    "hasMore",
    "has_next_page",
    "hasNextPage",
    "meta.has_more",
    "pagination.has_more",
    "page_info.has_next_page",
    "pageInfo.hasNextPage",
];

/// Counts of all records.
const COUNTS: [&str; 10] = [
    "total",
    "total_count",
    "totalCount",
    "total_results",
    "totalResults",
    "meta.total",
    "meta.total_count",
    "pagination.total",
    "paging.total",
    "page.totalElements",
];

/// Counts of all pages.
const PAGES: [&str; 12] = [
    "pages",
    "total_pages",
    "totalPages",
    "page_count",
    "pageCount",
    "last_page",
    "meta.pages",
    "meta.total_pages",
    "meta.last_page",
    "pagination.pages",
    "pagination.total_pages",
    "page.totalPages",
];

/// What names a next page, with the path of what names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Url(&'static str),
    Cursor(&'static str),
    /// A flag that is true.
    Flag(&'static str),
}

/// The members of an object, found once for many paths: each page is looked at.
struct Members<'b>(Vec<(Cow<'b, str>, Raw<'b>)>);

impl<'b> Members<'b> {
    fn of(body: Raw<'b>) -> Self {
        Self(body.members().collect())
    }

    /// The scalar at a path, as `JsonPath` finds it.
    fn scalar(&self, path: &str) -> Option<String> {
        let (key, rest) = match path.starts_with('"') {
            true => (path.trim_matches('"'), ""),
            false => path.split_once('.').unwrap_or((path, "")),
        };
        let value = self.0.iter().rev().find(|(name, _)| name == key)?.1;
        JsonPath::new(rest).scalar(value)
    }

    /// The first of the paths whose value is a sign.
    fn found(
        &self,
        paths: &[&'static str],
        is_sign: impl Fn(&str) -> bool,
    ) -> Option<&'static str> {
        let has = |path: &&&'static str| self.scalar(path).is_some_and(|value| is_sign(&value));
        paths.iter().find(has).copied()
    }
}

/// True for a text that is the address of a page.
pub(super) fn is_url(text: &str) -> bool {
    text.contains("://") || text.starts_with('/')
}

/// What names a next page.
pub(super) fn sign(body: Raw<'_>) -> Option<Sign> {
    let members = Members::of(body);
    if let Some(path) = members.found(&URLS, is_url) {
        return Some(Sign::Url(path));
    }
    if let Some(path) = members.found(&CURSORS, |text| !matches!(text, "false" | "0")) {
        return Some(Sign::Cursor(path));
    }
    members.found(&FLAGS, |text| text == "true").map(Sign::Flag)
}

/// The flag that says whether there are more, and what it says.
pub(super) fn flag(body: Raw<'_>) -> Option<(&'static str, bool)> {
    let members = Members::of(body);
    let path = members.found(&FLAGS, |text| matches!(text, "true" | "false"))?;
    Some((path, members.scalar(path).as_deref() == Some("true")))
}

/// Where the response names a next page, and how the project would say so.
pub(super) fn next_page(body: Raw<'_>) -> Option<(String, String)> {
    let (path, proposal) = match sign(body)? {
        Sign::Url(path) => {
            let at = match path.starts_with('"') {
                true => format!("'{path}'"),
                false => path.to_owned(),
            };
            (path, format!("{{ type: next_url, at: {at} }}"))
        }
        Sign::Cursor(path) => (path, format!("{{ type: cursor, at: {path}, param: … }}")),
        Sign::Flag(path) => (path, format!("{{ type: …, more: {path} }}")),
    };
    Some((format!("`{}`", path.trim_matches('"')), proposal))
}

/// Where the response counts more records than it has.
pub(super) fn more_records(body: Raw<'_>, records: u64) -> Option<(String, String)> {
    let (at, _) = count(body).filter(|(_, count)| *count > records)?;
    Some((at, "{ type: … }".to_owned()))
}

/// How many records there are, as the response says it: the highest count, and where it is.
pub(super) fn count(body: Raw<'_>) -> Option<(String, u64)> {
    let (path, count) = count_at(body)?;
    Some((format!("`{path}`"), count))
}

/// The same, with the path alone.
pub(super) fn count_at(body: Raw<'_>) -> Option<(&'static str, u64)> {
    number_at(body, &COUNTS)
}

/// How many pages there are, as the response says it.
pub(super) fn pages_at(body: Raw<'_>) -> Option<(&'static str, u64)> {
    number_at(body, &PAGES)
}

/// The highest of the numbers at these paths.
fn number_at(body: Raw<'_>, paths: &[&'static str]) -> Option<(&'static str, u64)> {
    let members = Members::of(body);
    let numbers = paths.iter().filter_map(|path| {
        let number = members.scalar(path)?.parse().ok()?;
        Some((*path, number))
    });
    numbers.max_by_key(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn signs_of_more_pages_are_seen_and_others_are_not() {
        let seen = |text: &str| next_page(Raw::read(text).unwrap());
        for more in [
            r#"{"next":"/v1/x?page=2"}"#,
            r#"{"@odata.nextLink":"https://a/x"}"#,
            r#"{"nextPageToken":"abc"}"#,
            r#"{"meta":{"next_cursor":7}}"#,
            r#"{"has_more":true}"#,
        ] {
            assert!(seen(more).is_some(), "{more}");
        }
        for nothing in [
            r#"{"next":null}"#,
            r#"{"next":""}"#,
            r#"{"next":2}"#,
            r#"{"paging":{"cursors":{"after":"x"}}}"#,
            r#"{"nextPageToken":""}"#,
            r#"{"has_more":false}"#,
            "[]",
        ] {
            assert_eq!(seen(nothing), None, "{nothing}");
        }
        let more = |text: &str| more_records(Raw::read(text).unwrap(), 2).is_some();
        assert!(more(r#"{"total":3}"#) && more(r#"{"meta":{"total":"9"}}"#));
        assert!(!more(r#"{"total":2}"#) && !more(r#"{"total":null}"#));
        let highest = count(Raw::read(r#"{"total":2,"page":{"totalElements":"7"}}"#).unwrap());
        assert_eq!(highest, Some(("`page.totalElements`".to_owned(), 7)));
    }
}
