//! The whole check: four phases, each with its own type.
//!
//! Promise: `check` returns every mistake that it can find, and a plan only if there is none. The phases
//! are in `parsed.rs`, `bound.rs`, the kinds of steps (`load.rs`, `models/mod.rs`, `command.rs`,
//! `publish.rs`) and `graph.rs`. It decides nothing itself.

use std::collections::{BTreeMap, BTreeSet};

use towpath_vocab::{
    Action, Environment, Level, OptionValue, PipelineName, Plan, PlannedPipeline, ProjectId,
    SecretTemplate, StepName, WriteMode, passwords,
};

use crate::bound::{self, Bound, BoundPipeline};
use crate::context::StepContext;
use crate::graph::{self, Tables};
use crate::inputs::{CheckInputs, CheckedProject, Summary};
use crate::parsed::Parsed;
use crate::report::Report;
use crate::settings::Setting;
use crate::step::{self, Node as Task};
use crate::yaml::{Entry, Node};
use crate::{
    alerts, calls, command, connection, load, models, parsed, publish, schedule, schemas, value,
};

/// The default number of parallel tasks.
const PARALLEL: usize = 4;

/// The start of codes about environments, variables and params.
const BINDING: &str = "P02";

/// Checks a project.
pub fn check(inputs: &CheckInputs<'_>) -> CheckedProject {
    let mut report = Report::default();
    let mut parsed = parsed::parse(inputs.files, &mut report);
    let mut summary = Summary {
        files: parsed.files,
        ..Summary::default()
    };
    let bound = bound::bind(&mut parsed, inputs, &mut report);
    let Some(bound) = bound else {
        return finish(None, report, Vec::new(), None, None, summary);
    };
    let mut explain = Vec::new();
    let discovered = discovered(&bound, &mut report);
    for (name, connection) in &bound.connections {
        load::check_word("connection", name, connection.key_at, &mut report);
    }
    let context = StepContext::new(&bound, inputs.facts, discovered);
    let planning = PlanningContext {
        parsed: &parsed,
        bound: &bound,
        context: &context,
        inputs,
    };
    let pipelines = plan_pipelines(&planning, &mut summary, &mut explain, &mut report);
    let state = context.state();
    let memory = bound.root.get_text("memory").and_then(value::memory_bytes);
    exposed(&bound, &mut report);
    inactive(&bound, &mut report);
    let plan = assemble(&bound, pipelines);
    finish(Some(plan), report, explain, state, memory, summary)
}

fn finish(
    plan: Option<Plan>,
    report: Report,
    explain: Vec<Setting>,
    state: Option<OptionValue>,
    memory_bytes: Option<u64>,
    summary: Summary,
) -> CheckedProject {
    let failed = report.failed();
    let diagnostics = report.finish();
    let is_unclear = |d: &towpath_vocab::Diagnostic| d.is_error() && d.code.starts_with(BINDING);
    let partial = plan.clone().filter(|_| !diagnostics.iter().any(is_unclear));
    let plan = plan.filter(|_| !failed);
    let count = |level| {
        diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.level == level)
            .count()
    };
    let summary = Summary {
        errors: count(Level::Error),
        warnings: count(Level::Warning),
        notes: count(Level::Note),
        ..summary
    };
    CheckedProject {
        plan,
        partial,
        diagnostics,
        explain,
        state,
        memory_bytes,
        summary,
    }
}

fn discovered(
    bound: &Bound<'_>,
    report: &mut Report,
) -> BTreeMap<String, BTreeMap<String, towpath_vocab::TableFact>> {
    let mut all = BTreeMap::new();
    for (name, node) in &bound.schemas {
        if !bound.connections.contains_key(name) {
            let head = node.at.head();
            report
                .warning(
                    "C0502",
                    head,
                    format!("there is no connection `{name}` for these schemas"),
                )
                .suggest(
                    name,
                    bound.connections.keys().map(String::as_str),
                    "connections",
                );
        }
        all.insert(name.clone(), schemas::read(node, report));
    }
    all
}

/// A pipeline during the check.
struct Open<'b> {
    pipeline: &'b BoundPipeline,
    steps: Vec<(&'b str, &'b Entry)>,
    tasks: Vec<Task>,
}

