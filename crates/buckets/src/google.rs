//! Which variables of the environment say how Google Cloud Storage is reached.
//!
//! Promise: a variable that says something about requests is obeyed or refused by its name; `GOOGLE_…` and
//! `CLOUDSDK_…` of other products have no meaning here. Credentials come from the file that
//! GOOGLE_APPLICATION_CREDENTIALS names, from that of `gcloud auth application-default login`, or from the machine.
//! Values are in no message. Read next: `cloud.rs`.

use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use url::Url;

use crate::connect::CheckedConnector;
use crate::settings::{Refusal, Variables, client_options, is_loopback, retry, set, wrong};

const CREDENTIALS_FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const ACCOUNT_FILE: &str = "GOOGLE_SERVICE_ACCOUNT";
const ACCOUNT_KEY: &str = "GOOGLE_SERVICE_ACCOUNT_KEY";
const EMULATOR: &str = "STORAGE_EMULATOR_HOST";
const ADDRESS: &str = "https://storage.googleapis.com";

/// Settings that are obeyed.
const OBEYED: [&str; 3] = [CREDENTIALS_FILE, ACCOUNT_FILE, ACCOUNT_KEY];

/// Settings about requests and credentials, of Google's own clients, that are not obeyed.
const REFUSED: [&str; 14] = [
    "GOOGLE_CREDENTIALS",
    "GOOGLE_OAUTH_ACCESS_TOKEN",
    "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT",
    "GOOGLE_CLOUD_QUOTA_PROJECT",
    "GOOGLE_CLOUD_UNIVERSE_DOMAIN",
    "GOOGLE_API_USE_CLIENT_CERTIFICATE",
    "GOOGLE_API_USE_MTLS_ENDPOINT",
    "GOOGLE_API_CERTIFICATE_CONFIG",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE",
    "CLOUDSDK_AUTH_ACCESS_TOKEN",
    "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE",
    "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",
    "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT",
    "CLOUDSDK_BILLING_QUOTA_PROJECT",
];

/// Settings that say where credentials are which would be looked for elsewhere.
const ELSEWHERE: [&str; 2] = ["CLOUDSDK_CONFIG", "NO_GCE_CHECK"];

/// What to do about credentials.
pub(crate) const CREDENTIALS: &str = "set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account or of `gcloud auth application-default login` (files of workload identity federation are not read), or run where the cloud gives a service account";
const UNSET: &str = "remove it from the environment of Towpath; docs/how-to/object-storage.md lists the variables that are obeyed";
const NAMED: &str = "set GOOGLE_APPLICATION_CREDENTIALS to the file with the credentials";
const ONE: &str = "set only one of them";
const HOST: &str = "an emulator is on this machine: use `http://127.0.0.1:PORT`";

/// The client of a bucket, as the environment says.
///
/// # Errors
/// With the name of a variable that cannot be obeyed, and never with its value.
pub(crate) fn settings(
    variables: &Variables,
    bucket: &str,
) -> Result<GoogleCloudStorageBuilder, Refusal> {
    let given: Vec<&str> = OBEYED
        .into_iter()
        .filter(|name| set(variables, name).is_some())
        .collect();
    check_names(variables, !given.is_empty())?;
    if let [_, second, ..] = given.as_slice() {
        return Err(wrong(second, "other credentials are set, too", ONE));
    }
    let emulator = set(variables, EMULATOR).map(emulator).transpose()?;
    let is_plain = emulator.as_ref().is_some_and(|url| url.scheme() == "http");
    let address = emulator.as_ref().map_or(ADDRESS, Url::as_str);
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        // A file of credentials may name another address, which only the environment may.
        .with_base_url(address.trim_end_matches('/'))
        .with_skip_signature(emulator.is_some())
        .with_client_options(client_options(is_plain))
        .with_retry(retry())
        .with_http_connector(CheckedConnector::new(Vec::new()));
    for name in given {
        if let (Ok(key), Some(value)) = (
            name.to_ascii_lowercase().parse::<GoogleConfigKey>(),
            set(variables, name),
        ) {
            builder = builder.with_config(key, value);
        }
    }
    Ok(builder)
}

