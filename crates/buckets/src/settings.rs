//! Which variables of the environment say how a service of the S3 protocol is reached.
//!
//! Promise: each variable whose name begins with `AWS_` is obeyed, has nothing to do with requests, or is
//! refused by its name: none is silently passed over. Credentials are half a pair or whole, never a mixture.
//! An endpoint without TLS is refused unless it is this machine or the environment allows it. Values are in no
//! message. Read next: `listing.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use reqwest::Certificate;
use url::Url;

use crate::connect::{CONNECT, CheckedConnector, REQUEST};

/// How long a request is tried again before the write or read that needs it fails.
const TRIED_FOR: Duration = Duration::from_secs(60);
/// Tries of one request in that time.
const TRIES: usize = 10;
/// How names of the settings in the environment begin.
const PREFIX: &str = "AWS_";

const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
const TOKEN: &str = "AWS_SESSION_TOKEN";
const WEB_TOKEN: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const ROLE: &str = "AWS_ROLE_ARN";
const CONTAINER_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const CONTAINER_TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const STS: &str = "AWS_ENDPOINT_URL_STS";
const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
const ALLOW_HTTP: &str = "AWS_ALLOW_HTTP";
const VIRTUAL: &str = "AWS_VIRTUAL_HOSTED_STYLE_REQUEST";
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";
const NO_METADATA: &str = "AWS_EC2_METADATA_DISABLED";

/// Settings that the client takes as they are.
const OBEYED: [&str; 12] = [
    KEY_ID,
    SECRET,
    TOKEN,
    WEB_TOKEN,
    ROLE,
    STS,
    "AWS_ROLE_SESSION_NAME",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    CONTAINER_URI,
    CONTAINER_TOKEN,
];

/// Settings that are obeyed here.
const READ: [&str; 6] = [
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    ALLOW_HTTP,
    VIRTUAL,
    CA_BUNDLE,
    NO_METADATA,
];

/// Settings that only their usual value is obeyed of.
const FIXED: [(&str, &str); 5] = [
    ("AWS_STS_REGIONAL_ENDPOINTS", "regional"),
    ("AWS_USE_FIPS_ENDPOINT", "false"),
    ("AWS_USE_DUALSTACK_ENDPOINT", "false"),
    ("AWS_EC2_METADATA_V1_DISABLED", "true"),
    ("AWS_SKIP_SIGNATURE", "false"),
];

/// Files of profiles: without credentials in the environment they would name others.
const PROFILES: [&str; 4] = [
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
];

/// Variables of other programs that say nothing about requests.
const FOREIGN: [&str; 9] = [
    "AWS_PAGER",
    "AWS_DEFAULT_OUTPUT",
    "AWS_EXECUTION_ENV",
    "AWS_SDK_LOAD_CONFIG",
    "AWS_ACCOUNT_ID",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_SESSION_EXPIRATION",
    "AWS_VAULT",
    "AWS_DATA_PATH",
];
/// How names of such variables begin.
const FOREIGN_PREFIXES: [&str; 3] = ["AWS_CLI_", "AWS_LAMBDA_", "AWS_CDK_"];

/// What to do about credentials.
pub(crate) const CREDENTIALS: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (with AWS_SESSION_TOKEN if there is one), or run where the cloud gives a role";
const UNSET: &str = "remove it from the environment of Towpath; docs/how-to/object-storage.md lists the variables that are obeyed";
const PROFILE: &str = "`aws configure export-credentials --format env` prints what a profile holds";
const WEB_IDENTITY: &str = "set both AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or neither";
const CONTAINER: &str = "set both AWS_CONTAINER_CREDENTIALS_FULL_URI and AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, or neither";
const ENDPOINT: &str = "use `https://HOST` or `https://HOST:PORT`; an endpoint without TLS on another machine needs AWS_ALLOW_HTTP=true";
const FLAG: &str = "set it to `true` or `false`";
const BUNDLE: &str = "name a file with certificates in PEM form";
const HOSTED: &str = "begin the endpoint's host with the bucket's name, or set AWS_VIRTUAL_HOSTED_STYLE_REQUEST=false";

pub(crate) type Variables = BTreeMap<String, String>;

/// A setting that cannot be obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The setting or the endpoint, without credentials.
    pub setting: String,
    /// Why.
    pub why: String,
    /// What to do about it.
    pub way: &'static str,
}

