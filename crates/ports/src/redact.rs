//! Removes values of secrets from text before it is stored or shown.
//!
//! Promise: each known value of four characters or more becomes `***`. So do the password inside a URL or a
//! `key=value` text, each line of a value with several lines, and all of these in their usual spellings
//! (`spellings.rs`). If two values overlap, the longer one is replaced. It does not know where the values
//! come from, and never shows one.

use std::fmt;

use towpath_vocab::passwords::{decoded, passwords_in};

use crate::spellings::spellings;

/// The text in place of a removed value.
const REDACTED: &[u8] = b"***";

/// The shortest value that is removed; shorter ones would occur in unrelated text.
const SHORTEST: usize = 4;

/// The values to remove.
#[derive(Clone, Default)]
pub struct Redaction {
    /// By their first byte, then the longest first.
    values: Vec<Vec<u8>>,
    /// Where the values with a first byte begin in `values`; a last entry ends them.
    begins: Vec<usize>,
}

impl Redaction {
    /// Removes these values, and the passwords and lines in them, in their usual spellings.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut values: Vec<Vec<u8>> = secrets
            .into_iter()
            .flat_map(|secret| parts(&secret))
            .filter(|part| part.len() >= SHORTEST)
            .flat_map(|part| spellings(&part))
            .map(String::into_bytes)
            .collect();
        let order = |value: &Vec<u8>| (value.first().copied(), std::cmp::Reverse(value.len()));
        values.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.cmp(b)));
        values.dedup();
        let before = |byte: usize| {
            values.partition_point(|value| {
                value.first().is_none_or(|first| usize::from(*first) < byte)
            })
        };
        let begins = (0..=256).map(before).collect();
        Self { values, begins }
    }

    /// The length of the longest value in bytes.
    pub fn longest(&self) -> usize {
        self.values.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// The longest value with which a text begins.
    fn at_start(&self, first: u8, text: &[u8]) -> Option<&Vec<u8>> {
        let at = usize::from(first);
        let (begin, end) = (self.begins.get(at)?, self.begins.get(at + 1)?);
        let mut values = self.values.get(*begin..*end)?.iter();
        values.find(|value| text.starts_with(value))
    }

    /// The text without the values.
    pub fn apply(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((first, behind)) = rest.split_first() {
            let found = self.at_start(*first, rest);
            match found.and_then(|value| rest.get(value.len()..)) {
                Some(after) => {
                    out.extend_from_slice(REDACTED);
                    rest = after;
                }
                None => {
                    out.push(*first);
                    rest = behind;
                }
            }
        }
        out
    }

    /// The same for text that was cut off, where a value may begin at its end.
    pub fn apply_to_head(&self, text: &[u8]) -> Vec<u8> {
        let mut out = self.apply(text);
        let begun = |out: &[u8], value: &[u8]| {
            (SHORTEST..value.len())
                .rev()
                .find(|length| value.get(..*length).is_some_and(|head| out.ends_with(head)))
        };
        let longest = self.values.iter().filter_map(|value| begun(&out, value));
        if let Some(length) = longest.max() {
            out.truncate(out.len() - length);
            out.extend_from_slice(REDACTED);
        }
        out
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redaction({} values)", self.values.len())
    }
}

/// A secret, its lines, and the passwords in a URL.
fn parts(secret: &str) -> Vec<String> {
    let mut parts = vec![secret.to_owned()];
    if secret.contains('\n') {
        parts.extend(secret.lines().map(|line| line.trim().to_owned()));
    }
    if let Some(password) = password(secret) {
        parts.push(decoded(password));
        parts.push(password.to_owned());
    }
    parts.extend(passwords_in(secret));
    parts
}

