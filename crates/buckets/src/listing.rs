//! The HTTP client of a bucket, which looks at every answer to a request for a listing.
//!
//! Promise: a listing is whole or it is an error. An answer that is no listing, that is cut off, that says there
//! is more and not where, that does not say whether there is more, or that came before in the same listing, is
//! refused; object_store would take each of them for the end, or go round for ever. With `KeysOfPage`, the names
//! are given as the service wrote them. Other requests pass as they are. Read next: `page.rs`, `chain.rs`,
//! `connect.rs`.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use object_store::client::{
    HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};

use crate::chain::Chains;
use crate::page::Page;

/// What a request for a listing says in its query, of S3 and Google, and of Azure.
const ASKED: [&str; 2] = ["list-type=2", "comp=list"];
const TOKENS: [&str; 2] = ["continuation-token", "marker"];

/// Takes the names of a page as they are: put into the extensions of a request for a page. The names are not
/// in its result then, which could not hold all of them.
#[derive(Clone, Debug, Default)]
pub struct KeysOfPage(Arc<Mutex<Page>>);

impl KeysOfPage {
    /// The page that was got last.
    pub fn take(&self) -> Page {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Debug)]
pub(crate) struct Checked {
    client: HttpClient,
    chains: Chains,
}

/// Why a listing is refused.
#[derive(Debug, thiserror::Error)]
#[error("the service gave a listing that cannot be trusted: {0}")]
struct Distrusted(String);

impl Checked {
    pub(crate) fn over(client: HttpClient) -> Self {
        Self {
            client,
            chains: Chains::default(),
        }
    }

    /// The body to go on with.
    fn check(
        &self,
        url: &str,
        body: Vec<u8>,
        keys: Option<&KeysOfPage>,
    ) -> Result<Vec<u8>, String> {
        let page = Page::read(&body)?;
        match (page.is_truncated, &page.next) {
            (None, _) => return Err("it does not say whether it is the last page".to_owned()),
            (Some(true), None) => {
                return Err("it says that there is more, and not where".to_owned());
            }
            (Some(false), Some(_)) => {
                return Err(
                    "it says that it is the last page, and where the next one is".to_owned(),
                );
            }
            (Some(true), Some(_)) | (Some(false), None) => {}
        }
        let (listing, token) = apart(url);
        self.chains.note(&listing, token.as_deref(), &page)?;
        let Some(keys) = keys else {
            return Ok(body);
        };
        let without_names = page.without_names().into_bytes();
        *keys.0.lock().unwrap_or_else(PoisonError::into_inner) = page;
        Ok(without_names)
    }
}

/// What the requests of a listing have in common, and what leads to this page.
fn apart(url: &str) -> (String, Option<String>) {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut common, mut token) = (place.to_owned(), None);
    for part in query.split('&') {
        match part.split_once('=') {
            Some((name, value)) if TOKENS.contains(&name) => token = Some(value.to_owned()),
            _ => {
                common.push('&');
                common.push_str(part);
            }
        }
    }
    // The answer has it as it is, the request encoded.
    let decoded = token.map(|token| {
        let pair = format!("t={token}");
        let pair = url::form_urlencoded::parse(pair.as_bytes()).next();
        pair.map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    });
    (common, decoded)
}

