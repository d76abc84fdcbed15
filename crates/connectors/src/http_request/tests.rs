//! Tests of one request with a real HTTP server: what arrives, which answers are well, what a failure hides.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use towpath_ports::Redaction;
use towpath_testkit::http::{HttpAnswer, HttpServer};
use towpath_vocab::{Failure, Remedy};

use super::{HttpRequest, send};

fn request(url: String) -> HttpRequest {
    HttpRequest {
        method: "POST".to_owned(),
        url,
        headers: BTreeMap::from([("Authorization".to_owned(), "Bearer s3cretkey".to_owned())]),
        body: Some(b"{\"a\":1}".to_vec()),
        expect: vec![(200, 299)],
        timeout: Duration::from_secs(5),
        redaction: Redaction::new(["s3cretkey".to_owned()]),
    }
}

async fn failure(answer: HttpAnswer) -> Failure {
    let server = HttpServer::start(move |_| answer.clone()).unwrap();
    send(request(server.url())).await.unwrap_err()
}

#[tokio::test]
async fn a_request_arrives_as_it_is_written() {
    let server = HttpServer::start(|_| HttpAnswer::new(202, "")).unwrap();
    send(request(format!("{}/a?b=c", server.url())))
        .await
        .unwrap();
    let [arrived] = server.requests().try_into().unwrap();
    assert_eq!(
        (
            arrived.method.as_str(),
            arrived.target.as_str(),
            arrived.body.as_str()
        ),
        ("POST", "/a?b=c", "{\"a\":1}")
    );
    assert_eq!(arrived.header("authorization"), Some("Bearer s3cretkey"));
}

#[tokio::test]
async fn other_statuses_are_failures_without_secrets() {
    for (status, code, remedy) in [
        (404, "R0348", Remedy::FixConfig),
        (429, "R0347", Remedy::Retry),
        (503, "R0347", Remedy::Retry),
    ] {
        let said = HttpAnswer::new(status, "no s3cretkey here\nmore");
        let failure = failure(said).await;
        assert_eq!((failure.code.as_str(), failure.remedy), (code, remedy));
        let message = &failure.message;
        assert!(message.contains(&status.to_string()), "{message}");
        assert!(message.ends_with(": no *** here"), "{message}");
    }
    let server = HttpServer::start(|_| HttpAnswer::new(404, "")).unwrap();
    let mut accepted = request(server.url());
    accepted.expect = vec![(200, 299), (404, 404)];
    send(accepted).await.unwrap();
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = HttpServer::start(|_| HttpAnswer::new(200, "")).unwrap();
    let answer = HttpAnswer::new(302, "").header("location", &other.url());
    let failure = failure(answer).await;
    assert_eq!(failure.code, "R0348");
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn what_was_sent_is_told_from_what_was_not() {
    let cut = failure(HttpAnswer::none()).await;
    assert_eq!((cut.code.as_str(), cut.remedy), ("R0347", Remedy::Retry));
    let server = HttpServer::start(|_| HttpAnswer::new(200, "")).unwrap();
    let url = server.url();
    drop(server);
    let gone = send(request(url)).await;
    // The port may have another owner by now.
    if let Err(gone) = gone {
        assert_eq!(
            (gone.code.as_str(), gone.remedy),
            ("R0346", Remedy::Unreachable)
        );
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_named() {
    for (url, header) in [
        ("ftp://example.com", "x"),
        ("https://me:s3cretkey@example.com", "x"),
        ("nothing", "x"),
        ("http://127.0.0.1:1", "x y"),
    ] {
        let mut wrong = request(url.to_owned());
        wrong.headers = BTreeMap::from([(header.to_owned(), "v".to_owned())]);
        let failure = send(wrong).await.unwrap_err();
        assert_eq!(failure.code, "R0345", "{url}");
        assert!(!failure.message.contains("s3cret"), "{failure}");
    }
}
