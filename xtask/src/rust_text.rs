//! Rust source as text: comments and literals masked, test modules removed, words and symbols in order.
//!
//! This is an approximation that is sufficient to count lines and find import paths; it expands no macro
//! and resolves no name. Masking keeps line numbers. Read next: `rules/circles.rs`.

/// The text with comments, strings and characters blanked; every newline stays.
pub(crate) fn mask(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => block_comment_end(&chars, at),
            '"' => string_end(&chars, at),
            'r' if !continues_word(&chars, at) => raw_string_end(&chars, at),
            '\'' => character_end(&chars, at),
            _ => at,
        };
        if end > at {
            out.extend(
                chars[at..end]
                    .iter()
                    .map(|c| if *c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

fn line_end(chars: &[char], start: usize) -> usize {
    find(chars, start, |c| c == '\n')
}

fn find(chars: &[char], start: usize, wanted: impl Fn(char) -> bool) -> usize {
    (start..chars.len())
        .find(|at| wanted(chars[*at]))
        .unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0usize;
    let mut at = start;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    chars.len()
}

fn string_end(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// True if the character before belongs to the same word; `br"..."` is not such a word.
fn continues_word(chars: &[char], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|index| chars.get(index));
    match before(1) {
        Some('b') => before(2).is_some_and(|c| c.is_alphanumeric() || *c == '_'),
        Some(c) => c.is_alphanumeric() || *c == '_',
        None => false,
    }
}

/// The end of a raw string that starts here, or `start` when none does.
fn raw_string_end(chars: &[char], start: usize) -> usize {
    let quote = find(chars, start + 1, |c| c != '#');
    if chars.get(quote) != Some(&'"') {
        return start;
    }
    let hashes = quote - start - 1;
    let mut at = quote + 1;
    while at < chars.len() {
        let closing = chars[at] == '"'
            && chars.len() > at + hashes
            && chars[at + 1..=at + hashes].iter().all(|c| *c == '#');
        if closing {
            return at + 1 + hashes;
        }
        at += 1;
    }
    chars.len()
}

/// The end of a character literal that starts here, or `start` when it is a lifetime.
fn character_end(chars: &[char], start: usize) -> usize {
    if chars.get(start + 1) == Some(&'\\') {
        return (find(chars, start + 3, |c| c == '\'') + 1).min(chars.len());
    }
    if chars.get(start + 2) == Some(&'\'') {
        return start + 3;
    }
    start
}

/// Masked text without items under `#[cfg(test)]`.
pub(crate) fn without_tests(masked: &str) -> String {
    let mut out = String::with_capacity(masked.len());
    let mut rest = masked;
    while let Some(at) = rest.find("#[cfg(") {
        let (before, attribute) = rest.split_at(at);
        let end = attribute.find(']').map_or(attribute.len(), |end| end + 1);
        let condition = &attribute[..end];
        out.push_str(before);
        if is_for_tests(condition) {
            rest = &attribute[item_end(attribute)..];
        } else {
            out.push_str(condition);
            rest = &attribute[end..];
        }
    }
    out.push_str(rest);
    out
}

fn is_for_tests(condition: &str) -> bool {
    condition == "#[cfg(test)]" || condition.starts_with("#[cfg(all(test")
}

/// The end of the item that starts here: its `;` or its closing brace.
fn item_end(text: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

/// How many lines a file has when its test modules are not counted.
pub(crate) fn lines_without_tests(text: &str) -> usize {
    without_tests(&mask(text)).trim_end().lines().count()
}

/// Words and signs of masked text; `::` is one sign.
pub(crate) fn tokens(masked: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = masked.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(end);
        tokens.push(token);
        rest = after.trim_start();
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::{lines_without_tests, mask, tokens, without_tests};

    #[test]
    fn literals_and_comments_are_blanked_in_place() {
        let text = "let a = \"// no {\"; // yes {\nlet b = '{'; /* { /* { */ */ let c: &'a str;\nlet d = r#\"{ \" {\"#; let e = br\"{\"; let f = '\\''; for r in x {}";
        let masked = mask(text);
        assert_eq!(masked.len(), text.len());
        assert_eq!(masked.lines().count(), 3);
        assert_eq!(masked.matches('{').count(), 1, "{masked}");
        assert!(masked.contains("&'a str"));
    }

    #[test]
    fn test_items_are_cut_out() {
        let text = "a\n#[cfg(test)]\nmod tests {\n  fn b() { {} }\n}\nc\n#[cfg(test)]\nmod more;\n#[cfg(unix)]\nd\n";
        let left = without_tests(&mask(text));
        assert_eq!(tokens(&left).join(" "), "a c # [ cfg ( unix ) ] d");
        assert_eq!(lines_without_tests("a\n#[cfg(test)]\nmod t {\n}\n"), 1);
    }

    #[test]
    fn paths_become_tokens() {
        assert_eq!(
            tokens("use crate::a::{B, c};"),
            [
                "use", "crate", "::", "a", "::", "{", "B", ",", "c", "}", ";"
            ]
        );
    }
}
