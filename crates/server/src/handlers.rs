//! What each route does: reads the request, calls one use case of `app`, answers with its report.
//!
//! Promise: no decision about data is made here. Read next: `routes.rs` (which path is which), `answers.rs`.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use towpath_app::{
    PauseRequest, ProjectServices, RunOptions, RunsPageRequest, backfills_report, lake_describe,
    lake_tables, logs_report, pipeline_details, pipelines_report, quarantine_report, run_details,
    runs_page, schedule_pause, schedule_resume, schedules_report,
};
use towpath_vocab::Plan;

use crate::answers::{Answer, BASE, Call, json, ok, wrong_parameter};
use crate::problem::Problem;

/// The most characters of an idempotency key.
const KEY_CHARS: usize = 255;

/// A body with no member.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

/// The options of `towpath schedule pause`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PauseOptions {
    until: Option<String>,
    reason: Option<String>,
}

#[derive(Serialize)]
struct Health {
    version: u32,
    status: &'static str,
}

fn project(call: &Call) -> (Arc<ProjectServices>, Arc<Plan>) {
    let project = &call.api.project;
    (Arc::clone(project.services()), project.plan())
}

pub(crate) async fn health(call: Call) -> Answer {
    let (services, _) = project(&call);
    services.store.api().feed_end().await?;
    ok(&Health {
        version: 1,
        status: "ok",
    })
}

pub(crate) async fn openapi(call: Call) -> Answer {
    ok(&call.api.document)
}

pub(crate) async fn pipelines(call: Call) -> Answer {
    let (services, plan) = project(&call);
    ok(&pipelines_report(&services, &plan).await?)
}

pub(crate) async fn pipeline(call: Call) -> Answer {
    let (services, plan) = project(&call);
    ok(&pipeline_details(&services, &plan, call.part("name")).await?)
}

pub(crate) async fn start_run(call: Call) -> Answer {
    let options: RunOptions = call.json()?;
    let key = key(&call)?;
    let by = call.by();
    let submitted = call
        .api
        .project
        .submit(call.part("name"), options, key.as_deref(), &by);
    let submitted = submitted.await?;
    let status = match submitted.is_new {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    let mut response = json(status, &submitted.run)?;
    let name = submitted
        .run
        .run
        .record
        .name
        .to_string()
        .replace('#', "%23");
    if let Ok(place) = HeaderValue::from_str(&format!("{BASE}/runs/{name}")) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

fn key(call: &Call) -> Result<Option<String>, Problem> {
    let mut keys = call.headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    let text = key.to_str().unwrap_or_default();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    match is_plain && (1..=KEY_CHARS).contains(&text.len()) && keys.next().is_none() {
        true => Ok(Some(text.to_owned())),
        false => Err(wrong_parameter(&format!(
            "`Idempotency-Key` has 1 to {KEY_CHARS} visible ASCII characters"
        ))),
    }
}

pub(crate) async fn pause(call: Call) -> Answer {
    let options: PauseOptions = call.json()?;
    let (services, plan) = project(&call);
    let request = PauseRequest {
        pipeline: call.part("name").to_owned(),
        until: options.until,
        reason: options.reason,
        by: Some(call.by()),
    };
    ok(&schedule_pause(&services, &plan, &request).await?)
}

pub(crate) async fn resume(call: Call) -> Answer {
    let NoOptions {} = call.json()?;
    let (services, plan) = project(&call);
    let by = call.by();
    ok(&schedule_resume(&services, &plan, call.part("name"), Some(&by)).await?)
}

pub(crate) async fn runs(call: Call) -> Answer {
    let states = "running, succeeded, failed, cancelled, superseded";
    let request = RunsPageRequest {
        pipeline: call.parameter("pipeline").map(str::to_owned),
        state: call.word("state", states)?,
        cursor: call.parameter("cursor").map(str::to_owned),
        limit: call.limit(50, 200)?,
    };
    let (services, plan) = project(&call);
    ok(&runs_page(&services, &plan, &request).await?)
}

pub(crate) async fn run(call: Call) -> Answer {
    let (services, plan) = project(&call);
    ok(&run_details(&services, &plan, call.part("id")).await?)
}

pub(crate) async fn logs(call: Call) -> Answer {
    let (services, plan) = project(&call);
    let task = call.parameter("task");
    ok(&logs_report(&services, &plan, call.part("id"), task).await?)
}

pub(crate) async fn cancel(call: Call) -> Answer {
    let NoOptions {} = call.json()?;
    let cancelled = call.api.project.cancel(call.part("id")).await?;
    json(StatusCode::ACCEPTED, &cancelled)
}

pub(crate) async fn schedules(call: Call) -> Answer {
    let (services, plan) = project(&call);
    ok(&schedules_report(&services, &plan).await?)
}

pub(crate) async fn backfills(call: Call) -> Answer {
    let (services, plan) = project(&call);
    ok(&backfills_report(&services, &plan).await?)
}

pub(crate) async fn tables(call: Call) -> Answer {
    let (services, _) = project(&call);
    ok(&lake_tables(&services).await?)
}

pub(crate) async fn table(call: Call) -> Answer {
    let (services, _) = project(&call);
    ok(&lake_describe(&services, call.part("name")).await?)
}

pub(crate) async fn table_versions(call: Call) -> Answer {
    let limit = usize::try_from(call.limit(50, 1000)?).unwrap_or(usize::MAX);
    let (services, _) = project(&call);
    ok(&towpath_app::table_versions(&services, call.part("name"), limit).await?)
}

pub(crate) async fn quarantine(call: Call) -> Answer {
    let (services, plan) = project(&call);
    ok(&quarantine_report(&services, &plan).await?)
}

pub(crate) async fn rejected_rows(call: Call) -> Answer {
    let limit = call.limit(20, 1000)?;
    let (services, plan) = project(&call);
    ok(&towpath_app::rejected_rows(&services, &plan, call.part("name"), limit).await?)
}
