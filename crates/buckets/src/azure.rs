//! Which variables of the environment say how Azure Blob Storage is reached.
//!
//! Promise: `AZURE_STORAGE_…`, and what says something about identities, is obeyed or refused by its name;
//! `AZURE_…` of other products has no meaning here. A key or a SAS token comes before an identity, and both at once are
//! refused. An endpoint without TLS is this machine. Values are in no message. Read next: `cloud.rs`.

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use crate::connect::CheckedConnector;
use crate::settings::{Refusal, Variables, client_options, is_loopback, retry, set, url_of, wrong};

const ACCOUNTS: [&str; 2] = ["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"];
const KEYS: [&str; 2] = ["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"];
const SAS: &str = "AZURE_STORAGE_SAS_TOKEN";
const ENDPOINT: &str = "AZURE_STORAGE_ENDPOINT";
const CLIENT: &str = "AZURE_CLIENT_ID";
const SECRET: &str = "AZURE_CLIENT_SECRET";
const TENANT: &str = "AZURE_TENANT_ID";
const AUTHORITY: &str = "AZURE_AUTHORITY_HOST";
const FEDERATED: &str = "AZURE_FEDERATED_TOKEN_FILE";
const MACHINE: &str = "IDENTITY_ENDPOINT";

/// Identities of Azure's own clients that are not known here.
const IDENTITIES: [&str; 8] = [
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_USERNAME",
    "AZURE_PASSWORD",
    "AZURE_REGIONAL_AUTHORITY_NAME",
    "AZURE_TOKEN_CREDENTIALS",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "MSI_ENDPOINT",
];

/// What to do about credentials.
pub(crate) const CREDENTIALS: &str = "set AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN; or AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE; or run where the cloud gives an identity";
const UNSET: &str = "remove it from the environment of Towpath; docs/how-to/object-storage.md lists the variables that are obeyed";
const ONE: &str = "set only one of them";
const ACCOUNT: &str = "set AZURE_STORAGE_ACCOUNT_NAME to the name of the storage account";
const ADDRESS: &str = "use `https://HOST`; an endpoint without TLS must be on this machine";
const WHOLE: &str = "set AZURE_CLIENT_ID, AZURE_TENANT_ID and one of AZURE_CLIENT_SECRET and AZURE_FEDERATED_TOKEN_FILE, or none of them";

/// The client of a container, as the environment says; `account` is what its URL says.
///
/// # Errors
/// With the name of a variable that cannot be obeyed, and never with its value.
pub(crate) fn settings(
    variables: &Variables,
    container: &str,
    account: Option<&str>,
) -> Result<MicrosoftAzureBuilder, Refusal> {
    check_names(variables)?;
    let named = one_of(variables, ACCOUNTS)?;
    if let (Some(in_url), Some((name, value))) = (account, named)
        && in_url != value
    {
        return Err(wrong(name, "the URL names another account", ONE));
    }
    let account = account.or(named.map(|(_, value)| value));
    let account = account.ok_or_else(|| wrong(ACCOUNTS[0], "it is not set", ACCOUNT))?;
    let endpoint = set(variables, ENDPOINT)
        .map(|value| url_of(ENDPOINT, value))
        .transpose()
        .map_err(|refusal| Refusal {
            way: ADDRESS,
            ..refusal
        })?;
    let is_plain = endpoint.as_ref().is_some_and(|url| url.scheme() == "http");
    if let Some(url) = endpoint
        .as_ref()
        .filter(|url| is_plain && !is_loopback(url))
    {
        let why =
            "the endpoint has no TLS, so anybody on the way could read and change what is sent";
        return Err(wrong(url.as_str().trim_end_matches('/'), why, ADDRESS));
    }
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_container_name(container)
        .with_client_options(client_options(is_plain))
        .with_retry(retry())
        .with_http_connector(CheckedConnector::new(Vec::new()));
    if let Some(url) = endpoint {
        builder = builder.with_endpoint(url.as_str().trim_end_matches('/').to_owned());
    }
    credentials(builder, variables)
}

/// A key or a SAS token, else an identity of the environment, else that of the machine.
fn credentials(
    mut builder: MicrosoftAzureBuilder,
    variables: &Variables,
) -> Result<MicrosoftAzureBuilder, Refusal> {
    let (key, sas) = (one_of(variables, KEYS)?, set(variables, SAS));
    match (key, sas) {
        (Some(_), Some(_)) => return Err(wrong(SAS, "a key is set, too", ONE)),
        (Some((_, key)), None) => return Ok(builder.with_access_key(key)),
        (None, Some(sas)) => return Ok(builder.with_config(AzureConfigKey::SasKey, sas)),
        (None, None) => {}
    }
    if let Some(name) = IDENTITIES
        .into_iter()
        .find(|name| set(variables, name).is_some())
    {
        return Err(wrong(name, "this version does not obey it", UNSET));
    }
    let (secret, file) = (set(variables, SECRET), set(variables, FEDERATED));
    if secret.is_some() && file.is_some() {
        return Err(wrong(FEDERATED, "a client secret is set, too", ONE));
    }
    // A client alone names an identity of the machine.
    if secret.is_some() || file.is_some() {
        let missing = [CLIENT, TENANT]
            .into_iter()
            .find(|name| set(variables, name).is_none());
        if let Some(missing) = missing {
            return Err(wrong(missing, "it is not set", WHOLE));
        }
    }
    for (key, name) in [
        (AzureConfigKey::ClientId, CLIENT),
        (AzureConfigKey::AuthorityId, TENANT),
        (AzureConfigKey::ClientSecret, SECRET),
        (AzureConfigKey::FederatedTokenFile, FEDERATED),
        (AzureConfigKey::AuthorityHost, AUTHORITY),
        (AzureConfigKey::MsiEndpoint, MACHINE),
    ] {
        if let Some(value) = set(variables, name) {
            builder = builder.with_config(key, value);
        }
    }
    Ok(builder)
}

