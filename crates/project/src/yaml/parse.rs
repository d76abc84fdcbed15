//! Builds the tree from the events of the YAML parser.
//!
//! Promise: a duplicate key is reported with both positions, and the first one is used. Aliases are copied
//! up to a limit. After a syntax error the rest of the file is not read. `traps.rs` names common causes of
//! syntax errors.

use std::collections::HashMap;

use indexmap::map::Entry as Slot;
use saphyr_parser::{Event, Parser, ScalarStyle, Span as Range};

use super::traps;
use super::tree::{Entry, Map, Node, Value};
use crate::report::{FileRange, Report};

/// The most nodes of one file after its aliases were copied.
const MAX_NODES: usize = 100_000;

/// The dialect of YAML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// 1.2, strict.
    Ours,
    /// 1.1 as dbt reads it: yes, no, on and off are booleans, `<<` merges.
    Dbt,
}

/// Parses one file. `None` if it has a syntax error or is empty.
pub(crate) fn parse(path: &str, text: &str, dialect: Dialect, report: &mut Report) -> Option<Node> {
    let file = report.file(path);
    let mut builder = Builder {
        text,
        file,
        bytes: ByteIndex::new(text),
        dialect,
        report,
        anchors: HashMap::new(),
        nodes: 0,
        overflow: false,
    };
    builder.document()
}

/// Converts character offsets to byte offsets; costs nothing for ASCII text.
struct ByteIndex(Option<Vec<usize>>);

impl ByteIndex {
    fn new(text: &str) -> Self {
        if text.is_ascii() {
            return Self(None);
        }
        let mut bytes: Vec<usize> = text.char_indices().map(|(byte, _)| byte).collect();
        bytes.push(text.len());
        Self(Some(bytes))
    }

    fn byte(&self, character: usize, len: usize) -> usize {
        match &self.0 {
            None => character.min(len),
            Some(bytes) => bytes.get(character).copied().unwrap_or(len),
        }
    }
}

struct Builder<'a> {
    text: &'a str,
    file: u32,
    bytes: ByteIndex,
    dialect: Dialect,
    report: &'a mut Report,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    overflow: bool,
}

/// A list or map whose end was not read yet.
struct Open {
    at: FileRange,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        map: Map,
        key: Option<(String, FileRange)>,
    },
}

