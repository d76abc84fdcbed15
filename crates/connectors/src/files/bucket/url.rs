//! `s3://BUCKET/PREFIX` and the like: a bucket and what the keys of its objects begin with.
//!
//! Promise: the prefix is a key as it is, so `%20` is three characters; nothing but a bucket is left of the
//! text before it, so no user and no password. It contacts nothing. Which clouds there are is in the crate `buckets`.

use towpath_buckets::Bucket;
pub(crate) use towpath_buckets::is_bucket;

use crate::files::error::FilesError;
use crate::files::http::url::is_http;

/// A bucket and a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BucketUrl {
    pub(crate) bucket: Bucket,
    /// Without a `/` at its end, unless the text had several.
    pub(crate) prefix: String,
    /// The text ended in `/`: it is no object.
    pub(crate) is_folder: bool,
}

/// The URL of a file or a glob as the folder it is in, with its `/`, and its name or the glob: `s3://b/x/*.csv`
/// is `s3://b/x/` and `*.csv`. The second is empty where it names no file.
pub fn split_url(text: &str) -> (String, String) {
    let begin = text.find("://").map_or(0, |at| at + 3);
    let glob = match is_http(text) {
        // What stands behind `?` are parameters.
        true => text.find(['*', '?', '[', '{', '#']),
        false => text.find(['*', '?', '[']),
    };
    let glob = glob.unwrap_or(text.len());
    let head = text.get(begin..glob).unwrap_or_default();
    let at = head.rfind('/').map_or(text.len(), |at| begin + at + 1);
    let (folder, selection) = text.split_at_checked(at).unwrap_or((text, ""));
    (folder.to_owned(), selection.to_owned())
}

impl BucketUrl {
    /// Reads a text for which `is_bucket` is true.
    pub(crate) fn read(text: &str) -> Result<Self, FilesError> {
        let (bucket, prefix) = Bucket::read(text).map_err(|why| FilesError::BucketUrl { why })?;
        Ok(Self {
            bucket,
            prefix: prefix.strip_suffix('/').unwrap_or(prefix).to_owned(),
            is_folder: prefix.is_empty() || prefix.ends_with('/'),
        })
    }

    /// As a person writes it, without a `/` at its end.
    pub(crate) fn shown(&self) -> String {
        match self.prefix.as_str() {
            "" => self.bucket.shown().to_owned(),
            prefix => format!("{}/{prefix}", self.bucket.shown()),
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
            (url.bucket.name.as_str(), url.prefix.as_str()),
            ("shop", "a b%20+\u{fc}#?x")
        );
        assert!(url.is_folder && read("s3://shop").is_folder && read("S3://shop/").is_folder);
        assert!(!read("s3://shop/a.csv").is_folder);
        assert_eq!(read("s3://shop/a//").prefix, "a/");
        assert_eq!(read("s3://shop/").shown(), "s3://shop");
        assert_eq!(read("gs://shop/a/").shown(), "gs://shop/a");
    }

    #[test]
    fn a_file_or_a_glob_is_in_a_folder() {
        for (text, folder, selection) in [
            ("s3://b/a.csv", "s3://b/", "a.csv"),
            ("s3://b/x/y/a b.csv", "s3://b/x/y/", "a b.csv"),
            ("s3://b/x/*/y/*.csv", "s3://b/x/", "*/y/*.csv"),
            ("az://b/x/a[1].csv", "az://b/x/", "a[1].csv"),
            (
                "abfss://b@a.dfs.core.windows.net/x.csv",
                "abfss://b@a.dfs.core.windows.net/",
                "x.csv",
            ),
            ("s3://b", "s3://b", ""),
            ("https://h/x/a.csv?b=1/2", "https://h/x/", "a.csv?b=1/2"),
            ("https://h/x/{1,2}/a.csv", "https://h/x/", "{1,2}/a.csv"),
            ("gs://b/x/", "gs://b/x/", ""),
        ] {
            let found = split_url(text);
            assert_eq!(found, (folder.to_owned(), selection.to_owned()), "{text}");
        }
    }
}
