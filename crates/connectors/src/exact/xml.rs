//! XML as a tree and as JSON, by one rule.
//!
//! Promise: an element is a map of its attributes (`@name`), of the elements in it by their names, and of its
//! own text (`#text`); one with text alone is that text, one with nothing is null; elements that repeat are a
//! list. Names are without their prefix unless it is kept. Entities are those of XML itself: a document type is
//! refused, and nothing is expanded. It knows no pages and no files: see `rest/xml.rs` and `files/xml/`.

use std::collections::HashMap;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde_json::{Map, Value};

/// Elements inside each other.
pub(crate) const DEEPEST: usize = 100;

/// The text of an element beside other things in it.
pub(crate) const TEXT: &str = "#text";

/// An element with all that is in it.
#[derive(Debug, Default)]
pub(crate) struct Element {
    /// As it is written, with its prefix.
    qualified: String,
    keeps_prefix: bool,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
    /// All of its own text.
    pub(crate) text: String,
    /// `xsi:nil`: it has no value.
    pub(crate) is_nil: bool,
    /// `xml:space="preserve"`: blanks around its text belong to it.
    keeps_space: bool,
}

/// What is wrong with a document, and the byte where it shows.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) at: usize,
    pub(crate) why: String,
}

/// What an element has under one name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'a> {
    Attribute(&'a str),
    Element(&'a Element),
}

impl Part<'_> {
    fn value(self, trims: bool) -> Value {
        match self {
            Self::Attribute(text) => scalar(text),
            Self::Element(element) => element.value(trims),
        }
    }
}

impl Element {
    fn new(start: &BytesStart<'_>, keeps_prefix: bool, keeps_space: bool) -> Result<Self, String> {
        let mut element = Self {
            qualified: start.name().into_inner().to_owned(),
            keeps_prefix,
            keeps_space,
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
            let (local, prefix) = attribute.key.decompose();
            let prefix = prefix.map(quick_xml::name::Prefix::into_inner);
            match (prefix, local.into_inner()) {
                (Some(_), "nil") => element.is_nil = matches!(&*value, "true" | "1"),
                (Some("xml"), "space") => element.keeps_space = &*value == "preserve",
                // Where a schema is, is no data.
                (Some(_), "schemaLocation" | "noNamespaceSchemaLocation") => {}
                _ => {
                    let name = attribute.key.into_inner().to_owned();
                    element.attributes.push((name, value.into_owned()));
                }
            }
        }
        Ok(element)
    }

    /// Its name, as it is shown.
    pub(crate) fn name(&self) -> &str {
        shown(&self.qualified, self.keeps_prefix)
    }

    /// Whether it has text alone, or nothing.
    pub(crate) fn is_plain(&self) -> bool {
        self.attributes.is_empty() && self.children.is_empty()
    }

    /// Its text: what is blank beside other things in it is none.
    pub(crate) fn own_text(&self, trims: bool) -> &str {
        let trimmed = self.text.trim();
        let is_kept = self.keeps_space || !trims && self.children.is_empty();
        match is_kept && !trimmed.is_empty() {
            true => &self.text,
            false => trimmed,
        }
    }

    /// What is in it by name: attributes, then elements in the order of the first of each name.
    pub(crate) fn parts(&self) -> Vec<(String, Vec<Part<'_>>)> {
        let attributes = self.attributes.iter().map(|(name, value)| {
            let name = shown(name, self.keeps_prefix);
            (format!("@{name}"), Part::Attribute(value))
        });
        let elements = self.children.iter();
        let elements = elements.map(|child| (child.name().to_owned(), Part::Element(child)));
        let mut parts: Vec<(String, Vec<Part<'_>>)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (name, part) in attributes.chain(elements) {
            match places.get(&name).and_then(|at| parts.get_mut(*at)) {
                Some((_, some)) => some.push(part),
                None => {
                    places.insert(name.clone(), parts.len());
                    parts.push((name, vec![part]));
                }
            }
        }
        parts
    }

    /// Two names in one element that are the same without their prefixes.
    pub(crate) fn conflict(&self) -> Option<(&str, &str)> {
        if self.keeps_prefix {
            return None;
        }
        let attributes = self.attributes.iter().map(|(name, _)| name.as_str());
        let children = self.children.iter().map(|child| child.qualified.as_str());
        alike(attributes)
            .or_else(|| alike(children))
            .or_else(|| self.children.iter().find_map(Self::conflict))
    }

    /// As JSON. With `trims`, blanks around texts are no part of them; beside other things they never are.
    pub(crate) fn value(&self, trims: bool) -> Value {
        let text = self.own_text(trims || !self.is_plain());
        if self.is_plain() {
            return match self.is_nil || text.trim().is_empty() {
                true => Value::Null,
                false => scalar(text),
            };
        }
        let mut inside = Map::new();
        for (name, parts) in self.parts() {
            inside.insert(name, value_of(&parts, trims));
        }
        if !text.trim().is_empty() {
            inside.insert(TEXT.to_owned(), scalar(text));
        }
        Value::Object(inside)
    }
}

