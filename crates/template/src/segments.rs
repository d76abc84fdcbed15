//! Splits a template into text, comments, expressions and blocks, with byte ranges.
//!
//! Promise: it parses only the syntax that is needed to find macros, calls and literal text: delimiters,
//! strings inside tags, whitespace control, `raw`. It reports no mistakes; the parser of the template
//! engine does.

use std::ops::Range;

/// The kind of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Copied to the output.
    Text,
    /// `{# … #}`.
    Comment,
    /// `{{ … }}`.
    Expression,
    /// `{% … %}`.
    Block,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) kind: Kind,
    /// The whole piece, with delimiters.
    pub(crate) range: Range<usize>,
    /// The part between the delimiters; for text the text.
    pub(crate) inner: Range<usize>,
    /// `{{-`: whitespace before it is removed.
    pub(crate) trims_before: bool,
    /// `-}}`: whitespace after it is removed.
    pub(crate) trims_after: bool,
    /// Text between `raw` and `endraw`.
    pub(crate) raw: bool,
}

impl Segment {
    fn text(range: Range<usize>, raw: bool) -> Self {
        Self {
            kind: Kind::Text,
            inner: range.clone(),
            range,
            trims_before: false,
            trims_after: false,
            raw,
        }
    }

    /// The first word of a block.
    pub(crate) fn keyword<'a>(&self, text: &'a str) -> &'a str {
        let inner = text
            .get(self.inner.clone())
            .unwrap_or_default()
            .trim_start();
        let end = inner
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(inner.len());
        inner.get(..end).unwrap_or_default()
    }
}

/// Splits `text`; an unclosed tag ends the list, with the rest as text.
pub(crate) fn segments(text: &str) -> Vec<Segment> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((start, kind, close)) = next_open(text, at) {
        if start > at {
            found.push(Segment::text(at..start, false));
        }
        let Some(tag) = tag(text, start, kind, close) else {
            found.push(Segment::text(start..text.len(), false));
            return found;
        };
        at = tag.range.end;
        let raw = kind == Kind::Block && tag.keyword(text) == "raw";
        found.push(tag);
        if raw {
            let (inside, end) = until_endraw(text, at);
            found.push(Segment::text(at..inside, true));
            at = inside;
            if let Some(tag) = end {
                at = tag.range.end;
                found.push(tag);
            }
        }
    }
    if at < text.len() {
        found.push(Segment::text(at..text.len(), false));
    }
    found
}

fn next_open(text: &str, from: usize) -> Option<(usize, Kind, &'static str)> {
    let rest = text.get(from..)?;
    let mut search = 0;
    loop {
        let at = search + rest.get(search..)?.find('{')?;
        let found = match rest.as_bytes().get(at + 1) {
            Some(b'{') => Some((Kind::Expression, "}}")),
            Some(b'%') => Some((Kind::Block, "%}")),
            Some(b'#') => Some((Kind::Comment, "#}")),
            _ => None,
        };
        if let Some((kind, close)) = found {
            return Some((from + at, kind, close));
        }
        search = at + 1;
    }
}

fn tag(text: &str, start: usize, kind: Kind, close: &str) -> Option<Segment> {
    let bytes = text.as_bytes();
    let mut at = start + 2;
    let trims_before = bytes.get(at) == Some(&b'-');
    if matches!(bytes.get(at), Some(b'-' | b'+')) {
        at += 1;
    }
    let inner_start = at;
    let end = if kind == Kind::Comment {
        at + text.get(at..)?.find(close)?
    } else {
        close_of(bytes, at, close)?
    };
    let signed = end > inner_start && matches!(bytes.get(end - 1), Some(b'-' | b'+'));
    let trims_after = signed && bytes.get(end - 1) == Some(&b'-');
    let inner_end = if signed { end - 1 } else { end };
    let range = start..end + close.len();
    Some(Segment {
        kind,
        range,
        inner: inner_start..inner_end,
        trims_before,
        trims_after,
        raw: false,
    })
}

