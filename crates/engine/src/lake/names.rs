//! Names of tables to keys and back.
//!
//! A name part keeps letters, digits, `.`, `_`, `-`; each other byte (and a leading dot) becomes `~`
//! and two hex digits, so every table name is one safe part of a key on every storage. It knows no
//! storage. Read next: `storage/mod.rs`.

use sha2::{Digest as _, Sha256};
use towpath_vocab::{TableName, WriteMode};

/// The prefix beside data files, and at the root, for what is ours; readers ignore its name.
pub(crate) const OWN: &str = "_towpath";
/// The prefix that makes a prefix a Delta table.
pub(crate) const LOG: &str = "_delta_log";

/// The table that a data file of this address belongs to.
pub(crate) fn table_of(address: &str) -> Option<TableName> {
    let mut parts = address.rsplit('/').skip(1);
    let table = unescape(parts.next()?)?;
    Some(TableName::new(unescape(parts.next()?)?, table))
}

/// The name of an object that is about a table: `<schema>.<table>.json`.
pub(crate) fn object_of(table: &TableName) -> String {
    format!("{}.{}.json", escape(table.schema()), escape(table.table()))
}

/// A name part as a part of a key.
pub(crate) fn escape(part: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(part.len());
    for (at, byte) in part.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || (byte == b'.' && at > 0) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "~{byte:02x}");
        }
    }
    out
}

/// The name part that a part of a key was made of; `None` for parts that `escape` never makes.
pub(crate) fn unescape(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'~' {
            let pair = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    (!name.is_empty() && escape(&name) == part).then_some(name)
}

/// A task's id as a part of a key: itself, or its hash when a file system could refuse its length.
pub(crate) fn app_part(app_id: &str) -> String {
    if app_id.len() <= 200 {
        return app_id.to_owned();
    }
    Sha256::digest(app_id.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The config's word for a write mode.
pub(crate) fn word(mode: WriteMode) -> String {
    serde_json::to_value(mode)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_name_is_one_safe_part_and_reads_back() {
        for name in [
            "flights",
            "a b",
            "Größe",
            "..",
            ".x",
            "a/b",
            "a~b",
            "_quarantine",
            "x.y",
        ] {
            let part = escape(name);
            assert!(!part.contains('/') && !part.starts_with('.'), "{part}");
            assert_eq!(unescape(&part).as_deref(), Some(name));
        }
        assert_eq!(unescape("a b"), None);
    }
}
