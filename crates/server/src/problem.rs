//! A failure as an answer: `application/problem+json` (RFC 9457) with the code and what to do.
//!
//! Promise: the status follows from the code, else from the remedy. A failure holds no secret, so all of it is
//! shown. Read next: `codes.rs`.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;
use towpath_vocab::{Failure, Remedy};

/// How long a client should wait before it asks again.
const RETRY_AFTER_S: &str = "5";

/// A failure and its status.
pub(crate) struct Problem {
    status: StatusCode,
    failure: Failure,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, failure: Failure) -> Self {
        Self { status, failure }
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let Self { status, failure } = self;
        let body = json!({
            "type": format!("urn:towpath:code:{}", failure.code),
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "detail": failure.message,
            "code": failure.code,
            "remedy": failure.remedy.words(),
            "help": failure.help,
        });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let value = HeaderValue::from_static;
        headers.insert(header::CONTENT_TYPE, value("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, value("Bearer realm=\"towpath\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, value(RETRY_AFTER_S));
        }
        response
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self {
            status: status(&failure),
            failure,
        }
    }
}

fn status(failure: &Failure) -> StatusCode {
    match failure.code.as_str() {
        // What the path names does not exist.
        "R0813" | "R0920" | "R0922" | "R0927" | "R0928" | "R0970" | "R0981" | "R0983" | "R0984"
        | "R1123" => StatusCode::NOT_FOUND,
        // A cursor or a name that cannot be one.
        "R0808" | "R0980" | "R0982" | "R1131" => StatusCode::BAD_REQUEST,
        _ => match failure.remedy {
            Remedy::Retry | Remedy::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
            Remedy::FixConfig | Remedy::FixData => StatusCode::UNPROCESSABLE_ENTITY,
            Remedy::Refused | Remedy::Cancelled => StatusCode::CONFLICT,
            Remedy::Bug => StatusCode::INTERNAL_SERVER_ERROR,
        },
    }
}
