//! XML as JSON, by one rule.
//!
//! Promise: an element is a map of its attributes (`@name`), of the elements in it by their names, and of
//! its own text (`#text`); one with text alone is that text, one with nothing is null; elements that repeat
//! are a list, and what `records` names is one always. Names are without their prefix. Entities are those
//! of XML itself: a document type is refused. Read next: `body.rs`.

use encoding_rs::Encoding;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde_json::{Map, Value};

use super::body::scalar;
use super::path::JsonPath;

/// Elements inside each other.
const DEEPEST: usize = 100;

/// The text of an element beside other things in it.
const TEXT: &str = "#text";

/// An element that is not closed yet.
#[derive(Default)]
struct Open {
    name: String,
    inside: Map<String, Value>,
    text: String,
    /// `xsi:nil`: it has no value.
    is_nil: bool,
}

impl Open {
    fn new(start: &BytesStart<'_>) -> Result<Self, String> {
        let mut open = Self {
            name: start.local_name().into_inner().to_owned(),
            ..Self::default()
        };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|error| error.to_string())?;
            let (name, prefix) = attribute.key.decompose();
            if prefix.is_some() && name.into_inner() == "nil" {
                open.is_nil = matches!(&*value, "true" | "1");
                continue;
            }
            open.add(&format!("@{}", name.into_inner()), scalar(&value));
        }
        Ok(open)
    }

    /// Adds what is inside; a second one of the name makes a list.
    fn add(&mut self, name: &str, value: Value) {
        match self.inside.get_mut(name) {
            None => {
                self.inside.insert(name.to_owned(), value);
            }
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }

    fn value(mut self) -> Value {
        let is_blank = self.text.trim().is_empty();
        if self.is_nil || self.inside.is_empty() && is_blank {
            return Value::Null;
        }
        if self.inside.is_empty() {
            return scalar(&self.text);
        }
        if !is_blank {
            let text = scalar(self.text.trim());
            self.inside.insert(TEXT.to_owned(), text);
        }
        Value::Object(self.inside)
    }
}

/// A document as JSON. The error is what is wrong with it.
pub(super) fn json(text: &str, records: &JsonPath) -> Result<String, String> {
    let mut reader = Reader::from_str(text);
    let mut open = vec![Open::default()];
    let mut roots = 0;
    loop {
        let event = reader.read_event().map_err(|error| {
            let line = 1 + text
                .get(..usize::try_from(reader.error_position()).unwrap_or(usize::MAX))
                .map_or(0, |before| before.matches('\n').count());
            format!("line {line}: {error}")
        })?;
        let depth = open.len();
        let at = open
            .last_mut()
            .ok_or("an element is closed that was not opened")?;
        match event {
            Event::Start(start) => {
                if depth > DEEPEST {
                    return Err(format!(
                        "more than {DEEPEST} elements are inside each other"
                    ));
                }
                roots += usize::from(depth == 1);
                open.push(Open::new(&start)?);
            }
            Event::Empty(start) => {
                roots += usize::from(depth == 1);
                let empty = Open::new(&start)?;
                let name = empty.name.clone();
                at.add(&name, empty.value());
            }
            Event::End(_) => {
                let closed = open.pop().unwrap_or_default();
                let above = open
                    .last_mut()
                    .ok_or("an element is closed that was not opened")?;
                let name = closed.name.clone();
                above.add(&name, closed.value());
            }
            Event::Text(text) => at.text.push_str(&text.xml10_content()),
            Event::CData(text) => at.text.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let letter = reference
                    .resolve_char_ref()
                    .map_err(|error| error.to_string())?;
                match (letter, resolve_predefined_entity(&reference)) {
                    (Some(letter), _) => at.text.push(letter),
                    (None, Some(text)) => at.text.push_str(text),
                    (None, None) => {
                        return Err("it has an entity that is not of XML itself".to_owned());
                    }
                }
            }
            Event::DocType(_) => return Err("it has a document type".to_owned()),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    let document = open.pop().filter(|_| open.is_empty());
    let document = document.ok_or("it ends inside an element")?;
    if roots != 1 || !document.text.trim().is_empty() {
        return Err("it is not one element".to_owned());
    }
    let mut document = Value::Object(document.inside);
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
    let head = bytes.get(..bytes.len().min(200))?;
    let head = String::from_utf8_lossy(head);
    let declaration = head.strip_prefix("<?xml")?.split("?>").next()?;
    let (_, behind) = declaration.split_once("encoding")?;
    let behind = behind.trim_start().strip_prefix('=')?.trim_start();
    let quote = behind
        .chars()
        .next()
        .filter(|quote| matches!(quote, '"' | '\''))?;
    let label = behind.get(1..)?.split(quote).next()?;
    Encoding::for_label(label.as_bytes())
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
