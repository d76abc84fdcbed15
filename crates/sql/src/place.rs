//! Converts lines and columns of the parser to bytes of the original text.
//!
//! Promise: lines and columns count from 1; columns count characters, not bytes; end positions are
//! exclusive. It does not know what is at a position.

use datafusion_common::Span;
use datafusion_sql::sqlparser::tokenizer::{Location, Span as ParserSpan};

/// The byte offset of a position in the text; `None` if it is outside.
pub(crate) fn offset(sql: &str, line: u64, column: u64) -> Option<usize> {
    let mut start = 0;
    for _ in 1..line {
        start += sql.get(start..)?.find('\n')? + 1;
    }
    let rest = sql.get(start..)?;
    let skip = usize::try_from(column.checked_sub(1)?).ok()?;
    let within = rest
        .char_indices()
        .map(|(at, _)| at)
        .chain([rest.len()])
        .nth(skip)?;
    Some(start + within)
}

fn between(sql: &str, start: (u64, u64), end: (u64, u64)) -> Option<(usize, usize)> {
    let from = offset(sql, start.0, start.1)?;
    let to = offset(sql, end.0, end.1).unwrap_or(sql.len());
    (from <= to).then_some((from, to))
}

/// Bytes of a planner's span.
pub(crate) fn of_plan(sql: &str, span: Span) -> Option<(usize, usize)> {
    between(
        sql,
        (span.start.line, span.start.column),
        (span.end.line, span.end.column),
    )
}

/// Bytes of a parser's span.
pub(crate) fn of_parse(sql: &str, span: ParserSpan) -> Option<(usize, usize)> {
    let pair = |place: Location| (place.line, place.column);
    between(sql, pair(span.start), pair(span.end))
}

/// Bytes of the last occurrence of a whole word in the text, in any case.
pub(crate) fn of_word(sql: &str, word: &str) -> Option<(usize, usize)> {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let mut found = sql.char_indices().filter(|(at, _)| {
        let here = sql
            .get(*at..at + word.len())
            .is_some_and(|text| text.eq_ignore_ascii_case(word));
        here && !inside(sql[..*at].chars().next_back())
            && !inside(sql[at + word.len()..].chars().next())
    });
    found.next_back().map(|(at, _)| (at, at + word.len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn columns_count_characters() {
        let sql = "select 'ü',\n  x from t";
        assert_eq!(offset(sql, 1, 1), Some(0));
        assert_eq!(&sql[offset(sql, 1, 11).unwrap()..][..1], ",");
        assert_eq!(&sql[offset(sql, 2, 3).unwrap()..], "x from t");
        assert_eq!(offset(sql, 2, 11), Some(sql.len()));
        assert_eq!(offset(sql, 3, 1), None);
        assert_eq!(offset(sql, 1, 0), None);
    }
}
