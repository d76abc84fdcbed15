//! Signed tokens, signed requests and logins: verified as a server does, renewed when they are refused, in
//! no message.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{self, KeyPair as _};
use ring::{hmac, rand};
use serde_json::{Value, json};
use towpath_testkit::http::{HttpAnswer, HttpRequest};

use crate::{Api, ids, number, rows, table};

const PKCS8: &str = include_str!("keys/rsa-of-tests.pem");
const PKCS1: &str = include_str!("keys/rsa-of-tests-pkcs1.pem");

/// The parts of a signed token.
struct Jwt {
    header: Value,
    claims: Value,
    signed: String,
    signature: Vec<u8>,
}

fn jwt(token: &str) -> Jwt {
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "{token}");
    let read = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    Jwt {
        header: serde_json::from_slice(&read(parts[0])).unwrap(),
        claims: serde_json::from_slice(&read(parts[1])).unwrap(),
        signed: format!("{}.{}", parts[0], parts[1]),
        signature: read(parts[2]),
    }
}

/// The public part of the RSA key of these tests.
fn rsa() -> Vec<u8> {
    let der: String = PKCS1
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let key = signature::RsaKeyPair::from_der(&STANDARD.decode(der).unwrap()).unwrap();
    key.public_key().as_ref().to_vec()
}

fn field<'b>(body: &'b str, name: &str) -> Option<&'b str> {
    let mut pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(own, _)| *own == name).map(|(_, value)| value)
}

/// An API whose token server exchanges assertions for `t1`, `t2`, ….
fn exchanging(answer: impl Fn(&HttpRequest, &str) -> HttpAnswer + Send + Sync + 'static) -> Api {
    let given = AtomicU64::new(0);
    Api::new(json!({}), move |request| match request.path() {
        "/token" => {
            let number = given.fetch_add(1, Ordering::SeqCst) + 1;
            HttpAnswer::json(format!(
                "{{\"access_token\":\"access-{number}\",\"expires_in\":3600}}"
            ))
        }
        _ => {
            let sent = request.header("authorization").unwrap_or_default();
            answer(request, sent.trim_start_matches("Bearer "))
        }
    })
    .option("auth.type", json!("jwt"))
}

#[tokio::test]
async fn a_service_account_exchanges_a_signed_token() {
    let lines = PKCS8.replace('\n', "\\n");
    for key in [PKCS8, PKCS1, &lines] {
        let api = exchanging(|_, token| match token {
            "access-1" => HttpAnswer::new(401, "expired"),
            _ => HttpAnswer::json(ids(0..2)),
        });
        let url = format!("{}/token", api.server.url());
        let api = api
            .option("auth.token_url", json!(url))
            .option("auth.issuer", json!("robot@example.com"))
            .option("auth.key_id", json!("k7"))
            .option("auth.scope", json!("read all"))
            .option("auth.claims", json!({ "tenant": "t1" }))
            .secret("auth.key", key);
        assert_eq!(api.rows().await.unwrap(), rows(0..2));
        assert_eq!(api.rows().await.unwrap(), rows(0..2));
        let asked = api.asked("/token");
        // One for the first read, one because it was refused, none for the second read.
        assert_eq!(asked.len(), 2);
        let tokens: Vec<Jwt> = asked
            .iter()
            .map(|request| {
                let grant = field(&request.body, "grant_type").unwrap();
                assert_eq!(
                    grant,
                    "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
                );
                jwt(field(&request.body, "assertion").unwrap())
            })
            .collect();
        let first = &tokens[0];
        assert_eq!(
            first.header,
            json!({ "alg": "RS256", "typ": "JWT", "kid": "k7" })
        );
        assert_eq!(first.claims["iss"], "robot@example.com");
        assert_eq!(first.claims["aud"], json!(url));
        assert_eq!(first.claims["scope"], "read all");
        assert_eq!(first.claims["tenant"], "t1");
        let life = first.claims["exp"].as_i64().unwrap() - first.claims["iat"].as_i64().unwrap();
        assert_eq!(life, 600);
        assert_ne!(first.claims["jti"], tokens[1].claims["jti"]);
        let public =
            signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, rsa());
        public
            .verify(first.signed.as_bytes(), &first.signature)
            .unwrap();
    }
}

