//! `query`: prints the rows of a query as they come.
//!
//! It calls `app/src/query.rs`; outside a project the query can only read files. Rows are formatted in
//! `draw/rows.rs`.

use std::sync::Arc;

use futures::TryStreamExt;
use towpath_app::{ProjectServices, QueryRequest, limited_plan, query as ask};
use towpath_vocab::{Failure, Plan, Remedy};

use super::project_args::{CommandResult, ProjectArgs, working_dir};
use crate::args::QueryArguments;
use crate::draw::RowPrinter;
use crate::exit::Exit;
use crate::terminal;

/// The services of the sample that `run --limit` built.
fn sample(place: &ProjectArgs, plan: &Plan) -> Result<ProjectServices, Failure> {
    ProjectServices::of_limited_plan(&place.dir()?, &limited_plan(plan), &plan.environment, None)
}

pub(super) async fn query(place: &ProjectArgs, arguments: QueryArguments) -> CommandResult {
    let (services, _scratch) = if place.is_in_project() {
        let (services, plan) = place.open_to_read().await?;
        match arguments.sample {
            true => (Arc::new(sample(place, &plan)?), None),
            false => (services, None),
        }
    } else if arguments.sample {
        return Err(Failure::new(
            "R0929",
            Remedy::FixConfig,
            "`--sample` reads the sample of a project, and there is no project here",
        )
        .help("build one in a project: towpath run --limit 100"));
    } else {
        let (services, scratch) = ProjectServices::of_files(&working_dir()?)?;
        (Arc::new(services), Some(scratch))
    };
    let mut result = ask(&services, &QueryRequest { sql: arguments.sql }).await?;
    let mut printer = RowPrinter::new(arguments.format, &result.schema);
    while let Some(batch) = result.batches.try_next().await? {
        printer.print(&batch)?;
        if terminal::is_closed() {
            break;
        }
    }
    printer.finish()?;
    Ok(Exit::Done)
}