/// `pw` of `scheme://user:pw@host/…`.
fn password(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    // A password that was not encoded may hold any of these; the last `@` ends it.
    let user = match authority.rsplit_once('@') {
        Some((user, _)) => user,
        None => rest.rsplit_once('@')?.0,
    };
    user.split_once(':').map(|(_, password)| password)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(secrets: &[&str], text: &str) -> String {
        let redaction = Redaction::new(secrets.iter().map(|secret| (*secret).to_owned()));
        String::from_utf8_lossy(&redaction.apply(text.as_bytes())).into_owned()
    }

    #[test]
    fn values_are_taken_out_wherever_they_are() {
        assert_eq!(said(&["hunter2"], "a hunter2, hunter2!"), "a ***, ***!");
        assert_eq!(said(&["hunter", "hunter2"], "hunter2"), "***");
        assert_eq!(said(&["abc", ""], "abc"), "abc");
        assert_eq!(said(&[], "abc"), "abc");
        assert_eq!(said(&["line one\nline two"], "x line two"), "x ***");
    }

    #[test]
    fn the_password_of_a_url_is_one_of_them() {
        let url = "postgres://me:p%40ss/word@host:5432/db";
        assert_eq!(said(&[url], url), "***");
        assert_eq!(said(&[url], "p%40ss/word and p@ss/word"), "*** and ***");
        assert_eq!(said(&["postgres://me:pass@host/db?x=a@b"], "pass"), "***");
        assert_eq!(said(&["postgres://host/db"], "host"), "host");
    }

    #[test]
    fn so_is_the_password_of_pairs() {
        let pairs = "host=h password='p\\'ss w' user=u";
        assert_eq!(said(&[pairs], "p'ss w, p\\'ss w"), "***, ***");
        let url = "postgres://h/d?user=u&password=p%40ssw";
        assert_eq!(said(&[url], "p@ssw p%40ssw"), "*** ***");
        assert_eq!(said(&["PGPASSWORD=passw psql"], "passw"), "***");
    }

    #[test]
    fn usual_spellings_are_taken_out() {
        let secret = "pa\"ss/wörd+1";
        assert_eq!(said(&[secret], "cGEic3Mvd8O2cmQrMQ=="), "***");
        assert_eq!(said(&[secret], "cGEic3Mvd8O2cmQrMQ"), "***");
        // `me:` and the secret, as a header has it; `x` and the secret; the secret and a line end.
        for (text, left) in [
            ("Basic bWU6cGEic3Mvd8O2cmQrMQ==", "Basic bWU6***"),
            ("eHBhInNzL3fDtnJkKzE=", "eH***E="),
            ("cGEic3Mvd8O2cmQrMQo=", "***o="),
        ] {
            assert_eq!(said(&[secret], text), left);
        }
        assert_eq!(said(&[secret], "pa%22ss%2Fw%C3%B6rd%2B1"), "***");
        assert_eq!(said(&[secret], "pa%22ss%2fw%c3%b6rd%2b1"), "***");
        assert_eq!(
            said(&[secret], r#"{"a": "pa\"ss/wörd+1"}"#),
            r#"{"a": "***"}"#
        );
        assert_eq!(said(&[secret], r#"pa\"ss\/wörd+1"#), "***");
        assert_eq!(said(&[secret], "70612273732f77c3b672642b31"), "***");
        assert_eq!(said(&["two words"], "two+words, two%20words"), "***, ***");
        // Base64 in lines of 76 characters.
        let long = "0123456789".repeat(9);
        let wrapped = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2\nNzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5";
        assert_eq!(said(&[&long], wrapped), "***\n***");
        assert_eq!(said(&["abcd"], "YWJj is not YWJjZA=="), "YWJj is not ***");
    }

    #[test]
    fn a_value_that_was_cut_off_is_taken_out_too() {
        let redaction = Redaction::new(["hunter2secret".to_owned()]);
        let head = |text: &str| {
            String::from_utf8_lossy(&redaction.apply_to_head(text.as_bytes())).into_owned()
        };
        assert_eq!(head("so hunter2"), "so ***");
        assert_eq!(head("so hun"), "so hun");
        assert_eq!(head("so hunter2secret"), "so ***");
        let shown = format!("{redaction:?}");
        assert!(shown.starts_with("Redaction(") && !shown.contains("hunter"));
    }
}
