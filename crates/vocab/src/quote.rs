//! Quotes names and text for SQL so that they are read back unchanged.
//!
//! Promise: `"` around names and `'` around text, doubled inside. It knows no other rule of a dialect.

use crate::TableName;

/// A name in double quotes: any text, kept unchanged, never folded to lower case.
pub fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// `"schema"."table"`.
pub fn quote_table(table: &TableName) -> String {
    format!("{}.{}", quote(table.schema()), quote(table.table()))
}

/// Text as a literal in single quotes.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(quote("a\"b C"), "\"a\"\"b C\"");
        assert_eq!(
            quote_table(&TableName::new("raw", "order\"s")),
            "\"raw\".\"order\"\"s\""
        );
        assert_eq!(literal("it's"), "'it''s'");
    }
}
