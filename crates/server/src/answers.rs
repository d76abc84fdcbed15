//! What handlers share: the state of the server, JSON answers, and the parts of a request that handlers read.
//!
//! Promise: a member or a parameter that is not known is refused, never ignored. It knows no route. Read next:
//! `handlers.rs`.

use std::str::FromStr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use towpath_app::{KnownRows, LiveProject, PageRequest, Session, Sessions};
use towpath_ports::ApiToken;
use towpath_vocab::{Failure, Remedy};

use crate::hosts::Hosts;
use crate::problem::Problem;
use crate::store_watch::StoreWatch;

/// The beginning of every path.
pub(crate) const BASE: &str = "/api/v1";

/// The answer of a handler.
pub(crate) type Answer = Result<Response<Body>, Problem>;

/// What a handler returns.
pub(crate) type Answering = std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What all handlers share.
pub(crate) struct Api {
    pub(crate) project: Arc<LiveProject>,
    pub(crate) hosts: Hosts,
    /// The OpenAPI document.
    pub(crate) document: Value,
    pub(crate) sessions: Sessions,
    /// The name of the cookie of a session. It has the port, because browsers give the cookies of one port of a host
    /// to all others.
    pub(crate) cookie: String,
    pub(crate) watch: StoreWatch,
    pub(crate) known_rows: KnownRows,
    /// Reads that may begin: they leave sessions of the state store to the scheduler.
    pub(crate) reads: Semaphore,
    /// Clients that may still follow the events.
    pub(crate) streams: Arc<Semaphore>,
    /// Fires when the server ends: streams end with it.
    pub(crate) stop: CancellationToken,
}

/// A request whose rule is met.
pub(crate) struct Call {
    pub(crate) api: Arc<Api>,
    /// The parts of the path that the route names.
    pub(crate) path: Vec<(String, String)>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Who asks; nobody on a route that needs no token.
    pub(crate) caller: Option<Caller>,
}

/// Who asks.
pub(crate) struct Caller {
    pub(crate) token: ApiToken,
    /// The session by whose cookie it was known.
    pub(crate) session: Option<Session>,
}

impl Call {
    /// A part of the path. The router has matched it, so it is there.
    pub(crate) fn part(&self, name: &str) -> &str {
        let mut parts = self.path.iter();
        let part = parts.find(|(known, _)| known == name);
        part.map_or("", |(_, value)| value)
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let mut query = self.query.iter();
        let found = query.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A parameter that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Problem> {
        self.parameter(name)
            .ok_or_else(|| wrong_parameter(&format!("`{name}` is missing")))
    }

    /// A number from 1 to `most`; `usual` if it is not given.
    pub(crate) fn number(&self, name: &str, usual: u64, most: u64) -> Result<u64, Problem> {
        let Some(text) = self.parameter(name) else {
            return Ok(usual);
        };
        let number = u64::from_str(text).ok();
        number
            .filter(|number| (1..=most).contains(number))
            .ok_or_else(|| wrong_parameter(&format!("`{name}` is a number from 1 to {most}")))
    }

    /// The page that `cursor` and `limit` name.
    pub(crate) fn page(&self, usual: u64, most: u64) -> Result<PageRequest, Problem> {
        Ok(PageRequest {
            cursor: self.parameter("cursor").map(str::to_owned),
            limit: self.number("limit", usual, most)?,
        })
    }

    /// A parameter that is one of the words of a type.
    pub(crate) fn word<T: DeserializeOwned>(
        &self,
        name: &str,
        words: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.parameter(name) else {
            return Ok(None);
        };
        let value = serde_json::from_value(Value::String(text.to_owned()));
        let wrong = |_| wrong_parameter(&format!("`{name}` is one of {words}"));
        value.map(Some).map_err(wrong)
    }

    /// The body; an empty one has no member.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let refused = |status: StatusCode, message: String| {
            let failure = Failure::new("R1109", Remedy::FixConfig, message)
                .help("look at the route in /api/v1/openapi.json");
            Problem::new(status, failure)
        };
        if self.body.is_empty() {
            let empty = serde_json::from_str("{}");
            return empty.map_err(|error| refused(StatusCode::BAD_REQUEST, error.to_string()));
        }
        let kind = self.headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !is_json(kind) {
            let message = "the body must be sent with `Content-Type: application/json`";
            return Err(refused(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                message.to_owned(),
            ));
        }
        if !self.body.trim_ascii_start().starts_with(b"{") {
            let message = "the body is not a JSON object";
            return Err(refused(StatusCode::BAD_REQUEST, message.to_owned()));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            let message = format!("the body cannot be read: {error}");
            refused(StatusCode::BAD_REQUEST, message)
        })
    }

    /// Who asks, for histories: `token ci`.
    pub(crate) fn by(&self) -> String {
        match &self.caller {
            Some(caller) => format!("token {}", caller.token.name),
            None => "nobody".to_owned(),
        }
    }
}

/// Whether a content type is that of JSON.
pub(crate) fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

pub(crate) fn wrong_parameter(message: &str) -> Problem {
    let failure = Failure::new("R1110", Remedy::FixConfig, message)
        .help("look at the route in /api/v1/openapi.json");
    Problem::new(StatusCode::BAD_REQUEST, failure)
}

/// A value as JSON.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    let text = serde_json::to_vec(value).map_err(|error| {
        let message = format!("an answer cannot be written as JSON: {error}");
        Failure::new("R1114", Remedy::Bug, message)
    })?;
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// A value as JSON, with status 200.
pub(crate) fn ok<T: Serialize>(value: &T) -> Answer {
    json(StatusCode::OK, value)
}
