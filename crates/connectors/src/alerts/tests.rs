//! Tests of alert channels with a real HTTP server: what arrives, what a refusal says, what it hides.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};
use towpath_ports::{Alert, Connector as _, ConnectorContext, Memory, ReservedMemory, Secrets};
use towpath_testkit::http::{HttpAnswer, HttpRequest, HttpServer};
use towpath_vocab::{AlertCondition, ConnectionPlan, Failure, OptionValue, Remedy, SecretTemplate};

use super::{AlertConnector, AlertForm};

/// Templates are their own values.
struct AsWritten;

#[async_trait]
impl Secrets for AsWritten {
    async fn resolve(&self, template: &SecretTemplate) -> Result<String, Failure> {
        Ok(template.template().to_owned())
    }
}

struct Ample;

#[async_trait]
impl Memory for Ample {
    fn limit_bytes(&self) -> u64 {
        1 << 20
    }

    async fn hold(&self, _: u64) -> ReservedMemory {
        Box::new(())
    }
}

fn alert(conditions: &[AlertCondition]) -> Alert {
    Alert {
        id: "shop-212-9".into(),
        conditions: conditions.to_vec(),
        project: "shop".into(),
        environment: "prod".into(),
        pipeline: "daily".into(),
        run: "daily#212".into(),
        at_us: 1_767_323_045_000_000,
        title: "daily#212 failed: a < b & c".into(),
        details: vec!["raw.orders: R0403 `id` *was* text".into()],
        command: "towpath runs daily#212".into(),
    }
}

async fn sent(form: AlertForm, url: &str, key: Option<&str>, alert: &Alert) -> Result<(), Failure> {
    let secret = |text: &str| OptionValue::Secret(SecretTemplate::new(text));
    let options = [("url", Some(url)), ("key", key)];
    let options = options
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), secret(text?))));
    let plan = ConnectionPlan {
        name: "channel".into(),
        kind: form.kind().into(),
        writable: false,
        options: options.collect(),
    };
    let context = ConnectorContext {
        project_dir: ".".into(),
        secrets: Arc::new(AsWritten),
        memory: Arc::new(Ample),
    };
    AlertConnector(form)
        .alerts(&plan, &context)?
        .send(alert)
        .await
}

/// What a server gets for an alert.
async fn arrived(form: AlertForm, key: Option<&str>, alert: &Alert) -> (HttpRequest, Value) {
    let server = HttpServer::start(|_| HttpAnswer::json("{}")).unwrap();
    let url = format!("{}/hook/T0KENT0KEN", server.url());
    sent(form, &url, key, alert).await.unwrap();
    let request = server.requests().pop().unwrap();
    let body = serde_json::from_str(&request.body).unwrap();
    (request, body)
}

#[tokio::test]
async fn a_webhook_gets_the_alert_with_a_signature_that_verifies() {
    let alert = alert(&[AlertCondition::Failed, AlertCondition::Quality]);
    let text = format!("whsec_{}", STANDARD.encode("a key of bytes"));
    for (key, bytes) in [(text.as_str(), "a key of bytes"), ("as it is", "as it is")] {
        let (request, body) = arrived(AlertForm::Webhook, Some(key), &alert).await;
        assert_eq!(body["type"], "run.failed");
        assert_eq!(body["timestamp"], "2026-01-02T03:04:05Z");
        assert_eq!(body["data"]["run"], "daily#212");
        assert_eq!(body["data"]["conditions"], json!(["failed", "quality"]));
        assert_eq!(request.header("webhook-id"), Some("shop-212-9"));
        let time = request.header("webhook-timestamp").unwrap();
        let signature = request.header("webhook-signature").unwrap();
        let tag = STANDARD
            .decode(signature.strip_prefix("v1,").unwrap())
            .unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes.as_bytes());
        let signed = format!("shop-212-9.{time}.{}", request.body);
        hmac::verify(&key, signed.as_bytes(), &tag).unwrap();
    }
    let (request, _) = arrived(AlertForm::Webhook, None, &alert).await;
    assert_eq!(request.header("webhook-signature"), None);
}

#[tokio::test]
async fn chat_systems_get_texts_with_their_marks_escaped() {
    let alert = alert(&[AlertCondition::Failed]);
    let (_, body) = arrived(AlertForm::Slack, None, &alert).await;
    let text = body["text"].as_str().unwrap();
    assert!(
        text.starts_with("*daily#212 failed: a &lt; b &amp; c*\n• raw.orders:"),
        "{text}"
    );
    assert!(
        text.ends_with("shop · prod · `towpath runs daily#212`"),
        "{text}"
    );
    let (_, body) = arrived(AlertForm::Teams, None, &alert).await;
    let card = &body["attachments"][0]["content"];
    assert_eq!(card["type"], "AdaptiveCard");
    assert_eq!(
        card["body"][1]["text"],
        "raw.orders: R0403 `id` \\*was\\* text"
    );
}