/// The value of one of two names for the same; both may be set to the same value.
fn one_of<'a>(
    variables: &'a Variables,
    names: [&'static str; 2],
) -> Result<Option<(&'static str, &'a str)>, Refusal> {
    let [first, second] = names.map(|name| set(variables, name).map(|value| (name, value)));
    match (first, second) {
        (Some((_, one)), Some((name, other))) if one != other => {
            let why = format!("{} is set to another value", names[0]);
            Err(wrong(name, &why, ONE))
        }
        (first, second) => Ok(first.or(second)),
    }
}

fn check_names(variables: &Variables) -> Result<(), Refusal> {
    let obeyed = [
        ACCOUNTS[0],
        ACCOUNTS[1],
        KEYS[0],
        KEYS[1],
        SAS,
        ENDPOINT,
        CLIENT,
        SECRET,
        TENANT,
        AUTHORITY,
        FEDERATED,
    ];
    for (name, value) in variables {
        let name = name.as_str();
        let is_about_requests = || {
            let key = name.to_ascii_lowercase().parse::<AzureConfigKey>();
            name.starts_with("AZURE_STORAGE_") || (name.starts_with("AZURE_") && key.is_ok())
        };
        if !value.is_empty() && !obeyed.contains(&name) && is_about_requests() {
            return Err(wrong(name, "this version does not obey it", UNSET));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const KEY: &str = "aGlkZGVu";

    fn with(variables: &[(&str, &str)]) -> Result<MicrosoftAzureBuilder, Refusal> {
        of(variables, None)
    }

    fn of(
        variables: &[(&str, &str)],
        account: Option<&str>,
    ) -> Result<MicrosoftAzureBuilder, Refusal> {
        let owned = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        settings(&owned.collect(), "shop", account)
    }

    fn refused(variables: &[(&str, &str)]) -> String {
        let refusal = with(variables).err().unwrap();
        let text = format!("`{}` {} {}", refusal.setting, refusal.why, refusal.way);
        assert!(!text.contains("hidden") && !text.contains(KEY), "{text}");
        text
    }

    #[test]
    fn what_says_something_about_requests_is_obeyed_or_refused() {
        let account = (ACCOUNTS[0], "acc");
        for name in [
            "AZURE_STORAGE_CONNECTION_STRING",
            "AZURE_STORAGE_AUTH_MODE",
            "AZURE_STORAGE_USE_EMULATOR",
            "AZURE_STORAGE_TOKEN",
            "AZURE_SKIP_SIGNATURE",
            "AZURE_USE_AZURE_CLI",
            "AZURE_CONTAINER_NAME",
            "AZURE_TIMEOUT",
            "AZURE_ALLOW_HTTP",
        ] {
            let said = refused(&[account, (KEYS[0], KEY), (name, "hidden")]);
            assert!(said.contains(&format!("`{name}`")), "{said}");
        }
        with(&[account, (KEYS[0], KEY), ("AZURE_SUBSCRIPTION_ID", "x")]).unwrap();
        for name in IDENTITIES {
            assert!(refused(&[account, (name, "hidden")]).contains(name));
            with(&[account, (SAS, "sv=x&sig=hidden"), (name, "x")]).unwrap();
        }
    }

    #[test]
    fn credentials_are_whole_and_of_one_kind() {
        let account = (ACCOUNTS[0], "acc");
        refused(&[(KEYS[0], KEY)]);
        refused(&[account, (ACCOUNTS[1], "other")]);
        refused(&[account, (KEYS[0], KEY), (KEYS[1], "hidden")]);
        refused(&[account, (KEYS[0], KEY), (SAS, "sig=hidden")]);
        refused(&[account, (SECRET, "hidden"), (CLIENT, "c")]);
        refused(&[account, (FEDERATED, "/f"), (TENANT, "t")]);
        let whole = [account, (CLIENT, "c"), (TENANT, "t")];
        refused(&[&whole[..], &[(SECRET, "hidden"), (FEDERATED, "/f")]].concat());
        for more in [(SECRET, "hidden"), (FEDERATED, "/f")] {
            with(&[&whole[..], &[more]].concat())
                .unwrap()
                .build()
                .unwrap();
        }
        with(&[(ACCOUNTS[1], "acc"), (KEYS[1], KEY)])
            .unwrap()
            .build()
            .unwrap();
        with(&[account, (CLIENT, "c")]).unwrap().build().unwrap();
        of(&[(KEYS[0], KEY)], Some("acc")).unwrap();
        assert!(of(&[account, (KEYS[0], KEY)], Some("other")).is_err());
    }

    #[test]
    fn an_endpoint_without_tls_is_this_machine() {
        let at = |url: &'static str| [(ACCOUNTS[0], "acc"), (KEYS[0], KEY), (ENDPOINT, url)];
        with(&at("http://127.0.0.1:10000/acc")).unwrap();
        with(&at("https://acc.blob.core.chinacloudapi.cn")).unwrap();
        assert!(refused(&at("http://storage.example.com")).contains("no TLS"));
        assert!(refused(&at("https://me:hidden@example.com")).contains(ENDPOINT));
    }
}