impl Builder<'_> {
    fn document(&mut self) -> Option<Node> {
        let mut open: Vec<Open> = Vec::new();
        let mut root = None;
        for event in Parser::new_from_str(self.text) {
            let (event, range) = match event {
                Ok(pair) => pair,
                Err(error) => {
                    let at = self.error_place(error.marker());
                    traps::syntax_error(self.text, at, error.info(), self.report);
                    return None;
                }
            };
            let done = match event {
                Event::DocumentStart(_) if root.is_some() => {
                    let at = self.at(&range);
                    self.report
                        .error("P0101", at, "a second document starts here")
                        .help("a file has one document: remove the `---`, or write two files");
                    return root;
                }
                Event::Scalar(text, style, anchor, _) => {
                    let node = self.scalar(&text, style, &range);
                    Some((node, anchor))
                }
                Event::Alias(anchor) => {
                    let node = self.alias(anchor, &range);
                    Some((node, 0))
                }
                Event::SequenceStart(anchor, _) => {
                    open.push(Open {
                        at: self.at(&range),
                        anchor,
                        content: Content::List(Vec::new()),
                    });
                    None
                }
                Event::MappingStart(anchor, _) => {
                    let content = Content::Map {
                        map: Map::new(),
                        key: None,
                    };
                    open.push(Open {
                        at: self.at(&range),
                        anchor,
                        content,
                    });
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    open.pop().map(|one| self.close(one, &range))
                }
                _ => None,
            };
            if let Some((node, anchor)) = done {
                self.count(&node);
                if self.overflow {
                    return None;
                }
                if anchor != 0 {
                    self.anchors.insert(anchor, node.clone());
                }
                match open.last_mut() {
                    None => root = Some(node),
                    Some(parent) => self.attach(parent, node),
                }
            }
        }
        root.filter(|node| !node.is_null())
    }

    fn count(&mut self, node: &Node) {
        self.nodes += 1;
        if self.nodes > MAX_NODES && !self.overflow {
            self.overflow = true;
            self.report
                .error(
                    "P0114",
                    node.at,
                    "this file is too large once its aliases are copied",
                )
                .help(format!(
                    "at most {MAX_NODES} values; each `*alias` counts as all the values that it copies"
                ));
        }
    }

    fn at(&self, range: &Range) -> FileRange {
        let start = self.bytes.byte(range.start.index(), self.text.len());
        let end = self
            .bytes
            .byte(range.end.index(), self.text.len())
            .max(start);
        FileRange {
            file: self.file,
            start,
            end,
            line: range.start.line(),
            column: range.start.col() + 1,
        }
    }

    fn error_place(&self, marker: &saphyr_parser::Marker) -> FileRange {
        let start = self.bytes.byte(marker.index(), self.text.len());
        let end = (start + 1).min(self.text.len());
        FileRange {
            file: self.file,
            start,
            end,
            line: marker.line(),
            column: marker.col() + 1,
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, range: &Range) -> Node {
        let mut at = self.at(range);
        // The scanner counts blanks behind a quoted scalar in braces.
        let source = self.text.get(at.start..at.end).unwrap_or_default();
        at.end = at.start + source.trim_end().len();
        let plain = style == ScalarStyle::Plain;
        if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
            if text.is_empty() {
                at.end = at.start;
            }
            return Node::null(at);
        }
        let text = match text {
            "yes" | "Yes" | "YES" | "on" | "On" | "ON" if plain && self.dialect == Dialect::Dbt => {
                "true"
            }
            "no" | "No" | "NO" | "off" | "Off" | "OFF" if plain && self.dialect == Dialect::Dbt => {
                "false"
            }
            other => other,
        };
        Node {
            value: Value::Scalar {
                text: text.to_owned(),
                plain,
            },
            at,
        }
    }

    fn alias(&mut self, anchor: usize, range: &Range) -> Node {
        let at = self.at(range);
        let Some(node) = self.anchors.get(&anchor) else {
            self.report
                .error("P0114", at, "this alias is inside the value that it copies")
                .help("a value cannot contain itself");
            return Node::null(at);
        };
        self.nodes += size(node);
        node.clone()
    }

    fn close(&self, open: Open, range: &Range) -> (Node, usize) {
        let end = self.at(range).end;
        let at = FileRange {
            end: end.max(open.at.start),
            ..open.at
        };
        let value = match open.content {
            Content::List(list) => Value::List(list),
            Content::Map { map, .. } => Value::Map(map),
        };
        (Node { value, at }, open.anchor)
    }

    fn attach(&mut self, parent: &mut Open, node: Node) {
        match &mut parent.content {
            Content::List(list) => list.push(node),
            Content::Map { map, key } => match key.take() {
                None => *key = Some(self.key(&node)),
                Some((name, key_at)) => self.insert(map, name, key_at, node),
            },
        }
    }

    fn key(&mut self, node: &Node) -> (String, FileRange) {
        match &node.value {
            Value::Scalar { text, .. } => (text.clone(), node.at),
            Value::Null => (String::new(), node.at),
            _ => {
                self.report
                    .error(
                        "P0101",
                        node.at,
                        format!("a key must be text, this is {}", node.kind()),
                    )
                    .help("`{{ … }}` in YAML must be in quotes");
                (String::new(), node.at)
            }
        }
    }

    fn insert(&mut self, map: &mut Map, name: String, key_at: FileRange, value: Node) {
        if name == "<<" && self.dialect == Dialect::Dbt {
            for source in value.items() {
                for (key, entry) in source.entries() {
                    map.entry(key.to_owned()).or_insert_with(|| entry.clone());
                }
            }
            return;
        }
        if traps::split_type(map, &name, key_at, &value, self.text, self.report) {
            return;
        }
        match map.entry(name) {
            Slot::Vacant(slot) => {
                slot.insert(Entry { key_at, value });
            }
            Slot::Occupied(slot) => {
                let first = self.report.place(slot.get().key_at);
                let name = slot.key().clone();
                self.report
                    .error("P0103", key_at, format!("key `{name}` appears twice"))
                    .label("the second one")
                    .help(format!("the first one is at {first}"));
            }
        }
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(list) => list.iter().map(size).sum(),
        Value::Map(map) => map.values().map(|entry| size(&entry.value)).sum(),
        _ => 0,
    }
}
