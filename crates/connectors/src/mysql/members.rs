//! The members of `enum` and `set` columns, and which texts are values of such a column as they are.
//!
//! Promise: a text is a member only byte by byte: MySQL would take `A` for `a`, `'1'` for the first member, and
//! sort the members of a set. Pure text. Read next: `present.rs`. Source: MySQL's manual, "The ENUM Type" and
//! "The SET Type".

use std::fmt::Write as _;

/// The members of a type as the catalogue has it: `enum('a','it''s')`. `None` if it cannot be read.
fn members(declared: &str) -> Option<Vec<String>> {
    let list = declared.split_once('(')?.1;
    let mut letters = list.chars();
    let mut members = Vec::new();
    loop {
        if letters.next()? != '\'' {
            return None;
        }
        let mut member = String::new();
        let end = loop {
            match letters.next()? {
                '\'' => match letters.next()? {
                    '\'' => member.push('\''),
                    end => break end,
                },
                '\\' => member.push(match letters.next()? {
                    'n' => '\n',
                    'r' => '\r',
                    '0' => '\0',
                    other => other,
                }),
                other => member.push(other),
            }
        };
        members.push(member);
        match end {
            ',' => {}
            ')' => return Some(members),
            _ => return None,
        }
    }
}

/// Bytes, whatever they are.
fn bytes(text: &str) -> String {
    match text.is_empty() {
        true => "_binary''".to_owned(),
        false => text.bytes().fold("_binary 0x".to_owned(), |mut sql, byte| {
            // Writing to a String cannot fail.
            let _ = write!(sql, "{byte:02x}");
            sql
        }),
    }
}

/// SQL that is true for a text that is a member of an `enum`.
pub(super) fn is_member(declared: &str, text: &str) -> Option<String> {
    let members = members(declared)?;
    let members: Vec<String> = members.iter().map(|member| bytes(member)).collect();
    Some(format!(
        "(CAST({text} AS BINARY) IN ({}))",
        members.join(", ")
    ))
}

/// SQL that is true for a text that names members of a `set` in their order, each once.
pub(super) fn is_set(declared: &str, text: &str) -> Option<String> {
    let members = members(declared)?;
    let places = members.iter().enumerate();
    let bits: Vec<String> = places
        .map(|(at, member)| {
            let member = bytes(member);
            format!("((FIND_IN_SET({member}, CAST({text} AS BINARY)) > 0) << {at})")
        })
        .collect();
    let members: Vec<String> = members.iter().map(|member| bytes(member)).collect();
    Some(format!(
        "(MAKE_SET({}, {}) <=> CAST({text} AS BINARY))",
        bits.join(" | "),
        members.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn members_are_read_as_the_catalogue_writes_them() {
        let read = |declared| members(declared).unwrap();
        assert_eq!(read("enum('a','b,''c')"), ["a", "b,'c"]);
        assert_eq!(read(r"set('a\\b','(x)','')"), [r"a\b", "(x)", ""]);
        assert_eq!(members("enum('a"), None);
        assert_eq!(members("int(11)"), None);
    }
}
