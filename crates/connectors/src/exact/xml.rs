//! XML as a tree and as JSON, by one rule.
//!
//! Promise: an element is a map of its attributes (`@name`), of the elements in it by their names, and of its
//! own text (`#text`); one with text alone is that text, one with nothing is null; elements that repeat are a
//! list. Names are without their prefix unless it is kept. Entities are those of XML itself: a document type is
//! refused, and nothing is expanded. It knows no pages and no files: see `rest/xml.rs` and `files/xml/`.

use std::collections::{HashMap, HashSet};

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde_json::{Map, Value};

/// Elements inside each other.
pub(crate) const DEEPEST: usize = 100;

/// The text of an element beside other things in it.
pub(crate) const TEXT: &str = "#text";

/// The namespace of `xsi:nil`.
const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// Its prefixes where the part of a document at hand does not say what they are.
const INSTANCE_PREFIXES: [&str; 2] = ["xsi", "i"];

/// Blanks of XML; any other sign is text.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// Whether a text has blanks alone.
fn is_blank(text: &str) -> bool {
    text.chars().all(|letter| BLANKS.contains(&letter))
}

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
    /// Where literal text and references to characters begin and end in its text: no blank there is dropped.
    literal: Option<(usize, usize)>,
    /// Prefixes that are declared here, and whether each is of `INSTANCE`.
    prefixes: Vec<(String, bool)>,
}

/// What is wrong with a document, and the byte where it shows.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) at: usize,
    pub(crate) why: String,
    /// It has more parts than are allowed.
    pub(crate) has_too_many: bool,
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
    /// An element in `around`, from the outermost on.
    fn new(start: &BytesStart<'_>, around: &[Self]) -> Result<Self, String> {
        let (keeps_prefix, keeps_space) = around
            .last()
            .map_or((false, false), |at| (at.keeps_prefix, at.keeps_space));
        let mut element = Self {
            qualified: start.name().into_inner().to_owned(),
            keeps_prefix,
            keeps_space,
            ..Self::default()
        };
        let attributes = unlike(start)?;
        let value_of = |attribute: &Attribute<'_>| {
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            value
                .map(|value| value.into_owned())
                .map_err(|error| error.to_string())
        };
        for attribute in &attributes {
            if let Some(prefix) = attribute.key.into_inner().strip_prefix("xmlns:") {
                let is_instance = value_of(attribute)? == INSTANCE;
                element.prefixes.push((prefix.to_owned(), is_instance));
            }
        }
        for attribute in attributes {
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            let value = value_of(&attribute)?;
            let (local, prefix) = attribute.key.decompose();
            let prefix = prefix.map(quick_xml::name::Prefix::into_inner);
            match (prefix, local.into_inner()) {
                (Some("xml"), "space") => element.keeps_space = value == "preserve",
                (Some(prefix), "nil") if element.is_instance(prefix, around) => {
                    element.is_nil = matches!(value.trim_matches(BLANKS), "true" | "1");
                }
                // Where a schema is, is no data.
                (Some(prefix), "schemaLocation" | "noNamespaceSchemaLocation")
                    if element.is_instance(prefix, around) => {}
                _ => {
                    let name = attribute.key.into_inner().to_owned();
                    element.attributes.push((name, value));
                }
            }
        }
        Ok(element)
    }

    /// Whether a prefix stands for `INSTANCE` here.
    fn is_instance(&self, prefix: &str, around: &[Self]) -> bool {
        let inner = std::iter::once(self).chain(around.iter().rev());
        let mut declared = inner.flat_map(|element| &element.prefixes);
        match declared.find(|(name, _)| name == prefix) {
            Some((_, is_instance)) => *is_instance,
            None => INSTANCE_PREFIXES.contains(&prefix),
        }
    }

    /// An element that says that it has no value, and has one.
    pub(crate) fn false_nil(&self) -> Option<&str> {
        if self.is_nil && !(self.children.is_empty() && is_blank(&self.text)) {
            return Some(&self.qualified);
        }
        self.children.iter().find_map(Self::false_nil)
    }

    /// Drops blanks beside other things, and texts of blanks alone, where nothing says that they are data.
    pub(crate) fn drop_blanks(&mut self) {
        if !self.is_plain() || is_blank(&self.text) && self.literal.is_none() && !self.keeps_space {
            self.text = self.own_text(true).to_owned();
            self.literal = self.literal.map(|_| (0, self.text.len()));
        }
        self.children.iter_mut().for_each(Self::drop_blanks);
    }

    /// Takes text in which no blank is dropped.
    fn push_literal(&mut self, text: &str) {
        let before = self.text.len();
        self.text.push_str(text);
        let first = self.literal.map_or(before, |(first, _)| first);
        self.literal = Some((first, self.text.len()));
    }

    /// Its name, as it is shown.
    pub(crate) fn name(&self) -> &str {
        shown(&self.qualified, self.keeps_prefix)
    }

    /// Whether it has text alone, or nothing.
    pub(crate) fn is_plain(&self) -> bool {
        self.attributes.is_empty() && self.children.is_empty()
    }

    /// Its text: what is blank beside other elements in it is none.
    pub(crate) fn own_text(&self, trims: bool) -> &str {
        let has_elements = !self.children.is_empty();
        let is_kept = self.keeps_space || !trims && !has_elements;
        if is_kept && !(has_elements && is_blank(&self.text)) {
            return &self.text;
        }
        let start = self.text.len() - self.text.trim_start_matches(BLANKS).len();
        let end = self.text.trim_end_matches(BLANKS).len();
        let (first, last) = self.literal.unwrap_or((start, end));
        self.text
            .get(start.min(first)..end.max(last))
            .unwrap_or_default()
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

    /// As JSON. With `trims`, blanks around texts are no part of them; beside other elements they never are.
    pub(crate) fn value(&self, trims: bool) -> Value {
        let text = self.own_text(trims);
        if self.is_plain() {
            return match text.is_empty() || self.is_nil && is_blank(text) {
                true => Value::Null,
                false => scalar(text),
            };
        }
        let mut inside = Map::new();
        for (name, parts) in self.parts() {
            inside.insert(name, value_of(&parts, trims));
        }
        if !text.is_empty() {
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
    parse_within(text, keeps_prefix, usize::MAX)
}

/// As `parse`, with at most so many elements and attributes.
pub(crate) fn parse_within(text: &str, keeps_prefix: bool, most: usize) -> Result<Element, Wrong> {
    let mut parts = 0_usize;
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
            has_too_many: false,
        })?;
        let wrong = |why: String, has_too_many| Wrong {
            at: before,
            why,
            has_too_many,
        };
        match &event {
            Event::Eof => break,
            Event::Start(start) | Event::Empty(start) => {
                parts = parts.saturating_add(1 + attributes_of(start));
            }
            _ => {}
        }
        if parts > most {
            let why = format!("it has more than {most} elements and attributes");
            return Err(wrong(why, true));
        }
        take(&event, &mut around).map_err(|why| wrong(why, false))?;
    }
    let whole = |why: &str| Wrong {
        at: text.len(),
        why: why.to_owned(),
        has_too_many: false,
    };
    let mut document = around
        .pop()
        .filter(|_| around.is_empty())
        .ok_or_else(|| whole("it ends inside an element"))?;
    match document.children.pop() {
        Some(root) if document.children.is_empty() && is_blank(&document.text) => Ok(root),
        _ => Err(whole("it is not one element")),
    }
}

