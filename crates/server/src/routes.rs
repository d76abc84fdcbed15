//! The routes: one table that is the router, the rules and the OpenAPI document.
//!
//! Promise: a route cannot be without a rule or a handler, because `route` asks for both; and the document cannot
//! have another route than the router. A new route is one entry here, its handler in `handlers.rs`, and its form in
//! `schemas.json`. Read next: `gate.rs` (what happens before a handler).

use towpath_ports::TokenScope;

use crate::answers::{Answering, Call};
use crate::{events, handlers, session};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Everybody who reaches the server.
    Open,
    /// Who has a token with this scope.
    Needs(TokenScope),
}

/// A method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Delete,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    Header,
}

/// A parameter.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) about: &'static str,
    /// Its schema, as JSON.
    pub(crate) schema: &'static str,
    pub(crate) is_required: bool,
}

/// A route.
pub(crate) struct Route {
    pub(crate) method: Method,
    /// Behind `BASE`.
    pub(crate) path: &'static str,
    pub(crate) rule: Rule,
    /// The name of the operation for clients that are generated.
    pub(crate) id: &'static str,
    pub(crate) about: &'static str,
    pub(crate) parameters: &'static [Parameter],
    /// The schema of the body, if it takes one.
    pub(crate) body: Option<&'static str>,
    /// The statuses of good answers, each with the schema of its body.
    pub(crate) answers: &'static [(u16, &'static str)],
    pub(crate) handler: fn(Call) -> Answering,
}

const fn path(name: &'static str, about: &'static str) -> Parameter {
    let schema = r#"{"type":"string","minLength":1}"#;
    Parameter {
        name,
        place: Place::Path,
        about,
        schema,
        is_required: true,
    }
}

const fn query(name: &'static str, about: &'static str, schema: &'static str) -> Parameter {
    Parameter {
        name,
        place: Place::Query,
        about,
        schema,
        is_required: false,
    }
}

const fn header(name: &'static str, about: &'static str, schema: &'static str) -> Parameter {
    Parameter {
        name,
        place: Place::Header,
        about,
        schema,
        is_required: false,
    }
}

const PIPELINE: Parameter = path("name", "The pipeline.");
const RUN: Parameter = path("id", "The run: `shop#212`, written `shop%23212`.");
const TABLE: Parameter = path("name", "The table: `raw.orders`.");

