//! A lakehouse in a bucket of Amazon, Google or Azure, or of a server with the protocol of S3.
//!
//! Promise: a URL names a bucket and a prefix and nothing else; settings and credentials come from the
//! environment or from the cloud itself (the crate `buckets`), never from a project's files. It knows no table and no
//! lease. Read next: `bucket.rs`, `buckets/src/cloud.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::prefix::PrefixStore;
use towpath_buckets::Refusal;
use url::Url;

use super::{Bucket, Key};
use crate::lake::error::{LakeError, LakeResult};

/// Whether a location is a bucket.
pub(crate) use towpath_buckets::is_bucket;

/// The lakehouse at the URL of a bucket and a prefix, with the settings of the environment.
///
/// # Errors
/// `Location` for a URL without a bucket, with a user, a query or a fragment; `Access` for settings that
/// cannot be obeyed.
pub(crate) fn open(location: &str, variables: &BTreeMap<String, String>) -> LakeResult<Bucket> {
    let (bucket, prefix) = parts(location)?;
    let refused = |refusal: Refusal| LakeError::Access {
        location: refusal.setting,
        why: refusal.why,
        way: refusal.way,
    };
    let objects: Arc<dyn ObjectStore> = bucket.open(variables).map_err(refused)?;
    let shown = match prefix.as_ref() {
        "" => format!("{}/", bucket.shown()),
        prefix => format!("{}/{prefix}/", bucket.shown()),
    };
    let shown = Url::parse(&shown).map_err(|_| unknown(location))?;
    let objects = Arc::new(PrefixStore::new(objects, prefix));
    Ok(Bucket::over(objects, shown).proved_first())
}

/// The bucket, and the key below which the lakehouse is.
fn parts(location: &str) -> LakeResult<(towpath_buckets::Bucket, Key)> {
    let (bucket, _) = towpath_buckets::Bucket::read(location).map_err(|_| unknown(location))?;
    let url = Url::parse(location).map_err(|_| unknown(location))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(unknown(location));
    }
    let prefix = Key::from_url_path(url.path()).map_err(|_| unknown(location))?;
    Ok((bucket, prefix))
}

fn unknown(location: &str) -> LakeError {
    let scheme = location.split_once("://").map_or("", |(scheme, _)| scheme);
    LakeError::Location {
        location: scheme.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_url_is_a_bucket_and_a_prefix_and_nothing_else() {
        let (bucket, prefix) = parts("s3://shop-lake/prod/eu/").unwrap();
        assert_eq!(
            (bucket.name.as_str(), prefix.as_ref()),
            ("shop-lake", "prod/eu")
        );
        for (text, name) in [
            ("s3://shop-lake", "shop-lake"),
            ("gs://shop_lake", "shop_lake"),
            ("az://shop/", "shop"),
            ("abfss://shop@acc.dfs.core.windows.net", "shop"),
        ] {
            let (bucket, prefix) = parts(text).unwrap();
            assert_eq!((bucket.name.as_str(), prefix.as_ref()), (name, ""));
        }
        for wrong in [
            "s3://key:secret@bucket/lake",
            "s3://bucket/lake?region=eu",
            "s3://bucket/lake#x",
            "s3:///lake",
            "gs://key:secret@bucket/lake",
        ] {
            let error = parts(wrong).err().unwrap();
            assert!(!error.to_string().contains("secret"), "{wrong}");
        }
    }
}
