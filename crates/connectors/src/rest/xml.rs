//! A page of XML as JSON.
//!
//! Promise: elements are JSON by the rule of `exact/xml.rs`, and what `records` names is a list always. What is
//! wrong with a page is said with its line. Read next: `body.rs`.

use encoding_rs::Encoding;
use serde_json::{Map, Value};

use super::path::JsonPath;
use crate::exact::xml::{TEXT, declared_encoding, parse};

/// A document as JSON. The error is what is wrong with it.
pub(super) fn json(text: &str, records: &JsonPath) -> Result<String, String> {
    let mut root = parse(text, false).map_err(|wrong| {
        let before = text.get(..wrong.at).unwrap_or(text);
        let line = 1 + before.matches('\n').count();
        format!("line {line}: {}", wrong.why)
    })?;
    root.drop_blanks();
    let inside = [(root.name().to_owned(), root.value(false))];
    let mut document = Value::Object(inside.into_iter().collect());
    make_list(&mut document, records);
    Ok(document.to_string())
}

/// Makes a list of what is at a path, also where there is one element or none in one that is there.
fn make_list(document: &mut Value, records: &JsonPath) {
    let Some((way, last)) = records.keys().split_last().map(|(last, way)| (way, last)) else {
        return;
    };
    let mut place = document;
    for key in way {
        // An empty element has nothing at any depth.
        if place.is_null() {
            *place = Value::Object([(key.clone(), Value::Null)].into_iter().collect());
        }
        let Some(inner) = place.get_mut(key) else {
            return;
        };
        place = inner;
    }
    if place.is_null() {
        *place = Value::Object(Map::new());
    }
    let Value::Object(map) = place else {
        return;
    };
    let records = match map.get_mut(last).map(Value::take) {
        None => Vec::new(),
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
    };
    let record = |value: Value| match value {
        Value::Object(_) => value,
        Value::Null => Value::Object(Map::new()),
        text => Value::Object([(TEXT.to_owned(), text)].into_iter().collect()),
    };
    let records = records.into_iter().map(record).collect();
    map.insert(last.clone(), Value::Array(records));
}

/// The encoding that the declaration of a document says.
pub(super) fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    Encoding::for_label(declared_encoding(bytes)?.as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn elements_are_json_by_one_rule() {
        let read = |text: &str| json(text, &JsonPath::new("r.i")).unwrap();
        assert_eq!(read("<r/>"), r#"{"r":{"i":[]}}"#);
        assert_eq!(read("<r>\n</r>"), r#"{"r":{"i":[]}}"#);
        let deep = json("<r/>", &JsonPath::new("r.a.i")).unwrap();
        assert_eq!(deep, r#"{"r":{"a":{"i":[]}}}"#);
        assert_eq!(
            read(
                "<?xml version=\"1.0\"?><r xmlns=\"u\" n=\"2\"><i><a>1.10</a><a>007</a><b/></i></r>"
            ),
            r#"{"r":{"@n":2,"i":[{"a":[1.10,"007"],"b":null}]}}"#
        );
        assert_eq!(
            read("<r><x:i k=\"a&amp;b\"> t &lt;<![CDATA[<&>]]> </x:i><i>5</i><i/></r>"),
            r##"{"r":{"i":[{"@k":"a&b","#text":"t <<&>"},{"#text":5},{}]}}"##
        );
        assert_eq!(
            read("<r><i><a xsi:nil=\"true\"/><b> x&#x41; </b></i></r>"),
            r#"{"r":{"i":[{"a":null,"b":" xA "}]}}"#
        );
    }

    #[test]
    fn what_is_not_whole_or_not_xml_is_an_error() {
        let deep = "<a>".repeat(200);
        for wrong in [
            "",
            "x",
            "<r>",
            "<r><i></r>",
            "<r></r><s/>",
            "<r/>x",
            "<r a=1/>",
            "<r a=\"1\" a=\"2\"/>",
            "<r>&unknown;</r>",
            "<!DOCTYPE r [<!ENTITY x \"y\">]><r>&x;</r>",
            &deep,
            "<r/",
            "</r>",
        ] {
            assert!(json(wrong, &JsonPath::new("r.i")).is_err(), "{wrong}");
        }
    }
}
