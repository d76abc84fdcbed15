//! What a request must bring before a handler sees it: its host, its origin, who sends it, the scope of its route.
//!
//! Promise: host and origin are checked before anything is looked up. No secret is logged. It does not know what a
//! route does. Read next: `routes.rs` (the table that is the router), `hosts.rs`, `session.rs` (who sends it).

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts as _, Query, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::routing::{MethodFilter, on};
use towpath_vocab::{Failure, Remedy};

use crate::answers::{Answer, Api, BASE, Call, wrong_parameter};
use crate::problem::Problem;
use crate::routes::{Method, Place, ROUTES, Route, Rule};
use crate::{session, ui};

/// The most bytes of a body.
const BODY_BYTES: usize = 64 << 10;

/// The time in which a body must come.
const BODY_TIME: Duration = Duration::from_secs(10);

/// The time in which a handler must answer; streams go on longer.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// The router.
pub(crate) fn router(api: &Arc<Api>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let method = match route.method {
            Method::Get => MethodFilter::GET,
            Method::Post => MethodFilter::POST,
            Method::Delete => MethodFilter::DELETE,
        };
        let api = Arc::clone(api);
        let handler = move |request: Request| enter(route, Arc::clone(&api), request);
        router = router.route(&format!("{BASE}{}", route.path), on(method, handler));
    }
    let api = Arc::clone(api);
    router
        .fallback(outside)
        .method_not_allowed_fallback(|| no_route(StatusCode::METHOD_NOT_ALLOWED))
        .layer(from_fn(move |request: Request, next: Next| {
            check_host(Arc::clone(&api), request, next)
        }))
}

/// Before the router: host and origin, also of requests that no route has.
async fn check_host(api: Arc<Api>, request: Request, next: Next) -> Response<Body> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let checked = api.hosts.check(request.headers(), request.uri());
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(failure) => Problem::new(StatusCode::FORBIDDEN, failure).into_response(),
    };
    let status = response.status().as_u16();
    tracing::debug!(%method, path, status, "answered");
    let headers = response.headers_mut();
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        (
            "content-security-policy",
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ] {
        // Files of the UI have a policy and a caching of their own.
        let name = HeaderName::from_static(name);
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

/// A request to a route: its rule, its parameters, its body, and then its handler.
async fn enter(route: &'static Route, api: Arc<Api>, request: Request) -> Response<Body> {
    let answer = match admitted(route, api, request).await {
        Ok(call) => tokio::time::timeout(ANSWER_TIME, handled(route, call))
            .await
            .unwrap_or_else(|_| Err(too_slow(StatusCode::GATEWAY_TIMEOUT, "the answer"))),
        Err(problem) => Err(problem),
    };
    answer.unwrap_or_else(Problem::into_response)
}

/// Handles a request. Reads wait for each other, so that they hold no more than a part of the state store's sessions;
/// a start of a run waits for the server, which reads meanwhile.
async fn handled(route: &Route, call: Call) -> Answer {
    let api = Arc::clone(&call.api);
    let is_read = route.method == Method::Get && route.rule != Rule::Open;
    // It is never closed.
    let _permit = match is_read {
        true => api.reads.acquire().await.ok(),
        false => None,
    };
    (route.handler)(call).await
}

async fn admitted(route: &Route, api: Arc<Api>, request: Request) -> Result<Call, Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = match route.rule {
        Rule::Open => None,
        Rule::Needs(scope) => Some(session::caller(&api, &parts, scope).await?),
    };
    let path = RawPathParams::from_request_parts(&mut parts, &()).await;
    let path = path.map_err(|_| wrong_parameter("the path is not UTF-8"))?;
    let path = path
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let query = query(route, &parts)?;
    Ok(Call {
        api,
        path,
        query,
        body: read(&parts.headers, body).await?,
        headers: parts.headers,
        caller,
    })
}

/// The parameters behind `?`: each is one of the route, and comes once.
fn query(route: &Route, parts: &Parts) -> Result<Vec<(String, String)>, Problem> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    let Query(pairs) = pairs.map_err(|_| wrong_parameter("the query cannot be read"))?;
    for (number, (name, _)) in pairs.iter().enumerate() {
        let mut known = route
            .parameters
            .iter()
            .filter(|one| one.place == Place::Query);
        if !known.any(|one| one.name == name) {
            let name = name.escape_debug();
            return Err(wrong_parameter(&format!(
                "there is no parameter `{name}` here"
            )));
        }
        if pairs.iter().take(number).any(|(other, _)| other == name) {
            return Err(wrong_parameter(&format!("`{name}` is given twice")));
        }
    }
    Ok(pairs)
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let said = headers.get(header::CONTENT_LENGTH);
    let said = said.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|said| said > BODY_BYTES as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(too_slow(StatusCode::REQUEST_TIMEOUT, "the body")),
    }
}

/// For a path that the table does not have: a file of the UI, or a page of it.
async fn outside(request: Request) -> Response<Body> {
    let (method, path) = (request.method(), request.uri().path());
    match ui::answer(method, path, request.headers()) {
        Some(response) => response,
        None => no_route(StatusCode::NOT_FOUND).await,
    }
}

/// For a path or a method that the table does not have.
async fn no_route(status: StatusCode) -> Response<Body> {
    let message = match status {
        StatusCode::METHOD_NOT_ALLOWED => "this route has another method",
        _ => "there is no such route",
    };
    let failure =
        Failure::new("R1111", Remedy::FixConfig, message).help("the routes: /api/v1/openapi.json");
    Problem::new(status, failure).into_response()
}

fn too_large() -> Problem {
    let message = format!("the body has more than {BODY_BYTES} bytes");
    let failure = Failure::new("R1108", Remedy::FixConfig, message).help("send less");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, failure)
}

fn too_slow(status: StatusCode, what: &str) -> Problem {
    let failure = Failure::new("R1112", Remedy::Retry, format!("{what} took too long"))
        .help("a run that was submitted may have begun: ask again with the same Idempotency-Key");
    Problem::new(status, failure)
}
