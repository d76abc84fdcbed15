//! Removes values of secrets from text before it is stored or shown.
//!
//! Promise: each known value of four characters or more becomes `***`. So do the password inside a URL or a
//! `key=value` text, as it is written and decoded, and each line of a value with several lines. If two
//! values overlap, the longer one is replaced. It does not know where the values come from, and never shows
//! one.

use std::fmt;

use towpath_vocab::passwords::{decoded, passwords_in};

/// The text in place of a removed value.
const REDACTED: &[u8] = b"***";

/// The shortest value that is removed; shorter ones would occur in unrelated text.
const SHORTEST: usize = 4;

/// The values to remove.
#[derive(Clone, Default)]
pub struct Redaction {
    /// Longest first.
    values: Vec<Vec<u8>>,
}

impl Redaction {
    /// Removes these values, and the passwords and lines in them.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut values: Vec<Vec<u8>> = secrets
            .into_iter()
            .flat_map(|secret| parts(&secret))
            .filter(|part| part.len() >= SHORTEST)
            .map(String::into_bytes)
            .collect();
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self { values }
    }

    /// The length of the longest value in bytes.
    pub fn longest(&self) -> usize {
        self.values.first().map_or(0, Vec::len)
    }

    /// The text without the values.
    pub fn apply(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((first, behind)) = rest.split_first() {
            let found = self.values.iter().find(|value| rest.starts_with(value));
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
    fn a_value_that_was_cut_off_is_taken_out_too() {
        let redaction = Redaction::new(["hunter2secret".to_owned()]);
        let head = |text: &str| {
            String::from_utf8_lossy(&redaction.apply_to_head(text.as_bytes())).into_owned()
        };
        assert_eq!(head("so hunter2"), "so ***");
        assert_eq!(head("so hun"), "so hun");
        assert_eq!(head("so hunter2secret"), "so ***");
        assert_eq!(format!("{redaction:?}"), "Redaction(1 values)");
    }
}
