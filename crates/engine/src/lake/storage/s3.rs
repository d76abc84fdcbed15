//! A lakehouse in a bucket of Amazon S3, or of a server with the same protocol.
//!
//! Promise: a URL names a bucket and a prefix and nothing else; settings and credentials come from the
//! environment or from the cloud itself (the crate `buckets`), never from a project's files. It knows no table and no
//! lease. Read next: `bucket.rs`, `buckets/src/settings.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::prefix::PrefixStore;
use towpath_buckets::{CREDENTIALS, Refusal};
use url::Url;

use super::{Bucket, Key};
use crate::lake::cause::brief;
use crate::lake::error::{LakeError, LakeResult};

/// The scheme of its URLs.
pub(crate) const SCHEME: &str = "s3";

/// The lakehouse at `s3://BUCKET/PREFIX`, with the settings of the environment (`AWS_…`).
///
/// # Errors
/// `Location` for a URL without a bucket, with a user, a query or a fragment; `Access` for settings that
/// cannot be obeyed.
pub(crate) fn open(url: &Url, variables: &BTreeMap<String, String>) -> LakeResult<Bucket> {
    let (name, prefix) = parts(url)?;
    let refused = |refusal: Refusal| LakeError::Access {
        location: refusal.setting,
        why: refusal.why,
        way: refusal.way,
    };
    let settings = towpath_buckets::settings(variables, &name).map_err(refused)?;
    let objects = settings.build();
    let objects = objects.map_err(|error| LakeError::Access {
        location: format!("{SCHEME}://{name}"),
        why: brief(&error),
        way: CREDENTIALS,
    })?;
    let shown = match prefix.as_ref() {
        "" => format!("{SCHEME}://{name}/"),
        prefix => format!("{SCHEME}://{name}/{prefix}/"),
    };
    let shown = Url::parse(&shown).map_err(|_| unknown(url))?;
    let objects = Arc::new(PrefixStore::new(objects, prefix));
    Ok(Bucket::over(objects, shown).proved_first())
}

/// The bucket, and the key below which the lakehouse is.
fn parts(url: &Url) -> LakeResult<(String, Key)> {
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.port().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    let name = url.host_str().filter(|name| plain && !name.is_empty());
    let name = name.ok_or_else(|| unknown(url))?;
    let prefix = Key::from_url_path(url.path()).map_err(|_| unknown(url))?;
    Ok((name.to_owned(), prefix))
}

fn unknown(url: &Url) -> LakeError {
    LakeError::Location {
        location: url.scheme().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_url_is_a_bucket_and_a_prefix_and_nothing_else() {
        let at = |text: &str| parts(&Url::parse(text).unwrap());
        let (name, prefix) = at("s3://shop-lake/prod/eu/").unwrap();
        assert_eq!((name.as_str(), prefix.as_ref()), ("shop-lake", "prod/eu"));
        assert_eq!(at("s3://shop-lake").unwrap().1.as_ref(), "");
        for wrong in [
            "s3://key:secret@bucket/lake",
            "s3://bucket/lake?region=eu",
            "s3://bucket/lake#x",
            "s3:///lake",
        ] {
            let error = at(wrong).err().unwrap();
            assert!(!error.to_string().contains("secret"), "{wrong}");
        }
    }
}
