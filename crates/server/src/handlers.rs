//! What each route does: reads the request, calls one use case of `app`, answers with its report.
//!
//! Promise: no decision about data is made here. Read next: `routes.rs` (which path is which), `answers.rs`.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::{Deserialize, Serialize};
use towpath_app::{
    CancelRequest, Direction, PauseRequest, ProjectServices, RerunOptions, RunOptions,
    RunsPageRequest, SubmittedRunDetails, Submitter, backfills_page, checks_page, lake_describe,
    lake_tables_page, log_page, pipeline_details, pipelines_page, quarantine_page,
    rejected_rows_page, run_details, runs_page, schedule_pause, schedule_preview, schedule_resume,
    schedules_page, table_versions_page, token_create, token_revoke,
};
use towpath_ports::{ApiToken, Clock as _, TokenScope};
use towpath_vocab::{Failure, Plan, Remedy};

use crate::answers::{Answer, BASE, Call, json, ok, wrong_parameter};
use crate::problem::Problem;
use crate::session::no_store;

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

/// The options of `towpath cancel`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CancelOptions {
    now: bool,
}

/// The arguments of `towpath token create`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenOptions {
    name: String,
    scope: TokenScope,
}

#[derive(Serialize)]
struct RevokedToken {
    version: u32,
    #[serde(flatten)]
    token: ApiToken,
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
    match call.api.watch.is_well(services.store.as_ref()).await {
        true => ok(&Health {
            version: 1,
            status: "ok",
        }),
        false => Err(no_store()),
    }
}

pub(crate) async fn openapi(call: Call) -> Answer {
    ok(&call.api.document)
}

pub(crate) async fn metrics(call: Call) -> Answer {
    let (services, plan) = project(&call);
    let text = towpath_app::metrics(&services, &plan, &call.api.known_rows).await?;
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

pub(crate) async fn pipelines(call: Call) -> Answer {
    let (services, plan) = project(&call);
    let page = call.page(100, 500)?;
    ok(&pipelines_page(&services, &plan, &page).await?)
}

pub(crate) async fn pipeline(call: Call) -> Answer {
    let (services, plan) = project(&call);
    ok(&pipeline_details(&services, &plan, call.part("name")).await?)
}

pub(crate) async fn start_run(call: Call) -> Answer {
    let options: RunOptions = call.json()?;
    let submitted = Submitting::of(&call)?;
    let project = &call.api.project;
    let run = project.submit(call.part("name"), options, submitted.by());
    begun(&run.await?)
}

pub(crate) async fn rerun(call: Call) -> Answer {
    let options: RerunOptions = call.json()?;
    if options.failed && options.from.is_some() {
        let message = "`failed` and `from` exclude each other";
        let failure = Failure::new("R1109", Remedy::FixConfig, message).help("send one of them");
        return Err(Problem::new(StatusCode::BAD_REQUEST, failure));
    }
    let submitted = Submitting::of(&call)?;
    let project = &call.api.project;
    let run = project.rerun(call.part("id"), options, submitted.by());
    begun(&run.await?)
}

/// Who submits, owned.
struct Submitting {
    token: String,
    by: String,
    key: Option<String>,
}

impl Submitting {
    fn of(call: &Call) -> Result<Self, Problem> {
        let caller = call.caller.as_ref();
        Ok(Self {
            token: caller.map_or_else(String::new, |caller| caller.token.id.clone()),
            by: call.by(),
            key: key(call)?,
        })
    }

    fn by(&self) -> Submitter<'_> {
        Submitter {
            token: &self.token,
            by: &self.by,
            key: self.key.as_deref(),
        }
    }
}

