//! What shows in a response that there are more pages, whoever asked.
//!
//! Promise: only signs that mean nothing else: a URL or cursor of a next page that is not empty, a flag
//! that is true, a count above the records that are there. Each comes with the `paginate` that would read
//! on. Read next: `paginate.rs`.

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

fn found<'p>(
    paths: &'p [&'p str],
    body: Raw<'_>,
    is_sign: impl Fn(&str) -> bool,
) -> Option<&'p str> {
    let has = |path: &&&str| {
        let value = JsonPath::new(path).scalar(body);
        value.is_some_and(|value| is_sign(&value))
    };
    paths.iter().find(has).copied()
}

/// Where the response names a next page, and how the project would say so.
pub(super) fn next_page(body: Raw<'_>) -> Option<(String, String)> {
    let is_url = |text: &str| text.contains("://") || text.starts_with('/');
    if let Some(path) = found(&URLS, body, is_url) {
        let at = match path.starts_with('"') {
            true => format!("'{path}'"),
            false => path.to_owned(),
        };
        let path = path.trim_matches('"');
        return Some((
            format!("`{path}`"),
            format!("{{ type: next_url, at: {at} }}"),
        ));
    }
    if let Some(path) = found(&CURSORS, body, |text| !matches!(text, "false" | "0")) {
        return Some((
            format!("`{path}`"),
            format!("{{ type: cursor, at: {path}, param: … }}"),
        ));
    }
    let flag = found(&FLAGS, body, |text| text == "true")?;
    Some((format!("`{flag}`"), format!("{{ type: …, more: {flag} }}")))
}

/// Where the response counts more records than it has.
pub(super) fn more_records(body: Raw<'_>, records: u64) -> Option<(String, String)> {
    let is_more = |text: &str| text.parse().is_ok_and(|total: u64| total > records);
    let path = found(&COUNTS, body, is_more)?;
    Some((format!("`{path}`"), "{ type: … }".to_owned()))
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
    }
}
