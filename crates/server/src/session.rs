//! Who sends a request: the holder of a token, or a browser with a session; and the routes of sessions.
//!
//! Promise: tokens are looked up for each request, also those behind sessions, so a revoked one ends at once. A
//! browser adds its cookie by itself, so a request that is known by one must come from a page of this server. Without
//! a valid token nobody hears why the state store does not answer. Read next: `crates/app/src/sessions.rs`, `gate.rs`.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde::{Deserialize, Serialize};
use towpath_app::{Session, token_of, valid_token};
use towpath_ports::{ApiToken, TokenScope};
use towpath_vocab::{Failure, Remedy};

use crate::answers::{Answer, Api, Call, Caller, is_json, json, ok};
use crate::problem::Problem;

/// Who sends a request, if the scope of the token is enough.
pub(crate) async fn caller(api: &Api, parts: &Parts, scope: TokenScope) -> Result<Caller, Problem> {
    // A proxy may have a log-in of its own.
    let caller = match bearer(&parts.headers) {
        Some(token) => Caller {
            token: valid(api, token).await?,
            session: None,
        },
        None => browser(api, parts).await?,
    };
    if caller.token.scope < scope {
        let message = format!(
            "the token `{}` has the scope `{}`, and this needs `{}`",
            caller.token.name,
            caller.token.scope.as_str(),
            scope.as_str()
        );
        let failure = Failure::new("R1107", Remedy::Refused, message).help(format!(
            "towpath token create NAME --scope {}",
            scope.as_str()
        ));
        return Err(Problem::new(StatusCode::FORBIDDEN, failure));
    }
    Ok(caller)
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let sent = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (kind, token) = sent.split_once(' ')?;
    kind.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn valid(api: &Api, token: &str) -> Result<ApiToken, Problem> {
    let (services, plan) = (api.project.services(), api.project.plan());
    let found = token_of(services, &plan.environment, token).await;
    let found = found.map_err(|failure| unanswered(&failure))?;
    found.ok_or_else(|| unknown("the token is not valid"))
}

/// The token behind the cookie of a browser.
async fn browser(api: &Api, parts: &Parts) -> Result<Caller, Problem> {
    let services = api.project.services();
    let cookie = cookie(&parts.headers, &api.cookie);
    let cookie = cookie.ok_or_else(|| unknown("the request has no token"))?;
    let over = || unknown("the session has ended");
    let session = api.sessions.find(services, cookie).ok_or_else(over)?;
    from_own_page(parts)?;
    let environment = &api.project.plan().environment;
    let found = valid_token(services, environment, &session.token).await;
    let found = found.map_err(|failure| unanswered(&failure))?;
    Ok(Caller {
        token: found.ok_or_else(over)?,
        session: Some(session),
    })
}

/// The value of a cookie that comes once. The cookie of another path could come first, so two are none.
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines.filter_map(|line| line.to_str().ok());
    let mut found = pairs
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(known, _)| *known == name)
        .map(|(_, value)| value);
    found.next().filter(|_| found.next().is_none())
}

/// Whether a page of this server sent it, or the user with the address bar. `Origin`, if there is one, was compared
/// before (`hosts.rs`); what changes something must have it, and a content type that a browser sends to another
/// origin only after asking.
///
/// # Errors
/// R1105.
fn from_own_page(parts: &Parts) -> Result<(), Problem> {
    let is_reading = parts.method == Method::GET || parts.method == Method::HEAD;
    let site = parts.headers.get("sec-fetch-site");
    let is_own = site.is_none_or(|site| site == "same-origin" || (site == "none" && is_reading));
    let kind = parts.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_asked = parts.method == Method::DELETE || is_json(kind);
    let may_change = is_asked && parts.headers.contains_key(header::ORIGIN);
    match is_own && (is_reading || may_change) {
        true => Ok(()),
        false => {
            let message =
                "a request with a cookie must come from a page of this server, and be of JSON";
            let failure = Failure::new("R1105", Remedy::Refused, message)
                .help("programs send a token: Authorization: Bearer TOKEN");
            Err(Problem::new(StatusCode::FORBIDDEN, failure))
        }
    }
}