/// The client of a bucket, as the environment says.
///
/// # Errors
/// With the name of a variable that cannot be obeyed, and never with its value.
pub(crate) fn settings(variables: &Variables, bucket: &str) -> Result<AmazonS3Builder, Refusal> {
    check_names(variables)?;
    check_credentials(variables)?;
    let endpoint = endpoint(variables, bucket)?;
    let allows_http = flag(variables, ALLOW_HTTP)?.unwrap_or(false);
    let sts = set(variables, STS)
        .map(|value| url_of(STS, value))
        .transpose()?;
    let mut is_plain = false;
    for url in endpoint.iter().chain(&sts) {
        is_plain |= url.scheme() == "http";
        if url.scheme() == "http" && !is_loopback(url) && !allows_http {
            return Err(wrong(
                url.as_str().trim_end_matches('/'),
                "the endpoint has no TLS, so anybody on the way could read and change what is sent",
                ENDPOINT,
            ));
        }
    }
    let mut builder = AmazonS3Builder::new()
        .with_client_options(client_options(is_plain))
        .with_retry(retry())
        .with_http_connector(CheckedConnector::new(certificates(variables)?))
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_bucket_name(bucket)
        .with_virtual_hosted_style_request(flag(variables, VIRTUAL)?.unwrap_or(false));
    for name in OBEYED {
        let key = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>().ok();
        if let (Some(key), Some(value)) = (key, set(variables, name)) {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(region) = set(variables, "AWS_REGION") {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
    }
    Ok(builder)
}

/// How a request is made; without TLS only where that is allowed.
pub(crate) fn client_options(is_plain: bool) -> ClientOptions {
    ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_timeout(REQUEST)
        .with_allow_http(is_plain)
}

/// How long a request is tried again.
pub(crate) fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: TRIES,
        retry_timeout: TRIED_FOR,
    }
}

/// A variable that is set and not empty.
pub(crate) fn set<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
    let value = variables.get(name).map(String::as_str);
    value.filter(|value| !value.is_empty())
}

pub(crate) fn wrong(location: &str, why: &str, way: &'static str) -> Refusal {
    Refusal {
        setting: location.to_owned(),
        why: why.to_owned(),
        way,
    }
}

/// Refuses every variable that would be passed over.
fn check_names(variables: &Variables) -> Result<(), Refusal> {
    let ours = variables
        .iter()
        .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty());
    for (name, value) in ours {
        let name = name.as_str();
        if OBEYED.contains(&name)
            || READ.contains(&name)
            || PROFILES.contains(&name)
            || FOREIGN.contains(&name)
            || FOREIGN_PREFIXES.iter().any(|start| name.starts_with(start))
        {
            continue;
        }
        match FIXED.iter().find(|(fixed, _)| *fixed == name) {
            Some((_, usual)) if value.eq_ignore_ascii_case(usual) => {}
            Some((_, usual)) => {
                let why = format!("this version obeys only the value `{usual}`");
                return Err(wrong(name, &why, UNSET));
            }
            None => return Err(wrong(name, "this version does not obey it", UNSET)),
        }
    }
    Ok(())
}

/// Refuses credentials that are not whole, and those of files that are not read.
fn check_credentials(variables: &Variables) -> Result<(), Refusal> {
    let has = |name| set(variables, name).is_some();
    for (here, there) in [(KEY_ID, SECRET), (SECRET, KEY_ID), (TOKEN, KEY_ID)] {
        if has(here) && !has(there) {
            return Err(wrong(
                there,
                &format!("it is not set, and {here} is"),
                CREDENTIALS,
            ));
        }
    }
    for (one, other, way) in [
        (WEB_TOKEN, ROLE, WEB_IDENTITY),
        (CONTAINER_URI, CONTAINER_TOKEN, CONTAINER),
    ] {
        for (here, there) in [(one, other), (other, one)] {
            if has(here) && !has(there) {
                return Err(wrong(there, &format!("it is not set, and {here} is"), way));
            }
        }
    }
    let from_container = has("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") || has(CONTAINER_URI);
    let named = has(KEY_ID) || has(WEB_TOKEN);
    if let Some(profile) = PROFILES.into_iter().find(|name| has(name) && !named) {
        return Err(wrong(profile, "files of profiles are not read", PROFILE));
    }
    // Without any of these the role of the machine is asked for.
    if flag(variables, NO_METADATA)? == Some(true) && !named && !from_container {
        let why = "it is `true`, and there are no other credentials";
        return Err(wrong(NO_METADATA, why, CREDENTIALS));
    }
    Ok(())
}

