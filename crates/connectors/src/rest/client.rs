//! One request and its whole answer: limits, credentials, redirects, retries.
//!
//! Promise: an answer is complete (its length and compression are checked) and no larger than allowed,
//! or it is an error. A failure that may pass is tried again, after the time that the server names.
//! Credentials go to the API only. It does not know what an answer means: `page.rs`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
    USER_AGENT,
};
use reqwest::{Method, redirect};
use tokio::time::Instant;
use towpath_ports::{ConnectorContext, Memory, ReservedMemory};
use towpath_vocab::{ConnectionPlan, Failure};
use url::Url;

use crate::https::tls;

use super::answer::{Answer, server_time};
use super::auth::Auth;
use super::body::{BodyForm, Unreadable};
use super::budget::{asked_wait, is_over_limit};
use super::connection::ConnectionOptions;
use super::egress::{Egress, Reach, Resolver};
use super::error::{Address, RestError, Result};
use super::kept_file::digest_of;
use super::request::{Body, Request};
use super::retry::{Tries, may_pass};
use super::shared::{self, Shared};
use super::signature::Signed;

const MOST_REDIRECTS: usize = 10;
/// So much of a refusal is shown.
const SHOWN_BYTES: usize = 300;

/// The client of one read.
pub(super) struct Client {
    pub(super) http: reqwest::Client,
    pub(super) shared: Arc<Shared>,
    auth: Auth,
    egress: Egress,
    headers: HeaderMap,
    retries: u32,
    longest_wait: Duration,
    most_bytes: u64,
    memory: Arc<dyn Memory>,
    /// The connection, as it reserves memory.
    pub(super) connection: String,
    /// The folder of its project.
    pub(super) project: PathBuf,
    /// A name for who asks: the credentials and headers that requests are sent with.
    pub(super) asker: String,
}

/// A name for the credentials and headers of a connection: others have another.
fn asker(headers: &HeaderMap, auth: &Auth) -> String {
    let pairs = headers.iter();
    let mut pairs: Vec<_> = pairs
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    pairs.sort_unstable();
    digest_of(&(pairs, auth.identity()))
}

/// How one try ended.
enum Try {
    Done(Answer),
    /// Not now; perhaps after this long.
    Again(RestError, Option<Duration>),
    /// The API refused this token; perhaps it accepts another.
    TokenRefused(RestError, u64),
}

/// A request on its way, and the number of its token.
struct Sent {
    response: reqwest::Response,
    token: Option<u64>,
    took: Duration,
}

