//! `query`: rows to the terminal, as they come. Outside a project it asks files alone.

use std::sync::Arc;

use futures::TryStreamExt;
use towpath_app::{ProjectServices, QueryRequest, query as ask};

use super::project_args::{CommandResult, ProjectArgs, working_dir};
use crate::args::QueryArguments;
use crate::draw::RowPrinter;
use crate::exit::Exit;
use crate::terminal;

pub(super) async fn query(place: &ProjectArgs, arguments: QueryArguments) -> CommandResult {
    let (services, _scratch) = if place.is_in_project() {
        (place.open().await?.0, None)
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
