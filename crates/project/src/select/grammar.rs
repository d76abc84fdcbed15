//! Parses the text of a selector: methods, names, and how many neighbours of a task are included.
//!
//! Promise: each word is parsed separately, so a mistake names its word. It knows no plan. Read next:
//! `meaning.rs`.

use super::error::SelectError;

/// A union of lists of words; all words of a list must match.
pub(super) type Union = Vec<Vec<Word>>;

/// One word of a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// The text of the word.
    pub(super) text: String,
    /// The part before the colon.
    pub(super) method: Option<String>,
    /// The value that must match.
    pub(super) value: String,
    /// `@`: also all tasks after it, and everything that these need.
    pub(super) whole: bool,
    /// How many generations of parents are included.
    pub(super) parents: Depth,
    /// How many generations of children are included.
    pub(super) children: Depth,
}

/// Generations of neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// This many; 0 means none.
    Generations(usize),
    /// All.
    All,
}

/// Parses arguments of `--select` or `--exclude`.
pub(super) fn read(arguments: &[String]) -> Result<Union, SelectError> {
    arguments
        .iter()
        .flat_map(|argument| argument.split_whitespace())
        .map(|union| union.split(',').map(|text| word(text, union)).collect())
        .collect()
}

fn word(text: &str, within: &str) -> Result<Word, SelectError> {
    let wrong = |why: &str| SelectError::Unreadable {
        word: within.to_owned(),
        why: why.to_owned(),
    };
    let (whole, rest) = match text.strip_prefix('@') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (parents, rest) =
        leading(rest).ok_or_else(|| wrong("the number before `+` is too large"))?;
    let (children, rest) =
        trailing(rest).ok_or_else(|| wrong("the number after `+` is too large"))?;
    let none = Depth::Generations(0);
    if whole && (parents != none || children != none) {
        return Err(wrong("`@` already includes the neighbours; leave `+` out"));
    }
    let (method, value) = match rest.split_once(':') {
        Some((method, value)) => (Some(method.to_lowercase()), value),
        None => (None, rest),
    };
    if value.is_empty() {
        return Err(wrong("a name is missing"));
    }
    if value.contains(['@', '+']) {
        return Err(wrong("`@` goes before a name, `+` before or after it"));
    }
    Ok(Word {
        text: text.to_owned(),
        method,
        value: value.to_owned(),
        whole,
        parents,
        children,
    })
}

/// `+x` and `2+x`.
fn leading(text: &str) -> Option<(Depth, &str)> {
    let Some((digits, rest)) = text.split_once('+') else {
        return Some((Depth::Generations(0), text));
    };
    if !digits.chars().all(|c| c.is_ascii_digit()) {
        return Some((Depth::Generations(0), text));
    }
    Some((depth(digits)?, rest))
}

/// `x+` and `x+2`.
fn trailing(text: &str) -> Option<(Depth, &str)> {
    let Some((rest, digits)) = text.rsplit_once('+') else {
        return Some((Depth::Generations(0), text));
    };
    if !digits.chars().all(|c| c.is_ascii_digit()) {
        return Some((Depth::Generations(0), text));
    }
    Some((depth(digits)?, rest))
}

fn depth(digits: &str) -> Option<Depth> {
    match digits {
        "" => Some(Depth::All),
        digits => digits.parse().ok().map(Depth::Generations),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn one(text: &str) -> Word {
        read(&[text.to_owned()]).unwrap().remove(0).remove(0)
    }

    #[test]
    fn neighbours_are_read_on_both_sides() {
        let none = Depth::Generations(0);
        for (text, parents, children, value) in [
            ("x", none, none, "x"),
            ("+x", Depth::All, none, "x"),
            ("x+", none, Depth::All, "x"),
            ("+x+", Depth::All, Depth::All, "x"),
            ("2+x+1", Depth::Generations(2), Depth::Generations(1), "x"),
            ("1+raw.2024", Depth::Generations(1), none, "raw.2024"),
        ] {
            let word = one(text);
            assert_eq!(
                (word.parents, word.children, word.value.as_str(), word.whole),
                (parents, children, value, false),
                "{text}"
            );
        }
        assert!(one("@x").whole);
        let word = one("+Step:extract+");
        assert_eq!(word.method.as_deref(), Some("step"));
        assert_eq!(word.value, "extract");
    }

    #[test]
    fn blanks_add_and_commas_intersect() {
        let union = read(&["a  b,c".to_owned(), "d".to_owned()]).unwrap();
        let shape: Vec<Vec<&str>> = union
            .iter()
            .map(|all| all.iter().map(|word| word.value.as_str()).collect())
            .collect();
        assert_eq!(shape, [vec!["a"], vec!["b", "c"], vec!["d"]]);
        assert!(read(&[]).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_word_says_so() {
        for text in [
            "a,",
            ",",
            "+",
            "@",
            "@+x",
            "@x+",
            "x++",
            "a+b",
            "step:",
            "a@b",
            "99999999999999999999999+x",
        ] {
            let error = read(&[text.to_owned()]).unwrap_err();
            assert!(
                matches!(error, SelectError::Unreadable { .. }),
                "{text}: {error:?}"
            );
        }
    }
}