impl Client {
    /// Resolves secrets and prepares TLS; contacts nobody.
    pub(super) async fn open(
        plan: &ConnectionPlan,
        options: &ConnectionOptions,
        context: &ConnectorContext,
    ) -> std::result::Result<Self, Failure> {
        let auth = Auth::read(plan, &context.secrets).await?;
        let egress = Egress::new(options.url.clone(), options.hosts.clone());
        let own = options.url.host_str().into_iter().chain(auth.token_host());
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls().map_err(|why| options.wrong("url", &why))?)
            .redirect(redirect::Policy::none())
            .dns_resolver(Resolver::new(own))
            .timeout(options.timeout)
            .connect_timeout(options.timeout.min(Duration::from_secs(20)))
            .build()
            .map_err(|error| options.wrong("url", &format!("cannot be used: {error}")))?;
        let mut identity = DefaultHasher::new();
        let every = options.rate.map(|rate| rate.every);
        (&options.url, options.connections, every, auth.identity()).hash(&mut identity);
        let shared = shared::of_connection(
            &context.project_dir,
            &options.name,
            identity.finish(),
            options.connections,
            options.rate,
        );
        Ok(Self {
            http,
            shared,
            asker: asker(&options.headers, &auth),
            auth,
            egress,
            headers: options.headers.clone(),
            retries: options.retries,
            longest_wait: options.longest_wait,
            most_bytes: options.most_page_bytes,
            memory: Arc::clone(&context.memory),
            connection: options.name.clone(),
            project: context.project_dir.clone(),
        })
    }

    /// Waits for memory; a failure if all who hold some wait for each other.
    pub(super) async fn reserve(&self, what: &str, bytes: u64) -> Result<ReservedMemory> {
        let holder = format!("{what} of connection `{}`", self.connection);
        let lease = self.memory.lease(&holder, bytes).await;
        lease.map_err(RestError::Memory)
    }

    /// No request begins for so long, within what the connection allows.
    pub(super) fn pause(&self, wait: Duration) {
        self.shared.budget.pause(wait.min(self.longest_wait));
    }

    /// The memory that all reads share.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory.limit_bytes()
    }

    /// Asks until there is an answer, an error that stays, or too many tries.
    pub(super) async fn ask(&self, request: &Request) -> Result<Answer> {
        let mut tries = Tries::new(self.retries, self.longest_wait);
        let mut refused = None;
        let write = request.write.as_ref();
        let write = write.filter(|write| write.idempotency.is_some());
        let mut is_unanswered = false;
        loop {
            let tried = self.try_once(request, tries.begin(), refused).await;
            let tried = match tried {
                Err(error) if write.is_some_and(|w| w.may_be_known || is_unanswered) => {
                    in_progress(error, is_unanswered)?
                }
                tried => tried?,
            };
            is_unanswered |= matches!(&tried, Try::Again(RestError::Unreachable { .. }, _));
            let (error, wait) = match tried {
                Try::Done(answer) => return Ok(answer),
                Try::TokenRefused(_, number) if refused.is_none() => {
                    refused = Some(number);
                    continue;
                }
                Try::TokenRefused(error, _) => return Err(error),
                Try::Again(error, wait) => (error, wait),
            };
            let Some(pause) = tries.after(wait) else {
                return Err(match wait {
                    Some(_) if tries.waited_too_long() => RestError::LongWait {
                        request: Address::new(request.method.as_str(), &request.url),
                        wait: tries.waited,
                    },
                    _ => error,
                });
            };
            tracing::debug!(%error, wait_ms = pause.as_millis(), "a request is tried again");
            if wait.is_some() {
                self.shared.budget.pause(pause);
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn try_once(&self, request: &Request, tries: u32, refused: Option<u64>) -> Result<Try> {
        let mut request = request.clone();
        for _ in 0..=MOST_REDIRECTS {
            let address = Address::new(request.method.as_str(), &request.url);
            let _permit = self.shared.budget.permit().await;
            let sent = match self.send(&request, &address, refused).await {
                Ok(sent) => sent,
                Err(error) if error.may_pass() => return Ok(Try::Again(error, None)),
                Err(error) => return Err(error),
            };
            let status = sent.response.status().as_u16();
            if (300..400).contains(&status)
                && let Some(target) = sent.response.headers().get(LOCATION)
            {
                request = redirected(&request, status, target, &address)?;
                continue;
            }
            return self.answer(sent, address, (tries, &request)).await;
        }
        let request = Address::new(request.method.as_str(), &request.url);
        let why = format!("more than {MOST_REDIRECTS} redirects");
        Err(RestError::Endless { request, why })
    }

    /// What an answer means for the request.
    async fn answer(
        &self,
        sent: Sent,
        request: Address,
        (tries, asked): (u32, &Request),
    ) -> Result<Try> {
        let headers = sent.response.headers().clone();
        let status = sent.response.status().as_u16();
        let wait = asked_wait(&headers, status, Utc::now().timestamp());
        let mut answer = match self.body(sent.response, &request).await {
            Ok(answer) => answer,
            Err(error) if error.may_pass() => return Ok(Try::Again(error, None)),
            Err(error) => return Err(error),
        };
        let shown = |answer: &Answer| self.excerpt(&answer.body);
        match (status, sent.token) {
            // Others are a part of an answer, or the promise of one where it is not wanted.
            (200..=205 | 207, _) if is_answer(status, asked) => {
                if let Some(wait) = wait {
                    self.pause(wait);
                }
                answer.server_time = server_time(&headers, sent.took);
                Ok(Try::Done(answer))
            }
            (status, _) if may_pass(status) || is_over_limit(&headers, status) => {
                let answer = shown(&answer);
                let error = RestError::Failed {
                    request,
                    status,
                    tries,
                    answer,
                };
                Ok(Try::Again(error, wait))
            }
            (status, token) => {
                let answer = shown(&answer);
                let error = RestError::Refused {
                    request,
                    status,
                    answer,
                    end: None,
                };
                match token.filter(|_| status == 401) {
                    Some(number) => Ok(Try::TokenRefused(error, number)),
                    None => Err(error),
                }
            }
        }
    }

    /// Sends one request.
    async fn send(
        &self,
        request: &Request,
        address: &Address,
        refused: Option<u64>,
    ) -> Result<Sent> {
        let egress = |host| RestError::Egress {
            request: address.clone(),
            host,
        };
        let reach = self.egress.reach(&request.url).map_err(egress)?;
        let mut url = request.url.clone();
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static("towpath"));
        headers.insert(ACCEPT, HeaderValue::from_static(request.accepts));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if request.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let mut token = None;
        if reach == Reach::Own {
            headers.extend(self.headers.clone());
            let credentials = self.auth.credentials(refused, self).await?;
            token = credentials.token;
            let header = credentials.header;
            headers.extend(header.map(|(name, value)| (Some(name), value)));
            if let Some((name, value)) = credentials.parameter {
                // A URL of the server may hold it already.
                url = with_parameter(&url, name, value);
            }
            url = self.auth.spelled(url);
        }
        let idempotency = request.write.as_ref();
        let idempotency = idempotency.and_then(|write| write.idempotency.clone());
        headers.extend(idempotency.map(|(name, value)| (Some(name), value)));
        let body = request.body.as_ref().map(Body::text);
        if reach == Reach::Own {
            let signed = Signed {
                method: &request.method,
                url: &url,
                body: body.as_deref().unwrap_or_default(),
            };
            for (name, value) in self.auth.signature(&signed)? {
                headers.insert(name, value);
            }
        }
        let mut builder = self
            .http
            .request(request.method.clone(), url)
            .headers(headers);
        if let Some(body) = body {
            builder = builder.body(body);
        }
        let start = Instant::now();
        let response = builder
            .send()
            .await
            .map_err(|error| RestError::Unreachable {
                request: address.clone(),
                why: reason(&error),
            })?;
        Ok(Sent {
            response,
            token,
            took: start.elapsed(),
        })
    }

    /// Reads a body to its end, within the memory budget, and unpacks it.
    pub(super) async fn body(
        &self,
        mut response: reqwest::Response,
        address: &Address,
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
        let mut lease = self.reserve("answers", said.max(64 << 10)).await?;
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
                lease = self.reserve("answers", held).await?;
            }
        }
        let headers = response.headers().clone();
        let (url, status) = (response.url().clone(), response.status());
        let packed = headers
            .get(CONTENT_ENCODING)
            .is_some_and(|coding| coding == "gzip");
        if packed && !body.is_empty() {
            body = unpacked(&body, most, address)?;
            drop(lease);
            lease = self.reserve("answers", body.len() as u64).await?;
        }
        Ok(Answer::new(status.as_u16(), headers, body, url, lease))
    }

    /// An answer with its body as JSON, and the names of its columns where it says them once.
    pub(super) async fn as_json(
        &self,
        mut answer: Answer,
        form: &BodyForm,
        address: &Address,
    ) -> Result<(Answer, Option<Vec<String>>)> {
        if answer.is_nothing || *form == BodyForm::JSON {
            return Ok((answer, None));
        }
        let body = std::mem::take(&mut answer.body);
        // The body, its text and what becomes of it are there at once.
        let held = (body.len() as u64).saturating_mul(4);
        answer.hold(None);
        answer.hold(Some(self.reserve("answers", held).await?));
        let most = usize::try_from(self.most_bytes).unwrap_or(usize::MAX);
        let request = address.clone();
        let converted = form.json(body, &answer.headers, most);
        let converted = converted.map_err(|unreadable| match unreadable {
            Unreadable::Wrong(why) => RestError::Unreadable {
                request,
                form: form.word(),
                why,
            },
            Unreadable::Cut(why) => RestError::Unreachable {
                request,
                why: format!("the answer was cut off: {why}"),
            },
            Unreadable::TooLarge => RestError::TooLarge {
                request,
                most: self.most_bytes,
            },
        })?;
        answer.body = converted.json;
        if answer.body.len() as u64 > held {
            answer.hold(None);
            let bytes = answer.body.len() as u64;
            answer.hold(Some(self.reserve("answers", bytes).await?));
        }
        Ok((answer, converted.columns))
    }

    /// The beginning of an answer on one line, without secrets.
    pub(super) fn excerpt(&self, body: &[u8]) -> String {
        let head = body.get(..body.len().min(SHOWN_BYTES)).unwrap_or_default();
        let redaction = self.auth.redaction(self.shared.secrets());
        let clean = redaction.apply_to_head(head);
        let text = String::from_utf8_lossy(&clean);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// A conflict may say that the same request, whose answer was lost, still goes on: it is sent again with its
/// key. Where it was lost in this process, it is never taken for a refusal.
fn in_progress(error: RestError, is_unanswered: bool) -> Result<Try> {
    match error {
        RestError::Refused {
            request,
            status: status @ 409,
            answer,
            ..
        } if is_unanswered => Ok(Try::Again(
            RestError::Failed {
                request,
                status,
                tries: 2,
                answer,
            },
            None,
        )),
        error @ RestError::Refused { status: 409, .. } => Ok(Try::Again(error, None)),
        error => Err(error),
    }
}

/// True for a status that answers this request.
fn is_answer(status: u16, request: &Request) -> bool {
    match status {
        202 => request.may_be_promised,
        207 => request.write.is_some(),
        _ => true,
    }
}

/// A URL with one parameter of this name, and its own others.
fn with_parameter(url: &Url, name: &str, value: &str) -> Url {
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(own, _)| own != name)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let mut url = url.clone();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(kept)
        .append_pair(name, value);
    url
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
        end: None,
    };
    let target = target.to_str().map_err(|_| lost())?;
    let url = request.url.join(target).map_err(|_| lost())?;
    // A browser would send GET without the body there: another question.
    if request.method != Method::GET && !matches!(status, 307 | 308) {
        return Err(RestError::Refused {
            request: address.clone(),
            status,
            answer: format!(
                "{} is led to another address, which keeps the body with 307 and 308 only",
                request.method
            ),
            end: None,
        });
    }
    Ok(Request {
        url,
        ..request.clone()
    })
}

/// Why no answer came, in words without the address and its parameters.
pub(super) fn reason(error: &reqwest::Error) -> String {
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
