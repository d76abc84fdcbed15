//! `query`: rows to the terminal, as they come.

use futures::TryStreamExt;
use towpath_app::{QueryRequest, query as ask};

use super::houses::{Ended, Place};
use crate::args::QueryArguments;
use crate::draw::RowPrinter;
use crate::exit::Exit;

pub(super) async fn query(place: &Place, arguments: QueryArguments) -> Ended {
    let (house, _) = place.open().await?;
    let mut result = ask(&house, &QueryRequest { sql: arguments.sql }).await?;
    let mut printer = RowPrinter::new(arguments.format, &result.schema);
    while let Some(batch) = result.batches.try_next().await? {
        printer.print(&batch)?;
    }
    printer.finish()?;
    Ok(Exit::Done)
}