#[tokio::test]
async fn a_recovery_ends_what_a_failure_opened() {
    let failed = alert(&[AlertCondition::Failed]);
    let recovered = alert(&[AlertCondition::Recovered]);
    let (_, opened) = arrived(AlertForm::PagerDuty, Some("routing"), &failed).await;
    let (_, closed) = arrived(AlertForm::PagerDuty, Some("routing"), &recovered).await;
    assert_eq!(opened["routing_key"], "routing");
    assert_eq!(opened["event_action"], "trigger");
    assert_eq!(closed["event_action"], "resolve");
    assert_eq!(opened["dedup_key"], "towpath/shop/prod/daily");
    assert_eq!(opened["dedup_key"], closed["dedup_key"]);
    let (request, opened) = arrived(AlertForm::Opsgenie, Some("genie"), &failed).await;
    assert_eq!(request.path(), "/hook/T0KENT0KEN");
    assert_eq!(request.header("authorization"), Some("GenieKey genie"));
    assert_eq!(opened["alias"], "towpath/shop/prod/daily");
    let (request, _) = arrived(AlertForm::Opsgenie, Some("genie"), &recovered).await;
    let closed = "/hook/T0KENT0KEN/towpath%2Fshop%2Fprod%2Fdaily/close";
    assert_eq!(request.path(), closed);
    assert_eq!(request.parameter("identifierType"), Some("alias"));
}

#[tokio::test]
async fn long_texts_are_cut_to_what_a_system_takes() {
    let mut long = alert(&[AlertCondition::Failed]);
    long.title = "ä".repeat(5000);
    let length = |value: &Value| value.as_str().unwrap().chars().count();
    let (_, slack) = arrived(AlertForm::Slack, None, &long).await;
    assert_eq!(length(&slack["text"]), 4000);
    let (_, event) = arrived(AlertForm::PagerDuty, Some("k"), &long).await;
    assert_eq!(length(&event["payload"]["summary"]), 1024);
    let (_, genie) = arrived(AlertForm::Opsgenie, Some("k"), &long).await;
    assert_eq!(length(&genie["message"]), 130);
}

#[tokio::test]
async fn what_went_wrong_has_a_code_and_hides_secrets() {
    let alert = alert(&[AlertCondition::Failed]);
    let cases = BTreeMap::from([
        (400, ("R0342", Remedy::FixConfig)),
        (302, ("R0342", Remedy::FixConfig)),
        (429, ("R0343", Remedy::Unreachable)),
        (503, ("R0343", Remedy::Unreachable)),
    ]);
    for (status, expected) in cases {
        let server = HttpServer::start(move |request: &HttpRequest| {
            let name = request.path().rsplit('/').next().unwrap();
            let repeated = format!("no such hook {name} of s3cretkey\nmore");
            HttpAnswer::new(status, repeated).header("location", "http://127.0.0.1:1/elsewhere")
        });
        let server = server.unwrap();
        let url = format!("{}/in/T0KENT0KEN", server.url());
        let failure = sent(AlertForm::Webhook, &url, Some("s3cretkey"), &alert)
            .await
            .unwrap_err();
        assert_eq!((failure.code.as_str(), failure.remedy), expected);
        let shown = format!("{failure:?}");
        assert!(
            shown.contains(&format!("status {status}: no such hook *** of ***")),
            "{shown}"
        );
        assert_eq!(server.requests().len(), 1);
    }
    let silent = HttpServer::start(|_| HttpAnswer::none()).unwrap();
    let url = format!("{}/in/T0KENT0KEN", silent.url());
    for (url, code) in [
        (url.as_str(), "R0341"),
        ("http://127.0.0.1:1/T0KENT0KEN", "R0341"),
        ("ftp://host/T0KENT0KEN", "R0340"),
        ("https://me:T0KENT0KEN@host/", "R0340"),
        ("T0KENT0KEN", "R0340"),
    ] {
        let failure = sent(AlertForm::Slack, url, None, &alert).await.unwrap_err();
        assert_eq!(failure.code, code, "{failure:?}");
        assert!(!format!("{failure:?}").contains("T0KEN"), "{failure:?}");
    }
    let key = sent(
        AlertForm::Webhook,
        "http://127.0.0.1:1/",
        Some("whsec_%%"),
        &alert,
    )
    .await;
    assert_eq!(key.unwrap_err().code, "R0340");
}

#[test]
fn a_channel_has_no_tables() {
    let plan = ConnectionPlan {
        name: "channel".into(),
        kind: "slack".into(),
        writable: true,
        options: BTreeMap::new(),
    };
    let context = ConnectorContext {
        project_dir: ".".into(),
        secrets: Arc::new(AsWritten),
        memory: Arc::new(Ample),
    };
    let slack = AlertConnector(AlertForm::Slack);
    let codes = [
        slack.source(&plan, &context).err().unwrap().code,
        slack.destination(&plan, &context).err().unwrap().code,
        slack.discover(&plan, &context).err().unwrap().code,
    ];
    assert_eq!(codes, ["R0344", "R0344", "R0344"]);
}
