//! The catalog of a tap: which streams it has, and the one that a read selects.
//!
//! Promise: a catalog that is handed to the tap is its own one, with exactly one stream selected and all
//! fields of it that the tap can give; nothing else of it is changed. Old and new forms of a selection are
//! written, as taps look at either. Read next: `tap.rs`.

use serde_json::{Map, Value, json};

use super::error::{Result, SingerError};
use super::settings::StreamOptions;

/// The streams of a tap.
#[derive(Clone, Debug)]
pub(super) struct Catalog {
    root: Value,
}

/// A stream of a catalog.
#[derive(Clone, Copy, Debug)]
pub(super) struct CatalogStream<'c> {
    entry: &'c Value,
}

impl Catalog {
    /// Reads what a tap or a file says.
    pub(super) fn read(program: &str, text: &[u8]) -> Result<Self> {
        let wrong = |why: String| SingerError::Catalog {
            program: program.to_owned(),
            why,
        };
        let root: Value = serde_json::from_slice(text).map_err(|error| {
            wrong(format!(
                "is not valid JSON: line {}, column {}",
                error.line(),
                error.column()
            ))
        })?;
        match root.get("streams").and_then(Value::as_array) {
            Some(_) => Ok(Self { root }),
            None => Err(wrong("has no list `streams`".to_owned())),
        }
    }

    fn entries(&self) -> &[Value] {
        let streams = self.root.get("streams").and_then(Value::as_array);
        streams.map(Vec::as_slice).unwrap_or_default()
    }

    /// The streams, in their order.
    pub(super) fn streams(&self) -> impl Iterator<Item = CatalogStream<'_>> {
        self.entries().iter().map(|entry| CatalogStream { entry })
    }

    /// A stream by its id, or else by its name if that is the only one of it.
    pub(super) fn find(&self, connection: &str, name: &str) -> Result<CatalogStream<'_>> {
        let named: Vec<CatalogStream<'_>> = self
            .streams()
            .filter(|stream| stream.names().iter().any(|own| own == name))
            .collect();
        let by_id = named.iter().find(|stream| stream.id() == name);
        match (by_id, named.as_slice()) {
            (Some(stream), _) | (None, [stream]) => Ok(*stream),
            _ => Err(SingerError::NoStream {
                connection: connection.to_owned(),
                stream: name.to_owned(),
                known: self.streams().map(|stream| stream.id()).collect(),
            }),
        }
    }

    /// The catalog with this stream selected alone.
    pub(super) fn selecting(&self, id: &str, options: &StreamOptions, is_full: bool) -> String {
        let mut root = self.root.clone();
        let streams = root.get_mut("streams").and_then(Value::as_array_mut);
        for entry in streams.into_iter().flatten() {
            let is_selected = CatalogStream { entry }.id() == id;
            select(entry, is_selected);
            if is_selected {
                replicate(entry, options, is_full);
            }
        }
        root.to_string()
    }
}

impl CatalogStream<'_> {
    fn text(&self, member: &str) -> Option<String> {
        let text = self.entry.get(member).and_then(Value::as_str);
        text.map(str::to_owned)
    }

    /// Its id.
    pub(super) fn id(&self) -> String {
        let id = self.text("tap_stream_id").or_else(|| self.text("stream"));
        id.unwrap_or_default()
    }

    /// The names that messages may give it.
    pub(super) fn names(&self) -> Vec<String> {
        let all = ["tap_stream_id", "stream", "stream_alias", "table_name"];
        let mut names: Vec<String> = all.iter().filter_map(|name| self.text(name)).collect();
        names.dedup();
        names
    }

    /// Its JSON Schema, as text.
    pub(super) fn schema(&self) -> Vec<u8> {
        let schema = self.entry.get("schema").unwrap_or(&Value::Null);
        schema.to_string().into_bytes()
    }

    /// Its key.
    pub(super) fn key(&self) -> Vec<String> {
        let of_stream = of_stream(self.entry);
        let metadata = |name: &str| of_stream.and_then(|metadata| metadata.get(name));
        let lists = [
            self.entry.get("key_properties"),
            metadata("table-key-properties"),
            metadata("view-key-properties"),
        ];
        let lists = lists.into_iter().flatten().filter_map(Value::as_array);
        let mut keys = lists.map(|list| {
            let names = list.iter().filter_map(Value::as_str);
            names.map(str::to_owned).collect::<Vec<_>>()
        });
        keys.find(|key| !key.is_empty()).unwrap_or_default()
    }

    /// Fields that the tap cannot give.
    pub(super) fn unsupported(&self) -> Vec<String> {
        let all = metadata_of(self.entry).iter();
        let unsupported = all.filter(|item| is_unsupported(item));
        unsupported.filter_map(property_of).collect()
    }
}

