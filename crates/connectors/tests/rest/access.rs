//! Credentials are sent where they belong and nowhere else, and no message holds one.

use serde_json::json;
use towpath_testkit::http::{HttpAnswer, HttpServer};
use towpath_vocab::Remedy;

use crate::{Api, ids, rows};

#[tokio::test]
async fn each_kind_of_credential_is_sent() {
    let with = |kind: &str| {
        Api::new(json!({}), |_| HttpAnswer::json(ids(0..1)))
            .option("auth.type", json!(kind))
            .option("headers", json!({ "x-team": "data" }))
    };
    let sent = |api: &Api| api.server.requests()[0].clone();
    let api = with("bearer").secret("auth.token", "tok-123");
    api.rows().await.unwrap();
    assert_eq!(sent(&api).header("authorization"), Some("Bearer tok-123"));
    assert_eq!(sent(&api).header("x-team"), Some("data"));
    let api = with("basic")
        .secret("auth.user", "ann")
        .secret("auth.password", "pä:ss");
    api.rows().await.unwrap();
    assert_eq!(
        sent(&api).header("authorization"),
        Some("Basic YW5uOnDDpDpzcw==")
    );
    let api = with("api_key")
        .option("auth.name", json!("X-Key"))
        .secret("auth.value", "k 1");
    api.rows().await.unwrap();
    assert_eq!(sent(&api).header("x-key"), Some("k 1"));
    let api = with("api_key")
        .option("auth.name", json!("key"))
        .option("auth.in", json!("query"))
        .secret("auth.value", "k&1");
    api.rows().await.unwrap();
    assert_eq!(sent(&api).target, "/v1/items?key=k%261");
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_again_when_it_is_refused() {
    let api = Api::new(
        json!({ "paginate": { "type": "page", "size": 1 } }),
        |request| {
            if request.path() == "/token" {
                let asked = request
                    .body
                    .matches("grant_type=client_credentials")
                    .count();
                assert_eq!(asked, 1, "{}", request.body);
                return HttpAnswer::json("{\"access_token\":\"first\",\"expires_in\":3600}");
            }
            match (request.header("authorization"), request.parameter("page")) {
                (Some("Bearer first"), Some("1")) => HttpAnswer::json(ids([1])),
                (Some("Bearer first"), _) => HttpAnswer::json("[]"),
                other => panic!("{other:?}"),
            }
        },
    );
    let token_url = format!("{}/token", api.server.url());
    let api = api
        .option("auth.type", json!("oauth2"))
        .option("auth.token_url", json!(token_url))
        .option("auth.scope", json!("read all"))
        .secret("auth.client_id", "me")
        .secret("auth.client_secret", "secret-7");
    assert_eq!(api.rows().await.unwrap(), rows([1]));
    let requests = api.server.requests();
    let tokens: Vec<_> = requests
        .iter()
        .filter(|request| request.path() == "/token")
        .collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(
        tokens[0].header("authorization"),
        Some("Basic bWU6c2VjcmV0LTc=")
    );
    assert!(
        tokens[0].body.contains("scope=read+all"),
        "{}",
        tokens[0].body
    );
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let api = Api::new(json!({}), |request| {
        match (request.path(), request.header("authorization")) {
            ("/token", _) => HttpAnswer::json("{\"access_token\":\"t\"}"),
            _ => HttpAnswer::new(401, "expired"),
        }
    });
    let token_url = format!("{}/token", api.server.url());
    let api = api
        .option("auth.type", json!("oauth2"))
        .option("auth.token_url", json!(token_url))
        .secret("auth.client_id", "me")
        .secret("auth.refresh_token", "r-123");
    assert_eq!(api.failure().await.code, "R0353");
    let requests = api.server.requests();
    let tokens: Vec<_> = requests
        .iter()
        .filter(|request| request.path() == "/token")
        .collect();
    assert_eq!((tokens.len(), requests.len()), (2, 4));
    assert!(tokens[0].body.contains("refresh_token=r-123"));
}

#[tokio::test]
async fn no_message_holds_a_secret_or_a_parameter() {
    let api = Api::new(
        json!({ "params": { "email": "ann@example.com" } }),
        |request| {
            let echo = request
                .header("authorization")
                .unwrap_or_default()
                .to_owned();
            HttpAnswer::new(403, format!("bad token: {echo}"))
        },
    )
    .option("auth.type", json!("bearer"))
    .secret("auth.token", "tok-123456");
    let failure = api.failure().await;
    let text = format!("{failure:?}");
    assert_eq!(failure.code, "R0353");
    assert!(
        !text.contains("tok-123456") && !text.contains("ann@example"),
        "{text}"
    );
    assert!(text.contains("bad token: Bearer ***"), "{text}");
}

#[tokio::test]
async fn no_message_holds_a_secret_in_another_spelling() {
    let said = r#"{"key":"a b\/c\"d&123","or":"a b/c\"d&123","at":"/x?k=a+b%2Fc%22d%26123","path":"/a%20b%2Fc%22d%26123"}"#;
    for status in [400, 500] {
        let api = Api::new(json!({}), move |_| HttpAnswer::new(status, said))
            .option("auth.type", json!("bearer"))
            .option("retries", json!(0))
            .secret("auth.token", "a b/c\"d&123");
        let failure = api.failure().await;
        let hidden = r#"the server said: {"key":"***","or":"***","at":"/x?k=***","path":"/***"}"#;
        assert_eq!(failure.help[0], hidden, "{failure:?}");
    }
}

#[tokio::test]
async fn a_redirect_or_link_elsewhere_is_refused_and_a_named_host_gets_no_credentials() {
    let other = std::sync::Arc::new(HttpServer::start(|_| HttpAnswer::json(ids(0..2))).unwrap());
    let target = format!("{}/file", other.url());
    let redirecting = |target: String| {
        Api::new(json!({}), move |_| {
            HttpAnswer::new(302, "").header("location", &target)
        })
        .option("auth.type", json!("bearer"))
        .secret("auth.token", "tok-123")
    };
    let failure = redirecting(target.clone()).failure().await;
    assert_eq!(
        (failure.code.as_str(), failure.remedy),
        ("R0364", Remedy::Refused)
    );
    assert!(other.requests().is_empty());

    let host = other.url().trim_start_matches("http://").to_owned();
    let api = redirecting(target.clone()).option("hosts", json!([host]));
    assert_eq!(api.rows().await.unwrap(), rows(0..2));
    assert_eq!(other.requests()[0].header("authorization"), None);

    let next = format!("{{\"data\":{},\"next\":\"{target}\"}}", ids(0..2));
    let linked = json!({ "records": "data", "paginate": { "type": "next_url", "at": "next" } });
    let api = Api::new(linked, move |_| HttpAnswer::json(next.clone()));
    assert_eq!(api.failure().await.code, "R0364");
    assert_eq!(other.requests().len(), 1);
}

#[tokio::test]
async fn redirects_to_the_api_itself_are_followed_but_not_in_circles() {
    let api = Api::new(json!({}), |request| match request.path() {
        "/v1/items" => HttpAnswer::new(308, "").header("location", "/v2/items?x=1"),
        _ => HttpAnswer::json(ids(0..2)),
    });
    assert_eq!(api.rows().await.unwrap(), rows(0..2));
    let api = Api::new(json!({}), |_| {
        HttpAnswer::new(302, "").header("location", "/v1/items")
    });
    assert_eq!(api.failure().await.code, "R0361");
}

#[tokio::test]
async fn a_post_that_is_redirected_keeps_its_body_or_is_refused() {
    let items = json!({ "method": "POST", "body": "{{\"size\": 2}}" });
    let redirecting = |status: u16| {
        Api::new(items.clone(), move |request| match request.path() {
            "/v1/items" => HttpAnswer::new(status, "").header("location", "/v2/items"),
            _ => HttpAnswer::json(ids(0..2)),
        })
    };
    for status in [301, 302, 303] {
        let api = redirecting(status);
        let failure = api.failure().await;
        assert_eq!(failure.code, "R0355", "{status}: {failure:?}");
        assert!(failure.help[0].contains("keeps the body"), "{failure:?}");
        assert_eq!(api.server.requests().len(), 1, "{status}");
    }
    for status in [307, 308] {
        let api = redirecting(status);
        assert_eq!(api.rows().await.unwrap(), rows(0..2), "{status}");
        let requests = api.server.requests();
        let last = &requests[1];
        assert_eq!(
            (last.method.as_str(), last.path(), last.body.as_str()),
            ("POST", "/v2/items", "{\"size\": 2}"),
            "{status}"
        );
    }
}