#[tokio::test]
async fn the_file_of_a_service_account_says_the_rest() {
    let api = exchanging(|_, _| HttpAnswer::json(ids(0..1)));
    let url = format!("{}/token", api.server.url());
    let file = json!({
        "type": "service_account",
        "client_email": "file@example.com",
        "private_key": PKCS8,
        "private_key_id": "from-file",
        "token_uri": url,
    });
    let api = api
        .option("auth.grant", json!("client_credentials"))
        .option("auth.scope", json!("a b"))
        .option("auth.subject", json!("ann@example.com"))
        .secret("auth.client_id", "client-1")
        .secret("auth.key", &file.to_string());
    api.rows().await.unwrap();
    let body = &api.asked("/token")[0].body;
    assert_eq!(field(body, "grant_type"), Some("client_credentials"));
    assert_eq!(field(body, "scope"), Some("a+b"));
    assert_eq!(field(body, "client_id"), Some("client-1"));
    let token = jwt(field(body, "client_assertion").unwrap());
    assert_eq!(token.header["kid"], "from-file");
    assert_eq!(token.claims["iss"], "file@example.com");
    assert_eq!(token.claims["sub"], "ann@example.com");
    assert_eq!(token.claims["scope"], Value::Null);
}

#[tokio::test]
async fn a_signed_token_is_sent_as_it_is_without_a_token_url() {
    let answer = |request: &HttpRequest| match request.path() {
        "/v1/items" => HttpAnswer::json(ids(0..1)),
        _ => HttpAnswer::new(404, ""),
    };
    let sent = |api: &Api| {
        let request = api.server.requests()[0].clone();
        jwt(request
            .header("authorization")
            .unwrap()
            .trim_start_matches("Bearer "))
    };
    let api = Api::new(json!({}), answer)
        .option("auth.type", json!("jwt"))
        .option("auth.algorithm", json!("HS256"))
        .secret("auth.key", "shared secret");
    api.rows().await.unwrap();
    let token = sent(&api);
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"shared secret");
    hmac::verify(&key, token.signed.as_bytes(), &token.signature).unwrap();

    let curve = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let random = rand::SystemRandom::new();
    let pkcs8 = signature::EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
    let pem = STANDARD.encode(pkcs8.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n");
    let api = Api::new(json!({}), answer)
        .option("auth.type", json!("jwt"))
        .option("auth.algorithm", json!("ES256"))
        .option("auth.audience", json!("store-v1"))
        .option("auth.life_s", json!(300))
        .secret("auth.key", &pem);
    api.rows().await.unwrap();
    api.rows().await.unwrap();
    let token = sent(&api);
    assert_eq!(token.claims["aud"], "store-v1");
    let pair = signature::EcdsaKeyPair::from_pkcs8(curve, pkcs8.as_ref(), &random).unwrap();
    let public = pair.public_key().as_ref().to_vec();
    let public = signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, public);
    public
        .verify(token.signed.as_bytes(), &token.signature)
        .unwrap();
    // The second read has the same token.
    let requests = api.server.requests();
    assert_eq!(
        requests[0].header("authorization"),
        requests[1].header("authorization")
    );
}

#[tokio::test]
async fn no_message_holds_a_signed_token_or_its_key() {
    let api = Api::new(json!({}), |request| {
        HttpAnswer::new(403, request.header("authorization").unwrap_or_default())
    })
    .option("auth.type", json!("jwt"))
    .option("auth.algorithm", json!("HS256"))
    .secret("auth.key", "shared secret");
    let failure = api.failure().await;
    assert_eq!(
        failure.help[0], "the server said: Bearer ***",
        "{failure:?}"
    );

    let api = Api::new(json!({}), |request| {
        HttpAnswer::new(400, request.body.clone())
    })
    .option("auth.type", json!("jwt"))
    .secret("auth.key", PKCS8);
    let url = format!("{}/token", api.server.url());
    let api = api.option("auth.token_url", json!(url));
    let failure = api.failure().await;
    assert_eq!(failure.code, "R0353");
    assert!(failure.help[0].contains("assertion=***"), "{failure:?}");
    assert!(failure.help[1].contains("clock"), "{failure:?}");
}

