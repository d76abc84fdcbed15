//! JSON Schemas of the project's files, from the declaration that the parser uses.
//!
//! Promise: a key is in the schema exactly if the parser knows it. Editors use the schemas for completion
//! and to mark mistakes; the check itself does not. Read next: `keys/mod.rs`.

use serde_json::{Map, Value, json};
use towpath_vocab::{ConnectorSpec, OptionKind, OptionSpec, OptionVariant};

use crate::keys::{self, KeySchema, Kind};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of `towpath.yml`.
pub fn json_schema_towpath(specs: &[ConnectorSpec]) -> Value {
    document("towpath.yml", Kind::Map(&keys::ROOT), specs)
}

/// The schema of `pipelines/*.yml`.
pub fn json_schema_pipeline(specs: &[ConnectorSpec]) -> Value {
    document("pipelines/*.yml", Kind::Map(&keys::PIPELINE), specs)
}

/// The schema of `connections/*.yml`.
pub fn json_schema_connection(specs: &[ConnectorSpec]) -> Value {
    document("connections/*.yml", Kind::Connection, specs)
}

/// The schema of `schemas/*.yml`.
pub fn json_schema_schemas() -> Value {
    document("schemas/*.yml", Kind::Map(&keys::SCHEMAS), &[])
}

struct Writer<'a> {
    specs: &'a [ConnectorSpec],
    definitions: Map<String, Value>,
}

fn document(title: &str, root: Kind, specs: &[ConnectorSpec]) -> Value {
    let mut writer = Writer {
        specs,
        definitions: Map::new(),
    };
    let mut body = match root {
        Kind::Map(shape) => writer.shape(shape, &[]),
        other => writer.kind(other),
    };
    if let Value::Object(object) = &mut body {
        object.insert("$schema".to_owned(), json!(DIALECT));
        object.insert("title".to_owned(), json!(title));
        object.insert("$defs".to_owned(), Value::Object(writer.definitions));
    }
    body
}

impl Writer<'_> {
    fn kind(&mut self, kind: Kind) -> Value {
        match kind {
            Kind::Text | Kind::Sql | Kind::AtRun | Kind::Secret => scalar(),
            Kind::Type => {
                json!({ "type": "string", "examples": ["bigint", "decimal(18,2)", "text", "timestamp", "timestamptz"] })
            }
            Kind::Duration => {
                json!({ "type": ["string", "integer"], "examples": ["30s", "10m", "24h"] })
            }
            Kind::Size => json!({ "type": ["string", "integer"], "examples": ["512MB", "4GB"] }),
            Kind::Integer => or_substitution(json!({ "type": "integer", "minimum": 0 })),
            Kind::Boolean => or_substitution(json!({ "type": "boolean" })),
            Kind::OneOf(words) => or_substitution(json!({ "enum": words })),
            Kind::Limit => json!({ "anyOf": [
                { "type": ["string", "integer"], "examples": ["1%", 100] },
                { "type": "object", "properties": { "percent": { "type": ["number", "string"] }, "rows": { "type": "integer" } }, "additionalProperties": false },
            ] }),
            Kind::Texts | Kind::Statements => {
                json!({ "anyOf": [scalar(), { "type": "array", "items": scalar() }] })
            }
            Kind::TextList | Kind::AtRunList => json!({ "type": "array", "items": scalar() }),
            Kind::Value | Kind::AtRunValue => json!({}),
            Kind::Map(shape) => self.reference(shape.noun, |writer| writer.shape(shape, &[])),
            Kind::Named(inner) => {
                let inner = self.kind(*inner);
                json!({ "type": ["object", "null"], "additionalProperties": { "anyOf": [inner, { "type": "null" }] } })
            }
            Kind::List(inner) => {
                let inner = self.kind(*inner);
                json!({ "type": "array", "items": inner })
            }
            Kind::Either(kinds) => {
                let all: Vec<Value> = kinds.iter().map(|kind| self.kind(*kind)).collect();
                json!({ "anyOf": all })
            }
            Kind::Connection => self.reference("connection", Self::connection),
            Kind::Step => self.reference("step", |writer| writer.shape(&keys::STEP, &[])),
            Kind::Table => self.reference("table", Self::table),
            Kind::Check => self.reference("check", |writer| writer.shape(&keys::CHECK, &[])),
        }
    }

    /// A reference to a shape in `$defs`, where each shape is once, because shapes can contain themselves.
    fn reference(&mut self, name: &str, body: impl FnOnce(&mut Self) -> Value) -> Value {
        let name = name.replace(' ', "_");
        if !self.definitions.contains_key(&name) {
            self.definitions.insert(name.clone(), Value::Null);
            let body = body(self);
            self.definitions.insert(name.clone(), body);
        }
        json!({ "$ref": format!("#/$defs/{name}") })
    }

    fn shape(&mut self, shape: &KeySchema, options: &[&OptionSpec]) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for key in shape.all() {
            let mut value = self.kind(key.kind);
            let doc = if key.inactive.is_none() {
                key.doc.to_owned()
            } else {
                format!("{} (not supported in this version)", key.doc)
            };
            describe(&mut value, &doc);
            properties.insert(key.name.to_owned(), value);
            if key.required {
                required.push(key.name);
            }
        }
        for option in options {
            properties
                .entry(option.name.clone())
                .or_insert_with(|| option_schema(option));
        }
        let mut body = json!({ "type": ["object", "null"], "properties": properties, "additionalProperties": false });
        if !required.is_empty()
            && let Value::Object(object) = &mut body
        {
            object.insert("required".to_owned(), json!(required));
        }
        body
    }

    /// One alternative per connector, chosen by `type` only, because an environment may change single
    /// options.
    fn connection(&mut self) -> Value {
        let kinds: Vec<&str> = self.specs.iter().map(|spec| spec.kind.as_str()).collect();
        let all = self.specs.iter().flat_map(|spec| &spec.options);
        let mut all: Vec<&OptionSpec> = all.filter(|option| !option.table_only).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let mut body = self.shape(&keys::CONNECTION, &all);
        if let Some(kind) = body.pointer_mut("/properties/type") {
            *kind = json!({ "enum": kinds, "description": "The type of system." });
        }
        if let Value::Object(object) = &mut body {
            object.remove("required");
        }
        body
    }

    fn table(&mut self) -> Value {
        let mut all: Vec<&OptionSpec> = self
            .specs
            .iter()
            .flat_map(|spec| &spec.options)
            .filter(|option| option.per_table)
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        self.shape(&keys::TABLE, &all)
    }
}

