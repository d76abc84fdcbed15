//! `check` and `plan`: what is wrong with a project, and what a run would do.
//!
//! They call `app/src/check.rs` and `app/src/plan.rs` and print the answer. Only `check --connect`
//! contacts a system.

use towpath_app::{CheckReport, all_codes, explained, forecast, selected_plan};
use towpath_vocab::{Failure, Remedy};

use super::project_args::{CommandResult, ProjectArgs};
use super::run::choice;
use crate::args::{CheckArguments, Format, PlanArguments};
use crate::codes::FRONT;
use crate::draw;
use crate::exit::Exit;

pub(super) async fn check(place: &ProjectArgs, arguments: CheckArguments) -> CommandResult {
    if let Some(code) = arguments.explain {
        return explain(&code);
    }
    let report = match arguments.connect {
        true => place.check_connected(arguments.params).await?,
        false => place.check(arguments.params).await?,
    };
    match arguments.format {
        Format::Json => draw::diagnostics_json(&report.diagnostics),
        Format::Text => {
            draw::diagnostics(&report.diagnostics, &report.files);
            draw::check_summary(&report);
        }
    }
    Ok(exit(&report))
}

pub(super) async fn plan(place: &ProjectArgs, arguments: PlanArguments) -> CommandResult {
    let report = place.check(arguments.params).await?;
    let Some(plan) = &report.plan else {
        draw::diagnostics(&report.diagnostics, &report.files);
        draw::check_summary(&report);
        return Ok(Exit::Wrong);
    };
    if let Some(table) = arguments.explain {
        explained(&report, plan, &table)?;
        draw::settings(&report, &table);
        return Ok(Exit::Done);
    }
    let choice = choice(arguments.choice);
    let chosen = selected_plan(plan, arguments.pipeline_or_step.as_deref(), &choice)?;
    match arguments.format {
        Format::Json => draw::json(&chosen)?,
        Format::Text => {
            let forecasts = forecast(&place.dir()?, &report, plan, &chosen).await?;
            draw::plan(&chosen, &choice, &forecasts);
        }
    }
    Ok(Exit::Done)
}

fn explain(code: &str) -> CommandResult {
    let code = code.to_ascii_uppercase();
    let codes = all_codes(FRONT);
    match codes.iter().find(|entry| entry.code == code) {
        Some(entry) => {
            outln!("{code}\n\n{}", entry.text());
            if let Some(remedy) = entry.remedy {
                outln!("\n{}", remedy.words());
            }
            Ok(Exit::Done)
        }
        None => Err(Failure::new(
            "R0991",
            Remedy::FixConfig,
            format!("there is no code `{code}`"),
        )),
    }
}

fn exit(report: &CheckReport) -> Exit {
    if report.diagnostics.iter().any(|d| d.is_error()) {
        Exit::Wrong
    } else {
        Exit::Done
    }
}