/// How many attributes a tag has.
fn attributes_of(start: &BytesStart<'_>) -> usize {
    start.attributes().with_checks(false).count()
}

/// The attributes of a tag, each once.
fn unlike<'a>(start: &'a BytesStart<'_>) -> Result<Vec<Attribute<'a>>, String> {
    let mut names = HashSet::new();
    let mut all = Vec::new();
    // The check of the reader compares each with all.
    for attribute in start.attributes().with_checks(false) {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let name = attribute.key.into_inner();
        if !names.insert(name) {
            return Err(format!("the attribute `{name}` is there twice"));
        }
        all.push(attribute);
    }
    Ok(all)
}

fn place(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

const UNOPENED: &str = "an element is closed that was not opened";

/// Takes one event into the innermost of the elements that are open.
fn take(event: &Event<'_>, around: &mut Vec<Element>) -> Result<(), String> {
    let depth = around.len();
    match event {
        Event::Start(_) if depth > DEEPEST => {
            return Err(format!(
                "more than {DEEPEST} elements are inside each other"
            ));
        }
        Event::Start(start) => {
            let element = Element::new(start, around)?;
            around.push(element);
        }
        Event::Empty(start) => {
            let empty = Element::new(start, around)?;
            around.last_mut().ok_or(UNOPENED)?.children.push(empty);
        }
        Event::End(_) => {
            let closed = around.pop().ok_or(UNOPENED)?;
            around.last_mut().ok_or(UNOPENED)?.children.push(closed);
        }
        Event::Text(text) => {
            let at = around.last_mut().ok_or(UNOPENED)?;
            at.text.push_str(&text.xml10_content());
        }
        Event::CData(text) => {
            let at = around.last_mut().ok_or(UNOPENED)?;
            at.push_literal(&text.xml10_content());
        }
        Event::GeneralRef(reference) => {
            let at = around.last_mut().ok_or(UNOPENED)?;
            let letter = reference.resolve_char_ref();
            match (letter, resolve_predefined_entity(reference)) {
                (Err(error), _) => return Err(error.to_string()),
                (Ok(Some(letter)), _) => at.push_literal(letter.encode_utf8(&mut [0; 4])),
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