/// What is under one name, as JSON: one value, or a list of several.
pub(crate) fn value_of(parts: &[Part<'_>], trims: bool) -> Value {
    match parts {
        [one] => one.value(trims),
        all => Value::Array(all.iter().map(|part| part.value(trims)).collect()),
    }
}

fn shown(qualified: &str, keeps_prefix: bool) -> &str {
    match qualified.split_once(':') {
        Some((_, local)) if !keeps_prefix => local,
        _ => qualified,
    }
}

fn alike<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<(&'a str, &'a str)> {
    if !names.clone().any(|name| name.contains(':')) {
        return None;
    }
    let mut known: HashMap<&str, &str> = HashMap::new();
    for name in names {
        let first = *known.entry(shown(name, false)).or_insert(name);
        if first != name {
            return Some((first, name));
        }
    }
    None
}

/// A document with one element, which may be a part of another one.
pub(crate) fn parse(text: &str, keeps_prefix: bool) -> Result<Element, Wrong> {
    let mut reader = Reader::from_str(text);
    let mut around = vec![Element {
        keeps_prefix,
        ..Element::default()
    }];
    loop {
        let before = place(reader.buffer_position());
        let event = reader.read_event().map_err(|error| Wrong {
            at: place(reader.error_position()),
            why: error.to_string(),
        })?;
        if matches!(event, Event::Eof) {
            break;
        }
        take(&event, &mut around).map_err(|why| Wrong { at: before, why })?;
    }
    let whole = |why: &str| Wrong {
        at: text.len(),
        why: why.to_owned(),
    };
    let mut document = around
        .pop()
        .filter(|_| around.is_empty())
        .ok_or_else(|| whole("it ends inside an element"))?;
    match document.children.pop() {
        Some(root) if document.children.is_empty() && document.text.trim().is_empty() => Ok(root),
        _ => Err(whole("it is not one element")),
    }
}

fn place(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

const UNOPENED: &str = "an element is closed that was not opened";

/// Takes one event into the innermost of the elements that are open.
fn take(event: &Event<'_>, around: &mut Vec<Element>) -> Result<(), String> {
    let depth = around.len();
    let at = around.last_mut().ok_or(UNOPENED)?;
    let (keeps_prefix, keeps_space) = (at.keeps_prefix, at.keeps_space);
    match event {
        Event::Start(_) if depth > DEEPEST => {
            return Err(format!(
                "more than {DEEPEST} elements are inside each other"
            ));
        }
        Event::Start(start) => around.push(Element::new(start, keeps_prefix, keeps_space)?),
        Event::Empty(start) => {
            let empty = Element::new(start, keeps_prefix, keeps_space)?;
            at.children.push(empty);
        }
        Event::End(_) => {
            let closed = around.pop().ok_or(UNOPENED)?;
            around.last_mut().ok_or(UNOPENED)?.children.push(closed);
        }
        Event::Text(text) => at.text.push_str(&text.xml10_content()),
        Event::CData(text) => at.text.push_str(&text.xml10_content()),
        Event::GeneralRef(reference) => {
            let letter = reference.resolve_char_ref();
            match (letter, resolve_predefined_entity(reference)) {
                (Err(error), _) => return Err(error.to_string()),
                (Ok(Some(letter)), _) => at.text.push(letter),
                (Ok(None), Some(text)) => at.text.push_str(text),
                (Ok(None), None) => {
                    return Err("it has an entity that is not of XML itself".to_owned());
                }
            }
        }
        Event::DocType(_) => return Err("it has a document type".to_owned()),
        Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Eof => {}
    }
    Ok(())
}

/// A text as JSON: a number or truth value where it is written as one, else a text.
pub(crate) fn scalar(text: &str) -> Value {
    let is_plain = matches!(text, "true" | "false")
        || text.starts_with(|letter: char| letter.is_ascii_digit() || letter == '-');
    let plain: Option<Value> = match is_plain && !text.ends_with(char::is_whitespace) {
        true => serde_json::from_str(text).ok(),
        false => None,
    };
    // A number that is written in another way afterwards is a text.
    let as_written =
        |value: &Value| serde_json::to_string(value).is_ok_and(|written| written == text);
    let plain = plain.filter(as_written);
    plain.unwrap_or_else(|| Value::from(text))
}

/// The label of the encoding that the declaration of a document says.
pub(crate) fn declared_encoding(bytes: &[u8]) -> Option<String> {
    let head = bytes.get(..bytes.len().min(256))?;
    let head = String::from_utf8_lossy(head);
    let declaration = head
        .trim_start()
        .strip_prefix("<?xml")?
        .split("?>")
        .next()?;
    let (_, behind) = declaration.split_once("encoding")?;
    let behind = behind.trim_start().strip_prefix('=')?.trim_start();
    let quote = behind
        .chars()
        .next()
        .filter(|quote| matches!(quote, '"' | '\''))?;
    behind.get(1..)?.split(quote).next().map(str::to_owned)
}
