//! Options of `auth`, with their secrets resolved.
//!
//! Promise: each secret that is resolved is remembered, so that it can be taken out of text; what is
//! missing or not valid is refused by name. It does not know what credentials mean. Read next: `auth.rs`.

use std::sync::Arc;

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;
use towpath_ports::Secrets;
use towpath_vocab::{ConnectionPlan, Failure, OptionValue, SecretTemplate};
use url::Url;

use super::error::{RestError, Result};

/// Options of `auth`.
pub(super) struct AuthOptions<'a> {
    pub(super) plan: &'a ConnectionPlan,
    pub(super) secrets: &'a Arc<dyn Secrets>,
    /// The secrets so far.
    pub(super) known: Vec<String>,
}

impl AuthOptions<'_> {
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.plan.text(&format!("auth.{key}")).map(str::to_owned)
    }

    /// A text that must be there.
    pub(super) fn needed_text(&self, key: &str) -> Result<String> {
        let text = self.text(key).filter(|text| !text.is_empty());
        text.ok_or_else(|| self.wrong(key, "is missing"))
    }

    /// One of some words; the first one where none is given.
    pub(super) fn word(&self, key: &str, words: &[&'static str]) -> Result<&'static str> {
        let Some(text) = self.text(key) else {
            return Ok(words.first().copied().unwrap_or_default());
        };
        let found = words.iter().copied().find(|word| *word == text);
        found.ok_or_else(|| {
            let why = format!("is `{text}`, but must be one of {}", words.join(", "));
            self.wrong(key, &why)
        })
    }

    /// A whole number from 1.
    pub(super) fn number(&self, key: &str, default: u64) -> Result<u64> {
        let value = self.plan.plain(&format!("auth.{key}"));
        match value.filter(|value| !value.is_null()) {
            None => Ok(default),
            Some(value) => value.as_u64().filter(|number| *number > 0).ok_or_else(|| {
                self.wrong(
                    key,
                    &format!("is `{value}`, but must be a whole number from 1"),
                )
            }),
        }
    }

    /// Names and texts, in their order.
    pub(super) fn map(&self, key: &str) -> Vec<(String, String)> {
        let map = self.plan.plain(&format!("auth.{key}"));
        let map = map.and_then(Value::as_object).into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        map.map(|(name, value)| (name.clone(), text(value)))
            .collect()
    }

    pub(super) fn list(&self, key: &str) -> Vec<String> {
        let list = self.plan.plain(&format!("auth.{key}"));
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|text| text.as_str().map(str::to_owned))
            .collect()
    }

    /// A URL with `http` or `https`; secrets of an API with `https` go nowhere without it.
    pub(super) fn url(&self, key: &str, text: &str) -> Result<Url> {
        let url = Url::parse(text).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| self.wrong(key, "is not a URL"))?;
        let base = self.plan.text("url").unwrap_or_default();
        match base.starts_with("https:") && url.scheme() != "https" {
            true => Err(self.wrong(key, "must begin with `https://`, as `url` does")),
            false => Ok(url),
        }
    }

    pub(super) async fn secret(
        &mut self,
        key: &str,
    ) -> std::result::Result<Option<String>, Failure> {
        let template = match self.plan.options.get(&format!("auth.{key}")) {
            Some(OptionValue::Secret(template)) => template.clone(),
            Some(OptionValue::Plain(Value::String(text))) => SecretTemplate::new(text.clone()),
            _ => return Ok(None),
        };
        let value = self.secrets.resolve(&template).await?;
        self.known.push(value.clone());
        Ok(Some(value))
    }

    /// A secret that must be there.
    pub(super) async fn needed(
        &mut self,
        key: &'static str,
    ) -> std::result::Result<String, Failure> {
        match self.secret(key).await? {
            Some(value) => Ok(value),
            None => Err(self.wrong(key, "is missing").into()),
        }
    }

    pub(super) fn wrong(&self, key: &str, why: &str) -> RestError {
        RestError::Option {
            place: format!("connection `{}`", self.plan.name),
            option: format!("auth.{key}"),
            why: why.to_owned(),
        }
    }

    pub(super) fn header(&self, key: &str, text: &str) -> Result<HeaderValue> {
        let mut value = HeaderValue::from_str(text)
            .map_err(|_| self.wrong(key, "holds a character that no header can"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    pub(super) fn header_name(&self, key: &str, name: &str) -> Result<HeaderName> {
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            self.wrong(
                key,
                &format!("has `{name}`, which is not the name of a header"),
            )
        })
    }
}

/// Base64 of `user:password`.
pub(super) fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
}
