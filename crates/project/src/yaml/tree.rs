//! The tree: maps, lists and scalars, each with its position.
//!
//! Promise: the order of keys is kept, and a scalar knows whether it was quoted, because `"no"` and `no`
//! differ. It does not know the text of the file. Read next: `parse.rs`.

use indexmap::IndexMap;

use crate::report::FileRange;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) at: FileRange,
}

/// The kinds of values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// Text, number or boolean, not decided yet; `plain` if it was not quoted.
    Scalar { text: String, plain: bool },
    /// A list.
    List(Vec<Node>),
    /// A map.
    Map(Map),
}

/// A map in the order of the file.
pub(crate) type Map = IndexMap<String, Entry>;

/// The position of a key, and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key_at: FileRange,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) fn null(at: FileRange) -> Self {
        Self {
            value: Value::Null,
            at,
        }
    }

    pub(crate) fn map(at: FileRange, map: Map) -> Self {
        Self {
            value: Value::Map(map),
            at,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    pub(crate) fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The value under a key, unless it is null.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?
            .get(key)
            .map(|entry| &entry.value)
            .filter(|node| !node.is_null())
    }

    pub(crate) fn get_text(&self, key: &str) -> Option<&str> {
        self.get(key)?.text()
    }

    pub(crate) fn get_bool(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        match self.text()? {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    /// The key and value pairs; none if it is not a map.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.as_map()
            .into_iter()
            .flatten()
            .map(|(key, entry)| (key.as_str(), entry))
    }

    /// The elements of a list, or the value itself: a single text is a list of one.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(list) => list,
            Value::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }

    /// Texts of `items`.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.items()
            .iter()
            .filter_map(|item| item.text().map(str::to_owned))
            .collect()
    }

    /// The name of its kind, for a message.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Scalar { .. } => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// As JSON: plain scalars by YAML's core schema, quoted ones as text.
    pub(crate) fn json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::List(list) => list.iter().map(Node::json).collect(),
            Value::Map(map) => {
                let pairs = map
                    .iter()
                    .map(|(key, entry)| (key.clone(), entry.value.json()));
                Json::Object(pairs.collect())
            }
            Value::Scalar { text, plain: false } => Json::String(text.clone()),
            Value::Scalar { text, plain: true } => scalar_json(self.as_bool(), text),
        }
    }

    /// Merges `over` into this value: maps are merged key by key, other values are replaced, null removes. Null
    /// that had nothing to remove stays.
    pub(crate) fn merged(&self, over: &Node) -> Node {
        let (Value::Map(below), Value::Map(above)) = (&self.value, &over.value) else {
            return over.clone();
        };
        let mut map = below.clone();
        for (key, entry) in above {
            match map.get_mut(key) {
                Some(present) if entry.value.is_null() && !present.value.is_null() => {
                    map.shift_remove(key);
                }
                Some(present) => {
                    let value = present.value.merged(&entry.value);
                    *present = Entry {
                        key_at: entry.key_at,
                        value,
                    };
                }
                None => {
                    map.insert(key.clone(), entry.clone());
                }
            }
        }
        Node::map(over.at, map)
    }
}

fn scalar_json(boolean: Option<bool>, text: &str) -> serde_json::Value {
    if let Some(boolean) = boolean {
        return serde_json::Value::Bool(boolean);
    }
    if let Ok(integer) = text.parse::<i64>() {
        // `007` is a name, not seven.
        if integer.to_string() == text {
            return serde_json::Value::from(integer);
        }
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && text.contains('.') => serde_json::Value::from(number),
        _ => serde_json::Value::String(text.to_owned()),
    }
}