fn begun(submitted: &SubmittedRunDetails) -> Answer {
    let status = match submitted.is_new {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    let mut response = json(status, &submitted.run)?;
    let name = submitted.run.run.record.name.to_string();
    let name = name.replace('#', "%23");
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
        page: call.page(50, 200)?,
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
    let (task, cursor) = (call.parameter("task"), call.parameter("cursor"));
    ok(&log_page(&services, &plan, call.part("id"), task, cursor).await?)
}

pub(crate) async fn cancel(call: Call) -> Answer {
    let options: CancelOptions = call.json()?;
    let request = CancelRequest {
        run: call.part("id").to_owned(),
        at_once: options.now,
    };
    let (run, has_ended) = call.api.project.cancel(&request, &call.by()).await?;
    let status = match has_ended {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    json(status, &run)
}

pub(crate) async fn schedules(call: Call) -> Answer {
    let (services, plan) = project(&call);
    let page = call.page(100, 500)?;
    ok(&schedules_page(&services, &plan, &page).await?)
}

pub(crate) async fn backfills(call: Call) -> Answer {
    let (services, plan) = project(&call);
    let page = call.page(50, 200)?;
    ok(&backfills_page(&services, &plan, &page).await?)
}

pub(crate) async fn tables(call: Call) -> Answer {
    let (services, plan) = project(&call);
    let page = call.page(50, 200)?;
    ok(&lake_tables_page(&services, &plan, &page).await?)
}

pub(crate) async fn table(call: Call) -> Answer {
    let (services, _) = project(&call);
    ok(&lake_describe(&services, call.part("name")).await?)
}

pub(crate) async fn table_versions(call: Call) -> Answer {
    let (services, _) = project(&call);
    let page = call.page(50, 1000)?;
    ok(&table_versions_page(&services, call.part("name"), &page).await?)
}

pub(crate) async fn quarantine(call: Call) -> Answer {
    let (services, plan) = project(&call);
    let page = call.page(50, 200)?;
    ok(&quarantine_page(&services, &plan, &page).await?)
}

pub(crate) async fn rejected_rows(call: Call) -> Answer {
    let (services, plan) = project(&call);
    let page = call.page(20, 1000)?;
    ok(&rejected_rows_page(&services, &plan, call.part("name"), &page).await?)
}

pub(crate) async fn preview(call: Call) -> Answer {
    let count = usize::try_from(call.number("count", 10, 1000)?).unwrap_or(usize::MAX);
    let (services, plan) = project(&call);
    let now_us = services.system.now_us();
    let after = call.parameter("after");
    ok(&schedule_preview(
        &plan,
        call.part("name"),
        after,
        now_us,
        count,
    )?)
}

pub(crate) async fn lineage(call: Call) -> Answer {
    let (services, plan) = project(&call);
    let subject = call.required("subject")?;
    let direction = match call.parameter("direction") {
        None | Some("up") => Direction::Up,
        Some("down") => Direction::Down,
        Some(_) => return Err(wrong_parameter("`direction` is one of up, down")),
    };
    ok(&towpath_app::lineage(&services, &plan, subject, direction).await?)
}

pub(crate) async fn quality(call: Call) -> Answer {
    let (services, plan) = project(&call);
    let page = call.page(100, 1000)?;
    ok(&checks_page(&services, &plan, call.parameter("table"), &page).await?)
}

pub(crate) async fn why(call: Call) -> Answer {
    let (services, plan) = project(&call);
    let subject = call.required("subject")?;
    ok(&towpath_app::why(&services, &plan, subject).await?)
}

pub(crate) async fn tokens(call: Call) -> Answer {
    let (services, plan) = project(&call);
    ok(&towpath_app::tokens(&services, &plan).await?)
}

pub(crate) async fn create_token(call: Call) -> Answer {
    let options: TokenOptions = call.json()?;
    let (services, plan) = project(&call);
    let by = call.by();
    let created = token_create(&services, &plan, &options.name, options.scope, Some(&by));
    json(StatusCode::CREATED, &created.await?)
}

pub(crate) async fn revoke_token(call: Call) -> Answer {
    let NoOptions {} = call.json()?;
    let (services, plan) = project(&call);
    let by = call.by();
    let revoked = token_revoke(&services, &plan, call.part("name"), Some(&by));
    ok(&RevokedToken {
        version: 1,
        token: revoked.await?,
    })
}
