//! `https://HOST/PATH`: an address of a file, and the addresses that braces stand for.
//!
//! Promise: `{a,b}` in a text stands for a text with each of them; there are no other patterns, because a server
//! lists no files. What is shown of an address has no parameters, which may be secrets. It contacts nothing.

use url::Url;

use super::error::HttpError;

/// Addresses that braces may stand for.
const MOST: usize = 10_000;

/// Whether a `path` is an address of a server.
pub(crate) fn is_http(path: &str) -> bool {
    let begins = |scheme: &str| {
        path.get(..scheme.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    };
    begins("http://") || begins("https://")
}

/// The address of a text; the text may be shown.
pub(crate) fn parse(text: &str) -> Result<Url, HttpError> {
    let wrong = |why| HttpError::Place {
        place: without_user(text),
        why,
    };
    let url = Url::parse(text).map_err(|_| wrong("it is not a URL"))?;
    if url.host_str().is_none() {
        return Err(wrong("it names no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(HttpError::Place {
            place: format!("{}://…", url.scheme()),
            why: "it holds a user; write `auth: { type: basic, … }`",
        });
    }
    Ok(url)
}

/// A text without what stands behind `?` or `#`.
pub(crate) fn without_parameters(text: &str) -> &str {
    text.split(['?', '#']).next().unwrap_or_default()
}

/// A text as it may be shown, also if it is no address: with an `@` anywhere, a part of it may be a password.
fn without_user(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) if rest.contains('@') => format!("{scheme}://…"),
        _ => without_parameters(text).to_owned(),
    }
}

/// The texts that a text with braces stands for, in their order.
pub(crate) fn expanded(text: &str) -> Result<Vec<String>, HttpError> {
    let wrong = |why| HttpError::Place {
        place: without_user(text),
        why,
    };
    let mut all = vec![String::new()];
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let (inside, behind) = behind
            .split_once('}')
            .ok_or_else(|| wrong("a brace is not closed"))?;
        if inside.contains('{') {
            return Err(wrong("it has braces in braces"));
        }
        let words: Vec<&str> = inside.split(',').collect();
        if all.len().saturating_mul(words.len()) > MOST {
            return Err(wrong("it stands for more than 10,000 addresses"));
        }
        all = all
            .iter()
            .flat_map(|begin| {
                words
                    .iter()
                    .map(move |word| format!("{begin}{before}{word}"))
            })
            .collect();
        rest = behind;
    }
    for one in &mut all {
        one.push_str(rest);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn braces_stand_for_each_of_their_words() {
        assert_eq!(expanded("a.csv").unwrap(), ["a.csv"]);
        assert_eq!(
            expanded("{a,b}-{1,2}.csv").unwrap(),
            ["a-1.csv", "a-2.csv", "b-1.csv", "b-2.csv"]
        );
        for wrong in ["a{b", "a{b{c}}", &"{0,1,2,3,4,5,6,7,8,9}".repeat(5)] {
            assert!(expanded(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_has_a_host_and_no_user() {
        assert!(is_http("HTTPS://h/a") && !is_http("s3://h/a") && !is_http("http"));
        assert!(parse("https://h/a b.csv?x=1").is_ok());
        let user = parse("https://me:secret@h/a.csv?x=1")
            .unwrap_err()
            .to_string();
        assert!(!user.contains("secret"), "{user}");
        for odd in [
            "https://me:sec#ret@h/x.csv",
            "https://me:sec/ret@h/x.csv",
            "https://me:sec?ret@h/{a",
        ] {
            for error in [parse(odd).err(), expanded(odd).err()]
                .into_iter()
                .flatten()
            {
                assert!(!error.to_string().contains("sec"), "{error}");
            }
        }
    }
}
