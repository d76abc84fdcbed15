//! `s3://BUCKET/PREFIX`: a bucket and what the keys of its objects begin with.
//!
//! Promise: the prefix is a key as it is, so `%20` is three characters; nothing but a bucket is left of the
//! text before it, so no user and no password. It contacts nothing.

use crate::files::error::FilesError;

/// How such a text begins.
pub(crate) const SCHEME: &str = "s3://";

/// A bucket and a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BucketUrl {
    pub(crate) bucket: String,
    /// Without a `/` at its end, unless the text had several.
    pub(crate) prefix: String,
    /// The text ended in `/`: it is no object.
    pub(crate) is_folder: bool,
}

/// Whether a text is such a URL.
pub(crate) fn is_bucket(text: &str) -> bool {
    let begin = text.get(..SCHEME.len());
    begin.is_some_and(|begin| begin.eq_ignore_ascii_case(SCHEME))
}

/// The URL of a file or a glob as the folder it is in, with its `/`, and its name or the glob: `s3://b/x/*.csv`
/// is `s3://b/x/` and `*.csv`. The second is empty where it names no file.
pub fn split_url(text: &str) -> (String, String) {
    let begin = SCHEME.len().min(text.len());
    let glob = text.find(['*', '?', '[']).unwrap_or(text.len());
    let head = text.get(begin..glob).unwrap_or_default();
    let at = head.rfind('/').map_or(text.len(), |at| begin + at + 1);
    let (folder, selection) = text.split_at_checked(at).unwrap_or((text, ""));
    (folder.to_owned(), selection.to_owned())
}

impl BucketUrl {
    /// Reads a text for which `is_bucket` is true.
    pub(crate) fn read(text: &str) -> Result<Self, FilesError> {
        let rest = text.get(SCHEME.len()..).unwrap_or_default();
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if bucket.is_empty() || !bucket.bytes().all(is_name) {
            return Err(FilesError::BucketUrl {
                why: match bucket.contains('@') {
                    true => "it holds a user or a password",
                    false => "it does not name a bucket",
                },
            });
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix: prefix.strip_suffix('/').unwrap_or(prefix).to_owned(),
            is_folder: prefix.is_empty() || prefix.ends_with('/'),
        })
    }

    /// As a person writes it, without a `/` at its end.
    pub(crate) fn shown(&self) -> String {
        match self.prefix.as_str() {
            "" => format!("{SCHEME}{}", self.bucket),
            prefix => format!("{SCHEME}{}/{prefix}", self.bucket),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_prefix_is_a_key_as_it_is() {
        let read = |text: &str| BucketUrl::read(text).unwrap();
        let url = read("s3://shop/a b%20+\u{fc}#?x/");
        assert_eq!(
            (url.bucket.as_str(), url.prefix.as_str()),
            ("shop", "a b%20+\u{fc}#?x")
        );
        assert!(url.is_folder && read("s3://shop").is_folder && read("S3://shop/").is_folder);
        assert!(!read("s3://shop/a.csv").is_folder);
        assert_eq!(read("s3://shop/a//").prefix, "a/");
        assert_eq!(read("s3://shop/").shown(), "s3://shop");
        assert_eq!(read("s3://shop/a/").shown(), "s3://shop/a");
    }

    #[test]
    fn a_file_or_a_glob_is_in_a_folder() {
        for (text, folder, selection) in [
            ("s3://b/a.csv", "s3://b/", "a.csv"),
            ("s3://b/x/y/a b.csv", "s3://b/x/y/", "a b.csv"),
            ("s3://b/x/*/y/*.csv", "s3://b/x/", "*/y/*.csv"),
            ("s3://b/x/a[1].csv", "s3://b/x/", "a[1].csv"),
            ("s3://b", "s3://b", ""),
            ("s3://b/x/", "s3://b/x/", ""),
        ] {
            let found = split_url(text);
            assert_eq!(found, (folder.to_owned(), selection.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_user_is_refused_and_not_shown() {
        for text in [
            "s3://key:hidden@shop/a",
            "s3:///a",
            "s3://",
            "s3://hidden:1/a",
        ] {
            let error = BucketUrl::read(text).unwrap_err();
            assert!(!error.to_string().contains("hidden"), "{error}");
        }
    }
}
