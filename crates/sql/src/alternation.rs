//! Alternations in regular expressions: the longest branch first.
//!
//! PostgreSQL takes the longest match, the engine the first branch that matches. Where all branches of an
//! alternation are plain texts, they are sorted by length, so that both take the same one. Other
//! alternations stay as they are. It knows no function; see `comparison.rs`.

/// The pattern with sorted branches; `None` if nothing changes.
pub(crate) fn longest_first(pattern: &str) -> Option<String> {
    let mut rest = pattern.chars().peekable();
    let sorted = alternation(&mut rest, 0)?;
    (rest.next().is_none() && sorted != pattern).then_some(sorted)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// The deepest group that is read.
const DEEPEST: usize = 50;

/// Branches up to the end of the text or of the group. `None` for a pattern that is not understood.
fn alternation(rest: &mut Chars<'_>, depth: usize) -> Option<String> {
    if depth > DEEPEST {
        return None;
    }
    let mut branches = vec![(String::new(), true)];
    while let Some(&next) = rest.peek() {
        if next == ')' {
            break;
        }
        rest.next();
        let (branch, is_plain) = branches.last_mut()?;
        match next {
            '|' => branches.push((String::new(), true)),
            '(' => {
                *is_plain = false;
                branch.push('(');
                branch.push_str(&kind(rest)?);
                branch.push_str(&alternation(rest, depth + 1)?);
                branch.push(rest.next()?);
            }
            '[' => {
                *is_plain = false;
                branch.push('[');
                class(rest, branch)?;
            }
            '\\' => {
                let escaped = rest.next()?;
                *is_plain &= !escaped.is_alphanumeric();
                branch.extend(['\\', escaped]);
            }
            '*' | '+' | '?' | '{' | '.' | '^' | '$' => {
                *is_plain = false;
                branch.push(next);
            }
            other => branch.push(other),
        }
    }
    if branches.iter().all(|(_, is_plain)| *is_plain) {
        branches.sort_by_key(|(branch, _)| std::cmp::Reverse(length(branch)));
    }
    let branches: Vec<String> = branches.into_iter().map(|(branch, _)| branch).collect();
    Some(branches.join("|"))
}

/// What follows the parenthesis of a group that does not capture, or has a name.
fn kind(rest: &mut Chars<'_>) -> Option<String> {
    let mut kind = String::new();
    if rest.peek() != Some(&'?') {
        return Some(kind);
    }
    loop {
        let next = rest.next()?;
        kind.push(next);
        match next {
            ':' | '=' | '!' | '>' => return Some(kind),
            // Flags of the whole pattern.
            _ if rest.peek() == Some(&')') => return Some(kind),
            _ => {}
        }
    }
}

/// The rest of a bracket expression.
fn class(rest: &mut Chars<'_>, branch: &mut String) -> Option<()> {
    let mut first = true;
    loop {
        let next = rest.next()?;
        branch.push(next);
        match next {
            '^' if first => continue,
            ']' if !first => return Some(()),
            '\\' => branch.push(rest.next()?),
            '[' if matches!(rest.peek(), Some(':' | '.' | '=')) => {
                let mark = rest.next()?;
                branch.push(mark);
                while !branch.ends_with(&format!("{mark}]"))
                    || branch.ends_with(&format!("[{mark}]"))
                {
                    branch.push(rest.next()?);
                }
            }
            _ => {}
        }
        first = false;
    }
}

/// The number of characters that a plain branch matches.
fn length(branch: &str) -> usize {
    let escapes = branch.matches('\\').count() - branch.matches("\\\\").count();
    branch.chars().count() - escapes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_branches_are_sorted_by_length() {
        for (pattern, sorted) in [
            ("a|ab|abc", Some("abc|ab|a")),
            ("^(http|https)://", Some("^(https|http)://")),
            ("(?:a|ab)c", Some("(?:ab|a)c")),
            ("x(a|(b|bc))d", Some("x(a|(bc|b))d")),
            ("a\\.|a\\.b", Some("a\\.b|a\\.")),
            ("^\\s+|\\s+$", None),
            ("[a|ab]", None),
            ("[[:alpha:]|]+x", None),
            ("ab|a", None),
            ("a|b", None),
            ("(a|ab", None),
        ] {
            assert_eq!(longest_first(pattern).as_deref(), sorted, "{pattern}");
        }
    }
}
