//! Requests that are signed as AWS asks for: the server computes the signature by itself.

use std::fmt::Write as _;

use ring::{digest, hmac};
use serde_json::json;
use towpath_testkit::http::{HttpAnswer, HttpRequest};

use crate::{Api, ids, rows};

const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn hex(bytes: impl AsRef<[u8]>) -> String {
    let mut text = String::new();
    for byte in bytes.as_ref() {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

fn sha256(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()))
}

fn signed(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

/// A part of a path, each byte of it that is no letter, digit or `-_.~` as `%XX`.
fn encoded(part: &str) -> String {
    let mut text = String::new();
    for byte in part.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                text.push(char::from(byte));
            }
            other => write!(text, "%{other:02X}").unwrap(),
        }
    }
    text
}

/// The signature of a request, as the documentation of AWS describes it.
fn signature(request: &HttpRequest, names: &str, scope: &str, payload: &str) -> String {
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    let mut parameters: Vec<&str> = query.split('&').filter(|one| !one.is_empty()).collect();
    parameters.sort_unstable();
    let header = |name: &str| request.header(name).unwrap().trim().to_owned();
    let headers: String = names
        .split(';')
        .map(|name| format!("{name}:{}\n", header(name)))
        .collect();
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{names}\n{payload}",
        request.method,
        // Of all services but S3 the path is encoded once more.
        encoded(path),
        parameters.join("&"),
    );
    let time = header("x-amz-date");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(&canonical));
    let key = scope
        .split('/')
        .fold(format!("AWS4{SECRET}").into_bytes(), |key, part| {
            signed(&key, part)
        });
    hex(signed(&key, &text))
}

#[test]
fn the_server_signs_as_the_documentation_does() {
    // `get-vanilla` of the test suite that AWS publishes.
    let request = HttpRequest {
        method: "GET".to_owned(),
        target: "/".to_owned(),
        headers: [
            ("host", "example.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        body: String::new(),
    };
    let scope = "20150830/us-east-1/service/aws4_request";
    assert_eq!(
        signature(&request, "host;x-amz-date", scope, &sha256("")),
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    );
}

/// Fails unless the request is signed with the key.
fn check(request: &HttpRequest) {
    let header = request.header("authorization").unwrap();
    let part = |name: &str| {
        let (_, from) = header.split_once(&format!("{name}=")).unwrap();
        from.split(',').next().unwrap().trim().to_owned()
    };
    let scope = part("Credential");
    let scope = scope.strip_prefix(&format!("{KEY}/")).unwrap();
    assert!(
        scope.ends_with("/eu-central-1/execute-api/aws4_request"),
        "{scope}"
    );
    let names = part("SignedHeaders");
    assert!(names.contains("x-amz-security-token"), "{names}");
    let payload = request.header("x-amz-content-sha256").unwrap();
    assert_eq!(payload, sha256(&request.body));
    let own = signature(request, &names, scope, payload);
    assert_eq!(part("Signature"), own, "{request:?}");
}

fn with_keys(api: Api) -> Api {
    api.option("auth.type", json!("aws_sigv4"))
        .option("auth.region", json!("eu-central-1"))
        .option("auth.service", json!("execute-api"))
        .secret("auth.access_key", KEY)
        .secret("auth.secret_key", SECRET)
        .secret("auth.session_token", "session-of-the-test")
}

#[tokio::test]
async fn each_request_is_signed_over_its_path_parameters_and_body() {
    let items = json!({
        "path": "of/{parents.name}/items", "params": { "q": "a b+c/ä", "empty": "" },
        "paginate": { "type": "page", "size": 2 },
    });
    let api = Api::new(items, |request: &HttpRequest| {
        check(request);
        match (request.path(), request.parameter("page")) {
            ("/v1/parents", _) => HttpAnswer::json("[{\"name\":\"x y:z\"}]"),
            (_, Some("1")) => HttpAnswer::json(ids(0..2)),
            _ => HttpAnswer::json("[]"),
        }
    });
    let api = with_keys(api.table("parents", json!({})));
    assert_eq!(api.rows().await.unwrap(), rows(0..2));
    let post = json!({ "method": "POST", "body": "{{\"a\": 1.10}}" });
    let api = Api::new(post, |request: &HttpRequest| {
        check(request);
        HttpAnswer::json(ids(0..2))
    });
    assert_eq!(with_keys(api).rows().await.unwrap(), rows(0..2));
}

#[tokio::test]
async fn parameters_of_one_name_are_signed_by_their_values() {
    let values: String = (0..40)
        .map(|n| format!("&id={}{}", n * 7 % 40, ["", "%2F", "+x", "%C3%A4"][n % 4]))
        .collect();
    let next = format!("/v1/items?z=1{values}&b=%20");
    let api = Api::new(
        json!({ "records": "data", "paginate": { "type": "next_url", "at": "next" } }),
        move |request: &HttpRequest| {
            check(request);
            match request.parameter("z") {
                None => HttpAnswer::json(
                    json!({ "data": [{ "id": 0 }], "next": next.as_str() }).to_string(),
                ),
                Some(_) => {
                    assert_eq!(request.target.matches("id=").count(), 40);
                    HttpAnswer::json("{\"data\":[{\"id\":1}],\"next\":null}")
                }
            }
        },
    );
    assert_eq!(with_keys(api).rows().await.unwrap(), rows(0..2));
}

#[tokio::test]
async fn what_cannot_sign_is_refused_before_anything_is_asked() {
    for (key, value) in [("region", ""), ("service", "a/b"), ("region", "x\ny")] {
        let api = with_keys(Api::new(json!({}), |request| panic!("{request:?}")));
        let api = api.option(&format!("auth.{key}"), json!(value));
        assert_eq!(api.failure().await.code, "R0350", "{key}: {value}");
    }
    let api = with_keys(Api::new(json!({}), |request| panic!("{request:?}")));
    let api = api.secret("auth.session_token", "a\nb");
    let failure = api.failure().await;
    assert_eq!(failure.code, "R0350");
    assert!(!failure.message.contains("a\nb"));
}