fn scalar() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}

fn or_substitution(value: Value) -> Value {
    json!({ "anyOf": [value, { "type": "string", "pattern": "\\$\\{" }] })
}

fn describe(value: &mut Value, doc: &str) {
    if let Value::Object(object) = value {
        object.insert("description".to_owned(), json!(doc));
    }
}

fn variant_schema(variant: &OptionVariant) -> Value {
    let mut properties = serde_json::Map::new();
    properties.insert("type".to_owned(), json!({ "const": variant.word }));
    let mut required = vec!["type"];
    for key in &variant.keys {
        properties.insert(key.name.clone(), option_schema(key));
        if key.required {
            required.push(&key.name);
        }
    }
    json!({
        "type": "object",
        "description": variant.doc,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn option_schema(option: &OptionSpec) -> Value {
    let mut value = match &option.kind {
        OptionKind::Integer => or_substitution(json!({ "type": "integer" })),
        OptionKind::Boolean => or_substitution(json!({ "type": "boolean" })),
        OptionKind::OneOf(words) => or_substitution(json!({ "enum": words })),
        OptionKind::TextList => {
            json!({ "anyOf": [scalar(), { "type": "array", "items": scalar() }] })
        }
        OptionKind::TextMap => json!({ "type": "object", "additionalProperties": scalar() }),
        OptionKind::SecretMap => json!({ "type": "object" }),
        OptionKind::Variants(variants) => {
            let variants: Vec<Value> = variants.iter().map(variant_schema).collect();
            json!({ "anyOf": variants })
        }
        OptionKind::Text | OptionKind::Path | OptionKind::Secret => scalar(),
    };
    describe(&mut value, &option.doc);
    value
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_key_of_the_declaration_is_in_the_schema() {
        let schema = json_schema_pipeline(&[]);
        let table = schema.pointer("/$defs/table/properties").unwrap();
        for key in keys::TABLE.all() {
            assert!(table.get(key.name).is_some(), "{}", key.name);
        }
        let root = json_schema_towpath(&[]);
        for key in keys::ROOT.all() {
            assert!(root["properties"].get(key.name).is_some(), "{}", key.name);
        }
        assert_eq!(root["required"], json!(["towpath", "name"]));
        assert_eq!(json_schema_schemas()["additionalProperties"], json!(false));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        for schema in [
            json_schema_towpath(&[]),
            json_schema_pipeline(&[]),
            json_schema_connection(&[]),
        ] {
            let text = schema.to_string();
            for part in text.split("#/$defs/").skip(1) {
                let name = part.split('"').next().unwrap();
                assert!(schema["$defs"][name].is_object(), "{name}");
            }
        }
    }
}