#[tokio::test]
async fn a_key_that_cannot_sign_is_refused_before_anything_is_asked() {
    let sec1 = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----";
    for (algorithm, key) in [
        ("RS256", "not a key"),
        ("RS256", sec1),
        ("ES256", sec1),
        ("ES256", PKCS8),
        ("RS512", PKCS8),
    ] {
        let api = exchanging(|_, _| HttpAnswer::json("[]"))
            .option("auth.algorithm", json!(algorithm))
            .secret("auth.key", key);
        let failure = api.failure().await;
        assert_eq!(failure.code, "R0350", "{algorithm} {key}");
        assert!(!format!("{failure:?}").contains("AAAA"), "{failure:?}");
        assert!(api.server.requests().is_empty());
    }
    for (option, value) in [
        ("auth.scope", json!("x")),
        ("auth.grant", json!("client_credentials")),
        ("auth.life_s", json!(10)),
        ("auth.token_url", json!("ftp://x")),
    ] {
        let api = exchanging(|_, _| HttpAnswer::json("[]"))
            .option(option, value)
            .secret("auth.key", PKCS8);
        assert_eq!(api.failure().await.code, "R0350", "{option}");
    }
}

fn signing(sign: &str, headers: Value) -> Api {
    Api::new(
        json!({ "paginate": { "type": "page" } }),
        |request| match number(request, "page") {
            1..=2 => HttpAnswer::json(ids([number(request, "page")])),
            _ => HttpAnswer::json("[]"),
        },
    )
    .option("auth.type", json!("hmac"))
    .option("auth.sign", json!(sign))
    .option("auth.headers", headers)
}

#[tokio::test]
async fn each_request_is_signed_over_what_is_sent() {
    let api = signing(
        "{timestamp}\n{method}\n{path}?{query}\n{nonce}{body_sha256}",
        json!({
            "authorization": "HMAC {key_id}:{signature}",
            "x-time": "{timestamp}",
            "x-nonce": "{nonce}",
        }),
    )
    .option("auth.key_id", json!("me"))
    .option("auth.encoding", json!("base64"))
    .secret("auth.key", "key of both");
    assert_eq!(api.rows().await.unwrap(), rows(1..3));
    let requests = api.server.requests();
    assert_eq!(requests.len(), 3);
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for request in &requests {
        let header = |name: &str| request.header(name).unwrap();
        let (time, nonce) = (header("x-time"), header("x-nonce"));
        let text = format!("{time}\nGET\n{}\n{nonce}{nothing}", request.target);
        let signature = header("authorization").trim_start_matches("HMAC me:");
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"key of both");
        let signature = STANDARD.decode(signature).unwrap();
        hmac::verify(&key, text.as_bytes(), &signature).unwrap();
    }
    assert_ne!(requests[0].header("x-nonce"), requests[1].header("x-nonce"));
}