fn check_names(variables: &Variables, has_credentials: bool) -> Result<(), Refusal> {
    for (name, value) in variables {
        let name = name.as_str();
        let is_known = || {
            let key = name.to_ascii_lowercase().parse::<GoogleConfigKey>();
            name.starts_with("GOOGLE_") && key.is_ok() && !OBEYED.contains(&name)
        };
        if value.is_empty() {
            continue;
        }
        if REFUSED.contains(&name) || is_known() {
            return Err(wrong(name, "this version does not obey it", UNSET));
        }
        if ELSEWHERE.contains(&name) && !has_credentials {
            return Err(wrong(name, "this version does not obey it", NAMED));
        }
    }
    Ok(())
}

/// The address of an emulator, which asks for no credentials.
fn emulator(value: &str) -> Result<Url, Refusal> {
    let text = match value.contains("://") {
        true => value.to_owned(),
        false => format!("http://{value}"),
    };
    let url = Url::parse(&text).ok();
    let is_plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            && is_loopback(url)
    };
    url.filter(is_plain)
        .ok_or_else(|| wrong(EMULATOR, "it is not a URL of this machine", HOST))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<GoogleCloudStorageBuilder, Refusal> {
        let owned = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        settings(&owned.collect(), "shop")
    }

    fn refused(variables: &[(&str, &str)]) -> String {
        let refusal = with(variables).err().unwrap();
        let text = format!("`{}` {} {}", refusal.setting, refusal.why, refusal.way);
        assert!(!text.contains("hidden"), "{text}");
        text
    }

    #[test]
    fn what_says_something_about_requests_is_obeyed_or_refused() {
        for name in OBEYED {
            let key = name.to_ascii_lowercase().parse::<GoogleConfigKey>();
            assert!(key.is_ok(), "{name}");
            with(&[(name, "hidden")]).unwrap();
        }
        let others = [
            "GOOGLE_BUCKET",
            "GOOGLE_BASE_URL",
            "GOOGLE_SKIP_SIGNATURE",
            "GOOGLE_TIMEOUT",
            "GOOGLE_PROXY_URL",
            "GOOGLE_ALLOW_INVALID_CERTIFICATES",
        ];
        for name in REFUSED.into_iter().chain(others) {
            let said = refused(&[(name, "hidden"), (CREDENTIALS_FILE, "/f")]);
            assert!(said.contains(&format!("`{name}`")), "{said}");
        }
        with(&[
            ("GOOGLE_CLOUD_PROJECT", "p"),
            ("GOOGLE_API_KEY", "hidden"),
            ("CLOUDSDK_CORE_PROJECT", "p"),
            ("GOOGLE_TIMEOUT", ""),
        ])
        .unwrap();
        for name in ELSEWHERE {
            refused(&[(name, "hidden")]);
            with(&[(name, "x"), (ACCOUNT_FILE, "/f")]).unwrap();
        }
        refused(&[(CREDENTIALS_FILE, "/f"), (ACCOUNT_KEY, "hidden")]);
    }

    #[test]
    fn an_emulator_is_on_this_machine() {
        for good in [
            "127.0.0.1:4443",
            "http://localhost:4443/",
            "https://[::1]:1",
        ] {
            with(&[(EMULATOR, good)]).unwrap().build().unwrap();
        }
        for bad in [
            "storage.example.com:4443",
            "http://me:hidden@127.0.0.1",
            "ftp://127.0.0.1",
            "http://127.0.0.1?hidden",
        ] {
            assert!(refused(&[(EMULATOR, bad)]).contains(EMULATOR), "{bad}");
        }
    }

    #[test]
    fn a_file_of_credentials_does_not_say_where_requests_go() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f.json");
        let text = "{\"type\":\"service_account\",\"gcs_base_url\":\"http://example.com\",\
            \"disable_oauth\":true,\"client_email\":\"\",\"private_key\":\"\",\"private_key_id\":\"\"}";
        std::fs::write(&file, text).unwrap();
        let path = file.to_str().unwrap();
        let built = with(&[(ACCOUNT_FILE, path)]).unwrap().build().unwrap();
        let shown = format!("{built:?}");
        assert!(
            shown.contains("googleapis.com") && !shown.contains("example.com"),
            "{shown}"
        );
        std::fs::write(&file, "{\"type\":\"external_account\"}").unwrap();
        assert!(with(&[(CREDENTIALS_FILE, path)]).unwrap().build().is_err());
    }
}