/// The sizes of pages.
const LIMIT_200: Parameter = limit(r#"{"type":"integer","minimum":1,"maximum":200,"default":50}"#);
const LIMIT_500: Parameter = limit(r#"{"type":"integer","minimum":1,"maximum":500,"default":100}"#);

const fn limit(schema: &'static str) -> Parameter {
    query("limit", "The most entries.", schema)
}

const CURSOR: Parameter = query(
    "cursor",
    "The page behind the one that had this `next`.",
    r#"{"type":"string"}"#,
);
const SUBJECT: Parameter = Parameter {
    is_required: true,
    ..query(
        "subject",
        "What it is about.",
        r#"{"type":"string","minLength":1}"#,
    )
};
const KEY: Parameter = header(
    "Idempotency-Key",
    "A second request with this key of the same token gets the run of the first one, for 30 days.",
    r#"{"type":"string","minLength":1,"maxLength":255,"pattern":"^[!-~]+$"}"#,
);

const READ: Rule = Rule::Needs(TokenScope::Read);
const OPERATE: Rule = Rule::Needs(TokenScope::Operate);
const ADMIN: Rule = Rule::Needs(TokenScope::Admin);

/// A route with what it must have: who may call it, and what it does.
const fn route(
    method: Method,
    rule: Rule,
    path: &'static str,
    id: &'static str,
    handler: fn(Call) -> Answering,
) -> Route {
    Route {
        method,
        path,
        rule,
        id,
        about: "",
        parameters: &[],
        body: None,
        answers: &[],
        handler,
    }
}

/// All routes.
pub(crate) const ROUTES: &[Route] = &[
    Route {
        about: "Whether the server and its state store answer.",
        answers: &[(200, "Health")],
        ..route(Method::Get, Rule::Open, "/health", "health", |call| {
            Box::pin(handlers::health(call))
        })
    },
    Route {
        about: "This document.",
        answers: &[(200, "Document")],
        ..route(
            Method::Get,
            Rule::Open,
            "/openapi.json",
            "openapi",
            |call| Box::pin(handlers::openapi(call)),
        )
    },
    Route {
        about: "The pipelines, each with its schedule and its newest runs.",
        parameters: &[CURSOR, LIMIT_500],
        answers: &[(200, "Pipelines")],
        ..route(Method::Get, READ, "/pipelines", "pipelines", |call| {
            Box::pin(handlers::pipelines(call))
        })
    },
    Route {
        about: "A pipeline with the graph of its tasks.",
        parameters: &[PIPELINE],
        answers: &[(200, "Pipeline")],
        ..route(Method::Get, READ, "/pipelines/{name}", "pipeline", |call| {
            Box::pin(handlers::pipeline(call))
        })
    },
    Route {
        about: "Starts a run in the server, as `towpath run` does, and answers when it has begun.",
        parameters: &[PIPELINE, KEY],
        body: Some("RunOptions"),
        answers: &[(201, "Run"), (200, "Run")],
        ..route(
            Method::Post,
            OPERATE,
            "/pipelines/{name}/runs",
            "start_run",
            |call| Box::pin(handlers::start_run(call)),
        )
    },
    Route {
        about: "`towpath schedule pause`.",
        parameters: &[PIPELINE],
        body: Some("PauseOptions"),
        answers: &[(200, "PausedSchedule")],
        ..route(
            Method::Post,
            OPERATE,
            "/pipelines/{name}/schedule/pause",
            "pause_schedule",
            |call| Box::pin(handlers::pause(call)),
        )
    },
    Route {
        about: "`towpath schedule resume`.",
        parameters: &[PIPELINE],
        body: Some("NoOptions"),
        answers: &[(200, "ResumedSchedule")],
        ..route(
            Method::Post,
            OPERATE,
            "/pipelines/{name}/schedule/resume",
            "resume_schedule",
            |call| Box::pin(handlers::resume(call)),
        )
    },
    Route {
        about: "Runs, newest first. `next` is the cursor of the next page.",
        parameters: &[
            query(
                "pipeline",
                "Only of this pipeline.",
                r#"{"type":"string","minLength":1}"#,
            ),
            query(
                "state",
                "Only in this state.",
                r##"{"$ref":"#/components/schemas/RunState"}"##,
            ),
            CURSOR,
            LIMIT_200,
        ],
        answers: &[(200, "Runs")],
        ..route(Method::Get, READ, "/runs", "runs", |call| {
            Box::pin(handlers::runs(call))
        })
    },
    Route {
        about: "A run with its tasks.",
        parameters: &[RUN],
        answers: &[(200, "Run")],
        ..route(Method::Get, READ, "/runs/{id}", "run", |call| {
            Box::pin(handlers::run(call))
        })
    },
    Route {
        about: "The events of a run, and what its programs printed: `towpath logs`. `next` is there while there is \
                more, or the run goes on: then a page may be empty.",
        parameters: &[
            RUN,
            query(
                "task",
                "Only of this task, or of the tasks of this step or table.",
                r#"{"type":"string","minLength":1}"#,
            ),
            CURSOR,
        ],
        answers: &[(200, "Logs")],
        ..route(Method::Get, READ, "/runs/{id}/logs", "logs", |call| {
            Box::pin(handlers::logs(call))
        })
    },
    Route {
        about: "`towpath cancel`: asks the process of a run to stop it, and does not wait (202). One that has ended \
                stays as it is (200).",
        parameters: &[RUN],
        body: Some("CancelOptions"),
        answers: &[(202, "Run"), (200, "Run")],
        ..route(
            Method::Post,
            OPERATE,
            "/runs/{id}/cancel",
            "cancel_run",
            |call| Box::pin(handlers::cancel(call)),
        )
    },
    Route {
        about: "Runs tasks of a past run again in the server, as `towpath rerun` does, and answers when they begin.",
        parameters: &[RUN, KEY],
        body: Some("RerunOptions"),
        answers: &[(201, "Run"), (200, "Run")],
        ..route(Method::Post, OPERATE, "/runs/{id}/rerun", "rerun", |call| {
            Box::pin(handlers::rerun(call))
        })
    },
    Route {
        about: "`towpath schedule preview`.",
        parameters: &[
            PIPELINE,
            query(
                "count",
                "The number of runs.",
                r#"{"type":"integer","minimum":1,"maximum":1000,"default":10}"#,
            ),
            query(
                "after",
                "After this day in the zone of the schedule, instead of now.",
                r#"{"type":"string","minLength":1}"#,
            ),
        ],
        answers: &[(200, "SchedulePreview")],
        ..route(
            Method::Get,
            READ,
            "/pipelines/{name}/schedule/preview",
            "schedule_preview",
            |call| Box::pin(handlers::preview(call)),
        )
    },
    Route {
        about: "`towpath lineage`: of a table, or of a column `raw.orders.amount`.",
        parameters: &[
            SUBJECT,
            query(
                "direction",
                "Where it comes from, or where it goes.",
                r#"{"type":"string","enum":["up","down"],"default":"up"}"#,
            ),
        ],
        answers: &[(200, "Lineage")],
        ..route(Method::Get, READ, "/lineage", "lineage", |call| {
            Box::pin(handlers::lineage(call))
        })
    },
    Route {
        about: "`towpath why`: the state of a task, or of the task that writes a table, and the reasons.",
        parameters: &[SUBJECT],
        answers: &[(200, "Why")],
        ..route(Method::Get, READ, "/why", "why", |call| {
            Box::pin(handlers::why(call))
        })
    },
    Route {
        about: "Results of checks, newest first.",
        parameters: &[
            query(
                "table",
                "Only of this table.",
                r#"{"type":"string","minLength":1}"#,
            ),
            CURSOR,
            limit(r#"{"type":"integer","minimum":1,"maximum":1000,"default":100}"#),
        ],
        answers: &[(200, "Checks")],
        ..route(Method::Get, READ, "/quality", "quality", |call| {
            Box::pin(handlers::quality(call))
        })
    },
    Route {
        about: "Logs a browser in with a token, or with the code of the link of the first start: sets a cookie.",
        body: Some("SessionOptions"),
        answers: &[(200, "Session")],
        ..route(
            Method::Post,
            Rule::Open,
            "/session",
            "open_session",
            |call| Box::pin(session::open(call)),
        )
    },
    Route {
        about: "Whose token or session it is.",
        answers: &[(200, "Session")],
        ..route(Method::Get, READ, "/session", "session", |call| {
            Box::pin(session::show(call))
        })
    },
    Route {
        about: "Logs the browser out.",
        answers: &[(204, "")],
        ..route(Method::Delete, READ, "/session", "close_session", |call| {
            Box::pin(session::close(call))
        })
    },
    Route {
        about: "`towpath token ls`.",
        answers: &[(200, "Tokens")],
        ..route(Method::Get, ADMIN, "/tokens", "tokens", |call| {
            Box::pin(handlers::tokens(call))
        })
    },
    Route {
        about: "`towpath token create`. The answer is the only place where the token is.",
        body: Some("TokenOptions"),
        answers: &[(201, "CreatedToken")],
        ..route(Method::Post, ADMIN, "/tokens", "create_token", |call| {
            Box::pin(handlers::create_token(call))
        })
    },
    Route {
        about: "`towpath token revoke`.",
        parameters: &[path("name", "The token.")],
        body: Some("NoOptions"),
        answers: &[(200, "RevokedToken")],
        ..route(
            Method::Post,
            ADMIN,
            "/tokens/{name}/revoke",
            "revoke_token",
            |call| Box::pin(handlers::revoke_token(call)),
        )
    },
    Route {
        about: "`towpath schedule ls`.",
        parameters: &[CURSOR, LIMIT_500],
        answers: &[(200, "Schedules")],
        ..route(Method::Get, READ, "/schedules", "schedules", |call| {
            Box::pin(handlers::schedules(call))
        })
    },
    Route {
        about: "`towpath backfill ls`.",
        parameters: &[CURSOR, LIMIT_200],
        answers: &[(200, "Backfills")],
        ..route(Method::Get, READ, "/backfills", "backfills", |call| {
            Box::pin(handlers::backfills(call))
        })
    },
    Route {
        about: "The tables and views of the lakehouse, with their versions and numbers of rows.",
        parameters: &[CURSOR, LIMIT_200],
        answers: &[(200, "Tables")],
        ..route(Method::Get, READ, "/tables", "tables", |call| {
            Box::pin(handlers::tables(call))
        })
    },
    Route {
        about: "`towpath lake describe`.",
        parameters: &[TABLE],
        answers: &[(200, "Table")],
        ..route(Method::Get, READ, "/tables/{name}", "table", |call| {
            Box::pin(handlers::table(call))
        })
    },
    Route {
        about: "`towpath lake history`.",
        parameters: &[
            TABLE,
            CURSOR,
            limit(r#"{"type":"integer","minimum":1,"maximum":1000,"default":50}"#),
        ],
        answers: &[(200, "TableVersions")],
        ..route(
            Method::Get,
            READ,
            "/tables/{name}/versions",
            "table_versions",
            |call| Box::pin(handlers::table_versions(call)),
        )
    },
    Route {
        about: "`towpath quarantine ls`.",
        parameters: &[CURSOR, LIMIT_200],
        answers: &[(200, "Quarantine")],
        ..route(Method::Get, READ, "/quarantine", "quarantine", |call| {
            Box::pin(handlers::quarantine(call))
        })
    },
    Route {
        about: "`towpath quarantine show`.",
        parameters: &[
            TABLE,
            CURSOR,
            limit(r#"{"type":"integer","minimum":1,"maximum":1000,"default":20}"#),
        ],
        answers: &[(200, "RejectedRows")],
        ..route(
            Method::Get,
            READ,
            "/quarantine/{name}",
            "rejected_rows",
            |call| Box::pin(handlers::rejected_rows(call)),
        )
    },
    Route {
        about: "Metrics of the pipelines and of this process, in the text format of Prometheus.",
        answers: &[(200, "Metrics")],
        ..route(Method::Get, READ, "/metrics", "metrics", |call| {
            Box::pin(handlers::metrics(call))
        })
    },
    Route {
        about: "The events of all runs as server-sent events, from now on or behind `Last-Event-ID`. The data of \
                each is an `Event`; `seq` is its order in its run.",
        parameters: &[
            header(
                "Last-Event-ID",
                "The `id` of the last event that the client got.",
                r#"{"type":"string","pattern":"^[0-9]+-[0-9]+-[0-9]+$"}"#,
            ),
            query(
                "pipeline",
                "Only of this pipeline.",
                r#"{"type":"string","minLength":1}"#,
            ),
        ],
        answers: &[(200, "Event")],
        ..route(Method::Get, READ, "/events", "events", |call| {
            Box::pin(events::follow(call))
        })
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_changes_something_needs_more_than_reading() {
        for route in ROUTES {
            let wanted = match (route.method, route.id) {
                (Method::Get, "health" | "openapi") => Rule::Open,
                // It shows the token, or the code of the link, in its body.
                (Method::Post, "open_session") => Rule::Open,
                (_, id) if id.contains("token") => ADMIN,
                // A session is the caller's own.
                (Method::Delete, "close_session") => READ,
                (Method::Get, _) => READ,
                (Method::Post | Method::Delete, _) => OPERATE,
            };
            assert_eq!(route.rule, wanted, "{}", route.path);
        }
    }

    #[test]
    fn a_part_of_a_path_is_a_parameter() {
        for route in ROUTES {
            let parts = route
                .path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            let named = route.parameters.iter();
            let named = named
                .filter(|one| one.place == Place::Path)
                .map(|one| one.name);
            assert!(parts.eq(named), "{}", route.path);
        }
    }
}
