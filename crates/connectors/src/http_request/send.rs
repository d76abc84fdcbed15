//! Sends the request and judges the answer by its status.
//!
//! Promise: of an answer no more than its first line of 200 characters is kept, for the failure, without
//! secrets. Read next: `error.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, redirect};
use towpath_ports::{Redaction, Result};
use url::Url;

use super::error::RequestError;
use crate::https::tls;

/// So much of an answer is shown, in characters.
const SHOWN: usize = 200;

/// So much of an answer is read, in bytes.
const READ_BYTES: usize = 16 << 10;

/// A request in which all values are filled in. It may hold secrets, so it is never shown.
pub struct HttpRequest {
    /// The method, in capitals.
    pub method: String,
    /// Where it goes.
    pub url: String,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// What it brings.
    pub body: Option<Vec<u8>>,
    /// The statuses of an answer that is well, as ranges from and to.
    pub expect: Vec<(u16, u16)>,
    /// The longest that it may take.
    pub timeout: Duration,
    /// The values that are removed from what the server says.
    pub redaction: Redaction,
}

/// Sends it once.
///
/// # Errors
/// R0345 to R0348.
pub async fn send(request: HttpRequest) -> Result<()> {
    let url = address(&request.url)?;
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let sent = built(&request, url)?;
    let mut answer = sent.send().await.map_err(|error| {
        let is_not_sent = error.is_connect();
        let why = match error.is_timeout() {
            true => format!("it took longer than {} s", request.timeout.as_secs_f64()),
            false => deepest(&error.without_url()),
        };
        let (host, why) = (host.clone(), without(&request.redaction, why.as_bytes()));
        match is_not_sent {
            true => RequestError::Unreachable { host, why },
            false => RequestError::NoAnswer { host, why },
        }
    })?;
    let status = answer.status().as_u16();
    let is_expected = |(from, to): &(u16, u16)| (*from..=*to).contains(&status);
    if request.expect.iter().any(is_expected) {
        return Ok(());
    }
    let mut body = Vec::new();
    // What cannot be read is not shown; the status says enough.
    while let Ok(Some(part)) = answer.chunk().await
        && body.len() < READ_BYTES
    {
        body.extend_from_slice(&part);
    }
    let body = without(&request.redaction, &body);
    let line = body.trim().lines().next().unwrap_or_default();
    let line: String = line.chars().take(SHOWN).collect();
    let shown = match line.is_empty() {
        true => String::new(),
        false => format!(": {line}"),
    };
    Err(match matches!(status, 408 | 425 | 429 | 500..) {
        true => RequestError::Busy {
            host,
            status,
            shown,
        },
        false => RequestError::Unexpected {
            host,
            status,
            expected: ranges(&request.expect),
            shown,
        },
    }
    .into())
}

fn written(what: impl Into<String>, why: impl Into<String>) -> RequestError {
    RequestError::Written {
        what: what.into(),
        why: why.into(),
    }
}

fn address(text: &str) -> Result<Url, RequestError> {
    // The error of the library would show a part of a secret.
    let url = Url::parse(text.trim()).map_err(|_| written("`url`", "is not a URL"))?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    match is_web && url.username().is_empty() && url.password().is_none() {
        true => Ok(url),
        false => Err(written(
            "`url`",
            "has to begin with `https://` or `http://` and a host, without a user",
        )),
    }
}

fn built(request: &HttpRequest, url: Url) -> Result<reqwest::RequestBuilder, RequestError> {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls().map_err(|why| written("`url`", why))?)
        .redirect(redirect::Policy::none())
        .timeout(request.timeout)
        .build()
        .map_err(|error| {
            let why = format!("cannot be used: {}", error.without_url());
            written("`url`", why)
        })?;
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| written("`method`", "is not a method of HTTP"))?;
    let mut built = client.request(method, url);
    for (name, value) in &request.headers {
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| written(format!("header `{name}`"), "is not a valid name"))?;
        let value = HeaderValue::from_str(value)
            .map_err(|_| written(format!("header `{name}`"), "has a value of several lines"))?;
        built = built.header(header, value);
    }
    Ok(match &request.body {
        Some(body) => built.body(body.clone()),
        None => built,
    })
}

fn ranges(expect: &[(u16, u16)]) -> String {
    let shown = expect.iter().map(|(from, to)| match from == to {
        true => from.to_string(),
        false => format!("{from}-{to}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// A text of the server without the secrets.
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
