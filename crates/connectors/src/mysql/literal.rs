//! Names and values as SQL text of MySQL.
//!
//! Promise: whatever a name or a value holds, it is one identifier or one literal, in every `sql_mode` of a
//! server: text travels as hexadecimal digits, so no quoting rule applies to it.

use std::fmt::Write as _;

/// One identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A table of a database.
pub(super) fn qualified(database: &str, table: &str) -> String {
    format!("{}.{}", quoted(database), quoted(table))
}

/// A text.
pub(super) fn text(value: &str) -> String {
    if value.is_empty() {
        return "_utf8mb4''".to_owned();
    }
    value
        .bytes()
        .fold("_utf8mb4 0x".to_owned(), |mut sql, byte| {
            // Writing to a String cannot fail.
            let _ = write!(sql, "{byte:02x}");
            sql
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_survives_anything() {
        assert_eq!(quoted("a`b'\"\\"), "`a``b'\"\\`");
        assert_eq!(text("'\\ä"), "_utf8mb4 0x275cc3a4");
        assert_eq!(text(""), "_utf8mb4''");
    }
}
