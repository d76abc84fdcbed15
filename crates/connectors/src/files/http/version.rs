//! Which version of a file a server gives, as its headers say it.
//!
//! Promise: an ETag that begins with `W/` does not say that all bytes are the same, and a time of a last change only
//! if it was a minute before the answer: a file may change twice within the second that such a time has.

use chrono::DateTime;
use reqwest::header::{
    DATE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
};

/// RFC 9110, 8.8.2.2.
const SURE_SECONDS: i64 = 60;

/// What tells the contents of a file from others.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mark {
    ETag(String),
    Modified(String),
}

/// One version of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpVersion {
    /// Bytes.
    pub(crate) size: u64,
    mark: Mark,
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

impl HttpVersion {
    /// The version of an answer about a file of this size; `None` where the server does not say it.
    pub(super) fn of(headers: &HeaderMap, size: u64) -> Option<Self> {
        let e_tag = text(headers, &ETAG).filter(|e_tag| !e_tag.starts_with("W/"));
        if let Some(e_tag) = e_tag {
            let mark = Mark::ETag(e_tag);
            return Some(Self { size, mark });
        }
        let modified = text(headers, &LAST_MODIFIED)?;
        let seconds = |text: &str| {
            DateTime::parse_from_rfc2822(text)
                .ok()
                .map(|time| time.timestamp())
        };
        let age = seconds(&text(headers, &DATE)?)? - seconds(&modified)?;
        let mark = Mark::Modified(modified);
        (age >= SURE_SECONDS).then_some(Self { size, mark })
    }

    /// The header that asks for this version and no other.
    pub(super) fn condition(&self) -> Option<(HeaderName, HeaderValue)> {
        let (name, value) = match &self.mark {
            Mark::ETag(e_tag) => (IF_MATCH, e_tag),
            Mark::Modified(modified) => (IF_UNMODIFIED_SINCE, modified),
        };
        Some((name, HeaderValue::from_str(value).ok()?))
    }

    /// Whether an answer about a file of this size is of this version.
    pub(super) fn is_of(&self, headers: &HeaderMap, size: u64) -> bool {
        let there = match &self.mark {
            Mark::ETag(_) => text(headers, &ETAG).map(Mark::ETag),
            Mark::Modified(_) => text(headers, &LAST_MODIFIED).map(Mark::Modified),
        };
        size == self.size && there.as_ref() == Some(&self.mark)
    }

    /// As it is stored.
    pub(crate) fn identity(&self) -> String {
        match &self.mark {
            Mark::ETag(e_tag) => format!("http:{}:etag:{e_tag}", self.size),
            Mark::Modified(modified) => format!("http:{}:modified:{modified}", self.size),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_a_strong_mark_is_a_version() {
        let headers = |pairs: &[(HeaderName, &str)]| -> HeaderMap {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
                .collect()
        };
        let modified = (LAST_MODIFIED, "Tue, 01 Dec 2026 10:00:00 GMT");
        let of = |pairs: &[(HeaderName, &str)]| HttpVersion::of(&headers(pairs), 5);
        assert!(of(&[(ETAG, "\"a\"")]).is_some());
        assert!(of(&[(ETAG, "W/\"a\"")]).is_none());
        let late = (DATE, "Tue, 01 Dec 2026 10:01:00 GMT");
        let soon = (DATE, "Tue, 01 Dec 2026 10:00:59 GMT");
        let old = of(&[modified.clone(), late.clone()]).unwrap();
        assert!(of(&[modified.clone(), soon]).is_none());
        let alone = std::slice::from_ref(&modified);
        assert!(of(alone).is_none());
        assert!(old.is_of(&headers(alone), 5));
        assert!(!old.is_of(&headers(alone), 6));
        assert!(!old.is_of(&headers(&[late]), 5));
    }
}