/// What is needed to plan the pipelines.
struct PlanningContext<'a> {
    parsed: &'a Parsed<'a>,
    bound: &'a Bound<'a>,
    context: &'a StepContext<'a>,
    inputs: &'a CheckInputs<'a>,
}

fn plan_pipelines(
    planning: &PlanningContext<'_>,
    summary: &mut Summary,
    explain: &mut Vec<Setting>,
    report: &mut Report,
) -> Vec<PlannedPipeline> {
    let PlanningContext {
        parsed,
        bound,
        context,
        inputs,
    } = *planning;
    let mut tables = Tables::default();
    let mut open: Vec<Open<'_>> = Vec::new();
    for pipeline in &bound.pipelines {
        let head = pipeline.node.at.head();
        load::check_word("pipeline", &pipeline.name, head, report);
        let steps: Vec<(&str, &Entry)> = pipeline
            .node
            .get("steps")
            .into_iter()
            .flat_map(Node::entries)
            .collect();
        let mut tasks = Vec::new();
        for (name, entry) in &steps {
            tasks.extend(of_step(name, entry, pipeline, context, explain, report));
        }
        open.push(Open {
            pipeline,
            steps,
            tasks,
        });
    }
    for task in open.iter().flat_map(|one| &one.tasks) {
        tables.add_writer(task, report);
    }
    for (table, fact) in &context.facts.lakehouse {
        if !tables.contains(table) {
            tables.add(table, Some(fact.schema.clone()), false);
        }
    }
    let properties = models::properties(&parsed.properties, report);
    let all = {
        let loads: Vec<&Task> = open.iter().flat_map(|one| &one.tasks).collect();
        models::check(
            &models::ModelCheckInput {
                parsed,
                properties: &properties,
                inputs,
                context,
                environment: &bound.environment,
            },
            &loads,
            &mut tables,
            report,
        )
    };
    let mut named = BTreeSet::new();
    for one in &mut open {
        models::source_tests(&mut one.tasks, &all, &properties, report);
        for (name, entry) in &one.steps {
            let frame = step::frame(name, entry, &one.pipeline.node, context.retry);
            let built = models::select(&frame, &all, &mut named, report);
            built
                .iter()
                .for_each(|task| tables.add_writer(task, report));
            one.tasks.extend(built);
        }
    }
    models::unused(&all, &named, report);
    publish_patterns(&mut open, context, explain, report);
    summary.models = all.models();
    summary.pipelines = open.len();
    open.into_iter()
        .filter_map(|one| close(one, bound, &tables, summary, report))
        .collect()
}

