//! Runs a `sql` step (statements in a connection) and an `http` step (one request).
//!
//! Promise: values of the run and secrets are filled in here and reach only the system: values in SQL as
//! literals, never as code. Both run again in every run, and again after a process that died before it could
//! report them: at least once. They move no rows. Read next: `ports/src/statements.rs`, `command.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use towpath_connectors::{HttpRequest, send_request};
use towpath_orchestrator::AttemptSuccess;
use towpath_ports::{System as _, TaskOutcome};
use towpath_project::{fill_run_values, unfit_text};
use towpath_vocab::{Failure, HttpBody, HttpPlan, PlannedTask, Remedy, SqlPlan};

use super::executor::{RunExecutor, TaskDone};
use super::run_values::{idempotency_key, resolved, run_value};
use crate::Result;

/// How long a request may take, unless its step says so.
const REQUEST_TIME: Duration = Duration::from_secs(60);

/// The header by which a server can tell that several tries are one request.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

fn done(executor: &RunExecutor, task: &PlannedTask, done: TaskDone) -> AttemptSuccess {
    let unchanged = matches!(done, TaskDone::Skipped(_));
    executor.record(&task.id, done);
    AttemptSuccess {
        unchanged,
        outcome: TaskOutcome::Nothing,
        fingerprint: None,
    }
}

fn stopped(task: &PlannedTask) -> Failure {
    let message = format!("`{}` was stopped by the user", task.id);
    Failure::new("R0390", Remedy::Cancelled, message)
}

/// Runs the statements of a step.
pub(super) async fn sql(
    executor: &RunExecutor,
    task: &PlannedTask,
    sql: &SqlPlan,
    cancel: CancellationToken,
) -> Result<AttemptSuccess> {
    if !sql.connection.writable {
        let why = format!(
            "`{}` is read-only; to run SQL in it, set `writable: true`",
            sql.connection.name
        );
        return Ok(done(executor, task, TaskDone::Skipped(why)));
    }
    let filled = |text: &String| {
        fill_run_values(text, &mut |kind, name, default| {
            late_value(executor, (kind, name), default)
        })
    };
    let statements = sql
        .statements
        .iter()
        .map(filled)
        .collect::<Result<Vec<_>>>()?;
    let system = executor.services.statements(&sql.connection)?;
    let stop = Box::pin(async move { cancel.cancelled().await });
    match system.run(&statements, sql.transaction, stop).await? {
        true => Ok(done(executor, task, TaskDone::Command)),
        false => Err(stopped(task)),
    }
}

/// A value that a statement gets when it runs.
fn late_value(
    executor: &RunExecutor,
    (kind, name): (&str, &str),
    default: Option<&str>,
) -> Result<String> {
    let found = match kind {
        "env" => executor.services.system.environment().get(name).cloned(),
        _ => match run_value(executor, name) {
            Ok(value) => Some(value),
            Err(failure) if default.is_none() => return Err(failure),
            Err(_) => None,
        },
    };
    let value = found.or_else(|| default.map(str::to_owned));
    let wrong = match &value {
        None => Some("is not set"),
        Some(value) => unfit_text(value),
    };
    match (value, wrong) {
        (Some(value), None) => Ok(value),
        (_, why) => {
            let why = why.unwrap_or_default();
            let message = format!("`${{{kind}:{name}}}` {why}");
            Err(Failure::new("R0393", Remedy::FixConfig, message)
                .help("give another value, or write it into the statement"))
        }
    }
}

/// Sends the request of a step.
pub(super) async fn http(
    executor: &RunExecutor,
    task: &PlannedTask,
    http: &HttpPlan,
    cancel: CancellationToken,
) -> Result<AttemptSuccess> {
    let request = request(executor, task, http).await?;
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(stopped(task)),
        sent = send_request(request) => {
            sent?;
            Ok(done(executor, task, TaskDone::Command))
        }
    }
}

async fn request(
    executor: &RunExecutor,
    task: &PlannedTask,
    http: &HttpPlan,
) -> Result<HttpRequest> {
    let mut headers = BTreeMap::new();
    for (name, text) in &http.headers {
        headers.insert(name.clone(), resolved(executor, text).await?);
    }
    let has = |headers: &BTreeMap<String, String>, name: &str| {
        headers.keys().any(|known| known.eq_ignore_ascii_case(name))
    };
    if !matches!(http.method.as_str(), "GET" | "HEAD") && !has(&headers, IDEMPOTENCY_KEY) {
        let key = idempotency_key(executor, task);
        headers.insert(IDEMPOTENCY_KEY.to_owned(), key);
    }
    let body = match &http.body {
        HttpBody::None => None,
        HttpBody::Text(text) => Some(resolved(executor, text).await?),
        HttpBody::Json(value) => {
            if !has(&headers, "content-type") {
                headers.insert("Content-Type".to_owned(), "application/json".to_owned());
            }
            Some(filled_json(executor, value).await?.to_string())
        }
    };
    Ok(HttpRequest {
        method: http.method.clone(),
        url: resolved(executor, &http.url).await?,
        headers,
        body: body.map(String::into_bytes),
        expect: http.expect.clone(),
        timeout: task
            .retry
            .timeout_ms
            .map_or(REQUEST_TIME, Duration::from_millis),
        redaction: executor.options.redaction.clone(),
    })
}

/// JSON with the values in its texts.
async fn filled_json(
    executor: &RunExecutor,
    value: &serde_json::Value,
) -> Result<serde_json::Value> {
    use serde_json::Value as Json;
    Ok(match value {
        Json::String(text) => Json::String(resolved(executor, text).await?),
        Json::Array(items) => {
            let mut filled = Vec::with_capacity(items.len());
            for item in items {
                filled.push(Box::pin(filled_json(executor, item)).await?);
            }
            Json::Array(filled)
        }
        Json::Object(members) => {
            let mut filled = serde_json::Map::new();
            for (name, member) in members {
                filled.insert(name.clone(), Box::pin(filled_json(executor, member)).await?);
            }
            Json::Object(filled)
        }
        other => other.clone(),
    })
}
