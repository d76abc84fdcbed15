//! One request and its whole answer: limits, credentials, redirects, retries.
//!
//! Promise: an answer is complete (its length and compression are checked) and no larger than allowed,
//! or it is an error. A failure that may pass is tried again, after the time that the server names.
//! Credentials go to the API only. It does not know what an answer means: `page.rs`.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    LOCATION, USER_AGENT,
};
use reqwest::{Method, redirect};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use towpath_ports::{ConnectorContext, Lease, Memory};
use towpath_vocab::{ConnectionPlan, Failure};
use url::Url;

use super::auth::{Auth, OAuth};
use super::budget::{Budget, asked_wait};
use super::egress::{Egress, Reach};
use super::endpoint::ConnectionOptions;
use super::error::{Address, RestError, Result};
use super::retry::{backoff, may_pass};

const MOST_REDIRECTS: usize = 10;
/// So much of a refusal is shown.
const SHOWN_BYTES: usize = 300;

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) body: Option<String>,
}

/// What was answered, whole.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Where it came from after redirects.
    pub(super) url: Url,
    /// The memory of the body.
    _lease: Lease,
}

/// The client of one connection.
pub(super) struct Client {
    http: reqwest::Client,
    auth: Auth,
    budget: Budget,
    egress: Egress,
    headers: HeaderMap,
    retries: u32,
    longest_wait: Duration,
    most_bytes: u64,
    memory: Arc<dyn Memory>,
}

/// How one try ended.
enum Try {
    Done(Answer),
    /// Not now; perhaps after this long.
    Again(RestError, Option<Duration>),
}

