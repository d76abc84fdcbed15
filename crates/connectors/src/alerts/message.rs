//! An alert in the form that a system takes: address, headers and body.
//!
//! Promise: pure. The same alert gives the same body, so a system that knows the id recognises a message
//! that comes twice. Texts are escaped and cut to what the system takes. Read next: `channel.rs`, which
//! sends it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use ring::hmac;
use serde_json::{Value, json};
use towpath_ports::Alert;
use towpath_vocab::AlertCondition;
use url::Url;

use super::connector::AlertForm;

/// The longest texts that the systems take, in characters.
const PAGERDUTY_SUMMARY: usize = 1024;
const OPSGENIE_MESSAGE: usize = 130;
const OPSGENIE_ALIAS: usize = 512;
const SLACK_TEXT: usize = 4000;

/// A request that carries an alert.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) url: Url,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

/// The message of an alert. The error is the reason why the key cannot be used.
pub(super) fn message(
    form: AlertForm,
    alert: &Alert,
    url: &Url,
    key: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Message, String> {
    let mut url = url.clone();
    let mut headers = vec![("content-type", "application/json".to_owned())];
    let body = match form {
        AlertForm::Webhook => {
            let body = webhook(alert).to_string();
            headers.push(("webhook-id", alert.id.clone()));
            headers.push(("webhook-timestamp", now.timestamp().to_string()));
            if let Some(key) = key {
                headers.push(("webhook-signature", signature(key, alert, now, &body)?));
            }
            body
        }
        AlertForm::Slack => json!({ "text": slack(alert) }).to_string(),
        AlertForm::Teams => teams(alert).to_string(),
        AlertForm::PagerDuty => pagerduty(alert, key.unwrap_or_default()).to_string(),
        AlertForm::Opsgenie => {
            headers.push((
                "authorization",
                format!("GenieKey {}", key.unwrap_or_default()),
            ));
            if alert.resolves() {
                let alias = cut(&alert.subject(), OPSGENIE_ALIAS);
                if let Ok(mut path) = url.path_segments_mut() {
                    path.pop_if_empty().push(&alias).push("close");
                }
                url.query_pairs_mut().append_pair("identifierType", "alias");
            }
            opsgenie(alert).to_string()
        }
    };
    Ok(Message { url, headers, body })
}

fn moment(alert: &Alert) -> String {
    let at = DateTime::from_timestamp_micros(alert.at_us).unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn main_condition(alert: &Alert) -> AlertCondition {
    alert
        .conditions
        .first()
        .copied()
        .unwrap_or(AlertCondition::Failed)
}

/// The body of the Standard Webhooks specification.
fn webhook(alert: &Alert) -> Value {
    json!({
        "type": format!("run.{}", main_condition(alert)),
        "timestamp": moment(alert),
        "data": {
            "version": 1,
            "id": alert.id,
            "conditions": alert.conditions,
            "project": alert.project,
            "environment": alert.environment,
            "pipeline": alert.pipeline,
            "run": alert.run,
            "title": alert.title,
            "details": alert.details,
            "command": alert.command,
        },
    })
}

/// The signature of the Standard Webhooks specification over id, time and body.
fn signature(key: &str, alert: &Alert, now: DateTime<Utc>, body: &str) -> Result<String, String> {
    let bytes = match key.strip_prefix("whsec_") {
        Some(text) => STANDARD
            .decode(text)
            .map_err(|_| "has no Base64 after `whsec_`".to_owned())?,
        None => key.as_bytes().to_vec(),
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
    let text = format!("{}.{}.{body}", alert.id, now.timestamp());
    let tag = hmac::sign(&key, text.as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(tag.as_ref())))
}

/// The text of Slack, which takes `&`, `<` and `>` for its own.
fn slack(alert: &Alert) -> String {
    let escaped = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let mut text = format!("*{}*", escaped(&alert.title));
    for detail in &alert.details {
        text.push_str("\n• ");
        text.push_str(&escaped(detail));
    }
    let end = format!(
        "\n{} · {} · `{}`",
        escaped(&alert.project),
        escaped(&alert.environment),
        escaped(&alert.command)
    );
    cut(&text, SLACK_TEXT - end.chars().count().min(SLACK_TEXT)) + &end
}

fn teams(alert: &Alert) -> Value {
    let block = |text: &str, more: Value| {
        let mut block = json!({ "type": "TextBlock", "text": plain(text), "wrap": true });
        if let (Value::Object(block), Value::Object(more)) = (&mut block, more) {
            block.extend(more);
        }
        block
    };
    let mut body = vec![block(
        &alert.title,
        json!({ "weight": "Bolder", "size": "Medium" }),
    )];
    body.extend(alert.details.iter().map(|line| block(line, json!({}))));
    body.push(json!({
        "type": "FactSet",
        "facts": [
            { "title": "Project", "value": plain(&alert.project) },
            { "title": "Environment", "value": plain(&alert.environment) },
            { "title": "Command", "value": plain(&alert.command) },
        ],
    }));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
            },
        }],
    })
}

/// A text without the marks that an adaptive card takes for its own.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '*' | '_' | '[' | ']' | '#') {
            plain.push('\\');
        }
        plain.push(c);
    }
    plain
}

fn pagerduty(alert: &Alert, key: &str) -> Value {
    let severity = match main_condition(alert) {
        AlertCondition::Late | AlertCondition::Failed => "error",
        AlertCondition::Quality => "warning",
        AlertCondition::Recovered => "info",
    };
    let action = match alert.resolves() {
        true => "resolve",
        false => "trigger",
    };
    json!({
        "routing_key": key,
        "event_action": action,
        "dedup_key": alert.subject(),
        "payload": {
            "summary": cut(&alert.title, PAGERDUTY_SUMMARY),
            "source": format!("towpath {}", alert.project),
            "severity": severity,
            "timestamp": moment(alert),
            "component": alert.pipeline,
            "group": alert.environment,
            "class": main_condition(alert).word(),
            "custom_details": {
                "run": alert.run,
                "details": alert.details,
                "command": alert.command,
            },
        },
    })
}

fn opsgenie(alert: &Alert) -> Value {
    let details = alert.details.join("\n");
    if alert.resolves() {
        return json!({ "source": "towpath", "note": alert.title });
    }
    let priority = match main_condition(alert) {
        AlertCondition::Late | AlertCondition::Failed => "P2",
        AlertCondition::Quality | AlertCondition::Recovered => "P4",
    };
    json!({
        "message": cut(&alert.title, OPSGENIE_MESSAGE),
        "alias": cut(&alert.subject(), OPSGENIE_ALIAS),
        "description": details,
        "priority": priority,
        "source": "towpath",
        "tags": [alert.environment, main_condition(alert).word()],
        "details": {
            "project": alert.project,
            "run": alert.run,
            "command": alert.command,
        },
    })
}

/// At most so many characters.
fn cut(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text
            .chars()
            .take(most.saturating_sub(1))
            .chain(['…'])
            .collect(),
        false => text.to_owned(),
    }
}
