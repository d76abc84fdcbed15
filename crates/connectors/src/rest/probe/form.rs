//! How an answer is written: JSON, lines of JSON, CSV or XML, packed or not.
//!
//! Promise: the form that is proposed has read this answer. It asks nobody. Read next: `records.rs`.

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Map, Value, json};

use crate::rest::body::Converted;
use crate::rest::raw::Raw;
use crate::rest::response_options;

/// An answer that could be read.
pub(super) struct Formed {
    /// The option `response`; none for JSON.
    pub(super) option: Option<Value>,
    /// The answer as JSON.
    pub(super) json: Vec<u8>,
    /// Its records stand one behind the other, so the table has no `records`.
    pub(super) is_rows: bool,
}

/// How an answer is packed, as its first bytes say.
fn packed(body: &[u8]) -> Option<&'static str> {
    match body {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [b'P', b'K', 3, 4, ..] => Some("zip"),
        _ => None,
    }
}

/// The answer by this option.
fn read(option: &Value, body: &[u8], headers: &HeaderMap, most: usize) -> Option<Converted> {
    // A path that leads nowhere: where the records of XML are is not known yet.
    let records = (option.get("type") == Some(&json!("xml"))).then_some("-");
    let form = response_options::read(Some(option), records).ok()?;
    form.json(body.to_vec(), headers, most).ok()
}

/// The forms that may be, the most particular first.
fn forms(unpack: Option<&str>) -> Vec<Value> {
    let kinds = ["json", "jsonl", "xml"].map(|word| json!({ "type": word }));
    let delimiters = [",", ";", "tab", "|"].map(|sign| match sign {
        "," => json!({ "type": "csv" }),
        sign => json!({ "type": "csv", "delimiter": sign }),
    });
    let packed = |mut form: Value| {
        if let (Some(unpack), Some(form)) = (unpack, form.as_object_mut()) {
            form.insert("unpack".to_owned(), Value::from(unpack));
        }
        form
    };
    kinds.into_iter().chain(delimiters).map(packed).collect()
}

/// Reads an answer in the first form that can be.
pub(super) fn formed(body: &[u8], headers: &HeaderMap, most: usize) -> Option<Formed> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.contains("html")) {
        return None;
    }
    let says_csv = kind.is_some_and(|kind| kind.contains("csv"));
    let unpack = packed(body);
    let mut best: Option<(usize, Formed)> = None;
    for option in forms(unpack) {
        let Some(read) = read(&option, body, headers, most) else {
            continue;
        };
        let is = |word: &str| option.get("type") == Some(&json!(word));
        let text = std::str::from_utf8(&read.json).unwrap_or_default();
        let has_records = Raw::read(text).is_ok_and(|json| !is("jsonl") || is_of_records(json));
        if !has_records {
            continue;
        }
        let columns = read.columns.as_ref().map_or(0, Vec::len);
        let is_rows = is("csv") || is("jsonl");
        let option = (!is("json") || unpack.is_some()).then_some(option.clone());
        let formed = Formed {
            option,
            json: read.json,
            is_rows,
        };
        if !is_rows || columns == 0 {
            return Some(formed);
        }
        // Of delimiters the one that makes the most columns.
        let least = if says_csv { 1 } else { 2 };
        if columns >= least && best.as_ref().is_none_or(|(most, _)| columns > *most) {
            best = Some((columns, formed));
        }
    }
    best.map(|(_, formed)| formed)
}

/// True for a list of maps that is not empty.
fn is_of_records(list: Raw<'_>) -> bool {
    list.items().next().is_some() && list.items().all(Raw::is_object)
}

/// The members of an option as they are written.
pub(super) fn members(option: &Value) -> Map<String, Value> {
    option.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_answer_is_read_in_the_form_it_has() {
        let option = |body: &str| {
            let formed = formed(body.as_bytes(), &HeaderMap::new(), 1 << 20)?;
            Some(formed.option.unwrap_or(Value::Null))
        };
        assert_eq!(option("{\"a\":[]}"), Some(Value::Null));
        assert_eq!(option("[1]"), Some(Value::Null));
        assert_eq!(
            option("{\"a\":1}\n{\"a\":2}\n"),
            Some(json!({ "type": "jsonl" }))
        );
        assert_eq!(
            option("<r><x><a>1</a></x></r>"),
            Some(json!({ "type": "xml" }))
        );
        assert_eq!(option("a,b\n1,2\n"), Some(json!({ "type": "csv" })));
        assert_eq!(
            option("a;b;c\n1,5;2;3\n"),
            Some(json!({ "type": "csv", "delimiter": ";" }))
        );
        assert_eq!(option("welcome\n"), None);
    }
}