/// Patterns of `publish` steps stand for what all other steps write.
fn publish_patterns(
    open: &mut [Open<'_>],
    context: &StepContext<'_>,
    explain: &mut Vec<Setting>,
    report: &mut Report,
) {
    let mut written = publish::Written::new();
    for task in open.iter().flat_map(|one| &one.tasks) {
        let write = match &task.action {
            Some(Action::Load(load)) => Some(&load.table.write),
            Some(Action::Model(model)) => Some(&model.table.write),
            _ => None,
        };
        // In the other modes a key may be in several rows.
        let has_key = |mode| {
            matches!(
                mode,
                WriteMode::Replace
                    | WriteMode::Merge
                    | WriteMode::DeleteInsert
                    | WriteMode::InsertOnly
            )
        };
        let key = write
            .filter(|write| has_key(write.mode))
            .map(|write| write.key.clone());
        let key = key.unwrap_or_default();
        written.extend(task.writes.iter().map(|table| (table.clone(), key.clone())));
    }
    for one in open {
        for (name, entry) in &one.steps {
            let frame = step::frame(name, entry, &one.pipeline.node, context.retry);
            let planned = publish::plan_patterns(&frame, context, &written, explain, report);
            one.tasks.extend(planned);
        }
    }
}

fn of_step(
    name: &str,
    entry: &Entry,
    pipeline: &BoundPipeline,
    context: &StepContext<'_>,
    explain: &mut Vec<Setting>,
    report: &mut Report,
) -> Vec<Task> {
    load::check_word("step", name, entry.key_at, report);
    let frame = step::frame(name, entry, &pipeline.node, context.retry);
    match step::verb(&frame, report) {
        Some("load") => load::plan(&frame, context, explain, report),
        Some("command") => command::plan(&frame, context, explain, report)
            .into_iter()
            .collect(),
        Some("sql") => calls::sql(&frame, context, report).into_iter().collect(),
        Some("http") => calls::http(&frame, report).into_iter().collect(),
        Some("publish") => publish::plan(&frame, context, explain, report),
        _ => Vec::new(),
    }
}

fn close(
    mut open: Open<'_>,
    bound: &Bound<'_>,
    tables: &Tables,
    summary: &mut Summary,
    report: &mut Report,
) -> Option<PlannedPipeline> {
    for task in &open.tasks {
        match task.action {
            Some(Action::Load(_)) => summary.loads += 1,
            Some(Action::Publish(_)) => summary.publishes += 1,
            _ => {}
        }
    }
    graph::check_reads(&open.tasks, tables, report);
    graph::name_fields(&mut open.tasks, tables);
    graph::publish_lineage(&mut open.tasks, tables);
    let after = graph::after(&open.steps, report);
    let tasks = graph::order(open.tasks, &after, report)?;
    let parallel = |node: &Node| {
        node.get_text("parallel")
            .and_then(|text| text.parse::<usize>().ok())
    };
    Some(PlannedPipeline {
        name: PipelineName::new(&open.pipeline.name),
        steps: open
            .steps
            .iter()
            .map(|(name, _)| StepName::new(*name))
            .collect(),
        tasks,
        parallel: parallel(&open.pipeline.node)
            .or_else(|| parallel(&bound.root))
            .unwrap_or(PARALLEL)
            .max(1),
        schedule: schedule::plan(&open.pipeline.node, report),
        alerts: alerts::plan(&open.pipeline.node, &bound.root, &bound.connections, report),
    })
}

/// Refuses passwords in places where they would be shown or become a file name.
fn exposed(bound: &Bound<'_>, report: &mut Report) {
    for key in ["lakehouse", "state"] {
        let (Some(node), Some(text)) = (bound.root.get(key), bound.root.get_text(key)) else {
            continue;
        };
        let is_url = key == "state" && text.contains("://");
        let holds = passwords::has_password(text) || passwords::is_key_value_address(text);
        if holds && !is_url {
            connection::secret_in_plain(&format!("`{key}`"), node.at, report);
        }
    }
}

/// How the URLs of lakehouses begin.
const BUCKETS: [&str; 5] = ["s3://", "gs://", "az://", "abfss://", "abfs://"];

/// Reports declarations that have no effect in this version.
fn inactive(bound: &Bound<'_>, report: &mut Report) {
    let set = |key: &str| bound.root.get(key).map(|node| node.at);
    let text = |key: &str| bound.root.get_text(key);
    if let (Some(at), Some(url)) = (set("lakehouse"), text("lakehouse"))
        && url.contains("://")
        && !BUCKETS.iter().any(|begin| url.starts_with(begin))
    {
        let message = format!("lakehouse `{url}`: this version supports no such store");
        report.error("P0115", at, message).help(
            "use a folder (`lakehouse: ./lake`) or a bucket (`lakehouse: s3://BUCKET/PREFIX`, `gs://…` or `az://…`)",
        );
    }
    if let (Some(at), Some(zone)) = (set("timezone"), text("timezone"))
        && zone != "UTC"
        && !zone.contains("${")
    {
        report
            .error("P0115", at, "`timezone` is not supported in this version")
            .help("dates and times without a zone are read as UTC: leave the setting out, or convert them with `set:`");
    }
}

fn assemble(bound: &Bound<'_>, pipelines: Vec<PlannedPipeline>) -> Plan {
    let text = |key: &str| bound.root.get_text(key);
    let name = text("name").unwrap_or_default();
    Plan {
        version: 1,
        project: ProjectId::new(text("id").unwrap_or(name)),
        name: name.to_owned(),
        environment: Environment::new(&bound.environment),
        lakehouse: text("lakehouse").unwrap_or("./lake").to_owned(),
        state: text("state").map(SecretTemplate::new),
        statement_timeout_ms: text("statement_timeout").and_then(value::duration_ms),
        connections: bound
            .connections
            .iter()
            .map(|(name, one)| (name.clone(), one.plan.clone()))
            .collect(),
        pipelines,
    }
}
