//! Limits the size of the values that a template builds: checked at `~`, `+` and `*`.
//!
//! Promise: no value grows beyond its limit. The template engine counts steps, not sizes, and `s ~ s` doubles
//! a text in one step, as `[l, l]` does a list. So each operand of these operators, and each written list or
//! map, gets a filter that returns it unchanged or stops the template. Only the text inside tags changes; the
//! added lengths are recorded, so positions in messages stay correct. It does not know values. Read next:
//! `limits.rs` and `weight.rs`.

use std::ops::Range;

use crate::segments::{Kind, segments};

/// The filter on operands of `~` and `+`.
pub(crate) const SMALL: &str = "__towpath_small";
/// The filter on operands of `*`.
pub(crate) const TIMES: &str = "__towpath_times";

/// The filter on lists and maps that are written with brackets.
pub(crate) const WHOLE: &str = "__towpath_whole";

/// A token inside a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// A name, a number or a text.
    Word,
    Open,
    Close,
    Dot,
    Pipe,
    Join,
    Times,
    Power,
    Other,
}

/// Words that end an operand or begin another.
const KEYWORDS: &[&str] = &[
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "elif",
    "for",
    "set",
    "do",
    "call",
    "macro",
    "filter",
    "with",
    "recursive",
    "import",
    "from",
    "include",
    "as",
];

/// The positions in the text at which a filter must be inserted, in order.
pub(crate) fn guards(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for part in segments(text) {
        if matches!(part.kind, Kind::Expression | Kind::Block) {
            inside(text, part.inner, &mut found);
        }
    }
    found.sort_by_key(|(at, _)| *at);
    found
}

/// The text with its guards, and the ranges of the guards in it.
pub(crate) fn guarded(text: &str) -> (String, Vec<Range<usize>>) {
    let mut out = String::with_capacity(text.len());
    let (mut copied, mut grown) = (0, Vec::new());
    for (at, filter) in guards(text) {
        out.push_str(text.get(copied..at).unwrap_or_default());
        copied = at;
        let start = out.len();
        out.push_str(&filter);
        grown.push(start..out.len());
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    (out, grown)
}

/// Converts a position in the text with guards to one in the original text.
pub(crate) fn before(grown: &[Range<usize>], at: usize) -> usize {
    let more: usize = grown
        .iter()
        .take_while(|range| range.start < at)
        .map(|range| range.end.min(at) - range.start)
        .sum();
    at - more
}

fn inside(text: &str, range: Range<usize>, found: &mut Vec<(usize, String)>) {
    let tokens = tokens(text, range);
    let ends_operand = |at: usize| match tokens.get(at) {
        Some((Token::Word, range)) => !is_keyword(text, range),
        Some((Token::Close, _)) => true,
        _ => false,
    };
    for (at, (token, range)) in tokens.iter().enumerate() {
        let Some(left) = at.checked_sub(1).filter(|left| ends_operand(*left)) else {
            written(text, &tokens, at, range, found);
            continue;
        };
        let Some(right) = operand(text, &tokens, at + 1) else {
            continue;
        };
        let place = |token: usize| tokens.get(token).map_or(0, |(_, range)| range.end);
        match token {
            Token::Join => {
                for end in [place(left), place(right)] {
                    let filter = format!("|{SMALL}");
                    if !found.contains(&(end, filter.clone())) {
                        found.push((end, filter));
                    }
                }
            }
            Token::Times => {
                let follows = |token: Token| matches!(tokens.get(right + 1), Some((next, _)) if *next == token);
                let after_power = matches!(
                    start_of(text, &tokens, left)
                        .checked_sub(1)
                        .and_then(|at| tokens.get(at)),
                    Some((Token::Power, _))
                );
                let is_first = !matches!(
                    start_of(text, &tokens, left)
                        .checked_sub(1)
                        .and_then(|at| tokens.get(at)),
                    Some((Token::Times, _))
                );
                if is_first {
                    found.push((place(left), format!("|{TIMES}(\"first\",{after_power})")));
                }
                let last = if follows(Token::Times) {
                    "more"
                } else {
                    "last"
                };
                found.push((
                    place(right),
                    format!("|{TIMES}(\"{last}\",{})", follows(Token::Power)),
                ));
            }
            _ => {}
        }
    }
}

/// The guard of a list or a map that begins at a bracket after no operand.
fn written(
    text: &str,
    tokens: &[(Token, Range<usize>)],
    at: usize,
    range: &Range<usize>,
    found: &mut Vec<(usize, String)>,
) {
    if !matches!(text.get(range.clone()), Some("[" | "{")) {
        return;
    }
    let closing = closing(tokens, at).filter(|closing| *closing > at + 1);
    if let Some((_, last)) = closing.and_then(|closing| tokens.get(closing)) {
        found.push((range.start, "(".to_owned()));
        found.push((last.end, format!("|{WHOLE})")));
    }
}

fn is_keyword(text: &str, range: &Range<usize>) -> bool {
    text.get(range.clone())
        .is_some_and(|word| KEYWORDS.contains(&word))
}

/// The last token of the operand that starts at `at`.
fn operand(text: &str, tokens: &[(Token, Range<usize>)], at: usize) -> Option<usize> {
    let mut at = at;
    while let Some((token, range)) = tokens.get(at) {
        let sign = matches!(text.get(range.clone()), Some("-" | "+" | "not"));
        if !(sign && matches!(token, Token::Other | Token::Join | Token::Word)) {
            break;
        }
        at += 1;
    }
    let mut end = match tokens.get(at)?.0 {
        Token::Word => at,
        Token::Open => closing(tokens, at)?,
        _ => return None,
    };
    loop {
        end = match tokens.get(end + 1).map(|(token, _)| *token) {
            Some(Token::Dot | Token::Pipe) => end + 2,
            Some(Token::Open) => closing(tokens, end + 1)?,
            _ => return (end < tokens.len()).then_some(end),
        };
    }
}

fn closing(tokens: &[(Token, Range<usize>)], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, (token, _)) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Open => depth += 1,
            Token::Close => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// The first token of the operand that ends at `at`.
fn start_of(text: &str, tokens: &[(Token, Range<usize>)], at: usize) -> usize {
    (0..=at)
        .rev()
        .take(64)
        .filter(|start| operand(text, tokens, *start) == Some(at))
        .last()
        .unwrap_or(at)
}

fn tokens(text: &str, range: Range<usize>) -> Vec<(Token, Range<usize>)> {
    let inner = text.get(range.clone()).unwrap_or_default();
    let bytes = inner.as_bytes();
    let (mut at, mut found) = (0, Vec::new());
    while let Some(byte) = bytes.get(at).copied() {
        let next = bytes.get(at + 1).copied();
        let (token, length) = match byte {
            _ if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'"' | b'\'' => (Token::Word, quoted(bytes, at)),
            b'(' | b'[' | b'{' => (Token::Open, 1),
            b')' | b']' | b'}' => (Token::Close, 1),
            b'.' => (Token::Dot, 1),
            b'|' => (Token::Pipe, 1),
            b'~' | b'+' => (Token::Join, 1),
            b'*' if next == Some(b'*') => (Token::Power, 2),
            b'*' => (Token::Times, 1),
            _ if byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii() => {
                (Token::Word, word(bytes, at))
            }
            _ => (Token::Other, 1),
        };
        let start = range.start + at;
        found.push((token, start..start + length));
        at += length;
    }
    found
}

fn quoted(bytes: &[u8], start: usize) -> usize {
    let quote = bytes.get(start).copied();
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at).copied() {
        at += 1;
        if byte == b'\\' {
            at += 1;
        } else if Some(byte) == quote {
            break;
        }
    }
    at.min(bytes.len()) - start
}