fn unknown(message: &str) -> Problem {
    let failure = Failure::new("R1106", Remedy::FixConfig, message)
        .help("send a token: Authorization: Bearer TOKEN")
        .help("create one: towpath token create NAME --scope read");
    Problem::new(StatusCode::UNAUTHORIZED, failure)
}

/// What those hear who have not shown a token yet: the failure may name paths and servers.
pub(crate) fn unanswered(failure: &Failure) -> Problem {
    tracing::warn!(%failure, "the state store does not answer");
    no_store()
}

pub(crate) fn no_store() -> Problem {
    let failure = Failure::new("R1115", Remedy::Retry, "the state store does not answer")
        .help("ask again; the log of the server has the reason");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, failure)
}

/// What opens a session: one of the two.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SessionOptions {
    token: Option<String>,
    code: Option<String>,
}

/// Who is logged in, and where.
#[derive(Serialize)]
struct SessionReport {
    version: u32,
    name: String,
    scope: TokenScope,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_us: Option<i64>,
    project: String,
    environment: String,
    towpath: &'static str,
}

fn report(api: &Api, token: &ApiToken, session: Option<&Session>) -> SessionReport {
    let plan = api.project.plan();
    SessionReport {
        version: 1,
        name: token.name.clone(),
        scope: token.scope,
        expires_us: session.map(|session| session.ends_us),
        project: plan.name.clone(),
        environment: plan.environment.to_string(),
        towpath: env!("CARGO_PKG_VERSION"),
    }
}

/// Opens a session for a token, or for the code of the link of the first start.
pub(crate) async fn open(call: Call) -> Answer {
    let api = &call.api;
    let (services, plan) = (api.project.services(), api.project.plan());
    let options: SessionOptions = call.json()?;
    let token = match (options.token, options.code) {
        (Some(token), None) => valid(api, &token).await?,
        (None, Some(code)) => {
            let id = api.sessions.token_of_link(services, &plan, &code).await;
            let id = id.map_err(|failure| unanswered(&failure))?;
            let wrong = || unknown("the link does not hold any more");
            let id = id.ok_or_else(wrong)?;
            let found = valid_token(services, &plan.environment, &id).await;
            let found = found.map_err(|failure| unanswered(&failure))?;
            found.ok_or_else(wrong)?
        }
        _ => {
            let message = "the body has a token or a code";
            let failure = Failure::new("R1109", Remedy::FixConfig, message)
                .help("example: {\"token\": \"towpath_…\"}");
            return Err(Problem::new(StatusCode::BAD_REQUEST, failure));
        }
    };
    let (cookie, session) = api.sessions.open(services, &token.id);
    let mut response = json(StatusCode::OK, &report(api, &token, Some(&session)))?;
    set_cookie(&mut response, &call, &cookie, "")?;
    Ok(response)
}

/// Says who is logged in.
pub(crate) async fn show(call: Call) -> Answer {
    match &call.caller {
        Some(caller) => {
            let session = caller.session.as_ref();
            ok(&report(&call.api, &caller.token, session))
        }
        None => Err(unknown("the request has no token")),
    }
}

/// Ends the session of the request.
pub(crate) async fn close(call: Call) -> Answer {
    if let Some(cookie) = cookie(&call.headers, &call.api.cookie) {
        call.api.sessions.close(cookie);
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    set_cookie(&mut response, &call, "", "; Max-Age=0")?;
    Ok(response)
}

/// Pages cannot read the cookie, and other sites cannot make a browser send it. It ends with the browser. Behind a
/// proxy with TLS it is sent over TLS only.
fn set_cookie(
    response: &mut Response<Body>,
    call: &Call,
    value: &str,
    age: &str,
) -> Result<(), Problem> {
    let origin = call.headers.get(header::ORIGIN);
    let is_secure = origin.is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let secure = match is_secure {
        true => "; Secure",
        false => "",
    };
    let name = &call.api.cookie;
    let cookie = format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/api{secure}{age}");
    let cookie = HeaderValue::from_str(&cookie).map_err(|error| {
        let message = format!("a cookie cannot be written: {error}");
        Failure::new("R1114", Remedy::Bug, message)
    })?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(())
}