fn metadata_of(entry: &Value) -> &[Value] {
    let metadata = entry.get("metadata").and_then(Value::as_array);
    metadata.map(Vec::as_slice).unwrap_or_default()
}

/// What the metadata says of the stream itself.
fn of_stream(entry: &Value) -> Option<&Value> {
    let mut all = metadata_of(entry).iter();
    all.find(|item| is_of(item, &[]))?.get("metadata")
}

fn is_of(item: &Value, breadcrumb: &[&str]) -> bool {
    let path = item.get("breadcrumb").and_then(Value::as_array);
    path.is_some_and(|path| {
        let path = path.iter().map(|part| part.as_str().unwrap_or_default());
        path.eq(breadcrumb.iter().copied())
    })
}

fn is_unsupported(item: &Value) -> bool {
    let inclusion = item.pointer("/metadata/inclusion").and_then(Value::as_str);
    inclusion == Some("unsupported")
}

/// The field that metadata is about.
fn property_of(item: &Value) -> Option<String> {
    match item.get("breadcrumb")?.as_array()?.as_slice() {
        [Value::String(word), Value::String(name)] if word == "properties" => Some(name.clone()),
        _ => None,
    }
}

/// Selects a stream with all its fields, or nothing of it.
fn select(entry: &mut Value, is_selected: bool) {
    let properties: Vec<String> = match entry.pointer("/schema/properties") {
        Some(Value::Object(properties)) => properties.keys().cloned().collect(),
        _ => Vec::new(),
    };
    put(entry, &[], "selected", json!(is_selected));
    if let Some(entry) = entry.as_object_mut() {
        entry.insert("selected".to_owned(), json!(is_selected));
    }
    // An old form of a selection.
    if let Some(schema) = entry.pointer_mut("/schema").and_then(Value::as_object_mut) {
        schema.insert("selected".to_owned(), json!(is_selected));
    }
    if !is_selected {
        return;
    }
    let unsupported = CatalogStream { entry }.unsupported();
    for name in properties {
        let is_given = !unsupported.contains(&name);
        put(entry, &["properties", &name], "selected", json!(is_given));
    }
}

/// Says how a stream is replicated, where the project or nobody does.
fn replicate(entry: &mut Value, options: &StreamOptions, is_full: bool) {
    let of_stream = of_stream(entry);
    let has = |name: &str| of_stream.is_some_and(|metadata| metadata.get(name).is_some());
    let is_told = has("replication-method")
        || has("forced-replication-method")
        || entry
            .get("replication_method")
            .is_some_and(Value::is_string);
    let method = match (&options.replication_method, &options.replication_key) {
        (Some(method), _) => Some(method.as_str()),
        (None, Some(_)) => Some("INCREMENTAL"),
        (None, None) if is_full && !is_told => Some("FULL_TABLE"),
        (None, None) => None,
    };
    let key = options.replication_key.as_deref();
    let given = [
        ("replication-method", "replication_method", method),
        ("replication-key", "replication_key", key),
    ];
    for (of_metadata, of_entry, value) in given {
        let Some(value) = value else { continue };
        put(entry, &[], of_metadata, json!(value));
        if let Some(entry) = entry.as_object_mut() {
            entry.insert(of_entry.to_owned(), json!(value));
        }
    }
}

