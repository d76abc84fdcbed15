//! The schema of an Avro file in the form that the library reads.
//!
//! Promise: it says the same types. Names are made plain and unique (the library does not find a name with dots), words
//! without a meaning for values are left out, and so is what the library would do to a value: parse a `uuid` that
//! is text, bend the parts of a `duration`. A field that is always null takes no bytes and is left out of the records. A schema that contains itself, or grows beyond a bound where its names
//! are used again, is refused. Read next: `rows.rs`.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use crate::files::columnar::{UNSIGNED_INTERVAL, UUID};

/// Types in a schema, each name counted where it is used.
const MOST_TYPES: u64 = 100_000;
/// How deep types may be inside each other.
const MOST_DEPTH: usize = 64;

const PRIMITIVES: [&str; 8] = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string",
];

/// Which logical types change what a value is; `uuid` of a text does not.
const LOGICAL: [(&str, &[&str]); 2] = [
    ("int", &["date", "time-millis"]),
    (
        "long",
        &[
            "time-micros",
            "timestamp-millis",
            "timestamp-micros",
            "timestamp-nanos",
            "local-timestamp-millis",
            "local-timestamp-micros",
            "local-timestamp-nanos",
        ],
    ),
];

/// How large a type is.
#[derive(Clone, Copy)]
struct Size {
    types: u64,
    depth: usize,
}

impl Size {
    const ONE: Self = Self { types: 1, depth: 1 };

    fn around(inner: impl IntoIterator<Item = Self>) -> Result<Self, String> {
        let all = inner.into_iter().fold(Self::ONE, |all, one| Self {
            types: all.types.saturating_add(one.types),
            depth: all.depth.max(one.depth.saturating_add(1)),
        });
        if all.types > MOST_TYPES {
            return Err(format!("its schema has more than {MOST_TYPES} types"));
        }
        if all.depth > MOST_DEPTH {
            return Err(format!(
                "its schema has more than {MOST_DEPTH} types inside each other"
            ));
        }
        Ok(all)
    }
}

/// A name, and its size once all of it is known.
struct Named {
    plain: String,
    size: Option<Size>,
}

#[derive(Default)]
struct Names {
    known: HashMap<String, Named>,
    taken: HashSet<String>,
}

/// What the records of a file are.
pub(super) struct Plain {
    /// Their schema, without the fields that are always null.
    pub(super) record: Value,
    /// The places and names of those.
    pub(super) nulls: Vec<(usize, String)>,
}

/// The schema of the records of a file.
pub(super) fn plain(schema: &[u8]) -> Result<Plain, String> {
    let given: Value = serde_json::from_slice(schema)
        .map_err(|error| format!("its schema is not valid JSON: {error}"))?;
    let (record, _) = Names::default().of(&given, "")?;
    if record.get("type").and_then(Value::as_str) != Some("record") {
        return Err("its rows are not records".to_owned());
    }
    let fields = given.get("fields").and_then(Value::as_array);
    let fields = fields.into_iter().flatten().enumerate();
    let nulls = fields.filter(|(_, field)| field.get("type").is_some_and(is_null));
    let name = |field: &Value| field.get("name").and_then(Value::as_str).map(str::to_owned);
    Ok(Plain {
        nulls: nulls
            .filter_map(|(at, field)| Some((at, name(field)?)))
            .collect(),
        record,
    })
}

fn is_null(given: &Value) -> bool {
    given == "null" || given.get("type").is_some_and(is_null)
}

/// What stands before the last dot of a name, and what behind it.
fn parts(name: &str) -> (Option<&str>, &str) {
    match name.rsplit_once('.') {
        Some((space, name)) => (Some(space), name),
        None => (None, name),
    }
}

fn full(space: &str, name: &str) -> String {
    match space {
        "" => name.to_owned(),
        space => format!("{space}.{name}"),
    }
}

fn text<'v>(of: &'v Map<String, Value>, key: &str) -> Result<&'v str, String> {
    let found = of.get(key).and_then(Value::as_str);
    found.ok_or_else(|| format!("its schema has a type without `{key}`"))
}

fn list<'v>(of: &'v Map<String, Value>, key: &str) -> Result<&'v Vec<Value>, String> {
    let found = of.get(key).and_then(Value::as_array);
    found.ok_or_else(|| format!("its schema has a type without `{key}`"))
}

fn part<'v>(of: &'v Map<String, Value>, key: &str) -> Result<&'v Value, String> {
    let found = of.get(key);
    found.ok_or_else(|| format!("its schema has a type without `{key}`"))
}

/// The type of items, which have values.
fn values<'v>(of: &'v Map<String, Value>, key: &str) -> Result<&'v Value, String> {
    match part(of, key)? {
        kind if is_null(kind) => Err("its schema has lists without values".to_owned()),
        kind => Ok(kind),
    }
}