fn flag(variables: &Variables, name: &str) -> Result<Option<bool>, Refusal> {
    match set(variables, name).map(str::to_ascii_lowercase).as_deref() {
        None => Ok(None),
        Some("true" | "1") => Ok(Some(true)),
        Some("false" | "0") => Ok(Some(false)),
        Some(_) => Err(wrong(name, "it is neither true nor false", FLAG)),
    }
}

fn certificates(variables: &Variables) -> Result<Vec<Certificate>, Refusal> {
    let Some(path) = set(variables, CA_BUNDLE) else {
        return Ok(Vec::new());
    };
    let text = std::fs::read(path);
    let text = text.map_err(|error| wrong(CA_BUNDLE, &format!("`{path}`: {error}"), BUNDLE))?;
    match Certificate::from_pem_bundle(&text) {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(wrong(
            CA_BUNDLE,
            &format!("`{path}` holds no certificates"),
            BUNDLE,
        )),
    }
}

/// The address of a service that is not Amazon's.
fn endpoint(variables: &Variables, bucket: &str) -> Result<Option<Url>, Refusal> {
    let named = ENDPOINTS
        .into_iter()
        .find_map(|name| set(variables, name).map(|value| (name, value)));
    let Some((name, value)) = named else {
        return Ok(None);
    };
    let url = url_of(name, value)?;
    let hosted = flag(variables, VIRTUAL)?.unwrap_or(false);
    let host = url.host_str().unwrap_or_default();
    if hosted && !host.starts_with(&format!("{bucket}.")) {
        let why =
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST is true, and its host does not begin with the bucket";
        return Err(wrong(name, why, HOSTED));
    }
    Ok(Some(url))
}