/// Sets a value in the metadata of a stream or a field.
fn put(entry: &mut Value, breadcrumb: &[&str], name: &str, value: Value) {
    let Some(entry) = entry.as_object_mut() else {
        return;
    };
    let metadata = entry
        .entry("metadata")
        .or_insert_with(|| Value::Array(Vec::new()));
    if !metadata.is_array() {
        *metadata = Value::Array(Vec::new());
    }
    let Some(metadata) = metadata.as_array_mut() else {
        return;
    };
    let at = match metadata.iter().position(|item| is_of(item, breadcrumb)) {
        Some(at) => at,
        None => {
            metadata.push(json!({ "breadcrumb": breadcrumb, "metadata": {} }));
            metadata.len() - 1
        }
    };
    let item = metadata.get_mut(at).and_then(Value::as_object_mut);
    if let Some(item) = item {
        let own = item
            .entry("metadata")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(own) = own.as_object_mut() {
            own.insert(name.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const CATALOG: &str = r#"{"version": 1, "streams": [
        {"tap_stream_id": "public-orders", "stream": "orders", "key_properties": [],
         "schema": {"properties": {"id": {"type": "integer"}, "geo": {}, "at": {}}},
         "metadata": [
            {"breadcrumb": [], "metadata": {"table-key-properties": ["id"], "valid-replication-keys": ["at"]}},
            {"breadcrumb": ["properties", "geo"], "metadata": {"inclusion": "unsupported"}},
            {"breadcrumb": ["properties", "id"], "metadata": {"inclusion": "automatic"}}]},
        {"tap_stream_id": "other-orders", "stream": "orders", "schema": {"properties": {}}},
        {"stream": "plain", "schema": {}, "key_properties": ["a", "b"], "replication_method": "INCREMENTAL"}]}"#;

    fn selected(id: &str, options: &StreamOptions, is_full: bool) -> Value {
        let catalog = Catalog::read("tap-x", CATALOG.as_bytes()).unwrap();
        serde_json::from_str(&catalog.selecting(id, options, is_full)).unwrap()
    }

    #[test]
    fn one_stream_is_selected_with_all_that_the_tap_can_give() {
        let catalog = selected("public-orders", &StreamOptions::default(), true);
        let entry = &catalog["streams"][0];
        let metadata = entry["metadata"].as_array().unwrap();
        let of = |breadcrumb: &[&str]| {
            let item = metadata.iter().find(|item| is_of(item, breadcrumb));
            item.unwrap()["metadata"].clone()
        };
        assert_eq!(of(&[])["selected"], json!(true));
        assert_eq!(of(&[])["replication-method"], json!("FULL_TABLE"));
        assert_eq!(of(&["properties", "id"])["selected"], json!(true));
        assert_eq!(of(&["properties", "geo"])["selected"], json!(false));
        assert_eq!(of(&["properties", "at"]), json!({"selected": true}));
        let other = &catalog["streams"][1];
        assert_eq!(other["selected"], json!(false));
        assert_eq!(other["metadata"][0]["metadata"]["selected"], json!(false));
        assert_eq!(catalog["version"], json!(1));
    }

    #[test]
    fn the_way_of_replication_is_the_projects_or_the_taps() {
        let options = StreamOptions {
            replication_key: Some("at".to_owned()),
            ..StreamOptions::default()
        };
        let entry = selected("public-orders", &options, false)["streams"][0].clone();
        assert_eq!(entry["replication_method"], json!("INCREMENTAL"));
        assert_eq!(entry["replication_key"], json!("at"));
        let entry = selected("plain", &StreamOptions::default(), true)["streams"][2].clone();
        assert_eq!(entry["replication_method"], json!("INCREMENTAL"));
        assert!(entry["metadata"][0]["metadata"]["replication-method"].is_null());
    }

    #[test]
    fn streams_are_found_by_id_or_by_a_name_of_their_own() {
        let catalog = Catalog::read("tap-x", CATALOG.as_bytes()).unwrap();
        let found = catalog.find("shop", "public-orders").unwrap();
        assert_eq!(found.key(), ["id"]);
        assert_eq!(found.unsupported(), ["geo"]);
        assert_eq!(catalog.find("shop", "plain").unwrap().key(), ["a", "b"]);
        // Two streams have this name.
        let several = catalog.find("shop", "orders").unwrap_err();
        assert!(matches!(several, SingerError::NoStream { .. }));
        for wrong in ["[]", "{", "{\"streams\": 7}"] {
            assert!(Catalog::read("tap-x", wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
