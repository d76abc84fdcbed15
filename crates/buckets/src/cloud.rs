//! Which bucket of which cloud a URL names, and the client of it.
//!
//! Promise: `s3://BUCKET`, `gs://BUCKET`, `az://CONTAINER` and `abfss://CONTAINER@ACCOUNT.dfs.core.windows.net` are
//! read in one way, and nothing but a bucket is taken from them: no user, no password. The clients of all
//! clouds follow no redirect, check listings and try a request again for as long. It contacts nothing.
//! Read next: `settings.rs`, `google.rs`, `azure.rs` (the environment of each cloud).

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::list::PaginatedListStore;

use crate::settings::{CREDENTIALS, Refusal, settings};
use crate::{azure, google};

/// How names of the variables begin that say how a cloud is reached.
pub const VARIABLES: [&str; 9] = [
    "AWS_",
    "GOOGLE_",
    "GCE_METADATA_",
    "CLOUDSDK_",
    "STORAGE_EMULATOR_HOST",
    "AZURE_",
    "IDENTITY_",
    "MSI_",
    "NO_GCE_CHECK",
];

/// How URLs of buckets begin, for people.
pub const SCHEMES: [&str; 5] = ["s3", "gs", "az", "abfss", "abfs"];

/// Where an account of Azure is, unless the environment says otherwise.
const HOSTS: [&str; 2] = [".dfs.core.windows.net", ".blob.core.windows.net"];

/// The client of a bucket.
pub trait Store: ObjectStore + PaginatedListStore {}

impl<T: ObjectStore + PaginatedListStore> Store for T {}

/// Whose service it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon S3, or a service with the same protocol.
    Amazon,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

/// A bucket, which Azure calls a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Whose it is.
    pub cloud: Cloud,
    /// Its name.
    pub name: String,
    /// The account of Azure that the URL names.
    pub account: Option<String>,
    /// The URL without what is below the bucket.
    shown: String,
}

/// Why a URL does not name a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoBucket {
    /// Credentials would be in project files.
    #[error("it holds a user or a password")]
    User,
    /// Nothing that can be a name.
    #[error("it does not name a bucket")]
    Name,
    /// A host of Azure that is not known.
    #[error(
        "it is not `abfss://CONTAINER@ACCOUNT.dfs.core.windows.net`; for another host set AZURE_STORAGE_ENDPOINT and write `az://CONTAINER`"
    )]
    Host,
}

/// Whether a text is the URL of a bucket.
pub fn is_bucket(text: &str) -> bool {
    scheme(text).is_some()
}

fn scheme(text: &str) -> Option<(&'static str, &str)> {
    let (begin, rest) = text.split_once("://")?;
    let known = SCHEMES
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(begin))?;
    Some((known, rest))
}

impl Bucket {
    /// The bucket of a URL, and what stands behind its `/`, as it is.
    ///
    /// # Errors
    /// When it names no bucket, or more than that. The text is in no message.
    pub fn read(text: &str) -> Result<(Self, &str), NoBucket> {
        let (scheme, rest) = scheme(text).ok_or(NoBucket::Name)?;
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        let cloud = match scheme {
            "s3" => Cloud::Amazon,
            "gs" => Cloud::Google,
            _ => Cloud::Azure,
        };
        let (name, account) = match place.split_once('@') {
            Some((name, host)) if scheme.starts_with("abfs") => (name, Some(account(host)?)),
            Some(_) => return Err(NoBucket::User),
            None => (place, None),
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._$".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(NoBucket::Name);
        }
        let bucket = Self {
            cloud,
            name: name.to_owned(),
            account,
            shown: format!("{scheme}://{place}"),
        };
        Ok((bucket, path))
    }

    /// The URL without what is below the bucket, and without a `/` at its end.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The client, with the settings of these variables.
    ///
    /// # Errors
    /// With the name of a variable that cannot be obeyed, and never with its value.
    pub fn open(&self, variables: &BTreeMap<String, String>) -> Result<Arc<dyn Store>, Refusal> {
        let failed = |way: &'static str| {
            move |error: object_store::Error| Refusal {
                setting: self.shown.clone(),
                why: error.to_string(),
                way,
            }
        };
        let store: Arc<dyn Store> = match self.cloud {
            Cloud::Amazon => {
                let built = settings(variables, &self.name)?.build();
                Arc::new(built.map_err(failed(CREDENTIALS))?)
            }
            Cloud::Google => {
                let built = google::settings(variables, &self.name)?.build();
                Arc::new(built.map_err(failed(google::CREDENTIALS))?)
            }
            Cloud::Azure => {
                let account = self.account.as_deref();
                let built = azure::settings(variables, &self.name, account)?.build();
                Arc::new(built.map_err(failed(azure::CREDENTIALS))?)
            }
        };
        Ok(store)
    }
}

fn account(host: &str) -> Result<String, NoBucket> {
    let account = HOSTS.into_iter().find_map(|end| host.strip_suffix(end));
    let is_name =
        |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    account
        .filter(is_name)
        .map(str::to_owned)
        .ok_or(NoBucket::Host)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_url_names_a_bucket_and_what_is_below_it() {
        for (text, cloud, name, shown, path) in [
            (
                "s3://shop/a b%20/",
                Cloud::Amazon,
                "shop",
                "s3://shop",
                "a b%20/",
            ),
            ("S3://shop", Cloud::Amazon, "shop", "s3://shop", ""),
            (
                "gs://shop_1/a#?",
                Cloud::Google,
                "shop_1",
                "gs://shop_1",
                "a#?",
            ),
            ("az://shop//x", Cloud::Azure, "shop", "az://shop", "/x"),
            ("az://$web/x", Cloud::Azure, "$web", "az://$web", "x"),
            (
                "abfss://shop@acc1.dfs.core.windows.net/x/y",
                Cloud::Azure,
                "shop",
                "abfss://shop@acc1.dfs.core.windows.net",
                "x/y",
            ),
        ] {
            let (bucket, rest) = Bucket::read(text).unwrap();
            assert_eq!(
                (bucket.cloud, &*bucket.name, bucket.shown()),
                (cloud, name, shown)
            );
            assert_eq!(rest, path, "{text}");
            let account = text.contains('@').then(|| "acc1".to_owned());
            assert_eq!(bucket.account, account, "{text}");
        }
        assert!(!is_bucket("s3a://x") && !is_bucket("data/s3") && !is_bucket("https://x/y"));
    }

    #[test]
    fn a_user_is_refused_and_not_shown() {
        for (text, why) in [
            ("s3://key:hidden@shop/a", NoBucket::User),
            ("gs://hidden@shop/a", NoBucket::User),
            ("az://hidden@acc.blob.core.windows.net/a", NoBucket::User),
            ("s3:///a", NoBucket::Name),
            ("gs://", NoBucket::Name),
            ("s3://hidden:1/a", NoBucket::Name),
            (
                "abfss://a:hidden@acc.dfs.core.windows.net/a",
                NoBucket::Name,
            ),
            ("abfss://shop@hidden.example.com/a", NoBucket::Host),
            ("abfss://shop@.dfs.core.windows.net/a", NoBucket::Host),
        ] {
            let said = Bucket::read(text).unwrap_err();
            assert_eq!(said, why, "{text}");
            assert!(!said.to_string().contains("hidden"), "{said}");
        }
    }
}
