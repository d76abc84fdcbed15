//! A lakehouse in a bucket of Amazon S3, or of a server with the same protocol.
//!
//! Promise: credentials come from the environment or from the cloud itself, never from a project's files;
//! an endpoint without TLS is refused unless it is this machine or the environment allows it. It knows no
//! table and no lease. Read next: `bucket.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use url::Url;

use super::{Bucket, Key};
use crate::lake::error::{LakeError, LakeResult};

/// The scheme of its URLs.
pub(crate) const SCHEME: &str = "s3";

/// How long a request is tried again before the write or read that needs it fails.
const TRIED_FOR: Duration = Duration::from_secs(60);
/// Tries of one request in that time.
const TRIES: usize = 10;
/// How long one request may take, with the bytes it sends or gets.
const REQUEST: Duration = Duration::from_secs(120);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How names of the settings in the environment begin.
const PREFIX: &str = "AWS_";

/// The lakehouse at `s3://BUCKET/PREFIX`, with the settings of the environment (`AWS_…`).
///
/// # Errors
/// `Location` for a URL without a bucket, with a user, a query or a fragment; `Access` for settings that
/// cannot be obeyed.
pub(crate) fn open(url: &Url, variables: &BTreeMap<String, String>) -> LakeResult<Bucket> {
    let (name, prefix) = parts(url)?;
    let settings = Settings::of(variables)?;
    let objects = settings.builder()?.with_bucket_name(&name).build();
    let objects = objects.map_err(|error| LakeError::Access {
        location: format!("{SCHEME}://{name}"),
        why: error.to_string(),
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

/// What the environment says of the service.
struct Settings {
    known: Vec<(AmazonS3ConfigKey, String)>,
    endpoint: Option<Url>,
}

impl Settings {
    fn of(variables: &BTreeMap<String, String>) -> LakeResult<Self> {
        let ours = variables
            .iter()
            .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty());
        let known: Vec<(AmazonS3ConfigKey, String)> = ours
            .filter_map(|(name, value)| {
                let key = name.to_ascii_lowercase().parse().ok()?;
                Some((key, value.clone()))
            })
            .collect();
        let set = |name: &str| variables.get(name).filter(|value| !value.is_empty());
        // Named profiles are files that the client does not read: silence would be another account.
        if let Some(profile) = set("AWS_PROFILE")
            && set("AWS_ACCESS_KEY_ID").is_none()
            && set("AWS_WEB_IDENTITY_TOKEN_FILE").is_none()
        {
            return Err(LakeError::Access {
                location: format!("{SCHEME}://"),
                why: format!("AWS_PROFILE is `{profile}`, and files of profiles are not read"),
            });
        }
        let endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]
            .iter()
            .find_map(|name| set(name).map(|value| (name, value)));
        let endpoint = endpoint.map(|(name, value)| endpoint_of(name, value));
        Ok(Self {
            known,
            endpoint: endpoint.transpose()?,
        })
    }

    fn builder(self) -> LakeResult<AmazonS3Builder> {
        let set = |wanted: &AmazonS3ConfigKey| self.known.iter().any(|(key, _)| key == wanted);
        let allows_http = AmazonS3ConfigKey::Client(object_store::ClientConfigKey::AllowHttp);
        let said = set(&allows_http);
        let options = ClientOptions::new()
            .with_connect_timeout(CONNECT)
            .with_timeout(REQUEST);
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: TRIES,
            retry_timeout: TRIED_FOR,
        };
        let mut builder = AmazonS3Builder::new()
            .with_client_options(options)
            .with_retry(retry);
        for (key, value) in self.known {
            builder = builder.with_config(key, value);
        }
        match self.endpoint {
            Some(endpoint) if endpoint.scheme() == "http" && is_loopback(&endpoint) => {
                builder = builder.with_allow_http(true);
            }
            Some(endpoint) if endpoint.scheme() == "http" && !said => {
                return Err(LakeError::Access {
                    location: endpoint.to_string(),
                    why: "the endpoint has no TLS, so anybody on the way could read and change the tables"
                        .to_owned(),
                });
            }
            _ => {}
        }
        Ok(builder)
    }
}

fn endpoint_of(name: &str, value: &str) -> LakeResult<Url> {
    let wrong = |why: &str| LakeError::Access {
        location: name.to_owned(),
        why: why.to_owned(),
    };
    let url = Url::parse(value).map_err(|_| wrong("it is not a URL"))?;
    match url.scheme() {
        "http" | "https" if url.username().is_empty() && url.password().is_none() => Ok(url),
        "http" | "https" => Err(wrong("it holds a user or a password")),
        _ => Err(wrong("it is not an http:// or https:// URL")),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn with(variables: &[(&str, &str)]) -> LakeResult<Bucket> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        open(&Url::parse("s3://bucket/lake").unwrap(), &variables)
    }

    fn keys() -> Vec<(&'static str, &'static str)> {
        vec![
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "hidden"),
        ]
    }

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

    #[test]
    fn an_endpoint_without_tls_is_this_machine_or_allowed() {
        let endpoint = |url: &'static str, more: &[(&'static str, &'static str)]| {
            let mut all = keys();
            all.push(("AWS_ENDPOINT_URL", url));
            all.extend(more);
            with(&all)
        };
        endpoint("http://127.0.0.1:9000", &[]).unwrap();
        endpoint("https://storage.example.com", &[]).unwrap();
        let error = endpoint("http://storage.example.com", &[]).err().unwrap();
        assert!(error.to_string().contains("no TLS"), "{error}");
        let allowed = [("AWS_ALLOW_HTTP", "true")];
        endpoint("http://storage.example.com", &allowed).unwrap();
        let error = endpoint("https://me:hidden@storage.example.com", &[]);
        let error = error.err().unwrap().to_string();
        assert!(
            error.contains("password") && !error.contains("hidden"),
            "{error}"
        );
        endpoint("storage.example.com", &[]).unwrap_err();
    }

    #[test]
    fn a_profile_that_would_not_be_read_is_refused() {
        let error = with(&[("AWS_PROFILE", "work")]).err().unwrap();
        assert!(error.to_string().contains("AWS_PROFILE"), "{error}");
        let mut all = keys();
        all.push(("AWS_PROFILE", "work"));
        with(&all).unwrap();
    }

    #[test]
    fn half_of_the_keys_is_refused() {
        let error = with(&[("AWS_ACCESS_KEY_ID", "id")]).err().unwrap();
        assert!(matches!(error, LakeError::Access { .. }), "{error}");
    }
}