#[tokio::test]
async fn known_answers_of_every_hash_and_form() {
    // RFC 2202 and RFC 4231, test case 2: the key `Jefe`.
    let text = "what do ya want for nothing?";
    for (algorithm, encoding, key, form, signature) in [
        (
            "sha1",
            "hex",
            "Jefe",
            "text",
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
        ),
        (
            "sha256",
            "hex",
            "SmVmZQ==",
            "base64",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            "sha256",
            "base64",
            "4a656665",
            "hex",
            "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=",
        ),
        (
            "sha256",
            "base64url",
            "Jefe",
            "text",
            "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM",
        ),
        (
            "sha384",
            "hex",
            "Jefe",
            "text",
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            "sha512",
            "hex",
            "Jefe",
            "text",
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ] {
        let api = signing(text, json!({ "x-signature": "{signature}" }))
            .option("auth.algorithm", json!(algorithm))
            .option("auth.encoding", json!(encoding))
            .option("auth.key_encoding", json!(form))
            .secret("auth.key", key);
        api.rows().await.unwrap();
        let request = &api.server.requests()[0];
        assert_eq!(
            request.header("x-signature"),
            Some(signature),
            "{algorithm}"
        );
    }
}

#[tokio::test]
async fn a_signature_that_is_sent_nowhere_or_made_of_nothing_is_refused() {
    let good = || json!({ "x-signature": "{signature}" });
    for (sign, headers) in [
        ("{methd}", good()),
        ("{method", good()),
        ("{signature}", good()),
        ("", good()),
        ("{method}", json!({ "x-signature": "{timestamp}" })),
        ("{method}", json!({ "x signature": "{signature}" })),
        ("{key_id}", good()),
    ] {
        let api = signing(sign, headers).secret("auth.key", "k");
        assert_eq!(api.failure().await.code, "R0350", "{sign}");
        assert!(api.server.requests().is_empty());
    }
    let api = signing("{method}", good()).option("auth.key_id", json!("me"));
    assert_eq!(api.secret("auth.key", "k").failure().await.code, "R0350");
    let api = signing("{method}", good()).option("auth.key_encoding", json!("hex"));
    assert_eq!(api.secret("auth.key", "4a6").failure().await.code, "R0350");
}

#[tokio::test]
async fn a_host_that_is_named_gets_no_signature() {
    let other = towpath_testkit::http::HttpServer::start(|_| HttpAnswer::json("[]")).unwrap();
    let target = format!("{}/x", other.url());
    let host = other.url().trim_start_matches("http://").to_owned();
    let api = Api::new(json!({}), move |_| {
        HttpAnswer::new(302, "").header("location", &target)
    })
    .option("auth.type", json!("hmac"))
    .option("auth.sign", json!("{url}"))
    .option("auth.headers", json!({ "x-signature": "{signature}" }))
    .option("hosts", json!([host]))
    .secret("auth.key", "k");
    api.rows().await.unwrap();
    assert!(api.server.requests()[0].header("x-signature").is_some());
    assert_eq!(other.requests()[0].header("x-signature"), None);
}

/// An API that gives `s1`, `s2`, … at `/v1/login`.
fn session(
    login: impl Fn(&HttpRequest, u64) -> HttpAnswer + Send + Sync + 'static,
    answer: impl Fn(&HttpRequest) -> HttpAnswer + Send + Sync + 'static,
) -> Api {
    let given = AtomicU64::new(0);
    Api::new(json!({}), move |request| match request.path() {
        "/v1/login" => login(request, given.fetch_add(1, Ordering::SeqCst) + 1),
        _ => answer(request),
    })
    .option("auth.type", json!("session"))
    .option("auth.login", json!("/login"))
    .secret("auth.user", "ann")
    .secret("auth.password", "pass&word\"1")
}

#[tokio::test]
async fn a_login_gives_a_token_that_is_renewed_when_it_is_refused() {
    let api = session(
        |request, number| {
            let body: Value = serde_json::from_str(&request.body).unwrap();
            assert_eq!(
                body,
                json!({ "username": "ann", "password": "pass&word\"1", "app": "x" })
            );
            HttpAnswer::json(format!("{{\"data\":{{\"token\":\"s{number}\"}}}}"))
        },
        |request| match request.header("authorization") {
            Some("Bearer s1") => HttpAnswer::new(401, "over"),
            Some("Bearer s2") => HttpAnswer::json(ids(0..2)),
            other => panic!("{other:?}"),
        },
    )
    .option("auth.fields", json!({ "app": "x" }))
    .option("auth.token_at", json!("data.token"))
    .table("others", json!({}));
    let (items, others) = (table("items"), table("others"));
    let (one, other) = tokio::join!(api.read(&items, None), api.read(&others, None));
    assert_eq!(
        (one.unwrap().rows, other.unwrap().rows),
        (rows(0..2), rows(0..2))
    );
    assert_eq!(api.asked("/v1/login").len(), 2);
}

#[tokio::test]
async fn a_login_by_form_or_header_gives_a_token_in_a_header_of_its_own() {
    let api = session(
        |request, _| {
            assert_eq!(request.body, "login=ann&pw=pass%26word%221");
            HttpAnswer::json("{\"token\":\"s1\"}")
        },
        |request| {
            assert_eq!(request.header("x-session"), Some("s1"));
            HttpAnswer::json(ids(0..1))
        },
    )
    .option("auth.credentials_in", json!("form"))
    .option("auth.user_field", json!("login"))
    .option("auth.password_field", json!("pw"))
    .option("auth.token_at", json!("token"))
    .option("auth.token_header", json!("X-Session"));
    assert_eq!(api.rows().await.unwrap(), rows(0..1));
    let api = session(
        |request, _| {
            let basic = format!("Basic {}", STANDARD.encode("ann:pass&word\"1"));
            assert_eq!(request.header("authorization"), Some(basic.as_str()));
            HttpAnswer::json("{\"token\":\"s1\"}")
        },
        |request| {
            assert_eq!(request.header("authorization"), Some("Token s1"));
            HttpAnswer::json(ids(0..1))
        },
    )
    .option("auth.credentials_in", json!("header"))
    .option("auth.token_at", json!("token"))
    .option("auth.token_prefix", json!("Token "));
    assert_eq!(api.rows().await.unwrap(), rows(0..1));
}

#[tokio::test]
async fn a_login_gives_cookies_also_with_a_redirect() {
    for status in [200, 302] {
        let api = session(
            move |_, number| {
                HttpAnswer::new(status, "<html>")
                    .header("location", "http://127.0.0.1:1/home")
                    .header("set-cookie", &format!("SID=s{number}; Path=/; HttpOnly"))
                    .header("set-cookie", "lang=en")
                    .header("set-cookie", "XSRF=x1; Secure")
            },
            |request| match request.header("cookie") {
                Some("SID=s1; XSRF=x1") => HttpAnswer::new(401, "over"),
                Some("SID=s2; XSRF=x1") => HttpAnswer::json(ids(0..2)),
                other => panic!("{other:?}"),
            },
        )
        .option("auth.cookies", json!(["SID", "XSRF"]));
        assert_eq!(api.rows().await.unwrap(), rows(0..2), "{status}");
        assert_eq!(api.asked("/v1/login").len(), 2);
    }
}

#[tokio::test]
async fn a_login_that_lasts_for_a_time_is_renewed_before_its_end() {
    let api = session(
        |_, number| HttpAnswer::json(format!("{{\"token\":\"s{number}\"}}")),
        |_| HttpAnswer::json(ids(0..1)),
    )
    .option("auth.token_at", json!("token"))
    .option("auth.life_s", json!(1));
    api.rows().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    api.rows().await.unwrap();
    assert_eq!(api.asked("/v1/login").len(), 2);
}

#[tokio::test]
async fn a_login_that_gives_nothing_is_a_failure() {
    let with = |answer: HttpAnswer| {
        session(move |_, _| answer.clone(), |_| HttpAnswer::json(ids(0..1)))
            .option("retries", json!(1))
    };
    for answer in [
        HttpAnswer::new(200, "<html>wrong password for pass&word\"1</html>"),
        HttpAnswer::json("{\"token\":null}"),
        HttpAnswer::json("{\"tok\":\"x\"}"),
        HttpAnswer::new(200, ""),
    ] {
        let failure = with(answer)
            .option("auth.token_at", json!("token"))
            .failure()
            .await;
        assert_eq!(failure.code, "R0381", "{failure:?}");
        assert!(!format!("{failure:?}").contains("pass&"), "{failure:?}");
    }
    for answer in [
        HttpAnswer::new(200, "ok").header("set-cookie", "OTHER=1"),
        HttpAnswer::new(200, "ok").header("set-cookie", "SID=; Max-Age=0"),
    ] {
        let failure = with(answer)
            .option("auth.cookies", json!(["SID"]))
            .failure()
            .await;
        assert_eq!(failure.code, "R0381", "{failure:?}");
    }
    // A redirect is no token.
    let away = HttpAnswer::new(302, "").header("location", "http://127.0.0.1:1/");
    let failure = with(away)
        .option("auth.token_at", json!("token"))
        .failure()
        .await;
    assert_eq!(failure.code, "R0353", "{failure:?}");
}

#[tokio::test]
async fn refused_credentials_are_not_sent_again_and_a_server_that_fails_is_asked_again() {
    let api = session(
        |_, _| HttpAnswer::new(403, "wrong: pass&word\"1"),
        |_| HttpAnswer::json(ids(0..1)),
    )
    .option("auth.token_at", json!("token"));
    for _ in 0..3 {
        let failure = api.failure().await;
        assert_eq!(failure.code, "R0353");
        assert_eq!(
            failure.help[0], "the server said: wrong: ***",
            "{failure:?}"
        );
        assert!(failure.help[1].contains("`password`"), "{failure:?}");
    }
    assert_eq!(api.asked("/v1/login").len(), 1);
    let api = session(
        |_, number| match number {
            1 => HttpAnswer::new(503, ""),
            2 => HttpAnswer::json("{\"token\":\"s\"}").cut_after(4),
            3 => HttpAnswer::new(429, "").header("retry-after", "0"),
            _ => HttpAnswer::json("{\"token\":\"s\"}"),
        },
        |_| HttpAnswer::json(ids(0..1)),
    )
    .option("auth.token_at", json!("token"));
    assert_eq!(api.rows().await.unwrap(), rows(0..1));
    assert_eq!(api.asked("/v1/login").len(), 4);
}

#[tokio::test]
async fn a_login_that_cannot_be_meant_is_refused() {
    for options in [
        json!({}),
        json!({ "auth.token_at": "t", "auth.cookies": ["c"] }),
        json!({ "auth.cookies": ["c"], "auth.token_prefix": "x" }),
        json!({ "auth.token_at": "t", "auth.credentials_in": "header", "auth.user_field": "u" }),
        json!({ "auth.token_at": "t", "auth.credentials_in": "query" }),
        json!({ "auth.token_at": "t", "auth.login": "ftp://x/y" }),
        json!({ "auth.token_at": "t", "auth.life_s": 0 }),
        json!({ "auth.token_at": "t", "url": "https://localhost:1", "auth.login": "http://localhost:1/login" }),
    ] {
        let mut api = session(|_, _| HttpAnswer::json("{}"), |_| HttpAnswer::json("[]"));
        for (option, value) in options.as_object().unwrap() {
            api = api.option(option, value.clone());
        }
        assert_eq!(api.failure().await.code, "R0350", "{options}");
        assert!(api.server.requests().is_empty(), "{options}");
    }
}

#[tokio::test]
async fn no_message_holds_credentials_as_a_header_has_them() {
    let echo = |request: &HttpRequest| {
        HttpAnswer::new(400, request.header("authorization").unwrap_or_default())
    };
    let api = session(move |request, _| echo(request), |_| HttpAnswer::json("[]"))
        .option("auth.token_at", json!("token"))
        .option("auth.credentials_in", json!("header"));
    let failure = api.failure().await;
    assert_eq!(failure.help[0], "the server said: Basic ***", "{failure:?}");
    let api = Api::new(json!({}), echo);
    let url = format!("{}/token", api.server.url());
    let api = api
        .option("auth.type", json!("oauth2"))
        .option("auth.token_url", json!(url))
        .secret("auth.client_id", "me")
        .secret("auth.client_secret", "secret-7");
    let failure = api.failure().await;
    assert_eq!(failure.help[0], "the server said: Basic ***", "{failure:?}");
    // Nor do secrets go to a server of tokens without TLS where the API has it.
    let api = api.option("url", json!("https://localhost:1"));
    assert_eq!(api.failure().await.code, "R0350");
}
