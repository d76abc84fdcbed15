//! The list of commands: calls the function for the command that the arguments name.
//!
//! Promise: a failure that a command returns is printed once, and gives the exit code. It does not know
//! what a command does. Read next: `commands/mod.rs`.

use super::project_args::ProjectArgs;
use super::{
    alerts, backfill, cancel, check, connection, copy, init, lake, lineage, logs, quality,
    quarantine, query, reference, rerun, run, runs, schedule, serve, token,
};
use crate::args::{Arguments, Command};
use crate::draw;
use crate::exit::Exit;

/// Runs one command.
pub(crate) async fn dispatch(arguments: Arguments) -> Exit {
    let place = ProjectArgs {
        project: arguments.project,
        env: arguments.env,
    };
    let ended = match arguments.command {
        Command::Check(check) => check::check(&place, check).await,
        Command::Plan(plan) => check::plan(&place, plan).await,
        Command::Run(run) => Box::pin(run::run(&place, run)).await,
        Command::Rerun(rerun) => Box::pin(rerun::rerun(&place, rerun)).await,
        Command::Cancel(arguments) => cancel::cancel(&place, arguments).await,
        Command::Backfill(arguments) => backfill::run(&place, arguments).await,
        Command::Serve(arguments) => Box::pin(serve::run(&place, arguments)).await,
        Command::Token(command) => token::token(&place, command).await,
        Command::Schedule(command) => schedule::schedule(&place, command).await,
        Command::Query(query) => query::query(&place, query).await,
        Command::Copy(arguments) => Box::pin(copy::copy(arguments)).await,
        Command::Lineage(lineage) => lineage::lineage(&place, lineage).await,
        Command::Quality(quality) => quality::quality(&place, quality).await,
        Command::Quarantine(command) => Box::pin(quarantine::quarantine(&place, command)).await,
        Command::Runs(arguments) => runs::runs(&place, arguments).await,
        Command::Logs(arguments) => logs::logs(&place, arguments).await,
        Command::Why(arguments) => runs::why(&place, arguments).await,
        Command::Alerts(command) => alerts::run(&place, command).await,
        Command::Connection(command) => connection::connection(&place, command).await,
        Command::Lake(command) => lake::lake(&place, command).await,
        Command::Init(arguments) => init::init(arguments).await,
        Command::Schema(arguments) => reference::schema(&arguments),
        Command::Completion(arguments) => reference::completion(&arguments),
        Command::Reference(arguments) => reference::page(&arguments),
    };
    match ended {
        Ok(exit) => exit,
        Err(failure) => {
            draw::failure(&failure);
            Exit::of(&failure)
        }
    }
}