pub(crate) fn url_of(name: &str, value: &str) -> Result<Url, Refusal> {
    let wrong = |why: &str| wrong(name, why, ENDPOINT);
    let url = Url::parse(value).map_err(|_| wrong("it is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("it is not an http:// or https:// URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it holds a user or a password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it holds a query or a fragment"));
    }
    Ok(url)
}

pub(crate) fn is_loopback(url: &Url) -> bool {
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

    fn with(more: &[(&str, &str)]) -> Result<AmazonS3Builder, Refusal> {
        let keys = [(KEY_ID, "id"), (SECRET, "hidden")];
        only(&[&keys[..], more].concat())
    }

    fn only(variables: &[(&str, &str)]) -> Result<AmazonS3Builder, Refusal> {
        let variables = variables.iter();
        let owned = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        settings(&owned.collect(), "shop")
    }

    fn refusal(result: Result<AmazonS3Builder, Refusal>) -> String {
        let error = result.err().unwrap();
        let text = format!("`{}` {} {}", error.setting, error.why, error.way);
        assert!(!text.contains("hidden"), "{text}");
        text
    }

    #[test]
    fn each_variable_is_obeyed_or_refused_by_its_name() {
        for name in OBEYED {
            assert!(
                name.to_ascii_lowercase()
                    .parse::<AmazonS3ConfigKey>()
                    .is_ok(),
                "{name}"
            );
        }
        for name in [
            "AWS_TIMEOUT",
            "AWS_CONNECT_TIMEOUT",
            "AWS_CONDITIONAL_PUT",
            "AWS_TOKEN",
            "AWS_SSE_CUSTOMER_KEY_BASE64",
            "AWS_ALLOW_INVALID_CERTIFICATES",
            "AWS_S3_EXPRESS",
            "AWS_ENDPOINT",
            "AWS_BUCKET",
            "AWS_MAX_ATTEMPTS",
            "AWS_PROXY_URL",
            "AWS_UNSIGNED_PAYLOAD",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        ] {
            let text = refusal(with(&[(name, "hidden")]));
            assert!(text.contains(&format!("`{name}`")), "{text}");
        }
        with(&[("AWS_PAGER", "less"), ("AWS_CLI_AUTO_PROMPT", "on")]).unwrap();
        with(&[("AWS_TIMEOUT", "")]).unwrap();
        with(&[("AWS_SKIP_SIGNATURE", "false")]).unwrap();
        refusal(with(&[("AWS_SKIP_SIGNATURE", "true")]));
        with(&[("AWS_STS_REGIONAL_ENDPOINTS", "regional")]).unwrap();
        refusal(with(&[("AWS_STS_REGIONAL_ENDPOINTS", "legacy")]));
    }

    #[test]
    fn credentials_are_whole_and_from_where_they_are_said_to_be() {
        for (half, missing) in [
            (KEY_ID, SECRET),
            (SECRET, KEY_ID),
            (TOKEN, KEY_ID),
            (WEB_TOKEN, ROLE),
            (CONTAINER_URI, CONTAINER_TOKEN),
            (CONTAINER_TOKEN, CONTAINER_URI),
        ] {
            let text = refusal(only(&[(half, "hidden")]));
            assert!(text.contains(missing) && text.contains(half), "{text}");
        }
        for profile in PROFILES {
            let text = refusal(only(&[(profile, "work")]));
            assert!(text.contains(profile), "{text}");
            with(&[(profile, "work")]).unwrap();
        }
        refusal(only(&[(NO_METADATA, "true")]));
        with(&[(NO_METADATA, "true")]).unwrap();
        only(&[(WEB_TOKEN, "/f"), (ROLE, "r"), (NO_METADATA, "true")]).unwrap();
        let container = [
            (CONTAINER_URI, "http://[fd00:ec2::23]/v1"),
            (CONTAINER_TOKEN, "/f"),
        ];
        only(&[&container[..], &[(NO_METADATA, "true")]].concat()).unwrap();
        refusal(with(&container[..1]));
        refusal(with(&container[1..]));
    }

    #[test]
    fn an_endpoint_without_tls_is_this_machine_or_allowed() {
        let at = |url: &'static str, more: &[(&'static str, &'static str)]| {
            with(&[&[("AWS_ENDPOINT_URL", url)], more].concat())
        };
        at("http://127.0.0.1:9000", &[]).unwrap();
        at("https://storage.example.com/", &[]).unwrap();
        for allow in ["false", "0", ""] {
            let text = refusal(at("http://storage.example.com", &[(ALLOW_HTTP, allow)]));
            assert!(text.contains("no TLS"), "{text}");
        }
        at("http://storage.example.com", &[(ALLOW_HTTP, "true")]).unwrap();
        refusal(at("http://storage.example.com", &[(ALLOW_HTTP, "maybe")]));
        let sts = [(STS, "http://sts.example.com")];
        assert!(refusal(with(&sts)).contains("no TLS"));
        for url in [
            "https://me:hidden@storage.example.com",
            "https://storage.example.com?hidden=1",
            "https://storage.example.com#hidden",
            "storage.example.com",
            "ftp://storage.example.com",
        ] {
            assert!(refusal(at(url, &[])).contains("AWS_ENDPOINT_URL"));
        }
        let hosted = [(VIRTUAL, "true")];
        refusal(at("https://storage.example.com", &hosted));
        at("https://shop.storage.example.com", &hosted).unwrap();
    }

    /// One of nobody, whose key was thrown away.
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
        MIIBfzCCASWgAwIBAgIUNss1qUNpVq4JGszY911vBZZ3eWcwCgYIKoZIzj0EAwIw\n\
        FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyOTIwNTYyMFoYDzIxMjYxMTA1\n\
        MjA1NjIwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO\n\
        PQMBBwNCAASSfrRrWqV5CVj+xLu2uFMRHW/t0TpV6H9m+rcEQapp6AKgsdKklPh2\n\
        FvEKXomStXKx091cKn/LsCWXA05KeaEko1MwUTAdBgNVHQ4EFgQUcX4XcHX02LAa\n\
        og1r1TEveOi0Rd4wHwYDVR0jBBgwFoAUcX4XcHX02LAaog1r1TEveOi0Rd4wDwYD\n\
        VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA4Moqos6M9226OlRpT5ZK\n\
        S9CRn+GRQPg/Z2fQBr6sbksCICDR79UkZWJxCbPYM2sTm4Ab3Z8xeMIJW+rB2C9r\n\
        FVOb\n\
        -----END CERTIFICATE-----\n";

    #[test]
    fn a_bundle_of_certificates_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let path = file.to_str().unwrap();
        let text = refusal(with(&[(CA_BUNDLE, path)]));
        assert!(text.contains(CA_BUNDLE) && text.contains(path), "{text}");
        std::fs::write(&file, "not certificates").unwrap();
        refusal(with(&[(CA_BUNDLE, path)]));
        std::fs::write(&file, CERTIFICATE).unwrap();
        with(&[(CA_BUNDLE, path)]).unwrap();
    }
}
