//! Sends one alert to a system over HTTP.
//!
//! Promise: secrets are resolved when an alert is sent and are in no failure, not even where the system
//! repeats them; redirects are not followed, so nothing goes to a host that the project does not name. One
//! try, with a time limit. Read next: `message.rs`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use reqwest::redirect;
use towpath_ports::{Alert, AlertChannel, Redaction, Result, Secrets};
use towpath_vocab::{ConnectionPlan, OptionValue};
use url::Url;

use super::connector::AlertForm;
use super::error::AlertError;
use super::message::{Message, message};
use crate::https::tls;

/// The longest that a system may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// So much of an answer is shown, in characters.
const SHOWN: usize = 200;

/// So much of an answer is read, in bytes.
const READ_BYTES: usize = 16 << 10;

/// A channel of a connection.
pub(super) struct HttpChannel {
    form: AlertForm,
    plan: ConnectionPlan,
    secrets: Arc<dyn Secrets>,
}

impl HttpChannel {
    pub(super) fn new(form: AlertForm, plan: ConnectionPlan, secrets: Arc<dyn Secrets>) -> Self {
        Self {
            form,
            plan,
            secrets,
        }
    }

    async fn option(&self, name: &str) -> Result<Option<String>> {
        match self.plan.options.get(name) {
            Some(OptionValue::Secret(template)) => Ok(Some(self.secrets.resolve(template).await?)),
            Some(OptionValue::Plain(value)) => Ok(value.as_str().map(str::to_owned)),
            None => Ok(None),
        }
    }

    fn wrong(&self, option: &'static str, why: impl Into<String>) -> AlertError {
        AlertError::Option {
            connection: self.plan.name.clone(),
            option,
            why: why.into(),
        }
    }

    async fn url(&self) -> Result<Url> {
        let text = match self.option("url").await? {
            Some(text) => text,
            None => self.form.default_url().unwrap_or_default().to_owned(),
        };
        // The error of the library would show a part of the secret.
        let url = Url::parse(&text).map_err(|_| self.wrong("url", "is not a URL"))?;
        let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
        match is_web && url.username().is_empty() && url.password().is_none() {
            true => Ok(url),
            false => {
                let why = "has to begin with `https://` or `http://` and a host, without a user";
                Err(self.wrong("url", why).into())
            }
        }
    }

    async fn post(&self, message: Message, redaction: &Redaction) -> Result<(), AlertError> {
        let connection = || self.plan.name.clone();
        let host = message.url.host_str().unwrap_or_default().to_owned();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls().map_err(|why| self.wrong("url", why))?)
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| {
                self.wrong("url", format!("cannot be used: {}", error.without_url()))
            })?;
        let mut request = client.post(message.url).body(message.body);
        for (name, value) in message.headers {
            request = request.header(name, value);
        }
        let no_answer = |error: reqwest::Error| {
            let why = match error.is_timeout() {
                true => format!("it took longer than {} s", TIMEOUT.as_secs()),
                false => deepest(&error.without_url()),
            };
            AlertError::NoAnswer {
                connection: connection(),
                host: host.clone(),
                why: without(redaction, why.as_bytes()),
            }
        };
        let mut response = request.send().await.map_err(no_answer)?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let mut body = Vec::new();
        // What cannot be read is not shown; the status says enough.
        while let Ok(Some(part)) = response.chunk().await
            && body.len() < READ_BYTES
        {
            body.extend_from_slice(&part);
        }
        let body = without(redaction, &body);
        let line = body.trim().lines().next().unwrap_or_default();
        let line: String = line.chars().take(SHOWN).collect();
        let shown = match line.is_empty() {
            true => String::new(),
            false => format!(": {line}"),
        };
        let (connection, status) = (connection(), status.as_u16());
        Err(match matches!(status, 408 | 425 | 429 | 500..) {
            true => AlertError::Busy {
                connection,
                host,
                status,
                shown,
            },
            false => AlertError::Refused {
                connection,
                host,
                status,
                shown,
            },
        })
    }
}

/// The parts of an address by which somebody could send, too.
fn parts(url: &Url) -> impl Iterator<Item = String> + '_ {
    let path = url.path_segments().into_iter().flatten().map(str::to_owned);
    let query = url.query_pairs().map(|(_, value)| value.into_owned());
    path.chain(query)
}

/// A text of the system without the secrets.
fn without(redaction: &Redaction, text: &[u8]) -> String {
    String::from_utf8_lossy(&redaction.apply_to_head(text)).into_owned()
}

/// The innermost reason, which names no address.
fn deepest(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[async_trait]
impl AlertChannel for HttpChannel {
    async fn send(&self, alert: &Alert) -> Result<()> {
        let url = self.url().await?;
        let key = self.option("key").await?;
        let redaction = Redaction::new(parts(&url).chain(key.clone()));
        let message = message(self.form, alert, &url, key.as_deref(), Utc::now())
            .map_err(|why| self.wrong("key", why))?;
        Ok(self.post(message, &redaction).await?)
    }
}