impl Client {
    /// Resolves secrets and prepares TLS; contacts nobody.
    pub(super) async fn open(
        plan: &ConnectionPlan,
        options: &ConnectionOptions,
        context: &ConnectorContext,
    ) -> std::result::Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls().map_err(|why| options.wrong("url", &why))?)
            .redirect(redirect::Policy::none())
            .timeout(options.timeout)
            .connect_timeout(options.timeout.min(Duration::from_secs(20)))
            .build()
            .map_err(|error| options.wrong("url", &format!("cannot be used: {error}")))?;
        Ok(Self {
            http,
            auth: Auth::read(plan, &context.secrets).await?,
            budget: Budget::new(options.connections, options.rate),
            egress: Egress::new(options.url.clone(), options.hosts.clone()),
            headers: options.headers.clone(),
            retries: options.retries,
            longest_wait: options.longest_wait,
            most_bytes: options.most_page_bytes,
            memory: Arc::clone(&context.memory),
        })
    }

    /// Asks until there is an answer, an error that stays, or too many tries.
    pub(super) async fn ask(&self, request: &Request) -> Result<Answer> {
        let mut tries = 0;
        let mut renewed = false;
        loop {
            tries += 1;
            let (error, wait) = match self.try_once(request, tries, renewed).await {
                Ok(Try::Done(answer)) => return Ok(answer),
                Ok(Try::Again(error, wait)) => (error, wait),
                Err(RestError::Refused { status: 401, .. })
                    if self.auth.can_renew() && !renewed =>
                {
                    renewed = true;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if tries > self.retries {
                return Err(error);
            }
            let wait = wait.unwrap_or_else(|| backoff(tries));
            if wait > self.longest_wait {
                let request = Address::new(request.method.as_str(), &request.url);
                return Err(RestError::LongWait { request, wait });
            }
            tracing::debug!(%error, wait_ms = wait.as_millis(), tries, "a request is tried again");
            self.budget.pause(wait);
        }
    }

    async fn try_once(&self, request: &Request, tries: u32, anew: bool) -> Result<Try> {
        let mut request = request.clone();
        for _ in 0..=MOST_REDIRECTS {
            let address = Address::new(request.method.as_str(), &request.url);
            let permit = self.budget.permit().await;
            let response = match self.send(&request, &address, anew).await? {
                Ok(response) => response,
                Err(why) => {
                    let error = RestError::Unreachable {
                        request: address,
                        why,
                    };
                    return Ok(Try::Again(error, None));
                }
            };
            let status = response.status().as_u16();
            let wait = asked_wait(response.headers(), status, chrono::Utc::now().timestamp());
            if (300..400).contains(&status)
                && let Some(target) = response.headers().get(LOCATION)
            {
                request = redirected(&request, status, target, &address)?;
                continue;
            }
            let answer = self.body(response, &address, status).await;
            drop(permit);
            let answer = match answer {
                Ok(answer) => answer,
                Err(error @ RestError::Unreachable { .. }) => return Ok(Try::Again(error, None)),
                Err(error) => return Err(error),
            };
            return match status {
                200..=299 => {
                    if let Some(wait) = wait {
                        self.budget.pause(wait.min(self.longest_wait));
                    }
                    Ok(Try::Done(answer))
                }
                status if may_pass(status) => {
                    let answer = self.excerpt(&answer.body);
                    let error = RestError::Failed {
                        request: address,
                        status,
                        tries,
                        answer,
                    };
                    Ok(Try::Again(error, wait))
                }
                status => Err(RestError::Refused {
                    request: address,
                    status,
                    answer: self.excerpt(&answer.body),
                }),
            };
        }
        let request = Address::new(request.method.as_str(), &request.url);
        let why = format!("more than {MOST_REDIRECTS} redirects");
        Err(RestError::Endless { request, why })
    }

    /// Sends one request; the inner error is a reason in words why no answer came.
    async fn send(
        &self,
        request: &Request,
        address: &Address,
        anew: bool,
    ) -> Result<std::result::Result<reqwest::Response, String>> {
        let refused = |host| RestError::Egress {
            request: address.clone(),
            host,
        };
        let reach = self.egress.reach(&request.url).map_err(refused)?;
        let mut url = request.url.clone();
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static("towpath"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if request.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if reach == Reach::Own {
            headers.extend(self.headers.clone());
            let (header, parameter) = self.auth.credentials(anew, self).await?;
            headers.extend(header.map(|(name, value)| (Some(name), value)));
            if let Some((name, value)) = parameter {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        let mut builder = self
            .http
            .request(request.method.clone(), url)
            .headers(headers);
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        Ok(builder.send().await.map_err(|error| reason(&error)))
    }

    /// Asks an OAuth 2 server for a token: the token, and its life in seconds.
    pub(super) async fn token(&self, oauth: &OAuth) -> Result<(String, Option<u64>)> {
        #[derive(Deserialize)]
        struct Token {
            access_token: String,
            #[serde(default)]
            expires_in: Option<u64>,
        }
        let request = Address::new("POST", &oauth.token_url);
        let form: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&oauth.form)
            .finish();
        let mut builder = self
            .http
            .post(oauth.token_url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        if let Some((client, secret)) = &oauth.basic {
            builder = builder.basic_auth(client, Some(secret));
        }
        let unreachable = |error: reqwest::Error| RestError::Unreachable {
            request: request.clone(),
            why: reason(&error),
        };
        let response = builder.send().await.map_err(unreachable)?;
        let status = response.status().as_u16();
        let answer = self.body(response, &request, status).await?;
        if may_pass(status) {
            let answer = self.excerpt(&answer.body);
            return Err(RestError::Failed {
                request,
                status,
                tries: 1,
                answer,
            });
        }
        if !(200..300).contains(&status) {
            // A token server answers 400 to wrong credentials.
            let answer = self.excerpt(&answer.body);
            return Err(RestError::Refused {
                request,
                status: 403,
                answer,
            });
        }
        let token: Token =
            serde_json::from_slice(&answer.body).map_err(|_| RestError::NotJson {
                request,
                why: "it has no `access_token`".to_owned(),
            })?;
        Ok((token.access_token, token.expires_in))
    }

    /// Reads a body to its end, within the memory budget, and unpacks it.
    async fn body(
        &self,
        mut response: reqwest::Response,
        address: &Address,
        status: u16,
    ) -> Result<Answer> {
        let too_large = || RestError::TooLarge {
            request: address.clone(),
            most: self.most_bytes,
        };
        let most = usize::try_from(self.most_bytes).unwrap_or(usize::MAX);
        let said = response.content_length().unwrap_or(0);
        if said > self.most_bytes {
            return Err(too_large());
        }
        let mut lease = self.memory.hold(said.max(64 << 10)).await;
        let mut held = said.max(64 << 10);
        let mut body = Vec::new();
        loop {
            let cut = |error: reqwest::Error| RestError::Unreachable {
                request: address.clone(),
                why: format!("the answer was cut off: {}", reason(&error)),
            };
            let Some(chunk) = response.chunk().await.map_err(cut)? else {
                break;
            };
            if body.len() + chunk.len() > most {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
            if body.len() as u64 > held {
                drop(lease);
                held = body.len() as u64 * 2;
                lease = self.memory.hold(held).await;
            }
        }
        let headers = response.headers().clone();
        let url = response.url().clone();
        let packed = headers
            .get(CONTENT_ENCODING)
            .is_some_and(|coding| coding == "gzip");
        if packed && status != 204 && !body.is_empty() {
            body = unpacked(&body, most, address)?;
            drop(lease);
            lease = self.memory.hold(body.len() as u64).await;
        }
        Ok(Answer {
            headers,
            body,
            url,
            _lease: lease,
        })
    }

    /// The beginning of an answer on one line, without secrets.
    fn excerpt(&self, body: &[u8]) -> String {
        let head = body.get(..body.len().min(SHOWN_BYTES)).unwrap_or_default();
        let clean = self.auth.redaction.apply_to_head(head);
        let text = String::from_utf8_lossy(&clean);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn unpacked(body: &[u8], most: usize, address: &Address) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let limit = most as u64 + 1;
    let read = flate2::read::MultiGzDecoder::new(body)
        .take(limit)
        .read_to_end(&mut out);
    if read.is_err() {
        return Err(RestError::Unreachable {
            request: address.clone(),
            why: "the answer was cut off: its gzip data is not complete".to_owned(),
        });
    }
    if out.len() > most {
        return Err(RestError::TooLarge {
            request: address.clone(),
            most: most as u64,
        });
    }
    Ok(out)
}

fn redirected(
    request: &Request,
    status: u16,
    target: &HeaderValue,
    address: &Address,
) -> Result<Request> {
    let lost = || RestError::Refused {
        request: address.clone(),
        status,
        answer: "a redirect to an address that is not valid".to_owned(),
    };
    let target = target.to_str().map_err(|_| lost())?;
    let url = request.url.join(target).map_err(|_| lost())?;
    let keeps = matches!(status, 307 | 308) || request.method == Method::GET;
    Ok(Request {
        method: if keeps {
            request.method.clone()
        } else {
            Method::GET
        },
        body: if keeps { request.body.clone() } else { None },
        url,
    })
}

/// Why no answer came, in words without the address and its parameters.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".to_owned();
    }
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    match deepest.to_string() {
        text if text.contains("://") => "the connection failed".to_owned(),
        text => text,
    }
}

fn tls() -> std::result::Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Headers of the project's `headers`.
pub(super) fn headers(
    given: &serde_json::Map<String, serde_json::Value>,
) -> std::result::Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let text = value.as_str().unwrap_or_default();
        let pair = HeaderName::from_bytes(name.as_bytes())
            .ok()
            .zip(HeaderValue::from_str(text).ok());
        let (name, value) =
            pair.ok_or_else(|| format!("has `{name}`, which is not a valid header"))?;
        headers.insert(name, value);
    }
    Ok(headers)
}