impl Names {
    /// A type that stands in a namespace.
    fn of(&mut self, given: &Value, space: &str) -> Result<(Value, Size), String> {
        match given {
            Value::String(name) if PRIMITIVES.contains(&name.as_str()) => {
                Ok((given.clone(), Size::ONE))
            }
            Value::String(name) => self.known(name, space),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.of(branch, space));
                let branches = branches.collect::<Result<Vec<_>, _>>()?;
                let size = Size::around(branches.iter().map(|(_, size)| *size))?;
                let branches = branches.into_iter().map(|(branch, _)| branch);
                Ok((branches.collect(), size))
            }
            Value::Object(of) => match part(of, "type")? {
                Value::String(kind) => self.described(of, kind, space),
                inner => self.of(inner, space),
            },
            _ => Err("its schema has a type that is neither a name nor a description".to_owned()),
        }
    }

    /// A name that was given to a type before.
    fn known(&self, name: &str, space: &str) -> Result<(Value, Size), String> {
        let near = match parts(name) {
            (None, name) => self.known.get(&full(space, name)),
            _ => None,
        };
        let found = near.or_else(|| self.known.get(name));
        let found = found.ok_or_else(|| format!("its schema does not say what `{name}` is"))?;
        match found.size {
            Some(size) => Ok((Value::String(found.plain.clone()), size)),
            None => Err(format!("the type `{name}` contains itself")),
        }
    }

    fn described(
        &mut self,
        of: &Map<String, Value>,
        kind: &str,
        space: &str,
    ) -> Result<(Value, Size), String> {
        match kind {
            "record" | "error" => self.record(of, space),
            "enum" => {
                let (name, key, _) = self.define(of, space)?;
                self.finish(&key, Size::ONE);
                let symbols = list(of, "symbols")?;
                let plain = json!({"type": "enum", "name": name, "symbols": symbols});
                Ok((plain, Size::ONE))
            }
            "fixed" => {
                let (name, key, _) = self.define(of, space)?;
                self.finish(&key, Size::ONE);
                Ok((fixed(of, name)?, Size::ONE))
            }
            "array" => {
                let (items, size) = self.of(values(of, "items")?, space)?;
                Ok((
                    json!({"type": "array", "items": items}),
                    Size::around([size])?,
                ))
            }
            "map" => {
                let (values, size) = self.of(values(of, "values")?, space)?;
                Ok((
                    json!({"type": "map", "values": values}),
                    Size::around([size])?,
                ))
            }
            kind if PRIMITIVES.contains(&kind) => Ok((primitive(of, kind), Size::ONE)),
            name => self.known(name, space),
        }
    }

    fn record(&mut self, of: &Map<String, Value>, space: &str) -> Result<(Value, Size), String> {
        let (name, key, space) = self.define(of, space)?;
        let (mut fields, mut sizes) = (Vec::new(), Vec::new());
        for field in list(of, "fields")? {
            let field = field
                .as_object()
                .ok_or("its schema has a field without a name")?;
            let kind = part(field, "type")?;
            if is_null(kind) {
                continue;
            }
            let (plain, size) = self.of(kind, &space)?;
            fields.push(json!({"name": text(field, "name")?, "type": plain}));
            sizes.push(size);
        }
        if fields.is_empty() {
            return Err(format!("the records of its type `{name}` have no values"));
        }
        let size = Size::around(sizes)?;
        self.finish(&key, size);
        let plain = json!({"type": "record", "name": name, "fields": fields});
        Ok((plain, size))
    }

    /// Gives a type its plain name; with it its full one and the namespace of what is inside.
    fn define(
        &mut self,
        of: &Map<String, Value>,
        space: &str,
    ) -> Result<(String, String, String), String> {
        let (own, name) = parts(text(of, "name")?);
        let said = of.get("namespace").and_then(Value::as_str);
        let space = own.or(said).unwrap_or(space).to_owned();
        let plain = (1..)
            .map(|count| match count {
                1 => name.to_owned(),
                _ => format!("{name}_{count}"),
            })
            .find(|plain| self.taken.insert(plain.clone()))
            .unwrap_or_default();
        let key = full(&space, name);
        let named = Named {
            plain: plain.clone(),
            size: None,
        };
        if self.known.insert(key.clone(), named).is_some() {
            return Err(format!("its schema describes `{key}` twice"));
        }
        Ok((plain, key, space))
    }

    fn finish(&mut self, key: &str, size: Size) {
        if let Some(named) = self.known.get_mut(key) {
            named.size = Some(size);
        }
    }
}

/// The attributes of a decimal, if it says how many digits it has.
fn decimal(of: &Map<String, Value>) -> Option<(u64, u64)> {
    let number = |key: &str| of.get(key).and_then(Value::as_u64);
    let is_decimal = of.get("logicalType").and_then(Value::as_str) == Some("decimal");
    let precision = number("precision").filter(|_| is_decimal)?;
    Some((precision, number("scale").unwrap_or(0)))
}

fn primitive(of: &Map<String, Value>, kind: &str) -> Value {
    if let ("bytes", Some((precision, scale))) = (kind, decimal(of)) {
        return json!({
            "type": kind, "logicalType": "decimal", "precision": precision, "scale": scale
        });
    }
    let logical = of.get("logicalType").and_then(Value::as_str);
    let meant = LOGICAL.iter().find(|(of, _)| *of == kind);
    match (logical, meant) {
        (Some(logical), Some((_, all))) if all.contains(&logical) => {
            json!({"type": kind, "logicalType": logical})
        }
        _ => Value::String(kind.to_owned()),
    }
}

fn fixed(of: &Map<String, Value>, name: String) -> Result<Value, String> {
    let size = of.get("size").and_then(Value::as_u64);
    let size = size.filter(|size| *size > 0);
    let size = size.ok_or_else(|| format!("its schema does not say how long `{name}` is"))?;
    let mut plain = json!({"type": "fixed", "name": name, "size": size});
    let logical = of.get("logicalType").and_then(Value::as_str);
    match (logical, size, decimal(of)) {
        (_, _, Some((precision, scale))) => {
            plain["logicalType"] = json!("decimal");
            plain["precision"] = json!(precision);
            plain["scale"] = json!(scale);
        }
        (Some("duration"), 12, _) => plain[UNSIGNED_INTERVAL] = json!(true),
        (Some("uuid"), 16, _) => plain[UUID] = json!(true),
        _ => {}
    }
    Ok(plain)
}
