//! What the headers of answers say about limits, for people.
//!
//! Promise: names and numbers of headers only; nothing is obeyed here: `budget.rs` does that for every
//! request. Read next: `propose.rs`.

use reqwest::header::HeaderMap;

/// How names of such headers begin.
const PREFIXES: [&str; 4] = ["ratelimit", "x-ratelimit", "x-rate-limit", "retry-after"];

/// What the answers said about limits.
pub(super) fn note(headers: &HeaderMap) -> Option<String> {
    let named = |name: &&reqwest::header::HeaderName| {
        PREFIXES
            .iter()
            .any(|prefix| name.as_str().starts_with(prefix))
    };
    let said: Vec<String> = headers
        .keys()
        .filter(named)
        .filter_map(|name| {
            let value = headers.get(name)?.to_str().ok()?;
            Some(format!("{name}: {value}"))
        })
        .collect();
    if said.is_empty() {
        return None;
    }
    let proposal = policy(headers).map(|limit| {
        format!("; to stay within them from the start: `limits: {{ requests: {limit} }}` of the connection")
    });
    Some(format!(
        "the API says its limits ({}), and requests obey them{}",
        said.join(", "),
        proposal.unwrap_or_default()
    ))
}

/// The limit of `RateLimit-Policy`, where it says the window: `100;w=60`, or `"default";q=100;w=60`.
fn policy(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("ratelimit-policy")?.to_str().ok()?;
    let first = text.split(',').next()?;
    let number = |name: &str| {
        let mut parts = first.split(';').map(str::trim);
        parts.find_map(|part| part.strip_prefix(name)?.parse::<u64>().ok())
    };
    let count = number("q=").or_else(|| first.split(';').next()?.trim().parse().ok())?;
    let unit = match number("w=")? {
        1 => "s",
        60 => "m",
        3_600 => "h",
        86_400 => "d",
        _ => return None,
    };
    Some(format!("{count}/{unit}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn limits_are_named_and_a_window_becomes_a_proposal() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            headers
        };
        assert_eq!(note(&headers(&[("date", "x")])), None);
        let plain = note(&headers(&[("x-ratelimit-limit", "5000")])).unwrap();
        assert!(plain.contains("x-ratelimit-limit: 5000"), "{plain}");
        assert!(!plain.contains("limits:"), "{plain}");
        for policy in ["100;w=60", "\"default\";q=100;w=60"] {
            let said = note(&headers(&[("ratelimit-policy", policy)])).unwrap();
            assert!(said.contains("requests: 100/m"), "{said}");
        }
    }
}
