//! The values of all secrets that a project names, so that they can be removed from what programs print.
//!
//! Promise: the values are in memory only, and only during the run. A secret that is not set has no value
//! to remove. It does not know where text is shown. Read next: `ports/src/redact.rs`.

use serde_json::Value;
use towpath_ports::{Redaction, System as _};
use towpath_vocab::passwords::{
    decoded, is_literal_password, is_literal_secret_header, password_arguments, passwords_in,
};
use towpath_vocab::{
    Action, HttpBody, HttpPlan, Mask, OptionValue, Plan, SecretTemplate, TablePlan,
};

use crate::system::LocalSystem;

/// Variables that hold the secrets of an object store.
const STORE_SECRETS: [&str; 14] = [
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_CLIENT_SECRET",
    "IDENTITY_HEADER",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    // Refused, but they may be in the environment of a command.
    "AWS_TOKEN",
    "AWS_SSE_CUSTOMER_KEY_BASE64",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_PASSWORD",
    "GOOGLE_OAUTH_ACCESS_TOKEN",
];

/// Variables with the URL of a proxy, which may hold a password.
const PROXIES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The values that are removed from the output of a project's programs.
pub(crate) fn redaction(plan: &Plan, system: &LocalSystem) -> Redaction {
    let options = plan.connections.values().flat_map(|c| c.options.values());
    let mut values: Vec<String> = options
        .filter_map(|option| match option {
            OptionValue::Secret(template) => Some(template),
            OptionValue::Plain(_) => None,
        })
        .flat_map(|template| {
            let mut values = system.values_in(template);
            values.extend(literal_passwords(template));
            values
        })
        .collect();
    values.extend(plan.state.iter().flat_map(|state| system.values_in(state)));
    let options = plan.connections.values().flat_map(|c| c.options.values());
    let mut paths = options.filter_map(|option| match option {
        OptionValue::Plain(value) => value.as_str(),
        OptionValue::Secret(_) => None,
    });
    if plan.lakehouse.contains("://") || paths.any(|path| path.contains("://")) {
        let variables = system.environment();
        let set = STORE_SECRETS.iter().filter_map(|name| variables.get(*name));
        values.extend(set.filter(|value| !value.is_empty()).cloned());
        let proxies = PROXIES.iter().filter_map(|name| variables.get(*name));
        for password in proxies.filter_map(|proxy| password_of(proxy)) {
            values.push(decoded(password));
            values.push(password.to_owned());
        }
    }
    let tasks = plan.pipelines.iter().flat_map(|pipeline| &pipeline.tasks);
    for task in tasks {
        match &task.action {
            Action::Command(command) => {
                let texts = command.env.values().chain(&command.argv);
                values.extend(texts.clone().flat_map(|text| system.secrets_in(text)));
                values.extend(texts.flat_map(|text| passwords_in(text)));
                let named = command.env.iter();
                let named = named.filter(|(name, text)| is_literal_password(name, text));
                values.extend(named.map(|(_, text)| text.clone()));
                let arguments = password_arguments(&command.argv).into_iter();
                values.extend(arguments.filter_map(|at| command.argv.get(at).cloned()));
            }
            Action::Load(load) => {
                values.extend(keys(&load.table).flat_map(|key| system.values_in(key)));
            }
            Action::Http(http) => values.extend(of_request(http, system)),
            Action::Model(_) | Action::Publish(_) | Action::Sql(_) => {}
        }
    }
    Redaction::new(values)
}

/// What is secret in a request.
fn of_request(http: &HttpPlan, system: &LocalSystem) -> Vec<String> {
    let body = match &http.body {
        HttpBody::None => String::new(),
        HttpBody::Text(text) => text.clone(),
        HttpBody::Json(value) => value.to_string(),
    };
    let texts = || http.headers.values().chain([&http.url, &body]);
    let mut values: Vec<String> = texts().flat_map(|text| system.secrets_in(text)).collect();
    values.extend(texts().flat_map(|text| passwords_in(text)));
    for (name, text) in &http.headers {
        if is_literal_secret_header(name, text) {
            values.push(text.clone());
        } else if is_literal_secret_header(name, "any") {
            // Such a header is a secret also where its value is in a plain variable.
            values.extend(system.values_in(&SecretTemplate::new(text.clone())));
        }
    }
    values
}

/// Passwords that a map of an option has in clear text: the template of such an option is its JSON.
fn literal_passwords(template: &SecretTemplate) -> Vec<String> {
    fn find(name: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) if is_literal_password(name, text) => found.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| find(name, item, found)),
            Value::Object(members) => members
                .iter()
                .for_each(|(name, value)| find(name, value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    if let Ok(map @ Value::Object(_)) = serde_json::from_str(template.template()) {
        find("", &map, &mut found);
    }
    found
}

/// The password in a URL.
fn password_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let (user, _) = rest.split('/').next()?.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    Some(password).filter(|password| !password.is_empty())
}

fn keys(table: &TablePlan) -> impl Iterator<Item = &SecretTemplate> {
    let masks = table.columns.iter().filter_map(|c| c.mask.as_ref());
    masks.filter_map(|mask| match mask {
        Mask::Hash(key) | Mask::NullSealed(key) => Some(key),
        Mask::Null => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_a_map_are_found() {
        let map = r#"{"host": "h", "password": "hunter2", "login": [{"db_password": "s3cret"}], "token": "${env:T}"}"#;
        let found = literal_passwords(&SecretTemplate::new(map));
        assert_eq!(found, ["hunter2", "s3cret"]);
        assert!(literal_passwords(&SecretTemplate::new("hunter2")).is_empty());
    }

    #[test]
    fn a_proxy_has_a_password_where_its_url_says_so() {
        assert_eq!(password_of("http://me:p%40w@proxy:80/x@y"), Some("p%40w"));
        for none in [
            "http://proxy:80",
            "http://me@proxy",
            "proxy:80",
            "http://me:@proxy",
        ] {
            assert_eq!(password_of(none), None, "{none}");
        }
    }
}
