//! The final SQL of a model: from the plan, or the template rendered with live answers.
//!
//! Promise: a model whose SQL depends on the contents of the lakehouse is rendered at run time, on a
//! blocking thread. If a question cannot be answered, the failure has the cause. It knows no Jinja:
//! `towpath_template` does. Read next: `answers.rs`.

use towpath_ports::{ModelRequest, Result};
use towpath_template::{MacroFile, Mistake, Render, TemplateProblem};
use towpath_vocab::{Failure, ModelPlan, Remedy};

use super::answers::LiveAnswers;
use crate::session::Engine;

/// The name of the joined text of a project's macro files.
const MACROS: &str = "macros";

/// The SQL to plan.
pub(super) async fn sql(engine: &Engine, request: &ModelRequest) -> Result<String> {
    match &request.model.sql {
        Some(sql) if !request.model.deferred => Ok(sql.clone()),
        _ => rendered(engine.clone(), request.clone()).await,
    }
}

async fn rendered(engine: Engine, request: ModelRequest) -> Result<String> {
    let runtime = tokio::runtime::Handle::current();
    let work = move || render(engine, runtime, &request);
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        Failure::new(
            "R0515",
            Remedy::Bug,
            "the thread that renders a template was stopped",
        )
    })?
}

fn render(
    engine: Engine,
    runtime: tokio::runtime::Handle,
    request: &ModelRequest,
) -> Result<String> {
    let model = &request.model;
    let macros = [MacroFile {
        file: MACROS.to_owned(),
        text: model.macros.clone(),
    }];
    let mut answers = LiveAnswers::new(engine.clone(), runtime);
    let rendered = towpath_template::render(
        &Render {
            file: &model.file,
            text: &model.template,
            macros: &macros,
            vars: &model.vars,
            env: engine.variables(),
            this: &model.table.target,
            relations: &model.references,
            ephemerals: &model.ephemerals,
            full_refresh: request.full_refresh,
            incremental: request.incremental,
            target: engine.environment().as_str(),
            schema: model.table.target.schema(),
        },
        &mut answers,
    );
    match (rendered, answers.into_failure()) {
        (Ok(rendered), _) => Ok(rendered.sql),
        (Err(TemplateProblem::NeedsWarehouse(_)), Some(failure)) => Err(asked(model, failure)),
        (Err(TemplateProblem::NeedsWarehouse(what)), None) => Err(Failure::new(
            "R0515",
            Remedy::Bug,
            format!("model `{}` got no answer: {what}", model.name),
        )),
        (Err(TemplateProblem::Wrong(mistake)), _) => Err(wrong(model, *mistake)),
    }
}

/// The failure of a question, with the name of the model.
fn asked(model: &ModelPlan, mut failure: Failure) -> Failure {
    failure.message = format!(
        "model `{}` runs a query while it is rendered: {}",
        model.name, failure.message
    );
    failure
}

fn wrong(model: &ModelPlan, mistake: Mistake) -> Failure {
    let text = if mistake.file == model.file {
        &model.template
    } else {
        &model.macros
    };
    let before = mistake.offset.and_then(|(start, _)| text.get(..start));
    let line = before
        .map(|before| format!(":{}", before.matches('\n').count() + 1))
        .unwrap_or_default();
    let message = format!(
        "model `{}` cannot be rendered ({}{line}): {}",
        model.name, mistake.file, mistake.message
    );
    let failure = Failure::new("R0513", Remedy::FixConfig, message);
    mistake
        .label
        .into_iter()
        .chain(mistake.help)
        .fold(failure, Failure::help)
}