fn word(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    let is_number = rest.first().is_some_and(u8::is_ascii_digit);
    let inside = |at: usize, byte: u8| {
        let point = is_number && byte == b'.' && rest.get(at + 1).is_some_and(u8::is_ascii_digit);
        byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii() || point
    };
    rest.iter()
        .enumerate()
        .take_while(|(at, byte)| inside(*at, **byte))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(text: &str) -> String {
        let (text, _) = guarded(text);
        text.replace(&format!("|{SMALL}"), "°")
            .replace(TIMES, "t")
            .replace(WHOLE, "w")
    }

    #[test]
    fn operands_get_a_filter_each() {
        assert_eq!(
            short("{{ a ~ b.c(1)[2] ~ 'x' }} + {# a ~ b #}"),
            "{{ a° ~ b.c(1)[2]° ~ 'x'° }} + {# a ~ b #}"
        );
        assert_eq!(
            short("{% set x = -a + (b + 1)|int %}"),
            "{% set x = -a° + (b° + 1°)|int° %}"
        );
        assert_eq!(
            short("{% if x in y + z and +1 %}"),
            "{% if x in y° + z° and +1 %}"
        );
        assert_eq!(
            short("{{ 'a~b' * n }}"),
            "{{ 'a~b'|t(\"first\",false) * n|t(\"last\",false) }}"
        );
        assert_eq!(
            short("{{ a * b * 2 ** 3 }}"),
            "{{ a|t(\"first\",false) * b|t(\"more\",false) * 2|t(\"last\",true) ** 3 }}"
        );
        assert_eq!(short("{{ f(*a, **b) }}"), "{{ f(*a, **b) }}");
        assert_eq!(
            short("{% set x.l = [a[0], {'k': [1]}] + [] %}{{ [2]|f }}"),
            "{% set x.l = ([a[0], ({'k': ([1]|w)}|w)]|w)° + []° %}{{ ([2]|w)|f }}"
        );
    }

    #[test]
    fn places_lead_back() {
        let text = "{{ a ~ b }}{{ c }}";
        let (new, grown) = guarded(text);
        let at = new.find('c').unwrap_or_default();
        assert_eq!(before(&grown, at), text.find('c').unwrap_or_default());
    }
}