#[async_trait]
impl HttpService for Checked {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_listing = request.method().as_str() == "GET"
            && request
                .uri()
                .query()
                .is_some_and(|query| query.split('&').any(|part| ASKED.contains(&part)));
        if !is_listing {
            return self.client.execute(request).await;
        }
        let url = request.uri().to_string();
        let keys = request.extensions().get::<KeysOfPage>().cloned();
        let response = self.client.execute(request).await?;
        if !response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        // A body that is cut off is asked for again.
        let body = body.bytes().await.map_err(|error| match error.kind() {
            HttpErrorKind::Timeout => error,
            _ => HttpError::new(HttpErrorKind::Interrupted, error),
        })?;
        let checked = self
            .check(&url, body.to_vec(), keys.as_ref())
            .map_err(|why| HttpError::new(HttpErrorKind::Decode, Distrusted(why)))?;
        Ok(HttpResponse::from_parts(
            parts,
            HttpResponseBody::from(checked),
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::VecDeque;

    use futures::TryStreamExt as _;
    use object_store::ClientOptions;
    use object_store::aws::{AmazonS3, AmazonS3Builder};
    use object_store::client::HttpConnector;
    use object_store::list::{PaginatedListOptions, PaginatedListStore as _};
    use object_store::{ObjectStore as _, RetryConfig};

    use super::*;

    /// Answers in their order, whatever is asked.
    #[derive(Clone, Debug)]
    struct Scripted(Arc<Mutex<VecDeque<String>>>);

    #[async_trait]
    impl HttpService for Scripted {
        async fn call(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
            let answer = self.0.lock().unwrap().pop_front().unwrap();
            Ok(HttpResponse::new(HttpResponseBody::from(answer)))
        }
    }

    impl HttpConnector for Scripted {
        fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
            Ok(HttpClient::new(Checked::over(HttpClient::new(
                self.clone(),
            ))))
        }
    }

    fn page(keys: &[&str], end: &str) -> String {
        let contents: String = keys
            .iter()
            .map(|key| {
                format!(
                    "<Contents><Key>{key}</Key><Size>1</Size><ETag>e</ETag>\
                     <LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
                )
            })
            .collect();
        format!("<ListBucketResult>{contents}{end}</ListBucketResult>")
    }

    fn more(token: &str) -> String {
        format!(
            "<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
        )
    }

    const LAST: &str = "<IsTruncated>false</IsTruncated>";

    fn store(answers: &[String]) -> AmazonS3 {
        let scripted = Scripted(Arc::new(Mutex::new(answers.iter().cloned().collect())));
        AmazonS3Builder::new()
            .with_bucket_name("b")
            .with_access_key_id("k")
            .with_secret_access_key("s")
            .with_http_connector(scripted)
            .with_retry(RetryConfig {
                max_retries: 0,
                ..RetryConfig::default()
            })
            .build()
            .unwrap()
    }

    async fn listed(answers: &[String]) -> Result<Vec<String>, String> {
        let store = store(answers);
        let all: Result<Vec<_>, _> = store.list(None).try_collect().await;
        let all = all.map_err(|error| error.to_string())?;
        Ok(all
            .into_iter()
            .map(|meta| meta.location.to_string())
            .collect())
    }

    #[tokio::test]
    async fn a_listing_is_followed_to_its_end() {
        let pages = [
            page(&["a", "b"], &more("1")),
            page(&[], &more("2/+=")),
            page(&["c"], LAST),
        ];
        assert_eq!(listed(&pages).await.unwrap(), ["a", "b", "c"]);
        let empty = page(
            &[],
            "<IsTruncated>false</IsTruncated><NextContinuationToken/>",
        );
        assert!(listed(&[empty]).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_listing_that_is_not_whole_is_an_error() {
        let first = page(&["a", "b"], &more("1"));
        for (second, why) in [
            (page(&["c"], "<IsTruncated>true</IsTruncated>"), "not where"),
            (
                page(
                    &["c"],
                    "<IsTruncated>true</IsTruncated><NextContinuationToken/>",
                ),
                "not where",
            ),
            (page(&["c"], ""), "last page"),
            (page(&["c"], &more("1")), "back"),
            (page(&["a", "b"], &more("2")), "twice"),
            (page(&["a", "b"], LAST), "twice"),
            (
                "<Error><Code>InternalError</Code></Error>".to_owned(),
                "`Error`",
            ),
            (String::new(), "early"),
            (
                page(&["c"], LAST).replace("</ListBucketResult>", ""),
                "early",
            ),
        ] {
            let said = listed(&[first.clone(), second.clone()]).await;
            let said = said.err().unwrap_or_else(|| second.clone());
            assert!(said.contains("cannot be trusted"), "{said}");
            assert!(said.contains(why), "{said}");
        }
    }

    #[tokio::test]
    async fn a_listing_of_azure_is_whole_or_an_error() {
        use object_store::azure::MicrosoftAzureBuilder;
        let page = |name: &str, end: &str| {
            format!(
                "<EnumerationResults><Blobs><Blob><Name>{name}</Name><Properties>\
                 <Last-Modified>Mon, 30 Nov 2026 07:00:00 GMT</Last-Modified><Etag>e</Etag>\
                 <Content-Length>1</Content-Length><Content-Type>x</Content-Type></Properties></Blob></Blobs>\
                 {end}</EnumerationResults>"
            )
        };
        let listed = |answers: Vec<String>| async move {
            let store = MicrosoftAzureBuilder::new()
                .with_account("a")
                .with_container_name("c")
                .with_access_key("aGlkZGVu")
                .with_http_connector(Scripted(Arc::new(Mutex::new(answers.into()))))
                .with_retry(RetryConfig {
                    max_retries: 0,
                    ..RetryConfig::default()
                })
                .build()
                .unwrap();
            let all: Result<Vec<_>, _> = store.list(None).try_collect().await;
            all.map(|all| all.len()).map_err(|error| error.to_string())
        };
        let first = page("a", "<NextMarker>1</NextMarker>");
        let last = page("b", "<NextMarker />");
        assert_eq!(listed(vec![first.clone(), last.clone()]).await.unwrap(), 2);
        for (second, why) in [
            (page("b", ""), "last page"),
            (page("b", "<NextMarker>1</NextMarker>"), "back"),
            (page("a", "<NextMarker />"), "twice"),
            (last.replace("</EnumerationResults>", ""), "early"),
            (
                "<Error><Code>InternalError</Code></Error>".to_owned(),
                "`Error`",
            ),
        ] {
            let said = listed(vec![first.clone(), second.clone()]).await;
            let said = said.err().unwrap_or(second);
            assert!(
                said.contains("cannot be trusted") && said.contains(why),
                "{said}"
            );
        }
    }

    #[tokio::test]
    async fn names_are_taken_as_they_are() {
        let store = store(&[page(&["a//b.csv", "f/", "../x"], &more("n"))]);
        let keys = KeysOfPage::default();
        let mut options = PaginatedListOptions::default();
        options.extensions.insert(keys.clone());
        let got = store.list_paginated(Some("a"), options).await.unwrap();
        assert_eq!(got.page_token.as_deref(), Some("n"));
        let names: Vec<String> = keys
            .take()
            .objects
            .into_iter()
            .map(|object| object.key)
            .collect();
        assert_eq!(names, ["a//b.csv", "f/", "../x"]);
    }
}
