//! Values of templates to JSON and back, exactly: whole numbers stay whole, order is kept.
//!
//! What JSON cannot hold (a relation, a function) becomes its text.

use minijinja::Value;
use minijinja::value::ValueKind;
use serde_json::{Map, Number, Value as Json};

/// A JSON value as a value of a template.
pub(crate) fn to_template(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(float)) => Value::from(float),
            (None, None) => Value::from(number.to_string()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(to_template).collect::<Vec<_>>()),
        Json::Object(map) => Value::from_pairs(
            map.iter()
                .map(|(key, value)| (key.as_str(), to_template(value))),
        ),
    }
}

/// A template's value as JSON.
pub(crate) fn from_template(value: &Value) -> Json {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None | ValueKind::Invalid => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => number(value),
        ValueKind::Seq | ValueKind::Iterable => match value.try_iter() {
            Ok(items) => Json::Array(items.map(|item| from_template(&item)).collect()),
            Err(_) => Json::Null,
        },
        ValueKind::Map => object(value),
        _ => Json::String(value.to_string()),
    }
}

fn number(value: &Value) -> Json {
    if let Some(whole) = value.as_i64() {
        return Json::from(whole);
    }
    match value
        .to_string()
        .parse::<f64>()
        .ok()
        .and_then(Number::from_f64)
    {
        Some(number) => Json::Number(number),
        None => Json::String(value.to_string()),
    }
}

fn object(value: &Value) -> Json {
    let Ok(keys) = value.try_iter() else {
        return Json::Null;
    };
    let pairs = keys.filter_map(|key| {
        let item = value.get_item(&key).ok()?;
        Some((key.to_string(), from_template(&item)))
    });
    Json::Object(pairs.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_comes_back() {
        let json = serde_json::json!({"b": [1, 2.5, null, true], "a": {"x": "y"}});
        let back = from_template(&to_template(&json));
        assert_eq!(back, json);
        assert_eq!(back.to_string(), json.to_string());
    }
}