/// The position of the closing delimiter; strings and inner braces are skipped.
fn close_of(bytes: &[u8], from: usize, close: &str) -> Option<usize> {
    let mut at = from;
    let mut quote = None;
    let mut braces = 0_usize;
    while at < bytes.len() {
        let byte = *bytes.get(at)?;
        match quote {
            Some(_) if byte == b'\\' => at += 1,
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if braces == 0 && bytes.get(at..)?.starts_with(close.as_bytes()) => {
                return Some(at);
            }
            None => match byte {
                b'"' | b'\'' => quote = Some(byte),
                b'{' => braces += 1,
                b'}' => braces = braces.saturating_sub(1),
                _ => {}
            },
        }
        at += 1;
    }
    None
}

fn until_endraw(text: &str, from: usize) -> (usize, Option<Segment>) {
    let mut at = from;
    while let Some((start, kind, close)) = next_open(text, at) {
        match tag(text, start, kind, close) {
            Some(tag) if kind == Kind::Block && tag.keyword(text) == "endraw" => {
                return (start, Some(tag));
            }
            _ => at = start + 2,
        }
    }
    (text.len(), None)
}

/// Calls of `function` with literal text arguments, in tags: the arguments and the call's bytes.
pub(crate) fn calls(text: &str, function: &str) -> Vec<(Vec<String>, Range<usize>)> {
    let tags = segments(text)
        .into_iter()
        .filter(|tag| matches!(tag.kind, Kind::Expression | Kind::Block));
    tags.flat_map(|tag| calls_in(text, tag.inner, function))
        .collect()
}

fn calls_in(text: &str, inner: Range<usize>, function: &str) -> Vec<(Vec<String>, Range<usize>)> {
    let mut found = Vec::new();
    let mut at = inner.start;
    while let Some(start) = text
        .get(at..inner.end)
        .and_then(|rest| rest.find(function))
        .map(|i| at + i)
    {
        at = start + function.len();
        let before = text
            .get(..start)
            .and_then(|before| before.chars().next_back());
        if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '\'' | '"')) {
            continue;
        }
        let Some(rest) = text.get(at..inner.end) else {
            break;
        };
        let Some(arguments) = rest.trim_start().strip_prefix('(') else {
            continue;
        };
        let open = inner.end - arguments.len();
        let (literals, length) = literals(arguments);
        found.push((literals, start..open + length));
    }
    found
}

/// The text literals up to the closing parenthesis, and the distance to it.
fn literals(arguments: &str) -> (Vec<String>, usize) {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut chars = arguments.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' | '"' => {
                let mut word = String::new();
                while let Some((_, next)) = chars.next() {
                    match next {
                        '\\' => word.extend(chars.next().map(|(_, escaped)| escaped)),
                        _ if next == c => break,
                        _ => word.push(next),
                    }
                }
                if depth == 0 {
                    found.push(word);
                }
            }
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => return (found, at + 1),
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    (found, arguments.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_found() {
        let text = "a {{- x['}}'] }} b{% raw %}{{ no }}{% endraw %}{# {{ c }} #}{%- if y -%} d";
        let kinds: Vec<(Kind, &str)> = segments(text)
            .iter()
            .map(|s| (s.kind, text.get(s.inner.clone()).unwrap_or_default().trim()))
            .collect();
        assert_eq!(
            kinds,
            [
                (Kind::Text, "a"),
                (Kind::Expression, "x['}}']"),
                (Kind::Text, "b"),
                (Kind::Block, "raw"),
                (Kind::Text, "{{ no }}"),
                (Kind::Block, "endraw"),
                (Kind::Comment, "{{ c }}"),
                (Kind::Block, "if y"),
                (Kind::Text, "d"),
            ]
        );
    }

    #[test]
    fn call_sites_are_found() {
        let text = "select * from {{ ref('a') }} join {{ref( \"pkg\", 'b')}} {# ref('c') #} ref('d') {{ my_ref('e') }}";
        let found = calls(text, "ref");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].0, ["a"]);
        assert_eq!(&text[found[0].1.clone()], "ref('a')");
        assert_eq!(found[1].0, ["pkg", "b"]);
    }
}
