//! The option `response` of a table, read once.
//!
//! Promise: what cannot be meant is refused with the key that is wrong. It reads no body. Read next:
//! `body.rs`, which does.

use encoding_rs::Encoding;
use glob::Pattern;
use serde_json::Value;

use super::body::{BodyForm, Kind, Packed};
use super::path::JsonPath;
use crate::files::WholeCsv;

/// Reads `response`; the error is what is wrong with it. `records` is the table's own option.
pub(super) fn read(value: Option<&Value>, records: Option<&str>) -> Result<BodyForm, String> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(BodyForm::JSON);
    };
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let is_row = matches!(text("type"), Some("csv" | "jsonl"));
    if is_row && records.is_some() {
        return Err("has records one behind the other, so the table has no `records`".to_owned());
    }
    let kind = match text("type") {
        Some("json") => Kind::Json,
        Some("jsonl") => Kind::JsonLines,
        Some("csv") => csv(value)?,
        Some("xml") => {
            let path = records
                .map(JsonPath::new)
                .filter(|path| !path.keys().is_empty());
            Kind::Xml(path.ok_or("needs `records` of the table, such as `feed.entry`")?)
        }
        other => {
            let other = other.unwrap_or_default();
            return Err(format!("has the type `{other}`, which is not known"));
        }
    };
    let packed = match (text("unpack"), text("member")) {
        (Some("zip"), member) => {
            let member = member.unwrap_or("*");
            let names = Pattern::new(member);
            Packed::Zip(
                names.map_err(|_| format!("has `member: {member}`, which is not a pattern"))?,
            )
        }
        (_, Some(_)) => return Err("has `member` without `unpack: zip`".to_owned()),
        (Some("gzip"), None) => Packed::Gzip,
        (None | Some("none"), None) => Packed::No,
        (Some(other), None) => {
            return Err(format!(
                "has `unpack: {other}`, but must have none, gzip or zip"
            ));
        }
    };
    let encoding = text("encoding").map(|label| {
        let known = Encoding::for_label(label.as_bytes());
        known.ok_or_else(|| format!("has `encoding: {label}`, which is not known"))
    });
    Ok(BodyForm {
        kind,
        packed,
        encoding: encoding.transpose()?,
    })
}

fn csv(value: &Value) -> Result<Kind, String> {
    let delimiter = character(value, "delimiter")?;
    let delimiter = match delimiter {
        Some(None) => return Err("has an empty `delimiter`".to_owned()),
        Some(Some(delimiter)) => delimiter,
        None => b',',
    };
    let quote = character(value, "quote")?.unwrap_or(Some(b'"'));
    if quote == Some(delimiter) {
        return Err("has one character as `delimiter` and `quote`".to_owned());
    }
    let has_header = match value.get("header").filter(|value| !value.is_null()) {
        None => true,
        Some(value) => value
            .as_bool()
            .ok_or_else(|| format!("has `header: {value}`, which is neither true nor false"))?,
    };
    let nulls = value.get("null_values").and_then(Value::as_array);
    let nulls = nulls.into_iter().flatten().filter_map(Value::as_str);
    Ok(Kind::Csv {
        how: WholeCsv { delimiter, quote },
        has_header,
        nulls: nulls.map(str::to_owned).collect(),
    })
}

/// One ASCII character; `Some(None)` for an empty text.
fn character(value: &Value, key: &str) -> Result<Option<Option<u8>>, String> {
    let Some(text) = value.get(key).and_then(Value::as_str) else {
        return Ok(None);
    };
    let byte = match (text, text.as_bytes()) {
        ("", _) => return Ok(Some(None)),
        ("tab" | "\\t", _) => b'\t',
        (_, [byte]) => *byte,
        _ => 0,
    };
    match byte == 0 || !byte.is_ascii() || matches!(byte, b'\r' | b'\n') {
        true => Err(format!(
            "has `{key}: {text}`, which is not one ASCII character"
        )),
        false => Ok(Some(Some(byte))),
    }
}
