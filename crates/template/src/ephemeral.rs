//! Puts ephemeral models as CTEs before the statement that refers to them.
//!
//! Promise: if the statement begins with `WITH`, the new CTEs come first in the same list, so that the
//! statement's own CTEs can read them. It knows comments and the word `WITH`, and no other SQL.

use std::ops::Range;

use crate::objects::cte_name;

/// The statement with the CTEs, and the range of the new bytes.
pub(crate) fn inject(sql: &str, models: &[(String, String)]) -> (String, Range<usize>) {
    if models.is_empty() {
        return (sql.to_owned(), 0..0);
    }
    let ctes: Vec<String> = models
        .iter()
        .map(|(name, body)| format!("{} as (\n{}\n)", cte_name(name), body.trim()))
        .collect();
    let (at, text) = match after_with(sql) {
        Some(at) => (at, format!(" {},", ctes.join(", "))),
        None => (0, format!("with {}\n", ctes.join(", "))),
    };
    let (before, after) = sql.split_at_checked(at).unwrap_or(("", sql));
    (format!("{before}{text}{after}"), at..at + text.len())
}

/// The byte after the leading `WITH` or `WITH RECURSIVE`.
fn after_with(sql: &str) -> Option<usize> {
    let start = skip_blank(sql, 0);
    let with = word(sql, start, "with")?;
    let next = skip_blank(sql, with);
    Some(word(sql, next, "recursive").unwrap_or(with))
}

fn word(sql: &str, at: usize, word: &str) -> Option<usize> {
    let end = at + word.len();
    let found = sql.get(at..end)?.eq_ignore_ascii_case(word);
    let ends = !sql
        .get(end..)?
        .starts_with(|c: char| c.is_alphanumeric() || c == '_');
    (found && ends).then_some(end)
}

/// Skips whitespace and comments.
fn skip_blank(sql: &str, from: usize) -> usize {
    let mut at = from;
    loop {
        let rest = sql.get(at..).unwrap_or_default();
        let blank = rest.len() - rest.trim_start().len();
        let rest = rest.trim_start();
        let comment = if rest.starts_with("--") {
            rest.find('\n').map_or(rest.len(), |end| end + 1)
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else {
            0
        };
        if blank + comment == 0 {
            return at;
        }
        at += blank + comment;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(sql: &str) -> String {
        inject(sql, &[("e".to_owned(), "select 1 as x\n".to_owned())]).0
    }

    #[test]
    fn ctes_come_first() {
        assert_eq!(
            one("select * from y"),
            "with __dbt__cte__e as (\nselect 1 as x\n)\nselect * from y"
        );
        assert_eq!(
            one("-- with\n  WITH a as (select 1) select 2"),
            "-- with\n  WITH __dbt__cte__e as (\nselect 1 as x\n), a as (select 1) select 2"
        );
        assert_eq!(
            one("with recursive a as (select 1) select 2"),
            "with recursive __dbt__cte__e as (\nselect 1 as x\n), a as (select 1) select 2"
        );
        assert!(one("within_x").starts_with("with __dbt__cte__e"));
    }
}
