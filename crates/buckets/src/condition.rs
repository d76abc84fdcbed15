//! A condition on the end of an upload in parts.
//!
//! Promise: an object that is put in parts appears only if its place is as it was when the condition was made.
//! The library has no such condition: it is added to the request that ends the upload, where that is made by the
//! task that asked for it. Whether a service obeys it is found out first (`prove.rs`). Other requests pass as
//! they are. Read next: `connect.rs`.

use async_trait::async_trait;
use object_store::UpdateVersion;
use object_store::client::{
    HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use reqwest::header::{HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH, InvalidHeaderValue};

/// What must be there when an object is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Absent,
    /// This version.
    Unchanged(UpdateVersion),
}

tokio::task_local! {
    static ASKED: Condition;
}

/// Ends an upload under a condition: an answer that says that it does not hold is `Precondition` or `NotFound`.
pub async fn ends_if<F: Future>(condition: Condition, ends: F) -> F::Output {
    ASKED.scope(condition, ends).await
}

/// Adds the condition of the task that asks.
#[derive(Debug)]
pub(crate) struct Conditional(pub(crate) HttpClient);

#[async_trait]
impl HttpService for Conditional {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if ends_upload(&request)
            && let Ok(condition) = ASKED.try_with(Clone::clone)
        {
            add(request.headers_mut(), &condition)
                .map_err(|error| HttpError::new(HttpErrorKind::Decode, error))?;
        }
        self.0.execute(request).await
    }
}

/// `POST …?uploadId=…`: the parts have `PUT`, the begin has `?uploads`.
fn ends_upload(request: &HttpRequest) -> bool {
    let query = request.uri().query().unwrap_or_default();
    request.method().as_str() == "POST"
        && query.split('&').any(|part| part.starts_with("uploadId="))
}

fn add(headers: &mut HeaderMap, condition: &Condition) -> Result<(), InvalidHeaderValue> {
    match condition {
        Condition::Absent => headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*")),
        Condition::Unchanged(version) => {
            let e_tag = version.e_tag.as_deref().unwrap_or_default();
            headers.insert(IF_MATCH, HeaderValue::from_str(e_tag)?)
        }
    };
    Ok(())
}
